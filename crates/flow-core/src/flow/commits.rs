//! From resolution to the committed transaction, and the lease that each transaction renews.

use std::collections::BTreeMap;
use std::time::Duration;

use event_model::Partition;

use super::{Flow, State};
use crate::batch::{Batch, CommitFault, Progressed, Resolution, Resolved};
use crate::contest::Contest;
use crate::effect::{Effect, Notice};
use crate::guards::{Guard, holds};
use crate::input::{EndpointId, TopicId};
use crate::ownership::{Begun, Finished, Ownership, Phase};
use crate::retry::RetryPolicy;
use crate::time::Moment;

/// The longest pause before a transaction is repeated: a drain must not be spent on waiting.
const COMMIT_AGAIN: Duration = Duration::from_secs(1);

impl<W: Clone, O> Flow<W, O> {
    pub(super) fn close_batch(&mut self, now: Moment, effects: &mut Vec<Effect<W, O>>) {
        let moved = |owned: &Ownership| owned.phase == Phase::Active && owned.has_moved();
        let wanting = |owned: &Ownership| owned.wants_lease && owned.phase == Phase::Active;
        let wants_lease = !self.unleased.is_empty() && self.partitions.values().any(wanting);
        let waiting = self.endpoints.iter().any(|own| !own.ready.is_empty());
        let idle = self.releasing.is_some() || (self.calls.is_empty() && !waiting);
        // Only asked when nothing was resolved: an end that moved without a record still moves the offset.
        let offsets_only = wants_lease || (idle && self.gathering.is_idle() && self.partitions.values().any(moved));
        let Some(resolved) = self.gathering.close(now, idle || wants_lease, offsets_only) else { return };
        let mut finished: BTreeMap<Partition, Finished> = BTreeMap::new();
        for done in &resolved {
            finished.entry(done.partition).or_default().entry(done.topic).or_default().push(done.offset);
        }
        let mut offsets = Vec::new();
        let partitions: Vec<Partition> = self.partitions.keys().copied().collect();
        for partition in partitions {
            let finished = finished.remove(&partition).unwrap_or_default();
            self.progressed(partition, &finished, &mut offsets);
        }
        effects.push(Effect::Commit(Batch { resolved, offsets }));
    }

    /// The lines of one partition: what moved, what the batch touches, and what wants a lease.
    fn progressed(&mut self, partition: Partition, finished: &Finished, offsets: &mut Vec<Progressed>) {
        for index in 0..self.settings.topics {
            let topic = TopicId(index);
            let begun = self.begun(partition, topic, finished);
            let Some(owned) = self.partitions.get_mut(&partition) else { return };
            let (draining, active) = (matches!(owned.phase, Phase::Draining { .. }), owned.phase == Phase::Active);
            let none = Vec::new();
            let done = finished.get(&topic).unwrap_or(&none);
            let moved = owned.has_moved();
            if !(draining || active && (owned.wants_lease || moved || !finished.is_empty())) {
                continue;
            }
            if let Some(progress) = owned.progress(topic, done, begun) {
                owned.closed(topic, progress.horizon);
                let news = owned.news.get_mut(usize::from(index)).map(std::mem::take).unwrap_or_default();
                offsets.push(Progressed { topic, partition, progress, news, owned_since: owned.assigned_at });
            }
        }
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.wants_lease = false;
        }
    }

    fn begun(&self, partition: Partition, topic: TopicId, finished: &Finished) -> Begun {
        let draining =
            self.partitions.get(&partition).is_some_and(|owned| matches!(owned.phase, Phase::Draining { .. }));
        if !draining {
            return Begun::Ahead;
        }
        let settled = finished.get(&topic);
        let open = self.records.values().filter(|entry| entry.partition == partition && entry.topic == topic);
        let open = open.filter(|entry| entry.is_begun() && settled.is_none_or(|done| !done.contains(&entry.offset)));
        Begun::UpTo(open.map(|entry| entry.offset.get() + 1).max().unwrap_or(0))
    }

    pub(super) fn committed(
        &mut self,
        now: Moment,
        mut batch: Batch<W, O>,
        sent_at: Moment,
        effects: &mut Vec<Effect<W, O>>,
    ) {
        self.gathering.committed();
        self.commit_failures = 0;
        // The coordinator checked our generation when it took the offsets: the term counts from the call.
        self.leased_until = self.leased_until.max(sent_at + self.settings.lease_term);
        for line in &batch.offsets {
            if let Some(owned) = self.partitions.get_mut(&line.partition) {
                owned.leased(line.topic, line.progress.frontier, line.progress.horizon);
            }
        }
        for resolved in batch.resolved.drain(..) {
            self.recorded(now, resolved, effects);
        }
        for line in &batch.offsets {
            self.resume(line.partition, effects);
        }
        // They go first: they were ready before everything that is ready now. Only what the engine does needs a lease.
        while let Some(id) = self.unleased.pop_back() {
            if let Some(own) = self.endpoints.get_mut(EndpointId::ENGINE.index()) {
                own.ready.push_front(id);
            }
        }
    }

    fn recorded(&mut self, now: Moment, resolved: Resolved<W, O>, effects: &mut Vec<Effect<W, O>>) {
        self.end_held_turns(now, resolved.id, effects);
        let Some(entry) = self.records.get_mut(&resolved.id) else { return };
        let at = entry.at();
        if let Some(owned) = self.partitions.get_mut(&resolved.partition) {
            owned.uncommitted = owned.uncommitted.saturating_sub(1);
            if let Some(remember) = resolved.remember.filter(|_| !holds(Guard::LedgerAtOnce)) {
                owned.remember(remember);
            }
            if let Some(frontier) = owned.frontiers.get_mut(usize::from(resolved.topic.0)) {
                frontier.complete(resolved.offset);
            }
        }
        let protocol = entry.protocol.as_ref();
        let accepted = matches!(resolved.resolution, Resolution::Accepted(_));
        let second_look = accepted && protocol.is_some_and(|protocol| protocol.needs_second_look());
        match protocol.and_then(|protocol| protocol.after_commit(&resolved.resolution)) {
            Some(call) => {
                entry.state = State::Ready(call);
                self.make_ready(resolved.id);
                if let Some(owned) = self.partitions.get_mut(&resolved.partition) {
                    owned.completing += 1;
                }
            }
            None => self.forget(resolved.id),
        }
        if second_look {
            let settle = self.partitions.get(&resolved.partition).map_or(self.bounds.settle, |owned| owned.settle);
            self.contest(now + settle, Contest::new(resolved.work, at), effects);
        }
    }

    pub(super) fn commit_failed(
        &mut self,
        now: Moment,
        mut batch: Batch<W, O>,
        fault: CommitFault,
        effects: &mut Vec<Effect<W, O>>,
    ) {
        for line in &batch.offsets {
            if let Some(owned) = self.partitions.get_mut(&line.partition) {
                // A later ownership has read for itself what is yet to be said.
                if owned.assigned_at == line.owned_since
                    && let Some(news) = owned.news.get_mut(usize::from(line.topic.0))
                {
                    *news = line.news;
                }
                owned.wants_lease = true;
            }
        }
        let (detail, named) = match fault {
            CommitFault::Aborted(detail) => (detail, false),
            CommitFault::TooLarge(index, detail) => {
                if let Some(resolved) = batch.resolved.get_mut(index) {
                    resolved.refused += 1;
                }
                (detail, true)
            }
        };
        let records = &self.records;
        let kept: Vec<_> = batch.resolved.into_iter().filter(|resolved| records.contains_key(&resolved.id)).collect();
        self.commit_failures += 1;
        let policy = RetryPolicy { initial: self.bounds.retry.initial.min(COMMIT_AGAIN), max: COMMIT_AGAIN };
        let delay = policy.delay(self.commit_failures, &mut self.dice);
        effects.push(Effect::Notice(Notice::CommitRetry { detail, records: kept.len(), delay }));
        self.gathering.put_back(now, delay, kept, named);
    }
}
