//! What enters through Kafka from outside: the job acquirer, which locks external-worker jobs of the workflow engine and writes
//! them to `xc.<flow>.jobs`, and does nothing else with them; the watch on history (`ended`), which writes there what has ended; and dead letters that an operator puts back in (`letters`).
//!
//! [`acquire_jobs`] runs one loop per engine topic (`acquirer`). What a loop does next is decided without I/O in
//! `pace`; `producer` counts a job as handed over only when Kafka has acknowledged its record. Whatever fails on the
//! way is healed by the engine: the lock expires and the job is handed out again under the same id, so a job may be
//! written twice but is never lost.

mod acquirer;
mod ended;
mod error;
mod http;
mod letters;
mod pace;
mod producer;
mod settings;
mod telemetry;

pub use acquirer::acquire_jobs;
pub use ended::{Ended, watch_ended};
pub use error::IntakeError;
pub use http::{Admitted, Check, Door, HttpTelemetry, IntakeServeError, Lock, Unfit, serve_intake};
pub use letters::{Cluster, read_topic, write};
pub use settings::Settings;
pub use telemetry::Telemetry;
