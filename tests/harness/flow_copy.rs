//! Any flow of this repository under names of its own, so that several tests can run it side by side on one broker and one engine

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use emulator::System;
use tempfile::TempDir;
use toml::{Table, Value};
use workflow_client::Settings;

use crate::connector::{Connector, xconnector};
use crate::deployment::{settings, unique_id};
use crate::parts::{free_address, repository};
use crate::{Instance, Kafka};

/// A copy of a flow in which every name that the outside sees ends differently
#[derive(Debug)]
pub struct Copied(Table);

/// Such a copy, and settings for it alone
#[derive(Debug)]
pub struct FlowCopy {
    folder: TempDir,
    settings: String,
    id: String,
    flow: Copied,
}

impl Copied {
    /// Writes a copy of `flow` below the folder `flows`; `change` makes something different in the flow's file and its models.
    pub(crate) fn into(flows: &Path, flow: &str, id: &str, change: &dyn Fn(String) -> String) -> Result<Self> {
        let original = repository().join("flows").join(flow);
        let text = change(std::fs::read_to_string(original.join("flow.toml"))?);
        let names = names(&text.parse()?);
        let copy = flows.join(format!("{flow}-{id}"));
        std::fs::create_dir_all(&copy)?;
        let own = |text: String| {
            let text = text.replace(&format!("/intake/{flow}/"), &format!("/intake/{flow}-{id}/"));
            names.iter().fold(text, |text, name| text.replace(&format!("\"{name}\""), &format!("\"{name}-{id}\"")))
        };
        for file in std::fs::read_dir(original)? {
            let file = file?;
            let name = file.file_name();
            if name.to_string_lossy().ends_with(".bpmn") {
                std::fs::write(copy.join(&name), own(change(std::fs::read_to_string(file.path())?)))?;
            }
        }
        let text = own(text);
        std::fs::write(copy.join("flow.toml"), &text)?;
        Ok(Self(text.parse()?))
    }

    /// Its name, the middle of `xc.<flow>.dlq`
    pub fn name(&self) -> &str {
        self.at(&["flow", "name"]).and_then(Value::as_str).unwrap_or_default()
    }

    /// Topic that events are published to
    pub fn source(&self) -> &str {
        self.at(&["source", "topics"]).and_then(|topics| topics.get(0)).and_then(Value::as_str).unwrap_or_default()
    }

    /// Topic that receipts and outcomes come from
    pub fn replies(&self) -> &str {
        self.at(&["reply", "topic"]).and_then(Value::as_str).unwrap_or_default()
    }

    /// Topic of the dead letters
    pub fn dead_letters(&self) -> String {
        format!("xc.{}.dlq", self.name())
    }

    /// Keys of the processes that it starts
    pub fn definitions(&self) -> Vec<&str> {
        named(&self.0, "step", "start")
    }

    /// The systems that its jobs ask, each once
    pub fn systems(&self) -> Vec<System> {
        let jobs = self.0.get("job").and_then(Value::as_array).into_iter().flatten();
        let asked: Vec<&str> = jobs.filter_map(|job| job.get("call")?.get("system")?.as_str()).collect();
        System::ALL.into_iter().filter(|system| asked.contains(&system.name().as_str())).collect()
    }

    fn at(&self, path: &[&str]) -> Option<&Value> {
        let (last, tables) = path.split_last()?;
        tables.iter().try_fold(&self.0, |table, name| table.get(*name)?.as_table())?.get(*last)
    }
}

impl FlowCopy {
    /// Writes the folder; nothing is contacted. `extra` is added at the end of the settings, as further tables of TOML in which the flow has
    /// its old name; `change` makes
    /// something different in the flow's file and its models.
    ///
    /// # Errors
    /// The flow cannot be read, or the folder cannot be written.
    pub fn of(
        flow: &str,
        kafka: &Kafka,
        engine: &Settings,
        extra: &str,
        change: &dyn Fn(String) -> String,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xconnector-flow-").tempdir()?;
        let id = unique_id();
        let copied = Copied::into(&folder.path().join("flows"), flow, &id, change)?;
        let extra = extra.replace(&format!("flow = \"{flow}\""), &format!("flow = \"{}\"", copied.name()));
        let settings = settings(folder.path(), &id, kafka, engine, &extra)?;
        Ok(Self { folder, settings, id, flow: copied })
    }

    /// The consumer group of the flow
    pub fn group(&self) -> String {
        format!("test-{}.{}", self.id, self.flow.name())
    }

    /// The flow
    pub fn flow(&self) -> &Copied {
        &self.flow
    }

    /// Makes the topics, deploys the model, and starts an instance of the connector.
    ///
    /// # Errors
    /// What the connector says.
    pub async fn started(&self, partitions: u32) -> Result<Instance> {
        let (file, _) = self.config()?;
        let config = file.to_str().context("the temporary folder has an odd name")?;
        xconnector(&["topics", "create", "--config", config, "--partitions", &partitions.to_string(), "--all"]).await?;
        xconnector(&["models", "deploy", "--config", config]).await?;
        self.instance().await
    }

    /// Starts an instance of the connector, where everything is there already.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn instance(&self) -> Result<Instance> {
        let (file, metrics) = self.config()?;
        let connector = Connector::run(&file, &[] as &[&str]).await?;
        Ok(Instance { connector, metrics })
    }

    fn config(&self) -> Result<(PathBuf, SocketAddr)> {
        let (file, metrics) = (self.folder.path().join("xconnector.toml"), free_address()?);
        std::fs::write(&file, format!("{}\n[metrics]\nlisten = \"{metrics}\"\n", self.settings))?;
        Ok((file, metrics))
    }
}

/// What the outside sees of a flow: its own name, topics, processes, external-worker topics.
fn names(flow: &Table) -> Vec<String> {
    let text = |table: &str, field: &str| flow.get(table).and_then(|table| table.get(field)?.as_str());
    let topics = flow.get("source").and_then(|source| source.get("topics")?.as_array()).into_iter().flatten();
    let mut names: Vec<String> = topics.filter_map(Value::as_str).map(str::to_owned).collect();
    names.extend(text("flow", "name").map(str::to_owned));
    names.extend(text("reply", "topic").map(str::to_owned));
    for (table, field) in [("step", "start"), ("step", "definition"), ("step", "terminate"), ("job", "topic")] {
        names.extend(named(flow, table, field).into_iter().map(str::to_owned));
    }
    names.sort();
    names.dedup();
    names
}

fn named<'a>(flow: &'a Table, table: &str, field: &str) -> Vec<&'a str> {
    let tables = flow.get(table).and_then(Value::as_array).into_iter().flatten();
    tables.filter_map(|table| table.get(field)?.as_str()).collect()
}
