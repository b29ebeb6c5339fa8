//! What operators hold back: a whole flow, or single keys of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::guards::{Guard, holds};
use crate::quarantine::KeyHash;

/// What is to be held back, as the control topic says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paused {
    /// The flow as a whole.
    pub flow: bool,
    /// The keys of its records.
    pub keys: BTreeSet<KeyHash>,
}

/// What is held back, and since when.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    flow: bool,
    /// By key: the time of records, as the storm guard counts it, when its pause began.
    keys: BTreeMap<KeyHash, Duration>,
}

impl Pauses {
    /// Nothing is: what almost every record meets.
    pub(crate) fn is_empty(&self) -> bool {
        !self.flow && self.keys.is_empty()
    }

    pub(crate) fn holds_flow(&self) -> bool {
        self.flow && holds(Guard::PauseHolds)
    }

    pub(crate) fn holds_key(&self, lane: &[u8]) -> bool {
        !self.keys.is_empty() && holds(Guard::PauseHolds) && self.keys.contains_key(&KeyHash::of(lane))
    }

    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// For how long a key has been held back now.
    pub(crate) fn stood(&self, lane: &[u8], now: Duration) -> Duration {
        if self.keys.is_empty() || !holds(Guard::PauseStopsClock) {
            return Duration::ZERO;
        }
        self.keys.get(&KeyHash::of(lane)).map_or(Duration::ZERO, |since| now.saturating_sub(*since))
    }

    /// Takes what is asked for now; the keys that go on, each with the time for which it stood.
    pub(crate) fn take(&mut self, asked: Paused, now: Duration) -> BTreeMap<KeyHash, Duration> {
        self.flow = asked.flow;
        let mut over = std::mem::take(&mut self.keys);
        for key in asked.keys {
            self.keys.insert(key, over.remove(&key).unwrap_or(now));
        }
        over.values_mut().for_each(|since| *since = now.saturating_sub(*since));
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stays_paused_keeps_its_beginning_and_one_that_goes_on_says_how_long_it_stood() {
        let seconds = Duration::from_secs;
        let [a, b] = [KeyHash::of(b"a"), KeyHash::of(b"b")];
        let mut pauses = Pauses::default();
        let asked = |flow, keys: &[KeyHash]| Paused { flow, keys: keys.iter().copied().collect() };
        assert!(pauses.take(asked(false, &[a]), seconds(10)).is_empty());
        assert!(pauses.take(asked(true, &[a, b]), seconds(20)).is_empty());
        assert!(pauses.holds_flow() && pauses.holds_key(b"a") && !pauses.holds_key(b"c"));
        assert_eq!((pauses.stood(b"a", seconds(22)), pauses.stood(b"c", seconds(22))), (seconds(12), Duration::ZERO));
        assert_eq!(pauses.take(asked(false, &[b]), seconds(25)), BTreeMap::from([(a, seconds(15))]));
        assert!(!pauses.holds_flow() && !pauses.holds_key(b"a") && pauses.holds_key(b"b"));
        assert_eq!(pauses.take(Paused::default(), seconds(26)), BTreeMap::from([(b, seconds(6))]));
    }
}
