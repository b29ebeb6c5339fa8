//! A bound on calls per second, as a token bucket: kept as the time at which the bucket would be full (GCRA), so that no refill
//! has to run.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::time::Moment;

/// What may leave at once after a pause, in time: a tenth of a second's worth, and always one call.
const BURST: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    every: Duration,
    /// When the bucket would be full.
    full_at: Moment,
}

impl Rate {
    pub(crate) fn new(per_second: NonZeroU32) -> Rate {
        Rate { every: Duration::from_secs(1) / per_second.get(), full_at: Moment::ORIGIN }
    }

    /// Calls that may leave now.
    pub(crate) fn available(&self, now: Moment) -> usize {
        let debt = self.full_at.since(now);
        BURST.checked_sub(debt).map_or(0, |left| (left.as_nanos() / self.every.as_nanos()) as usize + 1)
    }

    /// One call leaves, which takes so many requests. It may be more than what is there: the next ones wait longer.
    pub(crate) fn take(&mut self, now: Moment, requests: u32) {
        self.full_at = self.full_at.max(now) + self.every * requests;
    }

    /// When one more than `reserved` may leave, if nothing leaves meanwhile.
    pub(crate) fn next(&self, now: Moment, reserved: usize) -> Moment {
        let debt = self.full_at.since(now).saturating_sub(BURST);
        now + debt + self.every * u32::try_from(reserved).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In every stretch of time: no more than its share and one burst; and whoever waits until `next` may go.
        #[test]
        fn no_stretch_of_time_sees_more_than_its_share(per_second in 1u32..5_000, pauses in prop::collection::vec(0u64..300, 1..200)) {
            let mut rate = Rate::new(NonZeroU32::new(per_second).expect("not zero"));
            let (mut now, mut left) = (Moment::ORIGIN, Vec::new());
            for pause in pauses {
                now = now + Duration::from_millis(pause);
                if rate.available(now) == 0 {
                    now = rate.next(now, 0);
                    prop_assert!(rate.available(now) > 0);
                }
                rate.take(now, 1);
                left.push(now);
            }
            for (index, first) in left.iter().enumerate() {
                for (more, last) in left[index..].iter().enumerate() {
                    let allowed = (last.since(*first) + BURST).as_secs_f64() * f64::from(per_second);
                    prop_assert!(more as f64 <= allowed + 1.0, "{} calls", more + 1);
                }
            }
        }
    }

    #[test]
    fn a_call_of_several_requests_lets_the_next_wait_longer() {
        let mut rate = Rate::new(NonZeroU32::new(10).expect("not zero"));
        let at = |ms| Moment::after_origin(Duration::from_millis(ms));
        rate.take(at(1000), 3);
        assert_eq!(rate.available(at(1199)), 0);
        assert_eq!((rate.next(at(1199), 0), rate.next(at(1199), 2)), (at(1200), at(1400)));
        assert_eq!(rate.available(at(1200)), 1);
        assert_eq!(rate.available(at(9000)), 2, "a pause is worth one burst");
    }
}
