//! What happens to the places that reading begins from: offsets that are touched, logs that lose their oldest records or end in what is
//! never delivered, operators who accept a loss, and topics that get more partitions.

use event_model::{NextOffset, Partition};
use flow_core::{Input, Loss, OnLost, Surprise, TopicId};

use crate::checks::Promise;
use crate::kafka::log::Entry;
use crate::kafka::{Committed, TOPICS};
use crate::rng::Rng;
use crate::scenario::{Config, Fault, FaultKind, Planned, SESSION, TRANSACTION_TIMEOUT};
use crate::worker::Wake;
use crate::worker::commit::Kind;
use crate::world::{Event, Item, World};

/// The source topic gets more partitions, and ours follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    pub at: u64,
    pub to: i32,
    pub followed_at: u64,
}

/// Within so long every worker has seen the new count: what comes meanwhile is promised nothing.
const NOTICED: u64 = 60;
/// Another key with the same remainder by every partition count up to five.
pub(crate) const SAME_PARTITION: u8 = 60;

/// What an operator, or the broker's own expiry, does to the offsets of an empty group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Lost,
    ToTheStart,
    BeyondTheEnd,
}

pub(crate) fn growth(rng: &mut Rng, config: &Config) -> Option<Growth> {
    rng.chance(12).then(|| {
        let at = rng.between(300, 4000);
        let to = config.partitions + rng.between(1, 2) as i32;
        Growth { at, to, followed_at: at + rng.between(NOTICED, 2500) }
    })
}

/// Records that come after the growth go where their key then belongs.
pub(crate) fn move_keys(growth: Option<Growth>, records: &mut [Planned]) {
    let Some(growth) = growth else { return };
    // A dead letter goes back in where it came from.
    for record in records.iter_mut().filter(|record| record.at >= growth.at && !record.replayed) {
        record.at = record.at.max(growth.at + NOTICED);
        record.partition = i32::from(record.key) % growth.to;
    }
}

pub(crate) fn faults(rng: &mut Rng, config: &Config) -> Vec<Fault> {
    let count = if rng.chance(30) { rng.below(4) } else { 0 };
    let mut faults = Vec::new();
    for _ in 0..count {
        let partition = rng.below(config.partitions as u64) as i32;
        let kind = match rng.below(6) {
            0 => FaultKind::TouchOffsets {
                flow: rng.below(config.flows as u64) as usize,
                touch: rng.pick(&[Touch::Lost, Touch::BeyondTheEnd, Touch::BeyondTheEnd]),
            },
            1..4 => FaultKind::Retention { partition, keep: rng.below(3) as usize },
            _ => FaultKind::Marker { partition },
        };
        faults.push(Fault { at: rng.below(6000), kind });
    }
    faults
}

impl World<'_> {
    pub(crate) fn empty_the_group(&mut self, flow: usize, touch: Touch) {
        for worker in self.members(flow) {
            if self.workers[worker].up {
                self.crash(worker);
            }
        }
        self.schedule(self.now + SESSION + TRANSACTION_TIMEOUT + 300, Event::Touch { flow, touch });
    }

    /// An operator's tool, or the broker's own expiry, touches the offsets of an empty group only.
    pub(crate) fn touch_offsets(&mut self, flow: usize, touch: Touch) {
        let nobody = self.members(flow).all(|worker| !self.workers[worker].up);
        // What is decided and not marked yet would take the place of what is put there.
        let settled = (0..self.kafka.most_partitions()).all(|partition| !self.pending(flow, partition));
        if nobody && settled && self.kafka.groups[flow].members.is_empty() {
            self.tell(|| format!("fault   the offsets of f{flow}: {touch:?}"));
            for partition in 0..self.kafka.most_partitions() {
                for topic in 0..TOPICS {
                    self.books_reopen(flow, topic, partition, 0);
                    self.reused_ids_are_open(flow);
                    let place = (flow, topic, partition);
                    let end = self.kafka.log(flow, topic, partition).end;
                    match (touch, self.kafka.offsets.get_mut(&place)) {
                        (Touch::Lost, _) => drop(self.kafka.offsets.remove(&place)),
                        (Touch::ToTheStart, Some(committed)) => *committed = Committed::default(),
                        (Touch::BeyondTheEnd, Some(committed)) => committed.next = end + 1_000,
                        (Touch::ToTheStart | Touch::BeyondTheEnd, None) => {}
                    }
                }
            }
        }
        for worker in self.members(flow) {
            self.schedule(self.now + 5, Event::Boot(worker));
        }
    }

    /// An id that a source used for two things is answered by who came first, and a reset may ask again.
    fn reused_ids_are_open(&mut self, flow: usize) {
        for reused in self.scenario.records.iter().filter(|record| record.payload > 1) {
            self.checks.forgotten.insert((flow, reused.event));
        }
    }

    /// The source loses its oldest records, read or not.
    pub(crate) fn retention(&mut self, partition: i32, keep: usize) {
        let log = &mut self.kafka.source[partition as usize];
        let first_kept = log.records.len().saturating_sub(keep);
        let start = log.records.get(first_kept).map_or(log.end, |(offset, _)| *offset);
        log.start = log.start.max(start);
        let start = log.start;
        self.tell(|| format!("fault   source {partition} begins at {start} now"));
    }

    /// A transaction that is aborted, or the marker of one that is not.
    pub(crate) fn marker(&mut self, partition: i32) {
        self.kafka.source[partition as usize].end += 1;
        for worker in 0..self.workers.len() {
            self.wake_reader(worker, 1);
        }
    }

    /// A worker says that it waits: an operator will notice.
    pub(crate) fn loss_told(&mut self, flow: usize, loss: &Loss) {
        self.checks.compared(Promise::Conserve);
        if loss.waits {
            let (topic, partition, committed) = (loss.topic.0, loss.partition.get(), loss.committed.get());
            let after = self.rng.between(200, 4000);
            self.schedule(self.now + after, Event::AcceptLoss { flow, topic, partition, committed });
        }
    }

    pub(crate) fn accept_loss(&mut self, flow: usize, topic: u16, partition: i32, committed: i64) {
        // The command takes the offset that is committed when it runs: what was told before is none of it.
        if self.kafka.offsets.get(&(flow, topic, partition)).is_none_or(|now| now.next != committed) {
            return;
        }
        self.tell(|| format!("operator accepts the loss behind f{flow} {topic}/{partition}@{committed}"));
        self.checks.loss_accepted.insert((flow, topic, partition, committed));
        let word = Entry::LossAccepted(TopicId(topic), NextOffset::new(committed));
        self.kafka.ledgers[flow][partition as usize].append(None, word);
    }

    /// Nobody knows what was finished of what is gone: that is said, and nothing else can be.
    pub(crate) fn unplaced(&mut self, flow: usize, surprise: &Surprise) {
        let (topic, partition) = (surprise.topic.0, surprise.partition.get());
        let log = self.kafka.log(flow, topic, partition);
        let offsets =
            log.all_from(0).iter().map(|(offset, _)| *offset).take_while(|offset| *offset < surprise.at.get());
        let known = |offset: &i64| self.checks.written_off.contains(&(flow, topic, partition, *offset));
        let gone: Vec<i64> = offsets.filter(|offset| !known(offset)).collect();
        let unsaid = surprise.committed.is_none() && (gone.len() as u64) > surprise.unaccounted;
        self.checks.compared(Promise::Conserve);
        if unsaid {
            let text = format!("f{flow} {topic}/{partition}: {} records are gone, {surprise:?}", gone.len());
            self.violated(Promise::Conserve, text);
        }
        self.write_off(flow, topic, partition, &gone);
        self.books_reopen(flow, topic, partition, surprise.at.get());
    }

    /// CONSERVE: what a committed line passes because it is gone is counted, and an operator agreed.
    pub(crate) fn loss_booked(&mut self, flow: usize, topic: u16, partition: i32, before: i64, committed: &Committed) {
        let log = self.kafka.log(flow, topic, partition);
        let end = committed.next.min(log.start);
        let place = |offset: i64| (flow, topic, partition, offset);
        let records: Vec<i64> =
            log.all_from(before).iter().map(|(offset, _)| *offset).take_while(|offset| *offset < end).collect();
        let open = |offset: &&i64| !self.checks.ever.contains_key(&place(**offset));
        let unfinished =
            records.iter().filter(open).filter(|offset| !self.checks.written_off.contains(&place(**offset)));
        let (least, most) = (unfinished.count() as u64, u64::try_from(end - before).unwrap_or(0));
        self.checks.compared(Promise::Conserve);
        if committed.begins {
            // Where a flow begins, what is gone is none of its business.
            return self.write_off(flow, topic, partition, &records);
        }
        if !(least..=most).contains(&committed.lost) {
            let text = format!(
                "f{flow} {topic}/{partition} goes from {before} to {} with {} lost, where {least} records are gone",
                committed.next, committed.lost
            );
            self.violated(Promise::Conserve, text);
        }
        let agreed = self.scenario.config.on_lost == OnLost::Continue
            || self.checks.loss_accepted.contains(&(flow, topic, partition, before));
        if committed.lost > 0 && !agreed {
            self.violated(
                Promise::Conserve,
                format!("nobody accepted the loss behind f{flow} {topic}/{partition}@{before}"),
            );
        }
        if committed.lost > 0 {
            self.write_off(flow, topic, partition, &records);
        }
    }

    /// What was begun of them is in no ledger: a repeat of such an event may be taken for new.
    fn write_off(&mut self, flow: usize, topic: u16, partition: i32, gone: &[i64]) {
        for offset in gone {
            let place = (flow, topic, partition, *offset);
            let item = self.kafka.log(flow, topic, partition).all_from(*offset).first().map(|(_, item)| *item);
            // One that was answered otherwise before may have been begun again since.
            let accepted = self.checks.ever.get(&place).is_some_and(|kinds| kinds.contains(&Kind::Accepted));
            if !accepted && let Some(Item::Source(index)) = item {
                self.checks.forgotten.insert((flow, self.scenario.records[index].event));
            }
            self.checks.written_off.insert(place);
        }
    }

    /// The source has more partitions now; or ours have.
    pub(crate) fn grow(&mut self, ours: bool) {
        let Some(growth) = self.scenario.config.growth else { return };
        self.tell(|| format!("grows   {} to {}", if ours { "ours" } else { "the source" }, growth.to));
        if ours {
            self.kafka.own_partitions = growth.to;
        } else {
            self.kafka.source_partitions = growth.to;
            // A partition without books asks those of partition 0 for which count they were made.
            let unbegun = |flow: &usize| !self.checks.next.contains_key(&(*flow, 0, 0));
            self.checks.grown_unbegun = (0..self.scenario.config.flows).filter(unbegun).collect();
        }
        for worker in 0..self.workers.len() {
            let after = self.rng.between(1, NOTICED - 20);
            self.wake(worker, after, Wake::Look);
        }
        for flow in 0..self.scenario.config.flows {
            self.rebalance(flow);
        }
    }

    /// A worker reads the partition counts.
    pub(crate) fn look(&mut self, worker: usize) {
        let (source, own) = (self.kafka.source_partitions, self.kafka.own_partitions);
        let seen = if source == own { source } else { 0 };
        let before = std::mem::replace(&mut self.workers[worker].partitions_seen, seen);
        if before > 0 && seen > 0 && before != seen {
            self.step(worker, Input::Fits(false));
        }
        self.step(worker, Input::Fits(seen > 0));
    }

    /// The records of an event that came before and after the growth: only what was accepted before is promised to be known.
    pub(crate) fn straddles(&mut self, index: usize) {
        if self.scenario.config.growth.is_none() {
            return;
        }
        let (event, partition) = (self.scenario.records[index].event, self.scenario.records[index].partition);
        let this = &self.scenario.records[index];
        let elsewhere =
            |planned: &&Planned| planned.event == event && planned.partition != partition && planned.at <= this.at;
        let others: Vec<&Planned> = self.scenario.records.iter().filter(elsewhere).collect();
        // What is looked for is an instance with the event's mark under its business key.
        let reused = others.iter().any(|other| (other.payload, other.business) != (this.payload, this.business));
        for flow in 0..self.scenario.config.flows {
            let unknown = reused || self.checks.grown_unbegun.contains(&flow);
            if !others.is_empty() && (unknown || !self.checks.accepted.contains_key(&(flow, event))) {
                self.checks.forgotten.insert((flow, event));
            }
        }
    }

    pub(crate) fn ranges(&mut self, worker: usize, partition: i32, number: u64) {
        if !self.workers[worker].reaches_leaders() {
            return self.wake(worker, 20, Wake::Ranges(partition, number));
        }
        let flow = self.workers[worker].flow;
        let range = |topic| {
            let log = self.kafka.log(flow, topic, partition);
            (TopicId(topic), NextOffset::new(log.start), NextOffset::new(log.end))
        };
        let ranges = (0..TOPICS).map(range).collect();
        self.step(worker, Input::Ranges(Partition::new(partition), ranges));
    }
}
