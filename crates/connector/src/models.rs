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
