//! The state machine of one flow on one worker: [`Flow::step`] takes what happened and says what to do.

mod commits;
mod membership;
mod records;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use event_model::{NextOffset, Offset, Partition};

use crate::batch::Gathering;
use crate::effect::{Effect, Notice};
use crate::gate::{Gate, GatePolicy, Polled};
use crate::input::{Input, LaneKey, Plan, RecordId, TopicId};
use crate::ownership::{Ownership, Phase};
use crate::protocol::{Bounds, Call, Protocol};
use crate::retry::{Dice, RetryPolicy};
use crate::time::Moment;

/// The bounds and waits of a flow.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many topics the flow reads; ids run from zero.
    pub topics: u16,
    /// Calls in flight at once.
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
    /// When the endpoint's gate closes.
    pub gate: GatePolicy,
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
    ready: VecDeque<RecordId>,
    timers: BinaryHeap<Reverse<(Moment, RecordId)>>,
    in_flight: usize,
    gate: Gate,
    gathering: Gathering<W, O>,
    /// Partitions whose release a revoke or the shutdown waits for.
    releasing: Option<Vec<Partition>>,
    shutting_down: bool,
    commit_failures: u32,
    next_id: u64,
    dice: Dice,
}

/// A record that was delivered and is not yet committed.
#[derive(Debug)]
struct Entry<W> {
    topic: TopicId,
    partition: Partition,
    offset: Offset,
    timestamp_ms: Option<i64>,
    lane: LaneKey,
    work: W,
    plan: Plan,
    protocol: Option<Protocol>,
    state: State,
}

impl<W> Entry<W> {
    fn at(&self) -> (TopicId, Partition, Offset) {
        (self.topic, self.partition, self.offset)
    }
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

/// What one partition looks like from outside, for metrics.
#[derive(Clone, Debug)]
pub struct PartitionView {
    /// Which partition.
    pub partition: Partition,
    /// By topic: what may be committed.
    pub frontiers: Vec<NextOffset>,
    /// Records in memory.
    pub held: usize,
    /// Keys with work.
    pub busy_keys: usize,
    /// The timestamp of the oldest unfinished record, in milliseconds since the Unix epoch.
    pub oldest_timestamp_ms: Option<i64>,
    /// Whether the partition is at a bound.
    pub paused: bool,
}

impl<W: Clone, O> Flow<W, O> {
    /// A flow that holds no partition yet.
    pub fn new(settings: Settings) -> Flow<W, O> {
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
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            in_flight: 0,
            gate: Gate::new(settings.gate),
            gathering: Gathering::new(settings.max_batch, settings.linger),
            releasing: None,
            shutting_down: false,
            commit_failures: 0,
            next_id: 0,
            dice: Dice::seeded(settings.seed),
            settings,
        }
    }

    /// Takes what happened at `now` and appends what is to be done to `effects`.
    pub fn step(&mut self, now: Moment, input: Input<W, O>, effects: &mut Vec<Effect<W, O>>) {
        self.gate.advance(now);
        match input {
            Input::Assigned(partitions) => self.assigned(partitions, effects),
            Input::Revoked { partitions, within } => self.revoked(now, &partitions, within),
            Input::Lost(partitions) => self.lost(&partitions),
            Input::Restored(partition, positions) => self.restored(partition, positions, effects),
            Input::Started(partition) => self.started(partition),
            Input::Records(delivered) => self.delivered(now, delivered, effects),
            Input::ReachedEnd(topic, partition, position) => self.reached_end(topic, partition, position),
            Input::Finished(id, answer) => self.finished(now, id, answer, effects),
            Input::Probed(result) => self.probed(now, result, effects),
            Input::Committed(batch) => self.committed(batch, effects),
            Input::CommitFailed(batch, fault) => self.commit_failed(now, batch, fault, effects),
            Input::Shutdown { within } => self.shutdown(now, within),
            Input::Tick => {}
        }
        self.poll_gate(now, effects);
        self.fire_timers(now);
        self.dispatch(effects);
        self.close_batch(now, effects);
        self.release(now, effects);
    }

    /// When to step again with a `Tick`, if nothing else happens before.
    pub fn deadline(&self) -> Option<Moment> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let drain = self.partitions.values().filter_map(|owned| match owned.phase {
            Phase::Draining { until } => Some(until),
            Phase::Partial | Phase::Restoring | Phase::Starting | Phase::Active => None,
        });
        [timer, self.gate.deadline(), self.gathering.deadline()].into_iter().flatten().chain(drain).min()
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether calls may leave.
    pub fn gate_is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// The partitions that are held now.
    pub fn partitions(&self) -> Vec<PartitionView> {
        let mut oldest: HashMap<Partition, i64> = HashMap::new();
        for entry in self.records.values() {
            if let Some(timestamp) = entry.timestamp_ms {
                oldest.entry(entry.partition).and_modify(|t| *t = timestamp.min(*t)).or_insert(timestamp);
            }
        }
        let view = |(partition, owned): (&Partition, &Ownership)| PartitionView {
            partition: *partition,
            frontiers: owned.frontiers.iter().map(|frontier| frontier.committable()).collect(),
            held: owned.held,
            busy_keys: owned.lanes.len(),
            oldest_timestamp_ms: oldest.get(partition).copied(),
            paused: owned.paused,
        };
        self.partitions.iter().filter(|(_, owned)| owned.phase == Phase::Active).map(view).collect()
    }

    fn poll_gate(&mut self, now: Moment, effects: &mut Vec<Effect<W, O>>) {
        match self.gate.poll(now) {
            Polled::Nothing => {}
            Polled::ProbeDue => effects.push(Effect::Probe),
            Polled::Opened(after) => effects.push(Effect::Notice(Notice::GateOpened { after })),
        }
    }

    fn probed(&mut self, now: Moment, result: Result<(), crate::Failure>, effects: &mut Vec<Effect<W, O>>) {
        let notice = match result {
            Ok(()) => self.gate.probe_succeeded(now).map(|after| Notice::GateOpened { after }),
            Err(failure) => self
                .gate
                .probe_failed(now, failure.retry_after, &mut self.dice)
                .map(|delay| Notice::ProbeFailed { detail: failure.detail, delay }),
        };
        effects.extend(notice.map(Effect::Notice));
    }

    fn fire_timers(&mut self, now: Moment) {
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            if at > now {
                break;
            }
            self.timers.pop();
            if let Some(entry) = self.records.get_mut(&id)
                && let State::Waiting(call) = &entry.state
            {
                entry.state = State::Ready(call.clone());
                self.ready.push_back(id);
            }
        }
    }

    fn dispatch(&mut self, effects: &mut Vec<Effect<W, O>>) {
        while self.in_flight < self.settings.max_in_flight && self.gate.is_open() {
            let Some(id) = self.ready.pop_front() else { break };
            let Some(entry) = self.records.get_mut(&id) else { continue };
            let State::Ready(call) = &entry.state else { continue };
            let call = call.clone();
            entry.state = State::Calling(call.clone());
            if let Some(owned) = self.partitions.get_mut(&entry.partition) {
                owned.in_flight += 1;
            }
            self.in_flight += 1;
            effects.push(Effect::Call(id, entry.work.clone(), call));
        }
    }
}

#[cfg(test)]
mod tests;
