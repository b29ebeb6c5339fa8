//! What the engine's state looks like from outside: for metrics, health, and the job acquirer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use event_model::Partition;
use flow_core::{EndpointId, PartitionView, TopicId};

/// A snapshot of one flow on this worker, taken about once a second.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The partitions that this worker holds.
    pub partitions: Vec<PartitionStatus>,
    /// Calls in flight.
    pub in_flight: usize,
    /// By endpoint: whether calls may leave.
    pub open: Vec<bool>,
    /// Why nothing is worked on: the partition counts of the flow's topics.
    pub misfit: Option<String>,
    /// Partitions that wait for an operator to accept a loss.
    pub awaiting_word: usize,
    /// Whether the storm guard holds the flow back.
    pub storm: bool,
    /// Whether an operator holds the flow back.
    pub paused: bool,
    /// How many keys operators hold back.
    pub paused_keys: usize,
}

impl Status {
    /// Whether calls may leave towards the endpoint.
    pub fn is_open(&self, endpoint: EndpointId) -> bool {
        self.open.get(usize::from(endpoint.0)).copied().unwrap_or_default()
    }

    /// Whether this worker holds the partition.
    pub fn holds(&self, partition: Partition) -> bool {
        self.partitions.iter().any(|status| status.view.partition == partition)
    }

    /// Records of a topic that are not finished, over the partitions held here.
    pub fn unfinished(&self, topic: TopicId) -> u64 {
        let index = usize::from(topic.0);
        let of = |status: &PartitionStatus| {
            let beyond = status.view.finished_beyond.get(index).copied().unwrap_or_default();
            status.lag.get(index).copied().unwrap_or_default().saturating_sub(beyond)
        };
        self.partitions.iter().map(of).sum()
    }
}

/// One partition of a flow.
#[derive(Clone, Debug)]
pub struct PartitionStatus {
    /// What the state machine says.
    pub view: PartitionView,
    /// By topic: records between the frontier and the log's end.
    pub lag: Vec<u64>,
}

/// The ends of the logs as the reader's statistics last told them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogEnds(Arc<Mutex<HashMap<(TopicId, Partition), i64>>>);

impl LogEnds {
    pub(crate) fn set(&self, topic: TopicId, partition: Partition, end: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((topic, partition), end);
    }

    /// The lag of a partition by topic; zero where the end is not known yet.
    pub(crate) fn lag(&self, view: &PartitionView) -> Vec<u64> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(index, frontier): (usize, &event_model::NextOffset)| {
            let end = ends.get(&(TopicId(index as u16), view.partition)).copied().unwrap_or_default();
            u64::try_from(end - frontier.get()).unwrap_or(0)
        };
        view.frontiers.iter().enumerate().map(of).collect()
    }
}
