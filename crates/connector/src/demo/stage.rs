//! The parts of a demonstration: broker, workflow service, the connector itself, and those who use them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use consumer_engine::{CONTROL_TOPIC, ledger_topic, state_topic};
use emulator::demo::{Desk, Publisher, Received, Tail, Totals};
use emulator::{BrokerError, EmbeddedBroker, Emulator, Options, Switches};
use event_model::{DeadLetter, EventSchema, JobRecord, Schemas, replay_topic_of};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::folder::{Folder, MODEL};
use super::plan::PEOPLE;
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
    /// The connector.
    pub connector: JoinHandle<anyhow::Result<()>>,
    /// Stops the connector.
    pub stop: watch::Sender<bool>,
    /// The schema of tickets.
    pub schema: Arc<EventSchema>,
    /// The CRM.
    pub source: Publisher,
    /// One desk for each of [`PEOPLE`].
    pub desks: Vec<Arc<Desk>>,
    /// Reads the reply topic and the dead letters.
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
        emulator.deploy(MODEL).context("the process model")?;
        let metrics = free_address()?;
        folder.write_settings(&broker, &emulator, metrics)?;
        let setup = setup::load(&folder.settings())?;
        broker.create_topic(CONTROL_TOPIC, 1)?;
        let schema = Schemas::load(&setup.settings.schemas)?.get("ticket/v1").context("no schema of tickets")?;
        let flow = setup.flows.first().context("no flow")?;
        let source_topic = flow.source.topics.first().context("the flow reads nothing")?.clone();
        let (replies, dead_letters) = (flow.reply.topic.clone(), DeadLetter::topic_of(&flow.name));
        let (jobs, ledger) = (JobRecord::topic_of(&flow.name), ledger_topic(&flow.name));
        let (state, replay) = (state_topic(&flow.name), replay_topic_of(&flow.name));
        for topic in [&*source_topic, &*replies, &*dead_letters, &*jobs, &*ledger, &*state, &*replay] {
            broker.create_topic(topic, PARTITIONS)?;
        }
        let source = Publisher::connect(broker.bootstrap_servers(), &source_topic)?;
        let (tail, answers) = Tail::start(broker.bootstrap_servers(), &[&replies, &dead_letters])?;
        let mut desks = Vec::new();
        for name in PEOPLE {
            desks.push(Arc::new(Desk::sign_in(&emulator, name).await?));
        }
        let (stop, stopping) = watch::channel(false);
        let connector = tokio::spawn(run::run_until(setup, stopping));
        Ok(Stage { emulator, connector, stop, schema, source, desks, tail, answers, metrics, broker })
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
