//! Quarantined keys as records of the state topic: `q/` and the key's hash, with where the first record stood and which dead letters are done.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use event_model::{Offset, OutgoingRecord, Partition};
use flow_core::{Change, KeyHash, Quarantined, TopicId};

const KEY: &[u8] = b"q/";
const VERSION: u8 = 1;

/// The record that keeps a key's entry, or forgets it.
pub(crate) fn record(topic: &Arc<str>, at: Partition, names: &[Arc<str>], change: &Change) -> OutgoingRecord {
    let key = [KEY, change.key.to_string().as_bytes()].concat();
    let value = change.entry.as_ref().map(|entry| encode(names, entry));
    OutgoingRecord { topic: topic.clone(), partition: Some(at), key: Some(key), value, headers: Vec::new() }
}

/// The last entry of each key.
#[derive(Debug, Default)]
pub(crate) struct Entries(HashMap<KeyHash, Vec<u8>>);

impl Entries {
    /// Takes a record of the state topic; whether it was one of these.
    pub(crate) fn take(&mut self, key: &[u8], value: Option<&[u8]>) -> bool {
        let Some(hex) = key.strip_prefix(KEY) else { return false };
        if let Some(hash) = std::str::from_utf8(hex).ok().and_then(KeyHash::parse) {
            match value {
                Some(value) => self.0.insert(hash, value.to_vec()),
                None => self.0.remove(&hash),
            };
        }
        true
    }

    pub(crate) fn read(&self, names: &[Arc<str>]) -> Vec<(KeyHash, Quarantined)> {
        self.0.iter().map(|(key, value)| (*key, decode(value, names))).collect()
    }
}

fn encode(names: &[Arc<str>], entry: &Quarantined) -> Vec<u8> {
    let mut value = vec![VERSION];
    let (topic, offset) = entry.first;
    let name = names.get(usize::from(topic.0)).map_or("", |name| name);
    value.extend_from_slice(&offset.get().to_be_bytes());
    for number in [entry.next, entry.total, entry.ahead.len() as u64].iter().chain(&entry.ahead) {
        value.extend_from_slice(&number.to_be_bytes());
    }
    value.extend_from_slice(name.as_bytes());
    value
}

/// What cannot be read, because it is damaged or newer, keeps its key in quarantine until one of its dead letters is replayed that says
/// that it is the first.
fn decode(value: &[u8], names: &[Arc<str>]) -> Quarantined {
    let first = (TopicId(u16::MAX), Offset::new(-1));
    known(value, names).unwrap_or(Quarantined { first, next: 0, total: 1, ahead: BTreeSet::new() })
}

fn known(value: &[u8], names: &[Arc<str>]) -> Option<Quarantined> {
    let (&version, rest) = value.split_first()?;
    let (offset, mut rest) = rest.split_first_chunk::<8>()?;
    let mut number = || {
        let (number, after) = rest.split_first_chunk::<8>()?;
        rest = after;
        Some(u64::from_be_bytes(*number))
    };
    let (next, total, count) = (number()?, number()?, number()?);
    let mut ahead = BTreeSet::new();
    for _ in 0..count {
        ahead.insert(number()?);
    }
    // A topic that the flow no longer reads keeps its place, and every record stands behind it.
    let topic = names.iter().position(|known| known.as_bytes() == rest).map_or(u16::MAX, |place| place as u16);
    let first = (TopicId(topic), Offset::new(i64::from_be_bytes(*offset)));
    (version == VERSION && next < total).then_some(Quarantined { first, next, total, ahead })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_HASH: KeyHash = KeyHash([0xAB; 16]);

    fn names() -> Vec<Arc<str>> {
        vec!["crm.a".into(), "crm.b".into()]
    }

    fn entry(ahead: &[u64]) -> Quarantined {
        let ahead = ahead.iter().copied().collect();
        Quarantined { first: (TopicId(1), Offset::new(1 << 40)), next: 3, total: 12, ahead }
    }

    fn written(entry: Option<Quarantined>) -> (Vec<u8>, Option<Vec<u8>>) {
        let change = Change { key: KEY_HASH, entry, number: None };
        let record = record(&"xc.f.state".into(), Partition::new(3), &names(), &change);
        (record.key.unwrap(), record.value)
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written_and_its_tombstone_forgets_it() {
        for entry in [entry(&[]), entry(&[5, 9])] {
            let (key, value) = written(Some(entry.clone()));
            assert_eq!(key, b"q/abababababababababababababababab");
            let mut entries = Entries::default();
            assert!(entries.take(&key, value.as_deref()));
            assert_eq!(entries.read(&names()), [(KEY_HASH, entry)]);
            assert!(entries.take(&key, written(None).1.as_deref()));
            assert_eq!(entries.read(&names()), []);
        }
    }

    #[test]
    fn what_cannot_be_read_keeps_the_key_in_quarantine() {
        let (key, value) = written(Some(entry(&[7])));
        for damaged in [vec![9; 50], Vec::new(), value.unwrap()[..12].to_vec()] {
            let mut entries = Entries::default();
            entries.take(&key, Some(&damaged));
            let read = entries.read(&names());
            assert_eq!(read.iter().map(|(key, entry)| (*key, entry.waiting())).collect::<Vec<_>>(), [(KEY_HASH, 1)]);
        }
    }

    #[test]
    fn what_the_state_topic_says_of_other_things_is_left_to_others() {
        let mut entries = Entries::default();
        assert!(!entries.take(b"init", Some(&[1])));
        assert!(entries.take(b"q/not a hash", Some(&[1])));
        assert_eq!(entries.read(&names()), []);
    }
}
