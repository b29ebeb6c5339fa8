//! What an operator says about offsets: `xconnector offsets accept-loss`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event_model::{NextOffset, Partition};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::{books, clients};

const WITHIN: Duration = Duration::from_secs(30);

/// A loss that an operator accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The topic.
    pub topic: Arc<str>,
    /// What the group had committed.
    pub committed: i64,
    /// The oldest offset that is left.
    pub log_start: i64,
}

/// Writes into the flow's state, for every one of `topics` whose committed offset lies before its log's start, that going on behind
/// the loss is accepted. It holds for this committed offset only: a later loss waits again.
///
/// # Errors
/// What the cluster says; then nothing, or only a part of it, is accepted.
pub async fn accept_loss(
    bootstrap_servers: &str,
    properties: &BTreeMap<String, String>,
    group_id: &str,
    flow: &str,
    topics: Vec<Arc<str>>,
    partition: Partition,
) -> KafkaResult<Vec<Accepted>> {
    let mut reader = clients::admin(bootstrap_servers, properties);
    reader.set("group.id", group_id).set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    let found = tokio::task::spawn_blocking(move || losses(&reader.create()?, topics, partition));
    let losses = found.await.unwrap_or(Err(KafkaError::Canceled))?;
    let mut writer = clients::admin(bootstrap_servers, properties);
    writer.set("enable.idempotence", "true").set("acks", "all");
    let producer: FutureProducer = writer.create()?;
    let state: Arc<str> = books::state_topic(flow).into();
    for loss in &losses {
        let word = books::loss(&state, partition, &loss.topic, NextOffset::new(loss.committed));
        let (key, value) = (word.key.unwrap_or_default(), word.value.unwrap_or_default());
        let record = FutureRecord::to(&state).partition(partition.get()).key(&key).payload(&value);
        producer.send(record, WITHIN).await.map_err(|(error, _)| error)?;
    }
    Ok(losses)
}

fn losses(consumer: &BaseConsumer, topics: Vec<Arc<str>>, partition: Partition) -> KafkaResult<Vec<Accepted>> {
    let mut list = TopicPartitionList::new();
    for topic in &topics {
        list.add_partition(topic, partition.get());
    }
    let offsets = consumer.committed_offsets(list, WITHIN)?;
    let mut losses = Vec::new();
    for topic in topics {
        let committed = offsets.find_partition(&topic, partition.get()).map(|element| element.offset());
        let (log_start, _) = consumer.fetch_watermarks(&topic, partition.get(), WITHIN)?;
        if let Some(KafkaOffset::Offset(committed)) = committed
            && committed < log_start
        {
            losses.push(Accepted { topic, committed, log_start });
        }
    }
    Ok(losses)
}
