//! The contiguous frontier of one topic partition: below it everything is finished.

use std::collections::BTreeMap;

use event_model::{NextOffset, Offset};

use crate::guards::{Guard, holds};

/// Whether the broker delivered an offset for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Not seen before under this ownership.
    Fresh,
    /// Seen before: a seek or a restarted fetch repeats it, and it is not to be taken again.
    Repeated,
    /// Finished by an earlier owner.
    Done,
}

/// Which offsets of a topic partition are finished.
///
/// `next` is what may be committed. Finished offsets beyond it are kept as runs, so that the cost follows the number of
/// holes and not the number of records. Offsets that the broker never delivers (transaction markers, compacted or
/// aborted records) count as finished once a later record, or the partition's end, is seen.
#[derive(Clone, Debug)]
pub struct Frontier {
    next: i64,
    read: i64,
    /// Finished runs beyond `next`, start → end (exclusive); never touching each other or `next`.
    runs: BTreeMap<i64, i64>,
}

impl Frontier {
    /// A frontier that starts at the restored position.
    pub fn at(position: NextOffset) -> Frontier {
        Frontier { next: position.get(), read: position.get(), runs: BTreeMap::new() }
    }

    /// A frontier that starts at the restored position, with what earlier owners finished beyond it.
    pub fn restored(position: NextOffset, runs: &[(i64, i64)]) -> Frontier {
        let mut frontier = Frontier::at(position);
        for (start, end) in runs {
            frontier.finish(*start, *end + i64::from(!holds(Guard::MapExact)));
        }
        frontier
    }

    /// The finished runs beyond the frontier, ascending.
    pub fn runs(&self) -> Vec<(i64, i64)> {
        self.runs.iter().map(|(start, end)| (*start, *end)).collect()
    }

    /// What may be committed: every offset below it is finished.
    pub fn committable(&self) -> NextOffset {
        NextOffset::new(self.next)
    }

    /// Offsets beyond the frontier that are finished.
    pub(crate) fn finished_beyond(&self) -> u64 {
        let finished: i64 = self.runs.iter().map(|(start, end)| end - start).sum();
        u64::try_from(finished).unwrap_or(0)
    }

    /// How far reading is ahead of the frontier, in offsets.
    pub fn span(&self) -> u64 {
        u64::try_from(self.read - self.next).unwrap_or(0)
    }

    /// Takes note of a delivered record; what was jumped over is finished.
    pub fn deliver(&mut self, offset: Offset) -> Delivery {
        let offset = offset.get();
        if offset < self.read {
            return Delivery::Repeated;
        }
        if holds(Guard::GapsCount) {
            self.finish(self.read, offset);
        }
        self.read = offset + 1;
        if self.is_done(offset) { Delivery::Done } else { Delivery::Fresh }
    }

    /// Takes note that the partition ended at `position`: nothing undelivered lies below it.
    pub fn reached_end(&mut self, position: NextOffset) {
        let end = position.get();
        if end > self.read && holds(Guard::EndsCount) {
            self.finish(self.read, end);
            self.read = end;
        }
    }

    /// Passes over what the log no longer holds; how many offsets of it were not finished.
    pub(crate) fn pass(&mut self, log_start: NextOffset) -> u64 {
        let start = log_start.get();
        let done: i64 = self.runs.range(..start).map(|(from, to)| (*to).min(start) - from).sum();
        let passed = (start - self.next).max(0);
        self.finish(self.next, start);
        self.read = self.read.max(start);
        u64::try_from(passed - done).unwrap_or(0)
    }

    /// How far the partition was read.
    pub(crate) fn read_to(&self) -> NextOffset {
        NextOffset::new(self.read)
    }

    /// Marks one delivered record as finished. Crate-private: only a batch of `Resolved` values calls it.
    pub(crate) fn complete(&mut self, offset: Offset) {
        self.finish(offset.get(), offset.get() + 1);
    }

    fn is_done(&self, offset: i64) -> bool {
        offset < self.next || self.runs.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    fn finish(&mut self, start: i64, end: i64) {
        let (mut start, mut end) = (start.max(self.next), end);
        if start >= end {
            return;
        }
        if let Some((&before, &before_end)) = self.runs.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
            self.runs.remove(&before);
        }
        while let Some((&after, &after_end)) = self.runs.range(start..=end).next() {
            end = end.max(after_end);
            self.runs.remove(&after);
        }
        if start == self.next {
            self.next = end;
        } else {
            self.runs.insert(start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frontier() -> Frontier {
        Frontier::at(NextOffset::new(10))
    }

    #[test]
    fn the_frontier_waits_for_the_oldest_record() {
        let mut f = frontier();
        for offset in 10..13 {
            assert_eq!(f.deliver(Offset::new(offset)), Delivery::Fresh);
        }
        f.complete(Offset::new(12));
        f.complete(Offset::new(11));
        assert_eq!(f.committable(), NextOffset::new(10));
        f.complete(Offset::new(10));
        assert_eq!(f.committable(), NextOffset::new(13));
    }

    #[test]
    fn what_is_finished_beyond_the_frontier_is_counted_until_the_frontier_passes_it() {
        let mut f = Frontier::restored(NextOffset::new(10), &[(12, 14)]);
        for offset in 10..17 {
            f.deliver(Offset::new(offset));
        }
        f.complete(Offset::new(15));
        assert_eq!((f.finished_beyond(), f.committable().get()), (3, 10));
        f.complete(Offset::new(11));
        f.complete(Offset::new(10));
        assert_eq!((f.finished_beyond(), f.committable().get()), (1, 14));
    }

    #[test]
    fn offsets_that_are_never_delivered_count_as_finished() {
        let mut f = frontier();
        f.deliver(Offset::new(12));
        assert_eq!(f.committable(), NextOffset::new(12));
        f.complete(Offset::new(12));
        f.reached_end(NextOffset::new(20));
        assert_eq!(f.committable(), NextOffset::new(20));
    }

    #[test]
    fn what_is_gone_counts_without_what_was_finished_of_it() {
        let runs = [(12, 14), (16, 20)];
        assert_eq!(Frontier::restored(NextOffset::new(10), &runs).finished_beyond(), 6);
        for (start, lost, next) in [(10, 0, 10), (12, 2, 14), (13, 2, 14), (15, 3, 15), (18, 4, 20), (30, 14, 30)] {
            let mut f = Frontier::restored(NextOffset::new(10), &runs);
            assert_eq!((f.pass(NextOffset::new(start)), f.committable().get()), (lost, next), "log start {start}");
        }
    }

    #[test]
    fn a_repeated_delivery_is_named_as_such() {
        let mut f = frontier();
        f.deliver(Offset::new(10));
        assert_eq!(f.deliver(Offset::new(10)), Delivery::Repeated);
        assert_eq!(f.deliver(Offset::new(3)), Delivery::Repeated);
    }

    #[test]
    fn what_an_earlier_owner_finished_is_not_taken_again() {
        let mut f = Frontier::restored(NextOffset::new(10), &[(12, 14)]);
        let deliveries: Vec<Delivery> = (10..15).map(|offset| f.deliver(Offset::new(offset))).collect();
        assert_eq!(deliveries, [Delivery::Fresh, Delivery::Fresh, Delivery::Done, Delivery::Done, Delivery::Fresh]);
        f.complete(Offset::new(10));
        f.complete(Offset::new(11));
        assert_eq!(f.committable(), NextOffset::new(14));
    }

    proptest! {
        #[test]
        fn the_frontier_is_the_lowest_unfinished_offset(
            gaps in prop::collection::vec(0i64..3, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let mut f = Frontier::at(NextOffset::new(0));
            let mut offset = -1;
            let mut open: Vec<i64> = gaps.iter().map(|gap| { offset += 1 + gap; offset }).collect();
            for &o in &open {
                f.deliver(Offset::new(o));
            }
            let end = offset + 1;
            for index in order {
                let lowest = open.iter().min().copied().unwrap_or(end);
                prop_assert_eq!(f.committable().get(), lowest);
                if open.is_empty() {
                    break;
                }
                let done = open.swap_remove(index.index(open.len()));
                f.complete(Offset::new(done));
            }
        }
    }
}
