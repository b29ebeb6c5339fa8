//! Counts for outside tests: what was asked, and how it was answered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

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
    /// Requests under way.
    pub open: u64,
    /// Most of them at once.
    pub most_open: u64,
}

/// Arrivals that are remembered.
const ARRIVALS: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Stats {
    operations: Mutex<BTreeMap<&'static str, OperationCount>>,
    arrivals: Mutex<VecDeque<(Instant, &'static str)>>,
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Open<'a> {
    stats: &'a Stats,
    operation: &'static str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.stats.with(self.operation, |count| count.open -= 1);
    }
}

impl Stats {
    /// A request arrived; it is under way until what comes back is dropped.
    pub(crate) fn called(&self, operation: &'static str) -> Open<'_> {
        self.with(operation, |count| {
            count.calls += 1;
            count.open += 1;
            count.most_open = count.most_open.max(count.open);
        });
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.len() == ARRIVALS {
            arrivals.pop_front();
        }
        arrivals.push_back((Instant::now(), operation));
        Open { stats: self, operation }
    }

    /// When the last requests of the operation arrived.
    pub(crate) fn arrivals(&self, operation: &str) -> Vec<Instant> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.iter().filter(|(_, name)| *name == operation).map(|(at, _)| *at).collect()
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
        for count in self.operations.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
            *count = OperationCount { open: count.open, most_open: count.open, ..OperationCount::default() };
        }
    }

    fn with(&self, operation: &'static str, update: impl FnOnce(&mut OperationCount)) {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        update(operations.entry(operation).or_default());
    }
}
