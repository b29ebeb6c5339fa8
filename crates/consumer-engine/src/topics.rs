//! Topics: how many partitions they have, and making those that are ours.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use crate::clients;

const WITHIN: Duration = Duration::from_secs(30);

/// A topic to be made.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// Broker-side settings, such as `cleanup.policy`.
    pub config: Vec<(&'static str, String)>,
}

/// How many partitions each topic has; topics that do not exist are absent. Blocks.
pub fn partition_counts(
    bootstrap_servers: &str,
    properties: &BTreeMap<String, String>,
) -> KafkaResult<BTreeMap<String, usize>> {
    let consumer: BaseConsumer = clients::admin(bootstrap_servers, properties).create()?;
    let metadata = consumer.fetch_metadata(None, WITHIN)?;
    let existing = metadata.topics().iter().filter(|topic| topic.error().is_none());
    Ok(existing.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
}

/// Gives topics more partitions; those that have as many are left as they are.
pub async fn grow_topics(
    bootstrap_servers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[(String, usize)],
) -> KafkaResult<()> {
    let admin: AdminClient<DefaultClientContext> = clients::admin(bootstrap_servers, properties).create()?;
    let more: Vec<NewPartitions<'_>> = topics.iter().map(|(name, count)| NewPartitions::new(name, *count)).collect();
    let results = admin.create_partitions(&more, &AdminOptions::new().operation_timeout(Some(WITHIN))).await?;
    results.into_iter().try_for_each(|result| result.map(drop).map_err(|(_, code)| KafkaError::AdminOp(code)))
}

/// Makes topics with the broker's default replication; those that exist are left as they are. The names of the new ones.
pub async fn create_topics(
    bootstrap_servers: &str,
    properties: &BTreeMap<String, String>,
    specs: &[TopicSpec],
) -> KafkaResult<Vec<String>> {
    let admin: AdminClient<DefaultClientContext> = clients::admin(bootstrap_servers, properties).create()?;
    let topics: Vec<NewTopic<'_>> = specs
        .iter()
        .map(|spec| {
            // -1: the broker's default.replication.factor.
            let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(-1));
            spec.config.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
        })
        .collect();
    let results = admin.create_topics(&topics, &AdminOptions::new().operation_timeout(Some(WITHIN))).await?;
    let mut made = Vec::new();
    for result in results {
        match result {
            Ok(name) => made.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(made)
}
