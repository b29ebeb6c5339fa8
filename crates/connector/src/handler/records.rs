//! What a resolution writes to Kafka: replies and dead letters.

use event_model::{
    Coordinates, DeadLetter, JobRecord, Outcome, OutgoingRecord, ProcessRef, Receipt, ReceiptStatus, Record,
    ReplyError, ReplyRoute,
};
use flow_core::{Resolution, Resolved};
use jiff::Timestamp;
use std::sync::Arc;

use super::{FlowHandler, Output, Task, Work};

impl FlowHandler {
    pub(super) fn write_up(&self, resolved: &Resolved<Arc<Work>, Output>, now: Timestamp) -> Vec<OutgoingRecord> {
        let work = &*resolved.work;
        // The broker refused what was written before as too large: say less.
        match resolved.refused {
            0 => {}
            1 => {
                return self.dead(resolved, "reply-too-large", "the broker refused the record as too large", now);
            }
            _ => return self.stub(resolved, now),
        }
        let reply = match &resolved.resolution {
            Resolution::Filtered => return Vec::new(),
            Resolution::DeadLettered { reason, detail } => {
                return self.dead(resolved, reason.as_str(), detail, now);
            }
            // The outcome of a job that comes again is published; only its completion follows.
            Resolution::Repeated | Resolution::Duplicate if work.task.is_job() => return Vec::new(),
            Resolution::Repeated => self.receipt(work, ReceiptStatus::Accepted, None, resolved.attempts, now),
            Resolution::Duplicate => self.receipt(work, ReceiptStatus::Duplicate, None, resolved.attempts, now),
            Resolution::Accepted(Output::Instance(instance)) => {
                self.receipt(work, ReceiptStatus::Accepted, instance.clone(), resolved.attempts, now)
            }
            Resolution::Accepted(Output::Outcome(outcome, key)) => self.outcome(work, outcome, key.as_deref(), now),
            Resolution::Accepted(Output::Completed) => return Vec::new(),
        };
        match reply {
            Ok(record) => vec![record],
            // The effect is there; what cannot be told goes where an operator finds it.
            Err(error) => self.dead(resolved, "reply-unwritable", &error.to_string(), now),
        }
    }

    /// A dead letter without the original's value and headers: where it stands and what it hashes to, for when the broker takes
    /// no more.
    fn stub(&self, resolved: &Resolved<Arc<Work>, Output>, now: Timestamp) -> Vec<OutgoingRecord> {
        let work = &*resolved.work;
        let value = work.record.value.as_deref().unwrap_or_default();
        let detail = format!(
            "the broker refused the dead letter as too large; the original stands at {}, {} bytes, xxh3 {:016x}",
            work.record.coordinates,
            value.len(),
            xxhash_rust::xxh3::xxh3_64(value)
        );
        let original = Record { value: None, headers: Vec::new(), ..work.record.clone() };
        let quarantine = self.quarantine(resolved);
        let letter = self.letter(resolved, "dead-letter-too-large", &detail, quarantine.as_ref(), now);
        vec![letter.to_record(&original)]
    }

    fn letter<'a>(
        &'a self,
        resolved: &'a Resolved<Arc<Work>, Output>,
        reason: &'a str,
        detail: &'a str,
        quarantine: Option<&'a (u64, Coordinates)>,
        failed_at: Timestamp,
    ) -> DeadLetter<'a> {
        let event_id = resolved.work.event_id.as_deref();
        let (attempts, quarantine) = (resolved.attempts, quarantine.map(|(number, first)| (*number, first)));
        DeadLetter { flow: &self.flow.name, reason, detail, attempts, event_id, quarantine, failed_at }
    }

    /// The number of this dead letter in the quarantine of its key, and the record that was given up first.
    fn quarantine(&self, resolved: &Resolved<Arc<Work>, Output>) -> Option<(u64, Coordinates)> {
        let change = resolved.quarantine.as_ref()?;
        let (number, (topic, offset)) = (change.number?, change.entry.as_ref()?.first);
        let topic = self.flow.source.topics.get(usize::from(topic.0)).cloned().unwrap_or_else(|| "?".into());
        Some((number, Coordinates { topic, partition: resolved.partition(), offset }))
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

    /// Replies carry the key of the record that started the process.
    fn outcome(
        &self,
        work: &Work,
        outcome: &Outcome,
        key: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<OutgoingRecord, ReplyError> {
        let cause = match &work.task {
            Task::Job(job) => job.job_id.as_str(),
            Task::Nothing | Task::Start { .. } | Task::Message { .. } | Task::Terminate { .. } | Task::Ask(_) => {
                outcome.process.instance_id.as_str()
            }
        };
        self.replies.outcome(outcome, cause, now, &self.route(key))
    }

    /// The dead letter, and for an event the *rejected* reply: not final, because a replay may still succeed.
    fn dead(
        &self,
        resolved: &Resolved<Arc<Work>, Output>,
        reason: &str,
        detail: &str,
        now: Timestamp,
    ) -> Vec<OutgoingRecord> {
        let work = &*resolved.work;
        let quarantine = self.quarantine(resolved);
        let detail = match &quarantine {
            Some((_, first)) if *first != work.record.coordinates => format!("{detail}; the first is {first}"),
            Some(_) | None => detail.to_owned(),
        };
        let letter = self.letter(resolved, reason, &detail, quarantine.as_ref(), now);
        let mut records = vec![letter.to_record(&work.record)];
        if work.task.is_job() || Some(&*work.record.coordinates.topic) == self.jobs_topic_name().as_deref() {
            return records;
        }
        let receipt = Receipt {
            status: ReceiptStatus::Rejected,
            reason: Some(reason.to_owned()),
            detail: Some(detail),
            is_final: false,
            source: work.source.clone(),
            process: None,
            attempts: resolved.attempts,
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
        Task::Nothing | Task::Job(_) | Task::Ask(_) => (None, None),
    };
    ProcessRef { instance_id, definition, business_key }
}
