//! `simulation simulate|show|mutants`: many seeds on all cores, one seed to read, the table of mutants.

#![allow(clippy::print_stdout, reason = "a command line tool")]

mod mutation;
mod totals;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use simulation::{Mutant, Promise, Scenario, Violation, run, shrink};
use totals::Totals;

const USAGE: &str = "\
simulate [--seeds N] [--from S]   runs the seeds that ever failed and N more (default 20000) from S on (default: the clock)
show SEED [--mutant NAME]         runs one seed, shrunk where it fails, and prints what happened
mutants [--seeds N]               takes every guard away in turn; each must be noticed within N seeds (default 20000)";

/// After so many broken seeds a run of many ends: the first ones say enough.
const ENOUGH: usize = 20;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.split_first() {
        Some((&"simulate", rest)) => number(rest, "--seeds", 20_000)
            .and_then(|seeds| number(rest, "--from", clock()).map(|from| simulate(seeds, from))),
        Some((&"show", [seed, rest @ ..])) => {
            seed.parse().map_err(|_| format!("'{seed}' is no seed")).and_then(|seed| show(seed, rest))
        }
        Some((&"mutants", rest)) => number(rest, "--seeds", 20_000).map(mutation::table),
        _ => Err("what is to be run?".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            println!("{problem}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn number(args: &[&str], name: &str, default: u64) -> Result<u64, String> {
    let Some(at) = args.iter().position(|arg| *arg == name) else { return Ok(default) };
    let value = args.get(at + 1).ok_or_else(|| format!("{name} wants a number"))?;
    value.parse().map_err(|_| format!("{name} wants a number, not '{value}'"))
}

/// Fresh seeds for every call; each is printed when it fails.
fn clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_secs() * 1_000_000
}

/// Calls `work` on every core.
fn on_all_cores(work: impl Fn() + Sync) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(&work);
        }
    });
}

fn simulate(seeds: u64, from: u64) -> bool {
    let corpus = simulation::corpus();
    println!("{} seeds that ever failed, and {seeds} from {from} on", corpus.len());
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    let (totals, failed) = (Mutex::new(Totals::default()), Mutex::new(Vec::<(u64, Violation)>::new()));
    let known = corpus.len() as u64;
    on_all_cores(|| {
        let mut own = Totals::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let seed = match corpus.get(index as usize) {
                Some(seed) => *seed,
                None if index < known + seeds => from + index - known,
                None => break,
            };
            let outcome = run(&Scenario::of(seed), None, false);
            own.add(&outcome);
            if let Some(violation) = outcome.violations.first()
                && let Ok(mut failed) = failed.lock()
            {
                failed.push((seed, violation.clone()));
                if failed.len() >= ENOUGH {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                }
            }
        }
        if let Ok(mut totals) = totals.lock() {
            totals.merge(own);
        }
    });
    let (totals, failed) = (totals.into_inner().unwrap_or_default(), failed.into_inner().unwrap_or_default());
    totals.print(begun.elapsed());
    for (seed, violation) in &failed {
        println!("VIOLATION seed {seed} {}: {}", violation.promise.id(), violation.text);
    }
    if let Some((seed, violation)) = failed.first() {
        show_failure(*seed, None, violation.promise);
    }
    let empty: Vec<&str> =
        Promise::ALL.into_iter().filter(|promise| totals.compared(*promise) == 0).map(Promise::id).collect();
    if !empty.is_empty() {
        println!("nothing was compared for {}: these runs prove nothing about it", empty.join(", "));
    }
    failed.is_empty() && empty.is_empty()
}

fn show(seed: u64, args: &[&str]) -> Result<bool, String> {
    let mutant = match args {
        ["--mutant", name] => {
            let named = |mutant: &Mutant| mutant.name().split(' ').next() == Some(name);
            Some(Mutant::all().into_iter().find(named).ok_or_else(|| format!("no mutant is called '{name}'"))?)
        }
        _ => None,
    };
    let outcome = run(&Scenario::of(seed), mutant, true);
    match outcome.violations.first() {
        Some(violation) => {
            println!("seed {seed}: {} {}", violation.promise.id(), violation.text);
            show_failure(seed, mutant, violation.promise);
            Ok(false)
        }
        None => {
            outcome.trace.iter().for_each(|line| println!("{line}"));
            Ok(true)
        }
    }
}

fn show_failure(seed: u64, mutant: Option<Mutant>, promise: Promise) {
    let (smallest, outcome) = shrink(&Scenario::of(seed), mutant, promise);
    println!("seed {seed}, shrunk to {}; times in milliseconds", smallest.size());
    outcome.trace.iter().for_each(|line| println!("{line}"));
}
