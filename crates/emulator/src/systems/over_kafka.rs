//! A system behind Kafka: commands from one topic, replies to another. What it does, and how it fails, is what its HTTP server does.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::BrokerError;
use crate::fate::{CutAnswer, DropConnection};
use crate::server::{Availability, Gatekeeper};

const ASK: Duration = Duration::from_secs(10);

/// The topics of a system that is reached by Kafka.
#[derive(Clone, Copy, Debug)]
pub struct Topics<'a> {
    /// The cluster.
    pub bootstrap_servers: &'a str,
    /// What the system reads.
    pub commands: &'a str,
    /// What it answers on.
    pub replies: &'a str,
    /// How often it answers each command: a producer that does not know whether it wrote, writes again.
    pub times: usize,
}

/// Begins to read commands, from the start of their topic.
pub(super) fn listen(
    topics: Topics<'_>,
    router: Router,
    gatekeeper: Gatekeeper,
) -> Result<JoinHandle<()>, BrokerError> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", topics.bootstrap_servers).set_log_level(RDKafkaLogLevel::Warning);
    let producer: FutureProducer = config.clone().set("linger.ms", "0").set("acks", "all").create()?;
    // assign() alone is used, but librdkafka wants a name
    config.set("group.id", "emulated-system").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "50");
    let consumer: StreamConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topics.commands), ASK)?;
    let mut places = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        places.add_partition_offset(topics.commands, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&places)?;
    let (replies, times) = (topics.replies.to_owned(), topics.times);
    Ok(tokio::spawn(async move {
        loop {
            let Ok(message) = consumer.recv().await else { continue };
            // What is down does nothing, and finds its commands when it is up again.
            gatekeeper.until(Availability::Up).await;
            let Some((correlation, request)) = read(&message) else { continue };
            let (router, producer, replies) = (router.clone(), producer.clone(), replies.clone());
            tokio::spawn(async move {
                let Ok(answer) = router.oneshot(request).await;
                let extensions = answer.extensions();
                if extensions.get::<DropConnection>().is_some() || extensions.get::<CutAnswer>().is_some() {
                    return;
                }
                let status = answer.status().as_u16().to_string();
                let mut headers = OwnedHeaders::new();
                for (name, value) in [("ce_correlationid", correlation.as_str()), ("status", status.as_str())] {
                    headers = headers.insert(Header { key: name, value: Some(value) });
                }
                for name in [header::ETAG, header::LOCATION, header::RETRY_AFTER] {
                    if let Some(value) = answer.headers().get(&name).and_then(|value| value.to_str().ok()) {
                        headers = headers.insert(Header { key: name.as_str(), value: Some(value) });
                    }
                }
                let Ok(body) = answer.into_body().collect().await else { return };
                let body = body.to_bytes();
                for _ in 0..times {
                    let record =
                        FutureRecord::to(&replies).key(&correlation).payload(body.as_ref()).headers(headers.clone());
                    // A reply that is lost is asked for again.
                    let _ = producer.send(record, ASK).await;
                }
            });
        }
    }))
}

/// The command as the request that it stands for, with the id that its reply has to name.
fn read(message: &BorrowedMessage<'_>) -> Option<(String, Request<Body>)> {
    let headers = message.headers()?;
    let text = |name: &str| {
        let found = headers.iter().find(|header| header.key == name)?;
        found.value.and_then(|value| std::str::from_utf8(value).ok())
    };
    let mut request = Request::builder().method(text("ce_type")?).uri(text("ce_subject")?);
    request = request.header("idempotency-key", text("ce_id")?).header(header::CONTENT_TYPE, "application/json");
    if let Some(version) = text("if-match") {
        request = request.header(header::IF_MATCH, version);
    }
    let body = Body::from(message.payload().unwrap_or_default().to_vec());
    Some((text("ce_correlationid")?.to_owned(), request.body(body).ok()?))
}
