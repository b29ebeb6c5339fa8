//! `xconnector new flow`: a folder that passes `check` and runs at once, to be changed into what is wanted.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// What a new flow consists of: where each file goes, below the folder of flows or of schemas, and its text.
const FLOW: &str = include_str!("../templates/flow.toml");
const MODEL: &str = include_str!("../templates/model.bpmn");
const PLAY: &str = include_str!("../templates/play.toml");
const EXPECTED: &str = include_str!("../templates/approved.json");
const SCHEMA: &str = include_str!("../templates/v1.avsc");
const EXAMPLES: [(&str, &str); 2] = [
    ("created.json", include_str!("../templates/created.json")),
    ("withdrawn.json", include_str!("../templates/withdrawn.json")),
];
/// The longest name: it is part of topics, groups and file names.
const MOST: usize = 60;

/// Writes the folder of a new flow with what the demonstration plays of it, its schema and examples.
///
/// # Errors
/// The name cannot be one, something of it is there already, or a file cannot be written.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) fn flow(name: &str, flows: &Path, schemas: &Path) -> anyhow::Result<()> {
    for file in write(name, flows, schemas)? {
        println!("wrote {}", file.display());
    }
    println!("next: xconnector check, xconnector topics create --all, xconnector models deploy, xconnector run");
    Ok(())
}

pub(crate) fn write(name: &str, flows: &Path, schemas: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= MOST && name.chars().all(allowed);
    ensure!(
        good,
        "{name:?} cannot name a flow: use up to {MOST} lower-case letters, digits and -, beginning with a letter"
    );
    let (flow, schema) = (flows.join(name), schemas.join(name));
    for taken in [&flow, &schema] {
        ensure!(!taken.exists(), "{} is there already; choose another name", taken.display());
    }
    // The id of a process is an XML name, and part of a schema's namespace.
    let process = name.replace('-', "_");
    let mut files = vec![
        (flow.join("flow.toml"), FLOW),
        (flow.join(format!("{process}.bpmn")), MODEL),
        (flow.join("play.toml"), PLAY),
        (flow.join("expected/approved.json"), EXPECTED),
        (flow.join("examples/created.json"), EXAMPLES[0].1),
        (schema.join("v1.avsc"), SCHEMA),
    ];
    files.extend(EXAMPLES.iter().map(|(file, text)| (schema.join("examples").join(file), *text)));
    let mut written = Vec::new();
    for (file, text) in files {
        let cannot = || format!("{} cannot be written", file.display());
        std::fs::create_dir_all(file.parent().unwrap_or(&file)).with_context(cannot)?;
        let text = text.replace("{name}", name).replace("{process}", &process);
        std::fs::write(&file, text).with_context(cannot)?;
        written.push(file);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use event_model::Schemas;
    use flow_config::Dialect;

    use super::*;

    #[test]
    fn a_new_flow_passes_every_check_for_both_engines() {
        let dir = tempfile::tempdir().unwrap();
        let (flows, schemas) = (dir.path().join("flows"), dir.path().join("schemas"));
        write("equipment-loan", &flows, &schemas).unwrap();
        crate::schemas::check(&schemas, None).unwrap();
        let report = flow_config::check(&flows, &Schemas::load(&schemas).unwrap());
        assert!(report.is_ok(), "{report}");
        let flow = &report.flows[0];
        assert_eq!((&*flow.name, flow.models.len(), flow.jobs.len()), ("equipment-loan", 1, 1));
        for dialect in [Dialect::Flowable, Dialect::OpenText] {
            assert_eq!(crate::models::problems(&report.flows, dialect).unwrap(), []);
        }
        #[cfg(feature = "demo")]
        {
            let model = std::fs::read_to_string(&flow.models[0]).unwrap();
            let model = flow_config::translate(&model, &flow.models[0], Dialect::OpenText).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let engine = runtime.block_on(emulator::Emulator::start(emulator::Options::default())).unwrap();
            assert_eq!(engine.deploy(&model).unwrap(), ["equipment_loan"], "the engine would run it");
        }
    }

    #[test]
    fn what_is_there_is_not_overwritten_and_a_bad_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write("loan", dir.path(), &dir.path().join("schemas")).unwrap();
        assert!(
            write("loan", dir.path(), &dir.path().join("schemas"))
                .unwrap_err()
                .to_string()
                .contains("is there already")
        );
        for bad in ["", "Loan", "1loan", "../x", "a b", "a_b", &"a".repeat(61)] {
            assert!(write(bad, dir.path(), dir.path()).is_err(), "{bad}");
        }
    }
}
