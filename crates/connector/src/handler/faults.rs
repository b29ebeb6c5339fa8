//! The client's faults in the words of the state machine.

use flow_core::{Failure, Fault};
use workflow_client::{CallError, Endpoint, Fault as ClientFault};

/// Boxed because the way of success should stay small.
pub(super) fn failure(error: &CallError) -> Box<Failure> {
    Box::new(Failure { fault: fault(error), detail: error.to_string(), retry_after: error.retry_after })
}

/// A failure of ours, found after a good answer.
pub(super) fn bad_answer(detail: impl Into<String>) -> Box<Failure> {
    Box::new(Failure { fault: Fault::BadAnswer, detail: detail.into(), retry_after: None })
}

fn fault(error: &CallError) -> Fault {
    let fault = match error.fault {
        ClientFault::Unsent => Fault::Unsent,
        ClientFault::TimedOut => Fault::TimedOut,
        ClientFault::Broken => Fault::Broken,
        ClientFault::RateLimited => Fault::RateLimited,
        ClientFault::Unavailable => Fault::Unavailable,
        ClientFault::Gateway => Fault::Gateway,
        ClientFault::EngineError => Fault::EngineError,
        ClientFault::ServerError => Fault::ServerError,
        ClientFault::BadRequest => Fault::Refused,
        ClientFault::NotFound => Fault::NotFound,
        ClientFault::Conflict => Fault::Conflict,
        ClientFault::TooLarge => Fault::TooLarge,
        ClientFault::Unauthorized => Fault::Unauthorized,
        ClientFault::Forbidden => Fault::Forbidden,
        ClientFault::BadAnswer => Fault::BadAnswer,
        ClientFault::Limit => Fault::Limit,
    };
    // Whatever went wrong at the token endpoint, the call itself was not sent.
    let of_token = error.endpoint == Endpoint::Token && error.fault.is_ambiguous();
    if of_token { Fault::Unsent } else { fault }
}
