//! Why a call failed, sorted by what the caller may conclude.

use std::time::Duration;

use crate::calls::Operation;
use crate::limits::LimitError;

/// A call that did not succeed. Carries no secret, no payload of ours and no query value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} at the {endpoint} endpoint failed ({fault}{}): {message}", status_text(*.status))]
pub struct CallError {
    /// The cause, and with it what may be concluded.
    pub fault: Fault,
    /// HTTP status, when an answer came.
    pub status: Option<u16>,
    /// The base URL that the failed request went to. `Token` means: the call itself was never sent.
    pub endpoint: Endpoint,
    /// The engine method that was called, for example `start`.
    pub operation: &'static str,
    /// The other side's own words where it gave any, cut to 500 characters.
    pub message: String,
    /// How long the other side asked us to wait, at most one day.
    pub retry_after: Option<Duration>,
}

impl CallError {
    /// May the engine have done what was asked? Then look first, and repeat only what was not done.
    /// A fault of the token endpoint is never ambiguous: the call itself was not sent.
    pub fn is_ambiguous(&self) -> bool {
        self.endpoint != Endpoint::Token && self.fault.is_ambiguous()
    }

    pub(crate) fn new(fault: Fault, endpoint: Endpoint, operation: Operation, message: impl Into<String>) -> Self {
        CallError {
            fault,
            status: None,
            endpoint,
            operation: operation.name(),
            message: message.into(),
            retry_after: None,
        }
    }

    pub(crate) fn refused(error: &LimitError, endpoint: Endpoint, operation: Operation) -> Self {
        CallError::new(Fault::Limit, endpoint, operation, error.to_string())
    }
}

/// What kind of failure it was. For calls that change something, [`Fault::is_ambiguous`] is the question to ask first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Nothing reached the engine: connection refused, name or TLS failure, no free connection in time,
    /// no token because the token endpoint is down, or a status listed in `unsent_statuses`.
    #[error("not sent")]
    Unsent,
    /// No answer within the request time-out; the engine may still act on the request.
    #[error("timed out")]
    TimedOut,
    /// The connection was lost after sending, before the whole answer came.
    #[error("connection lost")]
    Broken,
    /// 429: refused before anything was done.
    #[error("rate limited")]
    RateLimited,
    /// 503. A gateway may answer so after it has forwarded the request.
    #[error("unavailable")]
    Unavailable,
    /// 408, 502, 504: a gateway lost sight of the request.
    #[error("gateway")]
    Gateway,
    /// 500 with the engine's own error body: a failing model, a lost optimistic lock, a missing subscription.
    #[error("engine error")]
    EngineError,
    /// Any other 5xx, and a 500 without the engine's error body.
    #[error("server error")]
    ServerError,
    /// 400, 415, 422 and every other 4xx without a meaning of its own.
    #[error("bad request")]
    BadRequest,
    /// 404, 410.
    #[error("not found")]
    NotFound,
    /// 409, 423: read the state, then decide.
    #[error("conflict")]
    Conflict,
    /// 413.
    #[error("too large")]
    TooLarge,
    /// 401 after the token was refreshed once, 407, or refused credentials at the token endpoint.
    #[error("unauthorized")]
    Unauthorized,
    /// 403.
    #[error("forbidden")]
    Forbidden,
    /// A good status whose answer cannot be understood, is too big, or is provably incomplete; also a redirect.
    #[error("bad answer")]
    BadAnswer,
    /// Refused here, before sending: see [`LimitError`].
    #[error("refused before sending")]
    Limit,
}

impl Fault {
    /// For a call that changes something: may it have taken effect?
    ///
    /// A client that times out or disconnects has usually started the instance all the same (Flowable: 180 of
    /// 180), gateways answer 503 after forwarding, and concurrent losers get 409 or 500 by chance, so only
    /// failures before the first byte, 429 and the definite 4xx prove that nothing was done.
    pub fn is_ambiguous(self) -> bool {
        match self {
            Fault::TimedOut
            | Fault::Broken
            | Fault::Unavailable
            | Fault::Gateway
            | Fault::EngineError
            | Fault::ServerError
            | Fault::Conflict
            | Fault::BadAnswer => true,
            Fault::Unsent
            | Fault::RateLimited
            | Fault::BadRequest
            | Fault::NotFound
            | Fault::TooLarge
            | Fault::Unauthorized
            | Fault::Forbidden
            | Fault::Limit => false,
        }
    }

    /// The fault of an answer that is no success. `engine_body`: the body has the engine's error form.
    pub(crate) fn of_status(status: u16, engine_body: bool) -> Fault {
        match status {
            401 | 407 => Fault::Unauthorized,
            403 => Fault::Forbidden,
            404 | 410 => Fault::NotFound,
            408 | 502 | 504 => Fault::Gateway,
            409 | 423 => Fault::Conflict,
            413 => Fault::TooLarge,
            429 => Fault::RateLimited,
            503 => Fault::Unavailable,
            500 if engine_body => Fault::EngineError,
            400..=499 => Fault::BadRequest,
            500..=599 => Fault::ServerError,
            0..=399 | 600.. => Fault::BadAnswer,
        }
    }

    /// The same failure of the token endpoint, seen from the call that wanted a token: a bad credential or a
    /// wrong token URL pauses the flow (`Unauthorized`, `Forbidden`), anything passing is `Unsent`.
    /// No record may be blamed for either.
    pub(crate) fn at_token_endpoint(self) -> Fault {
        match self {
            Fault::RateLimited => Fault::RateLimited,
            Fault::Forbidden => Fault::Forbidden,
            Fault::Unauthorized | Fault::BadRequest | Fault::NotFound | Fault::TooLarge => Fault::Unauthorized,
            Fault::Unsent
            | Fault::TimedOut
            | Fault::Broken
            | Fault::Unavailable
            | Fault::Gateway
            | Fault::EngineError
            | Fault::ServerError
            | Fault::Conflict
            | Fault::BadAnswer
            | Fault::Limit => Fault::Unsent,
        }
    }
}

/// The four base URLs that a request can go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Endpoint {
    /// Process instances, executions, tasks, models.
    #[error("runtime")]
    Runtime,
    /// Running and finished instances and tasks; a separate service at OpenText.
    #[error("history")]
    History,
    /// External-worker jobs.
    #[error("jobs")]
    Jobs,
    /// The OAuth2 token endpoint.
    #[error("token")]
    Token,
}

fn status_text(status: Option<u16>) -> String {
    status.map_or_else(String::new, |status| format!(", status {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unsent_rate_limited_and_definite_refusals_prove_that_nothing_was_done() {
        let proved = |status, engine| !Fault::of_status(status, engine).is_ambiguous();
        for status in [400, 401, 403, 404, 405, 413, 415, 422, 429] {
            assert!(proved(status, true), "{status}");
        }
        for status in [302, 408, 409, 423, 500, 502, 503, 504, 599] {
            assert!(!proved(status, true) && !proved(status, false), "{status}");
        }
    }

    #[test]
    fn a_500_is_the_engines_only_with_the_engines_body() {
        assert_eq!(Fault::of_status(500, true), Fault::EngineError);
        assert_eq!(Fault::of_status(500, false), Fault::ServerError);
        assert_eq!(Fault::of_status(501, true), Fault::ServerError);
    }

    #[test]
    fn a_token_fault_never_reads_as_a_fault_of_the_record() {
        for status in [400, 401, 404, 405, 413] {
            assert_eq!(Fault::of_status(status, false).at_token_endpoint(), Fault::Unauthorized, "{status}");
        }
        for status in [408, 409, 500, 502, 503, 504] {
            assert_eq!(Fault::of_status(status, true).at_token_endpoint(), Fault::Unsent, "{status}");
        }
    }
}
