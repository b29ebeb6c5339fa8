//! The last answer to an event: what its process decided, with who said and did what.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use jiff::fmt::serde::timestamp::millisecond;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{ProcessRef, SourceRef};

/// What a process decided, by `schemas/outcome/v1.avsc`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The decision, in the words of the model; absent if the process ended without one.
    pub decision: Option<String>,
    /// Comments in the order they were written.
    pub comments: Vec<Comment>,
    /// The process's tasks in the order they were created.
    pub audit: Vec<AuditEntry>,
    /// Whether `audit` holds every completed task. `false` where the engine's history did not catch up in time.
    pub audit_complete: bool,
    /// The variables that the flow chose. Null, booleans, numbers and strings stay what they are; objects, arrays and
    /// whole numbers beyond 64 bits (signed) become JSON text.
    #[serde(serialize_with = "plain_variables")]
    pub variables: BTreeMap<String, Value>,
    /// The event that started the process; absent where something else started it (a person, another process).
    pub source: Option<SourceRef>,
    /// The process instance.
    pub process: ProcessRef,
    /// When the instance started.
    #[serde(with = "millisecond::optional")]
    pub started: Option<Timestamp>,
    /// When the instance ended; absent while it runs on behind its decision.
    #[serde(with = "millisecond::optional")]
    pub ended: Option<Timestamp>,
}

impl Outcome {
    /// The CloudEvents type of the reply.
    pub const EVENT_TYPE: &'static str = "xconnector.outcome.v1";
}

/// One comment on the process or one of its tasks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comment {
    /// Who wrote it, as the engine names people; absent where it knows nobody.
    pub author: Option<String>,
    /// When it was written.
    #[serde(with = "millisecond::optional")]
    pub time: Option<Timestamp>,
    /// What was written.
    pub text: String,
}

/// One task of the process.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// The task's id in the model, or its name where the engine gives no id.
    pub task: String,
    /// Who had the task last.
    pub assignee: Option<String>,
    /// When the task was created.
    #[serde(with = "millisecond::optional")]
    pub created: Option<Timestamp>,
    /// When somebody claimed it.
    #[serde(with = "millisecond::optional")]
    pub claimed: Option<Timestamp>,
    /// When it was completed.
    #[serde(with = "millisecond::optional")]
    pub completed: Option<Timestamp>,
    /// The outcome that was chosen.
    pub outcome: Option<String>,
}

fn plain_variables<S: Serializer>(variables: &BTreeMap<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(variables.iter().map(|(name, value)| (name, plain(value))))
}

/// A variable as the schema's union can hold it.
fn plain(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
        Value::Number(number) if number.is_i64() || number.is_f64() => value.clone(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Value::String(value.to_string()),
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("source", &self.source.as_ref().map(|source| source.coordinates().to_string()))
            .field("process", &self.process.instance_id)
            .field("audit_complete", &self.audit_complete)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Comment({} bytes)", self.text.len())
    }
}

impl fmt::Debug for AuditEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditEntry").field("task", &self.task).finish_non_exhaustive()
    }
}
