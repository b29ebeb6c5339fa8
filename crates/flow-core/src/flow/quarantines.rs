//! Quarantine of keys: see [`crate::quarantine`].

use super::{Entry, Flow, Plan};
use crate::batch::Resolution;
use crate::effect::{Effect, Notice};
use crate::fate::Reason;
use crate::input::{Command, RecordId};
use crate::protocol::Next;
use crate::quarantine::{Change, Ended, KeyHash, OnExhausted, Place};
use crate::storm_guard::Tried;
use crate::time::Moment;

impl<W> Entry<W> {
    /// Whether its key can be quarantined: the order of jobs is the engine's, and a record without a key has no followers.
    fn is_ordered(&self) -> bool {
        match self.plan {
            Plan::Command(Command::Start | Command::Message { .. } | Command::Terminate) | Plan::Discard => self.keyed,
            Plan::Command(Command::Publish | Command::Request { .. }) | Plan::Filter | Plan::Reject(..) => false,
        }
    }

    /// Where it stood in its source at first.
    fn place(&self) -> Place {
        self.letter.map_or((self.topic, self.offset), |letter| letter.place)
    }
}

impl<W: Clone, O> Flow<W, O> {
    /// Whether the record has to follow one of its key that was given up.
    pub(super) fn follows(&self, id: RecordId) -> bool {
        let Some(entry) = self.records.get(&id) else { return false };
        let Some(owned) = self.partitions.get(&entry.partition) else { return false };
        owned.quarantine.len() > 0
            && entry.is_ordered()
            && owned.quarantine.bars(KeyHash::of(&entry.lane), entry.place(), entry.letter)
    }

    pub(super) fn is_uncertain(&self, id: RecordId) -> bool {
        self.records.get(&id).is_some_and(|entry| entry.uncertain.is_some())
    }

    /// Takes note of what a resolution means for the quarantine of its key.
    pub(super) fn quarantine(
        &mut self,
        id: RecordId,
        resolution: &Resolution<O>,
        effects: &mut Vec<Effect<W, O>>,
    ) -> Option<Change> {
        let entry = self.records.get(&id)?;
        let owned = self.partitions.get_mut(&entry.partition)?;
        let how = self.settings.on_exhausted;
        let how = match resolution {
            Resolution::DeadLettered { reason, .. } if *reason == Reason::QUARANTINED => Ended::Followed,
            Resolution::DeadLettered { reason, .. } if reason.gives_up() && how == OnExhausted::QuarantineKey => {
                Ended::GivenUp
            }
            Resolution::DeadLettered { .. }
            | Resolution::Accepted(_)
            | Resolution::Repeated
            | Resolution::Duplicate
            | Resolution::Filtered => Ended::Done,
        };
        // A letter that can no longer be read has its number all the same.
        let counts = entry.is_ordered() || entry.letter.is_some_and(|letter| letter.number.is_some());
        if !counts || how != Ended::GivenUp && owned.quarantine.len() == 0 {
            return None;
        }
        let key = KeyHash::of(&entry.lane);
        let before = owned.quarantine.has(key);
        let change = owned.quarantine.ended(key, entry.place(), entry.letter, how)?;
        let at = entry.at();
        match (before, &change.entry) {
            (false, Some(_)) => effects.push(Effect::Notice(Notice::Quarantined { at })),
            (true, None) => effects.push(Effect::Notice(Notice::QuarantineOver { at })),
            (true, Some(_)) | (false, None) => {}
        }
        Some(change)
    }

    /// Where no further key may be quarantined the record is not given up: the storm guard trips, and it is tried again when that is
    /// over.
    pub(super) fn find_room(
        &mut self,
        now: Moment,
        id: RecordId,
        next: Next<O>,
        effects: &mut Vec<Effect<W, O>>,
    ) -> Next<O> {
        let Next::Resolve(Resolution::DeadLettered { reason, .. }) = &next else { return next };
        let Some(entry) = self.records.get_mut(&id) else { return next };
        let Some(owned) = self.partitions.get(&entry.partition) else { return next };
        let quarantines = reason.gives_up() && self.settings.on_exhausted == OnExhausted::QuarantineKey;
        let room = owned.quarantine.len() < self.settings.max_quarantined;
        if !quarantines || room || !entry.is_ordered() || owned.quarantine.has(KeyHash::of(&entry.lane)) {
            return next;
        }
        let Some(protocol) = entry.protocol.as_mut() else { return next };
        let again = Next::Call(protocol.again());
        self.wait_for_room(now, effects);
        self.tried(now, id, Tried::Bad, effects);
        again
    }
}
