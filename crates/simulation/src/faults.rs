//! Faults strike: what each kind does to the world.

use crate::kafka::log::Entry;
use crate::positions::Touch;
use crate::scenario::FaultKind;
use crate::world::{Event, World};

impl World<'_> {
    pub(crate) fn fault(&mut self, index: usize) {
        let kind = self.scenario.faults[index].kind;
        *self.checks.faults.entry(name(&kind)).or_default() += 1;
        self.tell(|| format!("fault   {kind:?}"));
        match kind {
            FaultKind::Crash { worker, back_after } => {
                if self.workers[worker].up {
                    self.crash(worker);
                    self.schedule(self.now + back_after, Event::Boot(worker));
                }
            }
            FaultKind::Freeze { worker, length } => self.freeze(worker, length),
            FaultKind::FreezeSender { worker, length, checked, dies } => {
                let process = &mut self.workers[worker];
                (process.freeze_next_sender, process.dies_after_late_send) = (Some((length, checked)), dies);
            }
            FaultKind::CutKafka { worker, length } => self.cut(worker, length, true),
            FaultKind::CutCoordinator { worker, length } => self.cut(worker, length, false),
            FaultKind::Leave { worker, back_after } => {
                if self.workers[worker].up && self.workers[worker].frozen_until <= self.now {
                    self.leave(worker);
                }
                self.schedule(self.now + back_after + 400, Event::Boot(worker));
            }
            FaultKind::Rotate { flow } => {
                self.kafka.groups[flow].rotation += 1;
                self.rebalance(flow);
            }
            FaultKind::Call(fault) => self.engine.armed.push(fault),
            FaultKind::Outage { kind, length } => {
                let until = self.now + length;
                self.engine.outage = Some((kind, until));
                self.schedule(until, Event::OutageEnds);
            }
            FaultKind::Pause { flow, key, length } => self.pause(flow, key, length),
            FaultKind::AbortCommit => self.kafka.abort_next = true,
            FaultKind::SlowCommit { length } => self.kafka.slow_commit = length,
            FaultKind::SlowMarkers { length } => self.kafka.slow_markers = length,
            FaultKind::ProducerFenced { worker } => {
                if self.workers[worker].up && self.workers[worker].frozen_until <= self.now {
                    self.producer_out(worker);
                }
            }
            FaultKind::DamageMetadata { flow, partition, damage } => {
                self.kafka.damaged.insert((flow, partition), damage);
            }
            FaultKind::TouchOffsets { flow, touch } => self.empty_the_group(flow, touch),
            FaultKind::Retention { partition, keep } => self.retention(partition, keep),
            FaultKind::Marker { partition } => self.marker(partition),
            FaultKind::TruncateLedger { flow, partition, keep } => self.truncate_ledger(flow, partition, keep),
        }
    }

    /// SIGSTOP: its timers stand, its sends happen late, its clock goes on.
    pub(crate) fn freeze(&mut self, worker: usize, length: u64) {
        let until = self.now + length;
        let process = &mut self.workers[worker];
        if process.up {
            process.frozen_until = process.frozen_until.max(until);
            self.hear(worker);
            self.schedule(until, Event::Heal(worker));
        }
    }

    fn cut(&mut self, worker: usize, length: u64, leaders: bool) {
        let until = self.now + length;
        let process = &mut self.workers[worker];
        process.cut_until = process.cut_until.max(until);
        if leaders {
            process.leaders_cut_until = process.leaders_cut_until.max(until);
        }
        self.hear(worker);
        self.schedule(until, Event::Heal(worker));
    }

    pub(crate) fn outage_ends(&mut self) {
        if self.engine.outage.is_some_and(|(_, until)| until <= self.now) {
            self.engine.outage = None;
            self.tell(|| "engine  the outage is over".into());
        }
    }

    pub(crate) fn members(&self, flow: usize) -> std::ops::Range<usize> {
        let workers = self.scenario.config.workers;
        flow * workers..(flow + 1) * workers
    }

    /// Retention takes the oldest entries: what they remembered lies outside the window from now on.
    fn truncate_ledger(&mut self, flow: usize, partition: i32, keep: usize) {
        let transactions = &self.kafka.transactions;
        let ledger = &mut self.kafka.ledgers[flow][partition as usize];
        let stable = |transaction: &Option<usize>| {
            transaction.is_none_or(|index| transactions[index].seen_in(partition).is_some())
        };
        let entries = ledger
            .entries
            .iter()
            .filter(|(_, transaction, entry)| stable(transaction) && matches!(entry, Entry::Remembered(_)));
        let old = entries.clone().count().saturating_sub(keep);
        let old: Vec<u64> = entries.take(old).map(|(at, ..)| *at).collect();
        for (at, _, entry) in &ledger.entries {
            let Entry::Remembered(entry) = entry else { continue };
            if old.contains(at) {
                match crate::worker::reader::event_of(&entry.event) {
                    Some(event) => drop(self.checks.forgotten.insert((flow, event))),
                    None => drop(self.checks.forgotten_jobs.insert(usize::from(entry.event.0[0] - 200))),
                }
            }
        }
        ledger.entries.retain(|(at, ..)| !old.contains(at));
    }
}

/// The kind of a fault, for the totals.
fn name(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::Crash { .. } => "worker: killed",
        FaultKind::Freeze { .. } => "worker: frozen",
        FaultKind::FreezeSender { .. } => "worker: frozen sender",
        FaultKind::CutKafka { .. } => "worker: cut from Kafka",
        FaultKind::CutCoordinator { .. } => "worker: cut from the coordinator only",
        FaultKind::Leave { .. } => "worker: leaves",
        FaultKind::Rotate { .. } => "group: partitions move",
        FaultKind::Call(_) => "call: armed",
        FaultKind::Outage { .. } => "engine: outage",
        FaultKind::Pause { .. } => "operator: flow or key paused",
        FaultKind::AbortCommit => "broker: commit aborted",
        FaultKind::SlowCommit { .. } => "broker: slow commit",
        FaultKind::SlowMarkers { .. } => "broker: slow markers",
        FaultKind::ProducerFenced { .. } => "broker: producer fenced",
        FaultKind::DamageMetadata { .. } => "metadata: damaged",
        FaultKind::TouchOffsets { touch: Touch::Lost, .. } => "offsets: lost",
        FaultKind::TouchOffsets { touch: Touch::ToTheStart, .. } => "offsets: reset",
        FaultKind::TouchOffsets { touch: Touch::BeyondTheEnd, .. } => "offsets: beyond the end",
        FaultKind::Retention { .. } => "source: retention",
        FaultKind::Marker { .. } => "source: marker at the end",
        FaultKind::TruncateLedger { .. } => "ledger: truncated",
    }
}
