//! Every request passes here: faults, access token, counting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use rand::Rng;

use super::problem::{self, Problem};
use super::{Service, token};
use crate::faults::{Fault, Mount, Verdict};

/// Marks an answer that never leaves: the server closes the connection instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropConnection;

/// Marks an answer that breaks off in its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CutAnswer;

/// Who calls, as the access token says.
#[derive(Debug, Clone)]
pub(super) struct User(pub(super) Arc<str>);

/// An operation with the service that performs it.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) mount: Mount,
    pub(super) service: Arc<Service>,
}

pub(super) async fn pass(State(operation): State<Operation>, request: Request, next: Next) -> Response {
    let stats = &operation.service.stats;
    let _open = stats.called(operation.name);
    let mut response = answer(&operation, request, next).await;
    let extensions = response.extensions();
    if extensions.get::<DropConnection>().is_some() || extensions.get::<CutAnswer>().is_some() {
        stats.answered(operation.name, None);
        return response;
    }
    stats.answered(operation.name, Some(response.status().as_u16()));
    // The real engine closes the connection after these answers, so a client must expect to reconnect.
    if matches!(response.status(), StatusCode::BAD_REQUEST | StatusCode::INTERNAL_SERVER_ERROR) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(operation: &Operation, request: Request, next: Next) -> Response {
    let service = &operation.service;
    let Verdict { delay, answer_delay, fate } =
        service.rules.decide(operation.name, operation.mount, Instant::now(), &mut rand::rng());
    pause(delay).await;
    let response = match fate {
        None => allowed(operation, request, next).await,
        Some(Fault::DropRequest) => dropped(),
        Some(Fault::DropAnswer) => {
            allowed(operation, request, next).await;
            dropped()
        }
        Some(Fault::CutAnswer) => {
            let mut response = allowed(operation, request, next).await;
            response.extensions_mut().insert(CutAnswer);
            response
        }
        Some(Fault::Abandon { effect_within_ms }) => {
            let later = Duration::from_millis(rand::rng().random_range(0..=effect_within_ms));
            let operation = operation.clone();
            tokio::spawn(async move {
                pause(later).await;
                allowed(&operation, request, next).await;
            });
            dropped()
        }
        Some(Fault::Status { status, retry_after_s, retry_after_as_date, after_effect }) => {
            if after_effect {
                allowed(operation, request, next).await;
            }
            refused(status, retry_after_s, retry_after_as_date)
        }
        Some(Fault::RejectToken) => {
            token::refused("Invalid access token", "keymanagement.service.invalid_access_token")
        }
        Some(Fault::Forbid) => Problem::forbidden("The caller has no permission for this operation.").into_response(),
        Some(Fault::OptimisticLock) => Problem::optimistic_lock(service).into_response(),
        // Delays are not fates: the rules have added them up above.
        Some(Fault::Delay { .. } | Fault::DelayAnswer { .. } | Fault::Queue { .. }) => {
            allowed(operation, request, next).await
        }
    };
    pause(answer_delay).await;
    response
}

/// Checks the access token and performs the operation.
async fn allowed(operation: &Operation, mut request: Request, next: Next) -> Response {
    let service = &operation.service;
    // A real engine behind checks for itself.
    if operation.mount != Mount::Token && service.upstream.is_none() {
        let authorization = request.headers().get(header::AUTHORIZATION).and_then(|h| h.to_str().ok());
        match service.tokens.check(authorization, service.clock.now()) {
            Ok(user) => request.extensions_mut().insert(User(user)),
            Err(refusal) => return refusal.into_response(),
        };
    }
    next.run(request).await
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn dropped() -> Response {
    let mut response = StatusCode::OK.into_response();
    response.extensions_mut().insert(DropConnection);
    response
}

fn refused(status: u16, retry_after_s: Option<u64>, as_date: bool) -> Response {
    let mut response = match status {
        401 => token::refused("Invalid access token", "keymanagement.service.invalid_access_token"),
        403 => Problem::forbidden("The caller has no permission for this operation.").into_response(),
        429 => problem::gateway(
            429,
            "Spike arrest violation. Allowed rate exceeded",
            "policies.ratelimit.SpikeArrestViolation",
        ),
        500 => Problem::internal("injected fault").into_response(),
        other => {
            problem::gateway(other, "The service is not available", "messaging.adaptors.http.flow.ServiceUnavailable")
        }
    };
    if let Some(seconds) = retry_after_s {
        let value = if as_date { http_date(seconds) } else { seconds.to_string() };
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }
    response
}

/// The HTTP date that many seconds from now, by the machine's clock, which is also the client's.
fn http_date(seconds: u64) -> String {
    let ahead = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    let at = Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
