//! Keys in quarantine and storms of bad records.

use super::{Config, Planned, What};
use crate::rng::Rng;

#[derive(Clone, Debug)]
pub(crate) struct Failing {
    /// Whether a key whose record is given up goes into quarantine.
    pub quarantine: bool,
    pub max_quarantined: usize,
    /// Bad records in a row that trip the storm guard.
    pub storm_run: u32,
    /// Until then every start of a key beyond 99 fails.
    pub bad_until: u64,
    /// With a refusal; else with an engine error.
    pub bad_refuses: bool,
}

impl Failing {
    /// Drawn apart, so that the other settings of a seed stay what they were.
    pub(super) fn of(rng: &mut Rng) -> Failing {
        let (quarantine, max_quarantined) = (rng.chance(35), rng.pick(&[1, 3, 100, 100]));
        let (bad, storms) = (rng.chance(8), rng.chance(20));
        Failing {
            quarantine,
            max_quarantined,
            storm_run: if bad || storms { rng.between(3, 6) as u32 } else { 10_000 },
            bad_until: if bad { rng.between(1500, 9000) } else { 0 },
            bad_refuses: rng.chance(60),
        }
    }
}

/// Starts of keys of their own, while the model is bad; and some keys that a record fails for, with more behind it.
pub(super) fn records(rng: &mut Rng, config: &Config, records: &[Planned]) -> Vec<Planned> {
    let mut more = Vec::new();
    let mut event = 1_000;
    if config.failing.bad_until > 0 {
        let mut at = rng.below(500);
        for key in 120..120 + rng.between(12, 40) as u8 {
            at += rng.below(30);
            more.push(planned(config, at, key, event, What::Start));
            event += 1;
        }
    }
    if config.failing.quarantine && rng.chance(70) {
        for _ in 0..rng.between(1, 3) {
            let first = &records[rng.below(records.len() as u64) as usize];
            let mut at = first.at + rng.below(200);
            let what = if rng.chance(70) { What::Start } else { What::Message };
            more.push(Planned { failing: true, ..planned(config, at, first.key, event, what) });
            for _ in 0..rng.between(1, 4) {
                at += rng.pick(&[20, 600, 3000]) + rng.below(300);
                event += 1;
                let what = rng.pick(&[What::Start, What::Start, What::Terminate, What::Message]);
                more.push(planned(config, at, first.key, event, what));
            }
            event += 1;
        }
    }
    more
}

fn planned(config: &Config, at: u64, key: u8, event: u32, what: What) -> Planned {
    Planned {
        at,
        partition: i32::from(key) % config.partitions,
        gap: 0,
        key,
        business: key,
        event,
        payload: 1,
        what,
        refused: false,
        failing: false,
        huge: false,
        replayed: false,
    }
}
