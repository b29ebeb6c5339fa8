//! The two topics in which a flow keeps what offsets cannot hold: `xc.<flow>.ledger` and `xc.<flow>.state`.
//!
//! Both have the flow's partition count; partition p of them belongs to the owner of p. What older versions wrote is read, what
//! newer ones wrote is passed over.

use std::collections::HashMap;
use std::sync::Arc;

use event_model::{Coordinates, NextOffset, Offset, OutgoingRecord, Partition};
use flow_core::{EventHash, Layout, Remembered, TopicId};

use crate::quarantines::Entries;

/// Who remembers accepted events.
pub fn ledger_topic(flow: &str) -> String {
    format!("xc.{flow}.ledger")
}

/// Who remembers that a partition was begun, and maps that are too big for offset metadata.
pub fn state_topic(flow: &str) -> String {
    format!("xc.{flow}.state")
}

const VERSION: u8 = 1;
/// Of versions that remembered no position: every topic of the partition was begun.
const INIT: &[u8] = b"init";
const FIRST: &str = "init/";
const MAP: &str = "map/";
const LAYOUT: &[u8] = b"layout";
const LOSS: &str = "loss/";

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

/// The record that says: this topic partition was begun, here, because the settings said so then.
pub(crate) fn first(
    topic: &Arc<str>,
    at: Partition,
    source: &str,
    first: NextOffset,
    start_from: &str,
) -> OutgoingRecord {
    let mut value = vec![VERSION];
    value.extend_from_slice(&first.get().to_be_bytes());
    value.extend_from_slice(start_from.as_bytes());
    record(topic, at, format!("{FIRST}{source}").into_bytes(), value)
}

/// The record that says for which partition count the books are made.
pub(crate) fn layout(topic: &Arc<str>, at: Partition, layout: Layout) -> OutgoingRecord {
    let mut value = vec![VERSION];
    value.extend_from_slice(&layout.partitions.to_be_bytes());
    value.extend_from_slice(&layout.since_ms.to_be_bytes());
    record(topic, at, LAYOUT.to_vec(), value)
}

/// The record by which an operator accepts that what lies behind a committed offset is lost.
pub(crate) fn loss(topic: &Arc<str>, at: Partition, source: &str, committed: NextOffset) -> OutgoingRecord {
    let mut value = vec![VERSION];
    value.extend_from_slice(&committed.get().to_be_bytes());
    record(topic, at, format!("{LOSS}{source}").into_bytes(), value)
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

/// When an entry was made, in milliseconds since the Unix epoch.
pub(crate) fn entry_time(value: &[u8]) -> Option<i64> {
    let time = value.get(17..25)?.try_into().ok()?;
    Some(i64::from_be_bytes(time))
}

/// Where a topic partition was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct First {
    pub at: NextOffset,
    /// What the settings said then.
    pub start_from: String,
}

/// What a partition of the state topic says.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Every topic was begun; where is not known.
    pub begun: bool,
    /// By source topic.
    pub firsts: HashMap<String, First>,
    /// By source topic.
    pub maps: HashMap<String, Vec<u8>>,
    /// By source topic: the committed offset behind which a loss is accepted.
    pub losses: HashMap<String, NextOffset>,
    pub layout: Option<Layout>,
    pub quarantined: Entries,
}

impl State {
    pub(crate) fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        if self.quarantined.take(key, value) {
            // A key in quarantine.
        } else if key == INIT {
            self.begun = value.is_some();
        } else if key == LAYOUT {
            self.layout = value.and_then(read_layout);
        } else if let Ok(key) = std::str::from_utf8(key) {
            if let Some(source) = key.strip_prefix(FIRST) {
                put(&mut self.firsts, source, value.and_then(read_first));
            } else if let Some(source) = key.strip_prefix(LOSS) {
                put(&mut self.losses, source, value.and_then(read_offset).map(|(committed, _)| committed));
            } else if let Some(source) = key.strip_prefix(MAP) {
                put(&mut self.maps, source, value.map(<[u8]>::to_vec));
            }
        }
    }
}

fn put<T>(map: &mut HashMap<String, T>, source: &str, value: Option<T>) {
    match value {
        Some(value) => map.insert(source.to_owned(), value),
        None => map.remove(source),
    };
}

/// An offset behind the version, and what follows it; `None` for what is damaged or newer.
fn read_offset(value: &[u8]) -> Option<(NextOffset, &[u8])> {
    let (&version, rest) = value.split_first()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    (version == VERSION).then(|| (NextOffset::new(i64::from_be_bytes(*offset)), rest))
}

fn read_first(value: &[u8]) -> Option<First> {
    let (at, start_from) = read_offset(value)?;
    Some(First { at, start_from: String::from_utf8_lossy(start_from).into_owned() })
}

fn read_layout(value: &[u8]) -> Option<Layout> {
    let (&version, rest) = value.split_first()?;
    let (partitions, rest) = rest.split_first_chunk::<4>()?;
    let (since_ms, _) = rest.split_first_chunk::<8>()?;
    let layout = Layout { partitions: i32::from_be_bytes(*partitions), since_ms: i64::from_be_bytes(*since_ms) };
    (version == VERSION).then_some(layout)
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
        let again = entry(&"ledger".into(), Partition::new(3), "gone", &remembered(1), 5);
        assert_eq!(entry_time(&again.value.unwrap()), Some(5));
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
        let first = NextOffset::new(7);
        for written in [
            super::first(&"state".into(), Partition::new(0), "a", first, "latest"),
            layout(&"state".into(), Partition::new(0), Layout { partitions: 8, since_ms: 5 }),
            loss(&"state".into(), Partition::new(0), "a", NextOffset::new(3)),
        ] {
            state.take(&written.key.unwrap(), written.value.as_deref());
        }
        assert_eq!(state.firsts["a"], First { at: first, start_from: "latest".into() });
        assert_eq!(state.layout, Some(Layout { partitions: 8, since_ms: 5 }));
        assert_eq!(state.losses["a"], NextOffset::new(3));
        assert_eq!(state.maps, HashMap::from([("a".to_owned(), b"new".to_vec())]));
    }
}
