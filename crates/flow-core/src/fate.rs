//! Faults sorted by whose they are: the one place where a failed call's consequence is decided.

use std::fmt;

use crate::call::Call;
use crate::guards::{Guard, holds};
use crate::input::Command;

/// How a call failed, and what that says about its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No byte of the request left: connect refused, DNS, TLS, no token.
    Unsent,
    /// No answer within the deadline.
    TimedOut,
    /// The connection broke after the request was sent.
    Broken,
    /// 429.
    RateLimited,
    /// 503.
    Unavailable,
    /// 408, 502, 504.
    Gateway,
    /// 500 with an error body of the engine: the record or its model, not the endpoint.
    EngineError,
    /// 500 and other 5xx without one.
    ServerError,
    /// 400, 415, 422 and other definite refusals.
    Refused,
    /// 404.
    NotFound,
    /// 409, 423.
    Conflict,
    /// 413.
    TooLarge,
    /// 401 that a fresh token did not cure.
    Unauthorized,
    /// 403.
    Forbidden,
    /// A success that cannot be understood.
    BadAnswer,
    /// Refused on our side before sending: a length or a number range.
    Limit,
}

/// Why a record is dead-lettered: a stable code that replies, dead letters and metrics share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reason(std::borrow::Cow<'static, str>);

impl Reason {
    /// The engine, or a system, refused the command for good.
    pub const REFUSED: Reason = Reason::code("engine-refused");
    /// The engine, or a system in front of it, found the request too large.
    pub const TOO_LARGE: Reason = Reason::code("too-large");
    /// A limit that is checked before sending.
    pub const LIMIT: Reason = Reason::code("limit");
    /// No such definition, task or instance.
    pub const NOT_FOUND: Reason = Reason::code("not-found");
    /// The record kept failing while its endpoint was healthy.
    pub const EXHAUSTED: Reason = Reason::code("retries-exhausted");
    /// No running instance for the message.
    pub const NO_INSTANCE: Reason = Reason::code("no-instance");
    /// The instance did not come to wait for the message in time.
    pub const NO_SUBSCRIPTION: Reason = Reason::code("no-subscription");
    /// A process was said to have ended, and runs on.
    pub const NOT_ENDED: Reason = Reason::code("not-ended");
    /// The event's id was used before for another payload.
    pub const ID_REUSED: Reason = Reason::code("event-id-reused");
    /// A record of its key was given up before it, and waits among the dead letters.
    pub const QUARANTINED: Reason = Reason::code("quarantined");
    /// More than one instance could be meant.
    pub const AMBIGUOUS_TARGET: Reason = Reason::code("ambiguous-target");

    /// A code known at compile time.
    pub const fn code(code: &'static str) -> Reason {
        Reason(std::borrow::Cow::Borrowed(code))
    }

    /// Whether time ran out for the record: it might have been done a moment later, and what comes after it was made in the belief
    /// that it would be. What is refused for good, or means nothing where it is, has no place in the order to keep.
    pub(crate) fn gives_up(&self) -> bool {
        *self == Reason::EXHAUSTED || *self == Reason::NO_SUBSCRIPTION
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who is to blame for a fault that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The endpoint: it slows or stops everybody, and no record loses time or tries for it.
    Endpoint,
    /// The record or its model: it counts towards giving the record up.
    Record,
}

/// What a fault says about the endpoint, whatever becomes of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answers; the fault is the record's, or its model's.
    Well,
    Failing,
    RateLimited,
    /// It refuses our credentials or permissions.
    RefusesUs,
}

/// What follows from a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Try again; `ambiguous` asks for a look-up first.
    Retry { blame: Blame, ambiguous: bool },
    /// Credentials or permissions: no record's fault. The flow stops until a probe succeeds.
    Pause,
    /// It will never succeed.
    Reject(Reason),
    /// It will never succeed, but an earlier record of its job may have: the engine is asked whether the job is still open.
    RejectIfOpen(Reason),
    /// It may pass, or it never will because an earlier record of its job has done it: the engine is asked once, then it is tried again.
    RetryIfOpen,
}

/// What `fault` says about the endpoint.
pub(crate) fn health(fault: Fault) -> Health {
    match fault {
        Fault::RateLimited => Health::RateLimited,
        Fault::Unauthorized | Fault::Forbidden => Health::RefusesUs,
        Fault::Unsent | Fault::TimedOut | Fault::Broken | Fault::Unavailable | Fault::Gateway | Fault::ServerError => {
            Health::Failing
        }
        Fault::EngineError
        | Fault::Refused
        | Fault::NotFound
        | Fault::Conflict
        | Fault::TooLarge
        | Fault::BadAnswer
        | Fault::Limit => Health::Well,
    }
}

/// What follows when `call` of `command` failed with `fault`. Reads are never ambiguous: they have no effect.
pub(crate) fn fate(command: Command, call: &Call, fault: Fault) -> Fate {
    let ambiguous = call.leaves_doubt();
    let endpoint = |ambiguous| Fate::Retry { blame: Blame::Endpoint, ambiguous };
    let record = |ambiguous| Fate::Retry { blame: Blame::Record, ambiguous };
    let reject = |reason| match call {
        Call::Request(_) | Call::GiveResult if holds(Guard::OpenBeforeRefusal) => Fate::RejectIfOpen(reason),
        // What cannot be seen is unknown: neither open nor gone.
        Call::IsOpen => record(false),
        Call::Request(_)
        | Call::GiveResult
        | Call::Act
        | Call::ActOn(_)
        | Call::Locate { .. }
        | Call::Look(_)
        | Call::Gather
        | Call::CompleteJob
        | Call::FailJob
        | Call::Count(_)
        | Call::Delete(_) => Fate::Reject(reason),
    };
    match fault {
        Fault::Unsent | Fault::RateLimited => endpoint(false),
        Fault::Unavailable if !holds(Guard::UnavailableIsAmbiguous) => endpoint(false),
        Fault::TimedOut | Fault::Broken | Fault::Unavailable | Fault::Gateway | Fault::ServerError => {
            endpoint(ambiguous)
        }
        Fault::EngineError | Fault::BadAnswer => record(ambiguous),
        Fault::Conflict if matches!(call, Call::Request(_)) && holds(Guard::OpenBeforeRefusal) => Fate::RetryIfOpen,
        Fault::Conflict => record(ambiguous),
        Fault::NotFound => match command {
            // The execution or instance went away between locating and acting: look again, it may have been us.
            Command::Message { .. } | Command::Terminate => record(ambiguous),
            Command::Start | Command::Publish | Command::Request { .. } => reject(Reason::NOT_FOUND),
        },
        Fault::Unauthorized | Fault::Forbidden => Fate::Pause,
        // So the engine answers, too, where the lock ends while the result is on its way.
        Fault::Refused if *call == Call::GiveResult => record(false),
        Fault::Refused => reject(Reason::REFUSED),
        Fault::TooLarge => reject(Reason::TOO_LARGE),
        Fault::Limit => reject(Reason::LIMIT),
    }
}
