//! What the real service leaves open, or does differently from one installation to the next.

use serde::{Deserialize, Serialize};

/// Switches of the emulated service; every one can be changed while it runs.
///
/// The defaults are what Flowable 7.2 was observed to do, or what the service's reference describes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// How long history stays behind the runtime, in milliseconds.
    pub history_lag_ms: u64,
    /// Whether history lists running instances and open tasks too, or only finished ones.
    pub history_lists_running: bool,
    /// How often expired job locks are released, in milliseconds: an expired job comes back this much late at worst.
    pub sweep_interval_ms: u64,
    /// How long after the answer to a job's completion the process moves on, in milliseconds.
    pub async_delay_ms: u64,
    /// Wait before a failed step after a job's completion is tried again, in milliseconds.
    pub async_retry_ms: u64,
    /// Whether an exclusive job locks its process instance against other exclusive jobs.
    pub exclusive_jobs: bool,
    /// How lists of jobs are wrapped: `content`, `bare`, or a key under `_embedded`.
    pub jobs_envelope: String,
    /// Status of an optimistic-locking clash: 500 or 409.
    pub optimistic_lock_status: u16,
    /// Status of a terminated instance: 204 or 200.
    pub delete_status: u16,
    /// Status when an instance is terminated again: 404 or 204.
    pub repeated_delete_status: u16,
    /// Status when an execution does not wait for the delivered message: 500 or 404.
    pub unsubscribed_status: u16,
    /// Lifetime of new access tokens, in seconds.
    pub token_expires_in_s: u64,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            history_lag_ms: 0,
            history_lists_running: true,
            sweep_interval_ms: 60_000,
            async_delay_ms: 10,
            async_retry_ms: 10_000,
            exclusive_jobs: true,
            jobs_envelope: "content".into(),
            optimistic_lock_status: 500,
            delete_status: 204,
            repeated_delete_status: 404,
            unsubscribed_status: 500,
            token_expires_in_s: 3600,
        }
    }
}

impl Switches {
    /// What is wrong with a value, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let statuses = [
            ("optimistic_lock_status", self.optimistic_lock_status, [500, 409]),
            ("delete_status", self.delete_status, [204, 200]),
            ("repeated_delete_status", self.repeated_delete_status, [404, 204]),
            ("unsubscribed_status", self.unsubscribed_status, [500, 404]),
        ];
        statuses
            .iter()
            .find(|(_, value, allowed)| !allowed.contains(value))
            .map(|(name, value, [first, second])| format!("{name} must be {first} or {second}, not {value}"))
    }
}
