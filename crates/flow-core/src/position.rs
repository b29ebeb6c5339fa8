//! Where reading begins: from what Kafka knows of a topic partition to the offset to go on from, and what is to be said of it.

use event_model::{NextOffset, Partition};

use crate::guards::{Guard, holds};
use crate::input::TopicId;

/// What becomes of a partition whose oldest unread records were removed by retention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// It waits until an operator accepts the loss.
    #[default]
    Pause,
    /// It goes on with the oldest record that is left; the loss is counted all the same.
    Continue,
}

/// What Kafka knows of a topic partition.
#[derive(Clone, Debug)]
pub struct Position {
    /// Which topic.
    pub topic: TopicId,
    /// The committed offset; `None` where there is none.
    pub committed: Option<NextOffset>,
    /// The committed metadata; empty where there is none.
    pub metadata: String,
    /// The map that the state topic holds for this topic.
    pub spilled: Option<Vec<u8>>,
    /// The oldest offset that the log still has; read after the committed offset.
    pub log_start: NextOffset,
    /// Where the log ends; read after the committed offset.
    pub log_end: NextOffset,
    /// Whether the state topic says that this partition was begun before.
    pub begun: bool,
    /// Where it was begun, as the state topic remembers it; where it is to begin, when it was not.
    pub first: NextOffset,
    /// The committed offset behind which an operator accepted a loss.
    pub loss_accepted: Option<NextOffset>,
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing of it was ever begun.
    First(NextOffset),
    /// At the committed offset, whose metadata counts.
    Committed(NextOffset),
    /// Behind the committed offset, whose metadata counts: what lies between is gone.
    Behind { committed: NextOffset, start: NextOffset },
    /// Nothing is known of what was done from here on.
    Unknown(NextOffset),
}

impl Position {
    pub(crate) fn origin(&self) -> Origin {
        match self.committed {
            None if !self.begun => Origin::First(self.first),
            None => Origin::Unknown(self.remembered_first()),
            Some(committed) if committed > self.log_end && holds(Guard::BeyondEndIsUnknown) => {
                Origin::Unknown(self.log_start)
            }
            Some(committed) if committed < self.log_start => Origin::Behind { committed, start: self.log_start },
            Some(committed) => Origin::Committed(committed),
        }
    }

    /// Where the flow was begun, or what is left of it. A first position beyond the end belongs to a topic that is no more.
    fn remembered_first(&self) -> NextOffset {
        if self.first > self.log_end { self.log_start } else { self.first.max(self.log_start) }
    }

    /// Whether offsets are gone that nobody accepted to lose: such a partition waits, and its ledger need not be read.
    pub fn waits(&self, on_lost: OnLost) -> bool {
        let accepted = self.committed.is_some() && self.loss_accepted == self.committed;
        let behind = matches!(self.origin(), Origin::Behind { .. });
        behind && !accepted && on_lost == OnLost::Pause && holds(Guard::LossWaits)
    }

    /// What an operator should know of where this goes on, apart from what is lost.
    pub(crate) fn surprise(&self, partition: Partition) -> Option<Surprise> {
        let Origin::Unknown(at) = self.origin() else { return None };
        let unaccounted = match self.committed {
            None => self.log_start.get() - self.first.get(),
            Some(_) => 0,
        };
        let unaccounted = u64::try_from(unaccounted).unwrap_or(0);
        Some(Surprise { topic: self.topic, partition, committed: self.committed, at, unaccounted })
    }
}

/// A partition that was begun goes on elsewhere than at its committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surprise {
    /// Which topic.
    pub topic: TopicId,
    /// Which partition.
    pub partition: Partition,
    /// The committed offset, which lies beyond the log's end; `None` where there is none any more.
    pub committed: Option<NextOffset>,
    /// Where reading goes on.
    pub at: NextOffset,
    /// Offsets between the flow's first position and the log's start: nobody can say any more which of them were finished.
    pub unaccounted: u64,
}

/// Offsets that retention removed before they were finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which topic.
    pub topic: TopicId,
    /// Which partition.
    pub partition: Partition,
    /// The committed offset.
    pub committed: NextOffset,
    /// The oldest offset that is left.
    pub log_start: NextOffset,
    /// How many offsets between them are not finished.
    pub offsets: u64,
    /// Whether the partition waits for an operator's word.
    pub waits: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(committed: Option<i64>, begun: bool, first: i64) -> Position {
        let committed = committed.map(NextOffset::new);
        Position {
            topic: TopicId(0),
            committed,
            metadata: String::new(),
            spilled: None,
            log_start: NextOffset::new(10),
            log_end: NextOffset::new(20),
            begun,
            first: NextOffset::new(first),
            loss_accepted: None,
        }
    }

    #[test]
    fn the_start_position_is_taken_once() {
        assert_eq!(position(None, false, 20).origin(), Origin::First(NextOffset::new(20)));
        assert_eq!(position(Some(15), true, 20).origin(), Origin::Committed(NextOffset::new(15)));
    }

    #[test]
    fn without_an_offset_it_goes_on_at_the_first_position_or_what_is_left_of_it() {
        for (first, at) in [(3, 10), (15, 15), (20, 20), (21, 10)] {
            let position = position(None, true, first);
            assert_eq!(position.origin(), Origin::Unknown(NextOffset::new(at)), "first {first}");
            let unaccounted = position.surprise(Partition::new(0)).map(|surprise| surprise.unaccounted);
            assert_eq!(unaccounted, Some(u64::try_from(10 - first).unwrap_or(0)), "first {first}");
        }
    }

    #[test]
    fn an_offset_beyond_the_end_is_of_another_log() {
        assert_eq!(position(Some(20), true, 0).origin(), Origin::Committed(NextOffset::new(20)));
        assert_eq!(position(Some(21), true, 0).origin(), Origin::Unknown(NextOffset::new(10)));
    }

    #[test]
    fn a_loss_waits_for_the_word_that_names_its_offset() {
        let mut behind = position(Some(4), true, 0);
        assert!(behind.waits(OnLost::Pause));
        assert!(!behind.waits(OnLost::Continue));
        behind.loss_accepted = Some(NextOffset::new(3));
        assert!(behind.waits(OnLost::Pause), "that was an earlier loss");
        behind.loss_accepted = Some(NextOffset::new(4));
        assert!(!behind.waits(OnLost::Pause));
        assert!(!position(Some(10), true, 0).waits(OnLost::Pause));
    }
}
