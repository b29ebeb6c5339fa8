//! Which events were accepted, so that a repeat by the source, or of a job, is known.

use std::collections::{HashMap, VecDeque};

use event_model::Offset;

use crate::input::TopicId;

/// The hash of an event's id (or of a job's), 128 bits: wide enough that two ids never meet by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventHash(pub [u8; 16]);

/// What the ledger remembers of an accepted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Which event.
    pub event: EventHash,
    /// The hash of its payload; zero where payloads are not compared.
    pub payload: u64,
    /// The topic of the record that was accepted.
    pub topic: TopicId,
    /// The offset of the record that was accepted.
    pub offset: Offset,
}

/// What the ledger says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Never seen, or forgotten.
    New,
    /// This very record was accepted before: its offset was read again.
    Same,
    /// Another record with the same id and payload was accepted.
    Duplicate,
    /// The id was used before for something else.
    Reused,
}

/// The ledger of one partition, bounded by count; the oldest are forgotten first.
#[derive(Debug)]
pub(crate) struct Ledger {
    known: HashMap<EventHash, (u64, TopicId, Offset)>,
    order: VecDeque<EventHash>,
    bound: usize,
}

impl Ledger {
    pub(crate) fn new(bound: usize) -> Ledger {
        Ledger { known: HashMap::new(), order: VecDeque::new(), bound }
    }

    pub(crate) fn remember(&mut self, entry: Remembered) {
        if self.known.insert(entry.event, (entry.payload, entry.topic, entry.offset)).is_none() {
            self.order.push_back(entry.event);
        }
        while self.order.len() > self.bound {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    pub(crate) fn judge(&self, entry: &Remembered) -> Verdict {
        match self.known.get(&entry.event) {
            None => Verdict::New,
            Some((_, topic, offset)) if (*topic, *offset) == (entry.topic, entry.offset) => Verdict::Same,
            Some((payload, ..)) if *payload == entry.payload => Verdict::Duplicate,
            Some(_) => Verdict::Reused,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u8, payload: u64, offset: i64) -> Remembered {
        Remembered { event: EventHash([id; 16]), payload, topic: TopicId(0), offset: Offset::new(offset) }
    }

    #[test]
    fn a_repeat_a_reread_and_a_reused_id_are_told_apart() {
        let mut ledger = Ledger::new(10);
        assert_eq!(ledger.judge(&entry(1, 7, 0)), Verdict::New);
        ledger.remember(entry(1, 7, 0));
        assert_eq!(ledger.judge(&entry(1, 7, 0)), Verdict::Same);
        assert_eq!(ledger.judge(&entry(1, 7, 5)), Verdict::Duplicate);
        assert_eq!(ledger.judge(&entry(1, 8, 5)), Verdict::Reused);
    }

    #[test]
    fn the_window_is_bounded_and_forgets_the_oldest_first() {
        let mut ledger = Ledger::new(2);
        for id in 1..=3 {
            ledger.remember(entry(id, 0, i64::from(id)));
        }
        assert_eq!(ledger.len(), 2);
        assert_eq!(ledger.judge(&entry(1, 0, 9)), Verdict::New);
        assert_eq!(ledger.judge(&entry(2, 0, 9)), Verdict::Duplicate);
    }
}
