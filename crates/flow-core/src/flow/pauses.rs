//! What operators hold back: see [`crate::pause`].
//!
//! Nothing leaves for a record that is held back, and it does not become a dead letter; what was sent before is answered. Its retries
//! and holds do not grow older meanwhile. What ends a job whose outcome is committed goes on: the outcome is out already.

use super::{Flow, State};
use crate::effect::{Effect, Notice};
use crate::guards::{Guard, holds};
use crate::input::{EndpointId, RecordId};
use crate::pause::Paused;
use crate::quarantine::KeyHash;
use crate::time::Moment;

impl<W: Clone, O> Flow<W, O> {
    /// What operators ask for now. What is held no longer goes on.
    pub(super) fn control(&mut self, now: Moment, asked: Paused, effects: &mut Vec<Effect<W, O>>) {
        let before = (self.pauses.holds_flow(), self.pauses.keys());
        let (flow, keys) = (asked.flow, asked.keys.len());
        let over = self.pauses.take(asked, self.storm.healthy(EndpointId::ENGINE));
        if holds(Guard::PauseStopsClock) && !over.is_empty() {
            for entry in self.records.values_mut() {
                let stood = over.get(&KeyHash::of(&entry.lane));
                if let (Some(stood), Some(protocol)) = (stood, entry.protocol.as_mut()) {
                    protocol.rested(*stood, self.storm.healthy(entry.state.endpoint()));
                }
            }
        }
        if before != (flow, keys) {
            effects.push(Effect::Notice(Notice::Control { flow, keys }));
        }
        for id in std::mem::take(&mut self.guarded) {
            self.let_go(now, id, effects);
        }
    }

    /// Whether an operator holds the record back.
    pub(super) fn is_paused(&self, id: RecordId) -> bool {
        if self.pauses.is_empty() {
            return false;
        }
        let Some(entry) = self.records.get(&id) else { return false };
        let ends_job = matches!(&entry.state, State::Ready(call) if call.ends_job());
        !ends_job && (self.pauses.holds_flow() || self.pauses.holds_key(&entry.lane))
    }

    /// Whether an operator holds the whole flow back.
    pub fn flow_is_paused(&self) -> bool {
        self.pauses.holds_flow()
    }

    /// How many keys operators hold back.
    pub fn paused_keys(&self) -> usize {
        self.pauses.keys()
    }
}
