//! What the engines answer, reduced to what the connector uses. Unknown fields are ignored.

mod fields;
mod instance;
mod work;

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use crate::pages::Row;

use fields::{date, or_default};
pub use instance::Instance;
pub(crate) use instance::Started;
pub use work::{HistoricTask, Job, Task};

/// The id of an execution: a point of waiting inside an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExecutionId(pub String);

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecutionRow {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) process_instance_id: Option<String>,
}

impl Row for ExecutionRow {
    const COLLECTION: &'static str = "executions";
    fn id(&self) -> &str {
        &self.id
    }
}

/// A comment on an instance or one of its tasks.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Comment {
    /// The engine's id.
    pub id: String,
    /// Who wrote it, if the engine knows.
    #[serde(default)]
    pub author: Option<String>,
    /// The text.
    #[serde(default, deserialize_with = "or_default")]
    pub message: String,
    /// When.
    #[serde(default, deserialize_with = "date")]
    pub time: Option<Timestamp>,
    /// The task it belongs to, if to one.
    #[serde(default)]
    pub task_id: Option<String>,
}

impl fmt::Debug for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comment").field("id", &self.id).field("time", &self.time).finish_non_exhaustive()
    }
}

impl Row for Comment {
    const COLLECTION: &'static str = "comments";
    fn id(&self) -> &str {
        &self.id
    }
}

/// A deployed process definition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Definition {
    /// The engine's id.
    pub id: String,
    /// The key that a start names.
    pub key: String,
    /// Title for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Grows with each deployment.
    #[serde(default)]
    pub version: Option<i64>,
    #[serde(default)]
    pub(crate) deployment_id: Option<String>,
}

impl Row for Definition {
    const COLLECTION: &'static str = "models";
    fn id(&self) -> &str {
        &self.id
    }
}
