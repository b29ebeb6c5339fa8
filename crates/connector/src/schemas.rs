//! `xconnector schemas check`: what a new version of a schema must be able to read or be read by, and whether the examples obey.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use event_model::{EventSchema, Role, Schemas};

/// Checks the schemas of a folder: of what others write, events and answers, each version reads what was written with the one before; of
/// what we write, commands and replies, each version can be read by who knows the one before; every example obeys the newest, and of what
/// was released nothing is missing or changed in a way that somebody would notice.
///
/// # Errors
/// Every break, one a line; or the folder cannot be read.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) fn check(dir: &Path, released: Option<&Path>) -> anyhow::Result<()> {
    let schemas = Schemas::load(dir)?;
    let mut breaks = Vec::new();
    for (family, versions) in schemas.families() {
        for ((_, old), (_, new)) in versions.iter().zip(versions.iter().skip(1)) {
            breaks.extend(new.can_follow(old).err());
        }
        let Some(newest) = versions.values().next_back() else { continue };
        let examples = examples(&dir.join(&family).join("examples"))?;
        for file in &examples {
            breaks.extend(example(newest, file)?);
        }
        let names: Vec<String> = versions.keys().map(|version| format!("v{version}")).collect();
        println!("{family} ({}): {}, {} examples", newest.role(), names.join(" "), examples.len());
    }
    if let Some(released) = released {
        let before = Schemas::load(released)?;
        breaks.extend(before.names().filter_map(|name| changed(&before, &schemas, name)));
    }
    if breaks.is_empty() {
        println!("{}: all good", dir.display());
        return Ok(());
    }
    bail!("the schemas break\n{}", breaks.join("\n"))
}

/// What was released under a name is read by those who have it, and written by them.
fn changed(before: &Schemas, now: &Schemas, name: &str) -> Option<String> {
    let released = before.get(name)?;
    let Some(now) = now.get(name) else {
        return Some(format!("{name} was released and is gone; records and flows name it"));
    };
    if now.role() != released.role() {
        return Some(format!("{name} described {} when it was released, and now {}", released.role(), now.role()));
    }
    let why = now.can_read(&released).and_then(|()| released.can_read(&now)).err()?;
    Some(format!("{name} was released otherwise: {why}; leave it, and write the next version beside it"))
}

/// The JSON files of a folder, sorted; none where it is not there.
fn examples(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let unreadable = || format!("{} cannot be listed", dir.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn example(schema: &EventSchema, file: &Path) -> anyhow::Result<Option<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let broken = match serde_json::from_str(&text) {
        Ok(value) => {
            let checked = match schema.role() {
                // What is sent is sent as it is.
                Role::Command => schema.check_exactly(&value),
                Role::Event | Role::Reply | Role::Answer => schema.check_json(value).map(drop),
            };
            checked.err().map(|violation| format!("does not obey {}: {violation}", schema.name()))
        }
        Err(error) => Some(format!("is not valid JSON: {error}")),
    };
    Ok(broken.map(|what| format!("{}: {what}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy of the repository's schemas that may be changed.
    fn copy() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in ["ticket/v1.avsc", "ticket/examples/created.json", "outcome/v1.avsc"] {
            let to = dir.path().join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(Path::new("../../schemas").join(path), to).unwrap();
        }
        dir
    }

    fn ticket(dir: &Path, version: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(dir.join("ticket/v1.avsc")).unwrap();
        assert!(text.contains(from));
        std::fs::write(dir.join("ticket").join(version), text.replacen(from, to, 1)).unwrap();
    }

    fn refused(dir: &Path, released: Option<&Path>) -> String {
        check(dir, released).unwrap_err().to_string()
    }

    const TITLE: &str = "\"name\": \"title\"";

    #[test]
    fn our_own_schemas_are_good_and_each_has_examples() {
        let dir = Path::new("../../schemas");
        check(dir, Some(dir)).unwrap();
        for family in Schemas::load(dir).unwrap().families().keys() {
            assert!(!examples(&dir.join(family).join("examples")).unwrap().is_empty(), "{family}");
        }
    }

    /// Writes a version of a schema of its own, with these fields beside `id`.
    fn version(dir: &Path, role: &str, version: &str, more: &str) {
        let folder = dir.join(format!("crm-{role}"));
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            r#"{{"type":"record","name":"Case","xconnector.role":"{role}","fields":[{{"name":"id","type":"string"}}{more}]}}"#
        );
        std::fs::write(folder.join(format!("{version}.avsc")), text).unwrap();
    }

    const NOTE: &str = r#",{"name":"note","type":"string"}"#;
    const OPTIONAL: &str = r#",{"name":"note","type":"string","default":""}"#;

    #[test]
    fn commands_must_still_be_understood_and_answers_still_be_read() {
        let dir = tempfile::tempdir().unwrap();
        version(dir.path(), "command", "v1", "");
        version(dir.path(), "answer", "v1", NOTE);
        check(dir.path(), None).unwrap();
        // a system that knows the old command passes over what is new; we pass over what an old answer has beside ours
        version(dir.path(), "command", "v2", NOTE);
        version(dir.path(), "answer", "v2", "");
        check(dir.path(), None).unwrap();
        version(dir.path(), "command", "v3", "");
        version(dir.path(), "answer", "v3", NOTE);
        let told = refused(dir.path(), None);
        assert!(told.contains("who knows crm-command/v2 cannot read crm-command/v3: "), "{told}");
        assert!(told.contains("crm-answer/v3 cannot read what was written with crm-answer/v2: "), "{told}");
        version(dir.path(), "answer", "v3", OPTIONAL);
        version(dir.path(), "command", "v3", &format!("{NOTE}{}", NOTE.replace("note", "reason")));
        check(dir.path(), None).unwrap();
    }

    #[test]
    fn what_was_released_of_a_command_stays_as_it_was() {
        let (dir, released) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        version(released.path(), "command", "v1", NOTE);
        version(dir.path(), "command", "v1", OPTIONAL);
        check(dir.path(), Some(released.path())).unwrap();
        version(dir.path(), "command", "v1", "");
        let told = refused(dir.path(), Some(released.path()));
        assert!(told.contains("crm-command/v1 was released otherwise: "), "{told}");
        let text = std::fs::read_to_string(released.path().join("crm-command/v1.avsc")).unwrap();
        std::fs::write(dir.path().join("crm-command/v1.avsc"), text.replace("\"command\"", "\"event\"")).unwrap();
        let told = refused(dir.path(), Some(released.path()));
        assert!(told.contains("crm-command/v1 described commands when it was released, and now events"), "{told}");
    }

    #[test]
    fn the_example_of_a_command_is_what_is_sent_to_the_letter() {
        let dir = tempfile::tempdir().unwrap();
        version(dir.path(), "command", "v1", OPTIONAL);
        version(dir.path(), "answer", "v1", OPTIONAL);
        for role in ["command", "answer"] {
            let folder = dir.path().join(format!("crm-{role}/examples"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("one.json"), r#"{"id":"C-1","subject":"more than the schema has"}"#).unwrap();
        }
        let told = refused(dir.path(), None);
        assert!(
            told.contains("does not obey crm-command/v1: $: found a field beside those of the schema, id, note"),
            "{told}"
        );
        assert!(!told.contains("crm-answer"), "{told}");
    }

    #[test]
    fn a_second_version_reads_the_first_and_the_examples_obey_it() {
        let dir = copy();
        ticket(dir.path(), "v2.avsc", TITLE, "\"name\": \"subject\"");
        let told = refused(dir.path(), None);
        assert!(told.contains("ticket/v2 cannot read what was written with ticket/v1"), "{told}");
        assert!(told.contains("created.json: does not obey ticket/v2: $.subject"), "{told}");
        ticket(dir.path(), "v2.avsc", TITLE, "\"name\": \"subject\", \"aliases\": [\"title\"], \"default\": \"none\"");
        check(dir.path(), None).unwrap();
    }

    #[test]
    fn what_was_released_stays_and_stays_the_same() {
        let (dir, released) = (copy(), copy());
        check(dir.path(), Some(released.path())).unwrap();
        ticket(dir.path(), "v1.avsc", TITLE, "\"name\": \"subject\"");
        std::fs::remove_file(dir.path().join("ticket/examples/created.json")).unwrap();
        std::fs::remove_file(dir.path().join("outcome/v1.avsc")).unwrap();
        let told = refused(dir.path(), Some(released.path()));
        assert!(told.contains("ticket/v1 was released otherwise"), "{told}");
        assert!(told.contains("outcome/v1 was released and is gone"), "{told}");
    }
}
