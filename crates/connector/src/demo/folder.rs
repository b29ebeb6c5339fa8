//! The folder of a demonstration: flows, schemas and settings as files, so that the very path of `xconnector run` is taken.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use emulator::{EmbeddedBroker, Emulator, System, Systems};
use include_dir::{Dir, include_dir};

use super::wire::SCHEMA_ID;

/// The folders of this repository that the demonstration needs; they are part of the binary.
const FOLDERS: [(&str, &Dir<'_>); 2] = [("flows", &FLOWS), ("schemas", &SCHEMAS)];
static FLOWS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../flows");
static SCHEMAS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../schemas");

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
    /// Makes the folder, with the flows and their schemas in it; those of `with` come to them, or take their place.
    ///
    /// # Errors
    /// It cannot be written, or `with` cannot be read.
    pub(super) fn create(with: Option<&Path>) -> anyhow::Result<Folder> {
        let path = tempfile::Builder::new().prefix("xconnector-demo-").tempdir().context("no temporary folder")?.keep();
        for (name, folder) in FOLDERS {
            let target = path.join(name);
            std::fs::create_dir_all(&target)
                .and_then(|()| folder.extract(&target))
                .with_context(|| format!("{} cannot be written", target.display()))?;
            if let Some(with) = with {
                copy(&with.join(name), &target)?;
            }
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
        systems: &Systems,
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
        let systems = System::ALL.map(|system| {
            let name = system.name();
            format!("\n[[system]]\nname = {name:?}\nurl = \"{}\"\nauth = \"none\"\n", systems.url(system))
        });
        write(&self.settings(), &(text + &systems.concat()))
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("{} cannot be written", to.display()))?;
    let cannot = || format!("{} cannot be read", from.display());
    for entry in std::fs::read_dir(from).with_context(cannot)? {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).with_context(cannot)?;
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).with_context(|| format!("{} cannot be copied", path.display()))?;
        }
    }
    Ok(())
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

    use super::super::play::Script;
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
        let more = tempfile::tempdir().unwrap();
        crate::scaffold::write("loans", &more.path().join("flows"), &more.path().join("schemas")).unwrap();
        let folder = Folder::create(Some(more.path())).unwrap();
        let broker = EmbeddedBroker::start(1).unwrap();
        let emulator = Emulator::start(emulator::Options::default()).await.unwrap();
        let systems = Systems::start(&[]).await.unwrap();
        folder.write_settings(&broker, &emulator, &systems, ([127, 0, 0, 1], 9464).into()).unwrap();
        let setup = crate::setup::load(&folder.settings()).unwrap();
        assert_eq!(setup.flows.len(), 8, "seven, and the one that was added");
        for flow in &setup.flows {
            assert!(&*flow.name == "tickets" || !Script::of(&flow.name, &flow.file).unwrap().is_empty());
        }
        std::fs::remove_dir_all(folder.path()).unwrap();
    }
}
