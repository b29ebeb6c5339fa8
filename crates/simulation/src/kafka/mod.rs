//! A model of Kafka: logs with gaps, a group with generations, transactions in two steps whose markers arrive separately and late.

pub(crate) mod group;
pub(crate) mod log;
pub(crate) mod transactions;

use std::collections::BTreeMap;

use crate::scenario::{Config, Damage};
use group::Group;
use log::{Ledger, Log};
use transactions::Transaction;

/// The flow's topics: source, jobs, replay.
pub(crate) const TOPICS: u16 = 3;
/// The last of them.
pub(crate) const REPLAY: u16 = 2;

/// A committed offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Committed {
    pub next: i64,
    pub metadata: String,
    /// Offsets that it passed because retention had removed them.
    pub lost: u64,
    /// Nothing of it was begun before.
    pub begins: bool,
}

pub(crate) struct Kafka {
    /// By partition; every flow reads it.
    pub source: Vec<Log>,
    /// By flow, then partition.
    pub jobs: Vec<Vec<Log>>,
    /// By flow, then partition.
    pub replays: Vec<Vec<Log>>,
    /// By flow, then partition: the ledger and the state topic's `init` records.
    pub ledgers: Vec<Vec<Ledger>>,
    pub groups: Vec<Group>,
    /// By flow, topic and partition.
    pub offsets: BTreeMap<(usize, u16, i32), Committed>,
    /// What the next reader of a partition's metadata finds instead.
    pub damaged: BTreeMap<(usize, i32), Damage>,
    pub transactions: Vec<Transaction>,
    pub abort_next: bool,
    pub slow_commit: u64,
    pub slow_markers: u64,
    pub source_partitions: i32,
    pub own_partitions: i32,
}

impl Kafka {
    pub(crate) fn new(config: &Config) -> Kafka {
        let partitions = config.growth.map_or(config.partitions, |growth| growth.to) as usize;
        let logs = || (0..partitions).map(|_| Log::default()).collect::<Vec<_>>();
        Kafka {
            source: logs(),
            jobs: (0..config.flows).map(|_| logs()).collect(),
            replays: (0..config.flows).map(|_| logs()).collect(),
            ledgers: (0..config.flows).map(|_| (0..partitions).map(|_| Ledger::default()).collect()).collect(),
            groups: (0..config.flows).map(|_| Group::default()).collect(),
            offsets: BTreeMap::new(),
            damaged: BTreeMap::new(),
            transactions: Vec::new(),
            abort_next: false,
            slow_commit: 0,
            slow_markers: 0,
            source_partitions: config.partitions,
            own_partitions: config.partitions,
        }
    }

    /// Partitions of the topic that exist now.
    pub(crate) fn partitions(&self, topic: u16) -> i32 {
        if topic == 0 { self.source_partitions } else { self.own_partitions }
    }

    pub(crate) fn most_partitions(&self) -> i32 {
        self.source_partitions.max(self.own_partitions)
    }

    pub(crate) fn log(&self, flow: usize, topic: u16, partition: i32) -> &Log {
        let partition = partition as usize;
        match topic {
            0 => &self.source[partition],
            REPLAY => &self.replays[flow][partition],
            _ => &self.jobs[flow][partition],
        }
    }
}
