//! Compares the crate table in `crates/README.md` with what the manifests say
//!
//! A crate may use those workspace crates and those of [`WATCHED`] that its row lists under "may depend on". Other words in a
//! cell are for people; `all above` stands for every crate with a row further up, and what stands in parentheses is a remark.
//! Development dependencies are free, but for what "may not" lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Crates from outside that only some of ours may use: they stand for Kafka, HTTP, and waiting
pub const WATCHED: [&str; 5] = ["rdkafka", "rdkafka-sys", "reqwest", "tokio", "axum"];

/// What a crate uses, by its manifest
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// In the crate itself and its build script
    pub normal: BTreeSet<String>,
    /// In its tests
    pub development: BTreeSet<String>,
}

/// What a row of the table says
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the crate
    pub name: String,
    /// Names under "may depend on"
    pub may: BTreeSet<String>,
    /// Names under "may not"
    pub may_not: BTreeSet<String>,
}

/// Everything in which table and manifests differ, each with what to do about it. `uses` holds the crates of `crates/`.
pub fn differences(table: &[Row], uses: &BTreeMap<String, Uses>) -> Vec<String> {
    let mut found = Vec::new();
    for name in uses.keys().filter(|name| table.iter().all(|row| row.name != **name)) {
        found.push(format!(
            "crate {name} has no row: add it to the table, with what lives there and what it may depend on"
        ));
    }
    for row in table {
        let name = &row.name;
        let Some(uses) = uses.get(name) else {
            found.push(format!("the row of {name} names no crate of crates/: remove it, or correct the name"));
            continue;
        };
        for used in uses.normal.iter().filter(|used| !row.may.contains(*used)) {
            found.push(format!(
                "{name} depends on {used}, which its row does not allow: move that code to a crate that may use {used}; \
                 if the new dependency is wanted, add {used} to the row and say why in the decision log"
            ));
        }
        for used in uses.development.intersection(&row.may_not) {
            found.push(format!(
                "the tests of {name} use {used}, which its row forbids: test that in tests/, on the real parts"
            ));
        }
        for both in row.may.intersection(&row.may_not) {
            found.push(format!("the row of {name} both allows and forbids {both}: keep one"));
        }
    }
    found
}

/// Reads the table: the first one whose header starts with `crate` and has the columns "may depend on" and "may not".
/// `known` are the names that count in a cell.
///
/// # Errors
/// There is no such table, or a row has too few cells.
pub fn read_table(markdown: &str, known: &BTreeSet<String>) -> Result<Vec<Row>> {
    let mut lines = markdown.lines().skip_while(|line| cells(line).first().is_none_or(|cell| cell != "crate"));
    let header = lines.next().map(cells).unwrap_or_default();
    let column = |title: &str| {
        let position = header.iter().position(|cell| cell == title);
        position.with_context(|| {
            format!("no table `| crate | … | may depend on | may not |`: column \"{title}\" is missing")
        })
    };
    let (may, may_not) = (column("may depend on")?, column("may not")?);
    let mut rows: Vec<Row> = Vec::new();
    for line in lines.skip(1).take_while(|line| line.trim_start().starts_with('|')) {
        let cells = cells(line);
        ensure!(cells.len() > may.max(may_not), "this row of the crate table has too few cells: {line}");
        let mut allowed = names(&cells[may], known);
        if cells[may].contains("all above") {
            allowed.extend(rows.iter().map(|row| row.name.clone()));
        }
        // a row may stand for several crates
        for name in cells[0].split(',').map(bare) {
            rows.push(Row { name, may: allowed.clone(), may_not: names(&cells[may_not], known) });
        }
    }
    Ok(rows)
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    inner.map(|inner| inner.split('|').map(|cell| cell.trim().to_owned()).collect()).unwrap_or_default()
}

fn names(cell: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let mut outside = String::new();
    let mut depth = 0_usize;
    for character in cell.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => outside.push(character),
            _ => {}
        }
    }
    let words = outside.split([',', ' ', ';']).map(bare);
    words.filter(|word| known.contains(word)).collect()
}

fn bare(word: &str) -> String {
    word.trim().trim_matches(['`', '.', ':']).to_owned()
}

/// What the crates below `crates/` use, and the names that count in the table: all crates of the workspace and [`WATCHED`].
///
/// # Errors
/// `cargo metadata` fails, or answers in an unknown form.
pub fn manifests(repository: &Path) -> Result<(BTreeMap<String, Uses>, BTreeSet<String>)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository)
        .output()?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;

    let mut known: BTreeSet<String> = packages.iter().map(|package| text(&package["name"])).collect();
    known.extend(WATCHED.map(str::to_owned));
    let mut uses = BTreeMap::new();
    for package in packages {
        if !Path::new(&text(&package["manifest_path"])).starts_with(repository.join("crates")) {
            continue;
        }
        let of_package: &mut Uses = uses.entry(text(&package["name"])).or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = text(&dependency["name"]);
            if !known.contains(&name) {
                continue;
            }
            if dependency["kind"] == "dev" {
                of_package.development.insert(name);
            } else {
                of_package.normal.insert(name);
            }
        }
    }
    Ok((uses, known))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Crates
| crate | what lives there | may depend on | may not |
|---|---|---|---|
| `model` | ids | serde | tokio, rdkafka |
| `core` | decisions | `model` | any I/O (reqwest is I/O) |
| `binary` | assembly | all above, tokio | rdkafka or reqwest directly |

text";

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn known() -> BTreeSet<String> {
        set(&["model", "core", "binary", "tokio", "rdkafka", "reqwest"])
    }

    fn uses(of: &[(&str, &[&str], &[&str])]) -> BTreeMap<String, Uses> {
        let of = of.iter().map(|(name, normal, development)| {
            ((*name).to_owned(), Uses { normal: set(normal), development: set(development) })
        });
        of.collect()
    }

    #[test]
    fn a_cell_is_read_for_names_and_the_rest_is_for_people() {
        let rows = read_table(TABLE, &known()).unwrap();
        assert_eq!(rows[1].may, set(&["model"]));
        assert_eq!(rows[1].may_not, set(&[]));
        assert_eq!(rows[2].may, set(&["core", "model", "tokio"]));
        assert_eq!(rows[2].may_not, set(&["rdkafka", "reqwest"]));
    }

    #[test]
    fn manifests_that_keep_to_the_table_differ_in_nothing() {
        let rows = read_table(TABLE, &known()).unwrap();
        let uses = uses(&[("model", &[], &[]), ("core", &["model"], &["tokio"]), ("binary", &["core", "tokio"], &[])]);
        assert_eq!(differences(&rows, &uses), [""; 0]);
    }

    #[test]
    fn every_kind_of_difference_is_named_with_a_way_out() {
        let rows = read_table(TABLE, &known()).unwrap();
        let uses = uses(&[("model", &[], &["rdkafka"]), ("core", &["tokio"], &[]), ("new", &[], &[])]);
        let found = differences(&rows, &uses).join("\n");
        for part in [
            "crate new has no row",
            "the tests of model use rdkafka",
            "core depends on tokio, which its row does not allow",
            "the row of binary names no crate",
        ] {
            assert!(found.contains(part), "{part} is missing in:\n{found}");
        }
    }

    #[test]
    fn a_readme_without_the_table_is_an_error_that_shows_the_form() {
        let error = read_table("# Crates\n", &known()).unwrap_err().to_string();
        assert!(error.contains("| crate | … | may depend on | may not |"), "{error}");
    }
}
