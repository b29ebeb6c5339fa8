//! Sums over many runs.

use std::collections::BTreeMap;
use std::time::Duration;

use simulation::{Outcome, Promise};

#[derive(Default)]
pub(crate) struct Totals {
    runs: u64,
    events: u64,
    delivered: u64,
    calls: u64,
    late_sends: u64,
    doubles_found: u64,
    residue: u64,
    found_after: Vec<f64>,
    compared: [u64; 9],
    broken: [u64; 9],
    faults: BTreeMap<&'static str, u64>,
}

impl Totals {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.events += outcome.events;
        self.delivered += outcome.delivered;
        self.calls += outcome.calls;
        self.late_sends += outcome.late_sends;
        self.doubles_found += outcome.doubles_found;
        self.residue += outcome.residue;
        self.found_after.extend(&outcome.found_after);
        for (sum, compared) in self.compared.iter_mut().zip(outcome.compared) {
            *sum += compared;
        }
        if let Some(violation) = outcome.violations.first() {
            self.broken[violation.promise as usize] += 1;
        }
        for (name, count) in &outcome.faults {
            *self.faults.entry(name).or_default() += count;
        }
    }

    pub(crate) fn merge(&mut self, other: Totals) {
        self.runs += other.runs;
        self.events += other.events;
        self.delivered += other.delivered;
        self.calls += other.calls;
        self.late_sends += other.late_sends;
        self.doubles_found += other.doubles_found;
        self.residue += other.residue;
        self.found_after.extend(other.found_after);
        for index in 0..self.compared.len() {
            self.compared[index] += other.compared[index];
            self.broken[index] += other.broken[index];
        }
        for (name, count) in other.faults {
            *self.faults.entry(name).or_default() += count;
        }
    }

    pub(crate) fn compared(&self, promise: Promise) -> u64 {
        self.compared[promise as usize]
    }

    pub(crate) fn print(&self, took: Duration) {
        let per_second = self.runs as f64 / took.as_secs_f64();
        println!("{} runs in {:.1} s: {per_second:.0} runs/s, {} events", self.runs, took.as_secs_f64(), self.events);
        println!("{} records delivered, {} calls", self.delivered, self.calls);
        println!("faults:");
        for (name, count) in &self.faults {
            println!("  {count:>9}  {name}");
        }
        println!("checks:        compared  runs that broke it");
        for promise in Promise::ALL {
            let index = promise as usize;
            println!("  {:<13}{:>10}  {}", promise.id(), self.compared[index], self.broken[index]);
        }
        println!(
            "frozen senders: {} calls left after their lease; doubles found {}, residue (the sender died first) {}",
            self.late_sends, self.doubles_found, self.residue
        );
        let mut found_after = self.found_after.clone();
        found_after.sort_by(f64::total_cmp);
        let share = |percent: usize| found_after.get(found_after.len() * percent / 100);
        if let (Some(half), Some(most)) = (share(50), share(99)) {
            println!(
                "  found after {half:.1} times settle (median), {most:.1} (99 of 100), from the second instance on"
            );
        }
    }
}
