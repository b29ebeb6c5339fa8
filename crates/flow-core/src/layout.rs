//! How many partitions a flow's topics have, and since when: more of them move keys to partitions whose ledger does not know them.

use std::time::Duration;

use crate::guards::{Guard, holds};
use crate::time::Moment;

/// The partition count that a partition's books are made for; the state topic remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many partitions each topic of the flow has.
    pub partitions: i32,
    /// When this count was first worked with, in milliseconds since the Unix epoch; zero when it was never another one.
    pub since_ms: i64,
}

impl Layout {
    /// What counts for a partition whose topics have `partitions` now, and whether it has yet to be written. `own` is what its own
    /// state says, `elsewhere` what that of partition 0 says: a partition that is new has no word of its own.
    pub fn of(partitions: i32, own: Option<Layout>, elsewhere: Option<Layout>, now_ms: i64) -> (Layout, bool) {
        match own.or(elsewhere) {
            Some(layout) if layout.partitions == partitions => (layout, own.is_none()),
            Some(_) if holds(Guard::GrowthRemembered) => (Layout { partitions, since_ms: now_ms }, true),
            Some(_) | None => (Layout { partitions, since_ms: 0 }, true),
        }
    }

    /// How much of the ledger's window is left, by time.
    pub fn window(&self, ledger_window: Duration, now_ms: i64) -> Option<Duration> {
        if self.since_ms == 0 {
            return None;
        }
        let passed = Duration::from_millis(u64::try_from(now_ms - self.since_ms).unwrap_or(0));
        ledger_window.checked_sub(passed).filter(|left| !left.is_zero())
    }
}

/// Keys have come from other partitions: what this ledger does not know may have been done under another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// How long the other ledgers still count.
    pub left: Duration,
    /// Event ids that this ledger has learnt since.
    pub learnt: usize,
}

/// While it is open, everything is looked up before anything is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    until: Moment,
    /// Event ids to learn until this ledger's own window covers everything.
    to_learn: usize,
}

impl Window {
    pub(crate) fn opened(now: Moment, moved: Moved, ledger_entries: usize) -> Window {
        Window { until: now + moved.left, to_learn: ledger_entries.saturating_sub(moved.learnt) }
    }

    pub(crate) fn is_open(&self, now: Moment) -> bool {
        now < self.until && self.to_learn > 0 && holds(Guard::GrowthVerified)
    }

    pub(crate) fn learnt_one(&mut self) {
        self.to_learn = self.to_learn.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Layout = Layout { partitions: 4, since_ms: 0 };
    const NEW: Layout = Layout { partitions: 8, since_ms: 1000 };

    #[test]
    fn a_flow_that_begins_has_nothing_to_verify() {
        assert_eq!(Layout::of(4, None, None, 1000), (OLD, true));
        assert_eq!(Layout::of(4, Some(OLD), None, 1000), (OLD, false));
        assert_eq!(OLD.window(Duration::MAX, 1000), None);
    }

    #[test]
    fn another_count_opens_the_window_in_old_partitions_and_in_new_ones() {
        assert_eq!(Layout::of(8, Some(OLD), Some(OLD), 1000), (NEW, true));
        assert_eq!(Layout::of(8, None, Some(OLD), 1000), (NEW, true), "partition 0 has not begun again yet");
        assert_eq!(Layout::of(8, None, Some(NEW), 9000), (NEW, true), "partition 0 has");
        assert_eq!(Layout::of(8, Some(NEW), Some(NEW), 9000), (NEW, false));
    }

    #[test]
    fn the_window_ends_by_time_or_by_what_was_learnt() {
        let second = Duration::from_secs(1);
        assert_eq!(NEW.window(second, 1500), Some(second / 2));
        assert_eq!(NEW.window(second, 2000), None);
        let mut window = Window::opened(Moment::ORIGIN, Moved { left: second, learnt: 8 }, 10);
        assert!(window.is_open(Moment::ORIGIN) && !window.is_open(Moment::ORIGIN + second));
        window.learnt_one();
        window.learnt_one();
        assert!(!window.is_open(Moment::ORIGIN));
    }
}
