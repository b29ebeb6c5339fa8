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
