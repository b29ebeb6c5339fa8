//! Faults that hurt only in company.

use super::{CallFault, Fault, FaultKind, SESSION};
use crate::rng::Rng;

/// Commits are slow, then hang: what is dispatched meanwhile stays below the last horizon that is really committed.
pub(super) fn hanging_commits(rng: &mut Rng, all: usize, faults: &mut Vec<Fault>) {
    let mut at = rng.between(20, 300);
    for _ in 0..rng.between(1, 3) {
        faults.push(Fault { at, kind: FaultKind::SlowCommit { length: rng.between(20, 150) } });
        at += rng.between(20, 200);
    }
    let worker = rng.below(all as u64) as usize;
    let kind = FaultKind::CutCoordinator { worker, length: rng.between(SESSION, 3000) };
    faults.push(Fault { at, kind });
}

/// W1 → W2 → W3 inside one lease term or a little more: what nobody has verified yet is handed on.
pub(super) fn take_over(rng: &mut Rng, all: usize, faults: &mut Vec<Fault>) {
    let mut at = rng.below(2500);
    let mut worker = rng.below(all as u64) as usize;
    for _ in 0..rng.between(2, 4) {
        let kind = match rng.below(6) {
            0 => FaultKind::Crash { worker, back_after: rng.between(100, 3000) },
            1 => FaultKind::Leave { worker, back_after: rng.between(100, 3000) },
            2..5 => FaultKind::CutCoordinator { worker, length: rng.between(SESSION, 3000) },
            _ => FaultKind::Rotate { flow: 0 },
        };
        faults.push(Fault { at, kind });
        if rng.chance(50) {
            let length = rng.between(300, 2500);
            faults.push(Fault { at: at.saturating_sub(rng.below(30)), kind: FaultKind::SlowMarkers { length } });
        }
        if rng.chance(50) {
            let at = at + rng.between(SESSION - 100, SESSION + 900);
            faults.push(Fault { at, kind: FaultKind::Call(CallFault::LateEffect) });
        }
        at += rng.between(50, SESSION + 600);
        worker = (worker + 1) % all;
    }
}
