//! What a `read_committed` consumer counts on the reply topic, as it comes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use promises::Kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

/// Counts of accepted events.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Keys that an accepted reply came for.
    pub(crate) keys: HashSet<Vec<u8>>,
    /// Replies by the partition of the reply topic, which is that of the event.
    pub(crate) by_partition: Vec<usize>,
    /// Of the key that is watched: where its replies come, and how many came.
    pub(crate) watched: Option<(usize, usize)>,
}

/// Follows the reply topic until the process ends.
pub(crate) struct Replies(Arc<Mutex<Counts>>);

impl Replies {
    pub(crate) fn follow(kafka: &Kafka, topic: &str, partitions: u32, watched: &str) -> Result<Replies> {
        let mut client = kafka.client();
        client
            .set("group.id", promises::unique("soak"))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error");
        let consumer: BaseConsumer = client.create()?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions as i32 {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let counts = Counts { by_partition: vec![0; partitions as usize], ..Counts::default() };
        let replies = Arc::new(Mutex::new(counts));
        let (counting, watched) = (replies.clone(), watched.as_bytes().to_vec());
        std::thread::spawn(move || {
            loop {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) else { continue };
                let accepted = message.headers().is_some_and(|headers| {
                    let is = |value: Option<&[u8]>| value == Some(b"xconnector.accepted.v1");
                    headers.iter().any(|header| header.key == "ce_type" && is(header.value))
                });
                let (Some(key), Ok(partition)) = (message.key(), usize::try_from(message.partition())) else {
                    continue;
                };
                if !accepted {
                    continue;
                }
                let mut counts = counting.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(count) = counts.by_partition.get_mut(partition) {
                    *count += 1;
                }
                if key == watched {
                    let before = counts.watched.map_or(0, |(_, count)| count);
                    counts.watched = Some((partition, before + 1));
                }
                if !counts.keys.contains(key) {
                    counts.keys.insert(key.to_vec());
                }
            }
        });
        Ok(Replies(replies))
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
