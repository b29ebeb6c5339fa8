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

    /// Records of a topic that are not finished, over the partitions held here. One that waits for long holds back the frontier, but
    /// what is finished beyond it does not count.
    pub fn unfinished(&self, topic: TopicId) -> u64 {
        let topic = usize::from(topic.0);
        let of = |status: &PartitionStatus| {
            let lag = status.lag.get(topic).copied().unwrap_or_default();
            lag.saturating_sub(status.view.finished_beyond.get(topic).copied().unwrap_or_default())
        };
        self.partitions.iter().map(of).sum()
    }

    /// Records that wait with a system's answer until the engine hands their job out again.
    pub fn answers_kept(&self) -> usize {
        self.partitions.iter().map(|status| status.view.answers_kept).sum()
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

#[cfg(test)]
mod tests {
    use event_model::NextOffset;

    use super::*;

    fn partition(number: i32, lag: u64, finished_beyond: u64, answers_kept: usize) -> PartitionStatus {
        let view = PartitionView {
            partition: Partition::new(number),
            frontiers: vec![NextOffset::new(0); 2],
            finished_beyond: vec![0, finished_beyond],
            held: answers_kept,
            answers_kept,
            busy_keys: 0,
            uncertain_below: vec![NextOffset::new(0); 2],
            remembered: 0,
            quarantined: 0,
            oldest_timestamp_ms: None,
            paused: false,
        };
        PartitionStatus { view, lag: vec![7, lag] }
    }

    #[test]
    fn what_is_finished_behind_a_record_that_waits_is_no_backlog() {
        let status =
            Status { partitions: vec![partition(0, 1_500, 1_499, 1), partition(3, 20, 0, 2)], ..Status::default() };
        assert_eq!(status.unfinished(TopicId(1)), 1 + 20);
        assert_eq!(status.unfinished(TopicId(0)), 14);
        assert_eq!(status.answers_kept(), 3);
    }

    #[test]
    fn the_end_of_a_log_that_is_known_late_makes_no_backlog_of_what_is_finished() {
        let status = Status { partitions: vec![partition(0, 3, 9, 1)], ..Status::default() };
        assert_eq!(status.unfinished(TopicId(1)), 0);
    }
}
