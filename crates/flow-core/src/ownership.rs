//! The partitions that this worker holds: partition p of every topic of the flow, or nothing of p.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use event_model::{NextOffset, Offset, Partition};

use crate::batch::News;
use crate::frontier::Frontier;
use crate::guards::{Guard, holds};
use crate::input::{Restored, TopicId};
use crate::lanes::Lanes;
use crate::layout::Window;
use crate::ledger::{Ledger, Remembered};
use crate::position::{Loss, OnLost, Origin, Position};
use crate::progress::{Progress, Reading};
use crate::quarantine::Quarantine;
use crate::time::Moment;

/// Where the ownership of a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not every topic of the flow has assigned this partition to us yet.
    Partial,
    /// The topics' partition counts differ: nothing is read until they do not.
    Halted,
    /// The driver reads the committed positions.
    Restoring,
    /// Retention removed what was not finished; an operator has to accept that. Restored again from time to time.
    Lost,
    /// The reader seeks.
    Starting,
    /// Records are taken.
    Active,
    /// Calls in flight may end, until the deadline where others wait for us; nothing new is begun.
    Draining { until: Option<Moment> },
}

/// The horizon where nothing is known of it: no end of the log will do before `clamp`, since a predecessor may go on
/// dispatching what is appended until its lease ends.
const EVERYTHING: i64 = i64::MAX / 2;

/// What lies below the horizon has to be verified after a crash, records that come later included: it runs ahead of what is
/// dispatched no further than it must, at least by this or twice the calls in flight, and at most by that.
const LEAST_AHEAD: i64 = 16;
const MOST_AHEAD: i64 = 8_192;

/// How far a topic partition may have been begun, by us and by those before us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// What the last accepted transaction says: we may dispatch below it.
    pub leased: i64,
    /// Below it an earlier owner may have dispatched: uncertain, verify first.
    pub uncertain_below: i64,
    /// Up to here, uncertain offsets were counted for people.
    pub counted_to: i64,
    /// One past the highest offset that we dispatched.
    pub dispatched_to: i64,
    /// One past the highest offset whose call waits for a lease: what lies before it may wait for something else.
    pub wanted_to: i64,
    /// One past the highest offset that was begun and then given back unresolved.
    pub given_back_to: i64,
    /// Records dispatched since the last transaction was closed.
    pub dispatched: i64,
    /// How far beyond what was dispatched the last transaction ran.
    pub ahead: i64,
}

impl Horizon {
    /// How far the next transaction has to run ahead: twice what was dispatched since the last. It rises at once, so that a burst
    /// doubles its way up, and falls by half, so that one quiet moment costs no extra transaction.
    fn next_ahead(&self, least: i64) -> i64 {
        (self.dispatched * 2).max(self.ahead / 2).clamp(least, MOST_AHEAD)
    }

    /// How many offsets from `from` on are uncertain, of those that the log has.
    pub(crate) fn count(&mut self, from: i64, log_end: i64) -> u64 {
        self.counted_to = self.uncertain_below.min(log_end).max(from);
        u64::try_from(self.counted_to - from).unwrap_or(0)
    }
}

/// What bounds a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub ledger_entries: usize,
    pub max_in_flight: usize,
    /// The topic in which dead letters come back.
    pub replay: Option<TopicId>,
    pub on_lost: OnLost,
}

/// One partition, over all topics of the flow.
#[derive(Debug)]
pub(crate) struct Ownership {
    pub assigned: BTreeSet<TopicId>,
    pub phase: Phase,
    pub assigned_at: Moment,
    /// By topic; filled when the positions are restored.
    pub frontiers: Vec<Frontier>,
    pub horizons: Vec<Horizon>,
    /// How far a horizon runs ahead at least.
    pub least_ahead: i64,
    /// The topic in which dead letters come back.
    pub replay: Option<TopicId>,
    /// What was last committed, by topic: an offset is written only when it moved.
    pub committed: Vec<NextOffset>,
    /// The longest time within which a request of ours or of an earlier owner may take effect.
    pub settle: Duration,
    /// By topic: what the next transaction has yet to say.
    pub news: Vec<News>,
    /// What waits for an operator's word.
    pub losses: Vec<Loss>,
    /// Open while keys that came from other partitions may be known to other ledgers only.
    pub window: Option<Window>,
    pub ledger: Ledger,
    pub quarantine: Quarantine,
    pub lanes: Lanes,
    /// Records in memory: delivered and not yet committed.
    pub held: usize,
    /// Calls in flight.
    pub in_flight: usize,
    /// Resolved and not yet committed.
    pub uncommitted: usize,
    /// Jobs whose outcome is committed and whose completion is not answered yet.
    pub completing: usize,
    pub paused: bool,
    /// Something to dispatch waits for a lease.
    pub wants_lease: bool,
}

impl Ownership {
    pub(crate) fn new() -> Ownership {
        Ownership {
            assigned: BTreeSet::new(),
            phase: Phase::Partial,
            assigned_at: Moment::ORIGIN,
            frontiers: Vec::new(),
            horizons: Vec::new(),
            least_ahead: LEAST_AHEAD,
            replay: None,
            committed: Vec::new(),
            settle: Duration::ZERO,
            news: Vec::new(),
            losses: Vec::new(),
            window: None,
            ledger: Ledger::new(0),
            quarantine: Quarantine::default(),
            lanes: Lanes::default(),
            held: 0,
            in_flight: 0,
            uncommitted: 0,
            completing: 0,
            paused: false,
            wants_lease: false,
        }
    }

    /// Takes what Kafka knows of the partition; what of it is lost. Whatever cannot be read makes everything up to the log's end
    /// uncertain: it is never an error, and never *done*.
    pub(crate) fn restore(
        &mut self,
        now: Moment,
        partition: Partition,
        restored: Restored,
        own_settle: Duration,
        bounds: Bounds,
    ) -> Vec<Loss> {
        let mut positions = restored.positions;
        positions.sort_by_key(|position| position.topic);
        self.settle = own_settle;
        self.ledger = Ledger::new(bounds.ledger_entries);
        self.least_ahead = LEAST_AHEAD.min(bounds.max_in_flight as i64 * 2);
        restored.remembered.into_iter().for_each(|entry| self.ledger.remember(entry));
        self.replay = bounds.replay;
        self.window = restored.moved.map(|moved| Window::opened(now, moved, bounds.ledger_entries));
        (self.frontiers, self.horizons, self.committed, self.news) = Default::default();
        let (mut losses, mut replaying) = (Vec::new(), false);
        let waits = positions.iter().any(|position| position.waits(bounds.on_lost));
        for position in positions {
            let origin = position.origin();
            let layout = restored.layout.filter(|_| self.news.is_empty());
            let mut news = News { first: None, layout, lost: 0 };
            let (next, (runs, horizon)) = match origin {
                Origin::First(at) => (at, (Vec::new(), at.get())),
                Origin::Unknown(at) if !holds(Guard::MissingIsUncertain) => (at, (Vec::new(), at.get())),
                Origin::Unknown(at) => (at, (Vec::new(), EVERYTHING)),
                Origin::Committed(at) | Origin::Behind { committed: at, .. } => (at, self.read(&position, at)),
            };
            let mut frontier = Frontier::restored(next, &runs);
            if let Origin::Behind { committed, start } = origin {
                let offsets = frontier.pass(start);
                news.lost = if holds(Guard::LossCounted) { offsets } else { 0 };
                losses.push(Loss { topic: position.topic, partition, committed, log_start: start, offsets, waits });
            }
            let horizon = if holds(Guard::LateClamp) { horizon } else { horizon.min(position.log_end.get()) };
            // Where it begins is written at once, so that the next owner does not choose another place.
            let stays = position.begun && !matches!(origin, Origin::Unknown(_));
            self.committed.push(if stays { next } else { NextOffset::new(-1) });
            news.first = (!position.begun).then_some(next);
            self.news.push(news);
            let next = frontier.committable().get();
            replaying |= bounds.replay == Some(position.topic) && next < horizon.min(position.log_end.get());
            self.frontiers.push(frontier);
            self.horizons.push(Horizon { uncertain_below: horizon, ..Horizon::default() });
        }
        if replaying && holds(Guard::ReplaySpreads) {
            // What was put back in and begun may be any event, and a repeat of it may come first.
            self.horizons.iter_mut().for_each(|horizon| horizon.uncertain_below = EVERYTHING);
        }
        self.phase = if waits { Phase::Lost } else { Phase::Starting };
        if waits {
            // Nothing that is given back while it waits may pass the loss.
            (self.frontiers, self.horizons, self.committed, self.news) = Default::default();
        }
        losses
    }

    /// The finished runs beyond a committed offset, and how far anything may be begun.
    fn read(&mut self, position: &Position, next: NextOffset) -> (Vec<(i64, i64)>, i64) {
        match Progress::decode(&position.metadata, next) {
            Reading::Known(progress) => self.known(progress),
            Reading::Spilled(slim) => {
                let spilled = position.spilled.as_deref();
                match spilled.and_then(|bytes| Progress::decode_spilled(bytes, next)) {
                    Some(progress) => self.known(progress),
                    // The frontier holds all the same; what lies beyond it is begun at most up to the horizon.
                    None => self.known(slim),
                }
            }
            // A flow that was never begun here.
            Reading::Missing if !position.begun || !holds(Guard::MissingIsUncertain) => (Vec::new(), next.get()),
            Reading::Unknown if !holds(Guard::UnknownIsUncertain) => (Vec::new(), next.get()),
            Reading::Missing | Reading::Unknown => (Vec::new(), EVERYTHING),
        }
    }

    fn known(&mut self, progress: Progress) -> (Vec<(i64, i64)>, i64) {
        if holds(Guard::PredecessorsSettle) {
            self.settle = self.settle.max(progress.settle);
        }
        (progress.runs, progress.horizon.get())
    }

    /// What may be dispatched no later owner has to fear: the log's end as it stands one lease term after the assignment. Gives how many
    /// offsets came below the horizon meanwhile.
    pub(crate) fn clamp(&mut self, ends: &[(TopicId, NextOffset)]) -> u64 {
        let mut more = 0;
        for (topic, end) in ends {
            if let Some(horizon) = self.horizons.get_mut(usize::from(topic.0)) {
                horizon.uncertain_below = horizon.uncertain_below.min(end.get());
                more += horizon.count(horizon.counted_to, end.get());
            }
        }
        more
    }

    pub(crate) fn is_uncertain(&self, topic: TopicId, offset: Offset) -> bool {
        self.horizons
            .get(usize::from(topic.0))
            .is_some_and(|horizon| offset.get() < horizon.uncertain_below && holds(Guard::VerifyFirst))
    }

    /// The progress to write for a topic once `finished` is finished too. While the partition is held the horizon runs ahead;
    /// when it is given back, it ends behind the last offset that somebody may have begun.
    pub(crate) fn progress(&self, topic: TopicId, finished: &[Offset], begun: Begun) -> Option<Progress> {
        let index = usize::from(topic.0);
        let (frontier, horizon) = (self.frontiers.get(index)?, self.horizons.get(index)?);
        let mut frontier = frontier.clone();
        finished.iter().for_each(|offset| frontier.complete(*offset));
        let next = frontier.committable().get();
        let inherited =
            if next < horizon.uncertain_below && holds(Guard::Inherit) { horizon.uncertain_below } else { next };
        let own = match begun {
            // Exactly what is begun: a later owner takes everything for uncertain because of it, and who has lost the partition
            // can commit no further horizon.
            Begun::Ahead if self.replay == Some(topic) => horizon.dispatched_to.max(horizon.wanted_to).max(next),
            Begun::Ahead => {
                horizon.dispatched_to.max(horizon.wanted_to).max(next) + horizon.next_ahead(self.least_ahead)
            }
            Begun::UpTo(_) if !holds(Guard::GivenBack) => next,
            Begun::UpTo(open) => open.max(horizon.given_back_to).max(next),
        };
        let horizon = NextOffset::new(own.max(inherited));
        Some(Progress { frontier: frontier.committable(), horizon, settle: self.settle, runs: frontier.runs() })
    }

    /// Takes note that a progress is on its way. Where its horizon is lower than what was leased, nothing is dispatched beyond it
    /// any more: the next owner may read it at any moment.
    pub(crate) fn closed(&mut self, topic: TopicId, horizon: NextOffset) {
        let Some(own) = self.horizons.get_mut(usize::from(topic.0)) else { return };
        own.ahead = own.next_ahead(self.least_ahead);
        own.dispatched = 0;
        if holds(Guard::LeaseShrinksFirst) {
            own.leased = own.leased.min(horizon.get());
        }
    }

    /// Takes note of a committed progress: we may dispatch below its horizon.
    pub(crate) fn leased(&mut self, topic: TopicId, next: NextOffset, horizon: NextOffset) {
        let index = usize::from(topic.0);
        if let Some(committed) = self.committed.get_mut(index) {
            *committed = next;
        }
        if let Some(own) = self.horizons.get_mut(index) {
            own.leased = own.leased.max(horizon.get());
        }
    }

    /// Whether what may have been done is looked up before anything is sent.
    pub(crate) fn is_doubtful(&self, now: Moment, topic: TopicId, offset: Offset) -> bool {
        self.is_uncertain(topic, offset) || self.window.is_some_and(|window| window.is_open(now))
    }

    /// Remembers an event, at once and not only when it is committed: the next record of the event must see it.
    pub(crate) fn remember(&mut self, entry: Remembered) {
        self.ledger.remember(entry);
        if let Some(window) = &mut self.window {
            window.learnt_one();
        }
    }

    /// Whether a frontier moved without a record: a gap at the end.
    pub(crate) fn has_moved(&self) -> bool {
        self.frontiers.iter().zip(&self.committed).any(|(frontier, committed)| frontier.committable() > *committed)
    }

    /// The widest distance between a frontier and what was read beyond it, in offsets.
    pub(crate) fn span(&self) -> u64 {
        self.frontiers.iter().map(Frontier::span).max().unwrap_or(0)
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.in_flight == 0 && self.uncommitted == 0 && self.completing == 0
    }
}

/// How far beyond the frontier offsets are begun.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Begun {
    /// The partition is held: offsets beyond what is dispatched may be begun before the next transaction.
    Ahead,
    /// The partition is given back: nothing at or beyond this offset is begun and open.
    UpTo(i64),
}

/// Which offsets of each topic a batch finishes.
pub(crate) type Finished = HashMap<TopicId, Vec<Offset>>;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn restored(metadata: &str) -> Ownership {
        owned_at(5, 0, metadata, OnLost::Pause).0
    }

    fn owned_at(committed: i64, log_start: i64, metadata: &str, on_lost: OnLost) -> (Ownership, Vec<Loss>) {
        let position = Position {
            topic: TopicId(0),
            committed: Some(NextOffset::new(committed)),
            metadata: metadata.into(),
            spilled: None,
            log_start: NextOffset::new(log_start),
            log_end: NextOffset::new(9),
            begun: true,
            first: NextOffset::new(0),
            loss_accepted: None,
        };
        let mut owned = Ownership::new();
        let restored = Restored { positions: vec![position], ..Restored::default() };
        let bounds = Bounds { ledger_entries: 10, max_in_flight: 256, replay: None, on_lost };
        let losses = owned.restore(Moment::ORIGIN, Partition::new(0), restored, SECOND, bounds);
        (owned, losses)
    }

    #[test]
    fn what_cannot_be_read_is_uncertain_beyond_the_logs_end_until_the_predecessors_lease_is_over() {
        for metadata in ["", "of a stranger", "xc2:AAAA"] {
            let mut owned = restored(metadata);
            assert!(owned.is_uncertain(TopicId(0), Offset::new(20)), "a predecessor may go on dispatching");
            owned.horizons[0].count(2, 10);
            let more = owned.clamp(&[(TopicId(0), NextOffset::new(12))]);
            assert_eq!(more, 2, "they came meanwhile");
            assert!(owned.is_uncertain(TopicId(0), Offset::new(11)));
            assert!(!owned.is_uncertain(TopicId(0), Offset::new(12)));
        }
    }

    #[test]
    fn what_retention_removed_waits_for_a_word_or_is_passed_and_counted() {
        let settle = SECOND;
        let done = Progress { frontier: NextOffset::new(3), horizon: NextOffset::new(6), settle, runs: vec![(4, 6)] };
        let (waiting, losses) = owned_at(3, 7, &done.encode("").0, OnLost::Pause);
        assert_eq!((waiting.phase, losses[0].offsets, losses[0].waits), (Phase::Lost, 2, true));
        assert!(waiting.progress(TopicId(0), &[], Begun::UpTo(0)).is_none(), "there is nothing to write");
        let (owned, losses) = owned_at(3, 7, &done.encode("").0, OnLost::Continue);
        assert_eq!((owned.phase, losses[0].offsets, losses[0].waits), (Phase::Starting, 2, false));
        assert_eq!((owned.frontiers[0].committable(), owned.news[0].lost), (NextOffset::new(7), 2));
        assert!(owned.has_moved(), "the loss is booked without waiting for a record");
    }

    #[test]
    fn everything_uncertain_is_handed_on_as_such() {
        let owned = restored("");
        let Some(progress) = owned.progress(TopicId(0), &[], Begun::UpTo(0)) else { panic!("no such topic") };
        let (text, _) = progress.encode("");
        assert_eq!(Progress::decode(&text, NextOffset::new(5)), Reading::Known(progress));
        assert!(restored(&text).is_uncertain(TopicId(0), Offset::new(1_000_000)));
    }

    #[test]
    fn a_horizon_falls_with_the_load_and_the_lease_falls_before_it() {
        let mut owned = restored("");
        owned.clamp(&[(TopicId(0), NextOffset::new(5))]);
        owned.horizons[0].dispatched = 400;
        let lease = |owned: &mut Ownership| {
            let Some(progress) = owned.progress(TopicId(0), &[], Begun::Ahead) else { panic!("no such topic") };
            owned.closed(TopicId(0), progress.horizon);
            let before = owned.horizons[0].leased;
            owned.leased(TopicId(0), NextOffset::new(5), progress.horizon);
            (before, owned.horizons[0].leased)
        };
        assert_eq!(lease(&mut owned), (0, 5 + 800));
        assert_eq!(lease(&mut owned), (5 + 400, 5 + 400), "while it is on its way the lower one holds");
        for _ in 0..6 {
            lease(&mut owned);
        }
        assert_eq!(lease(&mut owned), (5 + 16, 5 + 16));
    }
}
