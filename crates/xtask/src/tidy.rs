//! Rules on files: short, introduced by a sentence, and free of paths that exist on one machine only

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Longest Rust file, in lines
pub const MOST_LINES: usize = 450;

/// Folders that hold one machine's or one person's files. Written apart, so that this file keeps its own rule.
const MACHINE_FOLDERS: [&str; 4] = ["home", "root", "Users", "work"];

/// Every breach of the rules in the files of a repository, each with what to do about it
///
/// # Errors
/// A file or folder cannot be read.
pub fn breaches(repository: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files(repository)? {
        let name = file.strip_prefix(repository).unwrap_or(&file).to_owned();
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", name.display()))?;
        // what is no text has no lines
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        found.extend(in_file(&name, &text));
    }
    Ok(found)
}

/// The breaches in one file, whose name is relative to the repository
pub fn in_file(name: &Path, text: &str) -> Vec<String> {
    let shown = name.display();
    let mut found = Vec::new();
    let is_rust = name.extension().is_some_and(|extension| extension == "rs");
    let lines = text.lines().count();
    if is_rust && lines > MOST_LINES {
        found.push(format!(
            "{shown} has {lines} lines, more than {MOST_LINES}: make it a folder whose file list tells its story, or move \
             its tests to tests.rs beside it"
        ));
    }
    // the tests of a module are introduced by the module
    let is_test_file = name.file_name().is_some_and(|file| file == "tests.rs");
    if is_rust && !is_test_file && !text.starts_with("//! ") {
        found.push(format!("{shown} starts with no `//! ` line: say in one sentence what lives there"));
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = machine_path(line) {
            found.push(format!(
                "{shown}:{} names {path}…, which exists on one machine only: take a path relative to the repository, or an \
                 environment variable",
                number + 1
            ));
        }
    }
    found
}

fn machine_path(line: &str) -> Option<String> {
    MACHINE_FOLDERS.iter().map(|folder| format!("/{folder}/")).find(|path| {
        line.match_indices(path.as_str()).any(|(at, _)| {
            // part of a longer path or of a URL, such as /a/b
            let before = line[..at].chars().next_back();
            !before.is_some_and(|character| character.is_alphanumeric() || "./-_~}*…".contains(character))
        })
    })
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let kind = entry.file_type()?;
            if kind.is_dir() && name != "target" && name != ".git" && name != ".cache" {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_in(name: &str, text: &str) -> String {
        in_file(Path::new(name), text).join("\n")
    }

    #[test]
    fn a_long_or_wordless_rust_file_is_named() {
        let long = "//! Long\n".to_owned() + &"x\n".repeat(MOST_LINES);
        assert!(found_in("a/src/b.rs", &long).contains("a/src/b.rs has 451 lines"));
        assert!(found_in("b.rs", "fn main() {}\n").contains("b.rs starts with no"));
        assert_eq!(found_in("tests.rs", "use super::*;\n"), "");
        assert_eq!(found_in("long.md", &long), "");
    }

    #[test]
    fn a_path_of_one_machine_is_named_with_its_line() {
        for folder in MACHINE_FOLDERS {
            let text = format!("first\nconfig = \"/{folder}/someone/x\"\n");
            assert!(found_in("a.toml", &text).contains("a.toml:2"), "{folder}");
            let url = format!("https://host/{folder}/someone/x and ./{folder}/x\n");
            assert_eq!(found_in("a.toml", &url), "", "{folder}");
        }
    }
}
