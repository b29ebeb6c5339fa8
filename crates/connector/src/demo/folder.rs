//! The folder of a demonstration: flow, schemas and settings as files, so that the very path of `xconnector run` is taken.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use emulator::{EmbeddedBroker, Emulator};

use super::wire::SCHEMA_ID;

/// The files of this repository that the demonstration needs; they are part of the binary.
const FILES: [(&str, &str); 5] = [
    ("flows/tickets/flow.toml", include_str!("../../../../flows/tickets/flow.toml")),
    ("flows/tickets/ticket_triage.bpmn", MODEL),
    ("schemas/ticket/v1.avsc", include_str!("../../../../schemas/ticket/v1.avsc")),
    ("schemas/outcome/v1.avsc", include_str!("../../../../schemas/outcome/v1.avsc")),
    ("schemas/receipt/v1.avsc", include_str!("../../../../schemas/receipt/v1.avsc")),
];

/// The process model of the flow.
pub(super) const MODEL: &str = include_str!("../../../../flows/tickets/ticket_triage.bpmn");

/// What a reader writes to run the same flow for real.
pub(super) const REAL_SETTINGS: &str = r#"deployment = "crm-test"

[kafka]
bootstrap_servers = "kafka-1:9092"

[engine]
dialect = "opentext"
token_url = "https://us.api.opentext.com/tenants/TENANT/oauth2/token"
client_id = "xconnector"
client_secret = { env = "WORKFLOW_CLIENT_SECRET" }

[engine.urls]
runtime = "https://us.api.opentext.com/workflow/v1"
history = "https://us.api.opentext.com/workflow-history/v1"
jobs    = "https://us.api.opentext.com/workflow-job/v1"
"#;

/// The same for the other engine.
pub(super) const FLOWABLE_ENGINE: &str = r#"[engine]
dialect = "flowable"
urls = "http://localhost:8080"
username = "rest-admin"
password = { env = "FLOWABLE_PASSWORD" }
"#;

/// The files of one run. They stay when it ends: the log and the settings are worth a look.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, with the flow and its schemas in it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn create() -> anyhow::Result<Folder> {
        let path = tempfile::Builder::new().prefix("xconnector-demo-").tempdir().context("no temporary folder")?.keep();
        for (name, content) in FILES {
            write(&path.join(name), content)?;
        }
        Ok(Folder { path })
    }

    /// Where the log goes.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("xconnector.log")
    }

    /// Where the settings are.
    pub(super) fn settings(&self) -> PathBuf {
        self.path.join("xconnector.toml")
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the settings that lead to this broker and this workflow service.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn write_settings(
        &self,
        broker: &EmbeddedBroker,
        emulator: &Emulator,
        metrics: SocketAddr,
    ) -> anyhow::Result<()> {
        let secret = "client-secret";
        write(&self.path.join(secret), emulator.client_secret())?;
        let text = format!(
            r#"deployment = "demo"

[kafka]
bootstrap_servers = "{servers}"
delivery = "at-least-once"    # the embedded broker has no transactions
group_protocol = "classic"    # nor the new group protocol

[engine]
dialect = "opentext"
urls = {{ runtime = "{runtime}", history = "{history}", jobs = "{jobs}" }}
token_url = "{token}"
client_id = "{client}"
client_secret = {{ file = "{secret}" }}
history_lag = "200ms"
settle = "5s"

[jobs]
poll_interval = "200ms"

[metrics]
listen = "{metrics}"

[schema_ids]
{SCHEMA_ID} = "ticket/v1"
"#,
            servers = broker.bootstrap_servers(),
            runtime = emulator.runtime_url(),
            history = emulator.history_url(),
            jobs = emulator.jobs_url(),
            token = emulator.token_url(),
            client = emulator.client_id(),
        );
        write(&self.settings(), &text)
    }
}

fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    let cannot = || format!("{} cannot be written", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(cannot)?;
    }
    std::fs::write(path, content).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use flow_config::{Environment, Settings};

    use super::*;

    #[test]
    fn the_settings_that_are_shown_for_a_real_run_are_good() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("xconnector.toml");
        write(&file, REAL_SETTINGS).unwrap();
        let environment = Environment::of([("WORKFLOW_CLIENT_SECRET", "s")]);
        let settings = Settings::load_with(&file, &environment).unwrap();
        assert_eq!(settings.kafka.bootstrap_servers, "kafka-1:9092");

        let (head, _) = REAL_SETTINGS.split_once("[engine]").unwrap();
        write(&file, &format!("{head}{FLOWABLE_ENGINE}")).unwrap();
        let environment = Environment::of([("FLOWABLE_PASSWORD", "s")]);
        assert!(Settings::load_with(&file, &environment).is_ok());
    }

    #[tokio::test]
    async fn the_folder_passes_the_check_of_the_connector() {
        let folder = Folder::create().unwrap();
        let broker = EmbeddedBroker::start(1).unwrap();
        let emulator = Emulator::start(emulator::Options::default()).await.unwrap();
        folder.write_settings(&broker, &emulator, ([127, 0, 0, 1], 9464).into()).unwrap();
        let setup = crate::setup::load(&folder.settings()).unwrap();
        assert_eq!(setup.flows.len(), 1);
        std::fs::remove_dir_all(folder.path()).unwrap();
    }
}
