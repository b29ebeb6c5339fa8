//! Dead letters on their way back in: `xc.<flow>.replay`, and the records that they were.

use std::sync::Arc;

use crate::dead_letter::QUARANTINE;
use crate::ids::{Coordinates, Offset, Partition};
use crate::record::{Header, OutgoingRecord, Record};

/// Says that the dead letter is put aside for good.
const DISCARD: &str = "xc-discard";
/// Names the dead letter that a replayed record was taken from.
const LETTER: &str = "xc-letter";

/// The topic in which a flow's dead letters come back.
#[must_use]
pub fn replay_topic_of(flow: &str) -> String {
    format!("xc.{flow}.replay")
}

/// Why a record of the replay topic is none: it does not say where the original stood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {header} is missing or unreadable; only `xconnector replay` writes to the replay topic")]
pub struct BadReplay {
    /// Which header.
    pub header: &'static str,
}

/// The record that puts a dead letter back in: the letter byte for byte, with its own place beside it, in the partition of the
/// original, whose keys live there.
#[must_use]
pub fn to_replay(flow: &str, letter: &Record) -> OutgoingRecord {
    let mut headers = letter.headers.clone();
    headers.push(Header::text(LETTER, place(&letter.coordinates)));
    OutgoingRecord {
        topic: replay_topic_of(flow).into(),
        partition: Some(letter.coordinates.partition),
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers,
    }
}

/// The record that puts a dead letter aside for good: it comes in by the same way, so that what waits for it learns of it in turn.
#[must_use]
pub fn to_discard(flow: &str, letter: &Record) -> OutgoingRecord {
    let mut record = to_replay(flow, letter);
    record.headers.push(Header::text(DISCARD, place(&letter.coordinates)));
    record
}

/// Whether a record of the replay topic puts its dead letter aside for good. The letter is named again, because a letter that is
/// replayed keeps its former headers.
#[must_use]
pub fn is_discarded(replayed: &Record) -> bool {
    let letter = text(replayed, LETTER);
    letter.is_some() && text(replayed, DISCARD) == letter
}

/// The number, in the quarantine of its key, of the dead letter that a record of the replay topic was taken from.
#[must_use]
pub fn number_in_quarantine(replayed: &Record) -> Option<u64> {
    text(replayed, QUARANTINE)?.split(' ').next()?.parse().ok()
}

/// The dead letter, as partition and offset, that a record of the replay topic was taken from.
#[must_use]
pub fn letter_of(replayed: &Record) -> Option<(Partition, Offset)> {
    let (partition, offset) = text(replayed, LETTER)?.split_once('/')?;
    Some((Partition::new(partition.parse().ok()?), Offset::new(offset.parse().ok()?)))
}

fn place(coordinates: &Coordinates) -> String {
    format!("{}/{}", coordinates.partition, coordinates.offset)
}

/// The record as it was read at first: its place and time are the original's, so that everything calculated from it, the event's
/// id above all, is what it was then.
///
/// # Errors
/// A header is missing that every dead letter has.
pub fn original(replayed: &Record) -> Result<Record, BadReplay> {
    let header = |header: &'static str| text(replayed, header).ok_or(BadReplay { header });
    let number = |name: &'static str| header(name)?.parse::<i64>().map_err(|_| BadReplay { header: name });
    let topic: Arc<str> = header("xc-source-topic")?.into();
    let partition = header("xc-source-partition")?.parse();
    let partition = Partition::new(partition.map_err(|_| BadReplay { header: "xc-source-partition" })?);
    let offset = Offset::new(number("xc-source-offset")?);
    let timestamp_ms = text(replayed, "xc-source-timestamp").and_then(|time| time.parse().ok());
    let coordinates = Coordinates { topic, partition, offset };
    Ok(Record { coordinates, timestamp_ms, ..replayed.clone() })
}

fn text<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record.header(name).and_then(|header| std::str::from_utf8(header.value.as_deref()?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::DeadLetter;

    fn record(topic: &str, offset: i64, headers: Vec<Header>) -> Record {
        let (partition, offset) = (Partition::new(3), Offset::new(offset));
        Record {
            coordinates: Coordinates { topic: topic.into(), partition, offset },
            key: Some(vec![1]),
            value: Some(vec![2, 3]),
            headers,
            timestamp_ms: Some(77),
        }
    }

    fn letter(of: &Record, offset: i64) -> Record {
        let failed_at = jiff::Timestamp::UNIX_EPOCH;
        let letter = DeadLetter {
            flow: "tickets",
            reason: "r",
            detail: "d",
            attempts: 1,
            event_id: None,
            quarantine: None,
            failed_at,
        };
        record("xc.tickets.dlq", offset, letter.to_record(of).headers)
    }

    #[test]
    fn what_comes_back_is_the_original_also_the_second_time() {
        let first = record("crm.tickets.v1", 99, vec![Header::text("ce_id", "1")]);
        for (again, place) in [(letter(&first, 5), 5), (letter(&letter_original(&first), 8), 8)] {
            let outgoing = to_replay("tickets", &again);
            assert_eq!((&*outgoing.topic, outgoing.partition), ("xc.tickets.replay", Some(Partition::new(3))));
            let replayed = record("xc.tickets.replay", 1, outgoing.headers);
            assert_eq!(letter_of(&replayed), Some((Partition::new(3), Offset::new(place))));
            let original = original(&replayed).unwrap();
            assert_eq!(original.coordinates, first.coordinates);
            assert_eq!((&original.key, &original.value, original.timestamp_ms), (&first.key, &first.value, Some(77)));
            assert_eq!(original.header("ce_id"), first.header("ce_id"));
        }
    }

    /// What the connector makes of a letter that came back: the record that a second letter is written for.
    fn letter_original(first: &Record) -> Record {
        original(&record("xc.tickets.replay", 4, to_replay("tickets", &letter(first, 5)).headers)).unwrap()
    }

    #[test]
    fn a_letter_that_was_discarded_once_is_not_discarded_for_ever() {
        let first = letter(&record("crm.tickets.v1", 99, Vec::new()), 5);
        let discarded = record("xc.tickets.replay", 1, to_discard("tickets", &first).headers);
        assert!(is_discarded(&discarded));
        let again = letter(&original(&discarded).unwrap(), 8);
        assert!(!is_discarded(&record("xc.tickets.replay", 2, to_replay("tickets", &again).headers)));
        assert!(!is_discarded(&record("xc.tickets.replay", 3, to_replay("tickets", &first).headers)));
    }

    #[test]
    fn a_stranger_on_the_replay_topic_is_told_from_a_letter() {
        assert_eq!(original(&record("xc.tickets.replay", 0, Vec::new())), Err(BadReplay { header: "xc-source-topic" }));
        let odd = Header::text("xc-source-offset", "many");
        let mut headers = letter(&record("crm", 1, Vec::new()), 2).headers;
        headers.push(odd);
        assert_eq!(original(&record("r", 0, headers)), Err(BadReplay { header: "xc-source-offset" }));
    }
}
