//! Counts for outside tests: what was asked, and how it was answered.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Counts of one operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OperationCount {
    /// Requests that arrived.
    pub calls: u64,
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Connections that were closed without an answer.
    pub dropped: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Stats {
    operations: Mutex<BTreeMap<&'static str, OperationCount>>,
}

impl Stats {
    pub(crate) fn called(&self, operation: &'static str) {
        self.with(operation, |count| count.calls += 1);
    }

    /// `None` when the connection was closed instead.
    pub(crate) fn answered(&self, operation: &'static str, status: Option<u16>) {
        self.with(operation, |count| match status {
            Some(status) => *count.answers.entry(status).or_default() += 1,
            None => count.dropped += 1,
        });
    }

    pub(crate) fn current(&self) -> BTreeMap<&'static str, OperationCount> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn reset(&self) {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn with(&self, operation: &'static str, update: impl FnOnce(&mut OperationCount)) {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        update(operations.entry(operation).or_default());
    }
}
