//! Assignment, revocation and shutdown: partition p of every topic of the flow is held together, or not at all.

use std::cmp::Reverse;
use std::time::Duration;

use event_model::{NextOffset, Partition};

use super::{Entry, Flow, Settings, State, Timer};
use crate::contest::Contest;
use crate::effect::{Effect, Notice};
use crate::frontier::Frontier;
use crate::guards::{Guard, holds};
use crate::input::{Command, Plan, RecordId, Restored, TopicId};
use crate::ownership::{Bounds, Ownership, Phase};
use crate::quarantine::Quarantine;
use crate::time::Moment;

/// How often a partition that waits for an operator's word looks whether it came.
const LOST_AGAIN: Duration = Duration::from_secs(5);

impl<W: Clone, O> Flow<W, O> {
    pub(super) fn assigned(
        &mut self,
        now: Moment,
        assigned: Vec<(TopicId, Partition)>,
        effects: &mut Vec<Effect<W, O>>,
    ) {
        for (topic, partition) in assigned {
            let owned = self.partitions.entry(partition).or_insert_with(Ownership::new);
            owned.assigned.insert(topic);
            let whole = owned.assigned.len() == usize::from(self.settings.topics);
            if whole && owned.phase == Phase::Partial && !self.shutting_down {
                // The whole of p may have come in steps: nobody before us holds it only from the last one on.
                begin(self.halted, owned, now, partition, effects);
            }
        }
    }

    pub(super) fn restored(
        &mut self,
        now: Moment,
        partition: Partition,
        mut restored: Restored,
        effects: &mut Vec<Effect<W, O>>,
    ) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        if owned.phase != Phase::Restoring {
            return;
        }
        effects.extend(restored.moved.map(|moved| Effect::Notice(Notice::Moved(partition, moved.left))));
        let surprises = restored.positions.iter().filter_map(|position| position.surprise(partition));
        effects.extend(surprises.map(|surprise| Effect::Notice(Notice::Unplaced(surprise))));
        let mut ends: Vec<_> = restored.positions.iter().map(|position| (position.topic, position.log_end)).collect();
        ends.sort_unstable();
        let Settings { ledger_entries, max_in_flight, replay, on_lost, .. } = self.settings;
        let bounds = Bounds { ledger_entries, max_in_flight, replay, on_lost };
        owned.quarantine = Quarantine::restored(std::mem::take(&mut restored.quarantined));
        let losses = owned.restore(now, partition, restored, self.bounds.settle, bounds);
        if losses != owned.losses {
            effects.extend(losses.iter().cloned().map(|loss| Effect::Notice(Notice::Lost(loss))));
            owned.losses = losses;
        }
        if owned.phase == Phase::Lost {
            return self.timers.push(Reverse((now + LOST_AGAIN, Timer::Again(partition))));
        }
        owned.losses.clear();
        let nexts: Vec<NextOffset> = owned.frontiers.iter().map(|frontier| frontier.committable()).collect();
        let places = owned.horizons.iter_mut().zip(&nexts).zip(ends);
        let uncertain: u64 = places.map(|((horizon, next), (_, end))| horizon.count(next.get(), end.get())).sum();
        if uncertain > 0 {
            effects.push(Effect::Notice(Notice::Uncertain(partition, uncertain)));
        }
        if owned.horizons.iter().zip(&nexts).any(|(horizon, next)| horizon.uncertain_below > next.get()) {
            let when = owned.assigned_at + self.settings.lease_term;
            self.timers.push(Reverse((when, Timer::Clamp(partition))));
        }
        let positions = (0..).map(TopicId).zip(nexts).collect();
        effects.push(Effect::Start(partition, positions));
    }

    /// An operator may have spoken: what Kafka knows is read again.
    pub(super) fn restore_again(&mut self, now: Moment, partition: Partition, effects: &mut Vec<Effect<W, O>>) {
        if let Some(owned) = self.partitions.get_mut(&partition)
            && owned.phase == Phase::Lost
        {
            begin(self.halted, owned, now, partition, effects);
        }
    }

    pub(super) fn clamp(
        &mut self,
        partition: Partition,
        ends: &[(TopicId, NextOffset)],
        effects: &mut Vec<Effect<W, O>>,
    ) {
        if let Some(owned) = self.partitions.get_mut(&partition)
            && owned.phase == Phase::Active
        {
            let more = owned.clamp(ends);
            if more > 0 {
                effects.push(Effect::Notice(Notice::Uncertain(partition, more)));
            }
        }
    }

    pub(super) fn started(&mut self, partition: Partition, effects: &mut Vec<Effect<W, O>>) {
        if let Some(owned) = self.partitions.get_mut(&partition)
            && owned.phase == Phase::Starting
        {
            owned.phase = Phase::Active;
            if self.halted {
                self.set_aside(vec![partition], effects);
            }
        }
    }

    /// The reader stands still somewhere: which positions are not in their logs any more?
    pub(super) fn out_of_range(&mut self, effects: &mut Vec<Effect<W, O>>) {
        if holds(Guard::RangeChecked) {
            effects.extend(self.active().map(Effect::Ranges));
        }
    }

    pub(super) fn ranges(
        &mut self,
        partition: Partition,
        ranges: &[(TopicId, NextOffset, NextOffset)],
        effects: &mut Vec<Effect<W, O>>,
    ) {
        let Some(owned) = self.partitions.get(&partition).filter(|owned| owned.phase == Phase::Active) else { return };
        let outside = ranges.iter().any(|(topic, start, end)| {
            let read_to = owned.frontiers.get(usize::from(topic.0)).map(Frontier::read_to);
            read_to.is_some_and(|read_to| read_to < *start || read_to > *end)
        });
        if outside {
            effects.push(Effect::Notice(Notice::OutOfRange(partition)));
            self.set_aside(vec![partition], effects);
        }
    }

    /// The topics' partition counts differ, or do not any more.
    pub(super) fn fits(&mut self, now: Moment, fits: bool, effects: &mut Vec<Effect<W, O>>) {
        self.halted = !fits && holds(Guard::MisfitHalts);
        if self.halted {
            let active = self.active().collect();
            self.set_aside(active, effects);
            for owned in self.partitions.values_mut() {
                if matches!(owned.phase, Phase::Restoring | Phase::Lost) {
                    owned.phase = Phase::Halted;
                }
            }
            return;
        }
        for (partition, owned) in &mut self.partitions {
            if owned.phase == Phase::Halted {
                begin(false, owned, now, *partition, effects);
            }
        }
    }

    fn active(&self) -> impl Iterator<Item = Partition> {
        self.partitions.iter().filter(|(_, owned)| owned.phase == Phase::Active).map(|(partition, _)| *partition)
    }

    /// Finishes what is in flight without giving the partitions back; then they are restored, or halt.
    fn set_aside(&mut self, partitions: Vec<Partition>, effects: &mut Vec<Effect<W, O>>) {
        effects.extend(partitions.iter().copied().map(Effect::Pause));
        self.drain(None, &partitions);
    }

    pub(super) fn revoked(&mut self, now: Moment, revoked: &[(TopicId, Partition)], within: Duration) {
        let mut leaving = Vec::new();
        for (topic, partition) in revoked {
            let Some(owned) = self.partitions.get_mut(partition) else { continue };
            owned.assigned.remove(topic);
            if !leaving.contains(partition) {
                leaving.push(*partition);
            }
        }
        self.drain(Some(now + within), &leaving);
        self.releasing.get_or_insert_default().extend(leaving);
    }

    pub(super) fn shutdown(&mut self, now: Moment, within: Duration) {
        self.shutting_down = true;
        let all: Vec<Partition> = self.partitions.keys().copied().collect();
        self.drain(Some(now + within), &all);
        self.releasing.get_or_insert_default().extend(all);
    }

    pub(super) fn lost(&mut self, now: Moment, lost: &[(TopicId, Partition)], effects: &mut Vec<Effect<W, O>>) {
        for (topic, partition) in lost {
            if self.partitions.contains_key(partition) {
                self.contest_uncommitted(now, *partition, effects);
            }
            if let Some(owned) = self.partitions.get_mut(partition) {
                owned.assigned.remove(topic);
                self.drop_partition(now, *partition, effects);
            }
        }
    }

    /// Every start of ours that is not committed is counted later, whether its answer came or not: the next owner may not
    /// have seen it yet.
    fn contest_uncommitted(&mut self, now: Moment, partition: Partition, effects: &mut Vec<Effect<W, O>>) {
        let ours = |entry: &&Entry<W>| {
            let start = entry.plan == Plan::Command(Command::Start);
            entry.partition == partition && start && entry.is_begun() && holds(Guard::ContestOnLost)
        };
        let mut contests: Vec<Contest<W>> = Vec::new();
        for (id, entry) in self.records.iter().filter(|(_, entry)| ours(entry)) {
            contests.push(Contest::new(entry.work.clone(), entry.at()));
            if matches!(&entry.state, State::Calling(call) if call.needs_lease()) {
                self.orphans.insert(*id, Contest::new(entry.work.clone(), entry.at()));
            }
        }
        // The order of a hash map would make a run differ from its repetition.
        contests.sort_by_key(|contest| contest.at);
        let settle = self.partitions.get(&partition).map_or(self.bounds.settle, |owned| owned.settle);
        for contest in contests {
            self.contest(now + settle, contest, effects);
        }
    }

    /// A call of a partition that is being given back ended without an end of its record: the next owner takes it.
    pub(super) fn drop_if_draining(&mut self, id: RecordId) {
        let Some(entry) = self.records.get(&id) else { return };
        let draining =
            self.partitions.get(&entry.partition).is_some_and(|owned| matches!(owned.phase, Phase::Draining { .. }));
        if draining && !entry.state.holds_on() {
            if let Some(owned) = self.partitions.get_mut(&entry.partition) {
                give_back(owned, entry);
            }
            self.forget(id);
        }
    }

    fn drain(&mut self, until: Option<Moment>, leaving: &[Partition]) {
        for partition in leaving {
            if let Some(owned) = self.partitions.get_mut(partition) {
                owned.phase = match owned.phase {
                    Phase::Active | Phase::Draining { .. } => Phase::Draining { until },
                    // Nothing was begun: it can go at once.
                    Phase::Partial | Phase::Halted | Phase::Restoring | Phase::Lost | Phase::Starting => {
                        Phase::Draining { until: Some(Moment::ORIGIN) }
                    }
                };
            }
        }
        let partitions = &mut self.partitions;
        self.records.retain(|_, entry| {
            let Some(owned) = partitions.get_mut(&entry.partition) else { return true };
            if !matches!(owned.phase, Phase::Draining { .. }) || entry.state.holds_on() {
                return true;
            }
            give_back(owned, entry);
            false
        });
    }

    /// Gives back, or begins anew, what is drained or out of time; answers the revoke once nothing of it is left.
    pub(super) fn release(&mut self, now: Moment, effects: &mut Vec<Effect<W, O>>) {
        let mut left = 0;
        // A line of ours that is written after the next owner's would take its offset back.
        let on_its_way = self.gathering.is_in_flight();
        let draining: Vec<(Partition, Option<Moment>, bool, usize)> = self
            .partitions
            .iter()
            .filter_map(|(partition, owned)| match owned.phase {
                Phase::Draining { until } => {
                    let drained = owned.is_drained() && !on_its_way;
                    Some((*partition, until, drained, owned.in_flight + owned.uncommitted))
                }
                Phase::Partial | Phase::Halted | Phase::Restoring | Phase::Lost | Phase::Starting | Phase::Active => {
                    None
                }
            })
            .collect();
        for (partition, until, drained, open) in draining {
            if drained || until.is_some_and(|until| until <= now) {
                if !drained {
                    effects.push(Effect::Notice(Notice::DrainCut(partition, open)));
                    self.contest_uncommitted(now, partition, effects);
                }
                self.drop_partition(now, partition, effects);
            } else {
                left += usize::from(until.is_some());
            }
        }
        if left == 0
            && let Some(released) = self.releasing.take()
        {
            effects.push(Effect::Released(released));
        }
    }

    fn drop_partition(&mut self, now: Moment, partition: Partition, effects: &mut Vec<Effect<W, O>>) {
        self.records.retain(|_, entry| entry.partition != partition);
        self.guarded.retain(|id| self.records.contains_key(id));
        self.gathering.retain(|resolved| resolved.partition != partition);
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        let assigned = std::mem::take(&mut owned.assigned);
        if assigned.is_empty() {
            self.partitions.remove(&partition);
            return;
        }
        let whole = assigned.len() == usize::from(self.settings.topics);
        *owned = Ownership { assigned, ..Ownership::new() };
        if whole && !self.shutting_down {
            // It was set aside, or assigned again while it was still being given back.
            begin(self.halted, owned, now, partition, effects);
        } else {
            // What is left of it is of no use alone, and need not be read.
            effects.push(Effect::Pause(partition));
        }
    }
}

/// Begins with a partition that is wholly ours: nobody before us, ourselves included, acts on it later than a lease's term from now.
fn begin<W, O>(
    halted: bool,
    owned: &mut Ownership,
    now: Moment,
    partition: Partition,
    effects: &mut Vec<Effect<W, O>>,
) {
    if halted {
        owned.phase = Phase::Halted;
        return;
    }
    owned.phase = Phase::Restoring;
    owned.assigned_at = now;
    effects.push(Effect::Restore(partition));
}

/// Remembers that the next owner has to look for the record's effect, if it was begun.
fn give_back<W>(owned: &mut Ownership, entry: &Entry<W>) {
    if entry.is_begun()
        && let Some(horizon) = owned.horizons.get_mut(usize::from(entry.topic.0))
    {
        horizon.given_back_to = horizon.given_back_to.max(entry.offset.get() + 1);
    }
}
