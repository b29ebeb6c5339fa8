//! Retry delays as plain values: exponential, capped, with full jitter.

use std::time::Duration;

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The upper bound of the first delay.
    pub initial: Duration,
    /// The upper bound of every delay.
    pub max: Duration,
}

impl RetryPolicy {
    /// A delay drawn evenly from zero to `initial * 2^(failures - 1)`, capped at `max` and never under one millisecond.
    ///
    /// Full jitter spreads the retries of many records that failed together, which a fixed delay would send together again.
    pub fn delay(&self, failures: u32, dice: &mut Dice) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let bound = self.initial.saturating_mul(1 << doublings).min(self.max);
        bound.mul_f64(dice.fraction()).max(Duration::from_millis(1))
    }
}

/// The randomness that a driver hands in as a seed: the SplitMix64 sequence, so that a run is a function of its seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The sequence that starts at `seed`.
    pub fn seeded(seed: u64) -> Dice {
        Dice(seed)
    }

    /// An even draw from `0.0..1.0`.
    pub fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_delay_stays_inside_its_bounds(failures in 0u32..10_000, seed: u64) {
            let policy = RetryPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(30) };
            let delay = policy.delay(failures, &mut Dice::seeded(seed));
            prop_assert!(delay >= Duration::from_millis(1));
            prop_assert!(delay <= policy.max);
            if failures <= 1 {
                prop_assert!(delay <= policy.initial);
            }
        }
    }

    #[test]
    fn later_delays_reach_further() {
        let policy = RetryPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(30) };
        let mut dice = Dice::seeded(7);
        let mut mean = |failures| (0..1000).map(|_| policy.delay(failures, &mut dice)).sum::<Duration>() / 1000;
        assert!(mean(4) > mean(1) * 4);
    }
}
