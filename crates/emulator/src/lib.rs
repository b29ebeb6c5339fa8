//! Development only: the workflow service in the OpenText dialect, business systems, faults on command, an embedded broker.
//!
//! [`Emulator::start`] gives a service that deploys the same BPMN files as the real engine and runs them; [`Faults`]
//! makes it misbehave. No other crate of this workspace is used here, so that it cannot share their mistakes.
//!
//! A request's way: [`server`](crate::Availability) reads it whole, the gate in `http` applies faults and checks the
//! token, a handler asks `engine` (a state machine without I/O), which walks the model of `bpmn`.

mod bpmn;
mod broker;
mod clock;
pub mod demo;
mod emulator;
mod engine;
mod fate;
mod faults;
mod http;
mod requests;
mod server;
mod stats;
mod switches;
mod systems;

pub use bpmn::ModelError;
pub use broker::{BrokerError, EmbeddedBroker};
pub use emulator::{Emulator, Faults, Options, StartError};
pub use faults::{Fault, Mount, Rule};
pub use server::Availability;
pub use stats::OperationCount;
pub use switches::Switches;
pub use systems::{Effect, System, Systems, Topics as SystemTopics};
