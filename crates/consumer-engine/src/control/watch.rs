//! Reads `xc.control` as long as its flow runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::Paused;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::{CONTROL_TOPIC, Subject};
use crate::clients;
use crate::context::Logging;
use crate::log_reader::Reader;
use crate::settings::Settings;

const POLL: Duration = Duration::from_millis(200);
const WITHIN: Duration = Duration::from_secs(20);
/// How soon it is tried again when the topic cannot be read, or is not there.
const AGAIN: Duration = Duration::from_secs(2);
/// How often a reader that says nothing is compared with the ends of the topic: one that was assigned by hand has been seen to stay
/// silent for ever after a broker restart.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// What the flow is to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// What is held back now.
    Paused(Paused),
    /// The storm guard is to let go.
    GuardReset,
}

pub(crate) struct Watch {
    pub settings: Arc<Settings>,
}

/// Why a reading ended.
enum Ended {
    /// Nobody listens any more.
    Over,
    /// The topic does not exist.
    Missing,
    /// The reader fell silent before the end of the topic.
    Silent,
}

impl Watch {
    /// Reads until nobody listens. Blocks. What is held back is told once the whole topic was read, and whenever that changes; where the
    /// topic is not there nothing is held back.
    pub(crate) fn run(&self, tell: impl Fn(Heard), gone: impl Fn() -> bool) {
        let flow = &self.settings.flow;
        let mut told = None;
        while !gone() {
            match self.read(&mut told, &tell, &gone) {
                Ok(Ended::Over) => return,
                Ok(Ended::Missing) if told.is_some() => {}
                Ok(Ended::Missing) => {
                    tracing::warn!(%flow, topic = CONTROL_TOPIC, "the topic does not exist, so nothing can be paused; `xconnector topics create` makes it");
                    tell(Heard::Paused(told.insert(Paused::default()).clone()));
                }
                Ok(Ended::Silent) => tracing::warn!(%flow, topic = CONTROL_TOPIC, "its reader fell silent; made anew"),
                Err(error) => {
                    let waits = told.is_none();
                    tracing::warn!(%flow, topic = CONTROL_TOPIC, %error, flow_waits = waits, "the topic cannot be read; trying again");
                }
            }
            std::thread::sleep(AGAIN);
        }
    }

    fn read(&self, told: &mut Option<Paused>, tell: &impl Fn(Heard), gone: &impl Fn() -> bool) -> KafkaResult<Ended> {
        let Some((consumer, partitions)) = self.open()? else { return Ok(Ended::Missing) };
        let mut known = Known { next: vec![0; partitions], ended: vec![false; partitions], paused: Paused::default() };
        let (mut compared, mut before) = (Instant::now(), known.next.clone());
        while !gone() {
            let was_whole = known.is_whole();
            let reset = match consumer.poll(POLL) {
                Some(Ok(message)) => known.take(&self.settings.flow, &message),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    known.end(partition);
                    false
                }
                Some(Err(error)) => return Err(error),
                None => false,
            };
            if reset && was_whole {
                tell(Heard::GuardReset);
            }
            if known.is_whole() && told.as_ref() != Some(&known.paused) {
                tell(Heard::Paused(told.insert(known.paused.clone()).clone()));
            }
            if compared.elapsed() >= COMPARE_EVERY {
                if before == known.next && known.is_behind(&consumer)? {
                    return Ok(Ended::Silent);
                }
                (compared, before) = (Instant::now(), known.next.clone());
            }
        }
        Ok(Ended::Over)
    }

    /// A reader of the whole topic, and how many partitions that has; nothing where there is none.
    fn open(&self) -> KafkaResult<Option<(Reader, usize)>> {
        let logging = Logging { flow: self.settings.flow.clone() };
        let consumer = clients::restorer(&self.settings, "read_committed")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "500")
            .create_with_context(logging)
            .map(Reader::new)?;
        let metadata = consumer.fetch_metadata(Some(CONTROL_TOPIC), WITHIN)?;
        let Some(found) = metadata.topics().iter().find(|topic| topic.name() == CONTROL_TOPIC) else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
            Some(error) => return Err(KafkaError::MetadataFetch(error)),
            None => {}
        }
        let partitions = found.partitions().len();
        let mut list = TopicPartitionList::new();
        for partition in found.partitions() {
            list.add_partition_offset(CONTROL_TOPIC, partition.id(), KafkaOffset::Beginning)?;
        }
        consumer.assign(&list)?;
        Ok((partitions > 0).then_some((consumer, partitions)))
    }
}

/// What was read so far.
struct Known {
    /// By partition: the next offset.
    next: Vec<i64>,
    /// By partition: whether its end was seen.
    ended: Vec<bool>,
    paused: Paused,
}

impl Known {
    fn is_whole(&self) -> bool {
        self.ended.iter().all(|ended| *ended)
    }

    fn end(&mut self, partition: i32) {
        if let Some(ended) = usize::try_from(partition).ok().and_then(|partition| self.ended.get_mut(partition)) {
            *ended = true;
        }
    }

    /// Takes a record; whether it orders the flow's storm guard to let go.
    fn take(&mut self, flow: &str, message: &impl Message) -> bool {
        if let Some(next) = usize::try_from(message.partition()).ok().and_then(|partition| self.next.get_mut(partition))
        {
            *next = message.offset() + 1;
        }
        let says = message.payload().is_some();
        match message.key().and_then(Subject::of) {
            Some(Subject::Flow(of)) if of == flow => self.paused.flow = says,
            Some(Subject::Key(of, key)) if of == flow => {
                if says {
                    self.paused.keys.insert(key);
                } else {
                    self.paused.keys.remove(&key);
                }
            }
            Some(Subject::Guard(of)) => return says && of == flow,
            Some(Subject::Flow(_) | Subject::Key(..)) => {}
            None => {
                let (partition, offset) = (message.partition(), message.offset());
                tracing::warn!(
                    topic = CONTROL_TOPIC,
                    partition,
                    offset,
                    "a word that this version does not know; passed over"
                );
            }
        }
        false
    }

    fn is_behind(&self, consumer: &BaseConsumer<Logging>) -> KafkaResult<bool> {
        for (partition, next) in (0..).zip(&self.next) {
            let (low, high) = consumer.fetch_watermarks(CONTROL_TOPIC, partition, WITHIN)?;
            if high > low && *next < high {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn message(subject: &Subject, says: bool, offset: i64) -> OwnedMessage {
        let record = subject.record(says.then(|| b"{}".to_vec()));
        OwnedMessage::new(record.value, record.key, CONTROL_TOPIC.into(), Timestamp::NotAvailable, 0, offset, None)
    }

    #[test]
    fn the_last_word_counts_and_other_flows_are_none_of_its_business() {
        let mut known = Known { next: vec![0], ended: vec![false], paused: Paused::default() };
        let [ours, theirs] = ["tickets", "hr"].map(|flow| Subject::Flow(flow.into()));
        let key = flow_core::KeyHash::of(b"T-1");
        let of_key = Subject::Key("tickets".into(), key);
        let mut offset = 0;
        let mut take = |known: &mut Known, subject: &Subject, says| {
            offset += 1;
            known.take("tickets", &message(subject, says, offset))
        };
        assert!(!take(&mut known, &theirs, true) && !known.paused.flow);
        assert!(!take(&mut known, &ours, true) && known.paused.flow);
        assert!(!take(&mut known, &of_key, true) && known.paused.keys.contains(&key));
        assert!(!take(&mut known, &ours, false) && !known.paused.flow);
        assert!(!take(&mut known, &of_key, false) && known.paused == Paused::default());
        assert!(take(&mut known, &Subject::Guard("tickets".into()), true));
        assert!(!take(&mut known, &Subject::Guard("hr".into()), true));
        assert_eq!(known.next, [8]);
        assert!(!known.is_whole());
        known.end(0);
        assert!(known.is_whole());
    }
}
