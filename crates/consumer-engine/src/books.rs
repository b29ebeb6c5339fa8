//! The two topics in which a flow keeps what offsets cannot hold: `xc.<flow>.ledger` and `xc.<flow>.state`.
//!
//! Both have the flow's partition count; partition p of them belongs to the owner of p. What older versions wrote is read, what
//! newer ones wrote is passed over.

use std::collections::HashMap;
use std::sync::Arc;

use event_model::{Coordinates, Offset, OutgoingRecord, Partition};
use flow_core::{EventHash, Remembered, TopicId};

/// Who remembers accepted events.
pub fn ledger_topic(flow: &str) -> String {
    format!("xc.{flow}.ledger")
}

/// Who remembers that a partition was begun, and maps that are too big for offset metadata.
pub fn state_topic(flow: &str) -> String {
    format!("xc.{flow}.state")
}

const VERSION: u8 = 1;
const INIT: &[u8] = b"init";
const MAP: &str = "map/";

/// A ledger entry as a record: keyed by the event's hash, so that compaction keeps one.
pub(crate) fn entry(
    topic: &Arc<str>,
    at: Partition,
    source: &str,
    remembered: &Remembered,
    now_ms: i64,
) -> OutgoingRecord {
    let mut value = Vec::with_capacity(25 + source.len());
    value.push(VERSION);
    value.extend_from_slice(&remembered.payload.to_be_bytes());
    value.extend_from_slice(&remembered.offset.get().to_be_bytes());
    value.extend_from_slice(&now_ms.to_be_bytes());
    value.extend_from_slice(source.as_bytes());
    record(topic, at, remembered.event.0.to_vec(), value)
}

/// Reads an entry back; `None` for what is not ours or newer. An entry of a topic that the flow no longer reads keeps its id
/// known, under a place that no record has.
pub(crate) fn read_entry(key: &[u8], value: &[u8], topics: &[Arc<str>]) -> Option<Remembered> {
    let event = EventHash(key.try_into().ok()?);
    let (&version, rest) = value.split_first()?;
    if version != VERSION {
        return None;
    }
    let (payload, rest) = rest.split_first_chunk::<8>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (_time, source) = rest.split_first_chunk::<8>()?;
    let place = topics.iter().position(|name| name.as_bytes() == source);
    Some(Remembered {
        event,
        payload: u64::from_be_bytes(*payload),
        topic: TopicId(place.map_or(u16::MAX, |place| place as u16)),
        offset: Offset::new(i64::from_be_bytes(*offset)),
    })
}

/// The record that says: this partition was begun.
pub(crate) fn init(topic: &Arc<str>, at: Partition) -> OutgoingRecord {
    record(topic, at, INIT.to_vec(), vec![VERSION])
}

/// A map that does not fit the metadata of its offset.
pub(crate) fn map(topic: &Arc<str>, at: Partition, source: &str, bytes: Vec<u8>) -> OutgoingRecord {
    record(topic, at, format!("{MAP}{source}").into_bytes(), bytes)
}

fn record(topic: &Arc<str>, at: Partition, key: Vec<u8>, value: Vec<u8>) -> OutgoingRecord {
    OutgoingRecord {
        topic: topic.clone(),
        partition: Some(at),
        key: Some(key),
        value: Some(value),
        headers: Vec::new(),
    }
}

/// What a partition of the state topic says.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub begun: bool,
    /// By source topic.
    pub maps: HashMap<String, Vec<u8>>,
}

impl State {
    pub(crate) fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        if key == INIT {
            self.begun = value.is_some();
        } else if let Some(source) = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(MAP)) {
            match value {
                Some(bytes) => self.maps.insert(source.to_owned(), bytes.to_vec()),
                None => self.maps.remove(source),
            };
        }
    }
}

/// Where a ledger entry was read, for a log line about one that is damaged.
pub(crate) fn place(topic: &Arc<str>, partition: i32, offset: i64) -> Coordinates {
    Coordinates { topic: topic.clone(), partition: Partition::new(partition), offset: Offset::new(offset) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(topic: u16) -> Remembered {
        let (event, offset) = (EventHash([9; 16]), Offset::new(1 << 40));
        Remembered { event, payload: 77, topic: TopicId(topic), offset }
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        let topics: Vec<Arc<str>> = vec!["a".into(), "b".into()];
        let written = entry(&"ledger".into(), Partition::new(3), "b", &remembered(1), 5);
        let (key, value) = (written.key.unwrap(), written.value.unwrap());
        assert_eq!(read_entry(&key, &value, &topics), Some(remembered(1)));
        assert_eq!(written.partition, Some(Partition::new(3)));
    }

    #[test]
    fn an_event_of_a_topic_that_is_gone_stays_known() {
        let written = entry(&"ledger".into(), Partition::new(3), "gone", &remembered(1), 5);
        let read = read_entry(&written.key.unwrap(), &written.value.unwrap(), &["a".into()]);
        assert_eq!(read.map(|read| (read.event, read.topic)), Some((EventHash([9; 16]), TopicId(u16::MAX))));
    }

    #[test]
    fn what_is_not_ours_or_newer_is_passed_over() {
        assert_eq!(read_entry(b"short", &[1; 25], &[]), None);
        assert_eq!(read_entry(&[0; 16], &[2; 25], &[]), None);
        assert_eq!(read_entry(&[0; 16], &[1; 24], &[]), None);
        assert_eq!(read_entry(&[0; 16], &[], &[]), None);
    }

    #[test]
    fn state_keeps_the_last_word_and_forgets_what_was_removed() {
        let mut state = State::default();
        state.take(b"init", Some(&[1]));
        state.take(b"map/a", Some(b"old"));
        state.take(b"map/a", Some(b"new"));
        state.take(b"map/b", Some(b"x"));
        state.take(b"map/b", None);
        state.take(b"\xff\xfe", Some(b"strange"));
        assert!(state.begun);
        assert_eq!(state.maps, HashMap::from([("a".to_owned(), b"new".to_vec())]));
    }
}
