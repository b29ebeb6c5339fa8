//! The reader thread: the only one that polls the consumer, and the one that decodes.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use event_model::{Coordinates, NextOffset, Offset, Partition, Record};
use flow_core::{Delivered, Plan, Reason, TopicId};
use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::context::Membership;
use crate::handler::Handler;
use crate::native;
use crate::settings::Settings;
use crate::telemetry::Telemetry;

/// Records per input at most: large enough to spread the loop's cost, small enough to keep commands prompt.
const CHUNK: usize = 500;
/// How long a poll waits when nothing is there; bounds how late a command is taken.
const POLL: Duration = Duration::from_millis(10);
const SEEK_WITHIN: Duration = Duration::from_secs(10);
const START_AGAIN: Duration = Duration::from_secs(1);

/// What the reader tells the loop, in the order in which it happened.
pub(crate) enum Read<W> {
    Assigned(Vec<(TopicId, Partition)>),
    /// The callback waits for the answer.
    Revoked(Vec<(TopicId, Partition)>, std_mpsc::SyncSender<()>),
    Lost(Vec<(TopicId, Partition)>),
    Started(Partition),
    Records(Vec<Delivered<W>>),
    /// Everything below these positions was told, or is never delivered.
    Ended(Vec<(TopicId, Partition, NextOffset)>),
    /// What was to be read is not in some log any more.
    OutOfRange,
    /// The consumer is of no use any more.
    Out(String),
}

/// What the loop tells the reader.
#[derive(Debug)]
pub(crate) enum Command {
    Start(Partition, Vec<(TopicId, NextOffset)>),
    Pause(Partition),
    Resume(Partition),
    /// Leave the group and end.
    Close,
}

pub(crate) struct Reader<H: Handler> {
    pub settings: Settings,
    pub handler: Arc<H>,
    pub consumer: Arc<BaseConsumer<Membership<H::Work>>>,
    pub commands: std_mpsc::Receiver<Command>,
    pub inputs: mpsc::Sender<Read<H::Work>>,
    pub names: Vec<Arc<str>>,
    pub telemetry: Arc<Telemetry>,
    /// Starts that failed, with the time to try them again.
    pub again: VecDeque<(Instant, Command)>,
    /// One past the last record that was told, of each topic partition.
    pub told_to: HashMap<(TopicId, Partition), i64>,
}

impl<H: Handler> Reader<H> {
    /// Polls until told to close, or until nobody listens any more. If it panics, the loop is told: nobody else would notice.
    pub(crate) fn run(self) {
        let inputs = self.inputs.clone();
        if catch_unwind(AssertUnwindSafe(|| self.turn())).is_err() {
            let _ = inputs.blocking_send(Read::Out("the reader panicked; this is a bug, please report it".into()));
        }
    }

    fn turn(mut self) {
        loop {
            loop {
                match self.commands.try_recv() {
                    Ok(Command::Close) | Err(std_mpsc::TryRecvError::Disconnected) => return self.close(),
                    Ok(command) => self.obey(command),
                    Err(std_mpsc::TryRecvError::Empty) => break,
                }
            }
            while self.again.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                if let Some((_, command)) = self.again.pop_front() {
                    self.obey(command);
                }
            }
            self.poll();
        }
    }

    fn close(self) {
        // Rebalance callbacks of the leave run inside these polls.
        self.consumer.unsubscribe();
        while self.consumer.poll(Duration::ZERO).is_some() {}
    }

    fn obey(&mut self, command: Command) {
        let result = match &command {
            Command::Start(partition, positions) => self.start(*partition, positions),
            Command::Pause(partition) => self.consumer.pause(&self.list(*partition)),
            Command::Resume(partition) => self.consumer.resume(&self.list(*partition)),
            Command::Close => Ok(()),
        };
        let Err(error) = result else { return };
        let Command::Start(partition, _) = &command else {
            // The partition went away meanwhile, and its revoke is on its way to the loop: nothing is lost.
            return tracing::debug!(flow = %self.settings.flow, ?command, %error, "the reader could not obey");
        };
        let stopped = error.rdkafka_error_code() == Some(RDKafkaErrorCode::State);
        if stopped && !matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
            // The eager protocol moves all partitions or none: only a new member can begin at a position of its own.
            return self.send(Read::Out(format!("partition {} stands still: {error}", partition.get())));
        }
        if self.holds(*partition) {
            tracing::warn!(flow = %self.settings.flow, partition = partition.get(), %error, "the partition cannot be started; trying again");
            self.again.push_back((Instant::now() + START_AGAIN, command));
        }
    }

    fn holds(&self, partition: Partition) -> bool {
        let Ok(assignment) = self.consumer.assignment() else { return false };
        self.names.iter().all(|name| assignment.find_partition(name, partition.get()).is_some())
    }

    fn start(&mut self, partition: Partition, positions: &[(TopicId, NextOffset)]) -> Result<(), KafkaError> {
        self.told_to.retain(|(_, started), _| *started != partition);
        let mut list = TopicPartitionList::new();
        for (topic, position) in positions {
            if let Some(name) = self.names.get(usize::from(topic.0)) {
                list.add_partition_offset(name, partition.get(), KafkaOffset::Offset(position.get()))?;
            }
        }
        let sought = self.consumer.seek_partitions(list.clone(), SEEK_WITHIN)?;
        let failed = sought.elements().iter().find_map(|element| element.error().err());
        if let Some(error) = failed {
            let cooperative = matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
            if !cooperative {
                return Err(error);
            }
            // A fetcher that an out-of-range placeholder stopped cannot seek: begin anew at the position.
            self.consumer.incremental_unassign(&self.list(partition))?;
            self.send(Read::Started(partition));
            self.consumer.incremental_assign(&list)?;
            return self.consumer.resume(&self.list(partition));
        }
        // Told before records flow, and through the same channel: whatever the loop got earlier was read at the placeholder.
        self.send(Read::Started(partition));
        self.consumer.resume(&self.list(partition))
    }

    fn list(&self, partition: Partition) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for name in &self.names {
            list.add_partition(name, partition.get());
        }
        list
    }

    fn poll(&mut self) {
        let mut records = Vec::new();
        let (mut ended, mut out_of_range) = (BTreeSet::new(), false);
        let mut wait = POLL;
        while records.len() < CHUNK {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => records.extend(self.delivered(&message)),
                // rdkafka does not say of which topic.
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
                Some(Err(error)) => {
                    out_of_range |= error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset);
                    self.refused(&error);
                }
            }
            wait = Duration::ZERO;
        }
        for record in &records {
            self.told_to.insert((record.topic, record.partition), record.offset.get() + 1);
        }
        if !records.is_empty() {
            self.send(Read::Records(records));
        }
        if !ended.is_empty() {
            self.ended(&ended);
        }
        if out_of_range {
            self.send(Read::OutOfRange);
        }
    }

    /// The client's position passes what is never delivered (markers, aborted records); a seek or a new assignment forgets it. What
    /// lies below it was told: both come out of one queue, and this thread alone empties it.
    fn ended(&mut self, partitions: &BTreeSet<i32>) {
        let positions = match self.consumer.position() {
            Ok(positions) => positions,
            Err(error) => {
                return tracing::debug!(flow = %self.settings.flow, %error, "the positions cannot be read");
            }
        };
        let mut ends = Vec::new();
        for element in positions.elements() {
            let topic = self.names.iter().position(|name| &**name == element.topic());
            let (Some(index), KafkaOffset::Offset(position)) = (topic, element.offset()) else { continue };
            let place = (TopicId(index as u16), Partition::new(element.partition()));
            let beyond = self.told_to.get(&place).is_none_or(|told_to| position > *told_to);
            if partitions.contains(&element.partition()) && beyond {
                self.told_to.insert(place, position);
                ends.push((place.0, place.1, NextOffset::new(position)));
            }
        }
        if !ends.is_empty() {
            self.send(Read::Ended(ends));
        }
    }

    /// librdkafka goes on by itself, unless it says that the error is fatal: then it never joins the group again.
    fn refused(&self, error: &KafkaError) {
        let code = error.rdkafka_error_code().map_or_else(|| "other".to_owned(), |code| format!("{code:?}"));
        self.telemetry.consumer_error(&self.settings.flow, &code);
        tracing::warn!(flow = %self.settings.flow, %error, "the consumer reports an error");
        if let Some((code, detail)) = self.consumer.client().fatal_error() {
            self.send(Read::Out(format!("{code:?}: {detail}")));
        } else if error.rdkafka_error_code() == Some(RDKafkaErrorCode::LogTruncation) {
            // It stands still somewhere and does not say where.
            self.send(Read::Out(format!("a leader lost records that were read: {error}")));
        }
    }

    fn delivered(&self, message: &BorrowedMessage<'_>) -> Option<Delivered<H::Work>> {
        let index = self.names.iter().position(|name| &**name == message.topic())?;
        let topic = TopicId(index as u16);
        let (partition, offset) = (Partition::new(message.partition()), Offset::new(message.offset()));
        let name = self.names.get(index)?.clone();
        let coordinates = Coordinates { topic: name, partition, offset };
        let timestamp_ms = message.timestamp().to_millis();
        let prepare = AssertUnwindSafe(|| self.handler.prepare(topic, record(coordinates.clone(), message)));
        let prepared = catch_unwind(prepare).map_err(|_| {
            tracing::error!(flow = %self.settings.flow, at = %coordinates, "decoding panicked; this is a bug, please report it");
        });
        let prepared = match prepared {
            Ok(prepared) => prepared,
            // Rebuilt from the message: the first copy went down with the panic.
            Err(()) => {
                let record = self::record(coordinates, message);
                let mut rescued = self.handler.rescue(topic, record);
                rescued.plan =
                    Plan::Reject(Reason::code("decoder-panic"), "decoding this record panicked; see the log".into());
                rescued
            }
        };
        let crate::Prepared { lane, keyed, letter, identity, business, plan, work } = prepared;
        Some(Delivered { topic, partition, offset, timestamp_ms, lane, keyed, letter, identity, business, plan, work })
    }

    fn send(&self, read: Read<H::Work>) {
        if self.inputs.blocking_send(read).is_err() {
            tracing::debug!(flow = %self.settings.flow, "the loop has ended");
        }
    }
}

fn record(coordinates: Coordinates, message: &BorrowedMessage<'_>) -> Record {
    Record {
        coordinates,
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: native::headers(message),
        timestamp_ms: message.timestamp().to_millis(),
    }
}
