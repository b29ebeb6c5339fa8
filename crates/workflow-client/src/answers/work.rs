//! What waits for a worker or a person, or waited.

use jiff::Timestamp;
use serde::Deserialize;

use super::Comment;
use super::fields::{date, or_default, variable_list};
use crate::pages::Row;
use crate::variable::Variable;

/// A locked external-worker job. There is no business key in it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Job {
    /// The engine's id, the same when the job is handed out again after its lock has expired.
    pub id: String,
    /// The best key to recognise the job by: survives locks, retries and the dead-letter round trip.
    #[serde(default)]
    pub correlation_id: Option<String>,
    /// Only OpenText repeats the topic.
    #[serde(default)]
    pub topic: Option<String>,
    /// The instance that waits for the job.
    #[serde(default)]
    pub process_instance_id: Option<String>,
    /// `key:version:id`.
    #[serde(default)]
    pub process_definition_id: Option<String>,
    /// The execution inside the instance.
    #[serde(default)]
    pub execution_id: Option<String>,
    /// The task's id in the model.
    #[serde(default)]
    pub element_id: Option<String>,
    /// The task's name in the model.
    #[serde(default)]
    pub element_name: Option<String>,
    /// Tries that are left.
    #[serde(default)]
    pub retries: Option<i64>,
    /// The worker that holds the lock.
    #[serde(default)]
    pub lock_owner: Option<String>,
    /// Until when; the engine frees expired locks only once a minute by default.
    #[serde(default, deserialize_with = "date")]
    pub lock_expiration_time: Option<Timestamp>,
    /// When the job was made.
    #[serde(default, deserialize_with = "date")]
    pub create_time: Option<Timestamp>,
    /// Message of the last failure.
    #[serde(default)]
    pub exception_message: Option<String>,
    /// The instance's variables, or the task's in-parameters if it has any.
    #[serde(default, deserialize_with = "variable_list")]
    pub variables: Vec<Variable>,
}

impl Row for Job {
    const COLLECTION: &'static str = "external-jobs";
    fn id(&self) -> &str {
        &self.id
    }
}

/// An open user task.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Task {
    /// The engine's id.
    pub id: String,
    /// Title for people.
    #[serde(default)]
    pub name: Option<String>,
    /// The task's id in the model, where the answer has it.
    #[serde(default)]
    pub task_definition_key: Option<String>,
    /// Who has claimed it.
    #[serde(default)]
    pub assignee: Option<String>,
    /// The instance it belongs to.
    #[serde(default)]
    pub process_instance_id: Option<String>,
    /// The execution inside the instance.
    #[serde(default)]
    pub execution_id: Option<String>,
    /// When it was created.
    #[serde(default, deserialize_with = "date")]
    pub create_time: Option<Timestamp>,
    /// When it is due.
    #[serde(default, deserialize_with = "date")]
    pub due_date: Option<Timestamp>,
}

impl Row for Task {
    const COLLECTION: &'static str = "tasks";
    fn id(&self) -> &str {
        &self.id
    }
}

/// A user task from history: one line of the audit trail.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HistoricTask {
    /// The engine's id.
    pub id: String,
    /// Title for people.
    #[serde(default)]
    pub name: Option<String>,
    /// The task's id in the model.
    #[serde(default)]
    pub task_definition_key: Option<String>,
    /// Who claimed it. A task completed without being claimed has none, and no engine says who completed it.
    #[serde(default)]
    pub assignee: Option<String>,
    /// The instance it belongs to.
    #[serde(default)]
    pub process_instance_id: Option<String>,
    #[serde(default, deserialize_with = "date")]
    start_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "date")]
    create_time: Option<Timestamp>,
    /// When it was claimed.
    #[serde(default, deserialize_with = "date")]
    pub claim_time: Option<Timestamp>,
    /// When it was completed or removed; absent while it is open.
    #[serde(default, deserialize_with = "date")]
    pub end_time: Option<Timestamp>,
    /// When it was due.
    #[serde(default, deserialize_with = "date")]
    pub due_date: Option<Timestamp>,
    /// Set when the task was removed rather than completed.
    #[serde(default)]
    pub delete_reason: Option<String>,
    /// Comments, where the list carries them (OpenText); else see [`crate::Engine::comments`].
    #[serde(default, deserialize_with = "or_default")]
    pub comments: Vec<Comment>,
}

impl HistoricTask {
    /// When it was created: Flowable's `startTime`, else `createTime`.
    pub fn created(&self) -> Option<Timestamp> {
        self.start_time.or(self.create_time)
    }
}

impl Row for HistoricTask {
    const COLLECTION: &'static str = "historic-task-instances";
    fn id(&self) -> &str {
        &self.id
    }
}
