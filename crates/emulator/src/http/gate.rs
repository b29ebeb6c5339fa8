//! Every request passes here: faults, access token, counting.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{self, Problem};
use super::{Service, token};
use crate::fate::{self, CutAnswer, DropConnection, Refusal};
use crate::faults::Mount;

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
    let verdict = service.rules.decide(operation.name, operation.mount, Instant::now(), &mut rand::rng());
    let performed = allowed(operation.clone(), request, next);
    fate::meet(verdict, performed, |refusal| match refusal {
        Refusal::Status(status) => refused(status),
        Refusal::OptimisticLock => Problem::optimistic_lock(service).into_response(),
    })
    .await
}

/// Checks the access token and performs the operation.
async fn allowed(operation: Operation, mut request: Request, next: Next) -> Response {
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

fn refused(status: u16) -> Response {
    match status {
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
    }
}
