//! Dead letters: a record that was given up, unchanged, with the reason beside it.

use std::fmt;

use jiff::Timestamp;

use crate::ids::Coordinates;
use crate::record::{Header, OutgoingRecord, Record};

/// The number of a dead letter in the quarantine of its key, and the place of the record that was given up first.
pub(crate) const QUARANTINE: &str = "xc-quarantine";
/// The start of the names of our own headers.
const PREFIX: &str = "xc-";

/// Why a record is given up. [`DeadLetter::to_record`] makes the record for `xc.<flow>.dlq`.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// The flow that gave up.
    pub flow: &'a str,
    /// A stable code, such as [`DecodeError::reason`](crate::DecodeError::reason) gives.
    pub reason: &'a str,
    /// What happened and what to do, for a person. No payload contents.
    pub detail: &'a str,
    /// How often the record was tried.
    pub attempts: u32,
    /// The event's id, where the record could be read that far.
    pub event_id: Option<&'a str>,
    /// Its number in the quarantine of its key, and the record that was given up first.
    pub quarantine: Option<(u64, &'a Coordinates)>,
    /// When it was given up.
    pub failed_at: Timestamp,
}

impl DeadLetter<'_> {
    /// The topic of a flow's dead letters.
    #[must_use]
    pub fn topic_of(flow: &str) -> String {
        format!("xc.{flow}.dlq")
    }

    /// The original's key, value and headers, byte for byte, followed by ours: `xc-reason`, `xc-detail`,
    /// `xc-attempts`, `xc-source-topic`, `xc-source-partition`, `xc-source-offset`, `xc-source-timestamp`
    /// (milliseconds since 1970-01-01 UTC, where known), `xc-event-id` (where known), `xc-flow`, `xc-failed-at`
    /// (RFC 3339), `xc-quarantine` (its number in the quarantine of its key, and the place of the
    /// record that was given up first).
    ///
    /// A record that was dead-lettered before keeps its former `xc-` headers in front of the new ones: of a repeated
    /// header the last one counts, and the letter keeps its history.
    #[must_use]
    pub fn to_record(&self, original: &Record) -> OutgoingRecord {
        let mut headers = original.headers.clone();
        let mut add = |name: &str, value: String| headers.push(Header::text(format!("{PREFIX}{name}"), value));
        add("reason", self.reason.to_owned());
        add("detail", self.detail.to_owned());
        add("attempts", self.attempts.to_string());
        add("source-topic", original.coordinates.topic.to_string());
        add("source-partition", original.coordinates.partition.to_string());
        add("source-offset", original.coordinates.offset.to_string());
        if let Some(timestamp) = original.timestamp_ms {
            add("source-timestamp", timestamp.to_string());
        }
        if let Some(event_id) = self.event_id {
            add("event-id", event_id.to_owned());
        }
        add("flow", self.flow.to_owned());
        add("failed-at", self.failed_at.to_string());
        match self.quarantine {
            Some((number, first)) => headers.push(Header::text(QUARANTINE, format!("{number} {first}"))),
            // The last one counts.
            None if original.header(QUARANTINE).is_some() => {
                headers.push(Header { name: QUARANTINE.to_owned(), value: None });
            }
            None => {}
        }
        OutgoingRecord {
            topic: Self::topic_of(self.flow).into(),
            partition: Some(original.coordinates.partition),
            key: original.key.clone(),
            value: original.value.clone(),
            headers,
        }
    }
}

impl fmt::Debug for DeadLetter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("flow", &self.flow)
            .field("reason", &self.reason)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Coordinates, Offset, Partition};

    fn original() -> Record {
        Record {
            coordinates: Coordinates {
                topic: "crm.tickets.v1".into(),
                partition: Partition::new(5),
                offset: Offset::new(99),
            },
            key: Some(vec![0xFF, 0x00]),
            value: Some(vec![0xC3, 0x28]),
            headers: vec![Header::text("ce_id", "1"), Header { name: "empty".to_owned(), value: None }],
            timestamp_ms: Some(1_795_510_800_123),
        }
    }

    fn letter() -> DeadLetter<'static> {
        DeadLetter {
            flow: "tickets",
            reason: "undecodable-json",
            detail: "the value is not valid JSON",
            attempts: 1,
            event_id: Some("crm/1"),
            quarantine: None,
            failed_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_original_is_kept_byte_for_byte() {
        let sent = letter().to_record(&original());
        assert_eq!(&*sent.topic, "xc.tickets.dlq");
        assert_eq!(sent.key, original().key);
        assert_eq!(sent.value, original().value);
        assert_eq!(sent.headers[..2], original().headers[..]);
    }

    #[test]
    fn reason_attempts_and_coordinates_stand_beside_it() {
        let sent = letter().to_record(&original());
        let ours: Vec<String> = sent.headers[2..]
            .iter()
            .map(|h| format!("{}={}", h.name, String::from_utf8_lossy(h.value.as_deref().unwrap_or_default())))
            .collect();
        assert_eq!(
            ours,
            [
                "xc-reason=undecodable-json",
                "xc-detail=the value is not valid JSON",
                "xc-attempts=1",
                "xc-source-topic=crm.tickets.v1",
                "xc-source-partition=5",
                "xc-source-offset=99",
                "xc-source-timestamp=1795510800123",
                "xc-event-id=crm/1",
                "xc-flow=tickets",
                "xc-failed-at=1970-01-01T00:00:00Z",
            ]
        );
    }

    #[test]
    fn only_the_last_letter_says_whether_it_is_part_of_a_quarantine() {
        let first = original().coordinates;
        let in_quarantine = DeadLetter { quarantine: Some((4, &first)), ..letter() }.to_record(&original());
        let of = |headers| Record { headers, ..original() };
        let value = |record: &Record| record.header(QUARANTINE).and_then(|header| header.value.clone());
        let again = of(in_quarantine.headers);
        assert_eq!(value(&again), Some(b"4 crm.tickets.v1/5@99".to_vec()));
        assert_eq!(value(&of(letter().to_record(&again).headers)), None);
    }

    #[test]
    fn null_keys_and_values_stay_null() {
        let tombstone = Record { key: None, value: None, ..original() };
        let sent = letter().to_record(&tombstone);
        assert_eq!((sent.key, sent.value), (None, None));
    }
}
