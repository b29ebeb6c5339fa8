//! The `xc` variable: what a process instance remembers of the event that started it, so that its outcome finds the way
//! back without a store of ours.

use event_model::{Event, Offset, Partition, Record, SourceRef};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where an instance came from. Older versions read newer ones: unknown fields are ignored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Origin {
    /// The flow that started the instance.
    pub flow: String,
    /// The CloudEvents id.
    pub event_id: String,
    /// The CloudEvents source.
    pub event_source: String,
    /// The record's topic.
    pub topic: String,
    /// The record's partition.
    pub partition: Partition,
    /// The record's offset.
    pub offset: Offset,
    /// The record's key, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The record's key in hexadecimal digits, where it is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_hex: Option<String>,
    /// The event's correlation id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The event's trace context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Where the outcome goes.
    pub reply_topic: String,
}

impl Origin {
    pub(super) fn of(flow: &str, reply_topic: &str, event: &Event, record: &Record) -> Origin {
        let text = record.key.as_ref().map(|key| std::str::from_utf8(key).map(str::to_owned));
        let (key, key_hex) = match text {
            Some(Ok(text)) => (Some(text), None),
            Some(Err(_)) => (None, record.key.as_deref().map(to_hex)),
            None => (None, None),
        };
        Origin {
            flow: flow.to_owned(),
            event_id: event.id.clone(),
            event_source: event.source.clone(),
            topic: record.coordinates.topic.to_string(),
            partition: record.coordinates.partition,
            offset: record.coordinates.offset,
            key,
            key_hex,
            correlation_id: event.correlation_id.clone(),
            traceparent: event.traceparent.clone(),
            reply_topic: reply_topic.to_owned(),
        }
    }

    /// Reads the variable back; engines give JSON as an object or as text.
    pub(super) fn read(value: &Value) -> Option<Origin> {
        match value {
            Value::String(text) => serde_json::from_str(text).ok(),
            Value::Object(_) => Origin::deserialize(value).ok(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
        }
    }

    pub(super) fn key(&self) -> Option<Vec<u8>> {
        match (&self.key, &self.key_hex) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(hex)) => from_hex(hex),
            (None, None) => None,
        }
    }

    pub(super) fn source(&self) -> SourceRef {
        SourceRef {
            event_id: Some(self.event_id.clone()),
            event_source: Some(self.event_source.clone()),
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            correlation_id: self.correlation_id.clone(),
            traceparent: self.traceparent.clone(),
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
