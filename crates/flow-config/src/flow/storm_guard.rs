//! `[storm_guard]`: when record after record fails by itself, the flow stops instead of draining its topic into the dead letters.

use std::time::Duration;

use crate::document::{Section, Zero};

/// When bad records stop the flow, and when it tries again. A record is bad when it becomes a dead letter, or keeps failing for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StormGuard {
    /// So many bad records in a row stop it.
    pub run: u32,
    /// The share of bad ones is taken over so many records.
    pub window: usize,
    /// So many bad ones of a hundred stop it.
    pub percent: u8,
    /// A record that keeps failing while its endpoint is healthy is bad after so long, though it is not given up yet.
    pub failing_after: Duration,
    /// After so long a single record is tried; `None` leaves it to an operator.
    pub trial_after: Option<Duration>,
}

impl Default for StormGuard {
    fn default() -> Self {
        Self {
            run: 100,
            window: 500,
            percent: 50,
            failing_after: Duration::from_secs(60),
            trial_after: Some(Duration::from_secs(300)),
        }
    }
}

pub(super) fn read(section: Section<'_>) -> StormGuard {
    let default = StormGuard::default();
    let count = |name, fallback: u32| {
        section.integer(name, 1..=1_000_000).and_then(|count| u32::try_from(count).ok()).unwrap_or(fallback)
    };
    let window = count("window", u32::try_from(default.window).unwrap_or(u32::MAX));
    let percent = section.integer("percent", 1..=100).and_then(|percent| u8::try_from(percent).ok());
    let trial_after = section.duration("trial_after", Zero::Allowed);
    let guard = StormGuard {
        run: count("run", default.run),
        window: usize::try_from(window).unwrap_or(usize::MAX),
        percent: percent.unwrap_or(default.percent),
        failing_after: section.duration("failing_after", Zero::Refused).unwrap_or(default.failing_after),
        trial_after: trial_after.map_or(default.trial_after, |after| (!after.is_zero()).then_some(after)),
    };
    section.finish();
    guard
}
