//! What is asked of a system, what it answers, and why there may be no answer.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// A method of HTTP that jobs may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes something, or does something to it.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

/// One request.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query below the base URL, percent-encoded, with a slash in front.
    pub path: String,
    /// The JSON body.
    pub body: Option<Value>,
    /// The name of the schema that the body obeys: a command by Kafka carries it.
    pub schema: Option<String>,
    /// The version that is meant, for `If-Match`.
    pub if_match: Option<String>,
    /// Known to the system if the request comes again.
    pub idempotency_key: String,
    /// Whether the answer is a document: it is measured and hashed as it streams by, and never kept.
    pub document: bool,
}

impl fmt::Debug for Request {
    /// Path and body are data of the process.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("key", &self.idempotency_key)
            .finish_non_exhaustive()
    }
}

/// What a system answered, whatever the status.
#[derive(Clone, PartialEq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers by their lower-case names; those that are no text are left out.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON as it came, other text as a string, nothing as null. Of a document: `href`, `sha256`, `bytes`, `contentType`.
    pub body: Value,
    /// How long the system asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl fmt::Debug for Response {
    /// Headers and body are the system's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// There is no answer that could be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("system {system} ({fault}): {message}")]
pub struct CallError {
    /// What it means.
    pub fault: Fault,
    /// The system.
    pub system: String,
    /// The cause in words, without data of the process.
    pub message: String,
    /// How long the other side asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// No byte of the request left: connection refused, name or TLS failure, no token.
    #[error("not sent")]
    Unsent,
    /// No answer in time.
    #[error("timed out")]
    TimedOut,
    /// The connection was lost after sending.
    #[error("connection lost")]
    Broken,
    /// The token endpoint refuses our credentials.
    #[error("unauthorized")]
    Unauthorized,
    /// A good answer that cannot be used: too large, or no JSON where it says so.
    #[error("bad answer")]
    BadAnswer,
    /// A request that cannot be made: a path or header that HTTP does not take.
    #[error("refused before sending")]
    Limit,
}
