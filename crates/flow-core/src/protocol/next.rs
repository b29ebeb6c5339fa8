//! What the protocol answers: the next call, a wait, or the end.

use std::time::Duration;

use crate::batch::Resolution;
use crate::call::Call;
use crate::fate::Reason;
use crate::gate::Closed;
use crate::input::Failure;

/// What comes next for the record.
#[derive(Debug)]
pub(crate) enum Next<O> {
    Call(Call),
    /// Call after a delay.
    Wait(Duration, Call, Why),
    /// Call when the gate is open.
    WhenOpen(Call, Why),
    Resolve(Resolution<O>),
    /// The call that follows the commit is over.
    Over,
    /// The call that follows the commit cannot be made; the engine hands the job out again when its lock ends.
    Left(String),
    /// Resolved, though its job is still open: the engine hands it out again, and whoever sees it then begins anew.
    Released(Resolution<O>, String),
}

/// Why a record waits, for people.
#[derive(Debug)]
pub(crate) enum Why {
    Failed {
        failure: Failure,
        ambiguous: bool,
        closed: Option<(Closed, Duration)>,
    },
    NobodyWaiting,
    /// The engine does not show yet what the record tells of.
    NotSeen(&'static str),
    /// The system's answer waits until the engine has handed the job out again.
    NotHeld {
        again: bool,
    },
    Settling,
}

pub(super) fn dead<O>(reason: Reason, detail: impl Into<String>) -> Next<O> {
    Next::Resolve(Resolution::DeadLettered { reason, detail: detail.into() })
}
