//! What integrators and operators do: they change a flow's file, and they run commands

use promises::{Deployment, connector_binary, xconnector};
use serde_json::Value;
use tokio::process::Command;

/// Changes the flow's file, as an integrator would.
pub(crate) fn edit(deployment: &Deployment, from: &str, to: &str) {
    let file = deployment.flow_folder().join("flow.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
}

/// Lets surplus instances of one event be ended.
pub(crate) fn allow_deletion(deployment: &Deployment) {
    edit(deployment, "[flow]\n", "[flow]\ncompensate = \"delete\"\n");
}

/// Runs a command for the flow: exit code, and what the operator reads.
pub(crate) async fn operator(deployment: &Deployment, command: &[&str], more: &[&str]) -> (i32, String) {
    let (config, flow) = (deployment.config_file().unwrap(), deployment.flow());
    let mut program = Command::new(connector_binary().await.unwrap());
    let output = program.args(command).args(["--flow", &flow, "--config"]).arg(config).args(more).output().await;
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

/// The dead letters as `xconnector dlq list --json` shows them.
pub(crate) async fn dead_letters(deployment: &Deployment) -> Vec<Value> {
    let (config, flow) = (deployment.config_file().unwrap(), deployment.flow());
    let told = xconnector(&["dlq", "list", "--json", "--config", config.to_str().unwrap(), "--flow", &flow]).await;
    serde_json::from_str(&told.unwrap()).unwrap()
}
