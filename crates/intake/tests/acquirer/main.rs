//! The job acquirer against a scripted engine and librdkafka's mock cluster: which jobs, and posts, reach the jobs topic, and when
//! the engine is left alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod handover;
mod parts;
mod permission;
mod posted;
mod recovery;
mod shutdown;
