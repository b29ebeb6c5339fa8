//! Error answers: the engine's `{message, exception}` and the gateway's `{fault}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Service;
use crate::engine::EngineError;

/// An error answer of the engine.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    message: &'static str,
    exception: String,
}

impl Problem {
    pub(super) fn bad_request(exception: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: "Bad request", exception: exception.into() }
    }

    pub(super) fn internal(exception: impl Into<String>) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "Internal server error",
            exception: exception.into(),
        }
    }

    pub(super) fn not_found(exception: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: "Not found", exception: exception.into() }
    }

    pub(super) fn forbidden(exception: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, message: "Forbidden", exception: exception.into() }
    }

    pub(super) fn unsupported_content(exception: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            message: "Content is not supported",
            exception: exception.into(),
        }
    }

    /// Another transaction was faster; which status that gives is a switch.
    pub(super) fn optimistic_lock(service: &Service) -> Self {
        let exception = "ProcessInstance was updated by another transaction concurrently";
        match service.engine().0.switches.optimistic_lock_status {
            409 => Self { status: StatusCode::CONFLICT, message: "Conflict", exception: exception.into() },
            _ => Self::internal(exception),
        }
    }

    pub(super) fn with_unsubscribed_status(error: EngineError, status: u16) -> Self {
        match error {
            EngineError::NotSubscribed(exception) if status == 404 => Self::not_found(exception),
            error @ (EngineError::NotSubscribed(_)
            | EngineError::BadRequest(_)
            | EngineError::Forbidden(_)
            | EngineError::NotFound(_)
            | EngineError::Conflict(_)
            | EngineError::AlreadyClaimed(_)
            | EngineError::Internal(_)) => error.into(),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::BadRequest(exception) => Self::bad_request(exception),
            EngineError::Forbidden(exception) => Self::forbidden(exception),
            EngineError::NotFound(exception) => Self::not_found(exception),
            EngineError::Conflict(exception) => Self { status: StatusCode::CONFLICT, message: "Conflict", exception },
            EngineError::AlreadyClaimed(exception) => {
                Self { status: StatusCode::CONFLICT, message: "Task was already claimed", exception }
            }
            EngineError::NotSubscribed(exception) | EngineError::Internal(exception) => Self::internal(exception),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "message": self.message, "exception": self.exception });
        (self.status, Json(body)).into_response()
    }
}

/// An answer of the gateway in front of the engine.
pub(super) fn gateway(status: u16, text: &str, code: &str) -> Response {
    let body = json!({ "fault": { "faultstring": text, "detail": { "errorcode": code } } });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(body)).into_response()
}
