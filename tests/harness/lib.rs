//! Starts the real parts and the connector for the promise tests
//!
//! [`Kafka::shared`] and [`Flowable::shared`] start one broker and one engine per test process, at first use; everything that
//! is started here ends with the test process, however that ends. Tests keep apart by names: see [`unique`].

mod connector;
mod deployment;
mod engine_calls;
mod flow_copy;
mod flowable;
mod group;
mod kafka;
mod kcat;
mod operator;
mod parts;
mod process;
mod systems;
mod topic;
mod wait;

pub use connector::{Connector, connector_binary, metrics, sum, xconnector};
pub use deployment::{Deployment, Instance};
pub use engine_calls::{EngineCalls, emulated_engine, engine_calls};
pub use flow_copy::{Copied, FlowCopy};
pub use flowable::Flowable;
pub use group::{committed_lag, hidden_records};
pub use kafka::Kafka;
pub use kcat::{Keyed, publish_with_kcat};
pub use operator::{delete_group, grow_topic, remove_before, set_offset};
pub use parts::{flowable_jar, free_address, repository};
pub use process::{Process, Signal};
pub use systems::{system_table, systems};
pub use topic::{Received, Sent, create_topic, create_topic_with, event_headers, produce, read_all, read_until};
pub use wait::{DEADLINE, until};

/// A name no other test of this run uses, for topics, groups, transactional ids, business keys and workers
pub fn unique(prefix: &str) -> String {
    format!("{prefix}.{}", uuid::Uuid::new_v4().simple())
}
