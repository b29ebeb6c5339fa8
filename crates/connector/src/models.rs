//! `xconnector models deploy`.

use anyhow::Context;

use crate::setup::{self, Setup};

/// Deploys the BPMN files of the flows.
///
/// # Errors
/// What the engine says, with the file's name.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn deploy(setup: Setup, only: Option<&str>) -> anyhow::Result<()> {
    let engine = setup::engine(&setup.settings.engine)?;
    for flow in setup::chosen(&setup.flows, only)? {
        for file in &flow.models {
            let xml = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
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
