//! librdkafka's callbacks: rebalances and statistics become inputs, log lines go to our log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use event_model::Partition;
use flow_core::TopicId;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::BaseConsumer;
use rdkafka::consumer::{Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::reader::Read;
use crate::status::LogEnds;

/// A problem that a client tells of.
fn report(flow: &str, error: &KafkaError, reason: &str) {
    // The end of a partition comes this way too, and is none.
    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
        tracing::warn!(flow, %error, reason, "the Kafka client reports a problem");
    }
}

/// Where librdkafka's own log lines go: into ours, with the flow's name, never with payloads (it prints none).
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    pub flow: Arc<str>,
}

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(&self.flow, level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        report(&self.flow, &error, reason);
    }
}

impl ConsumerContext for Logging {}

fn log(flow: &str, level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::error!(flow, facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(flow, facility, message, "librdkafka"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(flow, facility, message, "librdkafka"),
        RDKafkaLogLevel::Debug => tracing::debug!(flow, facility, message, "librdkafka"),
    }
}

/// The reader's callbacks.
pub(crate) struct Membership<W> {
    pub flow: Arc<str>,
    pub topics: HashMap<String, TopicId>,
    pub inputs: mpsc::Sender<Read<W>>,
    pub drain_within: Duration,
    pub log_ends: LogEnds,
    /// How often partitions were given up: a batch of a loop that has not heard of the last time must not be committed.
    pub given_up: Arc<AtomicU64>,
}

impl<W: Send + Sync + 'static> ClientContext for Membership<W> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(&self.flow, level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        report(&self.flow, &error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        for (name, topic) in &statistics.topics {
            let Some(id) = self.topics.get(name) else { continue };
            for (partition, of) in &topic.partitions {
                // The last stable offset is where a read_committed reader's log ends.
                let end = if of.ls_offset >= 0 { of.ls_offset } else { of.hi_offset };
                if *partition >= 0 && end >= 0 {
                    self.log_ends.set(*id, Partition::new(*partition), end);
                }
            }
        }
    }
}

impl<W: Send + Sync + 'static> ConsumerContext for Membership<W> {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let partitions = self.partitions(list);
        let result = if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let result = assign(consumer, list, cooperative);
            self.say(Read::Assigned(partitions));
            result
        } else {
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS {
                tracing::warn!(flow = %self.flow, code = ?error, "the group's rebalance failed; giving everything back");
            }
            self.give_back(partitions, consumer.assignment_lost());
            if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() }
        };
        if let Err(error) = result {
            tracing::error!(flow = %self.flow, %error, "the assignment could not be changed");
        }
    }
}

/// Takes the partitions at a position that is only a placeholder, paused: the loop restores the true one and seeks.
fn assign<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &mut TopicPartitionList,
    cooperative: bool,
) -> KafkaResult<()> {
    // Also an empty list must be taken: librdkafka tells the group that partitions are given back only after this call, and
    // the member that is to get them would wait for ever.
    // A position that is not in the log stops the fetcher, which a seek cannot start again. The eager protocol has no way to begin anew with
    // one partition, so its placeholder is one that is always there.
    list.set_all_offsets(if cooperative { Offset::Offset(0) } else { Offset::Beginning })?;
    if cooperative {
        consumer.incremental_assign(list)?;
    } else {
        consumer.assign(list)?;
    }
    if list.count() == 0 {
        return Ok(());
    }
    consumer.pause(list)
}

impl<W: Send + Sync + 'static> Membership<W> {
    fn partitions(&self, list: &TopicPartitionList) -> Vec<(TopicId, Partition)> {
        let known = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            self.topics.get(element.topic()).map(|topic| (*topic, Partition::new(element.partition())))
        };
        list.elements().iter().filter_map(known).collect()
    }

    /// Gives partitions back: waits until the loop has finished with them, but no longer than the drain may take.
    fn give_back(&self, partitions: Vec<(TopicId, Partition)>, lost: bool) {
        if partitions.is_empty() {
            return;
        }
        if lost {
            self.given_up.fetch_add(1, Ordering::SeqCst);
            return self.say(Read::Lost(partitions));
        }
        let (answer, answered) = std_mpsc::sync_channel(1);
        self.say(Read::Revoked(partitions, answer));
        // The loop cuts the drain itself; the margin only covers a loop that is busy or gone.
        let bound = self.drain_within + Duration::from_secs(5);
        if answered.recv_timeout(bound).is_err() {
            tracing::error!(flow = %self.flow, ?bound, "the loop did not release revoked partitions in time");
        }
        // Only now: what was closed while the partitions were being given back was still ours to commit.
        self.given_up.fetch_add(1, Ordering::SeqCst);
    }

    fn say(&self, read: Read<W>) {
        if self.inputs.blocking_send(read).is_err() {
            tracing::debug!(flow = %self.flow, "the loop has ended");
        }
    }
}
