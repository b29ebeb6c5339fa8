//! True queues per key: a key has state only while it is busy.

use std::collections::{HashMap, VecDeque};

use crate::input::{LaneKey, RecordId};

/// The lanes of one partition. The head of a lane is the record whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    busy: HashMap<LaneKey, Lane>,
}

#[derive(Debug)]
struct Lane {
    head: RecordId,
    /// Empty for nearly every key, and an empty queue allocates nothing.
    behind: VecDeque<RecordId>,
}

impl Lanes {
    /// Queues a record; true when it is its turn at once.
    pub(crate) fn enter(&mut self, key: &LaneKey, id: RecordId) -> bool {
        if let Some(lane) = self.busy.get_mut(key) {
            lane.behind.push_back(id);
            return false;
        }
        self.busy.insert(key.clone(), Lane { head: id, behind: VecDeque::new() });
        true
    }

    /// Ends the turn of `id`; the next of its key, if any. A record that does not hold the turn ends nothing.
    pub(crate) fn leave(&mut self, key: &LaneKey, id: RecordId) -> Option<RecordId> {
        let lane = self.busy.get_mut(key).filter(|lane| lane.head == id)?;
        match lane.behind.pop_front() {
            Some(next) => {
                lane.head = next;
                Some(next)
            }
            None => {
                self.busy.remove(key);
                None
            }
        }
    }

    /// How many keys are busy.
    pub(crate) fn len(&self) -> usize {
        self.busy.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_a_key_take_turns_and_other_keys_do_not_wait() {
        let (a, b): (LaneKey, LaneKey) = (b"a".as_slice().into(), b"b".as_slice().into());
        let mut lanes = Lanes::default();
        assert!(lanes.enter(&a, RecordId(1)));
        assert!(!lanes.enter(&a, RecordId(2)));
        assert!(lanes.enter(&b, RecordId(3)));
        assert_eq!(lanes.leave(&a, RecordId(2)), None, "not its turn");
        assert_eq!(lanes.leave(&a, RecordId(1)), Some(RecordId(2)));
        assert_eq!(lanes.leave(&a, RecordId(2)), None);
        assert_eq!(lanes.leave(&b, RecordId(3)), None);
        assert_eq!(lanes.len(), 0);
    }
}
