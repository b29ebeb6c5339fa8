//! Transactions in two steps: offsets that the group coordinator accepts by generation, then the commit. The decision is one moment; its
//! markers reach the offsets and each data partition later, one by one.

use std::collections::BTreeSet;

use super::Committed;
use super::log::Entry;
use crate::mutants::Switch;
use crate::scenario::TRANSACTION_TIMEOUT;
use crate::worker::{Outcome, Wake};
use crate::world::{Event, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
pub(crate) struct Transaction {
    pub worker: usize,
    pub life: u32,
    pub flow: usize,
    pub state: State,
    /// Offsets that the coordinator accepted: topic, partition, next, metadata.
    lines: Vec<(u16, i32, Committed)>,
    offsets_marked: bool,
    /// Data partitions that the marker reached.
    marked: BTreeSet<i32>,
    touched: BTreeSet<i32>,
}

impl Transaction {
    /// What a read_committed reader of the partition's ledger sees of it: `None` while its marker is missing.
    pub(crate) fn seen_in(&self, partition: i32) -> Option<bool> {
        match self.state {
            State::Aborted => Some(false),
            State::Committed if self.marked.contains(&partition) => Some(true),
            State::Committed | State::Open => None,
        }
    }
}

/// What reaches the coordinators.
#[derive(Debug)]
pub(crate) enum Step {
    Offsets { member: u64, epoch: u64, lines: Vec<(u16, i32, Committed)> },
    Commit,
    Abort(Outcome),
    TimedOut,
    OffsetsMarker,
    DataMarker(i32),
}

impl World<'_> {
    /// Opens a transaction of a process.
    pub(crate) fn begin_transaction(&mut self, worker: usize) -> usize {
        let process = &self.workers[worker];
        self.kafka.transactions.push(Transaction {
            worker,
            life: process.life,
            flow: process.flow,
            state: State::Open,
            lines: Vec::new(),
            offsets_marked: false,
            marked: BTreeSet::new(),
            touched: BTreeSet::new(),
        });
        let index = self.kafka.transactions.len() - 1;
        self.schedule(self.now + TRANSACTION_TIMEOUT, Event::Transaction(index, Step::TimedOut));
        index
    }

    pub(crate) fn write_ledger(&mut self, index: usize, partition: i32, entry: Entry) {
        let inside = match entry {
            Entry::Quarantine(..) => Switch::QuarantineInTransaction,
            Entry::Remembered(_) | Entry::First(..) | Entry::Layout(_) | Entry::LossAccepted(..) => {
                Switch::LedgerInTransaction
            }
        };
        let inside = self.switches.holds(inside).then_some(index);
        let transaction = &mut self.kafka.transactions[index];
        transaction.touched.insert(partition);
        self.kafka.ledgers[transaction.flow][partition as usize].append(inside, entry);
    }

    /// Whether markers of an earlier transaction of the producer are on their way: until then the broker takes nothing new.
    pub(crate) fn markers_missing(&self, worker: usize) -> bool {
        let of_worker =
            |transaction: &&Transaction| transaction.worker == worker && transaction.state == State::Committed;
        let missing =
            |transaction: &Transaction| !transaction.offsets_marked || transaction.marked != transaction.touched;
        self.kafka.transactions.iter().filter(of_worker).any(missing)
    }

    /// A new producer of the same transactional id ends what the last one left open.
    pub(crate) fn init_transactions(&mut self, worker: usize) {
        for transaction in &mut self.kafka.transactions {
            if transaction.worker == worker && transaction.state == State::Open {
                transaction.state = State::Aborted;
            }
        }
    }

    /// Whether a transaction is pending on the offsets of the partition.
    pub(crate) fn pending(&self, flow: usize, partition: i32) -> bool {
        self.kafka.transactions.iter().any(|transaction| {
            transaction.flow == flow
                && transaction.state != State::Aborted
                && !transaction.offsets_marked
                && transaction.lines.iter().any(|(_, p, _)| *p == partition)
        })
    }

    pub(crate) fn transaction_step(&mut self, index: usize, step: Step) {
        let (worker, life) = (self.kafka.transactions[index].worker, self.kafka.transactions[index].life);
        let same_life = self.workers[worker].life == life;
        let reaches = match &step {
            Step::Offsets { .. } => self.workers[worker].reaches_coordinator(),
            Step::Commit | Step::Abort(_) => self.workers[worker].reaches_leaders(),
            Step::TimedOut | Step::OffsetsMarker | Step::DataMarker(_) => true,
        };
        if !reaches {
            // The client asks again while it lives.
            if same_life {
                self.schedule(self.now + 30, Event::Transaction(index, step));
            }
            return;
        }
        match step {
            Step::Offsets { member, epoch, lines } => {
                let transaction = &self.kafka.transactions[index];
                let group = &self.kafka.groups[transaction.flow];
                let accepted = transaction.state == State::Open
                    && group.members.get(&member).is_some_and(|member| member.epoch == epoch);
                self.tell(|| format!("group   offsets of w{worker}'s t{index}: accepted {accepted}"));
                if accepted {
                    self.kafka.transactions[index].lines = lines;
                }
                self.answer_worker(index, Wake::OffsetsAnswered(index, accepted));
            }
            Step::Commit => self.decide(index),
            Step::Abort(outcome) => {
                if self.kafka.transactions[index].state == State::Open {
                    self.kafka.transactions[index].state = State::Aborted;
                }
                self.answer_worker(index, Wake::Outcome(index, outcome));
            }
            Step::TimedOut => {
                if self.kafka.transactions[index].state == State::Open {
                    self.kafka.transactions[index].state = State::Aborted;
                    self.tell(|| format!("kafka   t{index} of w{worker} timed out"));
                }
            }
            Step::OffsetsMarker => self.offsets_marked(index),
            Step::DataMarker(partition) => {
                self.kafka.transactions[index].marked.insert(partition);
            }
        }
    }

    fn answer_worker(&mut self, index: usize, wake: Wake) {
        let (worker, life) = (self.kafka.transactions[index].worker, self.kafka.transactions[index].life);
        let net = self.net();
        self.schedule(self.now + net, Event::Worker(worker, life, wake));
    }

    fn decide(&mut self, index: usize) {
        let worker = self.kafka.transactions[index].worker;
        if self.kafka.transactions[index].state != State::Open {
            return self.answer_worker(index, Wake::Outcome(index, Outcome::ProducerOut));
        }
        self.kafka.transactions[index].state = State::Committed;
        let lines = self.kafka.transactions[index].lines.clone();
        self.tell(|| {
            let line = |(topic, partition, committed): &(u16, i32, Committed)| {
                format!("{topic}/{partition}→{}", committed.next)
            };
            format!(
                "kafka   t{index} of w{worker} is committed: {}",
                lines.iter().map(line).collect::<Vec<_>>().join(" ")
            )
        });
        self.books_committed(index, &lines);
        let late = std::mem::take(&mut self.kafka.slow_markers);
        let marker = |world: &mut Self| world.rng.between(0, 4) + if late > 0 { world.rng.below(late) } else { 0 };
        let offsets = marker(self);
        self.schedule(self.now + offsets, Event::Transaction(index, Step::OffsetsMarker));
        for partition in self.kafka.transactions[index].touched.clone() {
            let data = marker(self);
            self.schedule(self.now + data, Event::Transaction(index, Step::DataMarker(partition)));
        }
        let life = self.kafka.transactions[index].life;
        let after = self.net() + std::mem::take(&mut self.kafka.slow_commit);
        self.schedule(self.now + after, Event::Worker(worker, life, Wake::Outcome(index, Outcome::Committed)));
    }

    fn offsets_marked(&mut self, index: usize) {
        let transaction = &mut self.kafka.transactions[index];
        transaction.offsets_marked = true;
        let flow = transaction.flow;
        for (topic, partition, committed) in std::mem::take(&mut transaction.lines) {
            self.kafka.offsets.insert((flow, topic, partition), committed);
        }
    }
}
