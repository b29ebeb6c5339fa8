//! What a seed stands for: the settings, the records, the jobs and the faults of one run. A pure function; shrinking takes things out of it.

mod chains;
pub(crate) mod failing;
mod jobs;
mod replays;

use flow_core::OnLost;

use crate::pauses;
use crate::positions::{self, Growth, Touch};
use crate::rng::Rng;
use failing::Failing;
pub(crate) use jobs::PlannedJob;

/// How long after its sending a request may take effect: the promise of the engine, and what workers are told. All times are in milliseconds.
pub(crate) const SETTLE: u64 = 2500;
/// After so long without a heartbeat the coordinator takes a member's partitions away.
pub(crate) const SESSION: u64 = 1200;
pub(crate) const HEARTBEAT: u64 = 100;
/// The client's deadline for one call.
pub(crate) const DEADLINE: u64 = 250;
pub(crate) const TRANSACTION_TIMEOUT: u64 = 900;
pub(crate) const DRAIN_WITHIN: u64 = 300;
/// After so long without an acknowledged revoke the coordinator takes a member's partitions away.
pub(crate) const REVOKE_TIMEOUT: u64 = 1500;
pub(crate) const HOLD_FOR: u64 = 2000;
pub(crate) const GIVE_UP_AFTER: u64 = 2500;

/// One run, before it is run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where everything came from.
    pub seed: u64,
    pub(crate) config: Config,
    pub(crate) records: Vec<Planned>,
    pub(crate) jobs: Vec<PlannedJob>,
    /// When the system that jobs ask is down: from, until.
    pub(crate) system_outages: Vec<(u64, u64)>,
    pub(crate) faults: Vec<Fault>,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub flows: usize,
    pub partitions: i32,
    /// Per flow.
    pub workers: usize,
    pub history_lag: u64,
    /// Sometimes longer than the session: a new owner waits for it all the same.
    pub lease_term: u64,
    /// Whether two workers of a flow are set to different `settle` times, and requests of each keep to its own.
    pub mixed_settle: bool,
    pub delete_doubles: bool,
    /// Whether topics of a partition are assigned and revoked one by one.
    pub split_topics: bool,
    /// Share of instances that call a child process with inherited variables, in percent.
    pub children: u64,
    /// Share of calls that are slow, in percent.
    pub slow: u64,
    /// Many records of many keys at once, and commits that hang meanwhile.
    pub dense: bool,
    pub max_in_flight: usize,
    pub max_held: usize,
    /// Requests per second that a process may make; 0: as many as it likes.
    pub max_per_second: u32,
    pub growth: Option<Growth>,
    pub on_lost: OnLost,
    pub failing: Failing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Start,
    Message,
    Terminate,
    Filter,
    Reject,
}

/// A record of the source topic.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub at: u64,
    pub partition: i32,
    /// Offsets before it that are never delivered.
    pub gap: i64,
    pub key: u8,
    pub business: u8,
    pub event: u32,
    pub payload: u64,
    pub what: What,
    /// The engine refuses it, always.
    pub refused: bool,
    /// The engine fails at it with an error body, always.
    pub failing: bool,
    /// The broker refuses what is written for it as too large.
    pub huge: bool,
    /// It comes by the replay topic, though nobody gave it up: the one before it may still be under way.
    pub replayed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub at: u64,
    pub kind: FaultKind,
}

/// Workers are numbered over all flows: `flow * workers + slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Crash {
        worker: usize,
        back_after: u64,
    },
    Freeze {
        worker: usize,
        length: u64,
    },
    /// The next start freezes its worker between the lease check and the first byte; or just before the check.
    FreezeSender {
        worker: usize,
        length: u64,
        checked: bool,
        dies: bool,
    },
    /// Coordinator and leaders are out of reach.
    CutKafka {
        worker: usize,
        length: u64,
    },
    /// The coordinator is out of reach; records keep coming.
    CutCoordinator {
        worker: usize,
        length: u64,
    },
    Leave {
        worker: usize,
        back_after: u64,
    },
    /// The group's assignment moves round by one.
    Rotate {
        flow: usize,
    },
    /// The next call meets this.
    Call(CallFault),
    Outage {
        kind: Outage,
        length: u64,
    },
    /// An operator holds a flow or a key of it back, and lets it go on.
    Pause {
        flow: usize,
        key: Option<u8>,
        length: u64,
    },
    AbortCommit,
    /// The next commit takes effect, its answer comes late.
    SlowCommit {
        length: u64,
    },
    /// The next transaction's markers reach their partitions late.
    SlowMarkers {
        length: u64,
    },
    ProducerFenced {
        worker: usize,
    },
    DamageMetadata {
        flow: usize,
        partition: i32,
        damage: Damage,
    },
    /// Everybody of the flow is gone long enough for the offsets to be touched, then comes back.
    TouchOffsets {
        flow: usize,
        touch: Touch,
    },
    /// The source's oldest records go.
    Retention {
        partition: i32,
        keep: usize,
    },
    /// The source's log gets an offset that is never delivered.
    Marker {
        partition: i32,
    },
    TruncateLedger {
        flow: usize,
        partition: i32,
        keep: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFault {
    LostAnswer,
    LateEffect,
    NeverArrives,
    UnavailableAfterEffect,
    UnavailableLateEffect,
    Unavailable,
    Unsent,
    EngineError,
    ServerErrorAfterEffect,
    RateLimited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    ConnectFailure,
    Unavailable,
    /// No answers; effects may happen all the same.
    Silent,
    Forbidden,
    RateLimited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    Flipped,
    Foreign,
    Newer,
    Gone,
}

impl Scenario {
    /// What `seed` stands for.
    pub fn of(seed: u64) -> Scenario {
        let mut rng = Rng::new(seed, 1);
        let mut config = Config {
            flows: if rng.chance(20) { 2 } else { 1 },
            partitions: rng.pick(&[1, 1, 2, 2, 3]),
            workers: rng.pick(&[2, 2, 3]),
            lease_term: rng.pick(&[800, 800, 2200]),
            history_lag: rng.pick(&[200, 200, 0]),
            mixed_settle: rng.chance(25),
            delete_doubles: rng.chance(50),
            split_topics: rng.chance(30),
            children: rng.pick(&[0, 30]),
            slow: rng.pick(&[0, 0, 10, 30]),
            dense: rng.chance(12),
            max_in_flight: rng.pick(&[2, 4, 8]),
            max_held: rng.pick(&[4, 10, 40]),
            max_per_second: Rng::new(seed, 7).pick(&[0, 0, 0, 0, 0, 0, 40, 200]),
            growth: None,
            on_lost: OnLost::Pause,
            failing: Failing::of(&mut Rng::new(seed, 9)),
        };
        let mut places = Rng::new(seed, 8);
        config.growth = positions::growth(&mut places, &config);
        // A key's quarantine stays in the partition that the key leaves: keys that wait have to be replayed before the topics grow.
        config.failing.quarantine &= config.growth.is_none();
        config.on_lost = places.pick(&[OnLost::Pause, OnLost::Continue]);
        let mut records = records(&mut Rng::new(seed, 2), &config);
        positions::move_keys(config.growth, &mut records);
        records.extend(replays::of(&mut Rng::new(seed, 5), &records));
        records.extend(failing::records(&mut Rng::new(seed, 10), &config, &records));
        positions::move_keys(config.growth, &mut records);
        let mut jobs = jobs::of(&mut Rng::new(seed, 3), &config);
        let mut systems = Rng::new(seed, 12);
        jobs::ask(&mut systems, &mut Rng::new(seed, 13), &mut jobs);
        let system_outages = crate::system::outages(&mut systems);
        let mut faults = faults(&mut Rng::new(seed, 4), &config);
        faults.extend(replays::hand_overs(&mut Rng::new(seed, 6), &records));
        faults.extend(positions::faults(&mut places, &config));
        faults.extend(pauses::faults(&mut Rng::new(seed, 11), &config));
        Scenario { seed, config, records, jobs, faults, system_outages }
    }

    /// How big it is, for people.
    pub fn size(&self) -> String {
        format!("{} records, {} jobs, {} faults", self.records.len(), self.jobs.len(), self.faults.len())
    }
}

fn records(rng: &mut Rng, config: &Config) -> Vec<Planned> {
    let mut count = rng.between(2, 12);
    if rng.chance(25) {
        count += rng.below(30);
    }
    let (mut keys, mut pace) = (rng.between(1, 8), rng.pick(&[5, 20, 150, 600]));
    if config.dense {
        (count, keys, pace) = (rng.between(20, 40), 12, 5);
    }
    let mut at = rng.below(300);
    let mut planned: Vec<Planned> = Vec::new();
    for event in 0..count as u32 {
        at += rng.below(pace);
        let gap = if rng.chance(15) { rng.between(1, 3) as i64 } else { 0 };
        if !planned.is_empty() && rng.chance(15) {
            let mut again = planned[rng.below(planned.len() as u64) as usize].clone();
            (again.at, again.gap) = (at, gap);
            match rng.below(6) {
                // Another key of the same partition: keys are spread over partitions by their remainder.
                0 => again.key += same_partition(config),
                // Another event under a used id: it must wait for the first all the same.
                1 => {
                    again.key += same_partition(config);
                    again.business += 1;
                    again.payload += 1;
                }
                2 => again.payload += 1,
                _ => {}
            }
            planned.push(again);
            continue;
        }
        let key = rng.below(keys) as u8;
        let what = match rng.below(20) {
            0..11 => What::Start,
            11..14 => What::Message,
            14..18 => What::Terminate,
            18 => What::Filter,
            _ => What::Reject,
        };
        let business = if rng.chance(10) { (key + 1) % keys as u8 } else { key };
        planned.push(Planned {
            at,
            partition: i32::from(key) % config.partitions,
            gap,
            key,
            business,
            event,
            payload: 1,
            what,
            refused: rng.chance(3),
            failing: rng.chance(4),
            huge: rng.chance(3),
            replayed: false,
        });
    }
    planned
}

fn same_partition(config: &Config) -> u8 {
    if config.growth.is_some() { positions::SAME_PARTITION } else { config.partitions as u8 }
}

fn faults(rng: &mut Rng, config: &Config) -> Vec<Fault> {
    let all = config.flows * config.workers;
    let mut faults = Vec::new();
    let count = rng.below(7);
    for _ in 0..count {
        let at = rng.below(6000);
        let kind = fault(rng, config, all);
        faults.push(Fault { at, kind });
    }
    if config.dense {
        chains::hanging_commits(rng, all, &mut faults);
    }
    if rng.chance(25) {
        chains::take_over(rng, all, &mut faults);
    }
    for _ in 0..rng.below(4) {
        faults.push(Fault { at: rng.below(4000), kind: FaultKind::Call(call_fault(rng)) });
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn fault(rng: &mut Rng, config: &Config, all: usize) -> FaultKind {
    let worker = rng.below(all as u64) as usize;
    let flow = rng.below(config.flows as u64) as usize;
    let partition = rng.below(config.partitions as u64) as i32;
    let back_after = rng.between(50, 4000);
    match rng.below(32) {
        0..4 => FaultKind::Crash { worker, back_after },
        4..6 => FaultKind::Freeze { worker, length: rng.between(100, 3500) },
        6 | 7 => {
            let (length, checked) = (rng.between(400, 12_000), rng.chance(70));
            FaultKind::FreezeSender { worker, length, checked, dies: rng.chance(30) }
        }
        8 | 9 => FaultKind::CutKafka { worker, length: rng.between(100, 3500) },
        10..13 => FaultKind::CutCoordinator { worker, length: rng.between(100, 3500) },
        13 | 14 => FaultKind::Leave { worker, back_after },
        15..18 => FaultKind::Rotate { flow },
        18 | 19 => {
            let kinds =
                [Outage::ConnectFailure, Outage::Unavailable, Outage::Silent, Outage::Forbidden, Outage::RateLimited];
            FaultKind::Outage { kind: rng.pick(&kinds), length: rng.between(200, 6000) }
        }
        20 => FaultKind::AbortCommit,
        21 => FaultKind::SlowCommit { length: rng.between(50, 1500) },
        22 | 23 => FaultKind::SlowMarkers { length: rng.between(50, 1500) },
        24 => FaultKind::ProducerFenced { worker },
        // What cannot be read does not say either for how long its writer's requests may take effect.
        25 | 26 if config.mixed_settle => FaultKind::Rotate { flow },
        25 | 26 => {
            let damage = rng.pick(&[Damage::Flipped, Damage::Foreign, Damage::Newer, Damage::Gone]);
            FaultKind::DamageMetadata { flow, partition, damage }
        }
        27 => FaultKind::TouchOffsets { flow, touch: if rng.chance(50) { Touch::Lost } else { Touch::ToTheStart } },
        28 => FaultKind::TruncateLedger { flow, partition, keep: rng.below(4) as usize },
        _ => FaultKind::Call(call_fault(rng)),
    }
}

fn call_fault(rng: &mut Rng) -> CallFault {
    rng.pick(&[
        CallFault::LostAnswer,
        CallFault::LostAnswer,
        CallFault::LateEffect,
        CallFault::LateEffect,
        CallFault::NeverArrives,
        CallFault::UnavailableAfterEffect,
        CallFault::UnavailableLateEffect,
        CallFault::Unavailable,
        CallFault::Unsent,
        CallFault::EngineError,
        CallFault::ServerErrorAfterEffect,
        CallFault::RateLimited,
    ])
}
