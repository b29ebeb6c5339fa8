//! Where a record stands: offsets, partitions and coordinates, as types that cannot be mistaken for each other.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The position of one record in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(i64);

impl Offset {
    /// Wraps the offset as Kafka gave it.
    #[must_use]
    pub const fn new(offset: i64) -> Self {
        Self(offset)
    }

    /// The number as Kafka knows it.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// What to commit once this record is resolved. The only way from a record's offset to an offset that is read or
    /// committed next; it stays at the largest number instead of wrapping.
    #[must_use]
    pub const fn next(self) -> NextOffset {
        NextOffset(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The offset to read next, which is also what Kafka calls a committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NextOffset(i64);

impl NextOffset {
    /// Wraps a committed offset, a log end, or a seek target.
    #[must_use]
    pub const fn new(offset: i64) -> Self {
        Self(offset)
    }

    /// The number as Kafka knows it.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for NextOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(i32);

impl Partition {
    /// Wraps the partition number as Kafka gave it.
    #[must_use]
    pub const fn new(partition: i32) -> Self {
        Self(partition)
    }

    /// The number as Kafka knows it.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of one record in a cluster; unique as long as the topic is not created anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Coordinates {
    /// The topic's name, shared by all records of a consumer.
    pub topic: Arc<str>,
    /// The partition inside the topic.
    pub partition: Partition,
    /// The record's own offset.
    pub offset: Offset,
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_offset_is_one_further_and_never_wraps() {
        assert_eq!(Offset::new(41).next(), NextOffset::new(42));
        assert_eq!(Offset::new(i64::MAX).next().get(), i64::MAX);
    }

    #[test]
    fn coordinates_read_as_topic_partition_and_offset() {
        let coordinates =
            Coordinates { topic: "crm.tickets.v1".into(), partition: Partition::new(3), offset: Offset::new(17) };
        assert_eq!(coordinates.to_string(), "crm.tickets.v1/3@17");
    }
}
