//! The parts around the acquirer: an engine that answers by script, a broker, a reader, and the acquirer's switches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::Response;
use event_model::{Coordinates, JobRecord, Offset, Partition, Record};
use intake::{IntakeError, Settings, Telemetry, acquire_jobs};
use prometheus_client::registry::Registry;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, TopicPartitionList};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use workflow_client::{Auth, Engine};

/// No condition of these tests takes longer than this when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const JOBS_TOPIC: &str = "xc.tickets.jobs";

/// One acquire request as the engine saw it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) topic: String,
    pub(crate) worker: String,
    pub(crate) lock: String,
    pub(crate) max: u64,
    pub(crate) at: Instant,
}

/// What the engine answers.
pub(crate) struct Answer {
    status: u16,
    retry_after: Option<&'static str>,
    body: String,
}

/// An answer with these jobs.
pub(crate) fn jobs(ids: &[&str]) -> Answer {
    let row = |id: &&str| {
        json!({"id": id, "correlationId": format!("c-{id}"), "processInstanceId": format!("i-{id}"),
            "processDefinitionId": "ticket_triage:1:x", "elementId": "publishOutcome", "retries": 3,
            "lockExpirationTime": "2030-01-01T00:00:00.000Z",
            "variables": [{"name": "decision", "type": "string", "value": "approved"}]})
    };
    Answer { status: 200, retry_after: None, body: Value::from_iter(ids.iter().map(row)).to_string() }
}

impl Answer {
    /// The same jobs, one of which belongs to no process instance.
    pub(crate) fn without_instance_of(mut self, id: &str) -> Answer {
        self.body = self.body.replace(&format!("\"i-{id}\""), "null");
        self
    }
}

/// An answer that is no success.
pub(crate) fn fault(status: u16, retry_after: Option<&'static str>) -> Answer {
    Answer { status, retry_after, body: json!({"message": "no", "exception": "refused by script"}).to_string() }
}

/// An engine in Flowable's dialect. Answers wait for a permit of `gate`.
pub(crate) struct ScriptedEngine {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) gate: Arc<Semaphore>,
}

impl ScriptedEngine {
    /// `script` gets the request and how many came before it.
    pub(crate) async fn start(script: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> ScriptedEngine {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)));
        let (log, script, permits) = (Arc::clone(&asked), Arc::new(script), Arc::clone(&gate));
        let app = Router::new().fallback(move |request: Request| {
            let (log, script, permits) = (Arc::clone(&log), Arc::clone(&script), Arc::clone(&permits));
            async move {
                assert_eq!(request.uri().path(), "/external-job-api/acquire/jobs", "only jobs are acquired");
                let answer = {
                    let asked = read(to_bytes(request.into_body(), usize::MAX).await.unwrap());
                    let mut log = log.lock().unwrap();
                    log.push(asked.clone());
                    script(&asked, log.len() - 1)
                };
                permits.acquire().await.unwrap().forget();
                let response = Response::builder().status(answer.status).header("content-type", "application/json");
                let response = match answer.retry_after {
                    Some(seconds) => response.header("retry-after", seconds),
                    None => response,
                };
                response.body(answer.body).unwrap()
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        ScriptedEngine { url, asked, gate }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) async fn asked_times(&self, times: usize) {
        until(&format!("the engine is asked {times} times"), || self.asked().len() >= times).await;
    }
}

fn read(body: Bytes) -> Asked {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    Asked {
        topic: text("topic"),
        worker: text("workerId"),
        lock: text("lockDuration"),
        max: body["numberOfTasks"].as_u64().unwrap(),
        at: Instant::now(),
    }
}

/// A broker with the jobs topic, one partition. Real acknowledgements, no real cluster.
pub(crate) fn broker() -> MockCluster<'static, DefaultProducerContext> {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic(JOBS_TOPIC, 1, 1).unwrap();
    broker
}

/// Reads the jobs topic from its beginning.
pub(crate) struct JobsReader(StreamConsumer);

impl JobsReader {
    pub(crate) fn of(broker: &MockCluster<'_, DefaultProducerContext>) -> JobsReader {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap_servers()).set("group.id", "reader");
        let consumer: StreamConsumer = config.create().unwrap();
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(JOBS_TOPIC, 0, rdkafka::Offset::Beginning).unwrap();
        consumer.assign(&partitions).unwrap();
        JobsReader(consumer)
    }

    /// The next job, with the key of its record.
    pub(crate) async fn next(&self) -> (String, JobRecord) {
        let message = tokio::time::timeout(DEADLINE, self.0.recv()).await.expect("a job on the jobs topic").unwrap();
        let record = Record {
            coordinates: Coordinates {
                topic: JOBS_TOPIC.into(),
                partition: Partition::new(message.partition()),
                offset: Offset::new(message.offset()),
            },
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: Vec::new(),
            timestamp_ms: None,
        };
        (String::from_utf8(record.key.clone().unwrap()).unwrap(), JobRecord::from_record(&record).unwrap())
    }

    pub(crate) async fn next_id(&self) -> String {
        self.next().await.1.job_id
    }
}

/// A running acquirer and its switches.
pub(crate) struct Acquirer {
    pub(crate) may_acquire: watch::Sender<bool>,
    pub(crate) shutdown: watch::Sender<bool>,
    registry: Registry,
    running: JoinHandle<Result<(), IntakeError>>,
}

impl Acquirer {
    /// Starts the acquirer of flow `tickets`, batches of 3, for these engine topics.
    pub(crate) fn start(
        broker: &MockCluster<'_, DefaultProducerContext>,
        engine: &ScriptedEngine,
        topics: &[&str],
        may_acquire: bool,
    ) -> Acquirer {
        let settings = Settings {
            flow: "tickets".into(),
            topics: topics.iter().map(|topic| (*topic).into()).collect(),
            worker: "deployment-a".to_owned(),
            lock: Duration::from_secs(30),
            batch: 3,
            poll_interval: Duration::from_millis(5),
            bootstrap_servers: broker.bootstrap_servers(),
            properties: BTreeMap::new(),
        };
        let mut registry = Registry::default();
        let telemetry = Telemetry::register(&mut registry);
        let engine = Engine::new(workflow_client::Settings::flowable(&engine.url, Auth::None)).unwrap();
        let (may_acquire, permission) = watch::channel(may_acquire);
        let (shutdown, stop) = watch::channel(false);
        let permissions = settings.topics.iter().map(|topic| (topic.clone(), permission.clone())).collect();
        let running = tokio::spawn(acquire_jobs(settings, engine, permissions, telemetry, stop));
        Acquirer { may_acquire, shutdown, registry, running }
    }

    /// The value of a metric of engine topic `outcome`, by its full name; `kind` where it has one. 0 while unknown.
    pub(crate) fn metric(&self, name: &str, kind: Option<&str>) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let kind = kind.map_or_else(String::new, |kind| format!(",kind=\"{kind}\""));
        let line = format!("{name}{{flow=\"tickets\",topic=\"outcome\"{kind}}} ");
        text.lines().find_map(|row| row.strip_prefix(&line)).map_or(0, |value| value.parse().unwrap())
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.running.is_finished()
    }

    /// Waits for the acquirer's own end.
    pub(crate) async fn ended(self) -> Result<(), IntakeError> {
        tokio::time::timeout(DEADLINE, self.running).await.expect("the acquirer ends").unwrap()
    }

    /// Asks the acquirer to stop and waits for it.
    pub(crate) async fn stop(self) {
        self.shutdown.send(true).unwrap();
        self.ended().await.unwrap();
    }
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "still waiting: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
