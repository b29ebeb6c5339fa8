//! What an engine is told at its start.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How results reach Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Replies, dead letters and offsets in one Kafka transaction.
    ExactlyOnce,
    /// Replies and dead letters acknowledged, then offsets: for clusters without transactions. Replies may repeat under the
    /// same id.
    AtLeastOnce,
}

/// Which group protocol the broker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// KIP-848, with the remote `range` assignor: partition p of all topics moves together.
    Consumer,
    /// The classic protocol with `range`: the same co-assignment, eager.
    Classic,
}

/// Where reading starts when the group has no committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// The oldest record that the broker still has.
    Earliest,
    /// Records that arrive from now on.
    Latest,
    /// The first record at or after this time, in milliseconds since the Unix epoch.
    Timestamp(i64),
}

impl fmt::Display for StartFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartFrom::Earliest => f.write_str("earliest"),
            StartFrom::Latest => f.write_str("latest"),
            StartFrom::Timestamp(ms) => write!(f, "{ms} ms since 1970"),
        }
    }
}

/// A topic that the flow reads; its place in the list is its `TopicId`.
#[derive(Clone, Debug)]
pub struct TopicRole {
    /// The topic's name.
    pub name: Arc<str>,
    /// Where reading starts when nothing is committed.
    pub start_from: StartFrom,
}

/// Everything that one flow's engine needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The flow's name: a label of every metric and log line.
    pub flow: Arc<str>,
    /// `<deployment>.<flow>`.
    pub group_id: String,
    /// `<deployment>.<flow>.<instance>.<worker>`; unique among running producers.
    pub transactional_id: String,
    /// host:port, comma separated.
    pub bootstrap_servers: String,
    /// Further librdkafka properties: security, tuning. Those that the engine's promises rest on cannot be changed.
    pub properties: BTreeMap<String, String>,
    /// How results reach Kafka.
    pub delivery: Delivery,
    /// Which group protocol the broker speaks.
    pub group_protocol: GroupProtocol,
    /// The topics; all have the same number of partitions.
    pub topics: Vec<TopicRole>,
    /// How long the ledger topic keeps its entries.
    pub ledger_window: Duration,
    /// How long calls in flight may take to end when partitions are taken back, or at shutdown.
    pub drain_within: Duration,
    /// The flow's share of its endpoint where calls in flight are scarce, from 1 to 1,000.
    pub weight: u32,
    /// The state machine's bounds.
    pub flow_core: flow_core::Settings,
}

impl Settings {
    /// Who commits, as offset metadata say it: the `transactional.id`, or nobody where there are no transactions.
    pub(crate) fn writer(&self) -> &str {
        match self.delivery {
            Delivery::ExactlyOnce => &self.transactional_id,
            Delivery::AtLeastOnce => "",
        }
    }
}
