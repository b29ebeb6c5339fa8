//! An embedded Kafka broker for demonstrations: librdkafka's mock cluster.
//!
//! It knows topics, groups, produce, fetch and commits with metadata. Its transactions are a façade, and it has no admin
//! interface: nothing about them may be proved on it.

use std::sync::mpsc;
use std::thread;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

/// A mock cluster. It ends when this is dropped.
///
/// The cluster's handle may not leave the thread that made it, so a thread of its own keeps it and takes orders.
pub struct EmbeddedBroker {
    bootstrap_servers: String,
    orders: Option<mpsc::Sender<Order>>,
    keeper: Option<thread::JoinHandle<()>>,
}

struct Order {
    topic: String,
    partitions: i32,
    done: mpsc::Sender<Result<(), KafkaError>>,
}

/// Why the embedded broker did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// librdkafka refused.
    #[error("the embedded broker refused: {0}")]
    Refused(#[from] KafkaError),
    /// The broker's thread could not be started.
    #[error("the embedded broker's thread could not start: {0}")]
    Thread(#[from] std::io::Error),
    /// The broker's thread has ended.
    #[error("the embedded broker is gone")]
    Gone,
}

impl EmbeddedBroker {
    /// Starts a cluster of this many brokers on free ports of this machine.
    pub fn start(brokers: i32) -> Result<Self, BrokerError> {
        let (orders, inbox) = mpsc::channel::<Order>();
        let (ready, started) = mpsc::channel();
        let keeper = thread::Builder::new().name("embedded-broker".into()).spawn(move || {
            let cluster = match MockCluster::new(brokers) {
                Ok(cluster) => cluster,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let _ = ready.send(Ok(cluster.bootstrap_servers()));
            while let Ok(order) = inbox.recv() {
                let _ = order.done.send(cluster.create_topic(&order.topic, order.partitions, brokers));
            }
        })?;
        let bootstrap_servers = started.recv().map_err(|_| BrokerError::Gone)??;
        Ok(Self { bootstrap_servers, orders: Some(orders), keeper: Some(keeper) })
    }

    /// Addresses for `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Creates a topic with this many partitions, replicated to every broker.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), BrokerError> {
        let orders = self.orders.as_ref().ok_or(BrokerError::Gone)?;
        let (done, answer) = mpsc::channel();
        orders.send(Order { topic: topic.to_owned(), partitions, done }).map_err(|_| BrokerError::Gone)?;
        answer.recv().map_err(|_| BrokerError::Gone)??;
        Ok(())
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(keeper) = self.keeper.take() {
            // A panic in the thread has been reported already; there is nothing left to clean up.
            let _ = keeper.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};

    use super::*;

    #[test]
    fn a_topic_has_the_partitions_that_were_asked_for() {
        let broker = EmbeddedBroker::start(3).unwrap();
        broker.create_topic("tickets", 12).unwrap();
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", broker.bootstrap_servers()).create().unwrap();
        let metadata = consumer.fetch_metadata(Some("tickets"), Duration::from_secs(10)).unwrap();
        assert_eq!(metadata.brokers().len(), 3);
        assert_eq!(metadata.topics()[0].partitions().len(), 12);
    }
}
