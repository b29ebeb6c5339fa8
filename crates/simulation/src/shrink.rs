//! Makes a failing run small: faults, records and jobs are taken out while the same promise stays broken.

use crate::checks::Promise;
use crate::mutants::Mutant;
use crate::run::{Outcome, run};
use crate::scenario::Scenario;

/// The smallest scenario found that still breaks `promise`, and its run with a trace.
pub fn shrink(scenario: &Scenario, mutant: Option<Mutant>, promise: Promise) -> (Scenario, Outcome) {
    let breaks = |candidate: &Scenario| {
        run(candidate, mutant, false).violations.first().is_some_and(|violation| violation.promise == promise)
    };
    let mut best = scenario.clone();
    loop {
        let size = (best.faults.len(), best.records.len(), best.jobs.len());
        for index in (0..best.faults.len()).rev() {
            let mut smaller = best.clone();
            smaller.faults.remove(index);
            if breaks(&smaller) {
                best = smaller;
            }
        }
        for index in (0..best.records.len()).rev() {
            let mut smaller = best.clone();
            smaller.records.remove(index);
            if breaks(&smaller) {
                best = smaller;
            }
        }
        for index in (0..best.jobs.len()).rev() {
            let mut smaller = best.clone();
            smaller.jobs.remove(index);
            if breaks(&smaller) {
                best = smaller;
            }
        }
        if (best.faults.len(), best.records.len(), best.jobs.len()) == size {
            break;
        }
    }
    let outcome = run(&best, mutant, true);
    (best, outcome)
}
