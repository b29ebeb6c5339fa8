//! Assignment, revocation and shutdown: partition p of every topic of the flow is held together, or not at all.

use std::time::Duration;

use event_model::{NextOffset, Partition};

use super::{Flow, State};
use crate::effect::{Effect, Notice};
use crate::input::{RecordId, TopicId};
use crate::ownership::{Ownership, Phase};
use crate::time::Moment;

impl<W: Clone, O> Flow<W, O> {
    pub(super) fn assigned(&mut self, assigned: Vec<(TopicId, Partition)>, effects: &mut Vec<Effect<W, O>>) {
        for (topic, partition) in assigned {
            let owned = self.partitions.entry(partition).or_insert_with(Ownership::new);
            owned.assigned.insert(topic);
            let whole = owned.assigned.len() == usize::from(self.settings.topics);
            if whole && owned.phase == Phase::Partial && !self.shutting_down {
                owned.phase = Phase::Restoring;
                effects.push(Effect::Restore(partition));
            }
        }
    }

    pub(super) fn restored(
        &mut self,
        partition: Partition,
        positions: Vec<(TopicId, NextOffset)>,
        effects: &mut Vec<Effect<W, O>>,
    ) {
        if let Some(owned) = self.partitions.get_mut(&partition)
            && owned.phase == Phase::Restoring
        {
            owned.restore(positions.clone());
            effects.push(Effect::Start(partition, positions));
        }
    }

    pub(super) fn started(&mut self, partition: Partition) {
        if let Some(owned) = self.partitions.get_mut(&partition)
            && owned.phase == Phase::Starting
        {
            owned.phase = Phase::Active;
        }
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
        self.drain(now + within, leaving);
    }

    pub(super) fn shutdown(&mut self, now: Moment, within: Duration) {
        self.shutting_down = true;
        let all = self.partitions.keys().copied().collect();
        self.drain(now + within, all);
    }

    pub(super) fn lost(&mut self, lost: &[(TopicId, Partition)]) {
        for (topic, partition) in lost {
            if let Some(owned) = self.partitions.get_mut(partition) {
                owned.assigned.remove(topic);
                self.drop_partition(*partition);
            }
        }
    }

    /// A call of a partition that is being given back ended without an end of its record: the next owner takes it.
    pub(super) fn drop_if_draining(&mut self, id: RecordId) {
        let Some(entry) = self.records.get(&id) else { return };
        let draining =
            self.partitions.get(&entry.partition).is_some_and(|owned| matches!(owned.phase, Phase::Draining { .. }));
        if draining && !matches!(entry.state, State::Calling(_) | State::Settled) {
            self.forget(id);
        }
    }

    fn drain(&mut self, until: Moment, leaving: Vec<Partition>) {
        for partition in &leaving {
            if let Some(owned) = self.partitions.get_mut(partition) {
                owned.phase = match owned.phase {
                    Phase::Active | Phase::Draining { .. } => Phase::Draining { until },
                    // Nothing was begun: it can go at once.
                    Phase::Partial | Phase::Restoring | Phase::Starting => Phase::Draining { until: Moment::ORIGIN },
                };
            }
        }
        let partitions = &self.partitions;
        self.records.retain(|_, entry| {
            let draining =
                partitions.get(&entry.partition).is_some_and(|owned| matches!(owned.phase, Phase::Draining { .. }));
            !draining || matches!(entry.state, State::Calling(_) | State::Settled)
        });
        self.releasing.get_or_insert_default().extend(leaving);
    }

    /// Gives back what is drained, or out of time; answers the revoke once nothing is left.
    pub(super) fn release(&mut self, now: Moment, effects: &mut Vec<Effect<W, O>>) {
        if self.releasing.is_none() {
            return;
        }
        let mut left = 0;
        let draining: Vec<(Partition, Moment, bool, usize)> = self
            .partitions
            .iter()
            .filter_map(|(partition, owned)| match owned.phase {
                Phase::Draining { until } => {
                    Some((*partition, until, owned.is_drained(), owned.in_flight + owned.uncommitted))
                }
                Phase::Partial | Phase::Restoring | Phase::Starting | Phase::Active => None,
            })
            .collect();
        for (partition, until, drained, open) in draining {
            if drained || until <= now {
                if !drained {
                    effects.push(Effect::Notice(Notice::DrainCut(partition, open)));
                }
                self.drop_partition(partition);
            } else {
                left += 1;
            }
        }
        if left == 0
            && let Some(released) = self.releasing.take()
        {
            effects.push(Effect::Released(released));
        }
    }

    fn drop_partition(&mut self, partition: Partition) {
        self.records.retain(|_, entry| entry.partition != partition);
        self.gathering.retain(|resolved| resolved.partition != partition);
        if let Some(owned) = self.partitions.get_mut(&partition) {
            let assigned = std::mem::take(&mut owned.assigned);
            if assigned.is_empty() {
                self.partitions.remove(&partition);
            } else {
                *owned = Ownership { assigned, ..Ownership::new() };
            }
        }
    }
}
