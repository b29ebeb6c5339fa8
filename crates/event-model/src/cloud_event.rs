//! CloudEvents 1.0.2 over Kafka: attributes in headers (binary mode) or around the data (structured mode).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::content::{media_type_of, printable, undecodable_json};
use crate::error::DecodeError;
use crate::record::{Header, Record};

/// The attributes that an event came with.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) id: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) traceparent: Option<String>,
}

/// The data of an event, before it is checked.
pub(crate) enum Body<'a> {
    /// Bytes, with the content type that was stated for them.
    Bytes { bytes: Cow<'a, [u8]>, content_type: Option<String> },
    /// JSON that was part of a structured event.
    Json(Value),
}

/// An event's attributes and its data.
pub(crate) struct Envelope<'a> {
    pub(crate) attributes: Attributes,
    pub(crate) body: Body<'a>,
}

/// Takes a record's value out of its envelope, whichever mode it is in.
pub(crate) fn open<'a>(record: &'a Record, value: &'a [u8]) -> Result<Envelope<'a>, DecodeError> {
    let content_type = content_type_of(record)?;
    match content_type.map(media_type_of).as_deref() {
        Some("application/cloudevents+json") => structured(record, value),
        Some(other) if other.starts_with("application/cloudevents") => {
            Err(DecodeError::UnsupportedContentType { content_type: printable(other) })
        }
        Some(_) | None => Ok(Envelope {
            attributes: binary(record)?,
            body: Body::Bytes { bytes: Cow::Borrowed(value), content_type: content_type.map(str::to_owned) },
        }),
    }
}

fn content_type_of(record: &Record) -> Result<Option<&str>, DecodeError> {
    let named = |header: &&Header| header.name.eq_ignore_ascii_case("content-type");
    match record.headers.iter().rev().find(named) {
        Some(Header { value: Some(value), .. }) => text(value, "content-type").map(Some),
        Some(Header { value: None, .. }) | None => Ok(None),
    }
}

/// One pass over the headers; where a name repeats, the last one counts.
pub(crate) fn binary(record: &Record) -> Result<Attributes, DecodeError> {
    let mut found = Attributes { traceparent: plain_traceparent(record), ..Attributes::default() };
    for header in &record.headers {
        let Some(attribute) = header.name.strip_prefix("ce_") else {
            continue;
        };
        let read = || {
            let value = header.value.as_deref();
            let value = value.ok_or_else(|| bad(&header.name, "has a null value"))?;
            text(value, &header.name)
        };
        match attribute {
            "specversion" => check_version(read()?, &header.name)?,
            "id" => found.id = Some(non_empty(read()?, &header.name)?),
            "source" => found.source = Some(non_empty(read()?, &header.name)?),
            "type" => found.kind = Some(non_empty(read()?, &header.name)?),
            "subject" => found.subject = Some(non_empty(read()?, &header.name)?),
            "time" => found.time = Some(timestamp(read()?, &header.name)?),
            "correlationid" => found.correlation_id = Some(non_empty(read()?, &header.name)?),
            "traceparent" => found.traceparent = trace_context(read()?).or(found.traceparent),
            // Other extensions are the business of others.
            _ => {}
        }
    }
    Ok(found)
}

fn structured<'a>(record: &Record, value: &'a [u8]) -> Result<Envelope<'a>, DecodeError> {
    let event: Value = serde_json::from_slice(value).map_err(|error| undecodable_json(&error))?;
    let Value::Object(mut event) = event else {
        return Err(bad("event", "is not a JSON object, as structured mode demands"));
    };
    let required = |name: &str, value: Option<String>| {
        value.ok_or_else(|| bad(name, "is missing, and structured mode demands it"))
    };
    let version = required("specversion", take_text(&mut event, "specversion")?)?;
    check_version(&version, "specversion")?;
    let time = take_text(&mut event, "time")?;
    let traceparent = take_text(&mut event, "traceparent")?.as_deref().and_then(trace_context);
    let attributes = Attributes {
        id: Some(required("id", take_text(&mut event, "id")?)?),
        source: Some(required("source", take_text(&mut event, "source")?)?),
        kind: Some(required("type", take_text(&mut event, "type")?)?),
        subject: take_text(&mut event, "subject")?,
        time: time.map(|time| timestamp(&time, "time")).transpose()?,
        correlation_id: take_text(&mut event, "correlationid")?,
        traceparent: traceparent.or_else(|| plain_traceparent(record)),
    };
    let content_type = take_text(&mut event, "datacontenttype")?;
    let body = match (event.remove("data"), event.remove("data_base64")) {
        (Some(data), None) => Body::Json(data),
        (None, Some(Value::String(encoded))) => Body::Bytes {
            bytes: STANDARD
                .decode(encoded)
                .map(Cow::Owned)
                .map_err(|_| bad("data_base64", "is not base64 (standard alphabet, padded)"))?,
            // JSON is what the specification assumes where nothing is stated.
            content_type: Some(content_type.unwrap_or_else(|| "application/json".to_owned())),
        },
        (None, Some(_)) => return Err(bad("data_base64", "is not a string")),
        (Some(_), Some(_)) => {
            return Err(bad("data", "stands beside `data_base64`; only one is allowed"));
        }
        (None, None) => return Err(bad("data", "is missing, and so is `data_base64`")),
    };
    Ok(Envelope { attributes, body })
}

/// A text attribute of a structured event; JSON null means absent.
fn take_text(event: &mut Map<String, Value>, name: &str) -> Result<Option<String>, DecodeError> {
    match event.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Err(bad(name, "is empty")),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(bad(name, "is not a string"))
        }
    }
}

fn text<'a>(value: &'a [u8], name: &str) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(value).map_err(|_| bad(name, "is not UTF-8"))
}

fn non_empty(text: &str, name: &str) -> Result<String, DecodeError> {
    if text.is_empty() {
        return Err(bad(name, "is empty"));
    }
    Ok(text.to_owned())
}

fn check_version(version: &str, name: &str) -> Result<(), DecodeError> {
    if version == "1.0" {
        return Ok(());
    }
    Err(bad(name, "is not 1.0, the only version that is supported"))
}

fn timestamp(text: &str, name: &str) -> Result<String, DecodeError> {
    text.parse::<Timestamp>().map(|_| text.to_owned()).map_err(|_| bad(name, "is not an RFC 3339 timestamp"))
}

/// The plain header of W3C trace context, which many Kafka instrumentations set.
fn plain_traceparent(record: &Record) -> Option<String> {
    let value = record.header("traceparent")?.value.as_deref()?;
    trace_context(std::str::from_utf8(value).ok()?)
}

/// A trace context that can be passed on. A malformed one is forgotten, as W3C demands: tracing never costs a record.
fn trace_context(text: &str) -> Option<String> {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    let mut parts = text.splitn(4, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Later versions may add parts behind the flags; version ff is forbidden.
    let flags = match version {
        "00" => flags,
        _ => flags.split('-').next()?,
    };
    let sound = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && !zero(trace)
        && hex(parent, 16)
        && !zero(parent)
        && hex(flags, 2);
    sound.then(|| text.to_owned())
}

fn bad(attribute: &str, problem: &str) -> DecodeError {
    DecodeError::BadCloudEvent { attribute: printable(attribute), problem: problem.to_owned() }
}
