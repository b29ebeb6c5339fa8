//! The calls that the protocol asks for, and what matters of each: whether it has an effect, and whether it needs a lease.

use std::sync::Arc;

use crate::input::EndpointId;

/// A single call to the engine, or to a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Start the instance.
    Act,
    /// Find the one instance or waiting execution that is meant.
    Locate {
        /// Instances that a later offset of the same partition started are not meant: whoever started them has seen this record
        /// done, though a worker that lost the partition may not know it yet. False for a replayed record, which has no place in
        /// the order.
        spare_later: bool,
    },
    /// Deliver the message to, or terminate, what `Locate` found.
    ActOn(Arc<str>),
    /// Look for the effect of an earlier attempt.
    Look(Scope),
    /// Read what an outcome needs: variables, comments, audit.
    Gather,
    /// Complete the job whose outcome is committed.
    CompleteJob,
    /// Ask a system, under the job's idempotency key.
    Request(EndpointId),
    /// Complete the job with what the system answered.
    GiveResult,
    /// See whether the job is still to be done, whoever holds its lock.
    IsOpen,
    /// Give the job back as failed for good: its outcome is a dead letter.
    FailJob,
    /// List the root instances that carry the event's mark.
    Count(Scope),
    /// End a surplus instance.
    Delete(Arc<str>),
}

/// Where a look-up looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Running instances, then history, without a wait between: what it finds is there, what it misses proves nothing.
    Everywhere,
    /// Running instances.
    Running,
    /// Instances in history.
    History,
}

impl Call {
    /// Whose it is to answer the call.
    pub fn endpoint(&self) -> EndpointId {
        match self {
            Call::Request(system) => *system,
            Call::Act | Call::ActOn(_) | Call::Locate { .. } | Call::Look(_) | Call::Gather => EndpointId::ENGINE,
            Call::CompleteJob | Call::GiveResult | Call::IsOpen | Call::FailJob => EndpointId::ENGINE,
            Call::Count(_) | Call::Delete(_) => EndpointId::ENGINE,
        }
    }

    /// Whether the call changes something in the engine, or in a system.
    pub fn has_effect(&self) -> bool {
        match self {
            Call::Act | Call::ActOn(_) | Call::CompleteJob | Call::FailJob | Call::Delete(_) => true,
            Call::Request(_) | Call::GiveResult => true,
            Call::Locate { .. } | Call::Look(_) | Call::Gather | Call::IsOpen | Call::Count(_) => false,
        }
    }

    /// Whether the call ends a job whose resolution is committed.
    pub(crate) fn ends_job(&self) -> bool {
        match self {
            Call::CompleteJob | Call::FailJob => true,
            Call::Act | Call::ActOn(_) | Call::Locate { .. } | Call::Look(_) | Call::Gather => false,
            Call::Request(_) | Call::GiveResult | Call::IsOpen => false,
            Call::Count(_) | Call::Delete(_) => false,
        }
    }

    /// Whether an unclear answer leaves the effect in doubt. What the other side knows by its id is harmless when repeated.
    pub(crate) fn leaves_doubt(&self) -> bool {
        match self {
            Call::Act | Call::ActOn(_) | Call::Delete(_) => true,
            Call::CompleteJob | Call::FailJob | Call::Request(_) | Call::GiveResult => false,
            Call::Locate { .. } | Call::Look(_) | Call::Gather | Call::IsOpen | Call::Count(_) => false,
        }
    }

    /// Whether the call may leave only under a lease: it begins something that a later owner must not begin again.
    pub fn needs_lease(&self) -> bool {
        match self {
            Call::Act | Call::ActOn(_) => true,
            // Harmless when repeated: the engine knows the job, and the instance, by its id, and a system the request by its key.
            Call::CompleteJob | Call::FailJob | Call::Delete(_) | Call::Request(_) | Call::GiveResult => false,
            Call::Locate { .. } | Call::Look(_) | Call::Gather | Call::IsOpen | Call::Count(_) => false,
        }
    }

    /// How many requests it usually takes: for the bound on requests per second.
    pub(crate) fn requests(&self) -> u32 {
        match self {
            // Instance, tasks, comments, and the audit or the open tasks.
            Call::Gather => 4,
            // The job, then the instance where it is not in sight.
            Call::IsOpen => 2,
            Call::Locate { .. } | Call::Look(Scope::Everywhere) => 2,
            Call::Look(Scope::Running | Scope::History) | Call::Count(_) => 1,
            Call::Act | Call::ActOn(_) | Call::CompleteJob | Call::FailJob | Call::Delete(_) => 1,
            Call::Request(_) | Call::GiveResult => 1,
        }
    }

    /// A stable name for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Call::Act => "act",
            Call::Locate { .. } => "locate",
            Call::ActOn(_) => "act_on",
            Call::Look(Scope::Everywhere) => "look",
            Call::Look(Scope::Running) => "look_running",
            Call::Look(Scope::History) => "look_history",
            Call::Gather => "gather",
            Call::CompleteJob => "complete_job",
            Call::Request(_) => "request",
            Call::GiveResult => "give_result",
            Call::IsOpen => "is_open",
            Call::FailJob => "fail_job",
            Call::Count(_) => "count",
            Call::Delete(_) => "delete",
        }
    }
}
