//! What a consumer group has committed, as an outside client sees it

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::Kafka;
use crate::wait::DEADLINE;

/// Records behind what `group` has committed, by topic and partition. A partition where nothing is committed counts from the
/// start of its log.
///
/// # Errors
/// A topic does not exist, or the broker did not answer within the deadline.
pub async fn committed_lag(kafka: &Kafka, group: &str, topics: &[String]) -> Result<BTreeMap<(String, i32), i64>> {
    let mut settings = kafka.client();
    settings.set("group.id", group).set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    let topics = topics.to_vec();
    tokio::task::spawn_blocking(move || lag(&settings.create()?, &topics)).await?
}

fn lag(consumer: &BaseConsumer, topics: &[String]) -> Result<BTreeMap<(String, i32), i64>> {
    let mut asked = TopicPartitionList::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), DEADLINE)?;
        let metadata = metadata.topics().first().context("metadata of one topic was asked for")?;
        for partition in metadata.partitions() {
            asked.add_partition(topic, partition.id());
        }
    }
    let mut lag = BTreeMap::new();
    for element in consumer.committed_offsets(asked, DEADLINE)?.elements() {
        let (low, high) = consumer.fetch_watermarks(element.topic(), element.partition(), DEADLINE)?;
        let position = if let Offset::Offset(committed) = element.offset() { committed } else { low };
        lag.insert((element.topic().to_owned(), element.partition()), high - position);
    }
    Ok(lag)
}

/// What an open transaction hides of a topic: partition, where `read_committed` ends, where the log does. Empty where nothing is.
///
/// # Errors
/// The topic does not exist, or the broker did not answer within the deadline.
pub async fn hidden_records(kafka: &Kafka, topic: &str) -> Result<Vec<(i32, i64, i64)>> {
    let (mut committed, mut all) = (kafka.client(), kafka.client());
    committed.set("group.id", "hidden").set("isolation.level", "read_committed");
    all.set("group.id", "hidden").set("isolation.level", "read_uncommitted");
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || {
        let (committed, all): (BaseConsumer, BaseConsumer) = (committed.create()?, all.create()?);
        let metadata = all.fetch_metadata(Some(&topic), DEADLINE)?;
        let partitions = metadata.topics().first().context("metadata of one topic was asked for")?.partitions();
        let mut hidden = Vec::new();
        for partition in partitions.iter().map(rdkafka::metadata::MetadataPartition::id) {
            let (_, stable) = committed.fetch_watermarks(&topic, partition, DEADLINE)?;
            let (_, end) = all.fetch_watermarks(&topic, partition, DEADLINE)?;
            if stable < end {
                hidden.push((partition, stable, end));
            }
        }
        Ok(hidden)
    })
    .await?
}
