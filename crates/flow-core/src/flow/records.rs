//! From delivery to resolution.

use std::cmp::Reverse;

use event_model::{NextOffset, Offset, Partition};

use super::{Entry, Flow, State, Timer};
use crate::batch::{Resolution, Resolved};
use crate::call::Call;
use crate::effect::{Effect, Notice};
use crate::endpoint::Endpoint;
use crate::fate::Reason;
use crate::frontier::Delivery;
use crate::guards::{Guard, holds};
use crate::input::{Answer, Command, Delivered, EndpointId, Plan, RecordId, TopicId};
use crate::ledger::{Remembered, Verdict};
use crate::ownership::Phase;
use crate::protocol::{Context, Next, Protocol, Why, follower};
use crate::time::Moment;

impl<W: Clone, O> Flow<W, O> {
    pub(super) fn delivered(&mut self, now: Moment, delivered: Vec<Delivered<W>>, effects: &mut Vec<Effect<W, O>>) {
        if !holds(Guard::LeaseByOffsets) {
            self.leased_until = now + self.settings.lease_term;
        }
        for record in delivered {
            if let Some(id) = self.take(now, record, effects) {
                self.begin(now, id, effects);
            }
        }
    }

    /// Takes a record into memory and its lanes; its id, when its turn has come.
    fn take(&mut self, now: Moment, record: Delivered<W>, effects: &mut Vec<Effect<W, O>>) -> Option<RecordId> {
        let owned = self.partitions.get_mut(&record.partition)?;
        // What was read before the reader sought our positions, or after a revoke began, will be read again.
        if owned.phase != Phase::Active {
            return None;
        }
        match owned.frontiers.get_mut(usize::from(record.topic.0))?.deliver(record.offset) {
            Delivery::Repeated | Delivery::Done => return None,
            Delivery::Fresh => {}
        }
        let id = RecordId(self.next_id);
        self.next_id += 1;
        owned.held += 1;
        let bound = if owned.held >= self.settings.max_held {
            Some("max_held")
        } else {
            (owned.span() >= self.settings.max_span).then_some("max_span")
        };
        if let Some(bound) = bound
            && !owned.paused
        {
            owned.paused = true;
            effects.push(Effect::Pause(record.partition));
            effects.push(Effect::Notice(Notice::Paused(record.partition, bound)));
        }
        let term = Some(self.settings.lease_term).filter(|_| holds(Guard::PredecessorsTerm)).unwrap_or_default();
        let settled_at = owned.assigned_at + term + owned.settle;
        let replayed = self.settings.replay == Some(record.topic) && holds(Guard::ReplayIsUncertain);
        let uncertain = if replayed {
            // Its last attempt may have been sent just before it became a dead letter.
            Some(settled_at.max(now + owned.settle))
        } else {
            owned.is_doubtful(now, record.topic, record.offset).then_some(settled_at)
        };
        let Delivered { topic, partition, offset, timestamp_ms, lane, keyed, letter, identity, business, plan, work } =
            record;
        let mut entry = Entry {
            topic,
            partition,
            offset,
            timestamp_ms,
            lane,
            keyed,
            letter,
            identity,
            business,
            behind: 0,
            uncertain,
            replayed,
            counted_bad: false,
            work,
            plan,
            protocol: None,
            turns_end_committed: false,
            state: State::Queued,
        };
        if entry.plan != Plan::Filter {
            entry.behind = entry.turns().map(|turn| u8::from(!owned.lanes.enter(turn, id))).sum();
        }
        let its_turn = entry.behind == 0;
        self.records.insert(id, entry);
        its_turn.then_some(id)
    }

    pub(super) fn reached_end(&mut self, topic: TopicId, partition: Partition, position: NextOffset) {
        if let Some(owned) = self.partitions.get_mut(&partition)
            && owned.phase == Phase::Active
            && let Some(frontier) = owned.frontiers.get_mut(usize::from(topic.0))
        {
            frontier.reached_end(position);
        }
    }

    pub(super) fn finished(
        &mut self,
        now: Moment,
        id: RecordId,
        answer: Answer<O>,
        endpoints: &mut [&mut Endpoint],
        effects: &mut Vec<Effect<W, O>>,
    ) {
        let Some((to, permit)) = self.calls.remove(&id) else { return };
        let (Some(own), Some(endpoint)) = (self.endpoints.get_mut(to.index()), endpoints.get_mut(to.index())) else {
            return;
        };
        own.in_flight = own.in_flight.saturating_sub(1);
        if let Some((why, limit)) = endpoint.answered(own.seat, permit, &answer) {
            effects.push(Effect::Notice(Notice::LimitCut { endpoint: to, why, limit }));
        }
        if self.contests.contains_key(&id) {
            return self.contest_answered(now, id, answer, endpoints, effects);
        }
        // Its answer came after the loss: whatever it did is counted from now on.
        if let Some(orphan) = self.orphans.remove(&id) {
            return self.contest(now + self.bounds.settle, orphan, effects);
        }
        // A record whose partition was lost meanwhile is the next owner's.
        let Some(entry) = self.records.get_mut(&id) else { return };
        if let Some(owned) = self.partitions.get_mut(&entry.partition) {
            owned.in_flight = owned.in_flight.saturating_sub(1);
        }
        let follows = self.follows(id);
        let Some(entry) = self.records.get_mut(&id) else { return };
        let (State::Calling(call), Some(protocol)) = (&entry.state, entry.protocol.as_mut()) else { return };
        let call = call.clone();
        let (gate, dice) = (&mut endpoint.gate, &mut self.dice);
        // What was sent before a pause is answered in it: the record is no older than when it began.
        let stood = self.pauses.stood(&entry.lane, self.storm.healthy(EndpointId::ENGINE));
        let healthy = self.storm.healthy(to).saturating_sub(stood);
        let mut cx = Context { now, bounds: &self.bounds, gate, dice, healthy, follows };
        let next = protocol.answered(&mut cx, call.clone(), answer);
        let next = self.find_room(now, id, next, effects);
        self.watch_storm(now, id, &next, effects);
        let Some(entry) = self.records.get_mut(&id) else { return };
        let at = entry.at();
        match next {
            Next::Call(call) => {
                entry.state = State::Ready(call);
                self.make_ready(id);
            }
            Next::Wait(delay, then, why) => {
                entry.state = State::Waiting(then);
                self.timers.push(Reverse((now + delay, Timer::Record(id))));
                tell(at, &call, why, Some(delay), effects);
            }
            Next::WhenOpen(then, why) => {
                entry.state = State::Ready(then);
                self.make_ready(id);
                tell(at, &call, why, None, effects);
            }
            Next::Resolve(resolution) => {
                let located = matches!(call, Call::Locate { .. });
                let verdict = located || matches!(resolution, Resolution::DeadLettered { .. });
                entry.turns_end_committed = verdict && holds(Guard::VerdictCommitted);
                self.resolve(now, id, resolution, effects);
            }
            Next::Released(resolution, detail) => {
                effects.push(Effect::Notice(Notice::JobLeft { at, detail }));
                self.resolve(now, id, resolution, effects);
            }
            Next::Over => self.job_ended(id, effects),
            Next::Left(detail) => {
                effects.push(Effect::Notice(Notice::JobLeft { at, detail }));
                self.job_ended(id, effects);
            }
        }
        self.drop_if_draining(id);
    }

    /// The record's turn has come.
    pub(super) fn begin(&mut self, now: Moment, id: RecordId, effects: &mut Vec<Effect<W, O>>) {
        let mut turns = vec![id];
        // A loop and not a recursion: a lane may hold thousands of records that need no call.
        while let Some(id) = turns.pop() {
            let Some(entry) = self.records.get_mut(&id) else { continue };
            let resolution = match &entry.plan {
                Plan::Filter | Plan::Discard => Resolution::Filtered,
                Plan::Reject(reason, detail) => {
                    Resolution::DeadLettered { reason: reason.clone(), detail: detail.clone() }
                }
                Plan::Command(command) => {
                    let command = *command;
                    match self.known(id, command) {
                        Some(resolution) => resolution,
                        // Nobody can have begun it.
                        None if self.follows(id) && !self.is_uncertain(id) => follower(),
                        None => {
                            self.start(id, command);
                            continue;
                        }
                    }
                }
            };
            if self.storm_holds(id, &resolution) {
                self.guarded.push_back(id);
                continue;
            }
            self.settle(now, id, resolution, &mut turns, effects);
        }
    }

    /// What the ledger says of the record's event, if it says anything.
    fn known(&mut self, id: RecordId, command: Command) -> Option<Resolution<O>> {
        let entry = self.records.get_mut(&id)?;
        let remembered = remembered(entry)?;
        let verdict = self.partitions.get(&entry.partition)?.ledger.judge(&remembered);
        let resolution = match verdict {
            Verdict::New => return None,
            Verdict::Same => Resolution::Repeated,
            Verdict::Duplicate => Resolution::Duplicate,
            Verdict::Reused => Resolution::DeadLettered {
                reason: Reason::ID_REUSED,
                detail: "this event id was used before for another payload; the source must give each event its own id"
                    .into(),
            },
        };
        // A job that comes again is completed again: its outcome is published, its completion may not have arrived.
        entry.protocol = Some(Protocol::fresh(command));
        Some(resolution)
    }

    fn start(&mut self, id: RecordId, command: Command) {
        let Some(entry) = self.records.get_mut(&id) else { return };
        let mut protocol = match entry.uncertain {
            // The other side knows a repeated call for a job.
            _ if command.is_job() => Protocol::fresh(command),
            Some(settled_at) if entry.replayed => Protocol::replayed(command, settled_at),
            Some(settled_at) => Protocol::uncertain(command, settled_at),
            None => Protocol::fresh(command),
        };
        entry.state = State::Ready(protocol.first());
        entry.protocol = Some(protocol);
        self.make_ready(id);
    }

    fn resolve(&mut self, now: Moment, id: RecordId, resolution: Resolution<O>, effects: &mut Vec<Effect<W, O>>) {
        let mut turns = Vec::new();
        self.settle(now, id, resolution, &mut turns, effects);
        for next in turns {
            self.begin(now, next, effects);
        }
    }

    /// Hands the resolution to the next transaction and, unless it is a verdict, ends the record's turns; adds to `turns` whose turn it is now.
    fn settle(
        &mut self,
        now: Moment,
        id: RecordId,
        resolution: Resolution<O>,
        turns: &mut Vec<RecordId>,
        effects: &mut Vec<Effect<W, O>>,
    ) {
        let quarantine = self.quarantine(id, &resolution, effects);
        self.count_for_storm(now, id, &resolution, effects);
        let Some(entry) = self.records.get_mut(&id) else { return };
        entry.state = State::Settled;
        let (topic, partition, offset) = entry.at();
        let attempts = entry.protocol.as_ref().map_or(0, |protocol| protocol.attempts);
        if let Resolution::DeadLettered { reason, detail } = &resolution {
            let (reason, detail) = (reason.clone(), detail.clone());
            effects.push(Effect::Notice(Notice::DeadLettered { at: entry.at(), reason, detail, attempts }));
        }
        let remember = match &resolution {
            Resolution::Accepted(_) => remembered(entry),
            Resolution::Repeated | Resolution::Duplicate | Resolution::Filtered | Resolution::DeadLettered { .. } => {
                None
            }
        };
        let work = entry.work.clone();
        self.gathering.push(
            now,
            Resolved { id, topic, partition, offset, work, resolution, attempts, remember, quarantine, refused: 0 },
        );
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        owned.uncommitted += 1;
        // Known at once, not only when committed: the next record of the event must see it.
        if let Some(remember) = remember.filter(|_| holds(Guard::LedgerAtOnce)) {
            owned.remember(remember);
        }
        if !entry.turns_end_committed {
            self.end_turns(id, turns);
        }
    }

    /// Ends the record's turns; adds to `turns` whose turn it is now.
    fn end_turns(&mut self, id: RecordId, turns: &mut Vec<RecordId>) {
        let Some(entry) = self.records.get(&id) else { return };
        let Some(owned) = self.partitions.get_mut(&entry.partition) else { return };
        let left: Vec<RecordId> = entry.turns().filter_map(|turn| owned.lanes.leave(&turn, id)).collect();
        for next in left {
            if let Some(next_entry) = self.records.get_mut(&next) {
                next_entry.behind = next_entry.behind.saturating_sub(1);
                if next_entry.behind == 0 {
                    turns.push(next);
                }
            }
        }
    }

    /// The job's completion, or failure, is answered.
    fn job_ended(&mut self, id: RecordId, effects: &mut Vec<Effect<W, O>>) {
        let Some(entry) = self.records.get(&id) else { return };
        let partition = entry.partition;
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.completing = owned.completing.saturating_sub(1);
        }
        self.forget(id);
        self.resume(partition, effects);
    }

    /// A verdict that held its turns is committed: the next may go.
    pub(super) fn end_held_turns(&mut self, now: Moment, id: RecordId, effects: &mut Vec<Effect<W, O>>) {
        if self.records.get(&id).is_some_and(|entry| entry.turns_end_committed) {
            let mut turns = Vec::new();
            self.end_turns(id, &mut turns);
            for next in turns {
                self.begin(now, next, effects);
            }
        }
    }

    /// The record is out of our hands.
    pub(super) fn forget(&mut self, id: RecordId) {
        if let Some(entry) = self.records.remove(&id)
            && let Some(owned) = self.partitions.get_mut(&entry.partition)
        {
            owned.held = owned.held.saturating_sub(1);
        }
    }

    /// Lets a paused partition read again once it is well below its bounds.
    pub(super) fn resume(&mut self, partition: Partition, effects: &mut Vec<Effect<W, O>>) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        let below = owned.held <= self.settings.max_held / 2 && owned.span() <= self.settings.max_span / 2;
        if owned.paused && below && owned.phase == Phase::Active {
            owned.paused = false;
            effects.push(Effect::Resume(partition));
            effects.push(Effect::Notice(Notice::Resumed(partition)));
        }
    }
}

/// What the ledger keeps of the record. Of a request to a system, nothing: whoever sees its job again needs the system's answer again.
fn remembered<W>(entry: &Entry<W>) -> Option<Remembered> {
    if matches!(entry.plan, Plan::Command(Command::Request { .. })) {
        return None;
    }
    let (event, payload) = entry.identity?;
    Some(Remembered { event, payload, topic: entry.topic, offset: entry.offset })
}

fn tell<W, O>(
    at: (TopicId, Partition, Offset),
    call: &Call,
    why: Why,
    delay: Option<std::time::Duration>,
    effects: &mut Vec<Effect<W, O>>,
) {
    match why {
        Why::Failed { failure, ambiguous, closed } => {
            let (fault, detail) = (failure.fault, failure.detail);
            if let Some((why, delay)) = closed {
                let endpoint = call.endpoint();
                effects.push(Effect::Notice(Notice::GateClosed { endpoint, why, detail: detail.clone(), delay }));
            }
            effects.push(Effect::Notice(Notice::Retry { at, call: call.name(), fault, detail, delay, ambiguous }));
        }
        Why::NobodyWaiting => {
            let (what, delay) = ("no instance waits for the message yet", delay.unwrap_or_default());
            effects.push(Effect::Notice(Notice::Held { at, what, delay }));
        }
        Why::NotSeen(what) => {
            let delay = delay.unwrap_or_default();
            effects.push(Effect::Notice(Notice::Held { at, what, delay }));
        }
        Why::NotHeld { again } => {
            if !again {
                effects.push(Effect::Notice(Notice::AnswerKept { at }));
            }
        }
        Why::Settling => {}
    }
}
