//! Faults on command: what goes wrong, where, how often. Pure decisions; the gate carries them out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;
use serde::{Deserialize, Serialize};

/// One of the service's parts, each with a base URL of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mount {
    /// Instances, executions, tasks and models, under `/workflow/v1`.
    Runtime,
    /// `/workflow-history/v1`.
    History,
    /// `/workflow-job/v1`.
    Jobs,
    /// The token endpoint.
    Token,
    /// A business system.
    System,
}

/// A fault and the requests that it meets. Without operation and mount it meets every request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name of one operation, as the statistics list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// All operations of one part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<Mount>,
    /// How many of a hundred requests are met.
    #[serde(default = "always")]
    pub percent: f64,
    /// After this many the rule is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// What goes wrong.
    pub fault: Fault,
}

fn always() -> f64 {
    100.0
}

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The effect, and so the answer, comes later. A client that gives up does not prevent the effect.
    Delay {
        /// Milliseconds at least.
        ms: u64,
        /// Up to this many milliseconds more.
        #[serde(default)]
        jitter_ms: u64,
    },
    /// The effect happens at once, the answer comes later.
    DelayAnswer {
        /// Milliseconds at least.
        ms: u64,
        /// Up to this many milliseconds more.
        #[serde(default)]
        jitter_ms: u64,
    },
    /// The engine is too small: requests that meet this wait for each other, and each takes so long.
    Queue {
        /// Milliseconds of one request.
        ms: u64,
    },
    /// This status is the answer.
    Status {
        /// HTTP status, 400 to 599.
        status: u16,
        /// `Retry-After` in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u64>,
        /// Writes `Retry-After` as a date instead.
        #[serde(default)]
        retry_after_as_date: bool,
        /// The request takes effect all the same: the answer lies.
        #[serde(default)]
        after_effect: bool,
    },
    /// The request takes effect, then the connection closes without an answer.
    DropAnswer,
    /// The request takes effect, and the answer breaks off in the middle of its body.
    CutAnswer,
    /// The connection closes without answer and without effect.
    DropRequest,
    /// The connection closes at once, and the request takes effect some time later.
    Abandon {
        /// The effect happens within this many milliseconds.
        effect_within_ms: u64,
    },
    /// The access token is refused (401).
    RejectToken,
    /// The caller may not do this (403).
    Forbid,
    /// Another transaction was faster (the status is a switch); no effect.
    OptimisticLock,
}

/// What happens to one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) delay: Duration,
    pub(crate) answer_delay: Duration,
    pub(crate) fate: Option<Fault>,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    any: AtomicBool,
    rules: Mutex<Vec<Rule>>,
    /// Until when requests that meet `Queue` are being served.
    busy_until: Mutex<Option<Instant>>,
}

impl Rules {
    pub(crate) fn replace(&self, rules: Vec<Rule>) {
        self.any.store(!rules.is_empty(), Ordering::Relaxed);
        *self.lock() = rules;
    }

    pub(crate) fn add(&self, rule: Rule) {
        self.lock().push(rule);
        self.any.store(true, Ordering::Relaxed);
    }

    pub(crate) fn current(&self) -> Vec<Rule> {
        self.lock().clone()
    }

    /// Delays of all rules that meet the request add up; the first other fault decides its fate.
    pub(crate) fn decide(&self, operation: &str, mount: Mount, now: Instant, random: &mut impl Rng) -> Verdict {
        let mut verdict = Verdict::default();
        if !self.any.load(Ordering::Relaxed) {
            return verdict;
        }
        let mut rules = self.lock();
        for rule in rules.iter_mut() {
            let meets = rule.operation.as_deref().is_none_or(|o| o == operation)
                && rule.mount.is_none_or(|m| m == mount)
                && rule.times != Some(0);
            if !meets || random.random_range(0.0..100.0) >= rule.percent {
                continue;
            }
            match &rule.fault {
                Fault::Delay { ms, jitter_ms } => verdict.delay += with_jitter(*ms, *jitter_ms, random),
                Fault::DelayAnswer { ms, jitter_ms } => verdict.answer_delay += with_jitter(*ms, *jitter_ms, random),
                Fault::Queue { ms } => verdict.delay += self.queue(now, Duration::from_millis(*ms)),
                Fault::Status { .. }
                | Fault::DropAnswer
                | Fault::CutAnswer
                | Fault::DropRequest
                | Fault::Abandon { .. }
                | Fault::RejectToken
                | Fault::Forbid
                | Fault::OptimisticLock => {
                    if verdict.fate.is_some() {
                        continue;
                    }
                    verdict.fate = Some(rule.fault.clone());
                }
            }
            if let Some(times) = &mut rule.times {
                *times -= 1;
            }
        }
        verdict
    }

    /// How long a request that comes `now` waits until it is served, its own time included.
    fn queue(&self, now: Instant, takes: Duration) -> Duration {
        let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        let served = busy_until.map_or(now, |until| until.max(now)) + takes;
        *busy_until = Some(served);
        served - now
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_jitter(ms: u64, jitter_ms: u64, random: &mut impl Rng) -> Duration {
    Duration::from_millis(ms + random.random_range(0..=jitter_ms))
}

impl Rule {
    /// A fault that meets every request.
    pub fn everywhere(fault: Fault) -> Self {
        Self { operation: None, mount: None, percent: 100.0, times: None, fault }
    }

    /// A fault that meets one operation.
    pub fn on(operation: &str, fault: Fault) -> Self {
        Self { operation: Some(operation.into()), ..Self::everywhere(fault) }
    }

    /// A fault that meets one part of the service.
    pub fn at(mount: Mount, fault: Fault) -> Self {
        Self { mount: Some(mount), ..Self::everywhere(fault) }
    }

    /// Meets only this many requests.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Meets only this many of a hundred requests.
    #[must_use]
    pub fn percent(self, percent: f64) -> Self {
        Self { percent, ..self }
    }

    /// What is wrong with this rule, if anything.
    pub(crate) fn problem(&self, operations: &[&str]) -> Option<String> {
        if let Some(operation) = &self.operation
            && !operations.contains(&operation.as_str())
        {
            return Some(format!("there is no operation '{operation}'; there are: {}", operations.join(", ")));
        }
        if !(0.0..=100.0).contains(&self.percent) {
            return Some(format!("percent must lie between 0 and 100, not {}", self.percent));
        }
        match self.fault {
            Fault::Status { status, .. } if !(400..600).contains(&status) => {
                Some(format!("status must lie between 400 and 599, not {status}"))
            }
            Fault::Status { .. }
            | Fault::Delay { .. }
            | Fault::DelayAnswer { .. }
            | Fault::Queue { .. }
            | Fault::DropAnswer
            | Fault::CutAnswer
            | Fault::DropRequest
            | Fault::Abandon { .. }
            | Fault::RejectToken
            | Fault::Forbid
            | Fault::OptimisticLock => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_rule_meets_its_target_and_is_used_up() {
        let rules = Rules::default();
        rules.add(Rule::on("start", Fault::DropAnswer).times(2));
        rules.add(Rule::at(Mount::Jobs, Fault::Delay { ms: 5, jitter_ms: 0 }));
        let mut random = StdRng::seed_from_u64(1);
        let mut fate = |operation: &str, mount| rules.decide(operation, mount, Instant::now(), &mut random);
        assert_eq!(fate("list-tasks", Mount::Runtime), Verdict::default());
        assert_eq!(fate("acquire", Mount::Jobs).delay, Duration::from_millis(5));
        assert_eq!(fate("start", Mount::Runtime).fate, Some(Fault::DropAnswer));
        assert_eq!(fate("start", Mount::Runtime).fate, Some(Fault::DropAnswer));
        assert_eq!(fate("start", Mount::Runtime).fate, None);
    }

    #[test]
    fn delays_add_up_and_the_first_fate_counts() {
        let rules = Rules::default();
        rules.add(Rule::everywhere(Fault::Delay { ms: 5, jitter_ms: 0 }));
        rules.add(Rule::everywhere(Fault::Forbid).times(1));
        rules.add(Rule::everywhere(Fault::DropRequest).times(1));
        rules.add(Rule::everywhere(Fault::Delay { ms: 7, jitter_ms: 0 }));
        let mut random = StdRng::seed_from_u64(1);
        let first = rules.decide("start", Mount::Runtime, Instant::now(), &mut random);
        assert_eq!((first.delay, first.fate), (Duration::from_millis(12), Some(Fault::Forbid)));
        let second = rules.decide("start", Mount::Runtime, Instant::now(), &mut random);
        assert_eq!(second.fate, Some(Fault::DropRequest));
    }

    #[test]
    fn requests_that_queue_wait_for_each_other() {
        let rules = Rules::default();
        rules.add(Rule::on("start", Fault::Queue { ms: 50 }));
        let mut random = StdRng::seed_from_u64(1);
        let begun = Instant::now();
        let mut delay = |after| {
            let now = begun + Duration::from_millis(after);
            rules.decide("start", Mount::Runtime, now, &mut random).delay.as_millis()
        };
        assert_eq!([delay(0), delay(0), delay(20), delay(1_000)], [50, 100, 130, 50]);
    }

    #[test]
    fn a_percentage_is_about_kept() {
        let rules = Rules::default();
        rules.add(Rule::everywhere(Fault::DropAnswer).percent(30.0));
        let mut random = StdRng::seed_from_u64(7);
        let met = (0..10_000)
            .filter(|_| rules.decide("start", Mount::Runtime, Instant::now(), &mut random).fate.is_some())
            .count();
        assert!((2_800..3_200).contains(&met), "{met}");
    }

    #[test]
    fn misspelt_rules_are_refused() {
        assert!(Rule::on("strat", Fault::Forbid).problem(&["start"]).is_some());
        assert!(Rule::on("start", Fault::Forbid).percent(101.0).problem(&["start"]).is_some());
        assert!(Rule::on("start", Fault::Forbid).problem(&["start"]).is_none());
        assert!(serde_json::from_str::<Rule>(r#"{"fault":{"kind":"drop_answer"},"precent":5}"#).is_err());
    }
}
