//! A business system that publishes.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::BrokerError;

/// Longest wait for a place in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// Publishes to one topic.
pub struct Publisher {
    producer: FutureProducer,
    topic: String,
}

impl Publisher {
    /// A publisher for `topic`; the connection is made with the first record.
    ///
    /// # Errors
    /// librdkafka refuses the configuration.
    pub fn connect(bootstrap_servers: &str, topic: &str) -> Result<Self, BrokerError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("client.id", "demo-source")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("message.timeout.ms", "15000")
            .set_log_level(RDKafkaLogLevel::Warning)
            .create()?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Publishes one record and returns its partition and offset, once the broker has it.
    ///
    /// # Errors
    /// The broker did not take it.
    pub async fn publish(
        &self,
        key: &str,
        value: &[u8],
        headers: &[(&str, String)],
    ) -> Result<(i32, i64), BrokerError> {
        let all = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (name, value)| {
            all.insert(Header { key: name, value: Some(value) })
        });
        let record = FutureRecord::to(&self.topic).key(key).payload(value).headers(all);
        let delivery = self.producer.send(record, QUEUE_TIMEOUT).await.map_err(|(error, _)| error)?;
        Ok((delivery.partition, delivery.offset))
    }
}
