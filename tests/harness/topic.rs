//! What a test does with topics, as an outside client: create, publish, read what is committed

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::Kafka;
use crate::wait::DEADLINE;

/// A record as an outside consumer sees it
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Partition that it lies in
    pub partition: i32,
    /// Its offset there
    pub offset: i64,
    /// Bytes of the key
    pub key: Option<Vec<u8>>,
    /// Bytes of the value; `None` is a tombstone
    pub value: Option<Vec<u8>>,
    /// Names and values, in order
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Received {
    /// The value of a header as text
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// The key as text, `""` when there is none
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }

    /// The value as JSON
    ///
    /// # Errors
    /// It is no JSON; the text names the coordinates.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(self.value.as_deref().unwrap_or_default())
            .with_context(|| format!("the record at {}@{} is no JSON", self.partition, self.offset))
    }
}

/// A record to publish
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// `None` leaves the choice to the partitioner
    pub partition: Option<i32>,
    /// Bytes of the key
    pub key: Option<Vec<u8>>,
    /// Bytes of the value; `None` is a tombstone
    pub value: Option<Vec<u8>>,
    /// Names and values, in order
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Creates a topic with one replica.
///
/// # Errors
/// The broker refused, for example because the topic exists.
pub async fn create_topic(kafka: &Kafka, name: &str, partitions: i32) -> Result<()> {
    create_topic_with(kafka, name, partitions, &[]).await
}

/// As [`create_topic`], with settings such as `max.message.bytes`.
///
/// # Errors
/// As [`create_topic`].
pub async fn create_topic_with(kafka: &Kafka, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create()?;
    let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (setting, value) in settings {
        topic = topic.set(setting, value);
    }
    for created in admin.create_topics([&topic], &options).await? {
        created.map_err(|(topic, code)| anyhow::anyhow!("cannot create topic {topic}: {code}"))?;
    }
    Ok(())
}

/// Headers of an event in JSON, as CloudEvents wants them
pub fn event_headers(id: &str, source: &str) -> OwnedHeaders {
    let fields =
        [("ce_specversion", "1.0"), ("ce_id", id), ("ce_source", source), ("content-type", "application/json")];
    fields.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value.as_bytes()) })
    })
}

/// Publishes in order, each acknowledged before the next is sent; gives partition and offset of each.
///
/// # Errors
/// A record was refused; later ones are not sent.
pub async fn produce(kafka: &Kafka, topic: &str, records: impl IntoIterator<Item = Sent>) -> Result<Vec<(i32, i64)>> {
    let producer: FutureProducer =
        kafka.client().set("message.max.bytes", "16777216").set("linger.ms", "0").create()?;
    let mut coordinates = Vec::new();
    for record in records {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut message: FutureRecord<'_, Vec<u8>, Vec<u8>> = FutureRecord::to(topic).headers(headers);
        message.partition = record.partition;
        message.key = record.key.as_ref();
        message.payload = record.value.as_ref();
        let delivery = producer.send(message, DEADLINE).await.map_err(|(error, _)| error)?;
        coordinates.push((delivery.partition, delivery.offset));
    }
    Ok(coordinates)
}

/// Everything that is committed in a topic now, partition by partition in log order: a `read_committed` client reads to the
/// last stable offset, so records of open and aborted transactions are not in it.
///
/// # Errors
/// The topic does not exist, or the broker did not answer within the deadline.
pub async fn read_all(kafka: &Kafka, topic: &str) -> Result<Vec<Received>> {
    read_until(kafka, topic, 0, DEADLINE).await
}

/// As [`read_all`], but waits until there are at least `count` records, and still reads to the ends then: a surplus is seen.
///
/// # Errors
/// As [`read_all`]; or there are fewer at the deadline.
pub async fn read_until(kafka: &Kafka, topic: &str, count: usize, deadline: Duration) -> Result<Vec<Received>> {
    let mut settings = kafka.client();
    settings
        .set("group.id", crate::unique("reader"))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error");
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || read_to_ends(&settings.create()?, &topic, count, deadline)).await?
}

fn read_to_ends(consumer: &BaseConsumer, topic: &str, count: usize, deadline: Duration) -> Result<Vec<Received>> {
    let metadata = consumer.fetch_metadata(Some(topic), DEADLINE)?;
    let topic_metadata = metadata.topics().first().context("metadata of one topic was asked for")?;
    if let Some(error) = topic_metadata.error() {
        bail!("cannot read topic {topic}: {}", RDKafkaErrorCode::from(error));
    }
    let mut assignment = TopicPartitionList::new();
    for partition in topic_metadata.partitions() {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;

    let started = Instant::now();
    let partitions = topic_metadata.partitions().len();
    let mut at_end = HashSet::new();
    let mut records = Vec::new();
    while at_end.len() < partitions || records.len() < count {
        if started.elapsed() > deadline {
            bail!(
                "after {deadline:?} {topic} has {} of {count} records, and {} of {partitions} partitions are read to the end",
                records.len(),
                at_end.len()
            );
        }
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                at_end.remove(&message.partition());
                records.push(received(&message));
            }
            // comes again whenever the end is reached anew
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                at_end.insert(partition);
            }
            // a broker that has just come back: the client connects again
            Some(Err(error)) if disconnected(&error) => {}
            Some(Err(error)) => return Err(error).with_context(|| format!("reading {topic}")),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

fn disconnected(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
    )
}

fn received(message: &impl Message) -> Received {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Received {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
    }
}
