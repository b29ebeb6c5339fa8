//! The committer thread: writes one batch at a time, replies, dead letters and offsets together.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flow_core::{Batch, CommitFault, Resolved};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::mpsc;

use event_model::OutgoingRecord;

use crate::books;
use crate::clients;
use crate::context::{Logging, Membership};
use crate::delivery::{Deliveries, Refusal};
use crate::error::EngineError;
use crate::handler::Handler;
use crate::native;
use crate::quarantines;
use crate::settings::{Delivery, Settings};
use crate::telemetry::Telemetry;

/// How long one broker operation of a commit may take before it is asked again.
const OPERATION: Duration = Duration::from_secs(10);
/// After so long without an answer a step never will have one: librdkafka 2.12 forgets a step whose answer comes outdated, and says
/// for ever that it is under way. The broker has ended the transaction by then (`transaction.timeout.ms` and its sweep of 10 s).
const HANGING: Duration = Duration::from_secs(45);
/// How long acknowledgements may take in the at-least-once mode.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(60);

/// A batch, and the membership that it was closed under.
pub(crate) struct Sealed<W, O> {
    pub batch: Batch<W, O>,
    pub member: Option<ConsumerGroupMetadata>,
    /// How often partitions had been given up, as far as the loop knew.
    pub given_up: u64,
}

/// What became of a batch.
pub(crate) enum Outcome<W, O> {
    /// With the time at which `send_offsets`, which was accepted, was called.
    Committed(Batch<W, O>, Instant),
    Failed(Batch<W, O>, CommitFault),
    /// The producer is of no use any more.
    Out(String),
}

/// Why a batch was not committed.
enum Fault {
    /// Nothing of it is visible.
    Aborted(String),
    /// The same, because of one record.
    TooLarge(usize, String),
    Out(String),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        if refusal.too_large { Fault::TooLarge(refusal.index, refusal.detail) } else { Fault::Aborted(refusal.detail) }
    }
}

pub(crate) struct Committer<H: Handler> {
    settings: Settings,
    handler: Arc<H>,
    consumer: Arc<BaseConsumer<Membership<H::Work>>>,
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
    names: Vec<Arc<str>>,
    ledger: Arc<str>,
    state: Arc<str>,
    telemetry: Arc<Telemetry>,
    /// Set when the engine ends: then nothing is asked again.
    stop: Arc<AtomicBool>,
    given_up: Arc<AtomicU64>,
}

impl<H: Handler> Committer<H> {
    /// Makes the producer; with transactions this fences every earlier producer of the same id.
    pub(crate) fn new(
        settings: Settings,
        handler: Arc<H>,
        consumer: Arc<BaseConsumer<Membership<H::Work>>>,
        telemetry: Arc<Telemetry>,
        stop: Arc<AtomicBool>,
    ) -> Result<Committer<H>, EngineError> {
        let given_up = consumer.context().given_up.clone();
        let flow = settings.flow.to_string();
        let deliveries = Deliveries::new(Logging { flow: settings.flow.clone() });
        let producer: ThreadedProducer<Deliveries> = clients::producer(&settings)
            .create_with_context(deliveries.clone())
            .map_err(|source| EngineError::Client { flow: flow.clone(), source })?;
        if settings.delivery == Delivery::ExactlyOnce {
            producer.init_transactions(Duration::from_secs(60)).map_err(|source| EngineError::Kafka {
                flow,
                doing: "initialising the transactional producer",
                source,
            })?;
        }
        let names = settings.topics.iter().map(|topic| topic.name.clone()).collect();
        let ledger = books::ledger_topic(&settings.flow).into();
        let state = books::state_topic(&settings.flow).into();
        Ok(Committer {
            ledger,
            state,
            settings,
            handler,
            consumer,
            producer,
            deliveries,
            names,
            telemetry,
            stop,
            given_up,
        })
    }

    /// Writes batches until nobody sends any more.
    pub(crate) fn run(
        self,
        batches: std_mpsc::Receiver<Sealed<H::Work, H::Output>>,
        outcomes: mpsc::UnboundedSender<Outcome<H::Work, H::Output>>,
    ) {
        while let Ok(Sealed { batch, member, given_up }) = batches.recv() {
            let begun = Instant::now();
            let result = match self.settings.delivery {
                Delivery::ExactlyOnce => self.transaction(&batch, member.as_ref(), given_up),
                Delivery::AtLeastOnce => self.acknowledged(&batch, given_up),
            };
            self.telemetry.committed(&self.settings.flow, begun.elapsed(), batch.resolved.len(), result.is_ok());
            let outcome = match result {
                Ok(offsets_sent_at) => Outcome::Committed(batch, offsets_sent_at),
                Err(Fault::TooLarge(index, detail)) => Outcome::Failed(batch, CommitFault::TooLarge(index, detail)),
                Err(Fault::Aborted(detail)) => Outcome::Failed(batch, CommitFault::Aborted(detail)),
                Err(Fault::Out(detail)) => Outcome::Out(detail),
            };
            if outcomes.send(outcome).is_err() {
                break;
            }
        }
    }

    /// Everything in one transaction; when `send_offsets` was called.
    fn transaction(
        &self,
        batch: &Batch<H::Work, H::Output>,
        member: Option<&ConsumerGroupMetadata>,
        given_up: u64,
    ) -> Result<Instant, Fault> {
        self.producer.begin_transaction().map_err(|error| self.sort("begin", &error))?;
        let mut offsets_sent_at = Instant::now();
        let written = self.write(batch).and_then(|offsets| {
            self.still_ours(given_up)?;
            offsets_sent_at = Instant::now();
            self.send_offsets(&offsets, member)
        });
        match written.and_then(|()| self.commit()) {
            Ok(()) => Ok(offsets_sent_at),
            Err(Fault::Out(detail)) => Err(Fault::Out(detail)),
            Err(fault @ (Fault::Aborted(_) | Fault::TooLarge(..))) => {
                let aborted = self.repeat(|| self.producer.abort_transaction(OPERATION));
                aborted.map_err(|error| Fault::Out(format!("abort: {error}")))?;
                Err(fault)
            }
        }
    }

    fn send_offsets(&self, offsets: &TopicPartitionList, member: Option<&ConsumerGroupMetadata>) -> Result<(), Fault> {
        let Some(member) = member else {
            return Err(Fault::Aborted("the consumer is not a member of its group".into()));
        };
        let begun = Instant::now();
        self.repeat(|| self.producer.send_offsets_to_transaction(offsets, member, OPERATION)).map_err(|error| {
            let hangs = begun.elapsed() > HANGING;
            if hangs { Fault::Out(format!("send offsets: {error}")) } else { self.sort("send offsets", &error) }
        })
    }

    /// Commits through librdkafka's own call: the binding's `commit_transaction` first flushes in steps of 100 ms.
    fn commit(&self) -> Result<(), Fault> {
        let begun = Instant::now();
        loop {
            let Err(error) = native::commit_transaction(&self.producer, OPERATION) else { return Ok(()) };
            if error.retriable && !error.requires_abort && !self.stop.load(Ordering::Relaxed) {
                if begun.elapsed() > HANGING {
                    return Err(Fault::Out(format!("commit: {}", error.text)));
                }
                tracing::warn!(flow = %self.settings.flow, error = %error.text, "the commit timed out; committing again");
                continue;
            }
            let refusal = self.deliveries.refusal();
            return Err(match refusal {
                _ if error.fatal => Fault::Out(format!("commit: {}", error.text)),
                Some(refusal) => refusal.into(),
                None => Fault::Aborted(format!("commit: {}", error.text)),
            });
        }
    }

    /// The same without a transaction: everything else acknowledged, then the offsets.
    fn acknowledged(&self, batch: &Batch<H::Work, H::Output>, given_up: u64) -> Result<Instant, Fault> {
        let offsets = self.write(batch)?;
        self.deliveries.wait(ACKNOWLEDGED_WITHIN)?;
        self.still_ours(given_up)?;
        let sent_at = Instant::now();
        let commit = self.consumer.commit(&offsets, CommitMode::Sync);
        commit.map(|()| sent_at).map_err(|error| Fault::Aborted(format!("commit offsets: {error}")))
    }

    /// A batch is spoilt when partitions were given up that the loop did not know of when it closed it, even if they are held again:
    /// somebody else may have moved their offsets meanwhile.
    fn still_ours(&self, given_up: u64) -> Result<(), Fault> {
        if self.given_up.load(Ordering::SeqCst) == given_up {
            return Ok(());
        }
        Err(Fault::Aborted("partitions were given up since the batch was closed".into()))
    }

    /// Replies and dead letters, ledger entries, and what the state topic has to say; the offsets that go with them.
    fn write(&self, batch: &Batch<H::Work, H::Output>) -> Result<TopicPartitionList, Fault> {
        self.deliveries.reset();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        for (index, resolved) in batch.resolved.iter().enumerate() {
            for record in self.records(index, resolved)? {
                self.produce(&record, index)?;
            }
            if let Some(remembered) = &resolved.remember {
                let source = self.names.get(usize::from(remembered.topic.0)).map_or("", |name| name);
                let entry = books::entry(&self.ledger, resolved.partition(), source, remembered, now_ms);
                self.produce(&entry, index)?;
            }
        }
        self.write_quarantines(batch)?;
        let mut offsets = TopicPartitionList::new();
        for line in &batch.offsets {
            let Some(role) = self.settings.topics.get(usize::from(line.topic.0)) else { continue };
            let source = &role.name;
            if let Some(first) = line.news.first {
                let begun = books::first(&self.state, line.partition, source, first, &role.start_from.to_string());
                self.produce(&begun, batch.resolved.len())?;
            }
            if let Some(layout) = line.news.layout {
                self.produce(&books::layout(&self.state, line.partition, layout), batch.resolved.len())?;
            }
            let (metadata, spilled) = line.progress.encode(self.settings.writer());
            if let Some(bytes) = spilled {
                self.produce(&books::map(&self.state, line.partition, source, bytes), batch.resolved.len())?;
            }
            let mut element = offsets.add_partition(source, line.partition.get());
            let set = element.set_offset(KafkaOffset::Offset(line.progress.frontier.get()));
            set.map_err(|error| self.sort("offsets", &error))?;
            element.set_metadata(metadata);
        }
        Ok(offsets)
    }

    /// The last word of the batch on each key whose quarantine it changes.
    fn write_quarantines(&self, batch: &Batch<H::Work, H::Output>) -> Result<(), Fault> {
        let mut said = HashSet::new();
        for (index, resolved) in batch.resolved.iter().enumerate().rev() {
            let Some(change) = &resolved.quarantine else { continue };
            if said.insert((resolved.partition(), change.key)) {
                self.produce(&quarantines::record(&self.state, resolved.partition(), &self.names, change), index)?;
            }
        }
        Ok(())
    }

    fn produce(&self, record: &OutgoingRecord, index: usize) -> Result<(), Fault> {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for header in &record.headers {
            headers = headers.insert(KafkaHeader { key: &header.name, value: header.value.as_deref() });
        }
        let opaque = self.deliveries.sending(index) as usize;
        let mut message: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&record.topic, opaque).headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.partition = record.partition.map(event_model::Partition::get);
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                // The queue is bounded: wait until the producer's own thread has made room.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    message = back;
                    let flushed = self.producer.flush(Duration::from_millis(100)).or_else(ignore_time_out);
                    flushed.map_err(|error| self.sort("flush", &error))?;
                }
                Err((error, _)) => {
                    self.deliveries.not_sent();
                    let too_large = error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge);
                    let detail = format!("topic {}: {error}", record.topic);
                    return Err(if too_large { Fault::TooLarge(index, detail) } else { self.sort(&detail, &error) });
                }
            }
        }
    }

    /// Repeats what the broker did not answer in time, until it does, never will, or the engine ends.
    fn repeat(&self, mut operation: impl FnMut() -> KafkaResult<()>) -> KafkaResult<()> {
        let begun = Instant::now();
        loop {
            match operation() {
                Err(KafkaError::Transaction(error))
                    if error.is_retriable()
                        && !error.txn_requires_abort()
                        && begun.elapsed() < HANGING
                        && !self.stop.load(Ordering::Relaxed) =>
                {
                    let flow = &self.settings.flow;
                    tracing::warn!(%flow, %error, "the broker did not finish a step of the transaction in time; asking again");
                }
                result => return result,
            }
        }
    }

    /// What the handler writes for a resolution; if it panics, less is asked of it, as for a record that is too large.
    fn records(&self, index: usize, resolved: &Resolved<H::Work, H::Output>) -> Result<Vec<OutgoingRecord>, Fault> {
        catch_unwind(AssertUnwindSafe(|| self.handler.records(resolved))).map_err(|_| {
            tracing::error!(flow = %self.settings.flow, "writing up a record panicked; this is a bug, please report it");
            Fault::TooLarge(index, "writing up the record panicked".into())
        })
    }

    /// Whether the transaction can be repeated, or the producer is out.
    fn sort(&self, doing: &str, error: &KafkaError) -> Fault {
        let detail = format!("{doing}: {error}");
        let fatal = matches!(error, KafkaError::Transaction(inner) if inner.is_fatal());
        if fatal || self.producer.client().fatal_error().is_some() {
            Fault::Out(detail)
        } else {
            Fault::Aborted(detail)
        }
    }
}

fn ignore_time_out(error: KafkaError) -> KafkaResult<()> {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) { Ok(()) } else { Err(error) }
}
