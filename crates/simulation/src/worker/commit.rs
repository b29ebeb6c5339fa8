//! The committer: one batch in one transaction; never without offsets that the group coordinator accepted.

use flow_core::{Batch, CommitFault, Input, Resolution};

use crate::kafka::Committed;
use crate::kafka::log::Entry;
use crate::kafka::transactions::Step;
use crate::mutants::Switch;
use crate::scenario::Scenario;
use crate::worker::{Outcome, Wake};
use crate::world::{Event, Item, Work, World};

/// A batch on its way.
#[derive(Debug)]
pub(crate) struct Written {
    pub work: Work,
    pub resolution: Kind,
    /// Its number in the quarantine of its key.
    pub number: Option<u64>,
}

/// A resolution, for the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Accepted,
    Repeated,
    Duplicate,
    Filtered,
    DeadLettered(String),
}

pub(crate) fn kind(resolution: &Resolution<()>) -> Kind {
    match resolution {
        Resolution::Accepted(()) => Kind::Accepted,
        Resolution::Repeated => Kind::Repeated,
        Resolution::Duplicate => Kind::Duplicate,
        Resolution::Filtered => Kind::Filtered,
        Resolution::DeadLettered { reason, .. } => Kind::DeadLettered(reason.as_str().into()),
    }
}

impl World<'_> {
    pub(super) fn commit(&mut self, worker: usize, batch: Batch<Work, ()>) {
        self.batch_bounded(worker, &batch);
        let process = &mut self.workers[worker];
        process.sealed =
            if self.switches.holds(Switch::SealedByTheLoop) { process.known_given_up } else { process.given_up };
        process.batch = Some(batch);
        let after = self.rng.between(0, 2);
        self.wake(worker, after, Wake::Begin);
    }

    /// Opens the transaction and writes replies, dead letters, ledger and state.
    pub(super) fn begin(&mut self, worker: usize) {
        if self.workers[worker].batch.is_none() {
            return;
        }
        if self.markers_missing(worker) {
            return self.wake(worker, 10, Wake::Begin);
        }
        let transaction = self.begin_transaction(worker);
        let Some(batch) = self.workers[worker].batch.take() else { return };
        for line in &batch.offsets {
            let partition = line.partition.get();
            if let Some(first) = line.news.first {
                self.write_ledger(transaction, partition, Entry::First(line.topic, first));
            }
            if let Some(layout) = line.news.layout {
                self.write_ledger(transaction, partition, Entry::Layout(layout));
            }
        }
        let mut written = Vec::with_capacity(batch.resolved.len());
        for resolved in &batch.resolved {
            if let Some(entry) = resolved.remember {
                self.write_ledger(transaction, resolved.partition().get(), Entry::Remembered(entry));
            }
            if let Some(change) = resolved.quarantine.clone() {
                self.write_ledger(transaction, resolved.partition().get(), Entry::Quarantine(change.key, change.entry));
            }
            let number = resolved.quarantine.as_ref().and_then(|change| change.number);
            written.push(Written { work: resolved.work, resolution: kind(&resolved.resolution), number });
        }
        self.checks.written.insert(transaction, written);
        self.workers[worker].batch = Some(batch);
        let after = self.rng.between(0, 3);
        self.wake(worker, after, Wake::SendOffsets(transaction));
    }

    pub(super) fn send_offsets(&mut self, worker: usize, transaction: usize) {
        let process = &mut self.workers[worker];
        let Some(batch) = &process.batch else { return };
        process.offsets_sent_at = self.now;
        // Read in this order: a partition that goes after the look has our generation outdated.
        let Some(member) = process.member else {
            return self.abort(transaction, CommitFault::Aborted("no member of the group".into()));
        };
        let epoch = process.epoch;
        let lost = process.given_up != process.sealed;
        let lines = batch.offsets.iter().map(|line| {
            let (metadata, _) = line.progress.encode("");
            let (next, lost, begins) = (line.progress.frontier.get(), line.news.lost, line.news.first.is_some());
            (line.topic.0, line.partition.get(), Committed { next, metadata, lost, begins })
        });
        let lines = lines.collect();
        if lost && self.switches.holds(Switch::CommitOnlyOwned) {
            return self.abort(transaction, CommitFault::Aborted("a partition of the batch is lost".into()));
        }
        let net = self.net();
        self.schedule(self.now + net, Event::Transaction(transaction, Step::Offsets { member, epoch, lines }));
    }

    pub(super) fn offsets_answered(&mut self, worker: usize, transaction: usize, accepted: bool) {
        let Some(batch) = &self.workers[worker].batch else { return };
        if !accepted && self.switches.holds(Switch::OffsetsAccepted) {
            return self.abort(transaction, CommitFault::Aborted("the generation is over".into()));
        }
        let huge = |resolved: &flow_core::Resolved<Work, ()>| {
            resolved.refused == 0 && is_huge(self.scenario, resolved.work.item)
        };
        if let Some(culprit) = batch.resolved.iter().position(huge) {
            *self.checks.faults.entry("broker: record refused as too large").or_default() += 1;
            return self.abort(transaction, CommitFault::TooLarge(culprit, "too large".into()));
        }
        if std::mem::take(&mut self.kafka.abort_next) {
            return self.abort(transaction, CommitFault::Aborted("the broker says no".into()));
        }
        let net = self.net();
        self.schedule(self.now + net, Event::Transaction(transaction, Step::Commit));
    }

    fn abort(&mut self, transaction: usize, fault: CommitFault) {
        let net = self.net();
        self.schedule(self.now + net, Event::Transaction(transaction, Step::Abort(Outcome::Failed(fault))));
    }

    pub(super) fn outcome(&mut self, worker: usize, transaction: usize, outcome: Outcome) {
        let Some(batch) = self.workers[worker].batch.take() else { return };
        match outcome {
            Outcome::Committed => {
                self.says_something(worker, &batch);
                self.storm_bounded(worker, &batch);
                let sent_at = flow_core::Moment::after_origin(std::time::Duration::from_millis(
                    self.workers[worker].offsets_sent_at,
                ));
                self.step(worker, Input::Committed(batch, sent_at));
            }
            Outcome::Failed(fault) => {
                self.tell(|| format!("w{worker}      t{transaction} is aborted: {fault:?}"));
                self.step(worker, Input::CommitFailed(batch, fault));
            }
            Outcome::ProducerOut => self.producer_out(worker),
        }
    }

    /// The producer is of no use any more: a new consumer and a new producer, and nothing is kept.
    pub(crate) fn producer_out(&mut self, worker: usize) {
        self.tell(|| format!("w{worker}      the producer is out: starting again"));
        let process = &mut self.workers[worker];
        process.up = false;
        process.life += 1;
        let (flow, member) = (process.flow, process.member);
        self.leave_endpoints(worker);
        if let Some(member) = member {
            let net = self.net();
            self.schedule(self.now + net, Event::Group(flow, crate::kafka::group::GroupEvent::Leave { member }));
        }
        self.schedule(self.now + 30, Event::Boot(worker));
    }
}

fn is_huge(scenario: &Scenario, item: Item) -> bool {
    match item {
        Item::Source(index) => scenario.records[index].huge,
        Item::Job { job, .. } => scenario.jobs[job].huge,
    }
}
