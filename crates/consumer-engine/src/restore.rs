//! The second client: what Kafka knows of an assigned partition.
//!
//! The order is the point. First the committed offsets (read_committed: the read waits for open transactions), then the ends of
//! ledger and state by a read_uncommitted client, then both up to there by a read_committed one. The markers of one transaction
//! reach the topics at different times: a ledger read only to its last stable offset would miss entries whose offset has moved. The
//! logs' own starts and ends come last: a committed offset lies between them unless it is of another log, or what it points at is gone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event_model::{NextOffset, Partition};
use flow_core::{Moved, Position, Restored, TopicId};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::books::{self, First, State};
use crate::clients;
use crate::context::Logging;
use crate::fence::Fence;
use crate::layout::{Layout, Watch};
use crate::log_reader::{Patience, Polled, Reader, read_to_end};
use crate::settings::{Settings, StartFrom};
use crate::telemetry::Telemetry;

/// Covers a dead member's open transaction that could not be ended, which a read_committed read waits for.
const WITHIN: Duration = Duration::from_secs(clients::TRANSACTION_TIMEOUT.as_secs() + 5);
/// How long an open transaction may hold us up before it is ended: that of a living owner that gave a partition back is not open.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(50);
/// What a broker that is well answers within milliseconds.
const SILENCE: Patience = Patience { renew_after: Duration::from_secs(5), give_up_after: WITHIN };
/// A leader that was just elected may know of a shorter log for a moment.
const END_AGAIN: Duration = Duration::from_secs(1);

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
    layout: Arc<Layout>,
    telemetry: Arc<Telemetry>,
    /// Topics for which it was said that `start_from` was taken already.
    told: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Restorer {
    pub(crate) fn new(
        settings: Arc<Settings>,
        layout: Arc<Layout>,
        telemetry: Arc<Telemetry>,
    ) -> KafkaResult<Restorer> {
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
            fence: Arc::new(Fence::new(settings.clone(), telemetry.clone())),
            told: Arc::default(),
            layout,
            telemetry,
            settings,
        })
    }

    /// Who watches the partition counts of everything that this reads.
    pub(crate) fn watch(&self) -> Watch {
        let books = [self.ledger.clone(), self.state.clone()];
        Watch {
            flow: self.settings.flow.clone(),
            client: self.uncommitted.clone(),
            topics: self.topics.iter().cloned().chain(books).collect(),
            layout: self.layout.clone(),
            telemetry: self.telemetry.clone(),
        }
    }

    /// Everything that Kafka knows of one partition. Blocks: call it off the loop.
    pub(crate) fn restore(&self, partition: Partition) -> KafkaResult<Restored> {
        let committed = self.committed_offsets(partition)?;
        let (ledger_end, state_end) = (self.end(&self.ledger, partition)?, self.end(&self.state, partition)?);
        let mut state = State::default();
        self.await_stable(partition, &committed, &[(&self.ledger, ledger_end), (&self.state, state_end)])?;
        self.read(&self.state, partition, state_end, None, |key, value| state.take(key, value))?;
        let now_ms = now_ms();
        let (layout, is_new) = self.layout(partition, &state, now_ms)?;
        let grown = layout.since_ms > 0;
        let mut positions = Vec::with_capacity(self.topics.len());
        for (index, found) in committed.into_iter().enumerate() {
            positions.push(self.position(TopicId(index as u16), partition, found, grown, &mut state)?);
        }
        let quarantined = state.quarantined.read(&self.topics);
        let layout_news = is_new.then_some(layout);
        let mut restored = Restored { positions, quarantined, layout: layout_news, ..Restored::default() };
        if restored.positions.iter().any(|position| position.waits(self.settings.flow_core.on_lost)) {
            return Ok(restored);
        }
        let mut learnt = 0;
        let window = i64::try_from(self.settings.flow_core.ledger_entries).unwrap_or(i64::MAX);
        self.read(&self.ledger, partition, ledger_end, Some(window), |key, value| {
            let entry = value.and_then(|value| books::read_entry(key, value, &self.topics));
            learnt += usize::from(value.and_then(books::entry_time).is_some_and(|time| time >= layout.since_ms));
            restored.remembered.extend(entry);
        })?;
        restored.moved = layout.window(self.settings.ledger_window, now_ms).map(|left| Moved { left, learnt });
        Ok(restored)
    }

    fn position(
        &self,
        topic: TopicId,
        partition: Partition,
        found: Option<(i64, String)>,
        grown: bool,
        state: &mut State,
    ) -> KafkaResult<Position> {
        let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic);
        let name = self.topics.get(usize::from(topic.0)).ok_or(unknown)?;
        let (committed, metadata) = found.map_or((None, String::new()), |(next, text)| (Some(next), text));
        let (log_start, mut log_end) = self.range(name, partition)?;
        if committed.is_some_and(|committed| committed > log_end) {
            std::thread::sleep(END_AGAIN);
            log_end = self.range(name, partition)?.1;
        }
        let remembered = state.firsts.remove(&**name);
        if let Some(first) = &remembered {
            self.compare_start(topic, name, first);
        }
        let begun = remembered.is_some() || state.begun;
        let first = match (remembered, committed) {
            (Some(first), _) => first.at.get(),
            (None, _) if begun => log_start,
            (None, Some(committed)) => committed,
            (None, None) => self.first(topic, name, partition, grown)?,
        };
        Ok(Position {
            topic,
            committed: committed.map(NextOffset::new),
            metadata,
            spilled: state.maps.remove(&**name),
            log_start: NextOffset::new(log_start),
            log_end: NextOffset::new(log_end),
            begun,
            first: NextOffset::new(first),
            loss_accepted: state.losses.remove(&**name),
        })
    }

    /// What the partition's books are made for, and whether that has yet to be written.
    fn layout(&self, partition: Partition, state: &State, now_ms: i64) -> KafkaResult<(flow_core::Layout, bool)> {
        // The flow begins nothing while the counts differ; a look that fails now is made again.
        let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition);
        let partitions = self.layout.partitions().ok_or(unknown)?;
        Ok(flow_core::Layout::of(partitions, state.layout, self.elsewhere(partition, state)?, now_ms))
    }

    /// What partition 0 says of the partition count, where this one says nothing.
    fn elsewhere(&self, partition: Partition, state: &State) -> KafkaResult<Option<flow_core::Layout>> {
        let zero = Partition::new(0);
        if state.layout.is_some() || partition == zero {
            return Ok(None);
        }
        let end = self.end(&self.state, zero)?;
        let mut state = State::default();
        self.read(&self.state, zero, end, None, |key, value| state.take(key, value))?;
        Ok(state.layout)
    }

    /// The start position was taken once; what the settings say now has no effect any more, which is said once.
    fn compare_start(&self, topic: TopicId, name: &Arc<str>, first: &First) {
        let Some(role) = self.settings.topics.get(usize::from(topic.0)) else { return };
        let now = role.start_from.to_string();
        if now != first.start_from && self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
            let (flow, taken) = (&self.settings.flow, &first.start_from);
            tracing::warn!(%flow, topic = %name, taken, now, "start_from was taken when the flow began; changing it has no effect");
        }
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

    /// Where the logs of a partition begin and end now. Blocks.
    pub(crate) fn ranges(&self, partition: Partition) -> KafkaResult<Vec<(TopicId, NextOffset, NextOffset)>> {
        let of = |(index, name): (usize, &Arc<str>)| {
            let (start, end) = self.range(name, partition)?;
            Ok((TopicId(index as u16), NextOffset::new(start), NextOffset::new(end)))
        };
        self.topics.iter().enumerate().map(of).collect()
    }

    fn range(&self, topic: &str, partition: Partition) -> KafkaResult<(i64, i64)> {
        self.uncommitted.fetch_watermarks(topic, partition.get(), WITHIN)
    }

    fn end(&self, topic: &str, partition: Partition) -> KafkaResult<i64> {
        Ok(self.range(topic, partition)?.1)
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
        let low = self.range(topic, partition)?.0;
        let from = window.map_or(low, |window| low.max(end.saturating_sub(window)));
        if from >= end {
            return Ok(());
        }
        let open = |from| {
            let logging = Logging { flow: self.settings.flow.clone() };
            let reader = clients::restorer(&self.settings, "read_committed")
                .set("enable.partition.eof", "true")
                .create_with_context(logging)
                .map(Reader::new)?;
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition.get(), KafkaOffset::Offset(from))?;
            reader.assign(&list).map(|()| reader)
        };
        let poll = |reader: &Reader| match reader.poll(POLL) {
            Some(Ok(message)) => {
                match message.key() {
                    Some(key) => take(key, message.payload()),
                    None => {
                        let at = books::place(topic, message.partition(), message.offset());
                        tracing::warn!(flow = %self.settings.flow, %at, "a record without a key is not ours; passed over");
                    }
                }
                Ok(Polled::Record(message.offset()))
            }
            // The last stable offset had reached `end` before reading began: the end of the partition lies behind it.
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(Polled::End),
            Some(Err(error)) => Err(error),
            None => Ok(Polled::Silent),
        };
        let renewed = |next| {
            let at = books::place(topic, partition.get(), next);
            self.telemetry.reader_renewed(&self.settings.flow, &at.to_string(), end);
        };
        read_to_end(from, SILENCE, open, poll, renewed)
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
    fn first(&self, topic: TopicId, name: &str, partition: Partition, grown: bool) -> KafkaResult<i64> {
        let (low, high) = self.committed.fetch_watermarks(name, partition.get(), WITHIN)?;
        let role = self.settings.topics.get(usize::from(topic.0));
        match role.map_or(StartFrom::Earliest, |role| role.start_from) {
            StartFrom::Earliest => Ok(low),
            // A partition that came later is a part of what the flow has begun to read.
            StartFrom::Latest if grown => Ok(low),
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

pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
