//! External-worker jobs as records of `xc.<flow>.jobs`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{Header, OutgoingRecord, Record};

/// A locked job of the workflow service, as the job acquirer writes it to `xc.<flow>.jobs`. The same job may be
/// written more than once: whoever runs it must recognise its `job_id`.
///
/// Fields that this version does not know are ignored on reading, so that instances of two versions can run together.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    /// The engine's id of the job; also the idempotency key of whatever is done for it.
    pub job_id: String,
    /// The engine's correlation id: stays the same when the engine creates the job anew after a failure.
    pub correlation_id: Option<String>,
    /// The external-worker topic of the model, such as `tickets.outcome`.
    pub topic: String,
    /// The process instance that waits for the job; the record's key.
    pub process_instance_id: String,
    /// The process definition's id, `key:version:uuid` where the engine follows Flowable.
    pub process_definition_id: Option<String>,
    /// The id of the service task in the model.
    pub element_id: Option<String>,
    /// The instance's business key, where the engine gives it with the job.
    #[serde(default)]
    pub business_key: Option<String>,
    /// The variables that the job carries, as JSON.
    #[serde(default)]
    pub variables: BTreeMap<String, Value>,
    /// How many tries the engine still allows.
    pub retries: Option<i32>,
    /// When the lock ends and the engine may hand the job out again.
    pub lock_expires_at: Option<Timestamp>,
}

impl JobRecord {
    /// What stands for the topic of a record that a process posted: which of the flow's jobs it is, the engine tells.
    pub const POSTED: &str = "posted";

    /// What is known when a process posts that it has an outcome: nothing but which one it says it is.
    #[must_use]
    pub fn posted(process_instance_id: String) -> Self {
        Self {
            job_id: process_instance_id.clone(),
            correlation_id: Some(process_instance_id.clone()),
            topic: Self::POSTED.to_owned(),
            process_instance_id,
            process_definition_id: None,
            element_id: None,
            business_key: None,
            variables: BTreeMap::new(),
            retries: None,
            lock_expires_at: None,
        }
    }

    /// The topic of a flow's jobs.
    #[must_use]
    pub fn topic_of(flow: &str) -> String {
        format!("xc.{flow}.jobs")
    }

    /// The record for the flow's jobs topic, keyed by the process instance, so that jobs of one instance keep their
    /// order.
    ///
    /// # Errors
    /// When the variables cannot be written as JSON.
    pub fn to_record(&self, flow: &str) -> Result<OutgoingRecord, BadJobRecord> {
        let value = serde_json::to_vec(self)
            .map_err(|error| BadJobRecord::Unwritable { job_id: self.job_id.clone(), problem: error.to_string() })?;
        Ok(OutgoingRecord {
            topic: Self::topic_of(flow).into(),
            partition: None,
            key: Some(self.process_instance_id.clone().into_bytes()),
            value: Some(value),
            headers: vec![Header::text("content-type", "application/json")],
        })
    }

    /// Reads a record of the jobs topic.
    ///
    /// # Errors
    /// When the value is null or not a job; both mean that something else writes to the topic.
    pub fn from_record(record: &Record) -> Result<Self, BadJobRecord> {
        let coordinates = || record.coordinates.to_string();
        let value = record.value.as_deref().ok_or_else(|| BadJobRecord::Null { coordinates: coordinates() })?;
        serde_json::from_slice(value).map_err(|error| BadJobRecord::Unreadable {
            coordinates: coordinates(),
            line: error.line(),
            column: error.column(),
        })
    }
}

impl fmt::Debug for JobRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRecord")
            .field("job_id", &self.job_id)
            .field("topic", &self.topic)
            .field("process_instance_id", &self.process_instance_id)
            .field("element_id", &self.element_id)
            .field("variables", &format_args!("{} variables", self.variables.len()))
            .field("retries", &self.retries)
            .field("lock_expires_at", &self.lock_expires_at)
            .finish_non_exhaustive()
    }
}

/// A job that cannot be written to, or read from, the jobs topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadJobRecord {
    /// The job has no JSON form.
    #[error("job {job_id} cannot be written as JSON: {problem}")]
    Unwritable {
        /// The job.
        job_id: String,
        /// What the writer said.
        problem: String,
    },
    /// The record has a null value.
    #[error("{coordinates}: the job record has a null value; only the job acquirer may write to this topic")]
    Null {
        /// Where the record stands.
        coordinates: String,
    },
    /// The record is no job.
    #[error(
        "{coordinates}: the record is not a job (line {line}, column {column}); only the job acquirer may write to this topic"
    )]
    Unreadable {
        /// Where the record stands.
        coordinates: String,
        /// Line inside the value, from 1.
        line: usize,
        /// Column inside the line, from 1.
        column: usize,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::{Coordinates, Offset, Partition};

    fn job() -> JobRecord {
        JobRecord {
            job_id: "j-1".to_owned(),
            correlation_id: Some("c-1".to_owned()),
            topic: "tickets.outcome".to_owned(),
            process_instance_id: "p-1".to_owned(),
            process_definition_id: Some("ticket_triage:1:abc".to_owned()),
            element_id: Some("publishOutcome".to_owned()),
            business_key: None,
            variables: BTreeMap::from([("decision".to_owned(), json!("hunter2"))]),
            retries: Some(3),
            lock_expires_at: Some(Timestamp::UNIX_EPOCH),
        }
    }

    fn received(value: Option<Vec<u8>>) -> Record {
        Record {
            coordinates: Coordinates {
                topic: "xc.tickets.jobs".into(),
                partition: Partition::new(0),
                offset: Offset::new(3),
            },
            key: None,
            value,
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    #[test]
    fn a_job_survives_the_jobs_topic_keyed_by_its_instance() {
        let sent = job().to_record("tickets").expect("written");
        assert_eq!(&*sent.topic, "xc.tickets.jobs");
        assert_eq!(sent.key.as_deref(), Some(b"p-1".as_slice()));
        let read = JobRecord::from_record(&received(sent.value)).expect("read");
        assert_eq!(read, job());
    }

    #[test]
    fn a_job_of_a_newer_or_older_version_is_read() {
        let text = r#"{"jobId":"j","topic":"t","processInstanceId":"p","later":1}"#;
        let read = JobRecord::from_record(&received(Some(text.into()))).expect("read");
        assert_eq!((read.job_id.as_str(), read.retries), ("j", None));
    }

    #[test]
    fn what_is_no_job_is_named_by_its_coordinates_alone() {
        for value in [None, Some(b"{\"jobId\":\"hunter2\"}".to_vec())] {
            let error = JobRecord::from_record(&received(value)).expect_err("refused");
            let text = error.to_string();
            assert!(text.starts_with("xc.tickets.jobs/0@3:"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn debug_output_shows_no_variables() {
        assert!(!format!("{:?}", job()).contains("hunter2"));
    }
}
