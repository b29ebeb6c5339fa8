//! From delivery to resolution.

use event_model::{NextOffset, Partition};

use super::{Entry, Flow, State};
use crate::batch::{Resolution, Resolved};
use crate::effect::{Effect, Notice};
use crate::frontier::Delivery;
use crate::input::{Answer, Delivered, Plan, RecordId, TopicId};
use crate::ownership::Phase;
use crate::protocol::{Call, Context, Next, Protocol, Why};
use crate::time::Moment;

impl<W: Clone, O> Flow<W, O> {
    pub(super) fn delivered(&mut self, now: Moment, delivered: Vec<Delivered<W>>, effects: &mut Vec<Effect<W, O>>) {
        for record in delivered {
            let Some(owned) = self.partitions.get_mut(&record.partition) else { continue };
            // What was read before the reader sought our positions, or after a revoke began, will be read again.
            if owned.phase != Phase::Active {
                continue;
            }
            let Some(frontier) = owned.frontiers.get_mut(usize::from(record.topic.0)) else { continue };
            match frontier.deliver(record.offset) {
                Delivery::Repeated => continue,
                Delivery::Fresh => {}
            }
            let id = RecordId(self.next_id);
            self.next_id += 1;
            owned.held += 1;
            let its_turn = record.plan == Plan::Filter || owned.lanes.enter(&record.lane, id);
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
            let Delivered { topic, partition, offset, timestamp_ms, lane, plan, work } = record;
            let entry = Entry {
                topic,
                partition,
                offset,
                timestamp_ms,
                lane,
                work,
                plan,
                protocol: None,
                state: State::Queued,
            };
            self.records.insert(id, entry);
            if its_turn {
                self.begin(now, id, effects);
            }
        }
    }

    pub(super) fn reached_end(&mut self, topic: TopicId, partition: Partition, position: NextOffset) {
        if let Some(owned) = self.partitions.get_mut(&partition)
            && owned.phase == Phase::Active
            && let Some(frontier) = owned.frontiers.get_mut(usize::from(topic.0))
        {
            frontier.reached_end(position);
        }
    }

    pub(super) fn finished(&mut self, now: Moment, id: RecordId, answer: Answer<O>, effects: &mut Vec<Effect<W, O>>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        // A record whose partition was lost meanwhile is the next owner's.
        let Some(entry) = self.records.get_mut(&id) else { return };
        if let Some(owned) = self.partitions.get_mut(&entry.partition) {
            owned.in_flight = owned.in_flight.saturating_sub(1);
        }
        let (State::Calling(call), Some(protocol)) = (&entry.state, entry.protocol.as_mut()) else { return };
        let call = call.clone();
        let mut cx = Context { now, bounds: &self.bounds, gate: &mut self.gate, dice: &mut self.dice };
        let next = protocol.answered(&mut cx, call.clone(), answer);
        let at = entry.at();
        match next {
            Next::Call(call) => {
                entry.state = State::Ready(call);
                self.ready.push_back(id);
            }
            Next::Wait(delay, then, why) => {
                entry.state = State::Waiting(then);
                self.timers.push(std::cmp::Reverse((now + delay, id)));
                tell(at, &call, why, Some(delay), effects);
            }
            Next::WhenOpen(then, why) => {
                entry.state = State::Ready(then);
                self.ready.push_back(id);
                tell(at, &call, why, None, effects);
            }
            Next::Resolve(resolution) => self.resolve(now, id, resolution, effects),
            Next::Over => self.forget(id),
        }
        self.drop_if_draining(id);
    }

    /// The record's turn has come.
    fn begin(&mut self, now: Moment, id: RecordId, effects: &mut Vec<Effect<W, O>>) {
        let mut turn = Some(id);
        // A loop and not a recursion: a lane may hold thousands of records that need no call.
        while let Some(id) = turn.take() {
            let Some(entry) = self.records.get_mut(&id) else { break };
            let resolution = match &entry.plan {
                Plan::Command(command) => {
                    let mut protocol = Protocol::new(*command);
                    entry.state = State::Ready(protocol.first());
                    entry.protocol = Some(protocol);
                    self.ready.push_back(id);
                    break;
                }
                Plan::Filter => Resolution::Filtered,
                Plan::Reject(reason, detail) => {
                    Resolution::DeadLettered { reason: reason.clone(), detail: detail.clone() }
                }
            };
            turn = self.settle(now, id, resolution, effects);
        }
    }

    fn resolve(&mut self, now: Moment, id: RecordId, resolution: Resolution<O>, effects: &mut Vec<Effect<W, O>>) {
        if let Some(next) = self.settle(now, id, resolution, effects) {
            self.begin(now, next, effects);
        }
    }

    /// Hands the resolution to the next transaction and ends the record's turn; the next of its key, if any.
    fn settle(
        &mut self,
        now: Moment,
        id: RecordId,
        resolution: Resolution<O>,
        effects: &mut Vec<Effect<W, O>>,
    ) -> Option<RecordId> {
        let entry = self.records.get_mut(&id)?;
        entry.state = State::Settled;
        let attempts = entry.protocol.as_ref().map_or(0, |protocol| protocol.attempts);
        if let Resolution::DeadLettered { reason, detail } = &resolution {
            let (reason, detail) = (reason.clone(), detail.clone());
            effects.push(Effect::Notice(Notice::DeadLettered { at: entry.at(), reason, detail, attempts }));
        }
        let (topic, partition, offset) = entry.at();
        let work = entry.work.clone();
        self.gathering.push(now, Resolved { id, topic, partition, offset, work, resolution, attempts });
        let owned = self.partitions.get_mut(&partition)?;
        owned.uncommitted += 1;
        owned.lanes.leave(&entry.lane, id)
    }

    /// The record is out of our hands.
    pub(super) fn forget(&mut self, id: RecordId) {
        if let Some(entry) = self.records.remove(&id)
            && let Some(owned) = self.partitions.get_mut(&entry.partition)
        {
            owned.held = owned.held.saturating_sub(1);
        }
    }
}

fn tell<W, O>(
    at: (TopicId, Partition, event_model::Offset),
    call: &Call,
    why: Why,
    delay: Option<std::time::Duration>,
    effects: &mut Vec<Effect<W, O>>,
) {
    match why {
        Why::Failed { failure, ambiguous, closed } => {
            let (fault, detail) = (failure.fault, failure.detail);
            if let Some((why, delay)) = closed {
                effects.push(Effect::Notice(Notice::GateClosed { why, detail: detail.clone(), delay }));
            }
            effects.push(Effect::Notice(Notice::Retry { at, call: call.name(), fault, detail, delay, ambiguous }));
        }
        Why::NobodyWaiting => {
            let delay = delay.unwrap_or_default();
            effects.push(Effect::Notice(Notice::Held { at, delay }));
        }
        Why::Settling => {}
    }
}
