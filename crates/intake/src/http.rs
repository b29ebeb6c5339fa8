//! The HTTP intake: `POST /intake/<flow>` for webhooks, forms, portals and HTTP tasks of the engine, and `POST /intake/<flow>/outcomes`
//! for processes that tell of their outcome.
//!
//! What comes in is checked as the flow will check it, becomes a record of one of the flow's source topics, and is answered 202 only
//! when Kafka has acknowledged it. Repeats with the same `Idempotency-Key` are told apart later, by the flow's ledger.

mod admission;
mod answer;
mod event;
mod lock;
mod outcome;
mod telemetry;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use event_model::{OutgoingRecord, Record};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::FutureProducer;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::letters::{Cluster, writer};
use crate::producer::enqueue;
use admission::Admission;
use answer::{Refusal, Taken};

pub use event::Admitted;
pub use lock::Lock;
pub use telemetry::HttpTelemetry;

/// How long a sender may take for its body, and Kafka to acknowledge it.
const WITHIN: Duration = Duration::from_secs(10);

/// Why a flow would not take an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// A stable code, as in the reasons of dead letters.
    pub reason: &'static str,
    /// The field that is wrong, from the root `$`, where one is.
    pub field: Option<String>,
    /// What is wrong, without contents.
    pub detail: String,
}

/// Whether the flow would take a record, and its ordering key. Bytes that are no event at all are [`Unfit`] too.
pub type Check = dyn Fn(&Record) -> Result<Admitted, Unfit> + Send + Sync;

/// One way in.
pub struct Door {
    /// The flow; its name is the last part of the path.
    pub flow: Arc<str>,
    /// The source topic that its events go to.
    pub topic: Arc<str>,
    /// Who may come in.
    pub lock: Lock,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// Requests per second; `None`: as many as come.
    pub max_per_second: Option<NonZeroU32>,
    /// Whether the flow would take it.
    pub check: Box<Check>,
    /// Whether processes of the flow may post here that they have an outcome.
    pub outcomes: bool,
}

struct Intake {
    doors: BTreeMap<Arc<str>, (Door, Admission)>,
    producer: FutureProducer,
    telemetry: Arc<HttpTelemetry>,
}

/// Serves the doors until `stopping` turns true; what is under way is finished, which takes twenty seconds at most.
///
/// # Errors
/// The settings make no producer, or the listener fails.
pub async fn serve_intake(
    listener: TcpListener,
    doors: Vec<Door>,
    cluster: &Cluster,
    telemetry: Arc<HttpTelemetry>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), IntakeServeError> {
    let producer = producer(cluster).map_err(IntakeServeError::Producer)?;
    let with_admission = |door: Door| {
        let admission = Admission::of(door.max_per_second);
        (door.flow.clone(), (door, admission))
    };
    let doors = doors.into_iter().map(with_admission).collect();
    let intake = Arc::new(Intake { doors, producer, telemetry });
    let router = Router::new()
        .route("/intake/{flow}", post(take_event))
        .route("/intake/{flow}/outcomes", post(take_outcome))
        .with_state(intake);
    let stopped = async move {
        // A sender that is gone stops it too.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await.map_err(IntakeServeError::Listener)
}

/// Why the intake does not serve.
#[derive(Debug, thiserror::Error)]
pub enum IntakeServeError {
    /// The Kafka settings make no producer.
    #[error("the HTTP intake cannot make its Kafka producer: {0}; correct [kafka.properties]")]
    Producer(KafkaError),
    /// The operating system closed the port.
    #[error("the HTTP intake cannot listen any more: {0}")]
    Listener(std::io::Error),
}

fn producer(cluster: &Cluster) -> KafkaResult<FutureProducer> {
    let mut config = writer(cluster);
    config.set("linger.ms", "2").set("delivery.timeout.ms", WITHIN.as_millis().to_string());
    config.create()
}

/// What is sent to a door.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Event,
    Outcome,
}

async fn take_event(State(intake): State<Arc<Intake>>, Path(flow): Path<String>, request: Request) -> Response {
    intake.take(&flow, Sent::Event, request).await
}

async fn take_outcome(State(intake): State<Arc<Intake>>, Path(flow): Path<String>, request: Request) -> Response {
    intake.take(&flow, Sent::Outcome, request).await
}

impl Intake {
    async fn take(&self, flow: &str, sent: Sent, request: Request) -> Response {
        let there = self.doors.get(flow).filter(|(door, _)| sent == Sent::Event || door.outcomes);
        let Some((door, admission)) = there else {
            // Not counted by name: a stranger could fill the metrics.
            return answer::of(&Refusal::NoDoor);
        };
        match self.admit(door, admission, sent, request).await {
            Ok(taken) => {
                self.telemetry.taken(&door.flow, &taken);
                answer::accepted(&taken)
            }
            Err(refusal) => {
                self.telemetry.refused(&door.flow, &refusal);
                answer::of(&refusal)
            }
        }
    }

    /// What was taken, once it stands in Kafka.
    async fn admit(&self, door: &Door, admission: &Admission, sent: Sent, request: Request) -> Result<Taken, Refusal> {
        admission.pass()?;
        let (parts, body) = request.into_parts();
        let body = read(&parts.headers, body, door.max_body).await?;
        door.lock.open(&parts.headers, &body, jiff::Timestamp::now())?;
        if sent == Sent::Outcome {
            let (instance, record) = outcome::record(&door.flow, &body)?;
            self.write(&record).await?;
            return Ok(Taken::Outcome { instance });
        }
        let record = event::record(door, &parts.headers, body)?;
        let Admitted { key, event_id } = (door.check)(&record).map_err(Refusal::Unfit)?;
        let Record { headers, value, .. } = record;
        self.write(&OutgoingRecord { topic: door.topic.clone(), partition: None, key, value, headers }).await?;
        Ok(Taken::Event { id: event_id })
    }

    async fn write(&self, record: &OutgoingRecord) -> Result<(), Refusal> {
        let delivery = enqueue(&self.producer, record).map_err(Refusal::Kafka)?;
        match delivery.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(Refusal::Kafka(error)),
            Err(_) => Err(Refusal::Kafka(KafkaError::Canceled)),
        }
    }
}

async fn read(headers: &HeaderMap, body: Body, most: usize) -> Result<Vec<u8>, Refusal> {
    let told = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|told| told > most) {
        return Err(Refusal::TooLarge(most));
    }
    match tokio::time::timeout(WITHIN, axum::body::to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        // It says no more than that: cut off, or longer than what it told.
        Ok(Err(_)) => Err(Refusal::TooLarge(most)),
        Err(_) => Err(Refusal::TooSlow),
    }
}
