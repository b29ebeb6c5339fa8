//! The storm guard in the flow: what it counts, what it holds back, and what is tried. See [`crate::storm_guard`].

use super::{Flow, State};
use crate::batch::Resolution;
use crate::effect::{Effect, Notice};
use crate::fate::Reason;
use crate::input::{Command, Plan, RecordId};
use crate::ownership::Ownership;
use crate::protocol::{Next, Why};
use crate::storm_guard::{Storm, Tried};
use crate::time::Moment;

impl<W: Clone, O> Flow<W, O> {
    /// Puts aside what may not leave.
    pub(super) fn hold_back(&mut self) {
        if !self.storm.is_tripped() && !self.pauses.holds_flow() {
            return;
        }
        let ready = self.endpoints.iter_mut().flat_map(|own| std::mem::take(&mut own.ready));
        for id in ready.collect::<Vec<_>>() {
            if self.is_held_back(id) {
                self.guarded.push_back(id);
            } else {
                self.make_ready(id);
            }
        }
    }

    /// Whether the record's call has to wait. What ends a job whose outcome is committed may go.
    fn is_held_back(&self, id: RecordId) -> bool {
        self.is_paused(id) || self.storm.is_tripped() && self.waits_for_calm(id)
    }

    fn waits_for_calm(&self, id: RecordId) -> bool {
        let Some(entry) = self.records.get(&id) else { return false };
        let ends_job = matches!(&entry.state, State::Ready(call) if call.ends_job());
        let makes_room = entry.replayed && self.storm.wants_room();
        !ends_job && !makes_room && self.storm.trial() != Some(id)
    }

    /// Whether the record would become a dead letter now, and has to wait instead.
    pub(super) fn storm_holds(&self, id: RecordId, resolution: &Resolution<O>) -> bool {
        let calm = !self.storm.is_tripped() || self.storm.wants_room() || self.storm.trial() == Some(id);
        matches!(resolution, Resolution::DeadLettered { .. }) && (!calm || self.is_paused(id))
    }

    /// Counts how a record ended. The outcome of a process says nothing of the records.
    pub(super) fn count_for_storm(
        &mut self,
        now: Moment,
        id: RecordId,
        resolution: &Resolution<O>,
        effects: &mut Vec<Effect<W, O>>,
    ) {
        let Some(entry) = self.records.get(&id) else { return };
        let counted = entry.counted_bad;
        let tried = match resolution {
            _ if entry.plan == Plan::Command(Command::Publish) => Tried::Open,
            Resolution::Accepted(_) => Tried::Good,
            Resolution::DeadLettered { reason, .. } if *reason == Reason::QUARANTINED => Tried::Open,
            Resolution::DeadLettered { .. } => Tried::Bad,
            Resolution::Repeated | Resolution::Duplicate | Resolution::Filtered => Tried::Open,
        };
        match tried {
            Tried::Good => self.storm.good(),
            Tried::Bad if !counted => self.count_bad(now, effects),
            Tried::Bad | Tried::Open => {}
        }
        self.tried(now, id, tried, effects);
    }

    /// Watches a record that is not done yet: one that keeps failing counts before it is given up, and a trial ends with its first answer
    /// that says something of the record.
    pub(super) fn watch_storm(&mut self, now: Moment, id: RecordId, next: &Next<O>, effects: &mut Vec<Effect<W, O>>) {
        let Some(entry) = self.records.get_mut(&id) else { return };
        let Some(protocol) = entry.protocol.as_ref() else { return };
        match next {
            Next::Wait(_, call, Why::Failed { .. }) | Next::WhenOpen(call, Why::Failed { .. }) if !call.ends_job() => {
                let since = protocol.failing_since();
                if self.storm.is_failing(call.endpoint(), since) && !entry.counted_bad {
                    entry.counted_bad = true;
                    self.count_bad(now, effects);
                }
                if since.is_some() {
                    self.tried(now, id, Tried::Bad, effects);
                }
            }
            Next::Wait(_, _, Why::NobodyWaiting | Why::NotHeld { .. }) => self.tried(now, id, Tried::Open, effects),
            Next::Call(_) | Next::Wait(..) | Next::WhenOpen(..) | Next::Resolve(_) => {}
            Next::Released(..) | Next::Over | Next::Left(_) => {}
        }
    }

    /// Chooses the record that is tried, when it is time.
    pub(super) fn poll_storm(&mut self, now: Moment, effects: &mut Vec<Effect<W, O>>) {
        if self.storm.trial().is_some_and(|id| !self.records.contains_key(&id)) {
            self.storm.tried(now, Tried::Open);
        }
        let room = |owned: &Ownership| owned.quarantine.len() < self.settings.max_quarantined;
        if self.storm.wants_room() && self.partitions.values().all(room) {
            return self.reset_storm(now, effects);
        }
        if self.pauses.holds_flow() || !self.storm.wants_trial(now) {
            return;
        }
        let records = &self.records;
        self.guarded.retain(|id| records.contains_key(id));
        if self.guarded.is_empty() {
            return;
        }
        let free = |id: &RecordId| records.get(id).is_some_and(|entry| !self.pauses.holds_key(&entry.lane));
        let is_ready = |id: &RecordId| {
            let ready = |entry: &&super::Entry<W>| matches!(entry.state, State::Ready(_));
            records.get(id).filter(ready).is_some_and(|entry| entry.plan != Plan::Command(Command::Publish))
        };
        let chosen = self.guarded.iter().position(|id| is_ready(id) && free(id));
        let chosen = chosen.or_else(|| self.guarded.iter().position(free));
        let Some(id) = chosen.and_then(|index| self.guarded.remove(index)) else {
            // Operators hold back all of it.
            self.storm.tried(now, Tried::Bad);
            return;
        };
        let Some(at) = self.records.get(&id).map(super::Entry::at) else { return };
        self.storm.try_record(id);
        effects.push(Effect::Notice(Notice::StormTrial { at }));
        self.let_go(now, id, effects);
    }

    pub(super) fn reset_storm(&mut self, now: Moment, effects: &mut Vec<Effect<W, O>>) {
        if let Some(after) = self.storm.reset(now) {
            self.storm_over(now, after, effects);
        }
    }

    pub(super) fn wait_for_room(&mut self, now: Moment, effects: &mut Vec<Effect<W, O>>) {
        if let Some(why) = self.storm.trip(now, Storm::QuarantineFull) {
            effects.push(Effect::Notice(Notice::Storm { why, trial_after: None }));
        }
    }

    fn count_bad(&mut self, now: Moment, effects: &mut Vec<Effect<W, O>>) {
        if let Some(why) = self.storm.bad(now) {
            let trial_after = self.settings.storm.trial_after;
            effects.push(Effect::Notice(Notice::Storm { why, trial_after }));
        }
    }

    pub(super) fn tried(&mut self, now: Moment, id: RecordId, how: Tried, effects: &mut Vec<Effect<W, O>>) {
        if self.storm.trial() == Some(id)
            && let Some(after) = self.storm.tried(now, how)
        {
            self.storm_over(now, after, effects);
        }
    }

    fn storm_over(&mut self, now: Moment, after: std::time::Duration, effects: &mut Vec<Effect<W, O>>) {
        effects.push(Effect::Notice(Notice::StormOver { after }));
        for id in std::mem::take(&mut self.guarded) {
            self.let_go(now, id, effects);
        }
    }

    /// Goes on with a record that the guard held back; another storm may hold it again.
    pub(super) fn let_go(&mut self, now: Moment, id: RecordId, effects: &mut Vec<Effect<W, O>>) {
        match self.records.get(&id).map(|entry| &entry.state) {
            Some(State::Ready(_)) => self.make_ready(id),
            Some(State::Queued) => self.begin(now, id, effects),
            Some(State::Calling(_) | State::Waiting(_) | State::Settled) | None => {}
        }
    }
}
