//! The parts of a soak: broker, engine, the tickets flow in one process, and a source that publishes at a rate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use emulator::{Emulator, Options};
use promises::{
    Deployment, EngineCalls, Kafka, emulated_engine, engine_calls, event_headers, metrics, repository, sum,
};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use workflow_client::Engine;

pub(crate) const PARTITIONS: u32 = 8;
const ENGINE_LINES: &str = "settle = \"10s\"";
/// Records in a burst of the source.
const BURST: u32 = 20;

pub(crate) struct Stage {
    pub(crate) kafka: Kafka,
    pub(crate) emulator: Emulator,
    pub(crate) engine: Engine,
    pub(crate) deployment: Deployment,
    created: Value,
    runtime: String,
}

/// What can be done to a process that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Suspension {
    Suspend,
    Activate,
}

impl Stage {
    pub(crate) async fn set() -> Result<Stage> {
        let kafka = Kafka::start().await?;
        let emulator = Emulator::start(Options::default()).await?;
        let settings = emulated_engine(&emulator);
        let deployment = Deployment::of_tickets(&kafka, &settings, ENGINE_LINES)?;
        deployment.set_up(PARTITIONS).await?;
        let example = repository().join("schemas/ticket/examples/created.json");
        let mut created: Value = serde_json::from_slice(&std::fs::read(example)?)?;
        created["reportedAt"] = json!(1_795_514_564_518_i64);
        let runtime = settings.runtime.clone();
        Ok(Stage { kafka, emulator, engine: Engine::new(settings)?, deployment, created, runtime })
    }

    /// A ticket's first event.
    pub(crate) fn created(&self, key: &str) -> Value {
        let mut event = self.created.clone();
        event["ticketId"] = json!(key);
        event
    }

    /// A later event of a ticket.
    pub(crate) fn updated(&self, key: &str, comment: &str) -> Value {
        let mut event = self.created(key);
        (event["kind"], event["comment"]) = (json!("updated"), json!(comment));
        event
    }

    /// Publishes tickets `<run>-0`, `<run>-1` … at a rate, or as fast as it goes, until so many are out or it is told to stop.
    pub(crate) fn publish(&self, run: &str, rate: Option<u32>, count: usize) -> Result<Load> {
        let producer = self.producer()?;
        let (topic, run, created) = (self.deployment.source(), run.to_owned(), self.created.clone());
        let (published, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counting, stopped) = (published.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let begun = Instant::now();
            for number in 0..count {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                if let Some(rate) = rate.filter(|_| number % BURST as usize == 0) {
                    let due = begun + Duration::from_secs_f64(number as f64 / f64::from(rate));
                    tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
                }
                let key = format!("{run}-{number}");
                let mut event = created.clone();
                event["ticketId"] = json!(key);
                if send(&producer, &topic, &key, &format!("{key}/0"), &event).await.is_err() {
                    break;
                }
                counting.fetch_add(1, Ordering::Relaxed);
            }
            let _ = rdkafka::producer::Producer::flush(&producer, Duration::from_secs(60));
        });
        Ok(Load { published, stop, task })
    }

    /// Publishes one event.
    pub(crate) async fn publish_one(&self, key: &str, id: &str, event: &Value) -> Result<()> {
        let producer = self.producer()?;
        let delivery = send(&producer, &self.deployment.source(), key, id, event).await?;
        delivery.await.context("the producer is gone")?.map_err(|(error, _)| error)?;
        Ok(())
    }

    fn producer(&self) -> Result<FutureProducer> {
        Ok(self.kafka.client().set("enable.idempotence", "true").set("linger.ms", "5").create()?)
    }

    /// What an operator of the engine does to a process; the connector's own client cannot.
    pub(crate) async fn set_suspension(&self, instance: &str, suspension: Suspension) -> Result<()> {
        let http = reqwest::Client::new();
        let (id, secret) = (self.emulator.client_id(), self.emulator.client_secret());
        let asked = json!({ "client_id": id, "client_secret": secret, "grant_type": "client_credentials" });
        let post = |url: String, body: &Value| {
            http.post(url).header("content-type", "application/json").body(body.to_string())
        };
        let answer = post(self.emulator.token_url(), &asked).send().await?.error_for_status()?;
        let token: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let token = token["access_token"].as_str().context("no token")?;
        let action = match suspension {
            Suspension::Suspend => "suspend",
            Suspension::Activate => "activate",
        };
        let url = format!("{}/process-instances/{instance}", self.runtime);
        let body = serde_json::to_vec(&json!({ "action": action }))?;
        let request = http.put(url).bearer_auth(token).header("content-type", "application/json").body(body);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// Calls of an operation that the engine counted.
    pub(crate) async fn calls(&self, operation: &str) -> Result<u64> {
        let calls: BTreeMap<String, EngineCalls> = engine_calls(&self.emulator).await?;
        Ok(calls.get(operation).map_or(0, |count| count.calls))
    }

    /// Look-ups before an effect, as the engine counted them.
    pub(crate) async fn looks(&self) -> Result<u64> {
        Ok(self.calls("list-instances").await? + self.calls("list-history").await?)
    }
}

/// A source at work.
pub(crate) struct Load {
    published: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Load {
    pub(crate) fn published(&self) -> usize {
        self.published.load(Ordering::Relaxed)
    }

    /// Lets nothing more be published; how much was.
    pub(crate) async fn finish(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?;
        Ok(self.published.load(Ordering::Relaxed))
    }
}

async fn send(
    producer: &FutureProducer,
    topic: &str,
    key: &str,
    id: &str,
    event: &Value,
) -> Result<rdkafka::producer::DeliveryFuture> {
    let value = serde_json::to_vec(event)?;
    loop {
        let headers = event_headers(id, "/soak");
        match producer.send_result(FutureRecord::to(topic).key(key).payload(&value).headers(headers)) {
            Ok(delivery) => return Ok(delivery),
            // The queue is bounded.
            Err((error, _)) if error.rdkafka_error_code() == Some(rdkafka::error::RDKafkaErrorCode::QueueFull) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Resident memory of a process, as it says itself, in MB.
pub(crate) async fn resident_mb(at: std::net::SocketAddr) -> Result<f64> {
    let bytes = sum(&metrics(at).await?, "process_resident_memory_bytes", &[]).context("it does not say")?;
    Ok(bytes / 1e6)
}

/// A counter of a process.
pub(crate) async fn counted(at: std::net::SocketAddr, metric: &str) -> Result<f64> {
    Ok(sum(&metrics(at).await?, metric, &[]).unwrap_or(0.0))
}
