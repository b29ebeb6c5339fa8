//! Why a record could not become an event.

use crate::schema::Violation;

/// A record that cannot become an [`Event`](crate::Event), now or on any later try. Texts name the place and the
/// remedy, and never repeat payload contents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record has a null value (a tombstone); a flow may give it a meaning with `on_null`.
    #[error("the record's value is null; set `on_null` in the flow's [source] if null values mean something here")]
    NullValue,
    /// The record has a value of zero bytes.
    #[error(
        "the record's value is empty (zero bytes); the producer must send an event, or null to say that there is none"
    )]
    EmptyValue,
    /// The value is not a JSON text.
    #[error(
        "the value is not valid JSON: {problem} (line {line}, column {column}); the producer must send one JSON object, nested less than 128 deep"
    )]
    UndecodableJson {
        /// What the parser met, without contents.
        problem: String,
        /// Line inside the value, from 1; 0 where unknown.
        line: usize,
        /// Column inside the line, from 1; 0 where unknown.
        column: usize,
    },
    /// The value is no complete Avro datum of its writer's schema.
    #[error(
        "the value is not a valid Avro datum: {path}: {problem} (byte {byte} of the datum); check that the producer's schema is the one the record names"
    )]
    UndecodableAvro {
        /// The field that was being read, from the root `$`.
        path: String,
        /// What was wrong, without contents.
        problem: String,
        /// How many bytes of the datum had been read.
        byte: usize,
    },
    /// The value names a schema id that the configuration does not map.
    #[error(
        "the value names schema id {id} (Confluent wire format), which the configuration does not know; add it to the schema ids, or correct the producer"
    )]
    UnknownSchemaId {
        /// The id of the record.
        id: u32,
    },
    /// The value names a schema fingerprint that no known schema has.
    #[error(
        "the value names schema fingerprint {fingerprint:016x} (Avro single-object encoding), which is neither the flow's schema nor a configured one; add that schema, or correct the producer"
    )]
    UnknownSchemaFingerprint {
        /// CRC-64-AVRO of the writer's schema.
        fingerprint: u64,
    },
    /// The value could be read, but does not obey the flow's schema.
    #[error(
        "the event does not obey schema {schema}: {violation}; correct the producer, or publish a new schema version"
    )]
    SchemaViolation {
        /// Name of the schema, such as `ticket/v1`.
        schema: String,
        /// Where and how.
        violation: Violation,
    },
    /// A CloudEvents attribute is present but invalid.
    #[error(
        "the CloudEvents attribute `{attribute}` {problem}; see the CloudEvents 1.0.2 specification, Kafka protocol binding"
    )]
    BadCloudEvent {
        /// The attribute or header, such as `ce_id`.
        attribute: String,
        /// What is wrong with it, as the rest of a sentence.
        problem: String,
    },
    /// The content type is neither JSON nor Avro.
    #[error(
        "content type `{content_type}` is not supported; send application/json, application/cloudevents+json or avro/binary"
    )]
    UnsupportedContentType {
        /// The media type, shortened to printable characters.
        content_type: String,
    },
}

impl DecodeError {
    /// A stable code for dead letters, replies and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NullValue => "null-value",
            Self::EmptyValue => "empty-value",
            Self::UndecodableJson { .. } => "undecodable-json",
            Self::UndecodableAvro { .. } => "undecodable-avro",
            Self::UnknownSchemaId { .. } => "unknown-schema-id",
            Self::UnknownSchemaFingerprint { .. } => "unknown-schema-fingerprint",
            Self::SchemaViolation { .. } => "schema-violation",
            Self::BadCloudEvent { .. } => "bad-cloudevent",
            Self::UnsupportedContentType { .. } => "unsupported-content-type",
        }
    }
}
