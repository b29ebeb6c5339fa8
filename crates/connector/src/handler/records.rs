//! What a resolution writes to Kafka: replies and dead letters.

use event_model::{
    DeadLetter, JobRecord, Outcome, OutgoingRecord, ProcessRef, Receipt, ReceiptStatus, ReplyError, ReplyRoute,
};
use flow_core::{Resolution, Resolved};
use jiff::Timestamp;
use std::sync::Arc;

use super::{FlowHandler, Origin, Output, Task, Work, marker};

impl FlowHandler {
    pub(super) fn write_up(&self, resolved: &Resolved<Arc<Work>, Output>, now: Timestamp) -> Vec<OutgoingRecord> {
        let work = &*resolved.work;
        match &resolved.resolution {
            Resolution::Filtered => Vec::new(),
            Resolution::DeadLettered { reason, detail } => {
                self.dead(work, reason.as_str(), detail, resolved.attempts, now)
            }
            Resolution::Accepted(output) => {
                let reply = match output {
                    Output::Instance(instance) => self.accepted(work, instance.clone(), resolved.attempts, now),
                    Output::Outcome(outcome) => self.outcome(work, outcome, now),
                    Output::Completed => return Vec::new(),
                };
                match reply {
                    Ok(record) => vec![record],
                    // The effect is there; what cannot be told goes where an operator finds it.
                    Err(error) => self.dead(work, "reply-unwritable", &error.to_string(), resolved.attempts, now),
                }
            }
        }
    }

    fn accepted(
        &self,
        work: &Work,
        instance: Option<String>,
        attempts: u32,
        now: Timestamp,
    ) -> Result<OutgoingRecord, ReplyError> {
        let receipt = Receipt {
            status: ReceiptStatus::Accepted,
            reason: None,
            detail: None,
            is_final: true,
            source: work.source.clone(),
            process: instance.map(|instance_id| process(work, instance_id)),
            attempts,
            time: now,
        };
        self.replies.receipt(&receipt, &self.route(work.record.key.as_deref()))
    }

    fn outcome(&self, work: &Work, outcome: &Outcome, now: Timestamp) -> Result<OutgoingRecord, ReplyError> {
        let (cause, key) = match &work.task {
            Task::Job(job) => (job.job_id.as_str(), origin_key(job)),
            Task::Nothing | Task::Start { .. } | Task::Message { .. } | Task::Terminate { .. } => {
                (outcome.process.instance_id.as_str(), work.record.key.clone())
            }
        };
        self.replies.outcome(outcome, cause, now, &self.route(key.as_deref()))
    }

    /// The dead letter, and for an event the *rejected* reply: not final, because a replay may still succeed.
    fn dead(&self, work: &Work, reason: &str, detail: &str, attempts: u32, now: Timestamp) -> Vec<OutgoingRecord> {
        let event_id = work.event_id.as_deref();
        let letter = DeadLetter { flow: &self.flow.name, reason, detail, attempts, event_id, failed_at: now };
        let mut records = vec![letter.to_record(&work.record)];
        if matches!(work.task, Task::Job(_))
            || Some(&*work.record.coordinates.topic) == self.jobs_topic_name().as_deref()
        {
            return records;
        }
        let receipt = Receipt {
            status: ReceiptStatus::Rejected,
            reason: Some(reason.to_owned()),
            detail: Some(detail.to_owned()),
            is_final: false,
            source: work.source.clone(),
            process: None,
            attempts,
            time: now,
        };
        match self.replies.receipt(&receipt, &self.route(work.record.key.as_deref())) {
            Ok(record) => records.push(record),
            Err(error) => {
                tracing::error!(flow = %self.flow.name, %error, "the dead letter stands, its reply cannot be written")
            }
        }
        records
    }

    fn route<'a>(&'a self, key: Option<&'a [u8]>) -> ReplyRoute<'a> {
        let reply = &self.flow.reply;
        ReplyRoute { flow: &self.flow.name, topic: reply.topic.clone(), partition: None, key, encoding: reply.format }
    }

    fn jobs_topic_name(&self) -> Option<String> {
        self.jobs_topic.map(|_| JobRecord::topic_of(&self.flow.name))
    }
}

fn process(work: &Work, instance_id: String) -> ProcessRef {
    let (definition, business_key) = match &work.task {
        Task::Start { definition, business_key, .. }
        | Task::Message { definition, business_key, .. }
        | Task::Terminate { definition, business_key, .. } => {
            (Some(definition.to_string()), Some(business_key.clone()))
        }
        Task::Nothing | Task::Job(_) => (None, None),
    };
    ProcessRef { instance_id, definition, business_key }
}

/// Replies carry the key of the record that started the process.
fn origin_key(job: &JobRecord) -> Option<Vec<u8>> {
    job.variables.get(marker::ORIGIN).and_then(Origin::read).and_then(|origin| origin.key())
}
