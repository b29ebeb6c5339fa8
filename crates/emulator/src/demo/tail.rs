//! Somebody who reads topics from their start and follows them, without a consumer group.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::BrokerError;

const POLL: Duration = Duration::from_millis(50);
const ASK: Duration = Duration::from_secs(10);

/// One record as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Its topic.
    pub topic: String,
    /// Its key; empty where it has none.
    pub key: Vec<u8>,
    /// Its value; empty where it has none.
    pub value: Vec<u8>,
    /// Its headers, values as text.
    pub headers: Vec<(String, String)>,
}

impl Received {
    /// The last header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Follows topics on a thread of its own.
pub struct Tail {
    finish: Arc<AtomicBool>,
}

impl Tail {
    /// Begins at the start of every partition. Records arrive in the order of their partitions; an error is the last
    /// thing that arrives.
    ///
    /// # Errors
    /// The broker cannot be asked, or the thread cannot be started.
    pub fn start(
        bootstrap_servers: &str,
        topics: &[&str],
    ) -> Result<(Self, mpsc::UnboundedReceiver<Result<Received, BrokerError>>), BrokerError> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("client.id", "demo-reader")
            // assign() alone is used, but librdkafka wants a name
            .set("group.id", "demo-reader")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "50")
            .set_log_level(RDKafkaLogLevel::Warning)
            .create()?;
        let mut places = TopicPartitionList::new();
        for topic in topics {
            let metadata = consumer.fetch_metadata(Some(topic), ASK)?;
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                places.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
            }
        }
        consumer.assign(&places)?;
        let finish = Arc::new(AtomicBool::new(false));
        let (records, inbox) = mpsc::unbounded_channel();
        let follower = Follower { consumer, places, read_to: HashMap::new(), finish: finish.clone() };
        thread::Builder::new().name("demo-reader".into()).spawn(move || follower.run(&records))?;
        Ok((Self { finish }, inbox))
    }

    /// Reads to what is the end of every partition now; then the channel closes.
    pub fn finish(&self) {
        self.finish.store(true, Ordering::Release);
    }
}

/// Topic and partition.
type Place = (String, i32);

struct Follower {
    consumer: BaseConsumer,
    places: TopicPartitionList,
    /// Next offset by topic and partition; absent before the first record.
    read_to: HashMap<Place, i64>,
    finish: Arc<AtomicBool>,
}

impl Follower {
    fn run(mut self, records: &mpsc::UnboundedSender<Result<Received, BrokerError>>) {
        if let Err(error) = self.follow(records) {
            // Nobody listens any more where this fails, and then nobody misses it.
            let _ = records.send(Err(error.into()));
        }
    }

    fn follow(&mut self, records: &mpsc::UnboundedSender<Result<Received, BrokerError>>) -> Result<(), KafkaError> {
        let mut ends: Option<HashMap<Place, i64>> = None;
        loop {
            if ends.is_none() && self.finish.load(Ordering::Acquire) {
                ends = Some(self.ends()?);
            }
            if ends.as_ref().is_some_and(|ends| ends.iter().all(|(place, end)| self.next(place) >= *end)) {
                return Ok(());
            }
            let received = match self.consumer.poll(POLL) {
                None => continue,
                Some(message) => {
                    let message = message?;
                    self.read_to.insert((message.topic().to_owned(), message.partition()), message.offset() + 1);
                    received(&message)
                }
            };
            if records.send(Ok(received)).is_err() {
                return Ok(());
            }
        }
    }

    fn next(&self, place: &Place) -> i64 {
        self.read_to.get(place).copied().unwrap_or(0)
    }

    fn ends(&self) -> Result<HashMap<Place, i64>, KafkaError> {
        let mut ends = HashMap::new();
        for place in self.places.elements() {
            let (_, end) = self.consumer.fetch_watermarks(place.topic(), place.partition(), ASK)?;
            ends.insert((place.topic().to_owned(), place.partition()), end);
        }
        Ok(ends)
    }
}

fn received(message: &BorrowedMessage<'_>) -> Received {
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect());
    Received {
        topic: message.topic().to_owned(),
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().unwrap_or_default().to_vec(),
        headers: headers.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Publisher;
    use super::*;
    use crate::EmbeddedBroker;

    #[tokio::test]
    async fn what_was_published_before_and_after_the_start_is_read_to_the_end() {
        let broker = EmbeddedBroker::start(1).unwrap();
        broker.create_topic("tickets", 3).unwrap();
        let publisher = Publisher::connect(broker.bootstrap_servers(), "tickets").unwrap();
        let header = [("ce_type", "opened".to_owned())];
        publisher.publish("a", b"1", &header).await.unwrap();
        let (tail, mut inbox) = Tail::start(broker.bootstrap_servers(), &["tickets"]).unwrap();
        let first = inbox.recv().await.unwrap().unwrap();
        assert_eq!((first.value.as_slice(), first.header("ce_type")), (b"1".as_slice(), Some("opened")));
        let mut places = Vec::new();
        for number in 0..20 {
            places.push(publisher.publish(&number.to_string(), b"x", &[]).await.unwrap());
        }
        tail.finish();
        let mut rest = 0;
        while let Some(record) = inbox.recv().await {
            record.unwrap();
            rest += 1;
        }
        assert_eq!(rest, 20);
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 20, "every record has a place of its own");
    }
}
