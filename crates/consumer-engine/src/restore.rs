//! The second client: where an assigned partition is to be read from.

use std::sync::Arc;
use std::time::Duration;

use event_model::{NextOffset, Partition};
use flow_core::TopicId;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::clients;
use crate::context::Logging;
use crate::settings::{Settings, StartFrom};

/// Covers a dead member's open transaction, which a read_committed read waits for.
const WITHIN: Duration = Duration::from_secs(clients::TRANSACTION_TIMEOUT.as_secs() + 5);

/// Reads committed positions; never a member of the group.
#[derive(Clone)]
pub(crate) struct Restorer {
    settings: Arc<Settings>,
    consumer: Arc<BaseConsumer<Logging>>,
}

impl Restorer {
    pub(crate) fn new(settings: Arc<Settings>) -> KafkaResult<Restorer> {
        let logging = Logging { flow: settings.flow.clone() };
        let consumer = Arc::new(clients::restorer(&settings).create_with_context(logging)?);
        Ok(Restorer { settings, consumer })
    }

    /// The positions of one partition in every topic of the flow. Blocks: call it off the loop.
    pub(crate) fn positions(&self, partition: Partition) -> KafkaResult<Vec<(TopicId, NextOffset)>> {
        let mut list = TopicPartitionList::new();
        for topic in &self.settings.topics {
            list.add_partition(&topic.name, partition.get());
        }
        let committed = self.consumer.committed_offsets(list, WITHIN)?;
        let mut positions = Vec::with_capacity(self.settings.topics.len());
        for (index, topic) in self.settings.topics.iter().enumerate() {
            let found = committed.find_partition(&topic.name, partition.get());
            let next = match found.map(|element| element.error().map(|()| element.offset())).transpose()? {
                Some(KafkaOffset::Offset(next)) => next,
                Some(_) | None => self.first(&topic.name, partition, topic.start_from)?,
            };
            positions.push((TopicId(index as u16), NextOffset::new(next)));
        }
        Ok(positions)
    }

    /// The start position of a partition that nothing was ever committed for.
    fn first(&self, topic: &str, partition: Partition, start_from: StartFrom) -> KafkaResult<i64> {
        let (low, high) = self.consumer.fetch_watermarks(topic, partition.get(), WITHIN)?;
        match start_from {
            StartFrom::Earliest => Ok(low),
            StartFrom::Latest => Ok(high),
            StartFrom::Timestamp(ms) => {
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(topic, partition.get(), KafkaOffset::Offset(ms))?;
                let found = self.consumer.offsets_for_times(list, WITHIN)?;
                let element = found.find_partition(topic, partition.get());
                match element.map(|element| element.offset()) {
                    Some(KafkaOffset::Offset(offset)) => Ok(offset),
                    // Nothing is that young: the end.
                    Some(_) => Ok(high),
                    None => Err(KafkaError::OffsetFetch(rdkafka::types::RDKafkaErrorCode::UnknownPartition)),
                }
            }
        }
    }
}
