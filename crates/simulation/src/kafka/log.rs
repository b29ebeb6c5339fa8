//! Logs, and what a new owner reads from Kafka before it begins.

use std::collections::BTreeMap;
use std::time::Duration;

use event_model::{NextOffset, Partition};
use flow_core::{Input, KeyHash, Layout, Moved, Position, Quarantined, Remembered, Restored, TopicId};

use super::TOPICS;
use crate::mutants::Switch;
use crate::scenario::Damage;
use crate::worker::{RestoreStep, Wake};
use crate::world::{Item, World};

/// A log of a partition, with offsets that are never delivered.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Those before the log's start are gone, and kept here for the checks.
    pub records: Vec<(i64, Item)>,
    pub start: i64,
    pub end: i64,
}

impl Log {
    fn append(&mut self, gap: i64, item: Item) -> i64 {
        let offset = self.end + gap;
        self.records.push((offset, item));
        self.end = offset + 1;
        offset
    }

    pub(crate) fn from(&self, position: i64) -> &[(i64, Item)] {
        self.all_from(position.max(self.start))
    }

    /// Also what is gone.
    pub(crate) fn all_from(&self, position: i64) -> &[(i64, Item)] {
        &self.records[self.records.partition_point(|(offset, _)| *offset < position)..]
    }
}

/// The ledger topic of a partition, and the `init` records of its state topic. `None` as transaction: written outside of any.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub entries: Vec<(u64, Option<usize>, Entry)>,
    pub end: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Remembered(Remembered),
    First(TopicId, NextOffset),
    Layout(Layout),
    LossAccepted(TopicId, NextOffset),
    Quarantine(KeyHash, Option<Quarantined>),
}

impl Ledger {
    pub(crate) fn append(&mut self, transaction: Option<usize>, entry: Entry) {
        self.entries.push((self.end, transaction, entry));
        self.end += 1;
    }
}

/// The wall clock at the beginning of a run, and how long ledgers count: longer than any run.
const CLOCK_MS: i64 = 1_000_000;
const LEDGER_WINDOW: Duration = Duration::from_secs(3600);

/// What ledger and state of a partition say.
#[derive(Default)]
struct Books {
    remembered: Vec<Remembered>,
    firsts: Vec<(TopicId, NextOffset)>,
    losses: Vec<(TopicId, NextOffset)>,
    layout: Option<Layout>,
    quarantined: BTreeMap<KeyHash, Quarantined>,
}

impl Books {
    fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Remembered(entry) => self.remembered.push(*entry),
            Entry::First(topic, first) => self.firsts.push((*topic, *first)),
            Entry::Layout(layout) => self.layout = Some(*layout),
            Entry::LossAccepted(topic, committed) => self.losses.push((*topic, *committed)),
            Entry::Quarantine(key, Some(entry)) => drop(self.quarantined.insert(*key, entry.clone())),
            Entry::Quarantine(key, None) => drop(self.quarantined.remove(key)),
        }
    }
}

/// A restore under way.
#[derive(Debug)]
pub(crate) struct Restoring {
    positions: Vec<Position>,
    ledger_end: u64,
}

impl World<'_> {
    pub(crate) fn append(&mut self, index: usize) {
        self.straddles(index);
        let planned = &self.scenario.records[index];
        if planned.replayed {
            return self.append_replay(index);
        }
        let offset = self.kafka.source[planned.partition as usize].append(planned.gap, Item::Source(index));
        self.tell(|| {
            format!(
                "source  {}@{offset} {:?} key {} business {} event {} payload {}",
                planned.partition, planned.what, planned.key, planned.business, planned.event, planned.payload
            )
        });
        for worker in 0..self.workers.len() {
            self.wake_reader(worker, 1);
        }
    }

    /// What an operator puts back in, once for each flow.
    fn append_replay(&mut self, index: usize) {
        let planned = &self.scenario.records[index];
        *self.checks.faults.entry("operator: record replayed").or_default() += 1;
        for flow in 0..self.scenario.config.flows {
            let offset = self.kafka.replays[flow][planned.partition as usize].append(planned.gap, Item::Source(index));
            self.tell(|| format!("replay  f{flow} {}@{offset} event {}", planned.partition, planned.event));
        }
        for worker in 0..self.workers.len() {
            self.wake_reader(worker, 1);
        }
    }

    /// A dead letter comes back; its offset.
    pub(crate) fn append_letter(&mut self, flow: usize, partition: i32, item: usize) -> i64 {
        self.kafka.replays[flow][partition as usize].append(0, Item::Source(item))
    }

    pub(crate) fn append_job(&mut self, flow: usize, partition: i32, item: Item) {
        let gap = if self.rng.chance(50) { 1 } else { 0 };
        let offset = self.kafka.jobs[flow][partition as usize].append(gap, item);
        self.tell(|| format!("jobs    f{flow} {partition}@{offset} {item:?}"));
        for worker in 0..self.workers.len() {
            self.wake_reader(worker, 1);
        }
    }

    /// One step of: committed offsets (waiting for transactions that are pending on them), the ledger's end (read_uncommitted),
    /// the ledger up to there (read_committed).
    pub(crate) fn restore_step(&mut self, worker: usize, partition: i32, step: RestoreStep, number: u64) {
        if !self.workers[worker].reaches_leaders() {
            return self.wake(worker, 20, Wake::Restore(partition, step, number));
        }
        let flow = self.workers[worker].flow;
        match step {
            RestoreStep::Offsets => {
                if self.switches.holds(Switch::StableOffsets) && self.pending(flow, partition) {
                    return self.wake(worker, 15, Wake::Restore(partition, step, number));
                }
                let positions = (0..TOPICS).map(|topic| self.position(flow, topic, partition)).collect();
                self.workers[worker].restoring.insert(partition, Restoring { positions, ledger_end: 0 });
                let net = self.net();
                self.wake(worker, net, Wake::Restore(partition, RestoreStep::Ends, number));
            }
            RestoreStep::Ends => {
                let end = self.kafka.ledgers[flow][partition as usize].end;
                if let Some(restoring) = self.workers[worker].restoring.get_mut(&partition) {
                    restoring.ledger_end = end;
                }
                let net = self.net();
                self.wake(worker, net, Wake::Restore(partition, RestoreStep::Ledger, number));
            }
            RestoreStep::Ledger => self.restore_ledger(worker, flow, partition, number),
        }
    }

    fn restore_ledger(&mut self, worker: usize, flow: usize, partition: i32, number: u64) {
        let Some(restoring) = self.workers[worker].restoring.get(&partition) else { return };
        let end = restoring.ledger_end;
        let to_the_end = self.switches.holds(Switch::LedgerToItsEnd);
        let partitions = self.workers[worker].partitions_seen;
        if partitions == 0 {
            return self.wake(worker, 15, Wake::Restore(partition, RestoreStep::Ledger, number));
        }
        let mut books = Books::default();
        for (at, transaction, entry) in &self.kafka.ledgers[flow][partition as usize].entries {
            if *at >= end {
                break;
            }
            match transaction.map_or(Some(true), |index| self.kafka.transactions[index].seen_in(partition)) {
                // The last stable offset: read_committed reads no further until the marker is there.
                None if to_the_end => {
                    return self.wake(worker, 15, Wake::Restore(partition, RestoreStep::Ledger, number));
                }
                None => break,
                Some(false) => {}
                Some(true) => books.take(entry),
            }
        }
        let Some(restoring) = self.workers[worker].restoring.remove(&partition) else { return };
        let mut positions = restoring.positions;
        for position in &mut positions {
            let first = books.firsts.iter().find(|(topic, _)| *topic == position.topic);
            position.begun = first.is_some();
            position.first = first.map_or(position.committed.unwrap_or(position.log_start), |(_, first)| *first);
            position.loss_accepted =
                books.losses.iter().rfind(|(topic, _)| *topic == position.topic).map(|(_, at)| *at);
        }
        let now_ms = CLOCK_MS + self.now as i64;
        let (layout, is_new) = Layout::of(partitions, books.layout, self.layout_of_zero(flow), now_ms);
        let moved = layout.window(LEDGER_WINDOW, now_ms).map(|left| Moved { left, learnt: 0 });
        let (begun, remembered) = (!books.firsts.is_empty(), books.remembered);
        let quarantined = books.quarantined;
        self.tell(|| {
            let read = |position: &Position| {
                let next = position.committed.map(NextOffset::get);
                format!("next {next:?} {:?} of {}..", position.metadata, position.log_start.get())
            };
            let read: Vec<_> = positions.iter().map(read).collect();
            format!(
                "w{worker}      restored {partition}: {} begun {begun}, {} remembered, in quarantine {:?}",
                read.join("; "),
                remembered.len(),
                quarantined.values()
            )
        });
        self.checks.last_batch.remove(&worker);
        let layout = is_new.then_some(layout);
        let quarantined = quarantined.into_iter().collect();
        let restored = Restored { positions, remembered, layout, moved, quarantined };
        self.step(worker, Input::Restored(Partition::new(partition), restored));
    }

    /// What the state of partition 0 says of the partition count.
    fn layout_of_zero(&self, flow: usize) -> Option<Layout> {
        let seen = |transaction: &Option<usize>| {
            transaction.is_none_or(|index| self.kafka.transactions[index].seen_in(0) == Some(true))
        };
        let layouts = self.kafka.ledgers[flow][0].entries.iter().filter(|(_, transaction, _)| seen(transaction));
        layouts
            .filter_map(|(.., entry)| if let Entry::Layout(layout) = entry { Some(*layout) } else { None })
            .next_back()
    }

    fn position(&mut self, flow: usize, topic: u16, partition: i32) -> Position {
        let log = self.kafka.log(flow, topic, partition);
        let (log_start, log_end) = (NextOffset::new(log.start), NextOffset::new(log.end));
        let found = self.kafka.offsets.get(&(flow, topic, partition)).cloned();
        let next = found.as_ref().map(|committed| NextOffset::new(committed.next));
        let mut committed = found.unwrap_or_default();
        // Both topics' metadata come from one read; the damage is over with the second.
        if let Some(damage) = self.kafka.damaged.get(&(flow, partition)).copied() {
            if !committed.metadata.is_empty() {
                committed.metadata = damaged(&committed.metadata, damage);
                self.books_reopen(flow, topic, partition, committed.next);
                self.tell(|| format!("fault   metadata of f{flow} {topic}/{partition} reads as {damage:?}"));
            }
            if topic + 1 == TOPICS {
                self.kafka.damaged.remove(&(flow, partition));
            }
        }
        Position {
            topic: TopicId(topic),
            committed: next,
            metadata: committed.metadata,
            spilled: None,
            log_start,
            log_end,
            begun: false,
            first: log_start,
            loss_accepted: None,
        }
    }

    pub(crate) fn log_ends(&mut self, worker: usize, partition: i32, number: u64) {
        if !self.workers[worker].reaches_leaders() {
            return self.wake(worker, 20, Wake::LogEnds(partition, number));
        }
        let flow = self.workers[worker].flow;
        let end = |topic| (TopicId(topic), NextOffset::new(self.kafka.log(flow, topic, partition).end));
        let ends = (0..TOPICS).map(end).collect();
        self.step(worker, Input::LogEnds(Partition::new(partition), ends));
    }
}

fn damaged(metadata: &str, damage: Damage) -> String {
    match damage {
        Damage::Flipped => {
            let (head, tail) = metadata.split_at(metadata.len() / 2);
            let flipped = if tail.starts_with('A') { 'B' } else { 'A' };
            format!("{head}{flipped}{}", tail.get(1..).unwrap_or_default())
        }
        Damage::Foreign => "committed by somebody else".into(),
        Damage::Newer => metadata.replacen("xc1:", "xc2:", 1),
        Damage::Gone => String::new(),
    }
}
