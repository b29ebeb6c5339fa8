//! What becomes of a request to a system once it is answered: the engine may not take the answer, and a refusal may come too late.
//!
//! The engine takes a result from whoever holds the job's lock. A lock that ran out, or a suspended instance, leaves us with an answer
//! and a job that is still open; when it is handed out again its variables may have changed, and the system refuses another request
//! under a key that it knows. So the answer is kept with its record, which stays unresolved: the acquirer locks jobs under the
//! deployment's name, hence any record of the job may complete it, and after a crash this one asks with the variables of the first time.

use super::next::{Next, Why, dead};
use super::{Context, Protocol};
use crate::batch::Resolution;
use crate::call::Call;
use crate::fate::Reason;
use crate::guards::{Guard, holds};
use crate::input::Command;

impl Protocol {
    /// Whether a system's answer waits here for its job to be handed out again.
    pub(crate) fn keeps_answer(&self) -> bool {
        matches!(self.command, Command::Request { .. }) && self.held_since.is_some()
    }

    /// What fails from here on fails at the engine, in its time.
    pub(super) fn fails_anew(&mut self) {
        (self.failing_since, self.seen_successes, self.failures) = (None, None, 0);
    }

    /// It will not succeed. An earlier record of the same job may have: then the system refused what it had done already.
    pub(super) fn refused<O>(&mut self, reason: Reason, detail: String) -> Next<O> {
        self.refusal = Some((reason, detail));
        self.fails_anew();
        Next::Call(Call::IsOpen)
    }

    /// The job waits for somebody: a refusal stands, an answer is kept, and what met a conflict is tried again.
    pub(super) fn still_open<O>(&mut self, cx: &mut Context<'_>, output: O) -> Next<O> {
        if let Some((reason, detail)) = self.refusal.take() {
            return dead(reason, detail);
        }
        match self.command {
            Command::Request { system } if !self.answered => {
                self.fails_anew();
                Next::Call(self.attempt(Call::Request(system)))
            }
            _ if !holds(Guard::AnswerKept) => Next::Resolve(Resolution::Accepted(output)),
            Command::Request { .. }
            | Command::Start
            | Command::Message { .. }
            | Command::Terminate
            | Command::Publish => self.keep_answer(cx, output),
        }
    }

    fn keep_answer<O>(&mut self, cx: &mut Context<'_>, output: O) -> Next<O> {
        self.fails_anew();
        let again = self.held_since.is_some();
        let since = *self.held_since.get_or_insert(cx.healthy);
        let bound = cx.bounds.give_up_after;
        if cx.healthy.saturating_sub(since) >= bound {
            let detail = format!(
                "the engine did not hand the job out again within {bound:?}; when it does, the system is asked again"
            );
            return Next::Released(Resolution::Accepted(output), detail);
        }
        self.holds += 1;
        Next::Wait(cx.bounds.hold.delay(self.holds, cx.dice), Call::GiveResult, Why::NotHeld { again })
    }
}
