//! Jobs of processes, and what happens to those that ask a system between two of their records.

use super::Config;
use crate::rng::Rng;

/// A job that the engine hands out until it is completed.
#[derive(Clone, Debug)]
pub(crate) struct PlannedJob {
    pub at: u64,
    pub flow: usize,
    pub partition: i32,
    pub key: u8,
    pub lock: u64,
    pub huge: bool,
    /// It asks a system instead of publishing an outcome.
    pub asks: bool,
    /// So long after its lock has ended it is handed out again.
    pub lapse: u64,
    /// Each time with other variables.
    pub changes: bool,
    /// When its instance is suspended: from, until.
    pub suspended: Option<(u64, u64)>,
    /// The system refuses it, always.
    pub refused: bool,
    /// The system calls another request under the same key a conflict, and not a mistake.
    pub conflicts: bool,
}

pub(super) fn of(rng: &mut Rng, config: &Config) -> Vec<PlannedJob> {
    if rng.chance(50) {
        return Vec::new();
    }
    let mut at = rng.below(1000);
    let count = rng.between(1, 5);
    let plan = |_| {
        at += rng.below(1200);
        PlannedJob {
            at,
            flow: rng.below(config.flows as u64) as usize,
            partition: rng.below(config.partitions as u64) as i32,
            key: rng.below(3) as u8,
            lock: rng.between(500, 2500),
            huge: rng.chance(4),
            asks: false,
            lapse: 0,
            changes: false,
            suspended: None,
            refused: false,
            conflicts: false,
        }
    };
    (0..count).map(plan).collect()
}

/// Which of them ask, and what becomes of those meanwhile.
pub(super) fn ask(systems: &mut Rng, locks: &mut Rng, jobs: &mut [PlannedJob]) {
    for job in jobs {
        job.asks = systems.chance(40) && !job.huge;
        if !job.asks {
            continue;
        }
        job.lapse = locks.pick(&[0, 0, 300, 1000]);
        // Shorter than a request that has to be repeated, longer than an answer that is kept waits to be given again.
        job.lock = locks.pick(&[job.lock, 450]);
        (job.changes, job.conflicts) = (locks.chance(60), locks.chance(30));
        job.refused = locks.chance(8);
        if locks.chance(25) {
            let from = job.at + locks.below(500);
            let longest = locks.pick(&[1500, 1500, 8000]);
            job.suspended = Some((from, from + locks.between(100, longest)));
        }
    }
}
