//! A real Flowable with its REST APIs: from the jars of `deploy/flowable`, or the one of `FLOWABLE_URL`

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::parts::{class_path, free_address, repository, with_new_ports};
use crate::process::{Process, Signal};
use crate::wait::{DEADLINE, until};

/// A heap for ten thousand processes in memory (512 MB are full at seven thousand), and UTF-8 as on a server: in the POSIX locale
/// Flowable writes `?` for every letter of a comment that is not ASCII
const JVM: [&str; 5] =
    ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx2g", "-Dfile.encoding=UTF-8"];

/// An engine that answers
#[derive(Debug)]
pub struct Flowable {
    /// Base URL of the process API, without a slash at the end
    process_api: String,
    user: String,
    password: String,
    node: Option<Node>,
}

#[derive(Debug)]
struct Node {
    process: Process,
    address: SocketAddr,
    database: &'static str,
    folder: TempDir,
}

impl Flowable {
    /// The engine that all tests of this process share: business keys, definitions and workers need names of their own, see
    /// [`crate::unique`]. Nobody stops this one; fault tests take [`Flowable::start`].
    ///
    /// `FLOWABLE_URL` is the base of the process API, `http://127.0.0.1:8080/flowable-rest/service` for the stock image; the
    /// external-worker API is expected beside it. `FLOWABLE_USER` and `FLOWABLE_PASSWORD` default to `rest`.
    ///
    /// # Errors
    /// The jars are missing, or the engine did not start: the text ends with its log.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Flowable> = OnceCell::const_new();
        let start = async || match std::env::var("FLOWABLE_URL") {
            Ok(url) if !url.is_empty() => Self::existing(&url).await,
            _ => Self::start_with("jdbc:h2:mem:engine;DB_CLOSE_DELAY=-1").await,
        };
        SHARED.get_or_try_init(start).await
    }

    /// An engine of one's own, to be stopped, frozen, killed and started again; its data are in a file, so they survive that.
    ///
    /// # Errors
    /// As [`Flowable::shared`].
    pub async fn start() -> Result<Self> {
        // without a delay: what was answered is on disk, as with any database that deserves the name
        Self::start_with("jdbc:h2:file:./engine;WRITE_DELAY=0").await
    }

    async fn start_with(database: &'static str) -> Result<Self> {
        with_new_ports(|| Self::start_once(database)).await
    }

    async fn start_once(database: &'static str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xconnector-flowable-").tempdir()?;
        let node = Node::start(folder, free_address()?, database)?;
        let mut engine = Self {
            process_api: format!("http://{}/process-api", node.address),
            user: "rest".to_owned(),
            password: "rest".to_owned(),
            node: Some(node),
        };
        engine.await_answer().await?;
        Ok(engine)
    }

    /// Base URL of the process API: deployments, instances, tasks, history
    pub fn process_api(&self) -> &str {
        &self.process_api
    }

    /// Base URL of the external-worker API
    pub fn job_api(&self) -> String {
        let beside = self.process_api.rsplit_once('/').map_or("", |(parent, _)| parent);
        format!("{beside}/external-job-api")
    }

    /// User name for HTTP Basic
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Password for HTTP Basic
    pub fn password(&self) -> &str {
        &self.password
    }

    /// How the connector's client is told of this engine
    pub fn client_settings(&self) -> workflow_client::Settings {
        let auth =
            workflow_client::Auth::Basic { username: self.user.clone(), password: self.password.as_str().into() };
        let mut settings = workflow_client::Settings::flowable("http://127.0.0.1", auth);
        settings.runtime = self.process_api.clone();
        settings.history = self.process_api.clone();
        settings.jobs = self.job_api();
        settings
    }

    /// Tells the engine's process. Only for an engine of [`Flowable::start`].
    ///
    /// # Errors
    /// This is an engine that the harness did not start.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.own_node()?.process.signal(signal);
        Ok(())
    }

    /// Stops the engine in good order and waits until it is gone.
    ///
    /// # Errors
    /// As [`Flowable::signal`]; or it still runs at the deadline.
    pub async fn stop(&mut self) -> Result<()> {
        self.end(Signal::Terminate).await
    }

    /// Kills the engine as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// As [`Flowable::stop`].
    pub async fn kill(&mut self) -> Result<()> {
        self.end(Signal::Kill).await
    }

    /// Starts a stopped engine again: same address, same data.
    ///
    /// # Errors
    /// As [`Flowable::shared`], or it still runs.
    pub async fn start_again(&mut self) -> Result<()> {
        let node = self.own_node()?;
        ensure!(node.process.ended()?.is_some(), "the engine still runs: stop or kill it first");
        node.process = Process::start("flowable", node.folder.path(), &node.command()?)?;
        self.await_answer().await
    }

    async fn existing(url: &str) -> Result<Self> {
        let from = |name: &str| std::env::var(name).unwrap_or_else(|_| "rest".to_owned());
        let mut engine = Self {
            process_api: url.trim_end_matches('/').to_owned(),
            user: from("FLOWABLE_USER"),
            password: from("FLOWABLE_PASSWORD"),
            node: None,
        };
        engine.await_answer().await?;
        Ok(engine)
    }

    async fn end(&mut self, signal: Signal) -> Result<()> {
        let node = self.own_node()?;
        node.process.signal(signal);
        node.process.wait(DEADLINE).await.map(drop)
    }

    fn own_node(&mut self) -> Result<&mut Node> {
        self.node.as_mut().context("this engine is not ours to stop: fault tests take Flowable::start")
    }

    /// Ready is when a harmless read is answered with 200.
    async fn await_answer(&mut self) -> Result<()> {
        let what = format!("Flowable at {}", self.process_api);
        let client = reqwest::Client::new();
        let url = format!("{}/repository/process-definitions?size=1", self.process_api);
        let read = client.get(url).basic_auth(&self.user, Some(&self.password)).build()?;
        until(&what, DEADLINE, || {
            let running = self.node.as_mut().map_or(Ok(()), |node| node.process.must_run());
            let read = read.try_clone();
            let client = client.clone();
            async move {
                running?;
                let answer = client.execute(read.context("a GET has no body to copy")?).await;
                Ok(answer.is_ok_and(|answer| answer.status() == 200).then_some(()))
            }
        })
        .await
    }
}

impl Node {
    fn start(folder: TempDir, address: SocketAddr, database: &'static str) -> Result<Self> {
        let command = command(folder.path(), address, database)?;
        let process = Process::start("flowable", folder.path(), &command)?;
        Ok(Self { process, address, database, folder })
    }

    fn command(&self) -> Result<Command> {
        command(self.folder.path(), self.address, self.database)
    }
}

fn command(folder: &Path, address: SocketAddr, database: &str) -> Result<Command> {
    let deployed = repository().join("deploy/flowable");
    let settings = deployed.join("application.properties");
    let mut java = Command::new("java");
    // what the server unpacks goes with the folder
    java.arg(format!("-Djava.io.tmpdir={}", folder.display()));
    java.args(JVM).args(["-cp", &class_path("flowable")?]).arg(deployed.join("Main.java"));
    java.arg(format!("--spring.config.location=file:{}", settings.display()));
    java.arg(format!("--server.port={}", address.port()));
    java.arg(format!("--spring.datasource.url={database}"));
    java.current_dir(folder);
    Ok(java)
}
