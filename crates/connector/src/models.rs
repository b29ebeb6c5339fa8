//! `xconnector models`: the BPMN files of the flows, as the engine wants them.

use std::path::Path;

use anyhow::Context;
use flow_config::{Dialect, Flow, Problem};

use crate::setup::{self, BadConfiguration, Setup};

/// Deploys the BPMN files of the flows, with their extensions in the namespace of the engine.
///
/// # Errors
/// What the engine lacks, or what it says, with the file's name.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn deploy(setup: Setup, only: Option<&str>) -> anyhow::Result<()> {
    let engine = setup::engine(&setup.settings.engine)?;
    for flow in setup::chosen(&setup.flows, only)? {
        for file in &flow.models {
            let xml = flow_config::translate(&read(file)?, file, setup.settings.engine.dialect)
                .map_err(|problems| BadConfiguration::of(&problems))?;
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("model");
            let name = format!("{}.bpmn20.xml", stem.trim_end_matches(".bpmn20"));
            let definitions = engine
                .deploy(&name, &xml)
                .await
                .with_context(|| format!("{}: the engine did not take the model", file.display()))?;
            for definition in definitions {
                println!("{}: {} version {}", flow.name, definition.key, definition.version.unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// Draws every model below `flows`, or says which pictures are not those of their models.
///
/// # Errors
/// A model that lacks its diagram, with the lines; a picture that cannot be written, or is not current.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) fn draw(flows: &Path, check: bool) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for flow in std::fs::read_dir(flows).with_context(|| format!("{} cannot be listed", flows.display()))? {
        let folder = flow?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&folder)? {
            let file = file?.path();
            if file.extension().is_none_or(|extension| extension != "bpmn") {
                continue;
            }
            let picture =
                flow_config::picture(&read(&file)?, &file).map_err(|problems| BadConfiguration::of(&problems))?;
            let drawn = file.with_extension("svg");
            if check && std::fs::read_to_string(&drawn).ok().as_deref() != Some(&picture) {
                let help = "run `xconnector models draw`";
                stale.push(Problem::of_file(&drawn, "is not the picture of its model".to_owned(), help));
            } else if !check {
                std::fs::write(&drawn, picture).with_context(|| format!("{} cannot be written", drawn.display()))?;
                println!("{}", drawn.display());
            }
        }
    }
    if stale.is_empty() { Ok(()) } else { Err(BadConfiguration::of(&stale).into()) }
}

/// What the models of the flows have that the engine lacks.
///
/// # Errors
/// A model cannot be read.
pub(crate) fn problems(flows: &[Flow], dialect: Dialect) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for file in flows.iter().flat_map(|flow| &flow.models) {
        problems.extend(flow_config::translate(&read(file)?, file, dialect).err().into_iter().flatten());
    }
    Ok(problems)
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}
