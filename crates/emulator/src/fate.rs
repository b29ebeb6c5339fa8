//! What becomes of a request that a fault meets, whoever would have performed it.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use rand::Rng;

use crate::faults::{Fault, Verdict};

/// Marks an answer that never leaves: the server closes the connection instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropConnection;

/// Marks an answer that breaks off in its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CutAnswer;

/// What is said in place of an answer; each service words it in its own way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// With this status.
    Status(u16),
    /// Another transaction was faster.
    OptimisticLock,
}

/// Carries a verdict out: `performed` performs the request when it is first polled, and nothing happens if it never is.
pub(crate) async fn meet(
    verdict: Verdict,
    performed: impl Future<Output = Response> + Send + 'static,
    refuse: impl Fn(Refusal) -> Response,
) -> Response {
    pause(verdict.delay).await;
    let response = match verdict.fate {
        None => performed.await,
        Some(Fault::DropRequest) => dropped(),
        Some(Fault::DropAnswer) => {
            performed.await;
            dropped()
        }
        Some(Fault::CutAnswer) => {
            let mut response = performed.await;
            response.extensions_mut().insert(CutAnswer);
            response
        }
        Some(Fault::Abandon { effect_within_ms }) => {
            let later = Duration::from_millis(rand::rng().random_range(0..=effect_within_ms));
            tokio::spawn(async move {
                pause(later).await;
                performed.await;
            });
            dropped()
        }
        Some(Fault::Status { status, retry_after_s, retry_after_as_date, after_effect }) => {
            if after_effect {
                performed.await;
            }
            wait_for(refuse(Refusal::Status(status)), retry_after_s, retry_after_as_date)
        }
        Some(Fault::RejectToken) => refuse(Refusal::Status(401)),
        Some(Fault::Forbid) => refuse(Refusal::Status(403)),
        Some(Fault::OptimisticLock) => refuse(Refusal::OptimisticLock),
        // Delays are not fates: the rules have added them up.
        Some(Fault::Delay { .. } | Fault::DelayAnswer { .. } | Fault::Queue { .. }) => performed.await,
    };
    pause(verdict.answer_delay).await;
    response
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

fn wait_for(mut response: Response, retry_after_s: Option<u64>, as_date: bool) -> Response {
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
