//! Calls to the business systems behind a process: ERP, MDM, ECM, HRIS, identity, and whatever else speaks HTTP or Kafka.
//!
//! One call is one request: nothing is repeated or redirected here, but for a token that was refused once. Every request carries the
//! idempotency key of its job, so that whoever decides on repeats may send it again. Whether it is an HTTP request or a command on a topic
//! that is answered on another is a matter of the settings: method, path and body are the same.

mod client;
mod document;
mod http;
mod kafka;
mod request;
mod settings;
mod token;

#[cfg(test)]
mod tests;

pub use client::System;
pub use request::{CallError, Fault, Method, Request, Response};
pub use settings::{Auth, Http, Kafka, Reach, Settings, SettingsError};
