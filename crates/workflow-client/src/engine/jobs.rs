//! External-worker jobs: lock them, then complete, fail or throw a BPMN error.

use std::time::Duration;

use serde_json::Value;

use super::{Engine, refused};
use crate::answers::{Instance, Job};
use crate::calls::Operation;
use crate::fault::{CallError, Endpoint, Fault};
use crate::limits::{self, LimitError};
use crate::pages::{bad_answer, read_rows};
use crate::variable::{self, Variable};

/// Which jobs to lock, for whom and how long.
#[derive(Debug, Clone, Copy)]
pub struct Acquire<'a> {
    /// The model's topic.
    pub topic: &'a str,
    /// Lock owner; the same name must complete or fail the job.
    pub worker: &'a str,
    /// Until then nobody else gets the job. Cannot be extended; milliseconds are kept.
    pub lock: Duration,
    /// At most so many jobs, at least 1.
    pub max: u32,
}

/// Why a job failed.
#[derive(Debug, Clone, Copy)]
pub struct JobFailure<'a> {
    /// Short text; Flowable keeps 2,000 characters.
    pub message: &'a str,
    /// Longer text for the operator.
    pub details: Option<&'a str>,
    /// Tries that remain; 0 sends the job to the engine's dead letters, `None` counts one down.
    pub retries: Option<u32>,
    /// Pause before the job can be acquired again; the engine's sweep adds up to a minute by default.
    pub retry_timeout: Option<Duration>,
}

impl Engine {
    /// Locks jobs. An empty answer is no proof that there is no work: exclusive jobs of one instance make a whole
    /// batch come back empty, and so does a clash with another acquirer.
    ///
    /// # Errors
    /// After an ambiguous fault some jobs may be locked; they come again when the lock has expired.
    pub async fn acquire(&self, acquire: &Acquire<'_>) -> Result<Vec<Job>, CallError> {
        let some = |zero: bool, error: LimitError| if zero { Err(error) } else { Ok(()) };
        limits::name("topic", acquire.topic)
            .and_then(|()| limits::name("worker", acquire.worker))
            .and_then(|()| some(acquire.max == 0, LimitError::NoJobs))
            .and_then(|()| some(acquire.lock.as_millis() == 0, LimitError::Empty { field: "lock duration" }))
            .map_err(refused(Endpoint::Jobs, Operation::Acquire))?;
        let request = self.protocol().acquire(acquire);
        let answer = self.transport().json(&request, self.before).await?;
        let page = self.protocol().page(answer, "external-jobs").map_err(|reason| bad_answer(&request, reason))?;
        read_rows(&request, page.rows)
    }

    /// Completes a job; the instance goes on after the answer.
    ///
    /// # Errors
    /// [`crate::Fault::NotFound`]: already completed, cancelled, or its instance is suspended (so no proof of
    /// completion). [`crate::Fault::Forbidden`]: somebody else holds the lock.
    pub async fn complete_job(&self, job_id: &str, worker: &str, variables: &[Variable]) -> Result<(), CallError> {
        check(job_id, worker, variables).map_err(refused(Endpoint::Jobs, Operation::CompleteJob))?;
        self.command(&self.protocol().complete_job(job_id, worker, variables)).await
    }

    /// Gives a job back as failed, which also frees its instance for other exclusive jobs at once.
    ///
    /// # Errors
    /// As [`Engine::complete_job`].
    pub async fn fail_job(&self, job_id: &str, worker: &str, failure: &JobFailure<'_>) -> Result<(), CallError> {
        check(job_id, worker, &[]).map_err(refused(Endpoint::Jobs, Operation::FailJob))?;
        self.command(&self.protocol().fail_job(job_id, worker, failure)).await
    }

    /// Throws a BPMN error at the job's task. Without a boundary event for the code the engine still answers
    /// well, and the job runs into the engine's dead letters.
    ///
    /// # Errors
    /// As [`Engine::complete_job`].
    pub async fn bpmn_error(
        &self,
        job_id: &str,
        worker: &str,
        code: &str,
        variables: &[Variable],
    ) -> Result<(), CallError> {
        check(job_id, worker, variables)
            .and_then(|()| limits::name("error code", code))
            .map_err(refused(Endpoint::Jobs, Operation::BpmnError))?;
        self.command(&self.protocol().bpmn_error(job_id, worker, code, variables)).await
    }

    /// Whether a job is still to be done, whoever holds its lock. One that a suspended instance hides counts as open: it cannot be
    /// completed, and is there again once the instance is activated.
    ///
    /// # Errors
    /// Any fault leaves it unknown.
    pub async fn is_open(&self, job_id: &str, instance_id: &str) -> Result<bool, CallError> {
        limits::id("job id", job_id)
            .and_then(|()| limits::id("instance id", instance_id))
            .map_err(refused(Endpoint::Jobs, Operation::Job))?;
        if self.lists_job(job_id, instance_id).await? {
            return Ok(true);
        }
        match self.answer::<Instance>(&self.protocol().instance(instance_id)).await {
            Ok(instance) if instance.suspended => Ok(true),
            // It may have been activated between the two reads.
            Ok(_) => self.lists_job(job_id, instance_id).await,
            Err(error) if error.fault == Fault::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn lists_job(&self, job_id: &str, instance_id: &str) -> Result<bool, CallError> {
        let request = self.protocol().job(job_id, instance_id);
        let answer = match self.transport().json(&request, self.before).await {
            Err(error) if error.fault == Fault::NotFound => return Ok(false),
            answer => answer?,
        };
        let rows = if answer.get("id").is_some() {
            vec![answer]
        } else {
            let page = self.protocol().page(answer, "external-jobs");
            page.map_err(|reason| bad_answer(&request, reason))?.rows
        };
        let own = |row: &Value| row.get("id").and_then(Value::as_str) == Some(job_id);
        if rows.iter().all(own) {
            return Ok(!rows.is_empty());
        }
        Err(bad_answer(&request, "the list holds other jobs than the one that was asked for"))
    }
}

fn check(job_id: &str, worker: &str, variables: &[Variable]) -> Result<(), LimitError> {
    limits::id("job id", job_id)
        .and_then(|()| limits::name("worker", worker))
        .and_then(|()| variable::check_all(variables))
}
