//! From resolution to the committed transaction.

use std::collections::{BTreeMap, BTreeSet};

use event_model::{NextOffset, Partition};

use super::{Flow, State};
use crate::batch::{Batch, CommitFault, Resolution};
use crate::effect::{Effect, Notice};
use crate::input::TopicId;
use crate::ownership::Phase;
use crate::time::Moment;

impl<W: Clone, O> Flow<W, O> {
    pub(super) fn close_batch(&mut self, now: Moment, effects: &mut Vec<Effect<W, O>>) {
        let draining = self.partitions.values().any(|owned| matches!(owned.phase, Phase::Draining { .. }));
        let idle = draining || (self.in_flight == 0 && self.ready.is_empty());
        // Only asked when nothing was resolved: an end that moved without a record still moves the offset.
        let offsets_only = idle && self.gathering.is_idle() && self.partitions.values().any(|owned| owned.has_moved());
        let Some(resolved) = self.gathering.close(now, idle, offsets_only) else { return };
        let mut touched: BTreeMap<Partition, BTreeSet<TopicId>> = BTreeMap::new();
        for done in &resolved {
            touched.entry(done.partition).or_default().insert(done.topic);
            if let Some(owned) = self.partitions.get_mut(&done.partition)
                && let Some(frontier) = owned.frontiers.get_mut(usize::from(done.topic.0))
            {
                frontier.complete(done.offset);
            }
        }
        let mut offsets = Vec::new();
        for (partition, owned) in &mut self.partitions {
            let touched = touched.remove(partition).unwrap_or_default();
            offsets.extend(owned.take_offsets(&touched).into_iter().map(|(topic, next)| (topic, *partition, next)));
        }
        effects.push(Effect::Commit(Batch { resolved, offsets }));
    }

    pub(super) fn committed(&mut self, batch: Batch<W, O>, effects: &mut Vec<Effect<W, O>>) {
        self.gathering.committed();
        self.commit_failures = 0;
        for resolved in batch.resolved {
            let Some(entry) = self.records.get_mut(&resolved.id) else { continue };
            if let Some(owned) = self.partitions.get_mut(&resolved.partition) {
                owned.uncommitted = owned.uncommitted.saturating_sub(1);
            }
            let accepted = matches!(resolved.resolution, Resolution::Accepted(_));
            match entry.protocol.as_ref().and_then(|protocol| protocol.after_commit()) {
                Some(call) if accepted => {
                    entry.state = State::Ready(call);
                    self.ready.push_back(resolved.id);
                }
                Some(_) | None => self.forget(resolved.id),
            }
        }
        self.resume_partitions(effects);
    }

    pub(super) fn commit_failed(
        &mut self,
        now: Moment,
        batch: Batch<W, O>,
        fault: CommitFault,
        effects: &mut Vec<Effect<W, O>>,
    ) {
        for (topic, partition, _) in &batch.offsets {
            if let Some(owned) = self.partitions.get_mut(partition)
                && let Some(committed) = owned.committed.get_mut(usize::from(topic.0))
            {
                *committed = NextOffset::new(-1);
            }
        }
        let records = &self.records;
        let kept: Vec<_> = batch.resolved.into_iter().filter(|resolved| records.contains_key(&resolved.id)).collect();
        let CommitFault::Aborted(detail) = fault;
        self.commit_failures += 1;
        let delay = self.bounds.retry.delay(self.commit_failures, &mut self.dice);
        effects.push(Effect::Notice(Notice::CommitRetry { detail, records: kept.len(), delay }));
        self.gathering.put_back(now, delay, kept);
    }

    fn resume_partitions(&mut self, effects: &mut Vec<Effect<W, O>>) {
        for (partition, owned) in &mut self.partitions {
            let below = owned.held <= self.settings.max_held / 2 && owned.span() <= self.settings.max_span / 2;
            if owned.paused && below && owned.phase == Phase::Active {
                owned.paused = false;
                effects.push(Effect::Resume(*partition));
                effects.push(Effect::Notice(Notice::Resumed(*partition)));
            }
        }
    }
}
