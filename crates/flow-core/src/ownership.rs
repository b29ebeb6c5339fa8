//! The partitions that this worker holds: partition p of every topic of the flow, or nothing of p.

use std::collections::BTreeSet;

use event_model::NextOffset;

use crate::frontier::Frontier;
use crate::input::TopicId;
use crate::lanes::Lanes;
use crate::time::Moment;

/// Where the ownership of a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not every topic of the flow has assigned this partition to us yet.
    Partial,
    /// The driver reads the committed positions.
    Restoring,
    /// The reader seeks.
    Starting,
    /// Records are taken.
    Active,
    /// Calls in flight may end until the deadline; nothing new is begun.
    Draining { until: Moment },
}

/// One partition, over all topics of the flow.
#[derive(Debug)]
pub(crate) struct Ownership {
    pub assigned: BTreeSet<TopicId>,
    pub phase: Phase,
    /// By topic; filled when the positions are restored.
    pub frontiers: Vec<Frontier>,
    /// What was last committed, by topic: an offset is written only when it moved.
    pub committed: Vec<NextOffset>,
    pub lanes: Lanes,
    /// Records in memory: delivered and not yet committed.
    pub held: usize,
    /// Calls in flight.
    pub in_flight: usize,
    /// Resolved and not yet committed.
    pub uncommitted: usize,
    pub paused: bool,
}

impl Ownership {
    pub(crate) fn new() -> Ownership {
        Ownership {
            assigned: BTreeSet::new(),
            phase: Phase::Partial,
            frontiers: Vec::new(),
            committed: Vec::new(),
            lanes: Lanes::default(),
            held: 0,
            in_flight: 0,
            uncommitted: 0,
            paused: false,
        }
    }

    /// Takes the restored positions, in the order of the topics.
    pub(crate) fn restore(&mut self, mut positions: Vec<(TopicId, NextOffset)>) {
        positions.sort_by_key(|(topic, _)| *topic);
        self.committed = positions.iter().map(|(_, position)| *position).collect();
        self.frontiers = positions.iter().map(|(_, position)| Frontier::at(*position)).collect();
        self.phase = Phase::Starting;
    }

    /// The offsets to write: those that moved since they were last taken, and those of `touched` topics in any case, because
    /// a transaction without an offset is checked against nobody's generation.
    pub(crate) fn take_offsets(&mut self, touched: &BTreeSet<TopicId>) -> Vec<(TopicId, NextOffset)> {
        let mut offsets = Vec::new();
        for (index, (frontier, committed)) in self.frontiers.iter().zip(&mut self.committed).enumerate() {
            let (topic, next) = (TopicId(index as u16), frontier.committable());
            if next > *committed || touched.contains(&topic) {
                *committed = next;
                offsets.push((topic, next));
            }
        }
        offsets
    }

    /// Whether an offset moved without a record: a gap at the end.
    pub(crate) fn has_moved(&self) -> bool {
        self.frontiers.iter().zip(&self.committed).any(|(frontier, committed)| frontier.committable() > *committed)
    }

    /// The widest distance between a frontier and what was read beyond it, in offsets.
    pub(crate) fn span(&self) -> u64 {
        self.frontiers.iter().map(Frontier::span).max().unwrap_or(0)
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.in_flight == 0 && self.uncommitted == 0
    }
}
