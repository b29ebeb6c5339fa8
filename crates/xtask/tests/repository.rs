//! This repository keeps its own rules.

use xtask::{crate_table, repository, tidy};

#[test]
fn the_crate_table_and_the_manifests_agree() {
    let readme = repository().join("crates/README.md");
    let markdown = std::fs::read_to_string(&readme).expect("crates/README.md holds the crate table");
    let (uses, known) = crate_table::manifests(repository()).unwrap();
    let table = crate_table::read_table(&markdown, &known).unwrap();
    let found = crate_table::differences(&table, &uses);
    assert!(found.is_empty(), "crates/README.md and the manifests differ:\n- {}", found.join("\n- "));
}

#[test]
fn files_are_short_introduced_and_free_of_machine_paths() {
    let found = tidy::breaches(repository()).unwrap();
    assert!(found.is_empty(), "these files break a rule:\n- {}", found.join("\n- "));
}
