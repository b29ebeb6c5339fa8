//! The protocol of one command: which call comes next, given what the last one answered.
//!
//! An ambiguous answer (the effect may be there, or still come) is never met with a second attempt before a look-up said
//! *absent* in the one order that proves it: wait until no earlier request can take effect (`settle`), read the running
//! instances, wait `history_lag`, read the history. Any other order, or a shorter wait, misses an instance that ends
//! between the reads. A first look at once saves the wait when it finds the effect.

mod hold;
mod next;
mod request;

use std::time::Duration;

use crate::batch::Resolution;
use crate::call::{Call, Scope};
use crate::fate::{Blame, Fate, Fault, Reason, fate};
use crate::gate::Gate;
use crate::guards::{Guard, holds};
use crate::input::{Answer, Command, Failure};
use crate::retry::{Dice, RetryPolicy};
use crate::time::Moment;

use next::dead;
pub(crate) use next::{Next, Why};

/// The waits and bounds of the protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub retry: RetryPolicy,
    pub hold: RetryPolicy,
    pub settle: Duration,
    pub history_lag: Duration,
    pub give_up_after: Duration,
}

/// What a step of the protocol may use.
pub(crate) struct Context<'a> {
    pub now: Moment,
    pub bounds: &'a Bounds,
    pub gate: &'a mut Gate,
    pub dice: &'a mut Dice,
    /// The time in which the endpoint of the call was well and the flow could use it.
    pub healthy: Duration,
    /// Whether the record has to follow one of its key that was given up.
    pub follows: bool,
}

/// Where one record's command stands.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub command: Command,
    pub attempts: u32,
    failures: u32,
    holds: u32,
    /// Whether the effect was ever in doubt: then a second look follows.
    doubted: bool,
    /// Whether its offset says nothing of what was started before and after it.
    replayed: bool,
    /// While the last effect is in doubt: when no earlier request can take effect any more.
    settled_at: Option<Moment>,
    /// Healthy time at the first fault that was the record's own.
    failing_since: Option<Duration>,
    /// How many calls the endpoint had served at this record's last endpoint fault.
    seen_successes: Option<u64>,
    /// Healthy time at which the message first found nobody waiting, the outcome first lacked its audit, or the engine did not take a
    /// system's answer.
    held_since: Option<Duration>,
    /// Healthy time at which the engine first did not show what the record tells of.
    unseen_since: Option<Duration>,
    /// Whether the system that it asks has answered.
    answered: bool,
    /// Whether the engine was asked for the job after a conflict.
    looked: bool,
    /// Why the request becomes a dead letter, if its job is still open.
    refusal: Option<(Reason, String)>,
}

impl Protocol {
    /// A command that nobody began before.
    pub(crate) fn fresh(command: Command) -> Protocol {
        Protocol {
            command,
            attempts: 0,
            failures: 0,
            holds: 0,
            doubted: false,
            replayed: false,
            settled_at: None,
            failing_since: None,
            seen_successes: None,
            held_since: None,
            unseen_since: None,
            answered: false,
            looked: false,
            refusal: None,
        }
    }

    /// A command that an earlier owner may have begun; `settled_at` is when no request of theirs can take effect any more.
    pub(crate) fn uncertain(command: Command, settled_at: Moment) -> Protocol {
        Protocol { doubted: true, settled_at: Some(settled_at), ..Protocol::fresh(command) }
    }

    /// A command of the replay topic: as uncertain, and only its marker tells what it was done to.
    pub(crate) fn replayed(command: Command, settled_at: Moment) -> Protocol {
        Protocol { replayed: true, ..Protocol::uncertain(command, settled_at) }
    }

    /// The first call: one for a fresh start, which is the happy path's only call.
    pub(crate) fn first(&mut self) -> Call {
        match self.command {
            Command::Start | Command::Message { .. } | Command::Terminate if self.doubted => {
                Call::Look(Scope::Everywhere)
            }
            Command::Start => self.attempt(Call::Act),
            Command::Message { .. } | Command::Terminate => self.locate(),
            // The ledger tells whether the outcome was published: it is committed with it.
            Command::Publish => self.attempt(Call::Gather),
            Command::Request { .. } if !holds(Guard::SystemFirst) => Call::GiveResult,
            Command::Request { system } => self.attempt(Call::Request(system)),
        }
    }

    fn locate(&self) -> Call {
        Call::Locate { spare_later: !self.replayed && holds(Guard::SpareLater) }
    }

    /// Once more from the beginning, with all its time: nothing of it is in doubt.
    pub(crate) fn again(&mut self) -> Call {
        (self.failing_since, self.held_since, self.unseen_since) = (None, None, None);
        (self.failures, self.holds) = (0, 0);
        match self.command {
            Command::Start => self.attempt(Call::Act),
            Command::Message { .. } | Command::Terminate => self.locate(),
            Command::Publish => self.attempt(Call::Gather),
            Command::Request { system } => self.attempt(Call::Request(system)),
        }
    }

    /// It was held back for so long: its retries and holds have as much time left as they had before.
    pub(crate) fn rested(&mut self, stood: Duration, now: Duration) {
        for since in [&mut self.failing_since, &mut self.held_since, &mut self.unseen_since].into_iter().flatten() {
            *since = (*since + stood).min(now);
        }
    }

    /// Healthy time at the first fault that was the record's own.
    pub(crate) fn failing_since(&self) -> Option<Duration> {
        self.failing_since
    }

    /// Whether the instance is to be counted once no request can take effect any more.
    pub(crate) fn needs_second_look(&self) -> bool {
        match self.command {
            Command::Start => self.doubted && holds(Guard::SecondLook),
            Command::Message { .. } | Command::Terminate | Command::Publish | Command::Request { .. } => false,
        }
    }

    /// What follows the commit of the record's resolution.
    pub(crate) fn after_commit<O>(&self, resolution: &Resolution<O>) -> Option<Call> {
        match (self.command, resolution) {
            (Command::Publish, Resolution::Accepted(_) | Resolution::Repeated | Resolution::Duplicate) => {
                Some(Call::CompleteJob)
            }
            // Otherwise the engine would hand it out again each time its lock ends.
            (Command::Publish | Command::Request { .. }, Resolution::DeadLettered { .. }) => Some(Call::FailJob),
            (Command::Publish, Resolution::Filtered) => None,
            // It was completed before: only the system's answer tells with what.
            (
                Command::Request { .. },
                Resolution::Accepted(_) | Resolution::Repeated | Resolution::Duplicate | Resolution::Filtered,
            ) => None,
            (Command::Start | Command::Message { .. } | Command::Terminate, _) => None,
        }
    }

    /// Takes the answer of `call`.
    pub(crate) fn answered<O>(&mut self, cx: &mut Context<'_>, call: Call, answer: Answer<O>) -> Next<O> {
        if let Answer::Failed(failure) = answer {
            return self.failed(cx, call, failure);
        }
        cx.gate.succeeded();
        self.succeeded(cx, call, answer)
    }

    fn failed<O>(&mut self, cx: &mut Context<'_>, call: Call, failure: Failure) -> Next<O> {
        match fate(self.command, &call, failure.fault) {
            Fate::Reject(reason) => self.rejected(cx, call, reason, failure),
            Fate::RejectIfOpen(reason) => {
                cx.gate.succeeded();
                self.refused(reason, failure.detail)
            }
            Fate::Pause => {
                let closed = cx.gate.refused(cx.now, cx.dice);
                Next::WhenOpen(call, Why::Failed { failure, ambiguous: false, closed })
            }
            Fate::RetryIfOpen if !self.looked => {
                cx.gate.succeeded();
                self.looked = true;
                Next::Call(Call::IsOpen)
            }
            Fate::RetryIfOpen => self.retry(cx, call, Blame::Record, false, failure),
            Fate::Retry { blame, ambiguous } => self.retry(cx, call, blame, ambiguous, failure),
        }
    }

    fn succeeded<O>(&mut self, cx: &mut Context<'_>, call: Call, answer: Answer<O>) -> Next<O> {
        match (call, answer) {
            (Call::CompleteJob | Call::FailJob, Answer::Done(_)) => Next::Over,
            (Call::Gather, Answer::Done(_)) if !holds(Guard::OutcomeFirst) => Next::Call(Call::CompleteJob),
            (Call::Request(_), Answer::Done(output)) if !holds(Guard::ResultGiven) => {
                Next::Resolve(Resolution::Accepted(output))
            }
            (Call::Request(_), Answer::Done(_)) => {
                self.answered = true;
                self.fails_anew();
                Next::Call(Call::GiveResult)
            }
            (Call::GiveResult, Answer::NotHeld) => Next::Call(Call::IsOpen),
            (Call::IsOpen, Answer::Open(output)) => self.still_open(cx, output),
            (_, Answer::Done(output)) => Next::Resolve(Resolution::Accepted(output)),
            (Call::Gather, Answer::Incomplete(output)) => self.wait_for_history(cx, output),
            (Call::Gather, Answer::NotYet(unseen)) => self.wait_until_seen(cx, unseen),
            (Call::Locate { .. }, Answer::Located(target)) => self.act(cx, Call::ActOn(target)),
            (Call::Locate { .. }, Answer::NoInstance(output)) => match self.command {
                // Nothing runs that could be ended: what was asked for is so.
                Command::Terminate => Next::Resolve(Resolution::Accepted(output)),
                Command::Message { .. } | Command::Start | Command::Publish | Command::Request { .. } => dead(
                    Reason::NO_INSTANCE,
                    "no running instance has this business key; replay the dead letter once it runs",
                ),
            },
            (Call::Locate { .. }, Answer::NotWaiting) => self.hold(cx),
            // The answer of a terminate that is under way decides first.
            (Call::Locate { .. }, Answer::Several(_)) if self.in_doubt() => self.look_when_settled(cx),
            (Call::Locate { .. }, Answer::Several(count)) => dead(
                Reason::AMBIGUOUS_TARGET,
                format!(
                    "{count} running instances have this business key; end or correct the surplus ones, then replay"
                ),
            ),
            // A terminate names its instance: whatever is still under way ends what should end.
            (Call::Look(_), Answer::Absent) if self.command == Command::Terminate && !cx.follows => {
                self.settled_at = self.settled_at.filter(|settled| cx.now < *settled);
                Next::Call(self.locate())
            }
            (Call::Look(scope), Answer::Absent) => self.absent(cx, scope),
            (call, Answer::Failed(failure)) => self.failed(cx, call, failure),
            (
                call,
                Answer::Incomplete(_)
                | Answer::NotYet(_)
                | Answer::Absent
                | Answer::Copies(_)
                | Answer::Located(_)
                | Answer::NotWaiting
                | Answer::NoInstance(_)
                | Answer::Several(_)
                | Answer::NotHeld
                | Answer::Open(_),
            ) => {
                let detail = format!("the handler's answer does not belong to the call `{}`", call.name());
                let failure = Failure { fault: Fault::BadAnswer, detail, retry_after: None };
                let ambiguous = call.leaves_doubt();
                self.retry(cx, call, Blame::Record, ambiguous, failure)
            }
        }
    }

    /// Not there as far as this read can see: the next read of the proof, or, after the last, the effect.
    fn absent<O>(&mut self, cx: &mut Context<'_>, scope: Scope) -> Next<O> {
        if let Some(next) = next_read(scope) {
            let wait = match scope {
                Scope::Everywhere => self.settled_at.filter(|_| holds(Guard::Settle)).map(|at| at.since(cx.now)),
                Scope::Running | Scope::History => {
                    Some(cx.bounds.history_lag).filter(|_| holds(Guard::LagBetweenReads))
                }
            };
            return Next::Wait(wait.unwrap_or_default(), Call::Look(next), Why::Settling);
        }
        self.settled_at = None;
        if cx.follows {
            return Next::Resolve(follower());
        }
        match self.command {
            Command::Start => self.act(cx, Call::Act),
            Command::Message { .. } | Command::Terminate => Next::Call(self.locate()),
            Command::Publish => Next::Call(Call::Gather),
            Command::Request { system } => Next::Call(Call::Request(system)),
        }
    }

    fn retry<O>(
        &mut self,
        cx: &mut Context<'_>,
        call: Call,
        blame: Blame,
        ambiguous: bool,
        failure: Failure,
    ) -> Next<O> {
        self.failures += 1;
        let closed = match blame {
            Blame::Endpoint => {
                // The endpoint serves the others: then it is this record after all.
                let others = self.seen_successes.replace(cx.gate.successes());
                if others.is_some_and(|seen| seen < cx.gate.successes()) {
                    self.failing_since.get_or_insert(cx.healthy);
                }
                cx.gate.failed(cx.now, failure.retry_after, cx.dice)
            }
            Blame::Record => {
                cx.gate.succeeded();
                self.failing_since.get_or_insert(cx.healthy);
                None
            }
        };
        if ambiguous {
            self.doubted = true;
            self.settled_at = Some(cx.now + cx.bounds.settle);
        }
        let then = match self.command {
            _ if !ambiguous || !holds(Guard::LookBeforeRepeat) => call,
            // Its mark may stand on another instance that it ended: what counts is whether the one it meant still runs.
            Command::Terminate => self.locate(),
            Command::Request { system } => Call::Request(system),
            Command::Start | Command::Message { .. } | Command::Publish => Call::Look(Scope::Everywhere),
        };
        if self.exhausted(cx) && then.ends_job() {
            return Next::Left(failure.detail);
        }
        // Whether a job is open is asked until the engine says so, as a look-up is made until it sees.
        if self.exhausted(cx) && !self.in_doubt() && then != Call::IsOpen {
            return self.exhaust(&then, blame, failure);
        }
        if then.has_effect() {
            self.attempts += 1;
        }
        let why = Why::Failed { failure, ambiguous, closed };
        if cx.gate.is_open() {
            let delay = cx.bounds.retry.delay(self.failures, cx.dice);
            Next::Wait(delay, then, why)
        } else {
            Next::WhenOpen(then, why)
        }
    }

    fn rejected<O>(&mut self, cx: &mut Context<'_>, call: Call, reason: Reason, failure: Failure) -> Next<O> {
        cx.gate.succeeded();
        match call {
            // The outcome is committed and stays so; the engine hands the job out again when its lock ends.
            Call::CompleteJob | Call::FailJob => Next::Left(failure.detail),
            Call::Count(_) | Call::Delete(_) => Next::Over,
            // The last effect is in doubt: nothing is dead-lettered before a look-up saw.
            Call::Look(_) => self.retry(cx, call, Blame::Record, false, failure),
            Call::Act | Call::ActOn(_) | Call::Locate { .. } | Call::Gather => dead(reason, failure.detail),
            Call::Request(_) | Call::GiveResult | Call::IsOpen => dead(reason, failure.detail),
        }
    }

    fn act<O>(&mut self, cx: &Context<'_>, call: Call) -> Next<O> {
        if self.exhausted(cx) && self.in_doubt() {
            return self.look_when_settled(cx);
        }
        if self.exhausted(cx) {
            let detail = "looked up and not there; every attempt failed while the endpoint was healthy".to_owned();
            return dead(Reason::EXHAUSTED, detail);
        }
        Next::Call(self.attempt(call))
    }

    /// Whether an effect of ours may still come, or be there unseen: then nothing is dead-lettered.
    fn in_doubt(&self) -> bool {
        self.settled_at.is_some() && holds(Guard::NoVerdictInDoubt)
    }

    fn look_when_settled<O>(&self, cx: &Context<'_>) -> Next<O> {
        let wait = self.settled_at.map_or(Duration::ZERO, |settled| settled.since(cx.now));
        Next::Wait(wait, Call::Look(Scope::Everywhere), Why::Settling)
    }

    fn attempt(&mut self, call: Call) -> Call {
        self.attempts += 1;
        call
    }

    fn exhausted(&self, cx: &Context<'_>) -> bool {
        self.failing_since.is_some_and(|since| cx.healthy.saturating_sub(since) >= cx.bounds.give_up_after)
    }

    fn exhaust<O>(&mut self, then: &Call, blame: Blame, failure: Failure) -> Next<O> {
        let detail = format!("gave up after {} attempts: {}", self.attempts, failure.detail);
        match self.command {
            // An engine that is slow to answer does not take the result either.
            Command::Request { .. } if *then == Call::GiveResult && blame == Blame::Endpoint => {
                Next::Call(Call::IsOpen)
            }
            Command::Request { .. } if holds(Guard::OpenBeforeRefusal) => self.refused(Reason::EXHAUSTED, detail),
            Command::Start
            | Command::Message { .. }
            | Command::Terminate
            | Command::Publish
            | Command::Request { .. } => dead(Reason::EXHAUSTED, detail),
        }
    }
}

/// The order that proves absence: running instances, then, `history_lag` later, history.
fn next_read(scope: Scope) -> Option<Scope> {
    match scope {
        Scope::Everywhere if !holds(Guard::RunningToo) || !holds(Guard::RunningFirst) => Some(Scope::History),
        Scope::Everywhere => Some(Scope::Running),
        Scope::Running => Some(Scope::History).filter(|_| holds(Guard::HistoryToo) && holds(Guard::RunningFirst)),
        Scope::History => Some(Scope::Running).filter(|_| !holds(Guard::RunningFirst)),
    }
}

/// The verdict on a record whose key is in quarantine.
pub(crate) fn follower<O>() -> Resolution<O> {
    let detail = "an earlier record of its key was given up; replay the key's dead letters in order, or discard them";
    Resolution::DeadLettered { reason: Reason::QUARANTINED, detail: detail.into() }
}

#[cfg(test)]
#[path = "protocol/tests.rs"]
mod tests;
