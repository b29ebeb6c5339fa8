//! The state machine of one flow on one worker: [`Flow::step`] takes what happened and says what to do.

mod commits;
mod contests;
mod dispatch;
mod membership;
mod pauses;
mod quarantines;
mod records;
mod storms;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use event_model::{NextOffset, Offset, Partition};

use crate::batch::Gathering;
use crate::call::Call;
use crate::contest::Contest;
use crate::effect::{Effect, Notice};
use crate::endpoint::{Endpoint, Permit, Probed, Seat};
use crate::frontier::Frontier;
use crate::gate::Polled;
use crate::guards::{Guard, holds};
use crate::input::{EndpointId, Input, LaneKey, Letter, Plan, RecordId, TopicId};
use crate::lanes::Turn;
use crate::ledger::EventHash;
use crate::ownership::{Ownership, Phase};
use crate::pause::Pauses;
use crate::position::OnLost;
use crate::protocol::{Bounds, Protocol};
use crate::quarantine::OnExhausted;
use crate::retry::{Dice, RetryPolicy};
use crate::storm_guard::{StormGuard, StormPolicy};
use crate::time::Moment;

/// The bounds and waits of a flow.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many topics the flow reads; ids run from zero.
    pub topics: u16,
    /// The topic in which dead letters come back, if there is one: nobody knows what became of their earlier attempts.
    pub replay: Option<TopicId>,
    /// Calls of this flow in flight at once; the endpoint may allow fewer.
    pub max_in_flight: usize,
    /// Records in memory per partition; reaching it pauses that partition alone.
    pub max_held: usize,
    /// Offsets between a partition's frontier and what was read; reaching it pauses that partition alone.
    pub max_span: u64,
    /// Records per transaction.
    pub max_batch: usize,
    /// How long a resolved record may wait for company in its transaction.
    pub linger: Duration,
    /// Delays between attempts of a record.
    pub retry: RetryPolicy,
    /// Delays between looks for an instance that is to wait for a message.
    pub hold: RetryPolicy,
    /// How long after its sending a request may still take effect in the engine.
    pub settle: Duration,
    /// How long history may lag behind the engine.
    pub history_lag: Duration,
    /// How long a record may keep failing while its endpoint is healthy.
    pub give_up_after: Duration,
    /// What becomes of a key when one of its records was given up.
    pub on_exhausted: OnExhausted,
    /// Keys in quarantine per partition; the storm guard trips instead of one more.
    pub max_quarantined: usize,
    /// When bad records stop the flow.
    pub storm: StormPolicy,
    /// How long an accepted `send_offsets` lets us dispatch; shorter than the group's session time-out.
    pub lease_term: Duration,
    /// Event ids that the ledger remembers per partition.
    pub ledger_entries: usize,
    /// What becomes of a partition whose unread records retention removed.
    pub on_lost: OnLost,
    /// Whether surplus instances are ended (`compensate = "delete"`), or only reported.
    pub delete_doubles: bool,
    /// The seed of the jitter.
    pub seed: u64,
}

/// The state of a flow on one worker.
#[derive(Debug)]
pub struct Flow<W, O> {
    settings: Settings,
    bounds: Bounds,
    partitions: BTreeMap<Partition, Ownership>,
    records: HashMap<RecordId, Entry<W>>,
    /// Records whose call waits for a lease.
    unleased: VecDeque<RecordId>,
    timers: BinaryHeap<Reverse<(Moment, Timer)>>,
    contests: HashMap<RecordId, Contest<W>>,
    /// Starts of lost partitions whose call is still under way: a frozen process may send them long after the loss.
    orphans: HashMap<RecordId, Contest<W>>,
    /// Until when the last accepted `send_offsets` lets us dispatch.
    leased_until: Moment,
    /// The endpoints that it calls, by their ids.
    endpoints: Vec<Called>,
    /// Calls in flight.
    calls: HashMap<RecordId, (EndpointId, Permit)>,
    storm: StormGuard,
    pauses: Pauses,
    /// What waits for the storm guard or for an operator: records whose call is ready, and those whose turn has come to become dead letters.
    guarded: VecDeque<RecordId>,
    gathering: Gathering<W, O>,
    /// Partitions whose release a revoke or the shutdown waits for.
    releasing: Option<Vec<Partition>>,
    shutting_down: bool,
    /// The topics' partition counts differ.
    halted: bool,
    commit_failures: u32,
    next_id: u64,
    dice: Dice,
}

/// An endpoint as the flow uses it.
#[derive(Debug)]
struct Called {
    seat: Seat,
    /// Records, and looks for doubles, whose call may leave when there is room.
    ready: VecDeque<RecordId>,
    in_flight: usize,
}

/// A record that was delivered and is not yet committed.
#[derive(Debug)]
struct Entry<W> {
    topic: TopicId,
    partition: Partition,
    offset: Offset,
    timestamp_ms: Option<i64>,
    lane: LaneKey,
    keyed: bool,
    letter: Option<Letter>,
    identity: Option<(EventHash, u64)>,
    business: Option<u64>,
    /// In how many of its lanes others are before it.
    behind: u8,
    /// When no earlier request can take effect any more, if somebody may have begun it.
    uncertain: Option<Moment>,
    /// Whether it comes from the replay topic.
    replayed: bool,
    /// Whether the storm guard has counted it as bad.
    counted_bad: bool,
    work: W,
    plan: Plan,
    protocol: Option<Protocol>,
    /// Whether its turns end with the commit: it ended without an effect, and might have one if it had to be redone.
    turns_end_committed: bool,
    state: State,
}

impl<W> Entry<W> {
    fn at(&self) -> (TopicId, Partition, Offset) {
        (self.topic, self.partition, self.offset)
    }

    fn turns(&self) -> impl Iterator<Item = Turn> {
        let key = Some(Turn::Key(self.lane.clone())).filter(|_| holds(Guard::KeyTurn));
        let event = self.identity.map(|(event, _)| Turn::Event(event)).filter(|_| holds(Guard::EventTurn));
        [key, event, self.business.map(Turn::Business)].into_iter().flatten()
    }

    /// Whether it waits with a system's answer. One that is resolved waits no more.
    fn keeps_answer(&self) -> bool {
        let unresolved = !matches!(self.state, State::Settled);
        unresolved && self.protocol.as_ref().is_some_and(Protocol::keeps_answer)
    }

    /// Whether its effect may be there, or still come.
    fn is_begun(&self) -> bool {
        self.uncertain.is_some() || self.protocol.as_ref().is_some_and(|protocol| protocol.attempts > 0)
    }
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Record(RecordId),
    Contest(RecordId),
    /// One lease term after the assignment: nobody before us dispatches any more.
    Clamp(Partition),
    /// A partition that waits for an operator's word is restored again.
    Again(Partition),
}

#[derive(Debug)]
enum State {
    /// Behind another record of its key.
    Queued,
    /// Its call waits for a place in flight, or for the gate.
    Ready(Call),
    Calling(Call),
    /// Its call waits for a timer.
    Waiting(Call),
    /// Resolved: in the gathering, or in a transaction.
    Settled,
}

impl State {
    /// The endpoint of its call; without one it is the engine's.
    fn endpoint(&self) -> EndpointId {
        match self {
            State::Ready(call) | State::Calling(call) | State::Waiting(call) => call.endpoint(),
            State::Queued | State::Settled => EndpointId::ENGINE,
        }
    }

    /// Whether the record stays with us while its partition is given back: its call is under way, or its resolution is ours to
    /// commit, or its job ours to end.
    fn holds_on(&self) -> bool {
        match self {
            State::Calling(_) | State::Settled => true,
            State::Ready(call) | State::Waiting(call) => call.ends_job(),
            State::Queued => false,
        }
    }
}

/// What one partition looks like from outside, for metrics.
#[derive(Clone, Debug)]
pub struct PartitionView {
    /// Which partition.
    pub partition: Partition,
    /// By topic: what may be committed.
    pub frontiers: Vec<NextOffset>,
    /// By topic: offsets beyond the frontier that are finished.
    pub finished_beyond: Vec<u64>,
    /// Records in memory.
    pub held: usize,
    /// Those of them that wait with a system's answer for their job to be handed out again.
    pub answers_kept: usize,
    /// Queues with work: keys, event ids, business keys.
    pub busy_keys: usize,
    /// By topic: below it an earlier owner may have dispatched.
    pub uncertain_below: Vec<NextOffset>,
    /// Event ids in the ledger.
    pub remembered: usize,
    /// Keys in quarantine.
    pub quarantined: usize,
    /// The timestamp of the oldest unfinished record, in milliseconds since the Unix epoch.
    pub oldest_timestamp_ms: Option<i64>,
    /// Whether the partition is at a bound.
    pub paused: bool,
}

impl<W: Clone, O> Flow<W, O> {
    /// A flow that holds no partition yet, and has joined its endpoints: the engine, then the systems that its jobs call.
    pub fn new(settings: Settings, seats: impl IntoIterator<Item = Seat>) -> Flow<W, O> {
        let endpoints = seats.into_iter().map(|seat| Called { seat, ready: VecDeque::new(), in_flight: 0 });
        let bounds = Bounds {
            retry: settings.retry,
            hold: settings.hold,
            settle: settings.settle,
            history_lag: settings.history_lag,
            give_up_after: settings.give_up_after,
        };
        Flow {
            bounds,
            partitions: BTreeMap::new(),
            records: HashMap::new(),
            unleased: VecDeque::new(),
            timers: BinaryHeap::new(),
            contests: HashMap::new(),
            orphans: HashMap::new(),
            leased_until: Moment::ORIGIN,
            endpoints: endpoints.collect(),
            calls: HashMap::new(),
            storm: StormGuard::new(settings.storm),
            pauses: Pauses::default(),
            guarded: VecDeque::new(),
            gathering: Gathering::new(settings.max_batch, settings.linger),
            releasing: None,
            shutting_down: false,
            halted: false,
            commit_failures: 0,
            next_id: 0,
            dice: Dice::seeded(settings.seed),
            settings,
        }
    }

    /// Takes what happened at `now` and appends what is to be done to `effects`. `endpoints` are those that the flow joined, in the same
    /// order; times of all flows that share one are of one clock, and never go back.
    pub fn step(
        &mut self,
        now: Moment,
        input: Input<W, O>,
        endpoints: &mut [&mut Endpoint],
        effects: &mut Vec<Effect<W, O>>,
    ) {
        for endpoint in endpoints.iter_mut() {
            endpoint.advance(now);
        }
        self.storm.advance(endpoints.iter().map(|endpoint| endpoint.gate.healthy()), self.pauses.holds_flow());
        match input {
            Input::Assigned(partitions) => self.assigned(now, partitions, effects),
            Input::Revoked { partitions, within } => self.revoked(now, &partitions, within),
            Input::Lost(partitions) => self.lost(now, &partitions, effects),
            Input::Restored(partition, restored) => self.restored(now, partition, restored, effects),
            Input::LogEnds(partition, ends) => self.clamp(partition, &ends, effects),
            Input::OutOfRange => self.out_of_range(effects),
            Input::Ranges(partition, ranges) => self.ranges(partition, &ranges, effects),
            Input::Fits(fits) => self.fits(now, fits, effects),
            Input::Started(partition) => self.started(partition, effects),
            Input::Records(delivered) => self.delivered(now, delivered, effects),
            Input::ReachedEnd(topic, partition, position) => self.reached_end(topic, partition, position),
            Input::Finished(id, answer) => self.finished(now, id, answer, endpoints, effects),
            Input::Probed(id, result) => self.probed(id, result, endpoints, effects),
            Input::Committed(batch, sent_at) => self.committed(now, batch, sent_at, effects),
            Input::CommitFailed(batch, fault) => self.commit_failed(now, batch, fault, effects),
            Input::Control(asked) => self.control(now, asked, effects),
            Input::GuardReset => self.reset_storm(now, effects),
            Input::Shutdown { within } => self.shutdown(now, within),
            Input::Tick => {}
        }
        self.poll_gates(endpoints, effects);
        self.fire_timers(now, effects);
        self.poll_storm(now, effects);
        self.dispatch(now, endpoints, effects);
        self.close_batch(now, effects);
        self.release(now, effects);
    }

    /// When to step again with a `Tick`, if nothing else happens before.
    pub fn deadline<'e>(&self, endpoints: impl IntoIterator<Item = &'e Endpoint>) -> Option<Moment> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let draining = self.releasing.is_some().then_some(&self.partitions).into_iter().flat_map(BTreeMap::values);
        let drain = draining.filter_map(|owned| match owned.phase {
            Phase::Draining { until } => until,
            Phase::Partial | Phase::Halted | Phase::Restoring | Phase::Lost | Phase::Starting | Phase::Active => None,
        });
        let trial = self.storm.deadline().filter(|_| !self.guarded.is_empty() && !self.pauses.holds_flow());
        let endpoints = self.endpoints.iter().zip(endpoints).filter_map(|(own, endpoint)| endpoint.deadline(own.seat));
        [timer, trial, self.gathering.deadline()].into_iter().flatten().chain(endpoints).chain(drain).min()
    }

    /// Calls in flight, to all endpoints.
    pub fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// Calls in flight to one of the endpoints.
    pub fn in_flight_to(&self, endpoint: EndpointId) -> usize {
        self.endpoints.get(endpoint.index()).map_or(0, |own| own.in_flight)
    }

    /// Partitions that wait for an operator to accept a loss.
    pub fn awaiting_word(&self) -> usize {
        self.partitions.values().filter(|owned| owned.phase == Phase::Lost).count()
    }

    /// Whether the storm guard holds the flow back.
    pub fn storm_guard_is_tripped(&self) -> bool {
        self.storm.is_tripped()
    }

    /// The partitions that are held now.
    pub fn partitions(&self) -> Vec<PartitionView> {
        let mut oldest: HashMap<Partition, i64> = HashMap::new();
        let mut kept: HashMap<Partition, usize> = HashMap::new();
        for entry in self.records.values() {
            if entry.keeps_answer() {
                *kept.entry(entry.partition).or_default() += 1;
            }
            if let Some(timestamp) = entry.timestamp_ms {
                oldest.entry(entry.partition).and_modify(|t| *t = timestamp.min(*t)).or_insert(timestamp);
            }
        }
        let view = |(partition, owned): (&Partition, &Ownership)| PartitionView {
            partition: *partition,
            frontiers: owned.frontiers.iter().map(|frontier| frontier.committable()).collect(),
            finished_beyond: owned.frontiers.iter().map(Frontier::finished_beyond).collect(),
            held: owned.held,
            answers_kept: kept.get(partition).copied().unwrap_or_default(),
            busy_keys: owned.lanes.len(),
            uncertain_below: owned.horizons.iter().map(|horizon| NextOffset::new(horizon.uncertain_below)).collect(),
            remembered: owned.ledger.len(),
            quarantined: owned.quarantine.len(),
            oldest_timestamp_ms: oldest.get(partition).copied(),
            paused: owned.paused,
        };
        self.partitions.iter().filter(|(_, owned)| owned.phase == Phase::Active).map(view).collect()
    }

    fn poll_gates(&mut self, endpoints: &mut [&mut Endpoint], effects: &mut Vec<Effect<W, O>>) {
        for (index, (own, endpoint)) in self.endpoints.iter().zip(endpoints).enumerate() {
            let id = EndpointId(index as u8);
            match endpoint.poll(own.seat) {
                Polled::Nothing => {}
                Polled::ProbeDue => effects.push(Effect::Probe(id)),
                Polled::Opened(after) => effects.push(Effect::Notice(Notice::GateOpened { endpoint: id, after })),
            }
        }
    }

    fn probed(
        &mut self,
        id: EndpointId,
        result: Result<(), crate::Failure>,
        endpoints: &mut [&mut Endpoint],
        effects: &mut Vec<Effect<W, O>>,
    ) {
        let Some(endpoint) = endpoints.get_mut(id.index()) else { return };
        let notice = match endpoint.probed(&result, &mut self.dice) {
            Probed::Nothing => return,
            Probed::Opened(after) => Notice::GateOpened { endpoint: id, after },
            Probed::Failed(delay) => {
                let detail = result.err().map(|failure| failure.detail).unwrap_or_default();
                Notice::ProbeFailed { endpoint: id, detail, delay }
            }
        };
        effects.push(Effect::Notice(notice));
    }

    /// Its call may leave when there is room for it.
    fn make_ready(&mut self, id: RecordId) {
        let endpoint = self.endpoint_of(id);
        if let Some(own) = self.endpoints.get_mut(endpoint.index()) {
            own.ready.push_back(id);
        }
    }

    /// The endpoint of the record's next call, or of the one under way. Doubles are looked for in the engine.
    fn endpoint_of(&self, id: RecordId) -> EndpointId {
        self.records.get(&id).map_or(EndpointId::ENGINE, |entry| entry.state.endpoint())
    }

    fn new_id(&mut self) -> RecordId {
        let id = RecordId(self.next_id);
        self.next_id += 1;
        id
    }
}

#[cfg(test)]
mod tests;
