//! What a record says, once it has been read and checked.

use std::fmt;

use serde_json::Value;

use crate::cloud_event::{self, Attributes, Body};
use crate::content;
use crate::error::DecodeError;
use crate::record::Record;
use crate::schema::{EventSchema, SchemaIds};

/// One event: its CloudEvents attributes and its data in the normal form of [`EventSchema::check_json`], whatever
/// encoding it came in.
#[derive(Clone, PartialEq)]
pub struct Event {
    /// The CloudEvents id; for a record without one, its coordinates.
    pub id: String,
    /// The CloudEvents source; for a record without one, its topic.
    pub source: String,
    /// The CloudEvents type; for a record without one, the schema's name.
    pub kind: String,
    /// The CloudEvents subject.
    pub subject: Option<String>,
    /// The CloudEvents time, RFC 3339, as written by the source.
    pub time: Option<String>,
    /// The extension `correlationid`.
    pub correlation_id: Option<String>,
    /// W3C trace context, from the extension or from the plain header.
    pub traceparent: Option<String>,
    /// The data, checked against the schema, with defaults filled in.
    pub data: Value,
}

impl Event {
    /// The name by which repeats of this event are known: `<source>/<id>`, or the coordinates alone where the record
    /// had no id of its own. An id that already reads as coordinates of its own source counts as the latter.
    #[must_use]
    pub fn event_id(&self) -> String {
        if is_coordinates_in(&self.source, &self.id) { self.id.clone() } else { format!("{}/{}", self.source, self.id) }
    }
}

/// Whether `id` is `<topic>/<partition>@<offset>`.
fn is_coordinates_in(topic: &str, id: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    id.strip_prefix(topic)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.split_once('@'))
        .is_some_and(|(partition, offset)| digits(partition) && digits(offset))
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("kind", &self.kind)
            .field("correlation_id", &self.correlation_id)
            .finish_non_exhaustive()
    }
}

/// Reads a record as an event of `schema`: CloudEvents in binary or structured mode or none at all, JSON or Avro.
/// `ids` tells the writer's schema where a record names one.
///
/// # Errors
/// Everything that makes the record unusable for good; see [`DecodeError`].
pub fn decode(record: &Record, schema: &EventSchema, ids: &SchemaIds) -> Result<Event, DecodeError> {
    let value = record.value.as_deref().ok_or(DecodeError::NullValue)?;
    if value.is_empty() {
        return Err(DecodeError::EmptyValue);
    }
    let envelope = cloud_event::open(record, value)?;
    let data = match envelope.body {
        Body::Bytes { bytes, content_type } => {
            let format = content::format_of(content_type.as_deref())?;
            content::read(&bytes, format, schema, ids)?
        }
        Body::Json(value) => content::check(value, schema)?,
    };
    Ok(event_of(record, schema, envelope.attributes, data))
}

/// The event that a record without a value is: its attributes are those of the headers, its data is null.
///
/// # Errors
/// A header that CloudEvents defines cannot be read.
pub fn tombstone(record: &Record, schema: &EventSchema) -> Result<Event, DecodeError> {
    Ok(event_of(record, schema, cloud_event::binary(record)?, Value::Null))
}

fn event_of(record: &Record, schema: &EventSchema, attributes: Attributes, data: Value) -> Event {
    let Attributes { id, source, kind, subject, time, correlation_id, traceparent } = attributes;
    let topic = || record.coordinates.topic.to_string();
    let (id, source) = match id {
        Some(id) => (id, source.unwrap_or_else(topic)),
        // Without an id the source says nothing that the coordinates do not say better.
        None => (record.coordinates.to_string(), topic()),
    };
    Event {
        id,
        source,
        kind: kind.unwrap_or_else(|| schema.name().to_owned()),
        subject,
        time,
        correlation_id,
        traceparent,
        data,
    }
}

#[cfg(test)]
mod tests;
