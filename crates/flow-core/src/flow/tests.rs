//! A small world of a group, a broker and an engine, driven by random choices, in which the promises are checked.

mod bounds;
mod failing;
mod regressions;

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::batch::{Batch, CommitFault};
use crate::endpoint::EndpointPolicy;
use crate::fate::{Fault, Reason};
use crate::gate::GatePolicy;
use crate::input::{Answer, Command, Delivered, Failure, Restored};
use crate::position::Position;
use crate::progress::Progress;
use crate::quarantine::{Change, KeyHash, Quarantined};

const TOPICS: u16 = 2;

fn settings() -> Settings {
    let retry = RetryPolicy { initial: Duration::from_millis(50), max: Duration::from_secs(1) };
    Settings {
        topics: TOPICS,
        replay: None,
        max_in_flight: 4,
        max_held: 10,
        max_span: 100,
        max_batch: 5,
        linger: Duration::from_millis(20),
        retry,
        hold: retry,
        settle: Duration::from_secs(2),
        history_lag: Duration::from_millis(100),
        give_up_after: Duration::from_secs(60),
        on_exhausted: OnExhausted::Next,
        max_quarantined: 2,
        storm: StormPolicy {
            run: 1_000,
            window: 1_000,
            percent: 100,
            failing_after: Duration::from_secs(30),
            trial_after: Some(Duration::from_secs(300)),
        },
        lease_term: Duration::from_secs(10),
        ledger_entries: 1000,
        on_lost: OnLost::Pause,
        delete_doubles: false,
        seed: 11,
    }
}

/// Which record a call or a resolution is about.
type Work = (TopicId, Partition, i64, u8);

/// What the topics hold: offset, key, plan.
type Logs = BTreeMap<(TopicId, Partition), Vec<(i64, u8, Plan)>>;

/// A metadata text, and what did not fit into it.
type Written = (String, Option<Vec<u8>>);

struct World {
    flow: Flow<Work, ()>,
    endpoint: Endpoint,
    /// A system that jobs call.
    system: Endpoint,
    now: Moment,
    effects: Vec<Effect<Work, ()>>,
    logs: Logs,
    positions: HashMap<(TopicId, Partition), i64>,
    reading: HashSet<Partition>,
    calls: Vec<(RecordId, Work, Call)>,
    commit: Option<Batch<Work, ()>>,
    probe: bool,
    committed: BTreeMap<(TopicId, Partition), i64>,
    metadata: HashMap<(TopicId, Partition), Written>,
    /// What comes back as a dead letter, by topic and offset.
    letters: HashMap<(TopicId, i64), Letter>,
    quarantined: BTreeMap<(Partition, KeyHash), Quarantined>,
    notices: Vec<Notice>,
    resolutions: HashMap<Work, u32>,
    last_effect: HashMap<(TopicId, Partition, u8), i64>,
    released: usize,
}

impl World {
    fn new(logs: Logs) -> World {
        World::of(logs, settings())
    }

    fn of(logs: Logs, settings: Settings) -> World {
        let gate = GatePolicy { trip_after: 5, probe: settings.retry };
        let policy = EndpointPolicy { min_in_flight: 4, max_in_flight: 256, max_per_second: None, gate };
        let (mut endpoint, mut system) = (Endpoint::new(policy), Endpoint::new(policy));
        World {
            flow: Flow::new(settings, [endpoint.join(1), system.join(1)]),
            endpoint,
            system,
            now: Moment::ORIGIN,
            effects: Vec::new(),
            logs,
            positions: HashMap::new(),
            reading: HashSet::new(),
            calls: Vec::new(),
            commit: None,
            probe: false,
            committed: BTreeMap::new(),
            metadata: HashMap::new(),
            letters: HashMap::new(),
            quarantined: BTreeMap::new(),
            notices: Vec::new(),
            resolutions: HashMap::new(),
            last_effect: HashMap::new(),
            released: 0,
        }
    }

    fn step(&mut self, input: Input<Work, ()>) {
        self.flow.step(self.now, input, &mut [&mut self.endpoint, &mut self.system], &mut self.effects);
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Call { id, work, call, .. } => self.called(id, work, call),
                Effect::Probe(_) => self.probe = true,
                Effect::Commit(batch) => {
                    assert!(self.commit.is_none(), "one transaction at a time");
                    self.commit = Some(batch);
                }
                Effect::Restore(p) => {
                    let positions = (0..TOPICS).map(|t| self.position(TopicId(t), p)).collect();
                    let quarantined = self.quarantined.iter().filter(|((of, _), _)| *of == p);
                    let quarantined = quarantined.map(|((_, key), entry)| (*key, entry.clone())).collect();
                    self.step(Input::Restored(p, Restored { positions, quarantined, ..Restored::default() }));
                }
                Effect::LogEnds(p) => {
                    let ends = (0..TOPICS).map(|t| (TopicId(t), self.log_end(TopicId(t), p))).collect();
                    self.step(Input::LogEnds(p, ends));
                }
                Effect::Ranges(p) => {
                    let range = |t| (TopicId(t), NextOffset::new(0), self.log_end(TopicId(t), p));
                    let ranges = (0..TOPICS).map(range).collect();
                    self.step(Input::Ranges(p, ranges));
                }
                Effect::Start(p, positions) => {
                    for (topic, position) in positions {
                        self.positions.insert((topic, p), position.get());
                    }
                    self.reading.insert(p);
                    self.step(Input::Started(p));
                }
                Effect::Pause(p) => {
                    self.reading.remove(&p);
                }
                Effect::Resume(p) => {
                    self.reading.insert(p);
                }
                Effect::Released(partitions) => {
                    self.released += 1;
                    for p in partitions {
                        self.reading.remove(&p);
                    }
                }
                Effect::Notice(notice) => self.notices.push(notice),
            }
        }
    }

    fn position(&self, topic: TopicId, partition: Partition) -> Position {
        let (metadata, spilled) = self.metadata.get(&(topic, partition)).cloned().unwrap_or_default();
        let committed = self.committed.get(&(topic, partition)).map(|next| NextOffset::new(*next));
        let (log_start, log_end) = (NextOffset::new(0), self.log_end(topic, partition));
        let (begun, first, loss_accepted) = (committed.is_some(), log_start, None);
        Position { topic, committed, metadata, spilled, log_start, log_end, begun, first, loss_accepted }
    }

    fn log_end(&self, topic: TopicId, partition: Partition) -> NextOffset {
        let last = self.logs.get(&(topic, partition)).and_then(|log| log.last());
        NextOffset::new(last.map_or(0, |(offset, ..)| offset + 2))
    }

    fn next(&self, topic: TopicId, partition: Partition) -> i64 {
        self.committed.get(&(topic, partition)).copied().unwrap_or(0)
    }

    /// KEY_ORDER: within a partition and topic, a key has one call in flight, and effects never go back.
    fn called(&mut self, id: RecordId, work: Work, call: Call) {
        let (topic, partition, offset, key) = work;
        // What follows the commit holds no turn: the next of the key may be under way.
        let holds_turn =
            |call: &Call| !matches!(call, Call::CompleteJob | Call::FailJob | Call::Count(_) | Call::Delete(_));
        for (_, other, under_way) in self.calls.iter().filter(|_| holds_turn(&call)) {
            let same = (other.1, other.3) == (partition, key) && holds_turn(under_way);
            assert!(!same, "two calls of key {key} in flight");
        }
        if call.has_effect() && holds_turn(&call) {
            let last = self.last_effect.entry((topic, partition, key)).or_insert(-1);
            assert!(*last <= offset, "effect of {offset} after {last}");
            *last = offset;
        }
        self.calls.push((id, work, call));
    }

    fn read(&mut self, topic: TopicId, partition: Partition) {
        if !self.reading.contains(&partition) {
            return;
        }
        let from = self.positions.get(&(topic, partition)).copied().unwrap_or(0);
        let log = self.logs.get(&(topic, partition)).cloned().unwrap_or_default();
        let Some((offset, key, plan)) = log.iter().find(|(offset, ..)| *offset >= from).cloned() else {
            let end = self.log_end(topic, partition);
            self.step(Input::ReachedEnd(topic, partition, end));
            return;
        };
        self.positions.insert((topic, partition), offset + 1);
        let record = Delivered {
            topic,
            partition,
            offset: Offset::new(offset),
            timestamp_ms: None,
            lane: [key].as_slice().into(),
            keyed: true,
            letter: self.letters.get(&(topic, offset)).copied(),
            identity: None,
            business: None,
            plan,
            work: (topic, partition, offset, key),
        };
        self.step(Input::Records(vec![record]));
    }

    fn finish(&mut self, index: usize, answer: Answer<()>) {
        if !self.calls.is_empty() {
            let (id, _, call) = self.calls.swap_remove(index % self.calls.len());
            let counted = matches!(call, Call::Count(_)) && answer == Answer::Done(());
            let answer = if counted { Answer::Copies(Vec::new()) } else { answer };
            self.step(Input::Finished(id, answer));
        }
    }

    /// Ends the first call of that kind.
    fn finish_call(&mut self, call: &Call, answer: Answer<()>) {
        if let Some(index) = self.calls.iter().position(|(_, _, under_way)| under_way == call) {
            let (id, ..) = self.calls.remove(index);
            self.step(Input::Finished(id, answer));
        }
    }

    fn commit(&mut self, succeeds: bool) {
        let Some(batch) = self.commit.take() else { return };
        if !succeeds {
            return self.step(Input::CommitFailed(batch, CommitFault::Aborted("refused".into())));
        }
        for resolved in &batch.resolved {
            *self.resolutions.entry(resolved.work).or_default() += 1;
            if let Some(Change { key, entry, .. }) = &resolved.quarantine {
                let place = (resolved.partition(), *key);
                match entry.clone() {
                    Some(entry) => self.quarantined.insert(place, entry),
                    None => self.quarantined.remove(&place),
                };
            }
        }
        assert!(!batch.offsets.is_empty(), "a transaction without an offset is checked against nobody's generation");
        for line in &batch.offsets {
            let (topic, partition, next) = (line.topic, line.partition, line.progress.frontier);
            let before = self.committed.insert((topic, partition), next.get());
            assert!(before.unwrap_or(0) <= next.get(), "an offset went back");
            self.metadata.insert((topic, partition), line.progress.encode(""));
            self.done_is_resolved(topic, partition, &line.progress);
        }
        let now = self.now;
        self.step(Input::Committed(batch, now));
        self.conserve(false);
    }

    /// CONSERVE: whatever an offset passed has a committed resolution; at the end everything has.
    fn conserve(&self, all: bool) {
        for ((topic, partition), log) in &self.logs {
            for (offset, key, _) in log {
                if all || *offset < self.next(*topic, *partition) {
                    let work = (*topic, *partition, *offset, *key);
                    assert!(self.resolutions.contains_key(&work), "{work:?} was passed without a resolution");
                }
            }
        }
    }

    /// Whatever the map calls done has a committed resolution.
    fn done_is_resolved(&self, topic: TopicId, partition: Partition, progress: &Progress) {
        for (offset, key, _) in self.logs.get(&(topic, partition)).into_iter().flatten() {
            if progress.runs.iter().any(|(start, end)| (start..end).contains(&offset)) {
                let work = (topic, partition, *offset, *key);
                assert!(self.resolutions.contains_key(&work), "{work:?} is called done without a resolution");
            }
        }
    }

    fn revoke(&mut self, partition: Partition) {
        let partitions = (0..TOPICS).map(|t| (TopicId(t), partition)).collect();
        self.step(Input::Revoked { partitions, within: Duration::from_secs(5) });
        while self.released == 0 {
            self.now = self.now + Duration::from_millis(100);
            self.finish(0, Answer::Done(()));
            self.commit(true);
            self.step(Input::Tick);
        }
        self.released = 0;
        self.late_answers(partition);
        // What was resolved but not committed, or not resolved, is effect-free for the next owner to begin again.
        self.last_effect.retain(|(_, p, _), _| *p != partition);
    }

    /// Answers of calls that outlived the ownership: the next owner makes them again.
    fn late_answers(&mut self, partition: Partition) {
        while let Some(index) = self.calls.iter().position(|(_, work, _)| work.1 == partition) {
            self.finish(index, Answer::Done(()));
        }
    }

    fn assign(&mut self, partition: Partition) {
        self.step(Input::Assigned((0..TOPICS).map(|t| (TopicId(t), partition)).collect()));
    }
}

#[derive(Clone, Debug)]
enum Move {
    Read(u16, i32),
    Finish(usize),
    Fail(usize, Fault),
    Absent(usize),
    Wait(u64),
    Commit(bool),
    HandOver(i32),
    Lose(i32),
}

fn moves() -> impl Strategy<Value = Move> {
    let fault = prop::sample::select(vec![
        Fault::Unsent,
        Fault::TimedOut,
        Fault::Unavailable,
        Fault::RateLimited,
        Fault::Forbidden,
        Fault::Refused,
        Fault::EngineError,
    ]);
    prop_oneof![
        8 => (0..TOPICS, 0..2i32).prop_map(|(t, p)| Move::Read(t, p)),
        6 => any::<usize>().prop_map(Move::Finish),
        2 => (any::<usize>(), fault).prop_map(|(i, f)| Move::Fail(i, f)),
        1 => any::<usize>().prop_map(Move::Absent),
        2 => (1u64..2000).prop_map(Move::Wait),
        3 => any::<bool>().prop_map(Move::Commit),
        1 => (0..2i32).prop_map(Move::HandOver),
        1 => (0..2i32).prop_map(Move::Lose),
    ]
}

fn logs() -> impl Strategy<Value = Logs> {
    let plan = prop_oneof![
        6 => Just(Plan::Command(Command::Start)),
        1 => Just(Plan::Command(Command::Publish)),
        1 => Just(Plan::Filter),
        1 => Just(Plan::Reject(Reason::LIMIT, "too long".into())),
    ];
    let log = prop::collection::vec((0i64..2, 0u8..3, plan), 0..25).prop_map(|records| {
        let mut next = 0;
        let place = |(gap, key, plan)| {
            let offset = next + gap;
            next = offset + 1;
            (offset, key, plan)
        };
        records.into_iter().map(place).collect::<Vec<_>>()
    });
    prop::collection::vec(log, 4).prop_map(|logs| {
        let places = (0..TOPICS).flat_map(|t| (0..2).map(move |p| (TopicId(t), Partition::new(p))));
        places.zip(logs).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn conserve_and_key_order_hold_through_faults_and_rebalances(
        logs in logs(),
        moves in prop::collection::vec(moves(), 0..300),
    ) {
        let mut world = World::new(logs);
        world.assign(Partition::new(0));
        world.assign(Partition::new(1));
        for step in moves {
            match step {
                Move::Read(topic, partition) => world.read(TopicId(topic), Partition::new(partition)),
                Move::Finish(index) => world.finish(index, Answer::Done(())),
                Move::Fail(index, fault) => {
                    world.finish(index, Answer::Failed(Failure { fault, detail: "no".into(), retry_after: None }));
                }
                Move::Absent(index) => world.finish(index, Answer::Absent),
                Move::Wait(ms) => {
                    world.now = world.now + Duration::from_millis(ms);
                    world.step(Input::Tick);
                }
                Move::Commit(succeeds) => world.commit(succeeds),
                Move::HandOver(partition) => {
                    world.revoke(Partition::new(partition));
                    world.assign(Partition::new(partition));
                }
                Move::Lose(partition) => {
                    let partition = Partition::new(partition);
                    world.step(Input::Lost((0..TOPICS).map(|t| (TopicId(t), partition)).collect()));
                    world.reading.remove(&partition);
                    world.late_answers(partition);
                    world.commit(false);
                    world.last_effect.retain(|(_, p, _), _| *p != partition);
                    world.assign(partition);
                }
            }
        }
        // From here on everything succeeds: the flow must come to rest with every record resolved.
        let ends: Vec<_> = world.logs.keys().copied().collect();
        for _ in 0..400 {
            for (topic, partition) in &ends {
                world.read(*topic, *partition);
            }
            if std::mem::take(&mut world.probe) {
                world.step(Input::Probed(EndpointId::ENGINE, Ok(())));
            }
            world.finish(0, Answer::Done(()));
            world.commit(true);
            world.now = world.now + Duration::from_millis(200);
            world.step(Input::Tick);
        }
        world.conserve(true);
        prop_assert_eq!(world.flow.records.len(), 0, "records stayed in memory: {:?}", world.flow.records);
    }
}
