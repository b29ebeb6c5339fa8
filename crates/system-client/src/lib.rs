//! Calls to the business systems behind a process: ERP, MDM, ECM, HRIS, identity, and whatever else speaks HTTP.
//!
//! One call is one request: nothing is repeated or redirected here, but for a token that was refused once. Every request carries the
//! idempotency key of its job, so that whoever decides on repeats may send it again.

mod client;
mod document;
mod request;
mod settings;
mod token;

#[cfg(test)]
mod tests;

pub use client::System;
pub use request::{CallError, Fault, Method, Request, Response};
pub use settings::{Auth, Settings, SettingsError};
