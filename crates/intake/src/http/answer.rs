//! What a sender hears: 202, or a problem (RFC 9457) that says what to do.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rdkafka::error::KafkaError;
use serde_json::json;

use super::Unfit;

/// What stands in Kafka now.
#[derive(Debug)]
pub(super) enum Taken {
    /// An event, by its id.
    Event { id: String },
    /// That a process has an outcome, by its instance.
    Outcome { instance: String },
}

/// Why a request leaves nothing behind. Carries no contents of it.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is no door of that name.
    NoDoor,
    /// More requests than the door takes in a second.
    TooMany,
    /// The body is larger than so many bytes, or broke off.
    TooLarge(usize),
    /// The body did not come in time.
    TooSlow,
    /// Neither the secret nor the signature that the door asks for.
    Locked(&'static str),
    /// A header that cannot be read.
    BadHeader(String),
    /// The flow would not take it.
    Unfit(Unfit),
    /// Kafka did not acknowledge it.
    Kafka(KafkaError),
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Refusal::NoDoor => StatusCode::NOT_FOUND,
            Refusal::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::Locked(_) => StatusCode::UNAUTHORIZED,
            Refusal::BadHeader(_) => StatusCode::BAD_REQUEST,
            Refusal::Unfit(unfit) => match unfit.reason {
                "unsupported-content-type" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "undecodable-json" | "undecodable-avro" | "bad-cloudevent" | "empty-value" => StatusCode::BAD_REQUEST,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
            Refusal::Kafka(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A stable code, for metrics and machines.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Refusal::NoDoor => "no-door",
            Refusal::TooMany => "too-many-requests",
            Refusal::TooLarge(_) => "too-large",
            Refusal::TooSlow => "too-slow",
            Refusal::Locked(_) => "unauthorized",
            Refusal::BadHeader(_) => "bad-header",
            Refusal::Unfit(unfit) => unfit.reason,
            Refusal::Kafka(_) => "not-acknowledged",
        }
    }

    /// In seconds.
    fn retry_after(&self) -> Option<u32> {
        match self {
            Refusal::TooMany => Some(1),
            Refusal::Kafka(_) => Some(5),
            Refusal::NoDoor
            | Refusal::TooLarge(_)
            | Refusal::TooSlow
            | Refusal::Locked(_)
            | Refusal::BadHeader(_)
            | Refusal::Unfit(_) => None,
        }
    }

    pub(super) fn detail(&self) -> String {
        match self {
            Refusal::NoDoor => "no flow takes anything here; the path is /intake/<flow>, or /intake/<flow>/outcomes where the flow has a [[job]] that is posted".into(),
            Refusal::TooMany => "more requests than this flow takes in a second; send it again later".into(),
            Refusal::TooLarge(most) => format!("the body broke off, or is larger than {most} bytes"),
            Refusal::TooSlow => "the body did not come in time; send it again".into(),
            Refusal::Locked(why) => (*why).into(),
            Refusal::BadHeader(what) => what.clone(),
            Refusal::Unfit(unfit) => unfit.detail.clone(),
            // What the cluster is like is no business of a sender.
            Refusal::Kafka(_) => {
                "it may or may not be kept; send it again, an event with the same Idempotency-Key, which makes it one"
                    .into()
            }
        }
    }
}

pub(super) fn accepted(taken: &Taken) -> Response {
    let body = match taken {
        Taken::Event { id } => json!({ "eventId": id }),
        Taken::Outcome { instance } => json!({ "processInstanceId": instance }),
    };
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

pub(super) fn of(refusal: &Refusal) -> Response {
    let status = refusal.status();
    let mut problem = json!({
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "code": refusal.code(),
        "detail": refusal.detail(),
    });
    if let Refusal::Unfit(super::Unfit { field: Some(field), .. }) = refusal {
        problem["field"] = json!(field);
    }
    let mut response = (status, Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Refusal::Locked(_) = refusal {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
