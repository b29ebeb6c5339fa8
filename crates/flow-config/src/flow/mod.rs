//! A flow: what is read, what it does in the workflow service, and where answers go.

mod call;
mod http_task;
mod job;
mod model;
mod null;
mod plan;
mod read;
mod source;
mod step;
mod storm_guard;
mod template;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use event_model::{EventSchema, ReplyEncoding, Schemas};

use crate::expression::Needed;
use crate::problem::Problem;

pub use call::{Method, PlannedCall, SystemAnswer, SystemCall};
pub use job::{Job, JobOrigin, JobWork, Publication};
pub use plan::{Breach, LaneKey, PlanError, Planned, PlannedAction, Variables};
pub use source::{OnLost, OnNull, Source, StartFrom};
pub use step::{Action, Step};
pub use storm_guard::StormGuard;

/// One checked flow. It comes only from [`Flow::load`], so what it says need not be checked again.
#[derive(Debug)]
#[non_exhaustive]
pub struct Flow {
    /// The flow's identity: consumer group, ledger and topics are named after it.
    pub name: Arc<str>,
    /// The file it was read from.
    pub file: PathBuf,
    /// What is read.
    pub source: Source,
    /// In the order of the file; the first whose condition holds decides.
    pub steps: Vec<Step>,
    /// External-worker topics of the model that this flow serves.
    pub jobs: Vec<Job>,
    /// What becomes of a second instance of one event.
    pub compensate: Compensate,
    /// Where answers go.
    pub reply: Reply,
    /// Bounds of concurrency, memory and retries.
    pub limits: Limits,
    /// When bad records stop the flow.
    pub storm_guard: StormGuard,
    /// The BPMN files of the folder, sorted by name.
    pub models: Vec<PathBuf>,
    needed: Needed,
}

/// Where replies go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The reply topic.
    pub topic: Arc<str>,
    /// How replies are written.
    pub format: ReplyEncoding,
}

/// Bounds of one flow on one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Engine calls under way at the same time.
    pub max_in_flight: usize,
    /// The flow's share of the engine where calls under way are scarce, against the weights of the other flows.
    pub weight: u32,
    /// Records of one partition that are read and not yet resolved; then the partition pauses.
    pub max_held: usize,
    /// The first retry comes within this time.
    pub retry_initial: Duration,
    /// Later retries come within at most this time of each other.
    pub retry_max: Duration,
    /// A record that keeps failing for this long while its endpoint is healthy is given up.
    pub give_up_after: Duration,
    /// What happens then.
    pub on_exhausted: OnExhausted,
    /// Keys of one partition that may be in quarantine; instead of one more the storm guard stops the flow.
    pub max_quarantined: usize,
    /// Event ids that each partition's ledger remembers.
    pub ledger_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_in_flight: 256,
            weight: 1,
            max_held: 2_000,
            retry_initial: Duration::from_millis(200),
            retry_max: Duration::from_secs(30),
            give_up_after: Duration::from_secs(600),
            on_exhausted: OnExhausted::Next,
            max_quarantined: 1_000,
            ledger_entries: 200_000,
        }
    }
}

/// What becomes of a second instance of one event, which should never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compensate {
    /// It is reported.
    Report,
    /// It is reported and ended.
    Delete,
}

/// What happens to a key when one of its records was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExhausted {
    /// The record is dead-lettered and the key goes on with its next record.
    Next,
    /// Later records of the key follow it into the dead letters, in order, until all of them are replayed or discarded.
    QuarantineKey,
}

impl Flow {
    /// Reads and checks the flow in folder `dir`: `flow.toml` and the BPMN files beside it.
    ///
    /// # Errors
    /// Every mistake found, in the order of the file.
    pub fn load(dir: &Path, schemas: &Schemas) -> Result<Self, Vec<Problem>> {
        read::flow(dir, schemas)
    }

    /// The schema of the events that are read.
    #[must_use]
    pub fn schema(&self) -> &Arc<EventSchema> {
        &self.source.schema
    }

    /// What its jobs ask of systems.
    pub fn calls(&self) -> impl Iterator<Item = &SystemCall> {
        self.jobs.iter().filter_map(|job| match &job.work {
            JobWork::Call(call) => Some(&**call),
            JobWork::Outcome(_) => None,
        })
    }

    /// Its jobs that are posted to the HTTP intake, with their processes and how long these may run on.
    pub fn posted(&self) -> impl Iterator<Item = (&Job, &str, Duration)> {
        self.jobs.iter().filter_map(|job| match &job.origin {
            JobOrigin::Posted { process, hold_for } => Some((job, &**process, *hold_for)),
            JobOrigin::Task | JobOrigin::Ended(_) => None,
        })
    }

    /// The job of an external-worker topic, or none when this flow does not serve it.
    #[must_use]
    pub fn job(&self, topic: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| &*job.topic == topic)
    }
}
