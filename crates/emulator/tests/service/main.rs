//! The emulated service, through HTTP, one behaviour per test.

#![allow(clippy::unwrap_used, reason = "a helper of these tests that fails should fail its test")]

mod client;
mod conventions;
mod faults;
mod history;
mod instances;
mod jobs;
mod load;
mod messages;
mod models;
mod order;
mod tasks;
