//! The client against a scripted server: what is sent, and what is concluded from what comes back.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod dialects;
mod faults;
mod instances;
mod jobs_and_tasks;
mod lists;
mod models;
mod server;
mod sweeps;
mod tokens;
