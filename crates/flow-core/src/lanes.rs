//! True queues per key: a key has state only while it is busy.
//!
//! A record stands in one queue per thing that it must not overtake: its ordering key, its event id, and the business key
//! that it acts on. Its turn has come when it is at the head of all of them. Records enter all their queues at delivery, in log
//! order, so no two can wait for each other.

use std::collections::{HashMap, VecDeque};

use crate::input::{LaneKey, RecordId};
use crate::ledger::EventHash;

/// What records take turns for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    Key(LaneKey),
    Event(EventHash),
    /// The hash of a definition and a business key.
    Business(u64),
}

/// The lanes of one partition. The head of a lane is the record whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    busy: HashMap<Turn, Lane>,
}

#[derive(Debug)]
struct Lane {
    head: RecordId,
    /// Empty for nearly every key, and an empty queue allocates nothing.
    behind: VecDeque<RecordId>,
}

impl Lanes {
    /// Queues a record; true when it is at the head at once.
    pub(crate) fn enter(&mut self, turn: Turn, id: RecordId) -> bool {
        match self.busy.entry(turn) {
            std::collections::hash_map::Entry::Occupied(mut lane) => {
                lane.get_mut().behind.push_back(id);
                false
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Lane { head: id, behind: VecDeque::new() });
                true
            }
        }
    }

    /// Ends the turn of `id`; the record that is at the head now, if any. A record that does not hold the turn ends nothing.
    pub(crate) fn leave(&mut self, turn: &Turn, id: RecordId) -> Option<RecordId> {
        let lane = self.busy.get_mut(turn).filter(|lane| lane.head == id)?;
        match lane.behind.pop_front() {
            Some(next) => {
                lane.head = next;
                Some(next)
            }
            None => {
                self.busy.remove(turn);
                None
            }
        }
    }

    /// How many queues there are.
    pub(crate) fn len(&self) -> usize {
        self.busy.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_a_key_take_turns_and_other_keys_do_not_wait() {
        let (a, b) = (Turn::Key(b"a".as_slice().into()), Turn::Key(b"b".as_slice().into()));
        let mut lanes = Lanes::default();
        assert!(lanes.enter(a.clone(), RecordId(1)));
        assert!(!lanes.enter(a.clone(), RecordId(2)));
        assert!(lanes.enter(b.clone(), RecordId(3)));
        assert_eq!(lanes.leave(&a, RecordId(2)), None, "not its turn");
        assert_eq!(lanes.leave(&a, RecordId(1)), Some(RecordId(2)));
        assert_eq!(lanes.leave(&a, RecordId(2)), None);
        assert_eq!(lanes.leave(&b, RecordId(3)), None);
        assert_eq!(lanes.len(), 0);
    }

    #[test]
    fn the_same_bytes_as_key_and_as_event_are_different_turns() {
        let mut lanes = Lanes::default();
        assert!(lanes.enter(Turn::Key([7u8; 16].as_slice().into()), RecordId(1)));
        assert!(lanes.enter(Turn::Event(EventHash([7; 16])), RecordId(2)));
    }
}
