//! The storm guard: when record after record fails by itself, the flow stops instead of draining its topic into the dead letters.
//!
//! It counts records, not attempts: a dead letter, or a record that kept failing for a while, is bad; an accepted one is good. What
//! follows a quarantined key counts for neither. Calls stop while it is tripped, and with them the clock of retries and holds. It ends
//! by an operator, or by a single record that is tried after a time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::guards::{Guard, holds};
use crate::input::{EndpointId, RecordId};
use crate::time::Moment;

/// When the guard trips, and when it tries again.
#[derive(Clone, Copy, Debug)]
pub struct StormPolicy {
    /// So many bad records in a row trip it.
    pub run: u32,
    /// Over how many records the share of bad ones is taken; before so many it says nothing.
    pub window: usize,
    /// So many bad records of a hundred trip it.
    pub percent: u8,
    /// A record is bad once it kept failing for so long of healthy time, though it is not given up yet.
    pub failing_after: Duration,
    /// After so long a single record is tried; `None`: only an operator ends it.
    pub trial_after: Option<Duration>,
}

/// Why the guard tripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storm {
    /// `run` bad records came one after the other.
    Run,
    /// Too many of the last records were bad.
    Share,
    /// No further key of a partition may be quarantined.
    QuarantineFull,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    Good,
    Bad,
    /// It says nothing: another record is to be tried.
    Open,
}

#[derive(Debug)]
enum State {
    Calm,
    Tripped { why: Storm, since: Moment, try_at: Option<Moment>, trial: Option<RecordId> },
}

#[derive(Debug)]
pub(crate) struct StormGuard {
    policy: StormPolicy,
    /// The last records, true for a bad one.
    window: VecDeque<bool>,
    bad: usize,
    run: u32,
    state: State,
    /// By endpoint.
    clocks: Vec<Clock>,
}

/// The time of one endpoint as the flow could use it.
#[derive(Debug, Default)]
struct Clock {
    /// Healthy time of the endpoint that passed while the guard was tripped, up to `counted_to`.
    stood: Duration,
    counted_to: Duration,
}

impl StormGuard {
    pub(crate) fn new(policy: StormPolicy) -> StormGuard {
        StormGuard { policy, window: VecDeque::new(), bad: 0, run: 0, state: State::Calm, clocks: Vec::new() }
    }

    pub(crate) fn is_tripped(&self) -> bool {
        matches!(self.state, State::Tripped { .. })
    }

    /// Whether it waits for room in the quarantine.
    pub(crate) fn wants_room(&self) -> bool {
        matches!(self.state, State::Tripped { why: Storm::QuarantineFull, .. })
    }

    /// Moves the clocks: `healthy` is the time of each endpoint, `paused` whether an operator holds the flow back. Called before anything
    /// else of a step.
    pub(crate) fn advance(&mut self, healthy: impl IntoIterator<Item = Duration>, paused: bool) {
        let stands = (self.is_tripped() || paused) && holds(Guard::StormStopsClock);
        for (index, healthy) in healthy.into_iter().enumerate() {
            if self.clocks.len() <= index {
                self.clocks.push(Clock::default());
            }
            if let Some(clock) = self.clocks.get_mut(index) {
                if stands {
                    clock.stood += healthy.saturating_sub(clock.counted_to);
                }
                clock.counted_to = healthy;
            }
        }
    }

    /// The time so far in which the endpoint was well and the flow could use it: what retries and holds are measured in.
    pub(crate) fn healthy(&self, endpoint: EndpointId) -> Duration {
        self.clocks.get(endpoint.index()).map_or(Duration::ZERO, |clock| clock.counted_to.saturating_sub(clock.stood))
    }

    /// Whether a record that has been failing at the endpoint for so long counts as bad.
    pub(crate) fn is_failing(&self, endpoint: EndpointId, since: Option<Duration>) -> bool {
        since.is_some_and(|since| self.healthy(endpoint).saturating_sub(since) >= self.policy.failing_after)
    }

    /// A record was accepted.
    pub(crate) fn good(&mut self) {
        self.run = 0;
        self.count(false);
    }

    /// A record is bad. Why the guard tripped, if it did just now.
    pub(crate) fn bad(&mut self, now: Moment) -> Option<Storm> {
        self.run += 1;
        self.count(true);
        let full = self.window.len() >= self.policy.window;
        if !holds(Guard::StormTrips) {
            return None;
        }
        if self.run >= self.policy.run {
            self.trip(now, Storm::Run)
        } else if full && self.bad * 100 >= self.window.len() * usize::from(self.policy.percent) {
            self.trip(now, Storm::Share)
        } else {
            None
        }
    }

    pub(crate) fn trip(&mut self, now: Moment, why: Storm) -> Option<Storm> {
        if self.is_tripped() {
            return None;
        }
        // No record that is tried makes room.
        let after = self.policy.trial_after.filter(|_| why != Storm::QuarantineFull);
        self.state = State::Tripped { why, since: now, try_at: after.map(|after| now + after), trial: None };
        Some(why)
    }

    /// It is over; for how long it stood.
    pub(crate) fn reset(&mut self, now: Moment) -> Option<Duration> {
        let State::Tripped { since, .. } = self.state else { return None };
        (self.state, self.run, self.bad) = (State::Calm, 0, 0);
        self.window.clear();
        Some(now.since(since))
    }

    /// Whether it is time to try a record.
    pub(crate) fn wants_trial(&self, now: Moment) -> bool {
        matches!(self.state, State::Tripped { try_at: Some(at), trial: None, .. } if at <= now)
    }

    /// When it is time to try a record, if none is being tried.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Tripped { try_at, trial: None, .. } => try_at,
            State::Tripped { trial: Some(_), .. } | State::Calm => None,
        }
    }

    /// The record that is tried.
    pub(crate) fn trial(&self) -> Option<RecordId> {
        match self.state {
            State::Tripped { trial, .. } => trial,
            State::Calm => None,
        }
    }

    pub(crate) fn try_record(&mut self, id: RecordId) {
        if let State::Tripped { trial, .. } = &mut self.state {
            *trial = Some(id);
        }
    }

    /// The trial ended; for how long the guard stood, if that ends it.
    pub(crate) fn tried(&mut self, now: Moment, how: Tried) -> Option<Duration> {
        if how == Tried::Good {
            return self.reset(now);
        }
        if let State::Tripped { try_at, trial, .. } = &mut self.state {
            *trial = None;
            *try_at = match how {
                Tried::Open => Some(now),
                Tried::Bad | Tried::Good => self.policy.trial_after.map(|after| now + after),
            };
        }
        None
    }

    fn count(&mut self, bad: bool) {
        self.window.push_back(bad);
        self.bad += usize::from(bad);
        while self.window.len() > self.policy.window {
            self.bad -= usize::from(self.window.pop_front() == Some(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Moment {
        Moment::after_origin(Duration::from_secs(seconds))
    }

    fn guard(run: u32, window: usize) -> StormGuard {
        let trial_after = Some(5 * MINUTE);
        StormGuard::new(StormPolicy { run, window, percent: 50, failing_after: MINUTE, trial_after })
    }

    #[test]
    fn a_run_trips_it_and_a_good_record_between_does_not() {
        let mut guard = guard(3, 100);
        for _ in 0..5 {
            assert_eq!((guard.bad(at(0)), guard.bad(at(0))), (None, None));
            guard.good();
        }
        assert_eq!((guard.bad(at(0)), guard.bad(at(0))), (None, None));
        assert_eq!(guard.bad(at(1)), Some(Storm::Run));
        assert_eq!(guard.bad(at(1)), None, "said once");
        assert_eq!(guard.reset(at(9)), Some(Duration::from_secs(8)));
        assert_eq!(guard.bad(at(9)), None, "it counts anew");
    }

    #[test]
    fn a_share_of_a_full_window_trips_it() {
        let mut guard = guard(100, 8);
        for _ in 0..3 {
            guard.good();
            assert_eq!(guard.bad(at(0)), None, "too few to tell");
        }
        guard.good();
        assert_eq!(guard.bad(at(0)), Some(Storm::Share));
    }

    #[test]
    fn the_clock_of_records_stands_while_it_is_tripped() {
        let mut guard = guard(1, 8);
        guard.advance([MINUTE], false);
        guard.bad(at(60));
        guard.advance([3 * MINUTE], false);
        assert_eq!(guard.healthy(EndpointId::ENGINE), MINUTE);
        assert!(!guard.is_failing(EndpointId::ENGINE, Some(MINUTE)));
        guard.reset(at(180));
        guard.advance([4 * MINUTE], false);
        assert_eq!(guard.healthy(EndpointId::ENGINE), 2 * MINUTE);
        guard.advance([9 * MINUTE], true);
        assert_eq!(guard.healthy(EndpointId::ENGINE), 2 * MINUTE, "an operator holds the flow back");
        assert!(guard.is_failing(EndpointId::ENGINE, Some(MINUTE)));
    }

    #[test]
    fn one_record_at_a_time_is_tried_and_a_good_one_ends_it() {
        let mut guard = guard(1, 8);
        guard.bad(at(0));
        assert_eq!((guard.deadline(), guard.wants_trial(at(299))), (Some(at(300)), false));
        assert!(guard.wants_trial(at(300)));
        guard.try_record(RecordId(1));
        assert_eq!((guard.deadline(), guard.wants_trial(at(301))), (None, false));
        assert_eq!(guard.tried(at(301), Tried::Bad), None);
        assert!(!guard.wants_trial(at(600)) && guard.wants_trial(at(601)));
        guard.try_record(RecordId(2));
        assert_eq!(guard.tried(at(602), Tried::Open), None);
        assert!(guard.wants_trial(at(602)));
        guard.try_record(RecordId(3));
        assert_eq!(guard.tried(at(700), Tried::Good), Some(Duration::from_secs(700)));
        assert!(!guard.is_tripped());
    }
}
