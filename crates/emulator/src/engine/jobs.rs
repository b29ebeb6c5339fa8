//! Jobs for external workers: handed out under a lock, answered, failed, given back.

use std::sync::Arc;

use jiff::{SignedDuration, Span, Timestamp};

use super::agenda::Due;
use super::instance::{JobResult, JobState};
use super::variables::{VariableInput, read};
use super::{Engine, EngineError, Instance, Job};
use crate::bpmn::duration;

/// Longest error message that is kept, as in the engine.
const MAX_EXCEPTION: usize = 2000;

/// What a worker asks for.
#[derive(Debug)]
pub(crate) struct Acquire {
    pub(crate) topic: String,
    pub(crate) worker: String,
    pub(crate) lock_duration: Span,
    pub(crate) number: usize,
}

/// What a worker says about a failed attempt.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    pub(crate) message: Option<String>,
    /// Retries left; without it one is used up.
    pub(crate) retries: Option<i64>,
    pub(crate) retry_timeout: Option<Span>,
}

impl Engine {
    /// Hands out the oldest jobs of a topic under a lock.
    ///
    /// If the batch touches an instance that an exclusive job has locked, or holds two exclusive jobs of one instance,
    /// the whole batch comes back empty: that is how the real engine's clash looks from outside.
    pub(crate) fn acquire(&mut self, request: &Acquire, now: Timestamp) -> Vec<(Arc<Instance>, Arc<str>)> {
        let batch: Vec<(u64, Arc<str>)> = self
            .acquirable
            .get(request.topic.as_str())
            .into_iter()
            .flat_map(|jobs| jobs.values().take(request.number).cloned())
            .collect();
        if self.switches.exclusive_jobs && self.clashes(&batch, now) {
            return Vec::new();
        }
        let expires = duration::after(now, &request.lock_duration);
        let sweep = self.next_sweep(expires);
        let owner: Arc<str> = request.worker.as_str().into();
        let mut acquired = Vec::with_capacity(batch.len());
        for (number, id) in batch {
            let Some(instance) = self.running.by_number(number) else { continue };
            let mut change = self.change(instance, now);
            let Some(job) = change.instance.job_mut(&id) else { continue };
            job.state = JobState::Locked { owner: owner.clone(), expires };
            if job.exclusive {
                change.instance.locked_until = Some(expires);
            }
            change.due.push((sweep, Due::Sweep { instance: number, job: id.clone() }));
            acquired.push((self.commit(change), id));
        }
        acquired
    }

    fn clashes(&self, batch: &[(u64, Arc<str>)], now: Timestamp) -> bool {
        let mut exclusive = Vec::new();
        for (number, id) in batch {
            let Some(instance) = self.running.by_number(*number) else { continue };
            let is_exclusive = instance.jobs().any(|(_, job)| job.id == *id && job.exclusive);
            if is_exclusive {
                if exclusive.contains(number) || instance.locked_until.is_some_and(|until| until > now) {
                    return true;
                }
                exclusive.push(*number);
            }
        }
        false
    }

    /// Takes a worker's result; the process moves on a little later, after the answer.
    pub(crate) fn complete_job(
        &mut self,
        id: &str,
        worker: &str,
        variables: Vec<VariableInput>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let instance = self.held(id, worker)?.clone();
        let result = JobResult::Completed(read(variables)?);
        self.answer(&instance, id, result, now);
        Ok(())
    }

    /// Takes a BPMN error from a worker; it is thrown a little later, after the answer.
    pub(crate) fn throw_bpmn_error(
        &mut self,
        id: &str,
        worker: &str,
        code: String,
        variables: Vec<VariableInput>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let instance = self.held(id, worker)?.clone();
        let result = JobResult::Error { code, variables: read(variables)? };
        self.answer(&instance, id, result, now);
        Ok(())
    }

    /// Takes a failed attempt; without retries left the job is parked.
    pub(crate) fn fail_job(
        &mut self,
        id: &str,
        worker: &str,
        failure: Failure,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let mut change = self.change(self.held(id, worker)?, now);
        let number = change.instance.number;
        change.instance.locked_until = None;
        let Some(job) = change.instance.job_mut(id) else { return Err(no_job(id)) };
        // A negative number counts as none given, as was observed on the real engine.
        job.retries = failure.retries.filter(|r| *r >= 0).unwrap_or(job.retries - 1);
        job.exception = failure.message.map(|m| m.chars().take(MAX_EXCEPTION).collect());
        job.state = match failure.retry_timeout {
            _ if job.retries <= 0 => JobState::Dead,
            None => JobState::Waiting,
            Some(timeout) => {
                let until = duration::after(now, &timeout);
                change.due.push((self.next_sweep(until), Due::Sweep { instance: number, job: id.into() }));
                JobState::Deferred { until }
            }
        };
        self.commit(change);
        Ok(())
    }

    /// Gives a job back. The lock of its instance stays until its time is over, as in the real engine.
    pub(crate) fn unacquire(&mut self, id: &str, worker: &str, now: Timestamp) -> Result<(), EngineError> {
        let mut change = self.change(self.held(id, worker)?, now);
        if let Some(job) = change.instance.job_mut(id) {
            job.state = JobState::Waiting;
        }
        self.commit(change);
        Ok(())
    }

    /// Takes every lock away at once: what was handed out will be handed out again.
    pub(crate) fn release_locks(&mut self, now: Timestamp) {
        let locked: Vec<Arc<Instance>> = self
            .running
            .iter()
            .filter(|i| i.jobs().any(|(_, job)| matches!(job.state, JobState::Locked { .. })))
            .cloned()
            .collect();
        for instance in locked {
            let mut change = self.change(&instance, now);
            change.instance.locked_until = None;
            for (_, job) in instance.jobs() {
                if let Some(job) = change.instance.job_mut(&job.id)
                    && matches!(job.state, JobState::Locked { .. })
                {
                    job.state = JobState::Waiting;
                }
            }
            self.commit(change);
        }
    }

    /// Puts parked jobs back with fresh retries, under their old ids.
    pub(crate) fn revive_dead_jobs(&mut self, now: Timestamp) -> usize {
        let parked: Vec<(Arc<Instance>, Arc<str>)> = self
            .running
            .iter()
            .flat_map(|i| {
                i.jobs().filter(|(_, j)| matches!(j.state, JobState::Dead)).map(|(_, j)| (i.clone(), j.id.clone()))
            })
            .collect();
        for (instance, id) in &parked {
            let Some(instance) = self.running.by_number(instance.number) else { continue };
            let mut change = self.change(instance, now);
            if let Some(job) = change.instance.job_mut(id) {
                job.state = JobState::Waiting;
                job.retries = super::interpret::JOB_RETRIES;
            }
            self.commit(change);
        }
        parked.len() + self.revive_dead_requests(now)
    }

    /// The step after a worker's answer. If it fails it is tried again, and parked in the end; the worker never hears.
    pub(super) fn continue_after(&mut self, instance: u64, id: &str, at: Timestamp) {
        let Some(instance) = self.running.by_number(instance).filter(|i| !i.suspended).cloned() else { return };
        let Some((execution, job)) = instance.jobs().find(|(_, job)| &*job.id == id) else { return };
        let JobState::Continuing { result, due } = &job.state else { return };
        if *due > at {
            return;
        }
        let mut change = self.change(&instance, at);
        let outcome = match result {
            JobResult::Completed(variables) => {
                change.instance.variables.extend(variables.iter().cloned());
                change.resume(&execution.id)
            }
            JobResult::Error { code, variables } => {
                change.instance.variables.extend(variables.iter().cloned());
                change.throw(&execution.id, code)
            }
        };
        match outcome {
            Ok(()) => {
                self.commit(change);
            }
            Err(error) => self.retry_continuation(&instance, id, result.clone(), &error, at),
        }
    }

    fn retry_continuation(
        &mut self,
        instance: &Instance,
        id: &str,
        result: JobResult,
        error: &EngineError,
        at: Timestamp,
    ) {
        let mut change = self.change(instance, at);
        let wait = i64::try_from(self.switches.async_retry_ms).unwrap_or(i64::MAX);
        let due = at.checked_add(SignedDuration::from_millis(wait)).unwrap_or(Timestamp::MAX);
        if let Some(job) = change.instance.job_mut(id) {
            job.retries -= 1;
            job.exception = Some(error.to_string());
            job.state = if job.retries <= 0 { JobState::Dead } else { JobState::Continuing { result, due } };
        }
        change.due.push((due, Due::Continue { instance: instance.number, job: id.into() }));
        self.commit(change);
    }

    fn answer(&mut self, instance: &Instance, id: &str, result: JobResult, now: Timestamp) {
        let mut change = self.change(instance, now);
        let delay = i64::try_from(self.switches.async_delay_ms).unwrap_or(i64::MAX);
        let due = now.checked_add(SignedDuration::from_millis(delay)).unwrap_or(Timestamp::MAX);
        change.instance.locked_until = None;
        if let Some(job) = change.instance.job_mut(id) {
            job.state = JobState::Continuing { result, due };
            job.retries = super::interpret::JOB_RETRIES;
        }
        change.due.push((due, Due::Continue { instance: instance.number, job: id.into() }));
        self.commit(change);
    }

    /// The instance of a job that this worker holds. A lock that has run out still counts until it is swept.
    fn held(&self, id: &str, worker: &str) -> Result<&Arc<Instance>, EngineError> {
        let instance = self.owner(id).filter(|i| !i.suspended).ok_or_else(|| no_job(id))?;
        let job: &Job = instance.jobs().map(|(_, job)| job).find(|j| &*j.id == id).ok_or_else(|| no_job(id))?;
        match &job.state {
            JobState::Locked { owner, .. } if &**owner == worker => Ok(instance),
            JobState::Locked { .. } | JobState::Waiting | JobState::Deferred { .. } => {
                Err(EngineError::Forbidden(format!("{worker} does not hold a lock on the requested job")))
            }
            JobState::Continuing { .. } | JobState::Dead => Err(no_job(id)),
        }
    }
}

fn no_job(id: &str) -> EngineError {
    EngineError::NotFound(format!("Could not find external worker job with id '{id}'."))
}
