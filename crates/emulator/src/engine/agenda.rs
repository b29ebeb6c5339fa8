//! What becomes due with time: timers, expired locks, continuations, and history that catches up.
//!
//! Entries are never withdrawn; an entry whose reason is gone does nothing when its time comes. Time passes only when
//! somebody asks the engine something, and then in the order of the due times, which no client can tell from a clock
//! that runs by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::commit::Change;
use super::instance::{JobState, RequestState, Wait};
use super::{Engine, Instance};

#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(Timestamp, u64), Due>,
    next: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Due {
    /// An intermediate timer (id of the execution) or a boundary timer (its own id).
    Timer { instance: u64, timer: Arc<str> },
    /// The sweep that follows the end of a lock or of a retry time-out.
    Sweep { instance: u64, job: Arc<str> },
    /// The step after a job's completion.
    Continue { instance: u64, job: Arc<str> },
    /// An HTTP task makes its request.
    Request { instance: u64, request: Arc<str> },
    /// History shows this picture from now on.
    History(Arc<Instance>),
}

impl Agenda {
    pub(super) fn push(&mut self, at: Timestamp, due: Due) {
        self.next += 1;
        self.entries.insert((at, self.next), due);
    }

    /// When the next request is to be made.
    pub(super) fn next_request(&self) -> Option<Timestamp> {
        let mut entries = self.entries.iter();
        entries.find(|(_, due)| matches!(due, Due::Request { .. })).map(|((at, _), _)| *at)
    }

    fn pop(&mut self, now: Timestamp) -> Option<(Timestamp, Due)> {
        let entry = self.entries.first_entry()?;
        let at = entry.key().0;
        (at <= now).then(|| (at, entry.remove()))
    }
}

impl Engine {
    /// Does everything that has become due by `now`.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        while let Some((at, due)) = self.agenda.pop(now) {
            match due {
                Due::Timer { instance, timer } => self.fire(instance, &timer, at),
                Due::Sweep { instance, job } => self.sweep(instance, &job, at),
                Due::Continue { instance, job } => self.continue_after(instance, &job, at),
                Due::Request { instance, request } => self.make_request(instance, &request, at),
                Due::History(picture) => self.history.insert(picture),
            }
        }
    }

    /// The first sweep at or after `at`.
    pub(super) fn next_sweep(&self, at: Timestamp) -> Timestamp {
        let interval = i128::from(self.switches.sweep_interval_ms.max(1)) * 1_000_000;
        let elapsed = at.duration_since(self.started).as_nanos().max(0);
        let sweeps = (elapsed + interval - 1) / interval;
        self.started.checked_add(SignedDuration::from_nanos_i128(sweeps * interval)).unwrap_or(Timestamp::MAX)
    }

    fn fire(&mut self, instance: u64, timer: &str, at: Timestamp) {
        let Some(instance) = self.running.by_number(instance).filter(|i| !i.suspended) else { return };
        let mut change = self.change(instance, at);
        // A timer whose next step fails is lost here; the real engine would retry it and then park it.
        if let Ok(true) = change.fire_timer(timer) {
            self.commit(change);
        }
    }

    fn sweep(&mut self, instance: u64, job: &str, at: Timestamp) {
        let Some(instance) = self.running.by_number(instance).filter(|i| !i.suspended) else { return };
        let mut change = self.change(instance, at);
        let Some(job) = change.instance.job_mut(job) else { return };
        let over = match &job.state {
            JobState::Locked { expires, .. } => *expires <= at,
            JobState::Deferred { until } => *until <= at,
            JobState::Waiting | JobState::Continuing { .. } | JobState::Dead => false,
        };
        if over {
            job.state = JobState::Waiting;
            self.commit(change);
        }
    }

    /// Puts everything that an instance waits for on the agenda again, after it was suspended.
    pub(super) fn reschedule(&self, change: &mut Change) {
        let number = change.instance.number;
        let mut due = Vec::new();
        for execution in &change.instance.executions {
            for timer in &execution.timers {
                due.push((timer.due, Due::Timer { instance: number, timer: timer.id.clone() }));
            }
            match &execution.wait {
                Wait::Timer(at) => due.push((*at, Due::Timer { instance: number, timer: execution.id.clone() })),
                Wait::Job(job) => match &job.state {
                    JobState::Locked { expires: at, .. } | JobState::Deferred { until: at } => {
                        due.push((self.next_sweep(*at), Due::Sweep { instance: number, job: job.id.clone() }));
                    }
                    JobState::Continuing { due: at, .. } => {
                        due.push((*at, Due::Continue { instance: number, job: job.id.clone() }));
                    }
                    JobState::Waiting | JobState::Dead => {}
                },
                Wait::Request(request) => {
                    if let RequestState::Waiting(at) = request.state {
                        due.push((at, Due::Request { instance: number, request: request.id.clone() }));
                    }
                }
                Wait::Join | Wait::Task(_) | Wait::Message(_) => {}
            }
        }
        change.due.extend(due);
    }
}
