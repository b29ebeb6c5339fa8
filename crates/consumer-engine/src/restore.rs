//! The second client: what Kafka knows of an assigned partition.
//!
//! The order is the point. First the committed offsets (read_committed: the read waits for open transactions), then the ends of
//! ledger and state by a read_uncommitted client, then both up to there by a read_committed one. The markers of one transaction
//! reach the topics at different times: a ledger read only to its last stable offset would miss entries whose offset has moved.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_model::{NextOffset, Partition};
use flow_core::{Position, Remembered, Restored, TopicId};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::books::{self, State};
use crate::clients;
use crate::context::Logging;
use crate::fence::Fence;
use crate::settings::{Settings, StartFrom};
use crate::telemetry::Telemetry;

/// Covers a dead member's open transaction that could not be ended, which a read_committed read waits for.
const WITHIN: Duration = Duration::from_secs(clients::TRANSACTION_TIMEOUT.as_secs() + 5);
/// How long an open transaction may hold us up before it is ended: that of a living owner that gave a partition back is not open.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(50);

/// By topic of the flow: the committed offset and its metadata.
type Committed = Vec<Option<(i64, String)>>;

/// Reads positions and books; never a member of the group.
#[derive(Clone)]
pub(crate) struct Restorer {
    settings: Arc<Settings>,
    committed: Arc<BaseConsumer<Logging>>,
    uncommitted: Arc<BaseConsumer<Logging>>,
    topics: Vec<Arc<str>>,
    ledger: Arc<str>,
    state: Arc<str>,
    fence: Arc<Fence>,
}

impl Restorer {
    pub(crate) fn new(settings: Arc<Settings>, telemetry: Arc<Telemetry>) -> KafkaResult<Restorer> {
        let client = |isolation| {
            let logging = Logging { flow: settings.flow.clone() };
            clients::restorer(&settings, isolation).create_with_context(logging).map(Arc::new)
        };
        Ok(Restorer {
            committed: client("read_committed")?,
            uncommitted: client("read_uncommitted")?,
            topics: settings.topics.iter().map(|topic| topic.name.clone()).collect(),
            ledger: books::ledger_topic(&settings.flow).into(),
            state: books::state_topic(&settings.flow).into(),
            fence: Arc::new(Fence::new(settings.clone(), telemetry)),
            settings,
        })
    }

    /// Everything that Kafka knows of one partition. Blocks: call it off the loop.
    pub(crate) fn restore(&self, partition: Partition) -> KafkaResult<Restored> {
        let committed = self.committed_offsets(partition)?;
        let (ledger_end, state_end) = (self.end(&self.ledger, partition)?, self.end(&self.state, partition)?);
        let mut state = State::default();
        self.await_stable(partition, &committed, &[(&self.ledger, ledger_end), (&self.state, state_end)])?;
        self.read(&self.state, partition, state_end, None, |key, value| state.take(key, value))?;
        let mut remembered: Vec<Remembered> = Vec::new();
        let window = i64::try_from(self.settings.flow_core.ledger_entries).unwrap_or(i64::MAX);
        self.read(&self.ledger, partition, ledger_end, Some(window), |key, value| {
            remembered.extend(value.and_then(|value| books::read_entry(key, value, &self.topics)));
        })?;
        let mut positions = Vec::with_capacity(self.topics.len());
        for (index, (name, found)) in self.topics.iter().zip(committed).enumerate() {
            let topic = TopicId(index as u16);
            let (next, metadata) = match found {
                Some(found) => found,
                None => (self.first(topic, name, partition)?, String::new()),
            };
            let log_end = NextOffset::new(self.end(name, partition)?);
            let spilled = state.maps.remove(&**name);
            positions.push(Position {
                topic,
                next: NextOffset::new(next),
                metadata,
                spilled,
                log_end,
                begun: state.begun,
            });
        }
        Ok(Restored { positions, remembered })
    }

    /// Where the logs of a partition end now, open transactions included. Blocks.
    pub(crate) fn log_ends(&self, partition: Partition) -> KafkaResult<Vec<(TopicId, NextOffset)>> {
        let of = |(index, name): (usize, &Arc<str>)| {
            Ok((TopicId(index as u16), NextOffset::new(self.end(name, partition)?)))
        };
        self.topics.iter().enumerate().map(of).collect()
    }

    /// The committed offsets, once no open transaction may change them.
    fn committed_offsets(&self, partition: Partition) -> KafkaResult<Committed> {
        // Also where the coordinator is looked for: what then takes long is an open transaction.
        let named = self.offsets(&self.uncommitted, partition, WITHIN)?;
        match self.offsets(&self.committed, partition, PATIENCE) {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) => {
                self.end_open(&named);
                self.offsets(&self.committed, partition, WITHIN)
            }
            result => result,
        }
    }

    fn offsets(
        &self,
        client: &BaseConsumer<Logging>,
        partition: Partition,
        within: Duration,
    ) -> KafkaResult<Committed> {
        let mut list = TopicPartitionList::new();
        for topic in &self.topics {
            list.add_partition(topic, partition.get());
        }
        let committed = client.committed_offsets(list, within)?;
        let mut found = Vec::with_capacity(self.topics.len());
        for name in &self.topics {
            let element = committed.find_partition(name, partition.get());
            found.push(match element {
                Some(element) => {
                    element.error()?;
                    match element.offset() {
                        KafkaOffset::Offset(next) => Some((next, element.metadata().to_owned())),
                        KafkaOffset::Beginning
                        | KafkaOffset::End
                        | KafkaOffset::Stored
                        | KafkaOffset::Invalid
                        | KafkaOffset::OffsetTail(_) => None,
                    }
                }
                None => None,
            });
        }
        Ok(found)
    }

    /// Ends what the owners that these offsets name left open. Where that fails, the broker ends it later.
    fn end_open(&self, named: &Committed) {
        let metadata = named.iter().flatten().map(|(_, metadata)| metadata.as_str());
        if let Err(error) = self.fence.writers_of(metadata) {
            tracing::warn!(flow = %self.settings.flow, %error, "an earlier owner's open transaction cannot be ended; waiting for the broker to do it");
        }
    }

    fn end(&self, topic: &str, partition: Partition) -> KafkaResult<i64> {
        Ok(self.uncommitted.fetch_watermarks(topic, partition.get(), WITHIN)?.1)
    }

    /// Reads a partition of a book to `end`, from its start or from `window` offsets before its end.
    fn read(
        &self,
        topic: &Arc<str>,
        partition: Partition,
        end: i64,
        window: Option<i64>,
        mut take: impl FnMut(&[u8], Option<&[u8]>),
    ) -> KafkaResult<()> {
        let low = self.uncommitted.fetch_watermarks(topic, partition.get(), WITHIN)?.0;
        let from = window.map_or(low, |window| low.max(end.saturating_sub(window)));
        if from >= end {
            return Ok(());
        }
        let logging = Logging { flow: self.settings.flow.clone() };
        let reader: BaseConsumer<Logging> = clients::restorer(&self.settings, "read_committed")
            .set("enable.partition.eof", "true")
            .create_with_context(logging)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition.get(), KafkaOffset::Offset(from))?;
        reader.assign(&list)?;
        let mut quiet_since = Instant::now();
        loop {
            match reader.poll(POLL) {
                Some(Ok(message)) => {
                    quiet_since = Instant::now();
                    match message.key() {
                        Some(key) => take(key, message.payload()),
                        None => {
                            let at = books::place(topic, message.partition(), message.offset());
                            tracing::warn!(flow = %self.settings.flow, %at, "a record without a key is not ours; passed over");
                        }
                    }
                }
                // The last stable offset had reached `end` before reading began: the end of the partition lies behind it.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(error),
                None if quiet_since.elapsed() > WITHIN => {
                    return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
                }
                None => {}
            }
        }
    }

    /// Waits until no transaction is open below the ends of the books; one that stays open is ended.
    fn await_stable(&self, partition: Partition, committed: &Committed, ends: &[(&Arc<str>, i64)]) -> KafkaResult<()> {
        let begun = Instant::now();
        let mut fenced = false;
        for (topic, end) in ends {
            while self.committed.fetch_watermarks(topic, partition.get(), WITHIN)?.1 < *end {
                if begun.elapsed() >= WITHIN {
                    return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
                }
                if begun.elapsed() >= PATIENCE && !fenced {
                    fenced = true;
                    self.end_open(committed);
                }
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }

    /// The start position of a partition that nothing was ever committed for.
    fn first(&self, topic: TopicId, name: &str, partition: Partition) -> KafkaResult<i64> {
        let (low, high) = self.committed.fetch_watermarks(name, partition.get(), WITHIN)?;
        let role = self.settings.topics.get(usize::from(topic.0));
        match role.map_or(StartFrom::Earliest, |role| role.start_from) {
            StartFrom::Earliest => Ok(low),
            StartFrom::Latest => Ok(high),
            StartFrom::Timestamp(ms) => {
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(name, partition.get(), KafkaOffset::Offset(ms))?;
                let found = self.committed.offsets_for_times(list, WITHIN)?;
                match found.find_partition(name, partition.get()).map(|element| element.offset()) {
                    Some(KafkaOffset::Offset(offset)) => Ok(offset),
                    // Nothing is that young: the end.
                    Some(_) => Ok(high),
                    None => Err(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition)),
                }
            }
        }
    }
}
