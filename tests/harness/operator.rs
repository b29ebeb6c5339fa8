//! What operators and owners of source topics do to a cluster while the connector looks elsewhere

use anyhow::{Context, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::Kafka;
use crate::wait::{DEADLINE, until};

fn admin(kafka: &Kafka) -> Result<(AdminClient<DefaultClientContext>, AdminOptions)> {
    Ok((kafka.client().create()?, AdminOptions::new().operation_timeout(Some(DEADLINE))))
}

/// Removes what lies before `offset` from a log, as retention does.
///
/// # Errors
/// The broker refused.
pub async fn remove_before(kafka: &Kafka, topic: &str, partition: i32, offset: i64) -> Result<()> {
    let (admin, options) = admin(kafka)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    for element in admin.delete_records(&list, &options).await?.elements() {
        element.error().with_context(|| format!("records before {topic}/{partition}@{offset}"))?;
    }
    Ok(())
}

/// Raises the partition count of a topic.
///
/// # Errors
/// The broker refused.
pub async fn grow_topic(kafka: &Kafka, topic: &str, partitions: usize) -> Result<()> {
    let (admin, options) = admin(kafka)?;
    for grown in admin.create_partitions([&NewPartitions::new(topic, partitions)], &options).await? {
        grown.map_err(|(topic, code)| anyhow::anyhow!("cannot grow topic {topic}: {code}"))?;
    }
    Ok(())
}

/// Deletes a group with all that it has committed, once its last member has left.
///
/// # Errors
/// It still has members at the deadline.
pub async fn delete_group(kafka: &Kafka, group: &str) -> Result<()> {
    until(&format!("group {group} to be deleted"), DEADLINE, async || {
        let (admin, options) = admin(kafka)?;
        Ok(admin.delete_groups(&[group], &options).await?.into_iter().all(|deleted| deleted.is_ok()).then_some(()))
    })
    .await
}

/// Sets what a group without members has committed for a partition, without metadata.
///
/// # Errors
/// It still has members at the deadline.
pub async fn set_offset(kafka: &Kafka, group: &str, topic: &str, partition: i32, offset: i64) -> Result<()> {
    let consumer: BaseConsumer = kafka.client().set("group.id", group).create()?;
    let consumer = std::sync::Arc::new(consumer);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    until(&format!("the offset of {group} to be set"), DEADLINE, async || {
        let (consumer, list) = (consumer.clone(), list.clone());
        let set = tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync)).await?;
        Ok(set.is_ok().then_some(()))
    })
    .await
}
