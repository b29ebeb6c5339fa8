//! What operators put back in, and what goes wrong just then.

use super::{CallFault, Fault, FaultKind, Planned, SETTLE, What};
use crate::rng::Rng;

/// Starts and messages that come again by the replay topic, whatever became of them; the source may repeat them too.
pub(super) fn of(rng: &mut Rng, records: &[Planned]) -> Vec<Planned> {
    if rng.chance(60) {
        return Vec::new();
    }
    let count = rng.between(1, 4);
    let mut replays = Vec::new();
    for _ in 0..count {
        let again = &records[rng.below(records.len() as u64) as usize];
        let at = again.at + rng.pick(&[5, 100, 1500, 4000]) + rng.below(500);
        // An id that was used for two things is looked for under one of them.
        let reused = |other: &Planned| {
            other.event == again.event && (other.business, other.payload) != (again.business, again.payload)
        };
        if matches!(again.what, What::Start | What::Message) && !records.iter().any(reused) {
            replays.push(Planned { at, gap: 0, replayed: true, ..again.clone() });
            if rng.chance(50) {
                replays.push(Planned { at: at + rng.below(60), gap: 0, ..again.clone() });
            }
        }
    }
    replays
}

/// A replayed start waits, acts, and its answer stays away; then its partition moves.
pub(super) fn hand_overs(rng: &mut Rng, records: &[Planned]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for planned in records.iter().filter(|planned| planned.replayed) {
        if rng.chance(60) {
            let acts = planned.at + SETTLE;
            faults.push(Fault { at: acts, kind: FaultKind::Call(CallFault::LateEffect) });
            let at = acts + 300 + rng.below(1500);
            faults.push(Fault { at, kind: FaultKind::Rotate { flow: 0 } });
        }
    }
    faults
}
