//! From a request to the record that the flow will read.

use axum::http::{HeaderMap, HeaderName};
use event_model::{Coordinates, Header, Offset, Partition, Record};
use uuid::Uuid;

use super::Door;
use super::answer::Refusal;

/// What the flow says of an event that it would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The ordering key, which is to be the record's key: events of one key must lie in one partition.
    pub key: Option<Vec<u8>>,
    /// The event's id, as the flow reads it.
    pub event_id: String,
}

/// Longest id that is taken over from a header, in bytes.
const MAX_ID: usize = 255;
/// Attributes of CloudEvents that a request in binary mode may carry as `ce-` headers, beside id and source.
const ATTRIBUTES: [&str; 4] = ["type", "subject", "time", "correlationid"];

/// The record, with CloudEvents headers. Its id is that of the event, else the `Idempotency-Key`, else the `webhook-id`, else a new one.
pub(super) fn record(door: &Door, headers: &HeaderMap, body: Vec<u8>) -> Result<Record, Refusal> {
    let given = |name: &str| text(headers, name);
    let id = match (given("ce-id")?, given("idempotency-key")?, given("webhook-id")?) {
        (Some(id), ..) | (None, Some(id), _) | (None, None, Some(id)) => id,
        (None, None, None) => Uuid::new_v4().to_string(),
    };
    if id.len() > MAX_ID {
        return Err(Refusal::BadHeader(format!("the event's id is longer than {MAX_ID} bytes")));
    }
    let mut attributes = vec![("specversion", "1.0".to_owned()), ("id", id)];
    let source = given("ce-source")?.unwrap_or_else(|| format!("/intake/{}", door.flow));
    attributes.push(("source", source));
    for name in ATTRIBUTES {
        attributes.extend(given(&format!("ce-{name}"))?.map(|value| (name, value)));
    }
    let mut own: Vec<Header> =
        attributes.into_iter().map(|(name, value)| Header::text(format!("ce_{name}"), value)).collect();
    let content_type = given("content-type")?.unwrap_or_else(|| "application/json".to_owned());
    own.push(Header::text("content-type", content_type));
    own.extend(given("traceparent")?.map(|value| Header::text("traceparent", value)));
    // It stands nowhere yet; no expression of a flow should rest on where it will.
    let coordinates = Coordinates { topic: door.topic.clone(), partition: Partition::new(0), offset: Offset::new(0) };
    Ok(Record { coordinates, key: None, value: Some(body), headers: own, timestamp_ms: None })
}

/// A header as text; an empty one is as good as none.
fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refusal> {
    let Ok(name) = HeaderName::try_from(name) else { return Ok(None) };
    let Some(value) = headers.get(&name) else { return Ok(None) };
    let value = value.to_str().map_err(|_| Refusal::BadHeader(format!("the header {name} is not printable ASCII")))?;
    Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty()))
}
