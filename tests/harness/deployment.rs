//! The tickets flow under names of its own, so that several tests can run it side by side on one broker and one engine

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use emulator::System;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use workflow_client::{Auth, Dialect, Settings};

use crate::connector::{Connector, xconnector};
use crate::flow_copy::Copied;
use crate::parts::{free_address, repository};
use crate::systems::{system_table, systems};
use crate::{Kafka, unique};

/// Settings and a copy of `flows/tickets` in which every name that the outside sees is changed
#[derive(Debug)]
pub struct Deployment {
    folder: Arc<TempDir>,
    /// Of the deployment: several flows may be in it
    name: String,
    /// Of the flow
    id: String,
    settings: String,
}

/// A running connector of a deployment
#[derive(Debug)]
pub struct Instance {
    /// The process
    pub connector: Connector,
    /// Where it serves `/metrics`
    pub metrics: SocketAddr,
}

impl Deployment {
    /// Writes the folder; nothing is contacted. `extra` is added at the end of the settings, as further tables of TOML.
    ///
    /// # Errors
    /// The flow lacks a name that must be changed, or the folder cannot be written.
    pub fn of_tickets(kafka: &Kafka, engine: &Settings, extra: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xconnector-deployment-").tempdir()?;
        let id = unique_id();
        let mut deployment = Self { folder: Arc::new(folder), name: id.clone(), id, settings: String::new() };
        deployment.copy_flow()?;
        let extra = format!("{extra}\n{}", system_table(System::Crm, systems()?));
        deployment.settings = settings(deployment.folder.path(), &deployment.name, kafka, engine, &extra)?;
        Ok(deployment)
    }

    /// The same process with a further flow, which differs in its names. To be called before [`Deployment::set_up`], which sets up
    /// all flows.
    ///
    /// # Errors
    /// The flow's folder cannot be written.
    pub fn twin(&self) -> Result<Self> {
        let (folder, name, settings) = (Arc::clone(&self.folder), self.name.clone(), self.settings.clone());
        let twin = Self { folder, name, id: unique_id(), settings };
        twin.copy_flow()?;
        Ok(twin)
    }

    /// The same process with a further flow of this repository, and a `[[system]]` for each that it asks. To be called before
    /// [`Deployment::set_up`].
    ///
    /// # Errors
    /// The flow's folder cannot be written.
    pub fn beside(&mut self, flow: &str) -> Result<Copied> {
        let copied = Copied::into(&self.folder.path().join("flows"), flow, &unique_id(), &|flow| flow)?;
        for system in copied.systems() {
            let table = system_table(system, systems()?);
            if !self.settings.contains(&table) {
                self.settings.push_str(&table);
            }
        }
        Ok(copied)
    }

    /// Name of the flow, the middle of `xc.<flow>.dlq`
    pub fn flow(&self) -> String {
        format!("tickets-{}", self.id)
    }

    /// Topic that tickets are published to
    pub fn source(&self) -> String {
        format!("crm.{}.tickets.v1", self.id)
    }

    /// Topic that receipts and outcomes come from
    pub fn replies(&self) -> String {
        format!("crm.{}.replies.v1", self.id)
    }

    /// Topic of the dead letters
    pub fn dead_letters(&self) -> String {
        format!("xc.{}.dlq", self.flow())
    }

    /// Key of the process definition
    pub fn definition(&self) -> String {
        format!("triage_{}", self.id)
    }

    /// Consumer group of its instances
    pub fn group(&self) -> String {
        format!("test-{}.{}", self.name, self.flow())
    }

    /// Topic of the jobs that the engine hands out
    pub fn jobs(&self) -> String {
        format!("xc.{}.jobs", self.flow())
    }

    /// Folder of the flow's copy, for tests that need the flow to be different
    pub fn flow_folder(&self) -> PathBuf {
        self.folder.path().join("flows").join(self.flow())
    }

    /// Folder of the settings, for files that they name
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds tables to the settings, for what needs the flow's name
    pub fn add_settings(&mut self, tables: &str) {
        self.settings.push_str(tables);
    }

    /// Makes the topics, each with so many partitions, and deploys the model: what an operator does first.
    ///
    /// # Errors
    /// What the connector says.
    pub async fn set_up(&self, partitions: u32) -> Result<()> {
        let config = self.config(free_address()?)?;
        let config = config.to_str().context("the temporary folder has an odd name")?;
        xconnector(&["topics", "create", "--config", config, "--partitions", &partitions.to_string(), "--all"]).await?;
        xconnector(&["models", "deploy", "--config", config]).await.map(drop)
    }

    /// A settings file for commands that serve no metrics.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn config_file(&self) -> Result<PathBuf> {
        self.config(free_address()?)
    }

    /// Starts an instance of the connector.
    ///
    /// # Errors
    /// It cannot be built or started.
    pub async fn instance(&self) -> Result<Instance> {
        let metrics = free_address()?;
        let connector = Connector::run(&self.config(metrics)?, &[] as &[&str]).await?;
        Ok(Instance { connector, metrics })
    }

    /// Instances differ in nothing but the port of their metrics.
    fn config(&self, metrics: SocketAddr) -> Result<PathBuf> {
        let file = self.folder.path().join(format!("xconnector-{}.toml", metrics.port()));
        std::fs::write(&file, format!("{}[metrics]\nlisten = \"{metrics}\"\n", self.settings))?;
        Ok(file)
    }

    fn copy_flow(&self) -> Result<()> {
        let original = repository().join("flows/tickets");
        let copy = self.folder.path().join("flows").join(self.flow());
        std::fs::create_dir_all(&copy)?;
        let (outcome, owner) = (format!("{}.outcome", self.id), format!("{}.assign-owner", self.id));
        let names = [
            ("name = \"tickets\"", format!("name = {:?}", self.flow())),
            ("crm.tickets.v1", self.source()),
            ("crm.tickets.replies.v1", self.replies()),
            ("\"ticket_triage\"", format!("{:?}", self.definition())),
            ("tickets.outcome", outcome.clone()),
            ("tickets.assign-owner", owner.clone()),
        ];
        rewrite(&original.join("flow.toml"), &copy.join("flow.toml"), &names)?;
        let definition = ("\"ticket_triage\"", format!("{:?}", self.definition()));
        let names = [definition, ("tickets.outcome", outcome), ("tickets.assign-owner", owner)];
        rewrite(&original.join("ticket_triage.bpmn"), &copy.join(format!("{}.bpmn", self.definition())), &names)
    }
}

/// Settings of a deployment in `folder`; the engine's secret is written beside them. `extra` comes at the end, as further tables.
pub(crate) fn settings(folder: &Path, name: &str, kafka: &Kafka, engine: &Settings, extra: &str) -> Result<String> {
    let secret = folder.join("engine-secret");
    let credentials = match &engine.auth {
        Auth::None => String::new(),
        Auth::Basic { username, password } => {
            std::fs::write(secret, password.expose_secret())?;
            format!("username = {username:?}\npassword = {{ file = \"engine-secret\" }}")
        }
        Auth::ClientCredentials { token_url, client_id, client_secret } => {
            std::fs::write(secret, client_secret.expose_secret())?;
            format!(
                "token_url = {token_url:?}\nclient_id = {client_id:?}\nclient_secret = {{ file = \"engine-secret\" }}"
            )
        }
    };
    let dialect = match engine.dialect {
        Dialect::OpenText => "opentext",
        Dialect::Flowable => "flowable",
    };
    Ok(format!(
        "deployment = \"test-{name}\"\nflows = \"flows\"\nschemas = {:?}\n\
         [kafka]\nbootstrap_servers = {:?}\n\
         [engine]\ndialect = \"{dialect}\"\n{credentials}\n\
         urls = {{ runtime = {:?}, history = {:?}, jobs = {:?} }}\n{extra}\n",
        repository().join("schemas"),
        kafka.bootstrap(),
        engine.runtime,
        engine.history,
        engine.jobs,
    ))
}

pub(crate) fn unique_id() -> String {
    unique("t").replace('.', "")[..9].to_owned()
}

fn rewrite(from: &Path, to: &Path, names: &[(&str, String)]) -> Result<()> {
    let mut text = std::fs::read_to_string(from)?;
    for (name, own) in names {
        ensure!(text.contains(name), "{} no longer holds {name}: correct tests/harness/deployment.rs", from.display());
        text = text.replace(name, own);
    }
    Ok(std::fs::write(to, text)?)
}
