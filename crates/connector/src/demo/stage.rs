//! The parts of a demonstration: broker, workflow service, the connector itself, and those who use them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use consumer_engine::{CONTROL_TOPIC, ledger_topic, state_topic};
use emulator::demo::{Desk, Publisher, Received, Tail, Totals};
use emulator::{BrokerError, EmbeddedBroker, Emulator, Options, Switches, Systems};
use event_model::{DeadLetter, EventSchema, JobRecord, Schemas, replay_topic_of};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::folder::Folder;
use super::plan::PEOPLE;
use super::play::Script;
use crate::{run, setup};

const PARTITIONS: i32 = 4;
/// History that is a little late, as in the real service; the settings of the connector allow for it.
const HISTORY_LAG_MS: u64 = 100;

/// Longest wait for the connector's partitions.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Everything that runs.
pub(super) struct Stage {
    /// The workflow service.
    pub emulator: Emulator,
    /// The systems that processes ask.
    pub systems: Systems,
    /// The connector.
    pub connector: JoinHandle<anyhow::Result<()>>,
    /// Stops the connector.
    pub stop: watch::Sender<bool>,
    /// The schema of tickets.
    pub schema: Arc<EventSchema>,
    /// What publishes to a flow, by its name.
    pub sources: BTreeMap<String, Publisher>,
    /// What is to be played beside the tickets.
    pub scripts: Vec<Script>,
    /// The flow that a topic of replies or dead letters belongs to.
    pub flow_of: BTreeMap<String, String>,
    /// One desk for each of [`PEOPLE`].
    pub desks: Vec<Arc<Desk>>,
    /// Reads the reply topics and the dead letters.
    pub tail: Tail,
    /// What it reads.
    pub answers: mpsc::UnboundedReceiver<Result<Received, BrokerError>>,
    metrics: SocketAddr,
    /// The broker. Ends last.
    pub broker: EmbeddedBroker,
}

impl Stage {
    /// Starts the parts; the connector takes the same way as `xconnector run`.
    ///
    /// # Errors
    /// A part does not start.
    pub(super) async fn start(folder: &Folder) -> anyhow::Result<Stage> {
        let broker = EmbeddedBroker::start(1)?;
        let switches = Switches { history_lag_ms: HISTORY_LAG_MS, ..Switches::default() };
        let emulator = Emulator::start(Options { switches, ..Options::default() }).await?;
        let systems = Systems::start(&[]).await?;
        let metrics = free_address()?;
        folder.write_settings(&broker, &emulator, &systems, metrics)?;
        let setup = setup::load(&folder.settings())?;
        broker.create_topic(CONTROL_TOPIC, 1)?;
        let schema = Schemas::load(&setup.settings.schemas)?.get("ticket/v1").context("no schema of tickets")?;
        let (mut sources, mut flow_of, mut scripts) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for flow in &setup.flows {
            for model in &flow.models {
                let cannot = || format!("{}", model.display());
                emulator.deploy(&std::fs::read_to_string(model).with_context(cannot)?).with_context(cannot)?;
            }
            let source = flow.source.topics.first().with_context(|| format!("{} reads nothing", flow.name))?;
            let own = [JobRecord::topic_of, DeadLetter::topic_of, ledger_topic, state_topic, replay_topic_of];
            for topic in own.map(|of| of(&flow.name)).iter().map(String::as_str).chain([&**source, &*flow.reply.topic])
            {
                broker.create_topic(topic, PARTITIONS)?;
            }
            for topic in [flow.reply.topic.to_string(), DeadLetter::topic_of(&flow.name)] {
                flow_of.insert(topic, flow.name.to_string());
            }
            sources.insert(flow.name.to_string(), Publisher::connect(broker.bootstrap_servers(), source)?);
            scripts.extend(Script::of(&flow.name, &flow.file)?);
        }
        let read: Vec<&str> = flow_of.keys().map(String::as_str).collect();
        let (tail, answers) = Tail::start(broker.bootstrap_servers(), &read)?;
        let mut desks = Vec::new();
        for name in PEOPLE {
            desks.push(Arc::new(Desk::sign_in(&emulator, name).await?));
        }
        let (stop, stopping) = watch::channel(false);
        let connector = tokio::spawn(run::run_until(setup, stopping));
        Ok(Stage {
            emulator,
            systems,
            connector,
            stop,
            schema,
            sources,
            scripts,
            flow_of,
            desks,
            tail,
            answers,
            metrics,
            broker,
        })
    }

    /// Where the connector tells its metrics.
    pub(super) fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.metrics)
    }

    /// Waits until the connector holds partitions, so that the tickets' times are not those of its start.
    ///
    /// # Errors
    /// The connector ended, or does not get so far.
    pub(super) async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let page = format!("http://{}/readyz", self.metrics);
        let asked = Instant::now();
        while asked.elapsed() < READY_WITHIN {
            if self.connector.is_finished() {
                (&mut self.connector)
                    .await
                    .context("the connector panicked")?
                    .context("the connector did not start")?;
            }
            // Not there yet is what the first answers say.
            let status = emulator::demo::fetch(&page).await.unwrap_or_default();
            if !status.is_empty() && !status.contains(": 0 partitions") {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("the connector got no partitions within {READY_WITHIN:?}; see the log")
    }

    /// Waits until no process runs: the connector completes a job only after its outcome is published.
    ///
    /// # Errors
    /// The workflow service does not answer.
    pub(super) async fn wait_until_idle(&self, patience: Duration) -> anyhow::Result<()> {
        let asked = Instant::now();
        while asked.elapsed() < patience {
            let totals = Totals::of(&self.emulator).await?;
            if totals.instances.iter().all(|instance| instance.end_time.is_some()) {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// An address that is free now: the page has to be known before the connector opens it.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    listener.local_addr().context("no free port")
}
