//! Kafka records as plain values, coming in and going out. Their `Debug` shows lengths, never contents, so that a log
//! line cannot leak a payload.

use std::fmt;
use std::sync::Arc;

use crate::ids::{Coordinates, Partition};

/// A record as it was read from Kafka.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it was read.
    pub coordinates: Coordinates,
    /// The key's bytes, absent if the producer gave none.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` is a null value (a tombstone), which differs from an empty one.
    pub value: Option<Vec<u8>>,
    /// Headers in the order of the record; names may repeat.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970-01-01 UTC, by the producer or the broker (the topic decides).
    pub timestamp_ms: Option<i64>,
}

impl Record {
    /// The header of that exact name. Where a name repeats the last one counts, as in Kafka's own `lastHeader`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Header> {
        self.headers.iter().rev().find(|header| header.name == name)
    }
}

/// A record to be written to Kafka.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// The topic to write to.
    pub topic: Arc<str>,
    /// A fixed partition, or `None` to let the key decide.
    pub partition: Option<Partition>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` writes a null value.
    pub value: Option<Vec<u8>>,
    /// Headers in the order they are written.
    pub headers: Vec<Header>,
}

/// One header of a record. Kafka allows a null value.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// The header's name, as written.
    pub name: String,
    /// The header's bytes; `None` is Kafka's null header value.
    pub value: Option<Vec<u8>>,
}

impl Header {
    /// A header with a text value.
    #[must_use]
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: Some(value.into().into_bytes()) }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("coordinates", &format_args!("{}", self.coordinates))
            .field("key", &Length(self.key.as_deref()))
            .field("value", &Length(self.value.as_deref()))
            .field("headers", &self.headers)
            .field("timestamp_ms", &self.timestamp_ms)
            .finish()
    }
}

impl fmt::Debug for OutgoingRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("key", &Length(self.key.as_deref()))
            .field("value", &Length(self.value.as_deref()))
            .field("headers", &self.headers)
            .finish()
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.name, Length(self.value.as_deref()))
    }
}

/// Stands in for bytes that must not be printed.
struct Length<'a>(Option<&'a [u8]>);

impl fmt::Debug for Length<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "{} bytes", bytes.len()),
            None => f.write_str("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Offset;

    #[test]
    fn debug_output_shows_lengths_and_no_contents() {
        let record = Record {
            coordinates: Coordinates { topic: "t".into(), partition: Partition::new(0), offset: Offset::new(1) },
            key: Some(b"secret-key".to_vec()),
            value: Some(b"secret-value".to_vec()),
            headers: vec![Header::text("ce_subject", "secret-header")],
            timestamp_ms: None,
        };
        let outgoing = OutgoingRecord {
            topic: "t".into(),
            partition: None,
            key: record.key.clone(),
            value: None,
            headers: record.headers.clone(),
        };
        let printed = format!("{record:?} {outgoing:?}");
        assert!(!printed.contains("secret"), "{printed}");
        assert!(printed.contains("t/0@1"), "{printed}");
        assert!(printed.contains("12 bytes"), "{printed}");
        assert!(printed.contains("value: null"), "{printed}");
    }

    #[test]
    fn the_last_of_repeated_headers_counts() {
        let record = Record {
            coordinates: Coordinates { topic: "t".into(), partition: Partition::new(0), offset: Offset::new(1) },
            key: None,
            value: None,
            headers: vec![Header::text("ce_id", "first"), Header::text("ce_id", "last")],
            timestamp_ms: None,
        };
        let header = record.header("ce_id").expect("present");
        assert_eq!(header.value.as_deref(), Some(b"last".as_slice()));
    }
}
