//! The promises as checks. Each counts what it compared: a run in which nothing happened proves nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use flow_core::{EndpointId, Notice, Progress, Reading, Reason};

use crate::kafka::Committed;
use crate::kafka::REPLAY;
use crate::kafka::transactions::Transaction;
use crate::scenario::{GIVE_UP_AFTER, HOLD_FOR, What};
use crate::worker::commit::{Kind, Written};
use crate::worker::endpoint::ENDPOINTS;
use crate::world::{Item, Work, World};

/// The promises of the design, and that everything comes to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Every record ends in exactly one committed resolution, and no offset passes one that has none.
    Conserve,
    /// Effects of one key one after the other, in log order.
    KeyOrder,
    /// One event starts at most one instance per flow.
    OneStart,
    /// One job gives one outcome.
    OneOutcome,
    /// Reply, ledger entry and offset appear together.
    AtomicBooks,
    /// A job is completed after its outcome is committed.
    OutcomeFirst,
    /// An outage runs down no record's time.
    NoBlame,
    /// Calls in flight, records held and batches stay inside their bounds, and no loop spins.
    Bounded,
    /// Once faults stop, everything comes to rest.
    Rest,
}

impl Promise {
    /// Every promise, in the order of the design.
    pub const ALL: [Promise; 9] = [
        Promise::Conserve,
        Promise::KeyOrder,
        Promise::OneStart,
        Promise::OneOutcome,
        Promise::AtomicBooks,
        Promise::OutcomeFirst,
        Promise::NoBlame,
        Promise::Bounded,
        Promise::Rest,
    ];

    /// The promise's id in the design.
    pub fn id(self) -> &'static str {
        match self {
            Promise::Conserve => "CONSERVE",
            Promise::KeyOrder => "KEY_ORDER",
            Promise::OneStart => "ONE_START",
            Promise::OneOutcome => "ONE_OUTCOME",
            Promise::AtomicBooks => "ATOMIC_BOOKS",
            Promise::OutcomeFirst => "OUTCOME_FIRST",
            Promise::NoBlame => "NO_BLAME",
            Promise::Bounded => "BOUNDED",
            Promise::Rest => "REST",
        }
    }
}

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// When, in milliseconds of the run.
    pub at: u64,
    /// What happened.
    pub text: String,
}

pub(crate) type Key = (usize, u16, i32, i64);

/// What an outside observer writes down.
#[derive(Default)]
pub(crate) struct Checks {
    pub violations: Vec<Violation>,
    pub compared: [u64; 9],
    pub faults: BTreeMap<&'static str, u64>,
    pub delivered: u64,
    pub calls: u64,
    pub late_sends: u64,
    pub doubles_found: u64,
    /// For each double that was found: how long after its last instance, in milliseconds.
    pub found_after: Vec<u64>,
    /// Doubles after a late send whose sender died before it could look.
    pub residue: u64,
    /// By transaction, until it is decided.
    pub written: HashMap<usize, Vec<Written>>,
    /// Since the partition's books were last opened again by a reset or by lost metadata.
    current: HashMap<Key, Kind>,
    pub ever: HashMap<Key, Vec<Kind>>,
    pub next: HashMap<(usize, u16, i32), i64>,
    /// By flow and event: root instances.
    pub starts: BTreeMap<(usize, u32), Vec<usize>>,
    pub deliveries: BTreeMap<(usize, u32), u32>,
    /// By flow and event: where it was accepted.
    pub accepted: BTreeMap<(usize, u32), BTreeSet<(i32, i64)>>,
    /// When, by which worker, and in which of its lives.
    pub accepted_by: BTreeMap<(usize, u32), (u64, usize, u32)>,
    pub outcomes: BTreeMap<usize, u32>,
    /// Outside the ledger's window.
    pub forgotten: BTreeSet<(usize, u32)>,
    /// Flows whose partition 0 had not begun when the source grew.
    pub grown_unbegun: BTreeSet<usize>,
    pub forgotten_jobs: BTreeSet<usize>,
    /// Gone, and counted or told.
    pub written_off: BTreeSet<Key>,
    /// Flow, topic, partition, committed offset: an operator accepted what is lost behind it.
    pub loss_accepted: BTreeSet<Key>,
    /// Doubles after a late send: by flow and event, whether a contest found it, and who sent late.
    pub doubles: BTreeMap<(usize, u32), bool>,
    last_effect: HashMap<(usize, i32, u8), i64>,
    first_calls: HashMap<(usize, u32, Key), u64>,
    /// By worker: the offsets of its last transaction, and when they were sent.
    pub last_batch: HashMap<usize, (u64, Vec<Line>)>,
}

/// Topic, partition, frontier and horizon.
pub(crate) type Line = (u16, i32, i64, i64);

impl Checks {
    pub(crate) fn compared(&mut self, promise: Promise) {
        self.compared[promise as usize] += 1;
    }
}

impl World<'_> {
    pub(crate) fn violated(&mut self, promise: Promise, text: String) {
        self.tell(|| format!("VIOLATION {}: {text}", promise.id()));
        self.checks.violations.push(Violation { promise, at: self.now, text });
    }

    /// A transaction is decided: what it says counts from now on.
    pub(crate) fn books_committed(&mut self, index: usize, lines: &[(u16, i32, Committed)]) {
        let flow = self.kafka.transactions[index].flow;
        for written in self.checks.written.remove(&index).unwrap_or_default() {
            self.checks.compared(Promise::AtomicBooks);
            let Work { topic, partition, offset, .. } = written.work;
            if !lines.iter().any(|(t, p, _)| (*t, *p) == (topic, partition)) {
                self.violated(Promise::AtomicBooks, format!("{} is resolved without its offset", written.work));
            }
            if let (Kind::Accepted, Item::Source(item)) = (&written.resolution, written.work.item) {
                let Transaction { worker, life, .. } = self.kafka.transactions[index];
                let by = (self.now, worker, life);
                self.checks.accepted_by.insert((flow, self.scenario.records[item].event), by);
            }
            self.book(flow, &written, (flow, topic, partition, offset));
        }
        for (topic, partition, committed) in lines {
            self.offset_moves(flow, *topic, *partition, committed);
        }
    }

    fn book(&mut self, flow: usize, written: &Written, key: Key) {
        self.checks.compared(Promise::Conserve);
        self.tell(|| format!("books   {} is {:?}", written.work, written.resolution));
        if let Some(before) = self.checks.current.insert(key, written.resolution.clone()) {
            let text = format!("{} is {before:?} and then {:?}", written.work, written.resolution);
            self.violated(Promise::Conserve, text);
        }
        self.checks.ever.entry(key).or_default().push(written.resolution.clone());
        self.letter_booked(written);
        if let Item::Job { job, .. } = written.work.item
            && self.scenario.jobs[job].asks
        {
            return self.asked_and_recorded(job, &written.resolution);
        }
        if written.resolution != Kind::Accepted {
            return;
        }
        match written.work.item {
            Item::Source(index) => {
                let planned = &self.scenario.records[index];
                let places = self.checks.accepted.entry((flow, planned.event)).or_default();
                places.insert((written.work.partition, written.work.place()));
                // Where keys moved, what another ledger knows is found in the engine and answered again.
                let moved = self.scenario.config.growth.is_some();
                let places = places.iter().filter(|(partition, _)| !moved || *partition == written.work.partition);
                let twice = places.count() > 1 && !self.checks.forgotten.contains(&(flow, planned.event));
                self.checks.compared(Promise::OneStart);
                if twice {
                    let text = format!("event {} of f{flow} is accepted at two places", planned.event);
                    self.violated(Promise::OneStart, text);
                }
            }
            Item::Job { job, .. } => {
                let outcomes = self.checks.outcomes.entry(job).or_default();
                *outcomes += 1;
                let twice = *outcomes > 1 && !self.checks.forgotten_jobs.contains(&job);
                self.checks.compared(Promise::OneOutcome);
                if twice {
                    self.violated(Promise::OneOutcome, format!("job {job} has two outcomes"));
                }
            }
        }
    }

    /// CONSERVE: no offset, and no run of the map, passes a record without a resolution.
    fn offset_moves(&mut self, flow: usize, topic: u16, partition: i32, committed: &Committed) {
        let before = self.checks.next.insert((flow, topic, partition), committed.next).unwrap_or(0);
        self.checks.compared(Promise::Conserve);
        if committed.next < before {
            let text =
                format!("the offset of f{flow} {topic}/{partition} goes back from {before} to {}", committed.next);
            self.violated(Promise::Conserve, text);
        }
        self.loss_booked(flow, topic, partition, before, committed);
        let mut done = vec![(before, committed.next)];
        if let Reading::Known(progress) =
            Progress::decode(&committed.metadata, event_model::NextOffset::new(committed.next))
        {
            done.extend(progress.runs);
        }
        for (start, end) in done {
            let records: Vec<i64> =
                self.kafka.log(flow, topic, partition).from(start).iter().map(|(offset, _)| *offset).collect();
            for offset in records.into_iter().take_while(|offset| *offset < end) {
                if !self.checks.ever.contains_key(&(flow, topic, partition, offset)) {
                    let text = format!("f{flow} {topic}/{partition}@{offset} is passed without a resolution");
                    self.violated(Promise::Conserve, text);
                }
            }
        }
    }

    /// From `next` on the partition may rightly be resolved again.
    pub(crate) fn books_reopen(&mut self, flow: usize, topic: u16, partition: i32, next: i64) {
        self.checks.current.retain(|(f, t, p, offset), _| (*f, *t, *p) != (flow, topic, partition) || *offset < next);
        self.letters.reopen(flow, partition);
        self.checks.last_effect.retain(|(f, p, _), _| (*f, *p) != (flow, partition));
        self.checks.next.insert((flow, topic, partition), next);
    }

    pub(crate) fn one_start(&mut self, flow: usize, event: u32, id: usize, late: bool) {
        let starts = self.checks.starts.entry((flow, event)).or_default();
        starts.push(id);
        let starts = starts.clone();
        self.checks.compared(Promise::OneStart);
        if starts.len() < 2 || self.checks.forgotten.contains(&(flow, event)) {
            return;
        }
        let instances = || starts.iter().map(|id| &self.engine.instances[*id]);
        let businesses: std::collections::BTreeSet<u8> = instances().map(|instance| instance.business).collect();
        if businesses.len() > 1 && instances().any(|instance| instance.replayed) {
            // The source gave the id to two events: a look-up for one does not see the other, and what is replayed may overtake it.
            *self.checks.faults.entry("source: an id of two events, one of them replayed").or_default() += 1;
            self.checks.forgotten.insert((flow, event));
        } else if late || instances().any(|instance| instance.late) {
            self.checks.doubles.entry((flow, event)).or_insert(false);
        } else {
            self.violated(Promise::OneStart, format!("event {event} of f{flow} has the instances {starts:?}"));
        }
    }

    pub(crate) fn delivered_once(&mut self, flow: usize, event: u32, late: bool) {
        let count = self.checks.deliveries.entry((flow, event)).or_default();
        *count += 1;
        let twice = *count > 1 && !late && !self.checks.forgotten.contains(&(flow, event));
        self.checks.compared(Promise::OneStart);
        if twice {
            self.violated(Promise::OneStart, format!("message {event} of f{flow} is delivered twice"));
        }
    }

    pub(crate) fn effect_in_order(&mut self, request: usize, work: Work) {
        let Item::Source(index) = work.item else { return };
        let planned = &self.scenario.records[index];
        let starts = self.checks.starts.get(&(work.flow, planned.event));
        let late = starts.is_some_and(|starts| starts.iter().any(|id| self.engine.instances[*id].late));
        let forgotten = self.checks.forgotten.contains(&(work.flow, planned.event));
        // A committed dead letter is redone only where the map that knew it was lost, and then out of its order.
        let place = (work.flow, work.topic, work.partition, work.offset);
        let kinds = self.checks.ever.get(&place);
        let redone = kinds.is_some_and(|kinds| kinds.iter().any(|kind| matches!(kind, Kind::DeadLettered(_))));
        let key = planned.key;
        if late || forgotten || self.requests[request].late {
            return;
        }
        self.quarantine_kept(work, key);
        // What is put back in has no place in the order of those that were not given up.
        if redone || work.topic == REPLAY {
            return;
        }
        let last = self.checks.last_effect.entry((work.flow, work.partition, key)).or_insert(-1);
        let before = std::mem::replace(last, work.offset.max(*last));
        self.checks.compared(Promise::KeyOrder);
        if work.offset < before {
            self.violated(Promise::KeyOrder, format!("the effect of {work} comes after that of {before}, key {key}"));
        }
    }

    pub(crate) fn outcome_first(&mut self, job: usize) {
        self.checks.compared(Promise::OutcomeFirst);
        if !self.checks.outcomes.contains_key(&job) {
            self.violated(Promise::OutcomeFirst, format!("job {job} is completed, no outcome of it is committed"));
        }
    }

    pub(crate) fn first_call(&mut self, worker: usize, work: Work) {
        let key = (work.flow, work.topic, work.partition, work.offset);
        let life = self.workers[worker].life;
        let open = self.now - self.held_back_from(worker, work.item) - self.paused_for(worker, self.key_of(work.item));
        self.checks.first_calls.entry((worker, life, key)).or_insert(open);
    }

    pub(crate) fn bounded(&mut self, worker: usize) {
        let (max_in_flight, max_held, _) = self.workers[worker].limits();
        self.checks.compared(Promise::Bounded);
        let to = |endpoint| self.workers[worker].core.in_flight_to(EndpointId(endpoint));
        let in_flight = (0..ENDPOINTS as u8).map(to).max().unwrap_or_default();
        if in_flight > max_in_flight {
            self.violated(Promise::Bounded, format!("w{worker} has {in_flight} calls in flight to one endpoint"));
        }
        if self.events.is_multiple_of(16) {
            let most = self.workers[worker].core.partitions().iter().map(|view| view.held).max().unwrap_or(0);
            // A pause is heard with the next poll: one chunk per topic may still come.
            if most > max_held + 6 {
                self.violated(Promise::Bounded, format!("w{worker} holds {most} records of a partition"));
            }
        }
    }

    /// A transaction without a record is there to move something, or to renew a lease that nears its end.
    pub(crate) fn says_something(&mut self, worker: usize, batch: &flow_core::Batch<Work, ()>) {
        let line = |line: &flow_core::Progressed| {
            let progress = &line.progress;
            (line.topic.0, line.partition.get(), progress.frontier.get(), progress.horizon.get())
        };
        let lines: Vec<Line> = batch.offsets.iter().map(line).collect();
        // The term counts from there, however late the commit is known.
        let sent_at = self.workers[worker].offsets_sent_at;
        let before = self.checks.last_batch.insert(worker, (sent_at, lines.clone()));
        if !batch.resolved.is_empty() {
            return;
        }
        self.checks.compared(Promise::Bounded);
        let soon = self.scenario.config.lease_term / 2;
        if before.is_some_and(|(when, same)| sent_at - when < soon && same == lines) {
            self.violated(Promise::Bounded, format!("w{worker} writes the same offsets again: {lines:?}"));
        }
    }

    pub(crate) fn batch_bounded(&mut self, worker: usize, batch: &flow_core::Batch<Work, ()>) {
        let (.., max_batch) = self.workers[worker].limits();
        self.checks.compared(Promise::Bounded);
        if batch.resolved.len() > max_batch || batch.offsets.is_empty() {
            let text = format!("w{worker}: {} records, {} offsets", batch.resolved.len(), batch.offsets.len());
            self.violated(Promise::Bounded, text);
        }
    }

    pub(crate) fn notice(&mut self, worker: usize, notice: Notice) {
        self.tell(|| format!("w{worker}      {notice:?}"));
        self.storm_notice(worker, &notice);
        let flow = self.workers[worker].flow;
        if let Notice::Lost(loss) = &notice {
            self.loss_told(flow, loss);
        }
        if let Notice::Unplaced(surprise) = &notice {
            self.unplaced(flow, surprise);
        }
        let item_at =
            |(topic, partition, offset): (flow_core::TopicId, event_model::Partition, event_model::Offset)| {
                let records = self.kafka.log(flow, topic.0, partition.get()).all_from(offset.get());
                records.first().map(|(_, item)| *item)
            };
        if let Notice::AnswerKept { at } = &notice {
            self.answer_kept(worker, item_at(*at));
        } else if let Notice::JobLeft { at, .. } = &notice {
            self.answer_given_up(worker, item_at(*at));
        }
        if let Notice::Double { at: (topic, partition, offset), .. } = &notice {
            self.double_found((flow, topic.0, partition.get(), offset.get()));
        }
        if let Notice::DeadLettered { at: (topic, partition, offset), reason, .. } = &notice {
            self.no_blame(worker, (flow, topic.0, partition.get(), offset.get()), reason);
        }
    }

    fn double_found(&mut self, (flow, topic, partition, offset): Key) {
        let item = self.kafka.log(flow, topic, partition).all_from(offset).first().map(|(_, item)| *item);
        let Some(Item::Source(index)) = item else { return };
        let event = self.scenario.records[index].event;
        self.checks.compared(Promise::OneStart);
        if let Some(found) = self.checks.doubles.get_mut(&(flow, event)) {
            if !std::mem::replace(found, true) {
                let starts = self.checks.starts.get(&(flow, event)).into_iter().flatten();
                let last = starts.map(|id| self.engine.instances[*id].started).max().unwrap_or(self.now);
                self.checks.found_after.push(self.now - last);
            }
        } else if self.checks.starts.get(&(flow, event)).is_none_or(|starts| starts.len() < 2) {
            self.violated(Promise::OneStart, format!("event {event} of f{flow} is reported as a double, but is none"));
        }
    }

    /// For how long the record could not have been tried. What a system keeps failing at runs in the system's time.
    fn held_back_from(&self, worker: usize, item: Item) -> u64 {
        match item {
            Item::Job { job, .. } if self.scenario.jobs[job].asks => self.stood_for(worker),
            Item::Job { .. } | Item::Source(_) => self.held_back_for(worker),
        }
    }

    /// NO_BLAME: a record that is given up had its whole time with a healthy endpoint.
    fn no_blame(&mut self, worker: usize, at: Key, reason: &Reason) {
        let bound = match reason.as_str() {
            code if code == Reason::EXHAUSTED.as_str() => GIVE_UP_AFTER,
            code if code == Reason::NO_SUBSCRIPTION.as_str() => HOLD_FOR,
            _ => return,
        };
        let life = self.workers[worker].life;
        let Some(&first) = self.checks.first_calls.get(&(worker, life, at)) else { return };
        self.checks.compared(Promise::NoBlame);
        let (flow, topic, partition, offset) = at;
        let item = self.kafka.log(flow, topic, partition).all_from(offset).first().map(|(_, item)| *item);
        let Some(item) = item else { return };
        let paused = self.paused_for(worker, self.key_of(item));
        let healthy = self.now - self.held_back_from(worker, item) - paused - first;
        if healthy < bound {
            let text = format!("{at:?} is given up ({reason}) after {healthy} ms of healthy time");
            self.violated(Promise::NoBlame, text);
        }
    }

    /// Whether the record's event is a command that makes something.
    pub(crate) fn planned(&self, item: Item) -> Option<(What, u32)> {
        match item {
            Item::Source(index) => Some((self.scenario.records[index].what, self.scenario.records[index].event)),
            Item::Job { .. } => None,
        }
    }
}
