//! The HTTP side of a system: faults, who may come in, and the way to the store and back.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};

use super::Desk;
use super::store::{Answer, Asked};
use crate::fate::{self, Refusal};
use crate::faults::Mount;

pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new().route("/{*path}", any(take)).with_state(desk)
}

async fn take(
    State(desk): State<Arc<Desk>>,
    method: Method,
    Path(path): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method == Method::GET && path == "_effects" {
        return axum::Json(desk.store().effects()).into_response();
    }
    let Some(asked) = read(method, &path, query, &headers, &body) else { return refused(400) };
    let operation = desk.store().operation(&asked);
    let verdict = desk.rules.decide(&operation, Mount::System, Instant::now(), &mut rand::rng());
    fate::meet(verdict, async move { allowed(&desk, &headers, &asked) }, |refusal| match refusal {
        Refusal::Status(status) => refused(status),
        Refusal::OptimisticLock => refused(409),
    })
    .await
}

/// What is asked for, unless the body is no JSON.
fn read(method: Method, path: &str, query: Vec<(String, String)>, headers: &HeaderMap, body: &[u8]) -> Option<Asked> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).ok()? };
    let path = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned);
    // Where SCIM usually lies.
    let path: Vec<String> = path.skip_while(|part| ["scim", "v2"].contains(&part.as_str())).collect();
    Some(Asked { method, path, query, key: text("idempotency-key"), if_match: text("if-match"), body })
}

fn allowed(desk: &Desk, headers: &HeaderMap, asked: &Asked) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if desk.authorization.as_deref().is_some_and(|wanted| given != Some(wanted)) {
        return refused(401);
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

fn refused(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(json!({ "title": status.canonical_reason(), "status": status.as_u16() }))).into_response()
}
