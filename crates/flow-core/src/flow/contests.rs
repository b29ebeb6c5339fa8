//! Second looks: see [`crate::contest`]. They hold no key, no offset and no partition; they only cost calls.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Flow, Timer};
use crate::contest::{Contest, Verdict};
use crate::effect::{Effect, Notice};
use crate::endpoint::Endpoint;
use crate::fate::{Health, health};
use crate::gate::{Closed, Gate};
use crate::input::{Answer, EndpointId, Failure, RecordId};
use crate::retry::Dice;
use crate::time::Moment;

/// Starts that wait for their second look; beyond it the audit must find what there is.
const MAX_CONTESTS: usize = 100_000;

impl<W: Clone, O> Flow<W, O> {
    /// Counts the instances of a start at `when`.
    pub(super) fn contest(&mut self, when: Moment, contest: Contest<W>, effects: &mut Vec<Effect<W, O>>) {
        if self.contests.len() >= MAX_CONTESTS {
            let detail = format!("{MAX_CONTESTS} starts wait for their second look already");
            return effects.push(Effect::Notice(Notice::ContestGivenUp { at: contest.at, detail }));
        }
        let id = self.new_id();
        self.contests.insert(id, contest);
        self.timers.push(Reverse((when, Timer::Contest(id))));
    }

    pub(super) fn contest_answered(
        &mut self,
        now: Moment,
        id: RecordId,
        answer: Answer<O>,
        endpoints: &mut [&mut Endpoint],
        effects: &mut Vec<Effect<W, O>>,
    ) {
        let Some(contest) = self.contests.get_mut(&id) else { return };
        contest.busy = false;
        let verdict = if let Answer::Failed(failure) = answer {
            let (endpoint, engine) = (EndpointId::ENGINE, endpoints.get_mut(EndpointId::ENGINE.index()));
            if let Some((why, delay)) = engine.and_then(|engine| blame(&mut engine.gate, now, &failure, &mut self.dice))
            {
                let detail = failure.detail.clone();
                effects.push(Effect::Notice(Notice::GateClosed { endpoint, why, detail, delay }));
            }
            contest.failed(failure.detail)
        } else {
            contest.answered(answer, self.bounds.history_lag, self.settings.delete_doubles)
        };
        let (at, failures) = (contest.at, contest.failures);
        let (delay, next) = match verdict {
            Verdict::Again(delay, next) => (delay, next),
            Verdict::Double { survivor, surplus, delete } => {
                effects.push(Effect::Notice(Notice::Double { at, survivor, surplus }));
                match delete {
                    Some(call) => (None, call),
                    None => return self.end_contest(id),
                }
            }
            Verdict::Over => return self.end_contest(id),
            Verdict::GivenUp(detail) => {
                effects.push(Effect::Notice(Notice::ContestGivenUp { at, detail }));
                return self.end_contest(id);
            }
        };
        if let Some(contest) = self.contests.get_mut(&id) {
            contest.next = next;
        }
        let delay = delay.unwrap_or_else(|| self.bounds.retry.delay(failures + 1, &mut self.dice));
        self.timers.push(Reverse((now + delay, Timer::Contest(id))));
    }

    fn end_contest(&mut self, id: RecordId) {
        self.contests.remove(&id);
    }
}

/// Tells the gate what the failure says about the endpoint. The answer is why and for how long it closed just now.
fn blame(gate: &mut Gate, now: Moment, failure: &Failure, dice: &mut Dice) -> Option<(Closed, Duration)> {
    match health(failure.fault) {
        Health::RefusesUs => gate.refused(now, dice),
        Health::Failing | Health::RateLimited => gate.failed(now, failure.retry_after, dice),
        Health::Well => {
            gate.succeeded();
            None
        }
    }
}
