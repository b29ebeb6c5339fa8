//! A few hundred fixed seeds and every seed that ever failed; `./dev simulate` runs fresh ones.

use simulation::{Promise, Scenario, corpus, run, shrink};

#[test]
fn every_promise_holds_on_seeds_that_ever_failed_and_on_five_hundred_more() {
    let mut compared = [0u64; 9];
    for seed in corpus().into_iter().chain(70_000..70_500) {
        let outcome = run(&Scenario::of(seed), None, false);
        if let Some(violation) = outcome.violations.first() {
            let (_, shrunk) = shrink(&Scenario::of(seed), None, violation.promise);
            panic!("seed {seed} {}: {}\n{}", violation.promise.id(), violation.text, shrunk.trace.join("\n"));
        }
        for (sum, count) in compared.iter_mut().zip(outcome.compared) {
            *sum += count;
        }
    }
    for promise in Promise::ALL {
        assert!(compared[promise as usize] > 0, "nothing was compared for {}", promise.id());
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    for seed in 0..40 {
        let [first, second] = [0, 1].map(|_| run(&Scenario::of(seed), None, true));
        assert_eq!(first.trace, second.trace, "seed {seed}");
    }
}

#[test]
fn a_guard_of_the_driver_that_is_taken_away_is_noticed() {
    use simulation::{Mutant, Switch};
    for switch in [Switch::OffsetsAccepted, Switch::RootOnly, Switch::FlowInMarker] {
        let broken = |seed| !run(&Scenario::of(seed), Some(Mutant::Switch(switch)), false).violations.is_empty();
        assert!((1..=2000).any(broken), "{switch:?}");
    }
}
