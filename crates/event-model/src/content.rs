//! What a value's bytes are, and how they become checked data.

use serde_json::Value;

use crate::avro::SINGLE_OBJECT_MARKER;
use crate::error::DecodeError;
use crate::schema::{EventSchema, SchemaIds};

/// The format that a content type states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// `application/json`, `text/json`, `*/*+json`.
    Json,
    /// `application/avro`, `avro/binary` and their relatives.
    Avro,
    /// No content type, or one that says nothing: the bytes tell.
    Unstated,
}

/// What a content type (a media type, with or without parameters) says about the bytes.
pub(crate) fn format_of(content_type: Option<&str>) -> Result<Format, DecodeError> {
    let Some(content_type) = content_type else {
        return Ok(Format::Unstated);
    };
    let media_type = media_type_of(content_type);
    match media_type.as_str() {
        "" | "application/octet-stream" => Ok(Format::Unstated),
        "application/json" | "text/json" => Ok(Format::Json),
        "application/avro"
        | "application/x-avro"
        | "application/avro-binary"
        | "avro/binary"
        | "application/vnd.apache.avro"
        | "application/vnd.apache.avro+binary"
        | "application/vnd.confluent.avro" => Ok(Format::Avro),
        other if other.ends_with("+json") => Ok(Format::Json),
        other if other.ends_with("+avro") => Ok(Format::Avro),
        other => Err(DecodeError::UnsupportedContentType { content_type: printable(other) }),
    }
}

/// The media type without its parameters, in lower case.
pub(crate) fn media_type_of(content_type: &str) -> String {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().to_ascii_lowercase()
}

/// Text of a header as a message may show it: a foreign producer chose its length and characters.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// Reads the bytes of a value as data of `schema`.
pub(crate) fn read(bytes: &[u8], format: Format, schema: &EventSchema, ids: &SchemaIds) -> Result<Value, DecodeError> {
    match format {
        Format::Json => read_json(bytes, schema),
        Format::Avro => match Framing::of(bytes) {
            Framing::Confluent { id, datum } => match ids.by_id(id) {
                Some(writer) => schema.decode_avro_from(writer, datum),
                // A bare datum may begin with the same byte. Where schema ids are configured it is not expected;
                // where none are, it is the only thing that can be read at all.
                None if ids.is_empty() => schema.decode_avro(bytes).map_err(|_| DecodeError::UnknownSchemaId { id }),
                None => Err(DecodeError::UnknownSchemaId { id }),
            },
            Framing::SingleObject { fingerprint, datum } => read_single_object(fingerprint, datum, schema, ids),
            Framing::Bare => schema.decode_avro(bytes),
        },
        // JSON text can begin with neither marker.
        Format::Unstated => match Framing::of(bytes) {
            Framing::Confluent { id, datum } => {
                let writer = ids.by_id(id).ok_or(DecodeError::UnknownSchemaId { id })?;
                schema.decode_avro_from(writer, datum)
            }
            Framing::SingleObject { fingerprint, datum } => read_single_object(fingerprint, datum, schema, ids),
            Framing::Bare => read_json(bytes, schema),
        },
    }
}

fn read_json(bytes: &[u8], schema: &EventSchema) -> Result<Value, DecodeError> {
    let value = serde_json::from_slice(bytes).map_err(|error| undecodable_json(&error))?;
    check(value, schema)
}

/// The parser's complaint. Parsing into a plain value meets syntax errors only, whose texts quote no contents.
pub(crate) fn undecodable_json(error: &serde_json::Error) -> DecodeError {
    let text = error.to_string();
    let problem = text.split(" at line ").next().unwrap_or_default();
    DecodeError::UndecodableJson { problem: problem.to_owned(), line: error.line(), column: error.column() }
}

/// Checks data that is JSON already.
pub(crate) fn check(value: Value, schema: &EventSchema) -> Result<Value, DecodeError> {
    schema
        .check_json(value)
        .map_err(|violation| DecodeError::SchemaViolation { schema: schema.name().to_owned(), violation })
}

fn read_single_object(
    fingerprint: [u8; 8],
    datum: &[u8],
    schema: &EventSchema,
    ids: &SchemaIds,
) -> Result<Value, DecodeError> {
    if fingerprint == schema.fingerprint() {
        return schema.decode_avro(datum);
    }
    let writer = ids
        .by_fingerprint(fingerprint)
        .ok_or(DecodeError::UnknownSchemaFingerprint { fingerprint: u64::from_le_bytes(fingerprint) })?;
    schema.decode_avro_from(writer, datum)
}

/// How an Avro value names its writer's schema.
enum Framing<'a> {
    /// `00`, then the schema id of a registry as four bytes, big-endian.
    Confluent { id: u32, datum: &'a [u8] },
    /// `C3 01`, then the fingerprint as eight bytes, little-endian.
    SingleObject { fingerprint: [u8; 8], datum: &'a [u8] },
    /// Nothing; the flow's schema must do.
    Bare,
}

impl<'a> Framing<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        if let Some(rest) = bytes.strip_prefix(&SINGLE_OBJECT_MARKER)
            && let Some((fingerprint, datum)) = rest.split_first_chunk()
        {
            return Self::SingleObject { fingerprint: *fingerprint, datum };
        }
        if let Some(rest) = bytes.strip_prefix(&[0])
            && let Some((id, datum)) = rest.split_first_chunk()
        {
            return Self::Confluent { id: u32::from_be_bytes(*id), datum };
        }
        Self::Bare
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_known_by_their_media_type_alone() {
        for (content_type, format) in [
            ("application/json; charset=utf-8", Format::Json),
            ("Application/Vnd.Acme.Ticket+JSON", Format::Json),
            ("avro/binary", Format::Avro),
            ("application/vnd.apache.avro;v=1", Format::Avro),
            ("application/octet-stream", Format::Unstated),
        ] {
            assert_eq!(format_of(Some(content_type)), Ok(format), "{content_type}");
        }
        assert_eq!(format_of(None), Ok(Format::Unstated));
    }

    #[test]
    fn an_unsupported_content_type_is_shown_without_control_characters() {
        let error = format_of(Some("text/\u{1b}[31mxml")).expect_err("unsupported");
        assert_eq!(error.reason(), "unsupported-content-type");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}
