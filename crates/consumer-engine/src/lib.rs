//! Drives a flow's state machine against Kafka: reads, restores, dispatches, and records results in one transaction.
//!
//! [`run`] is the way in. It knows nothing of the workflow engine: what a record means and what is called for it is the
//! [`Handler`]'s. Four parties share the work, and only the loop decides:
//!
//! - the reader thread polls the consumer and lets the handler decode (`reader`),
//! - the loop steps the state machine and performs its effects (`engine`),
//! - the committer thread owns the producer (`committer`),
//! - a second client reads committed positions (`restore`), ends what a dead member left open (`fence`), and watches the topics'
//!   partition counts (`layout`).

mod books;
mod clients;
mod committer;
mod context;
mod control;
mod delivery;
mod effects;
mod endpoint;
mod engine;
mod error;
mod fence;
mod handler;
mod layout;
mod log_reader;
mod native;
mod offsets;
mod quarantines;
mod reader;
mod restore;
mod settings;
mod status;
mod telemetry;
mod topics;

pub use books::{ledger_topic, state_topic};
pub use control::{CONTROL_TOPIC, Subject};
pub use endpoint::Endpoint;
pub use engine::run;
pub use error::EngineError;
pub use handler::{Handler, Prepared};
pub use offsets::{Accepted, accept_loss};
pub use settings::{Delivery, GroupProtocol, Settings, StartFrom, TopicRole};
pub use status::{PartitionStatus, Status};
pub use telemetry::Telemetry;
pub use topics::{TopicSpec, create_topics, grow_topics, partition_counts};
