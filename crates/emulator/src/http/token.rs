//! The token endpoint, and the tokens that it has issued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::{Service, problem};

/// Issued tokens with their holder and their end.
pub(crate) struct Tokens {
    client_id: String,
    client_secret: String,
    issued: Mutex<HashMap<String, (Arc<str>, Timestamp)>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// Why a request has no valid token.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    Missing,
    Unknown,
    Expired,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Missing => {
                refused("Failed to resolve variable: access token", "steps.oauth.v2.FailedToResolveAccessToken")
            }
            Self::Unknown => refused("Invalid access token", "keymanagement.service.invalid_access_token"),
            Self::Expired => refused("Access Token expired", "keymanagement.service.access_token_expired"),
        }
    }
}

pub(super) fn refused(text: &str, code: &str) -> Response {
    problem::gateway(401, text, code)
}

impl Tokens {
    pub(crate) fn new(client_id: String, client_secret: String) -> Self {
        Self { client_id, client_secret, issued: Mutex::default() }
    }

    /// Makes every issued token unknown.
    pub(crate) fn revoke_all(&self) {
        self.lock().clear();
    }

    pub(super) fn check(&self, authorization: Option<&str>, now: Timestamp) -> Result<Arc<str>, Refusal> {
        let token = authorization.and_then(|a| a.strip_prefix("Bearer ")).ok_or(Refusal::Missing)?;
        match self.lock().get(token) {
            None => Err(Refusal::Unknown),
            Some((_, end)) if *end <= now => Err(Refusal::Expired),
            Some((user, _)) => Ok(user.clone()),
        }
    }

    fn issue(&self, user: &str, end: Timestamp, now: Timestamp) -> String {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let mut issued = self.lock();
        // An expired token has to stay known for a while, or its refusal would read "invalid" instead of "expired".
        issued.retain(|_, (_, end)| now.duration_since(*end) < SignedDuration::from_hours(1));
        issued.insert(token.clone(), (user.into(), end));
        token
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Arc<str>, Timestamp)>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize, Default)]
struct Grant {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: String,
    #[serde(default)]
    username: Option<String>,
}

/// Client credentials, or a password grant: the emulator has no users of its own and believes any name.
pub(super) async fn issue(State(service): State<Arc<Service>>, headers: HeaderMap, body: String) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let grant: Option<Grant> = if content_type.starts_with("application/x-www-form-urlencoded") {
        axum::extract::Query::try_from_uri(&format!("/?{body}").parse().unwrap_or_default()).ok().map(|query| query.0)
    } else {
        serde_json::from_str(&body).ok()
    };
    let Some(grant) = grant else {
        return error(StatusCode::BAD_REQUEST, "invalid_request", "the body must be JSON or form-encoded");
    };
    if grant.client_id != service.tokens.client_id || grant.client_secret != service.tokens.client_secret {
        return error(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed");
    }
    let user = match (grant.grant_type.as_str(), &grant.username) {
        ("client_credentials", _) => grant.client_id.as_str(),
        ("password", Some(username)) => username,
        ("password", None) => return error(StatusCode::BAD_REQUEST, "invalid_request", "username is required"),
        _ => return error(StatusCode::BAD_REQUEST, "unsupported_grant_type", "use client_credentials or password"),
    };
    let (engine, now) = service.engine();
    let lifetime = engine.switches.token_expires_in_s;
    drop(engine);
    let end = now.checked_add(SignedDuration::from_secs(i64::try_from(lifetime).unwrap_or(i64::MAX)));
    let token = service.tokens.issue(user, end.unwrap_or(Timestamp::MAX), now);
    Json(json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime })).into_response()
}

fn error(status: StatusCode, code: &str, description: &str) -> Response {
    (status, Json(json!({ "error": code, "error_description": description }))).into_response()
}
