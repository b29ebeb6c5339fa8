//! The gate in front of an endpoint: closed while the endpoint is down, asks for time, or refuses our credentials.

use std::time::Duration;

use crate::guards::{Guard, holds};
use crate::retry::{Dice, RetryPolicy};
use crate::time::Moment;

/// When the gate closes, and how it is probed.
#[derive(Clone, Copy, Debug)]
pub struct GatePolicy {
    /// How many endpoint faults in a row close it.
    pub trip_after: u32,
    /// The delays between probes.
    pub probe: RetryPolicy,
}

/// Why the gate is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closed {
    /// The endpoint failed `trip_after` times in a row.
    Failing,
    /// The endpoint asked for time (Retry-After).
    AskedToWait,
    /// The endpoint refuses our credentials or permissions.
    Refused,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open,
    /// Opens by itself at `until`.
    Waiting {
        until: Moment,
    },
    /// Opens when a probe succeeds.
    Tripped {
        why: Closed,
        probe_at: Moment,
        probing: bool,
    },
}

/// Whether an endpoint is well, as the flows that share it found.
#[derive(Debug)]
pub(crate) struct Gate {
    policy: GatePolicy,
    state: State,
    closed_at: Moment,
    failures: u32,
    /// Probes since a call last succeeded: a gate that opens and trips again goes on waiting longer.
    probes: u32,
    /// Calls that a healthy endpoint answered.
    successes: u64,
    /// Time that passed with the gate open, up to `counted_to`: what retries and holds are measured in.
    healthy: Duration,
    counted_to: Moment,
}

impl Gate {
    pub(crate) fn new(policy: GatePolicy) -> Gate {
        let origin = Moment::ORIGIN;
        let (failures, probes, successes) = (0, 0, 0);
        let healthy = Duration::ZERO;
        Gate { policy, state: State::Open, closed_at: origin, failures, probes, successes, healthy, counted_to: origin }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Why it is closed, if it is.
    pub(crate) fn closed(&self) -> Option<Closed> {
        match self.state {
            State::Open => None,
            State::Waiting { .. } => Some(Closed::AskedToWait),
            State::Tripped { why, .. } => Some(why),
        }
    }

    /// The healthy time so far.
    pub(crate) fn healthy(&self) -> Duration {
        self.healthy
    }

    /// When the gate wants to be looked at again.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Open | State::Tripped { probing: true, .. } => None,
            State::Waiting { until } => Some(until),
            State::Tripped { probe_at, probing: false, .. } => Some(probe_at),
        }
    }

    /// Moves the healthy clock; called before anything else of a step.
    pub(crate) fn advance(&mut self, now: Moment) {
        if self.is_open() || !holds(Guard::HealthyTime) {
            self.healthy += now.since(self.counted_to);
        }
        self.counted_to = self.counted_to.max(now);
    }

    /// Whether a probe is due (it counts as begun), or the gate opened by itself.
    pub(crate) fn poll(&mut self, now: Moment) -> Polled {
        match &mut self.state {
            State::Waiting { until } if *until <= now => {
                self.state = State::Open;
                self.failures = 0;
                Polled::Opened(now.since(self.closed_at))
            }
            State::Tripped { probe_at, probing, .. } if (!*probing || !holds(Guard::OneProbe)) && *probe_at <= now => {
                *probing = true;
                Polled::ProbeDue
            }
            State::Open | State::Waiting { .. } | State::Tripped { .. } => Polled::Nothing,
        }
    }

    /// A call was answered by a healthy endpoint.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.successes += 1;
        if self.is_open() {
            self.probes = 0;
        }
    }

    /// How many calls were answered by a healthy endpoint.
    pub(crate) fn successes(&self) -> u64 {
        self.successes
    }

    /// A call met an endpoint fault. The answer is why and for how long the gate closed just now.
    pub(crate) fn failed(
        &mut self,
        now: Moment,
        retry_after: Option<Duration>,
        dice: &mut Dice,
    ) -> Option<(Closed, Duration)> {
        self.failures += 1;
        if let Some(wait) = retry_after {
            let until = now + wait;
            match &mut self.state {
                State::Open => {
                    self.close(now, State::Waiting { until });
                    return Some((Closed::AskedToWait, wait));
                }
                State::Waiting { until: current } => *current = until.max(*current),
                State::Tripped { probe_at, .. } => *probe_at = until.max(*probe_at),
            }
            return None;
        }
        let trips = self.is_open() && self.failures >= self.policy.trip_after;
        trips.then(|| (Closed::Failing, self.trip(now, Closed::Failing, dice)))
    }

    /// The endpoint refuses our credentials. The answer is why and for how long the gate closed just now.
    pub(crate) fn refused(&mut self, now: Moment, dice: &mut Dice) -> Option<(Closed, Duration)> {
        let trips = !matches!(self.state, State::Tripped { .. });
        trips.then(|| (Closed::Refused, self.trip(now, Closed::Refused, dice)))
    }

    /// A probe ended well; how long the gate was closed.
    pub(crate) fn probe_succeeded(&mut self, now: Moment) -> Option<Duration> {
        matches!(self.state, State::Tripped { .. }).then(|| {
            self.state = State::Open;
            self.failures = 0;
            now.since(self.closed_at)
        })
    }

    /// A probe failed; how long until the next.
    pub(crate) fn probe_failed(
        &mut self,
        now: Moment,
        retry_after: Option<Duration>,
        dice: &mut Dice,
    ) -> Option<Duration> {
        let State::Tripped { probe_at, probing, .. } = &mut self.state else { return None };
        *probing = false;
        self.probes += 1;
        let delay = retry_after.unwrap_or_else(|| self.policy.probe.delay(self.probes + 1, dice));
        *probe_at = now + delay;
        Some(delay)
    }

    /// Whoever made the probe is gone, and its answer will not be heard: the next one may probe at once.
    pub(crate) fn probe_abandoned(&mut self) {
        if let State::Tripped { probing, .. } = &mut self.state {
            *probing = false;
        }
    }

    fn trip(&mut self, now: Moment, why: Closed, dice: &mut Dice) -> Duration {
        self.probes += 1;
        let delay = self.policy.probe.delay(self.probes, dice);
        self.close(now, State::Tripped { why, probe_at: now + delay, probing: false });
        delay
    }

    fn close(&mut self, now: Moment, state: State) {
        if self.is_open() {
            self.closed_at = now;
        }
        self.state = state;
    }
}

/// What [`Gate::poll`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Nothing,
    ProbeDue,
    Opened(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_origin(Duration::from_secs(seconds))
    }

    fn gate() -> (Gate, Dice) {
        let probe = RetryPolicy { initial: Duration::from_secs(1), max: Duration::from_secs(10) };
        (Gate::new(GatePolicy { trip_after: 3, probe }), Dice::seeded(1))
    }

    #[test]
    fn a_run_of_endpoint_faults_closes_it_and_a_probe_opens_it() {
        let (mut gate, mut dice) = gate();
        assert_eq!(gate.failed(at(1), None, &mut dice), None);
        gate.succeeded();
        assert_eq!(gate.failed(at(1), None, &mut dice), None);
        assert_eq!(gate.failed(at(1), None, &mut dice), None);
        assert!(matches!(gate.failed(at(1), None, &mut dice), Some((Closed::Failing, _))));
        assert_eq!(gate.poll(at(3)), Polled::ProbeDue);
        assert_eq!(gate.poll(at(3)), Polled::Nothing, "one probe at a time");
        assert!(gate.probe_failed(at(4), None, &mut dice).is_some());
        assert_eq!(gate.poll(at(30)), Polled::ProbeDue);
        assert_eq!(gate.probe_succeeded(at(31)), Some(Duration::from_secs(30)));
        assert!(gate.is_open());
    }

    #[test]
    fn retry_after_is_honoured_for_the_whole_endpoint_and_never_shortened() {
        let (mut gate, mut dice) = gate();
        assert!(gate.failed(at(0), Some(Duration::from_secs(5)), &mut dice).is_some());
        assert!(gate.failed(at(1), Some(Duration::from_secs(1)), &mut dice).is_none());
        assert_eq!(gate.poll(at(4)), Polled::Nothing);
        assert_eq!(gate.poll(at(5)), Polled::Opened(Duration::from_secs(5)));
    }

    #[test]
    fn healthy_time_stands_still_while_the_gate_is_closed() {
        let (mut gate, mut dice) = gate();
        gate.advance(at(10));
        gate.refused(at(10), &mut dice);
        gate.advance(at(70));
        assert_eq!(gate.healthy(), Duration::from_secs(10));
        gate.probe_succeeded(at(70));
        gate.advance(at(75));
        assert_eq!(gate.healthy(), Duration::from_secs(15));
    }
}
