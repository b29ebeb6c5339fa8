//! Reads the topic of replies, on a thread of its own, from as far back as replies are remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use tokio::sync::watch;

use super::context::Logging;
use super::memory::{Memory, Reply};

const ASK: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// How often it is looked whether the topic has more partitions.
const LOOK: Duration = Duration::from_secs(60);

/// A topic of replies that is being read. Reading ends when this is dropped.
pub(crate) struct Replies {
    memory: Arc<Memory>,
    caught_up: watch::Receiver<bool>,
    stop: Arc<AtomicBool>,
}

impl Replies {
    /// Begins to read.
    ///
    /// # Errors
    /// The topic is not there, or its partitions cannot be asked for.
    pub(crate) async fn follow(
        system: &str,
        config: ClientConfig,
        topic: String,
        keep: Duration,
        max_answer: usize,
    ) -> KafkaResult<Replies> {
        let (memory, stop) = (Memory::new(keep), Arc::new(AtomicBool::new(false)));
        let (told, caught_up) = watch::channel(false);
        let (consumer, places) = tokio::task::spawn_blocking({
            let (topic, context) = (topic.clone(), Logging::of(system));
            move || -> KafkaResult<_> {
                let consumer: BaseConsumer<Logging> = config.create_with_context(context)?;
                let places = places(&consumer, &topic, 0, Some(keep))?;
                consumer.assign(&places)?;
                Ok((consumer, places))
            }
        })
        .await
        .map_err(|_| KafkaError::Canceled)??;
        let reader = Reader {
            system: system.to_owned(),
            known: places.count(),
            behind: places
                .elements()
                .iter()
                .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
                .collect(),
            consumer,
            topic,
            memory: Arc::downgrade(&memory),
            stop: stop.clone(),
            told,
            max_answer,
        };
        thread::Builder::new()
            .name("system-replies".into())
            .spawn(move || reader.run())
            .map_err(|_| KafkaError::Canceled)?;
        Ok(Replies { memory, caught_up, stop })
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Until everything is read that the topic held at the start.
    pub(crate) async fn caught_up(&self) {
        let mut caught_up = self.caught_up.clone();
        if caught_up.wait_for(|caught_up| *caught_up).await.is_err() {
            // The reader is gone, as this is.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

struct Reader {
    system: String,
    consumer: BaseConsumer<Logging>,
    topic: String,
    /// Partitions that are read.
    known: usize,
    /// Partitions whose end was not seen yet.
    behind: BTreeSet<i32>,
    memory: Weak<Memory>,
    stop: Arc<AtomicBool>,
    told: watch::Sender<bool>,
    max_answer: usize,
}

impl Reader {
    fn run(mut self) {
        let mut looked = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            let Some(memory) = self.memory.upgrade() else { return };
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    if let Some(id) = header(&message, "ce_correlationid") {
                        memory.read(id, reply(&message, self.max_answer), Instant::now());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.behind.remove(&partition);
                    if self.behind.is_empty() {
                        self.told.send_replace(true);
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(system = self.system, topic = self.topic, %error, "replies of a system cannot be read; going on");
                }
                None => {}
            }
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                if let Err(error) = self.take_new_partitions() {
                    tracing::warn!(system = self.system, topic = self.topic, %error, "partitions of a system's replies cannot be looked up; going on");
                }
            }
        }
    }

    fn take_new_partitions(&mut self) -> KafkaResult<()> {
        let more = places(&self.consumer, &self.topic, self.known, None)?;
        if more.count() > 0 {
            self.known += more.count();
            self.consumer.incremental_assign(&more)?;
        }
        Ok(())
    }
}

/// The partitions from number `from` on, each at the first record that is not older than `keep`, or at its start.
fn places(
    consumer: &BaseConsumer<Logging>,
    topic: &str,
    from: usize,
    keep: Option<Duration>,
) -> KafkaResult<TopicPartitionList> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK)?;
    let found = metadata.topics().first().map(|topic| topic.partitions().len()).unwrap_or_default();
    if found == 0 {
        return Err(KafkaError::MetadataFetch(rdkafka::error::RDKafkaErrorCode::UnknownTopicOrPartition));
    }
    let since = keep.map(|keep| {
        let since = SystemTime::now().checked_sub(keep).and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
    });
    let mut places = TopicPartitionList::new();
    for partition in (from..found).filter_map(|partition| i32::try_from(partition).ok()) {
        places.add_partition_offset(topic, partition, since.map_or(Offset::Beginning, Offset::Offset))?;
    }
    if since.is_none() || places.count() == 0 {
        return Ok(places);
    }
    // None is that young: the end, whatever comes.
    let mut found = consumer.offsets_for_times(places, ASK)?;
    let ends: Vec<i32> = found
        .elements()
        .iter()
        .filter(|place| !matches!(place.offset(), Offset::Offset(_)))
        .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
        .collect();
    for partition in ends {
        let (_, end) = consumer.fetch_watermarks(topic, partition, ASK)?;
        found.set_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    Ok(found)
}

fn header(message: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key.eq_ignore_ascii_case(name))?;
    found.value.and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned)
}

fn reply(message: &BorrowedMessage<'_>, max_answer: usize) -> Reply {
    let bytes = message.payload().unwrap_or_default();
    if bytes.len() > max_answer {
        return Reply::TooLarge;
    }
    let text = |value: Option<&[u8]>| value.and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned);
    let headers: BTreeMap<String, String> = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter().filter_map(|of| Some((of.key.to_ascii_lowercase(), text(of.value)?))))
        .collect();
    let status = match headers.get("status") {
        None => Some(200),
        Some(status) => status.parse().ok().filter(|status| (100..600).contains(status)),
    };
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
    };
    Reply::Read { status, headers, body }
}
