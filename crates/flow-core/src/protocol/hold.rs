//! Records that wait until the engine is ready for them, or shows what they tell of: bounded, in healthy time.

use std::time::Duration;

use super::next::{Next, Why, dead};
use super::{Context, Protocol};
use crate::batch::Resolution;
use crate::call::Call;
use crate::fate::Reason;
use crate::input::{Command, Unseen};

impl Protocol {
    pub(super) fn hold<O>(&mut self, cx: &mut Context<'_>) -> Next<O> {
        let hold_for = match self.command {
            Command::Message { hold_for } => hold_for,
            Command::Start | Command::Terminate | Command::Publish | Command::Request { .. } => Duration::ZERO,
        };
        let since = *self.held_since.get_or_insert(cx.healthy);
        if cx.healthy.saturating_sub(since) >= hold_for {
            let detail = format!(
                "the instance did not wait for the message within {hold_for:?}; replay the dead letter once it does"
            );
            return dead(Reason::NO_SUBSCRIPTION, detail);
        }
        self.holds += 1;
        Next::Wait(cx.bounds.hold.delay(self.holds, cx.dice), self.locate(), Why::NobodyWaiting)
    }

    /// An outcome waits for its audit, but not for ever: history may never hold what we miss.
    pub(super) fn wait_for_history<O>(&mut self, cx: &mut Context<'_>, output: O) -> Next<O> {
        let since = *self.held_since.get_or_insert(cx.healthy);
        if cx.healthy.saturating_sub(since) >= cx.bounds.history_lag * 2 {
            return Next::Resolve(Resolution::Accepted(output));
        }
        self.holds += 1;
        Next::Wait(cx.bounds.hold.delay(self.holds, cx.dice), Call::Gather, Why::Settling)
    }

    /// What the record tells of is hearsay until the engine shows it.
    pub(super) fn wait_until_seen<O>(&mut self, cx: &mut Context<'_>, unseen: Unseen) -> Next<O> {
        let since = *self.unseen_since.get_or_insert(cx.healthy);
        if cx.healthy.saturating_sub(since) >= unseen.hold_for {
            return dead(unseen.reason, unseen.detail);
        }
        self.holds += 1;
        Next::Wait(cx.bounds.hold.delay(self.holds, cx.dice), Call::Gather, Why::NotSeen(unseen.detail))
    }
}
