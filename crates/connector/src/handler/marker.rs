//! The marks that our commands leave in the engine, so that a look-up can tell whether one was done.

use uuid::Uuid;
use workflow_client::Instance;

/// The variable of every start: `<flow>/<event id>`.
pub(crate) const EVENT_ID: &str = "xcEventId";
/// The variable of every start that remembers where the event came from; see [`Origin`](super::Origin).
pub(super) const ORIGIN: &str = "xc";

/// The reason with which a surplus instance is ended; its outcome is never published.
pub(crate) const DUPLICATE: &str = "xc:duplicate";

/// The value that names the event among all flows.
pub(crate) fn of(flow: &str, event_id: &str) -> String {
    format!("{flow}/{event_id}")
}

/// Whether the instance was ended as the surplus of a double: it is nobody's process any more.
pub(super) fn is_surplus(instance: &Instance) -> bool {
    instance.delete_reason.as_deref() == Some(DUPLICATE)
}

/// Whether an outcome of the instance is the flow's to publish: the flow started it, and did not end it itself.
pub(super) fn has_outcome(instance: &Instance, flow: &str) -> bool {
    let mark = instance.variable(EVENT_ID).and_then(|mark| mark.as_str());
    let of_flow = mark.and_then(|mark| mark.strip_prefix(flow)?.strip_prefix('/')).is_some();
    of_flow && !instance.delete_reason.as_deref().is_some_and(|reason| reason.starts_with("xc:"))
}

/// The variable that a delivered message leaves behind. Each message has its own, because a later message must not hide
/// that an earlier one arrived.
pub(super) fn message_variable(marker: &str) -> String {
    format!("xcMessage_{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, marker.as_bytes()).simple())
}

/// The reason that a terminate leaves in history, where the engine keeps one.
pub(super) fn terminate_reason(marker: &str) -> String {
    format!("xc:{marker}")
}
