//! A real Apache Kafka: one KRaft node from the jars of `deploy/kafka`, or the cluster of `KAFKA_BOOTSTRAP_SERVERS`

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::parts::{class_path, free_address, repository, with_new_ports};
use crate::process::{Process, Signal};
use crate::wait::{DEADLINE, until};

/// Small and quick to start: a test broker lives for minutes
const JVM: [&str; 5] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xms256m", "-Xmx512m"];

/// Any 16 bytes in URL-safe base64
const CLUSTER_ID: &str = "eENvbm5lY3RvclRlc3RzMA";

/// Seconds in which nothing was written in a transaction: longer than the broker bears one of ours
const FORGOTTEN_AFTER: &str = "30";

/// A broker that answers
#[derive(Debug)]
pub struct Kafka {
    bootstrap: String,
    node: Option<Node>,
}

#[derive(Debug)]
struct Node {
    process: Process,
    folder: TempDir,
}

impl Kafka {
    /// The broker that all tests of this process share: topics and groups need names of their own, see [`crate::unique`].
    /// Nobody stops this one; fault tests take [`Kafka::start`].
    ///
    /// # Errors
    /// The jars are missing, or the broker did not start: the text ends with its log.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        let start = async || match std::env::var("KAFKA_BOOTSTRAP_SERVERS") {
            Ok(bootstrap) if !bootstrap.is_empty() => {
                await_metadata(&bootstrap, || Ok(())).await?;
                Ok(Self { bootstrap, node: None })
            }
            _ => Self::start().await,
        };
        SHARED.get_or_try_init(start).await
    }

    /// A broker of one's own, to be stopped, frozen, killed and started again
    ///
    /// # Errors
    /// As [`Kafka::shared`].
    pub async fn start() -> Result<Self> {
        with_new_ports(Self::start_once).await
    }

    async fn start_once() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xconnector-kafka-").tempdir()?;
        let broker = free_address()?;
        write_properties(folder.path(), broker, free_address()?)?;
        format_storage(folder.path()).await?;
        let process = Process::start("broker", folder.path(), &broker_command(folder.path())?)?;
        let mut node = Node { process, folder };
        let bootstrap = broker.to_string();
        await_metadata(&bootstrap, || node.process.must_run()).await?;
        Ok(Self { bootstrap, node: Some(node) })
    }

    /// `host:port` for clients
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Client settings that name this broker and nothing else
    pub fn client(&self) -> ClientConfig {
        let mut settings = ClientConfig::new();
        // as the connector's clients: see `setup::properties`
        settings.set("bootstrap.servers", &self.bootstrap).set("metadata.recovery.strategy", "none");
        settings
    }

    /// Tells the broker's process. Only for a broker of [`Kafka::start`].
    ///
    /// # Errors
    /// This is a cluster that the harness did not start.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.own_node()?.process.signal(signal);
        Ok(())
    }

    /// Stops the broker in good order and waits until it is gone.
    ///
    /// # Errors
    /// As [`Kafka::signal`]; or it still runs at the deadline.
    pub async fn stop(&mut self) -> Result<()> {
        self.end(Signal::Terminate).await
    }

    /// Kills the broker as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// As [`Kafka::stop`].
    pub async fn kill(&mut self) -> Result<()> {
        self.end(Signal::Kill).await
    }

    /// Starts a stopped broker again: same address, same data.
    ///
    /// # Errors
    /// As [`Kafka::shared`], or it still runs.
    pub async fn start_again(&mut self) -> Result<()> {
        let bootstrap = self.bootstrap.clone();
        let node = self.own_node()?;
        ensure!(node.process.ended()?.is_some(), "the broker still runs: stop or kill it first");
        node.process = Process::start("broker", node.folder.path(), &broker_command(node.folder.path())?)?;
        await_metadata(&bootstrap, || node.process.must_run()).await
    }

    /// Ends transactions that stand open in a partition and that their coordinator has forgotten, as an operator does; one line for each.
    ///
    /// # Errors
    /// The jars are missing, or the broker refused; the text has what it said.
    pub async fn end_hanging_transactions(&self) -> Result<Vec<String>> {
        let mut command = tokio::process::Command::from(java()?);
        command.arg(repository().join("deploy/kafka/EndHanging.java")).args([&self.bootstrap, FORGOTTEN_AFTER]);
        let output = command.kill_on_drop(true).output().await?;
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "EndHanging ended with {}:\n{said}{wrong}", output.status);
        Ok(said.lines().map(str::to_owned).collect())
    }

    async fn end(&mut self, signal: Signal) -> Result<()> {
        let node = self.own_node()?;
        node.process.signal(signal);
        node.process.wait(DEADLINE).await.map(drop)
    }

    fn own_node(&mut self) -> Result<&mut Node> {
        self.node.as_mut().context("this cluster is not ours to stop: fault tests take Kafka::start")
    }
}

fn write_properties(folder: &Path, broker: SocketAddr, controller: SocketAddr) -> Result<()> {
    let template = std::fs::read_to_string(repository().join("deploy/kafka/server.properties"))?;
    let properties = template
        .replace("@PORT@", &broker.port().to_string())
        .replace("@CONTROLLER_PORT@", &controller.port().to_string())
        .replace("@DATA@", &folder.join("data").display().to_string());
    Ok(std::fs::write(folder.join("server.properties"), properties)?)
}

async fn format_storage(folder: &Path) -> Result<()> {
    let mut format = java()?;
    format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(folder.join("server.properties"));
    let mut process = Process::start("storage", folder, &format)?;
    let status = process.wait(DEADLINE).await?;
    ensure!(status.success(), "Kafka could not format its storage:\n{}", process.log());
    Ok(())
}

fn broker_command(folder: &Path) -> Result<Command> {
    let mut broker = java()?;
    broker.arg("kafka.Kafka").arg(folder.join("server.properties"));
    Ok(broker)
}

fn java() -> Result<Command> {
    let logging = repository().join("deploy/kafka/log4j2.properties");
    let mut java = Command::new("java");
    java.args(JVM)
        .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
        .args(["-cp", &class_path("kafka")?]);
    Ok(java)
}

/// Ready is when a client gets the metadata: the log line comes earlier.
async fn await_metadata(bootstrap: &str, mut must_run: impl FnMut() -> Result<()>) -> Result<()> {
    let what = format!("Kafka at {bootstrap}");
    // librdkafka would tell every refused connection of the first seconds on stderr
    let client: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("log_level", "0")
        .set("metadata.recovery.strategy", "none")
        .create()?;
    let client = Arc::new(client);
    until(&what, DEADLINE, || {
        let running = must_run();
        let client = Arc::clone(&client);
        async move {
            running?;
            let metadata = tokio::task::spawn_blocking(move || {
                client
                    .client()
                    .fetch_metadata(None, Duration::from_millis(500))
                    .map(|metadata| metadata.brokers().len())
            });
            Ok(metadata.await?.is_ok_and(|brokers| brokers > 0).then_some(()))
        }
    })
    .await
}
