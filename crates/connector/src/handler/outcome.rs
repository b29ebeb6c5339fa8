//! What a process decided: gathered from its job, its history and its comments, then its job is completed.

use std::time::Duration;

use event_model::{AuditEntry, Comment, JobRecord, Outcome, ProcessRef};
use flow_config::{JobOrigin, JobWork};
use flow_core::{Answer, Failure};
use jiff::Timestamp;
use workflow_client::{CallError, Fault, HistoricTask, JobFailure, Task as OpenTask, TaskFilter};

use super::faults::{bad_answer, failure};
use super::posted::Shown;
use super::{FlowHandler, Origin, Output, marker};

impl FlowHandler {
    pub(super) async fn gather(&self, job: &JobRecord) -> Result<Answer<Output>, Box<Failure>> {
        let id = &job.process_instance_id;
        let instance = self.engine.instance_history(id).await.map_err(|error| failure(&error))?;
        if instance.as_ref().is_some_and(marker::is_surplus) {
            // Its event has another instance, which has its own outcome.
            return Ok(Answer::Done(Output::Completed));
        }
        let shown;
        let job = if job.topic == JobRecord::POSTED {
            match self.shown(job, instance.as_ref()).await? {
                Shown::Ended(job) => shown = job,
                Shown::Otherwise(answer) => return Ok(answer),
            }
            &*shown
        } else {
            job
        };
        let tasks = self.engine.historic_tasks(id).await.map_err(|error| failure(&error))?;
        let comments = self.engine.comments(id).await.map_err(|error| failure(&error))?;
        let unfinished = tasks.iter().any(|task| task.end_time.is_none());
        let open = if unfinished {
            self.engine.tasks(TaskFilter::Instance(id)).await.map_err(|error| failure(&error))?
        } else {
            Vec::new()
        };
        let complete = instance.is_some() && audit_is_complete(&tasks, &open) && self.history_has_caught_up(job);
        let Some(JobWork::Outcome(publication)) = self.flow.job(&job.topic).map(|job| &job.work) else {
            return Err(bad_answer("the flow's job publishes no outcome; this is a bug"));
        };
        let decision = publication.decision(job).map_err(|error| {
            let (fault, detail) = (flow_core::Fault::Limit, error.to_string());
            Box::new(Failure { fault, detail, retry_after: None })
        })?;
        let included = publication.include.iter().filter_map(|name| job.variables.get_key_value(&**name));
        let origin = job.variables.get(marker::ORIGIN).and_then(Origin::read);
        let outcome = Outcome {
            decision,
            comments: in_order(comments),
            audit: tasks.into_iter().map(audit_entry).collect(),
            audit_complete: complete,
            variables: included.map(|(name, value)| (name.clone(), value.clone())).collect(),
            source: origin.as_ref().map(Origin::source),
            process: ProcessRef {
                instance_id: id.clone(),
                definition: job.process_definition_id.clone(),
                business_key: instance.as_ref().and_then(|instance| instance.business_key.clone()),
            },
            started: instance.as_ref().and_then(|instance| instance.start_time),
            ended: instance.as_ref().and_then(workflow_client::Instance::end_time),
        };
        let output = Output::Outcome(Box::new(outcome), origin.and_then(|origin| origin.key()));
        Ok(if complete { Answer::Done(output) } else { Answer::Incomplete(output) })
    }

    /// Whether the record stands for a process that has ended: there is no job that waits for anything.
    fn has_ended(&self, job: &JobRecord) -> bool {
        job.topic == JobRecord::POSTED
            || self.flow.job(&job.topic).is_some_and(|job| matches!(job.origin, JobOrigin::Ended(_)))
    }

    pub(super) async fn complete(&self, job: &JobRecord) -> Result<Answer<Output>, Box<Failure>> {
        if self.has_ended(job) {
            return Ok(Answer::Done(Output::Completed));
        }
        let answer = self.engine.complete_job(&job.job_id, &self.worker, &[]).await;
        ended(&self.flow.name, job, answer)
    }

    /// Sends the job to the engine's dead letters, where an operator finds it beside ours.
    pub(super) async fn give_back(&self, job: &JobRecord) -> Result<Answer<Output>, Box<Failure>> {
        if self.has_ended(job) {
            return Ok(Answer::Done(Output::Completed));
        }
        let message = "xConnector wrote this job to its dead letters; see xc-reason there";
        let failure = JobFailure { message, details: None, retries: Some(0), retry_timeout: None };
        let answer = self.engine.fail_job(&job.job_id, &self.worker, &failure).await;
        ended(&self.flow.name, job, answer)
    }

    /// Whether history that lags holds what happened before the job was locked.
    fn history_has_caught_up(&self, job: &JobRecord) -> bool {
        let lock = job.lock_expires_at.map(|end| end - self.lock);
        self.history_lag == Duration::ZERO || lock.is_none_or(|locked| Timestamp::now() >= locked + self.history_lag)
    }
}

/// 404: the job is gone, completed or cancelled. 403: the lock ran out, and the job comes again under its id. Either way there is
/// nothing left to do for this record.
fn ended(flow: &str, job: &JobRecord, answer: Result<(), CallError>) -> Result<Answer<Output>, Box<Failure>> {
    match answer {
        Ok(()) => Ok(Answer::Done(Output::Completed)),
        Err(error) if matches!(error.fault, Fault::NotFound | Fault::Forbidden) => {
            tracing::debug!(flow, job = job.job_id, %error, "the job is not ours any more");
            Ok(Answer::Done(Output::Completed))
        }
        Err(error) => Err(failure(&error)),
    }
}

/// A task without an end in history must still be open in the engine; otherwise history lacks its end.
fn audit_is_complete(tasks: &[HistoricTask], open: &[OpenTask]) -> bool {
    let is_open = |task: &HistoricTask| open.iter().any(|other| other.id == task.id);
    tasks.iter().all(|task| task.end_time.is_some() || is_open(task))
}

/// As they were written: engines list them as they like, Flowable the newest first.
fn in_order(mut comments: Vec<workflow_client::Comment>) -> Vec<Comment> {
    comments.sort_by_key(|comment| comment.time);
    let comment = |comment: workflow_client::Comment| Comment {
        author: comment.author,
        time: comment.time,
        text: comment.message,
    };
    comments.into_iter().map(comment).collect()
}

fn audit_entry(task: HistoricTask) -> AuditEntry {
    let created = task.created();
    AuditEntry {
        task: task.task_definition_key.or(task.name).unwrap_or(task.id),
        assignee: task.assignee,
        created,
        claimed: task.claim_time,
        completed: task.end_time,
        // Neither engine keeps the chosen outcome with the task; a task that was cancelled says why.
        outcome: task.delete_reason,
    }
}
