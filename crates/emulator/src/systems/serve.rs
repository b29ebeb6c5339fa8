//! The HTTP side of a system: faults, who may come in, and the way to the store and back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Desk;
use super::store::{Answer, Asked};
use crate::faults::{Fault, Mount, Verdict};
use crate::http::{CutAnswer, DropConnection};

pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new().fallback(take).with_state(desk)
}

async fn take(State(desk): State<Arc<Desk>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    if method == Method::GET && uri.path() == "/_effects" {
        return axum::Json(desk.store().effects()).into_response();
    }
    let Some(asked) = read(method, &uri, &headers, &body) else { return refused(400, None) };
    let operation = desk.store().operation(&asked);
    let Verdict { delay, answer_delay, fate } =
        desk.rules.decide(&operation, Mount::System, Instant::now(), &mut rand::rng());
    tokio::time::sleep(delay).await;
    let response = match fate {
        Some(Fault::DropRequest) => dropped(),
        Some(Fault::Status { status, retry_after_s, after_effect, retry_after_as_date: _ }) => {
            if after_effect {
                allowed(&desk, &headers, &asked);
            }
            refused(status, retry_after_s)
        }
        Some(Fault::RejectToken) => refused(401, None),
        Some(Fault::Forbid) => refused(403, None),
        Some(Fault::OptimisticLock) => refused(409, None),
        Some(Fault::DropAnswer) => {
            allowed(&desk, &headers, &asked);
            dropped()
        }
        Some(Fault::CutAnswer) => {
            let mut response = allowed(&desk, &headers, &asked);
            response.extensions_mut().insert(CutAnswer);
            response
        }
        Some(Fault::Abandon { effect_within_ms }) => {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(effect_within_ms)).await;
                allowed(&desk, &headers, &asked);
            });
            dropped()
        }
        // Delays are no fates: the rules have added them up.
        Some(Fault::Delay { .. } | Fault::DelayAnswer { .. } | Fault::Queue { .. }) | None => {
            allowed(&desk, &headers, &asked)
        }
    };
    tokio::time::sleep(answer_delay).await;
    response
}

/// What is asked for, unless the body is no JSON.
fn read(method: Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Asked> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).ok()? };
    let path = uri.path().split('/').filter(|part| !part.is_empty()).map(decoded);
    // Where SCIM usually lies.
    let path: Vec<String> = path.skip_while(|part| ["scim", "v2"].contains(&part.as_str())).collect();
    let pairs = uri.query().unwrap_or("").split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
    Some(Asked { method, path, query, key: text("idempotency-key"), if_match: text("if-match"), body })
}

/// Percent-encoding and the plus sign of forms.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn allowed(desk: &Desk, headers: &HeaderMap, asked: &Asked) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if desk.authorization.as_deref().is_some_and(|wanted| given != Some(wanted)) {
        return refused(401, None);
    }
    let Answer { status, body, etag, location } = desk.store().ask(asked);
    let mut response = if body.is_null() { status.into_response() } else { (status, axum::Json(body)).into_response() };
    for (name, value) in [(header::ETAG, etag), (header::LOCATION, location)] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn dropped() -> Response {
    let mut response = StatusCode::OK.into_response();
    response.extensions_mut().insert(DropConnection);
    response
}

fn refused(status: u16, retry_after_s: Option<u64>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response =
        (status, axum::Json(json!({ "title": status.canonical_reason(), "status": status.as_u16() }))).into_response();
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
