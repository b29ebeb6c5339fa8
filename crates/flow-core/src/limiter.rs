//! How many calls an endpoint may have in flight: found between two bounds by watching how it answers.
//!
//! Answers are gathered in windows of at least one round of calls. While a round takes about what it took at its quickest, the
//! limit grows; it is cut on 429, when calls fail, and when rounds get much slower without more being done. That is queueing only
//! if the cut makes the next round quicker; where it does not, the endpoint has become slower by itself, and the present time is
//! the new floor: a slow endpoint needs more calls in flight, not fewer.

use std::time::Duration;

use crate::time::Moment;

/// A window is not shorter, so that a short hiccup of the machine is one window and not many.
const WINDOW: Duration = Duration::from_millis(100);
/// A window that is not one round of calls ends all the same after so long.
const LONG_WINDOW: Duration = Duration::from_secs(1);
/// Answers that say something at all.
const LEAST_ANSWERS: u32 = 8;
/// A round is slow when it takes both twice the floor and so much more than it: calls of a busy, healthy endpoint wait too.
const SLACK: Duration = Duration::from_millis(100);
/// Slow windows in a row that are taken for queueing.
const SUSTAINED: u32 = 3;
/// The limit begins at this share of its maximum, or with so many calls where that is more.
const FIRST_SHARE: f64 = 1.0 / 8.0;
const FIRST: f64 = 16.0;
/// What a cut leaves: after queueing, and after refusals and failures.
const AFTER_QUEUEING: f64 = 0.8;
const AFTER_FAILURES: f64 = 0.7;
/// One failure in so many answers is taken for too much load.
const FAILING_SHARE: u32 = 10;

/// Why the limit was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pressure {
    /// 429.
    RateLimited,
    /// Time-outs and other faults of the endpoint.
    Failing,
    /// Calls wait for each other.
    Queueing,
}

/// What an answer says about the endpoint's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// It did what was asked: the time it took counts.
    Served,
    /// It answered something else, quicker or slower than its work takes.
    Other,
    Failed,
    RateLimited,
}

#[derive(Debug)]
pub(crate) struct Limiter {
    min: f64,
    max: f64,
    limit: f64,
    /// Until the first sign of too much load the limit doubles.
    doubling: bool,
    /// The mean of the quickest window, since a slower one was last found to be the endpoint's own doing.
    floor: Option<Duration>,
    /// Calls that left before the last cut say nothing about the present limit.
    cut_at: Moment,
    window: Window,
    /// Answers per second in the window before.
    rate: f64,
    /// Slow windows in a row.
    slow: u32,
    /// The mean before a cut whose effect is not known yet.
    trial: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: Moment,
    served: u32,
    failed: u32,
    took: Duration,
    /// Most calls in flight.
    peak: usize,
    /// A call had to wait for the limit.
    short: bool,
}

impl Limiter {
    /// Between `min` and `max` calls; `min` is at least one, and `max` not below it.
    pub(crate) fn new(min: usize, max: usize) -> Limiter {
        let min = min.max(1) as f64;
        let max = (max as f64).max(min);
        let (floor, trial) = (None, None);
        let (cut_at, window) = (Moment::ORIGIN, Window::default());
        Limiter { min, max, limit: first(min, max), doubling: true, floor, cut_at, window, rate: 0.0, slow: 0, trial }
    }

    /// Calls that may be in flight now.
    pub(crate) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// What a round of calls takes at its quickest; `None` before the first window ended.
    pub(crate) fn floor(&self) -> Option<Duration> {
        self.floor
    }

    /// A call left; so many are in flight with it.
    pub(crate) fn left(&mut self, in_flight: usize) {
        self.window.peak = self.window.peak.max(in_flight);
    }

    /// A call waits for the limit.
    pub(crate) fn is_short(&mut self) {
        self.window.short = true;
    }

    /// The endpoint was down and comes back: it is not met by everything at once.
    pub(crate) fn restart(&mut self, now: Moment) {
        self.limit = self.limit.min(first(self.min, self.max));
        self.doubling = true;
        self.begin_again(now);
    }

    /// A call that left at `sent` was answered. The answer is why the limit was cut just now.
    pub(crate) fn answered(&mut self, now: Moment, sent: Moment, sample: Sample) -> Option<Pressure> {
        if sent < self.cut_at {
            return None;
        }
        match sample {
            Sample::Served => {
                self.window.served += 1;
                self.window.took += now.since(sent);
            }
            Sample::Other => {}
            Sample::Failed => self.window.failed += 1,
            Sample::RateLimited => return Some(self.cut(now, self.limit * AFTER_FAILURES, Pressure::RateLimited)),
        }
        let answers = self.window.served + self.window.failed;
        let elapsed = now.since(self.window.since);
        let whole = answers as usize >= self.window.peak || elapsed >= LONG_WINDOW;
        (whole && answers >= LEAST_ANSWERS && elapsed >= WINDOW).then(|| self.close(now, elapsed)).flatten()
    }

    fn close(&mut self, now: Moment, elapsed: Duration) -> Option<Pressure> {
        let Window { served, failed, took, peak, short, .. } = self.window;
        if failed * FAILING_SHARE >= served + failed {
            return Some(self.cut(now, self.limit * AFTER_FAILURES, Pressure::Failing));
        }
        let mean = took / served.max(1);
        let rate = f64::from(served) / elapsed.as_secs_f64();
        let gains = rate > self.rate * 1.1;
        self.rate = rate;
        if let Some(before) = self.trial.take()
            && mean.as_secs_f64() > before.as_secs_f64() * 0.95
        {
            self.floor = Some(mean);
        }
        let floor = self.floor.map_or(mean, |floor| floor.min(mean));
        self.floor = Some(floor);
        let slow = mean > (floor * 2).max(floor + SLACK);
        self.slow = match (slow, gains) {
            (false, _) => 0,
            (true, true) => self.slow,
            (true, false) => self.slow + 1,
        };
        // What is not in use need not be cut.
        let busy = peak as f64 * 2.0 >= self.limit;
        if self.slow >= SUSTAINED && busy {
            let used = self.limit.min(peak as f64);
            let pressure = self.cut(now, used * AFTER_QUEUEING, Pressure::Queueing);
            (self.trial, self.slow) = (Some(mean), SUSTAINED);
            return Some(pressure);
        }
        if short && !slow {
            let more = if self.doubling { self.limit } else { self.limit.sqrt() };
            self.limit = (self.limit + more).min(self.max);
        }
        self.window = Window { since: now, ..Window::default() };
        None
    }

    fn cut(&mut self, now: Moment, to: f64, pressure: Pressure) -> Pressure {
        self.limit = to.clamp(self.min, self.max);
        self.doubling = false;
        self.cut_at = now;
        self.begin_again(now);
        pressure
    }

    fn begin_again(&mut self, now: Moment) {
        self.window = Window { since: now, ..Window::default() };
        (self.trial, self.slow, self.rate) = (None, 0, 0.0);
    }
}

fn first(min: f64, max: f64) -> f64 {
    (max * FIRST_SHARE).max(FIRST).clamp(min, max)
}

#[cfg(test)]
#[path = "limiter/tests.rs"]
mod tests;
