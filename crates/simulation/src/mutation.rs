//! The table of mutants: which check notices that a guard is gone, and after how many seeds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use simulation::{Mutant, Promise, Scenario, run};

/// The seeds of the table start here, so that the same build prints the same table.
const FROM: u64 = 1;

type Row = (usize, Option<(u64, Promise)>);

/// Prints the table; whether every mutant was caught within `seeds` seeds.
pub(crate) fn table(seeds: u64) -> bool {
    if !cfg!(feature = "mutants") {
        println!("built without the feature `mutants`: the guards of flow-core stay where they are");
        return false;
    }
    let mutants = Mutant::all();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::<Row>::new()));
    crate::on_all_cores(|| {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(mutant) = mutants.get(index) else { break };
            let caught = caught(*mutant, seeds);
            if let Ok(mut rows) = rows.lock() {
                rows.push((index, caught));
            }
        }
    });
    let mut rows = rows.into_inner().unwrap_or_default();
    rows.sort_by_key(|(index, _)| *index);
    println!("{:<32} {:<8} {:<14} seeds", "guard taken away", "caught", "by");
    for (index, caught) in &rows {
        let name = mutants[*index].name();
        match caught {
            Some((needed, promise)) => println!("{name:<32} {:<8} {:<14} {needed}", "yes", promise.id()),
            None => println!("{name:<32} {:<8} {:<14} more than {seeds}", "NO", "-"),
        }
    }
    let missed = rows.iter().filter(|(_, caught)| caught.is_none()).count();
    println!("{} mutants, {missed} not caught", rows.len());
    missed == 0
}

fn caught(mutant: Mutant, seeds: u64) -> Option<(u64, Promise)> {
    (FROM..FROM + seeds).find_map(|seed| {
        let violations = run(&Scenario::of(seed), Some(mutant), false).violations;
        violations.first().map(|violation| (seed - FROM + 1, violation.promise))
    })
}
