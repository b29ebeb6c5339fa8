//! Dead letters for operators: reading them, and putting them back in through the replay topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_model::{Coordinates, Header, Offset, OutgoingRecord, Partition, Record};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::producer::enqueue;

const WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// How Kafka is reached.
#[derive(Clone)]
pub struct Cluster {
    /// Kafka's `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// Further librdkafka properties, such as security settings.
    pub properties: BTreeMap<String, String>,
}

/// Reads a topic from its start to its end as it is now, partition by partition, and gives each committed record to `take`. Blocks.
///
/// # Errors
/// The topic does not exist, or Kafka gave nothing for half a minute.
pub fn read_topic(cluster: &Cluster, topic: &str, mut take: impl FnMut(Record)) -> KafkaResult<()> {
    let mut config = client(cluster);
    config
        .set("group.id", "xconnector-letters") // never joined, never committed to
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), WITHIN)?;
    let partitions = metadata.topics().first().map_or(0, |found| found.partitions().len());
    if partitions == 0 {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    }
    let name: Arc<str> = topic.into();
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, KafkaOffset::Beginning)?;
        consumer.assign(&list)?;
        let mut heard = Instant::now();
        loop {
            match consumer.poll(POLL) {
                Some(Ok(message)) if message.partition() == partition => {
                    heard = Instant::now();
                    take(record(&name, &message));
                }
                Some(Ok(_)) => {}
                Some(Err(KafkaError::PartitionEOF(ended))) if ended == partition => break,
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => return Err(error),
                None if heard.elapsed() > WITHIN => {
                    return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
                }
                None => {}
            }
        }
    }
    Ok(())
}

/// Writes records, each acknowledged by all replicas, in order; how many were written.
///
/// # Errors
/// The first that Kafka did not take; those before it are written.
pub async fn write(cluster: &Cluster, records: &[OutgoingRecord]) -> KafkaResult<usize> {
    let producer: FutureProducer = writer(cluster).create()?;
    let mut written = 0;
    // In portions: the client's queue is bounded.
    for portion in records.chunks(1_000) {
        let sent: Result<Vec<_>, KafkaError> = portion.iter().map(|record| enqueue(&producer, record)).collect();
        for delivery in sent? {
            delivery.await.map_err(|_| KafkaError::Canceled)?.map_err(|(error, _)| error)?;
            written += 1;
        }
    }
    producer.flush(WITHIN)?;
    Ok(written)
}

/// A producer that is told of every record whether all replicas have it.
pub(crate) fn writer(cluster: &Cluster) -> ClientConfig {
    let mut config = client(cluster);
    config.set("message.max.bytes", "67108864").set("acks", "all").set("enable.idempotence", "true");
    config
}

fn client(cluster: &Cluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "xconnector-letters");
    for (name, value) in &cluster.properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", &cluster.bootstrap_servers);
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

fn record(topic: &Arc<str>, message: &impl Message) -> Record {
    let (partition, offset) = (Partition::new(message.partition()), Offset::new(message.offset()));
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let headers = headers.map(|header| Header { name: header.key.to_owned(), value: header.value.map(<[u8]>::to_vec) });
    Record {
        coordinates: Coordinates { topic: topic.clone(), partition, offset },
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.collect(),
        timestamp_ms: message.timestamp().to_millis(),
    }
}
