//! Why the engine refuses a request; the variants follow the statuses that the service answers with.

use crate::bpmn::expression::EvaluationError;

/// A refused request. Nothing of it took effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    /// The request itself is wrong (400).
    #[error("{0}")]
    BadRequest(String),
    /// The worker does not hold the job (403).
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing, or no longer (404).
    #[error("{0}")]
    NotFound(String),
    /// The thing exists already or is in that state already (409).
    #[error("{0}")]
    Conflict(String),
    /// Another person holds the task (409, with a message of its own).
    #[error("{0}")]
    AlreadyClaimed(String),
    /// The execution does not wait for this message (a switch decides the status).
    #[error("{0}")]
    NotSubscribed(String),
    /// The engine failed while it ran the process (500).
    #[error("{0}")]
    Internal(String),
}

impl From<EvaluationError> for EngineError {
    fn from(error: EvaluationError) -> Self {
        Self::Internal(error.to_string())
    }
}
