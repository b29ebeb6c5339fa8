//! The outside world of a demonstration: a system that publishes, people who decide, somebody who reads the answers.
//!
//! They use Kafka and the service's REST API as any other client does; nothing of the connector is known here.

mod desk;
mod expected;
mod publisher;
mod rest;
mod tail;

pub use desk::{Desk, DeskError, InstanceFacts, OpenTask, Totals};
pub use expected::{differences, said_of};
pub use publisher::Publisher;
pub use rest::fetch;
pub use tail::{Received, Tail};
