//! What one Kafka transaction records: resolved records, and the offsets that they move.

use std::collections::VecDeque;
use std::time::Duration;

use event_model::{NextOffset, Offset, Partition};

use crate::fate::Reason;
use crate::input::{RecordId, TopicId};
use crate::layout::Layout;
use crate::ledger::Remembered;
use crate::progress::Progress;
use crate::quarantine::Change;
use crate::time::Moment;

/// How a record ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution<O> {
    /// Its effect is there.
    Accepted(O),
    /// This very record was accepted before; it is answered again under the same id, and nothing was done.
    Repeated,
    /// Another record of the same event was accepted; nothing was done.
    Duplicate,
    /// No step wanted it.
    Filtered,
    /// It goes to the dead letters.
    DeadLettered {
        /// A stable code.
        reason: Reason,
        /// What happened, for people.
        detail: String,
    },
}

/// A record that ended. Only the flow makes these, and only they move an offset.
#[derive(Debug)]
pub struct Resolved<W, O> {
    pub(crate) id: RecordId,
    pub(crate) topic: TopicId,
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    /// The driver's work.
    pub work: W,
    /// How it ended.
    pub resolution: Resolution<O>,
    /// How many times the effect was tried.
    pub attempts: u32,
    /// What the ledger is to remember.
    pub remember: Option<Remembered>,
    /// What the state topic is to say of its key's quarantine.
    pub quarantine: Option<Change>,
    /// How often the broker refused what was written for it as too large: write less.
    pub refused: u8,
}

impl<W, O> Resolved<W, O> {
    /// The partition that it belongs to.
    pub fn partition(&self) -> Partition {
        self.partition
    }
}

/// One transaction's worth.
#[derive(Debug)]
pub struct Batch<W, O> {
    /// The resolved records, in the order in which they ended.
    pub resolved: Vec<Resolved<W, O>>,
    /// How far each topic partition is finished and begun. Never empty: a transaction without an offset is checked against
    /// nobody's generation.
    pub offsets: Vec<Progressed>,
}

/// One topic partition's line in a transaction.
#[derive(Debug)]
pub struct Progressed {
    /// Which topic.
    pub topic: TopicId,
    /// Which partition.
    pub partition: Partition,
    /// What to write.
    pub progress: Progress,
    /// What else of it is to be written.
    pub news: News,
    /// Which ownership of the partition it is of.
    pub(crate) owned_since: Moment,
}

/// What the transaction of a topic partition's line says for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The state topic is to say that this topic partition was begun, and where.
    pub first: Option<NextOffset>,
    /// The state topic is to say what partition count the partition's books are made for.
    pub layout: Option<Layout>,
    /// Offsets that this line passes because retention removed them.
    pub lost: u64,
}

/// Why a transaction failed, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// Aborted; the same resolutions may be tried again.
    Aborted(String),
    /// Aborted: the broker refuses what was written for one record (its place in the batch) as too large.
    TooLarge(usize, String),
}

/// Resolved records on their way into a transaction.
#[derive(Debug)]
pub(crate) struct Gathering<W, O> {
    waiting: VecDeque<Resolved<W, O>>,
    since: Option<Moment>,
    not_before: Option<Moment>,
    in_flight: bool,
    /// The bound for now: halved while a batch fails and nobody is named.
    limit: usize,
    max_records: usize,
    linger: Duration,
}

impl<W, O> Gathering<W, O> {
    pub(crate) fn new(max_records: usize, linger: Duration) -> Gathering<W, O> {
        let (waiting, since, not_before) = (VecDeque::new(), None, None);
        Gathering { waiting, since, not_before, in_flight: false, limit: max_records, max_records, linger }
    }

    pub(crate) fn push(&mut self, now: Moment, resolved: Resolved<W, O>) {
        self.waiting.push_back(resolved);
        self.since.get_or_insert(now);
    }

    pub(crate) fn is_idle(&self) -> bool {
        !self.in_flight && self.waiting.is_empty()
    }

    /// Whether a batch is on its way: its lines may be of any partition that was held when it was closed.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    /// Takes the next batch if it is time: enough, old enough, or nothing else going on. One batch is in flight at a time,
    /// so under load the next one grows while the last one commits.
    pub(crate) fn close(&mut self, now: Moment, hurry: bool, offsets_only: bool) -> Option<Vec<Resolved<W, O>>> {
        if self.in_flight || self.not_before.is_some_and(|t| now < t) {
            return None;
        }
        // Over, also when nothing is left to say: a deadline in the past would wake the driver without end.
        self.not_before = None;
        let due = self.waiting.len() >= self.limit || self.since.is_some_and(|t| now.since(t) >= self.linger);
        let nothing_to_say = self.waiting.is_empty() && !offsets_only;
        if nothing_to_say || !(due || hurry) {
            return None;
        }
        let count = self.waiting.len().min(self.limit);
        let batch = self.waiting.drain(..count).collect();
        self.since = (!self.waiting.is_empty()).then_some(now);
        self.in_flight = true;
        Some(batch)
    }

    pub(crate) fn committed(&mut self) {
        self.in_flight = false;
        self.limit = (self.limit * 2).min(self.max_records);
    }

    /// Puts a failed batch back in front, to be tried again after `delay`.
    /// Unless the culprit is `named`, it is halved, so that a record that is refused stands alone in the end.
    pub(crate) fn put_back(&mut self, now: Moment, delay: Duration, batch: Vec<Resolved<W, O>>, named: bool) {
        self.in_flight = false;
        if !named {
            self.limit = (batch.len() / 2).clamp(1, self.max_records);
        }
        for resolved in batch.into_iter().rev() {
            self.waiting.push_front(resolved);
        }
        self.since = (!self.waiting.is_empty()).then_some(now);
        self.not_before = Some(now + delay);
    }

    /// Drops what belongs to partitions that are no longer owned.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Resolved<W, O>) -> bool) {
        self.waiting.retain(|resolved| keep(resolved));
        if self.waiting.is_empty() {
            self.since = None;
        }
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        if self.in_flight {
            return None;
        }
        let due = self.since.map(|since| since + self.linger);
        match (due, self.not_before) {
            (Some(due), Some(not_before)) => Some(due.max(not_before)),
            (due, not_before) => due.or(not_before),
        }
    }
}
