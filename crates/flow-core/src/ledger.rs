//! Which events were accepted, so that a repeat by the source, or of a job, is known.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use event_model::Offset;
use hashbrown::HashTable;

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

/// The ledger of one partition, bounded by count; the oldest are forgotten first. It is most of what a worker keeps in memory,
/// so an entry stands there once, and the index holds places of four bytes: at most 64 bytes each, growth and all.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// In the order in which they were accepted.
    entries: VecDeque<Remembered>,
    /// Places of `entries`, counted from the first that was ever remembered, modulo 2^32.
    places: HashTable<u32>,
    /// The place of the oldest.
    oldest: u32,
    /// Not the event's own hash: that one can be computed by whoever names events.
    hashes: RandomState,
    bound: usize,
}

impl Ledger {
    pub(crate) fn new(bound: usize) -> Ledger {
        let (entries, places) = (VecDeque::new(), HashTable::new());
        Ledger { entries, places, oldest: 0, hashes: RandomState::new(), bound }
    }

    pub(crate) fn remember(&mut self, entry: Remembered) {
        if let Some(index) = self.find(&entry.event) {
            if let Some(known) = self.entries.get_mut(index) {
                *known = entry;
            }
            return;
        }
        if self.bound == 0 {
            return;
        }
        if self.entries.len() >= self.bound {
            self.forget_oldest();
        }
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries.reserve_exact((len / 8).max(64).min(self.bound - len));
        }
        let place = self.oldest.wrapping_add(len as u32);
        self.entries.push_back(entry);
        let Ledger { entries, places, oldest, hashes, .. } = self;
        let hash_at = |place: &u32| {
            let event = entries.get(place.wrapping_sub(*oldest) as usize).map(|entry| entry.event);
            event.map_or(0, |event| hashes.hash_one(event))
        };
        places.insert_unique(hashes.hash_one(entry.event), place, hash_at);
    }

    pub(crate) fn judge(&self, entry: &Remembered) -> Verdict {
        match self.find(&entry.event).and_then(|index| self.entries.get(index)) {
            None => Verdict::New,
            Some(known) if (known.topic, known.offset) == (entry.topic, entry.offset) => Verdict::Same,
            Some(known) if known.payload == entry.payload => Verdict::Duplicate,
            Some(_) => Verdict::Reused,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self, event: &EventHash) -> Option<usize> {
        let index = |place: &u32| place.wrapping_sub(self.oldest) as usize;
        let is_it = |place: &u32| self.entries.get(index(place)).is_some_and(|entry| entry.event == *event);
        self.places.find(self.hashes.hash_one(event), is_it).map(index)
    }

    fn forget_oldest(&mut self) {
        let Some(gone) = self.entries.pop_front() else { return };
        let oldest = self.oldest;
        if let Ok(place) = self.places.find_entry(self.hashes.hash_one(gone.event), |place| *place == oldest) {
            place.remove();
        }
        self.oldest = oldest.wrapping_add(1);
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

    /// What is allocated, in bytes.
    fn bytes(ledger: &Ledger) -> usize {
        ledger.entries.capacity() * size_of::<Remembered>() + ledger.places.allocation_size()
    }

    fn numbered(number: u64) -> Remembered {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let offset = Offset::new(number as i64);
        Remembered { event: EventHash(id), payload: number, topic: TopicId(0), offset }
    }

    #[test]
    fn an_entry_takes_at_most_64_bytes_while_it_fills_and_when_it_forgets() {
        // 114,689 is just over what half a table holds: forgetting makes such a table the emptiest
        for bound in [1_000, 57_345, 114_689, 200_000] {
            let mut ledger = Ledger::new(bound);
            for number in 0..3 * bound as u64 {
                ledger.remember(numbered(number));
                let (bytes, len) = (bytes(&ledger), ledger.len());
                assert!(len < 1_000 || bytes <= 64 * len, "{bytes} bytes for {len} of {bound} entries");
            }
            assert_eq!(ledger.len(), bound);
        }
    }

    #[test]
    fn what_is_remembered_is_found_and_what_is_forgotten_is_not_also_where_places_wrap() {
        let mut ledger = Ledger { oldest: u32::MAX - 50, ..Ledger::new(100) };
        for number in 0..1_000 {
            ledger.remember(numbered(number));
            // a repeat takes no second place
            ledger.remember(Remembered { payload: 7, ..numbered(number) });
            for earlier in 0..=number {
                let known = earlier + 100 > number;
                let expected = if known { Verdict::Duplicate } else { Verdict::New };
                let again = Remembered { offset: Offset::new(-1), payload: 7, ..numbered(earlier) };
                assert_eq!(ledger.judge(&again), expected, "{earlier} at {number}");
            }
        }
    }
}
