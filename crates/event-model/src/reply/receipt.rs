//! The first answer to an event: taken, known already, or refused.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ProcessRef, SourceRef};

/// What became of an event, by `schemas/receipt/v1.avsc`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Taken, known already, or refused.
    pub status: ReceiptStatus,
    /// A stable code where the event was refused, such as `schema-violation`.
    pub reason: Option<String>,
    /// What happened and what to do, for a person. No payload contents.
    pub detail: Option<String>,
    /// Whether this answer stands for good. `false` for a refusal that a replay may still turn into an acceptance.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The event that is answered.
    pub source: SourceRef,
    /// The instance that the event started or reached.
    pub process: Option<ProcessRef>,
    /// How often the event was tried.
    pub attempts: u32,
    /// When it was settled.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub time: Timestamp,
}

/// The three ways an event is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptStatus {
    /// The event had its effect.
    Accepted,
    /// The event's id is known from another record; nothing was done.
    Duplicate,
    /// The event had no effect and lies in the dead letters.
    Rejected,
}

impl ReceiptStatus {
    /// The CloudEvents type of the reply.
    #[must_use]
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Accepted => "xconnector.accepted.v1",
            Self::Duplicate => "xconnector.duplicate.v1",
            Self::Rejected => "xconnector.rejected.v1",
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("source", &format_args!("{}", self.source.coordinates()))
            .finish_non_exhaustive()
    }
}
