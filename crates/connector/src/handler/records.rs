//! What a resolution writes to Kafka: replies and dead letters.

use event_model::{
    DeadLetter, JobRecord, Outcome, OutgoingRecord, ProcessRef, Receipt, ReceiptStatus, Record, ReplyError, ReplyRoute,
};
use flow_core::{Resolution, Resolved};
use jiff::Timestamp;
use std::sync::Arc;

use super::{FlowHandler, Origin, Output, Task, Work, marker};

impl FlowHandler {
    pub(super) fn write_up(&self, resolved: &Resolved<Arc<Work>, Output>, now: Timestamp) -> Vec<OutgoingRecord> {
        let work = &*resolved.work;
        // The broker refused what was written before as too large: say less.
        match resolved.refused {
            0 => {}
            1 => {
                return self.dead(
                    work,
                    "reply-too-large",
                    "the broker refused the record as too large",
                    resolved.attempts,
                    now,
                );
            }
            _ => return self.stub(work, resolved.attempts, now),
        }
        let reply = match &resolved.resolution {
            Resolution::Filtered => return Vec::new(),
            Resolution::DeadLettered { reason, detail } => {
                return self.dead(work, reason.as_str(), detail, resolved.attempts, now);
            }
            // The outcome of a job that comes again is published; only its completion follows.
            Resolution::Repeated | Resolution::Duplicate if matches!(work.task, Task::Job(_)) => return Vec::new(),
            Resolution::Repeated => self.receipt(work, ReceiptStatus::Accepted, None, resolved.attempts, now),
            Resolution::Duplicate => self.receipt(work, ReceiptStatus::Duplicate, None, resolved.attempts, now),
            Resolution::Accepted(Output::Instance(instance)) => {
                self.receipt(work, ReceiptStatus::Accepted, instance.clone(), resolved.attempts, now)
            }
            Resolution::Accepted(Output::Outcome(outcome)) => self.outcome(work, outcome, now),
            Resolution::Accepted(Output::Completed) => return Vec::new(),
        };
        match reply {
            Ok(record) => vec![record],
            // The effect is there; what cannot be told goes where an operator finds it.
            Err(error) => self.dead(work, "reply-unwritable", &error.to_string(), resolved.attempts, now),
        }
    }

    /// A dead letter without the original's value and headers: where it stands and what it hashes to, for when the broker takes
    /// no more.
    fn stub(&self, work: &Work, attempts: u32, now: Timestamp) -> Vec<OutgoingRecord> {
        let value = work.record.value.as_deref().unwrap_or_default();
        let detail = format!(
            "the broker refused the dead letter as too large; the original stands at {}, {} bytes, xxh3 {:016x}",
            work.record.coordinates,
            value.len(),
            xxhash_rust::xxh3::xxh3_64(value)
        );
        let original = Record { value: None, headers: Vec::new(), ..work.record.clone() };
        let event_id = work.event_id.as_deref();
        let reason = "dead-letter-too-large";
        let letter = DeadLetter { flow: &self.flow.name, reason, detail: &detail, attempts, event_id, failed_at: now };
        vec![letter.to_record(&original)]
    }

    fn receipt(
        &self,
        work: &Work,
        status: ReceiptStatus,
        instance: Option<String>,
        attempts: u32,
        now: Timestamp,
    ) -> Result<OutgoingRecord, ReplyError> {
        let receipt = Receipt {
            status,
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

    pub(super) fn jobs_topic_name(&self) -> Option<String> {
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
