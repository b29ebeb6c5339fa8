//! Seeded deterministic runs of `flow_core::Flow` against models of Kafka and of an engine without idempotency keys.
//!
//! A run is a pure function of its seed: [`Scenario::of`] draws settings, records, jobs and faults from streams of their own, and
//! [`run`] plays them until nothing is left to happen. The promises are checked all the way and once more at rest.
//!
//! Left out of the model: the replay topic, `xc.control`, quarantined keys, a growing partition count, maps that spill into
//! the state topic (worlds are small), and the at-least-once mode.

mod checks;
mod engine;
mod faults;
mod jobs;
mod kafka;
mod letters;
mod mutants;
mod pauses;
mod positions;
mod rng;
mod run;
mod scenario;
mod shrink;
mod storms;
mod system;
mod worker;
mod world;

pub use checks::{Promise, Violation};
pub use mutants::{Mutant, Switch};
pub use run::{Outcome, run};
pub use scenario::Scenario;
pub use shrink::shrink;

/// Seeds that ever failed: they run always.
pub fn corpus() -> Vec<u64> {
    let lines = include_str!("../seeds.txt").lines();
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}
