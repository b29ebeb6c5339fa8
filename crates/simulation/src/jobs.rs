//! The engine's jobs: handed out under a lock that ends, again and again until they are completed. Meanwhile a message may change the
//! variables that the next record of a job carries, and an instance may be suspended, which hides its job.

use std::collections::HashMap;

use flow_core::{Answer, Fault as CallFailure};

use crate::checks::Promise;
use crate::engine::failure;
use crate::scenario::{GIVE_UP_AFTER, PlannedJob};
use crate::worker::commit::Kind;
use crate::world::{Event, Item, Work, World};

/// What the engine and an outside observer know of a job.
#[derive(Clone, Default)]
pub(crate) struct Job {
    /// Completed, or failed for good.
    pub ended: bool,
    /// The variables that its last record carried: how often they had changed.
    variables: u32,
    locked_until: u64,
    gathered: u32,
    /// An answer for it was kept for as long as it may be: from then on its next record asks anew.
    given_up: bool,
    /// By worker and its life: when it first kept an answer for the job, in time in which it could call.
    kept: HashMap<(usize, u32), u64>,
}

impl PlannedJob {
    fn is_suspended(&self, now: u64) -> bool {
        self.suspended.is_some_and(|(from, until)| (from..until).contains(&now))
    }
}

impl World<'_> {
    /// The engine hands the job out: its record is written to the jobs topic, again and again until it is completed.
    pub(crate) fn acquire(&mut self, job: usize) {
        if self.jobs[job].ended {
            return;
        }
        let planned = &self.scenario.jobs[job];
        if let Some((_, until)) = planned.suspended.filter(|_| planned.is_suspended(self.now)) {
            return self.schedule(until, Event::Acquire(job));
        }
        let again = self.jobs[job].locked_until > 0;
        let state = &mut self.jobs[job];
        state.locked_until = self.now + planned.lock;
        state.variables += u32::from(again && planned.changes);
        let variables = state.variables;
        let twice = self.rng.chance(10);
        for _ in 0..if twice { 2 } else { 1 } {
            self.append_job(planned.flow, planned.partition, Item::Job { job, variables });
        }
        self.schedule(self.now + planned.lock + planned.lapse, Event::Acquire(job));
    }

    pub(crate) fn gather(&mut self, work: Work) -> Answer<()> {
        let Item::Job { job, .. } = work.item else { return failure(CallFailure::Refused, None) };
        self.jobs[job].gathered += 1;
        if self.jobs[job].gathered % 4 == 1 && job % 3 == 0 { Answer::Incomplete(()) } else { Answer::Done(()) }
    }

    pub(crate) fn complete_job(&mut self, work: Work) -> Answer<()> {
        let Item::Job { job, .. } = work.item else { return failure(CallFailure::Refused, None) };
        self.outcome_first(job);
        if std::mem::replace(&mut self.jobs[job].ended, true) {
            return failure(CallFailure::NotFound, None);
        }
        self.tell(|| format!("engine  job {job} is completed"));
        Answer::Done(())
    }

    /// The job goes to the engine's own dead letters: it is not handed out again.
    pub(crate) fn fail_job(&mut self, work: Work) -> Answer<()> {
        let Item::Job { job, .. } = work.item else { return failure(CallFailure::Refused, None) };
        if self.scenario.jobs[job].asks && !self.holds_lock(job) {
            self.tell(|| format!("engine  job {job} is not ours to fail"));
            return Answer::Done(());
        }
        self.jobs[job].ended = true;
        self.tell(|| format!("engine  job {job} is failed for good"));
        if self.scenario.jobs[job].asks {
            self.done_is_not_refused(job, "failed for good");
        }
        Answer::Done(())
    }

    /// OUTCOME_FIRST: a job that asks is completed only after the system has answered.
    pub(crate) fn give_result(&mut self, work: Work) -> Answer<()> {
        let Item::Job { job, .. } = work.item else { return failure(CallFailure::Refused, None) };
        self.checks.compared(Promise::OutcomeFirst);
        if self.system.done[job].is_none() {
            self.violated(Promise::OutcomeFirst, format!("job {job} is completed, the system has not done it"));
        }
        if !self.holds_lock(job) {
            self.tell(|| format!("engine  job {job} is not ours to complete"));
            return Answer::NotHeld;
        }
        self.jobs[job].ended = true;
        self.tell(|| format!("engine  job {job} is completed with the answer"));
        Answer::Done(())
    }

    pub(crate) fn is_open(&self, work: Work) -> Answer<()> {
        let Item::Job { job, .. } = work.item else { return failure(CallFailure::Refused, None) };
        if self.jobs[job].ended { Answer::Done(()) } else { Answer::Open(()) }
    }

    /// All workers are one deployment to the engine. A suspended instance hides its job.
    fn holds_lock(&self, job: usize) -> bool {
        let state = &self.jobs[job];
        !state.ended && self.now < state.locked_until && !self.scenario.jobs[job].is_suspended(self.now)
    }

    /// A job that asked is recorded: with the answer it was completed, and with it the process goes on.
    pub(crate) fn asked_and_recorded(&mut self, job: usize, kind: &Kind) {
        self.checks.compared(Promise::OutcomeFirst);
        match kind {
            Kind::Accepted if !self.jobs[job].ended && !self.jobs[job].given_up => {
                self.violated(Promise::OutcomeFirst, format!("job {job} is recorded, but was never completed"));
            }
            Kind::DeadLettered(reason) => self.done_is_not_refused(job, reason),
            Kind::Accepted | Kind::Repeated | Kind::Duplicate | Kind::Filtered => {}
        }
    }

    /// ONE_OUTCOME: what the system did for a job ends in the job's result. That it refuses the job's next request is no reason to fail.
    fn done_is_not_refused(&mut self, job: usize, how: &str) {
        self.checks.compared(Promise::OneOutcome);
        if self.system.done[job].is_some() && !self.jobs[job].given_up {
            self.violated(Promise::OneOutcome, format!("the system has done job {job}, yet it ends as {how}"));
        }
    }

    pub(crate) fn answer_kept(&mut self, worker: usize, item: Option<Item>) {
        let Some(Item::Job { job, .. }) = item else { return };
        let (life, open) = (self.workers[worker].life, self.now - self.held_back_for(worker));
        self.jobs[job].kept.entry((worker, life)).or_insert(open);
        *self.checks.faults.entry("job: its lock ended before the answer came").or_default() += 1;
    }

    /// NO_BLAME: an answer is given up only after its whole time with a healthy engine.
    pub(crate) fn answer_given_up(&mut self, worker: usize, item: Option<Item>) {
        let Some(Item::Job { job, .. }) = item else { return };
        let (life, open) = (self.workers[worker].life, self.now - self.held_back_for(worker));
        let Some(&since) = self.jobs[job].kept.get(&(worker, life)) else { return };
        self.checks.compared(Promise::NoBlame);
        if open - since < GIVE_UP_AFTER {
            let text = format!("the answer for job {job} is given up after {} ms of healthy time", open - since);
            self.violated(Promise::NoBlame, text);
        }
        self.jobs[job].given_up = true;
        *self.checks.faults.entry("job: its answer was given up").or_default() += 1;
    }

    /// At rest every job has its outcome, or its result, or is refused.
    pub(crate) fn jobs_done(&mut self) {
        for (job, planned) in self.scenario.jobs.iter().enumerate() {
            self.checks.compared(Promise::OneOutcome);
            let outcomes = self.checks.outcomes.get(&job).copied().unwrap_or(0);
            let done = self.system.done[job].is_some();
            let outcomes = if planned.asks { u32::from(done || planned.refused) } else { outcomes };
            if outcomes == 0 || !self.jobs[job].ended || done && planned.refused {
                let text = format!("job {job} has {outcomes} outcomes, ended {}", self.jobs[job].ended);
                self.violated(Promise::OneOutcome, text);
            }
        }
    }
}
