//! How many jobs to ask for and when: the acquirer's decisions, as values that need no clock.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first pause after a failure, before jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// No pause of our own grows beyond this, before jitter. Jitter adds up to as much again.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// After so many empty batches in a row the jobs are asked for one by one.
const EMPTY_BATCHES: u32 = 2;

/// The pace of one loop.
///
/// An empty batch is no proof that there is no work: exclusive jobs of one instance make the engine roll back a batch
/// that holds two of them, every time, and hand out nothing. One job alone gets through, so one is asked for when
/// batches stay empty, and batches come back as soon as one did. An idle loop therefore asks for one job at a time.
#[derive(Debug)]
pub(crate) struct Pace {
    batch: u32,
    poll_interval: Duration,
    mode: Mode,
    failures: Option<ExponentialBackoff>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// `empty` batches in a row came back without a job.
    Batches {
        empty: u32,
    },
    Single,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// The engine answered with so many jobs, perhaps none, and Kafka has acknowledged all of them.
    HandedOver(usize),
    /// The engine failed, and may have said how long to leave it alone.
    EngineFault { retry_after: Option<Duration> },
    /// At least one job was locked and did not reach the jobs topic.
    NotAcknowledged,
}

impl Pace {
    pub(crate) fn new(batch: u32, poll_interval: Duration) -> Pace {
        Pace { batch, poll_interval, mode: Mode::Batches { empty: 0 }, failures: None }
    }

    /// How many jobs the next round asks for.
    pub(crate) fn ask(&self) -> u32 {
        match self.mode {
            Mode::Batches { .. } => self.batch,
            Mode::Single => 1,
        }
    }

    /// How long to wait before the next round.
    pub(crate) fn after(&mut self, round: Round) -> Duration {
        match round {
            Round::HandedOver(jobs) => {
                self.failures = None;
                self.after_answer(jobs)
            }
            Round::EngineFault { retry_after } => self.back_off().max(retry_after.unwrap_or_default()),
            Round::NotAcknowledged => {
                // While Kafka refuses, every attempt locks what it takes until the lock expires: take one.
                self.mode = Mode::Single;
                self.back_off()
            }
        }
    }

    fn after_answer(&mut self, jobs: usize) -> Duration {
        let full = u32::try_from(jobs).unwrap_or(u32::MAX) >= self.ask();
        match self.mode {
            Mode::Batches { .. } if jobs > 0 => {
                self.mode = Mode::Batches { empty: 0 };
                if full { Duration::ZERO } else { self.poll_interval }
            }
            Mode::Batches { empty } if empty + 1 < EMPTY_BATCHES => {
                self.mode = Mode::Batches { empty: empty + 1 };
                self.poll_interval
            }
            Mode::Batches { .. } => {
                // The empty batches have waited long enough: siblings of one instance go on at one job per interval.
                self.mode = Mode::Single;
                Duration::ZERO
            }
            Mode::Single if full => {
                self.mode = Mode::Batches { empty: 0 };
                Duration::ZERO
            }
            Mode::Single => self.poll_interval,
        }
    }

    /// Jitter keeps the loops of many topics, which failed together, from coming back together.
    fn back_off(&mut self) -> Duration {
        let failures = self.failures.get_or_insert_with(|| {
            let endless = ExponentialBuilder::new().without_max_times().with_jitter();
            endless.with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE).build()
        });
        failures.next().unwrap_or(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(3);
    const FAULT: Round = Round::EngineFault { retry_after: None };

    fn pace() -> Pace {
        Pace::new(10, INTERVAL)
    }

    /// What is asked for and how long is waited, after each of these answers.
    fn steps(pace: &mut Pace, answers: &[usize]) -> Vec<(u32, Duration)> {
        answers
            .iter()
            .map(|jobs| {
                let pause = pace.after(Round::HandedOver(*jobs));
                (pace.ask(), pause)
            })
            .collect()
    }

    #[test]
    fn a_full_batch_is_followed_at_once_and_a_partial_one_after_the_interval() {
        assert_eq!(pace().ask(), 10);
        let at_once = (10, Duration::ZERO);
        assert_eq!(steps(&mut pace(), &[10, 10, 9, 12]), [at_once, at_once, (10, INTERVAL), at_once]);
    }

    #[test]
    fn two_empty_batches_fall_back_to_one_job_and_one_job_brings_batches_back() {
        let expected = [(10, INTERVAL), (1, Duration::ZERO), (1, INTERVAL), (1, INTERVAL), (10, Duration::ZERO)];
        assert_eq!(steps(&mut pace(), &[0, 0, 0, 0, 1]), expected);
    }

    #[test]
    fn only_empty_batches_in_a_row_count() {
        assert_eq!(steps(&mut pace(), &[0, 3, 0]).last(), Some(&(10, INTERVAL)));
    }

    #[test]
    fn exclusive_siblings_go_on_at_one_job_per_interval() {
        let mut pace = pace();
        steps(&mut pace, &[0, 0]);
        // one comes alone, the batch after it finds its siblings blocked
        let waited: Duration = steps(&mut pace, &[1, 0, 0]).iter().map(|(_, pause)| *pause).sum();
        assert_eq!((pace.ask(), waited), (1, INTERVAL));
    }

    #[test]
    fn failures_wait_longer_and_longer_up_to_a_bound_and_an_answer_forgets_them() {
        let mut pace = pace();
        let pauses: Vec<_> = (0..50).map(|_| pace.after(FAULT)).collect();
        for (index, pause) in pauses.iter().enumerate() {
            let least = FIRST_PAUSE.saturating_mul(1 << index.min(20)).min(LONGEST_PAUSE);
            assert!((least..=least * 2).contains(pause), "failure {index} waits {pause:?}");
        }
        pace.after(Round::HandedOver(0));
        assert!(pace.after(FAULT) <= FIRST_PAUSE * 2);
    }

    #[test]
    fn loops_that_failed_together_do_not_come_back_together() {
        let distinct: std::collections::BTreeSet<_> = (0..20).map(|_| pace().after(FAULT)).collect();
        assert!(distinct.len() > 10, "{distinct:?}");
    }

    #[test]
    fn the_engine_is_left_alone_as_long_as_it_asks() {
        let asked = |retry_after| pace().after(Round::EngineFault { retry_after: Some(retry_after) });
        assert_eq!(asked(Duration::from_secs(90)), Duration::from_secs(90));
        assert!(asked(Duration::ZERO) >= FIRST_PAUSE);
    }

    #[test]
    fn an_engine_fault_changes_nothing_about_what_is_asked_for() {
        let mut pace = pace();
        pace.after(FAULT);
        assert_eq!(pace.ask(), 10);
        steps(&mut pace, &[0, 0]);
        pace.after(FAULT);
        assert_eq!(pace.ask(), 1);
    }

    #[test]
    fn while_kafka_refuses_only_one_job_is_held_up() {
        let mut pace = pace();
        let first = pace.after(Round::NotAcknowledged);
        assert_eq!(pace.ask(), 1);
        assert!(pace.after(Round::NotAcknowledged) > first);
        assert_eq!(steps(&mut pace, &[1]), [(10, Duration::ZERO)]);
    }

    #[test]
    fn a_batch_of_one_never_runs_hot() {
        let mut pace = Pace::new(1, INTERVAL);
        let pauses: Duration = steps(&mut pace, &[0; 10]).iter().map(|(_, pause)| *pause).sum();
        assert_eq!(pauses, INTERVAL * 9);
    }
}
