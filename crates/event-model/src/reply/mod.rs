//! Replies: what a source system is told about its event, as records with CloudEvents headers.
//!
//! A [`Receipt`] says what became of the event itself (`schemas/receipt/v1.avsc`), an [`Outcome`] what its process
//! decided (`schemas/outcome/v1.avsc`).

mod outcome;
mod receipt;
mod route;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{Coordinates, Offset, Partition};
use crate::record::OutgoingRecord;
use crate::schema::{EventSchema, SchemaError, Violation};

pub use outcome::{AuditEntry, Comment, Outcome};
pub use receipt::{Receipt, ReceiptStatus};
pub use route::ReplyRoute;

/// How the value of a reply is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyEncoding {
    /// JSON, content type `application/json`.
    #[default]
    Json,
    /// Avro's single-object encoding, content type `avro/binary`.
    Avro,
}

/// The schemas of replies, compiled once. They are part of the program: replies are its contract.
#[derive(Debug)]
pub struct ReplySchemas {
    receipt: EventSchema,
    outcome: EventSchema,
}

impl ReplySchemas {
    /// Compiles the schemas that this program was built with.
    ///
    /// # Errors
    /// Only when a schema file was broken before the build; a test of this crate proves that it was not.
    pub fn compile() -> Result<Self, SchemaError> {
        Ok(Self {
            receipt: EventSchema::parse("receipt/v1", include_str!("../../../../schemas/receipt/v1.avsc"))?,
            outcome: EventSchema::parse("outcome/v1", include_str!("../../../../schemas/outcome/v1.avsc"))?,
        })
    }

    /// A receipt as the record to publish.
    ///
    /// # Errors
    /// [`ReplyError`], which names the reply.
    pub fn receipt(&self, receipt: &Receipt, route: &ReplyRoute<'_>) -> Result<OutgoingRecord, ReplyError> {
        let head = Head {
            kind: receipt.status.event_type(),
            subject: receipt.process.as_ref().map(|process| process.instance_id.as_str()),
            time: receipt.time,
            origin: Some(&receipt.source),
            cause: receipt.source.coordinates().to_string(),
        };
        reply(&self.receipt, receipt, head, route)
    }

    /// An outcome as the record to publish. `cause` is the id of the job that the outcome answers, or of the finished
    /// instance where no job asked for it; the reply's id is made of it.
    ///
    /// # Errors
    /// [`ReplyError`], which names the reply.
    pub fn outcome(
        &self,
        outcome: &Outcome,
        cause: &str,
        time: Timestamp,
        route: &ReplyRoute<'_>,
    ) -> Result<OutgoingRecord, ReplyError> {
        let head = Head {
            kind: Outcome::EVENT_TYPE,
            subject: Some(&outcome.process.instance_id),
            time,
            origin: outcome.source.as_ref(),
            cause: cause.to_owned(),
        };
        reply(&self.outcome, outcome, head, route)
    }
}

/// What the CloudEvents attributes of a reply are made of.
struct Head<'a> {
    kind: &'static str,
    subject: Option<&'a str>,
    time: Timestamp,
    origin: Option<&'a SourceRef>,
    cause: String,
}

fn reply(
    schema: &EventSchema,
    body: &impl Serialize,
    head: Head<'_>,
    route: &ReplyRoute<'_>,
) -> Result<OutgoingRecord, ReplyError> {
    let failed = |problem: String| ReplyError { kind: head.kind, cause: head.cause.clone(), problem };
    let violated = |violation: Violation| failed(violation.to_string());
    let data = serde_json::to_value(body).map_err(|error| failed(error.to_string()))?;
    let value = match route.encoding {
        ReplyEncoding::Json => {
            let data: Value = schema.check_json(data).map_err(violated)?;
            serde_json::to_vec(&data).map_err(|error| failed(error.to_string()))?
        }
        ReplyEncoding::Avro => schema.encode_single_object(&data).map_err(violated)?,
    };
    Ok(OutgoingRecord {
        topic: route.topic.clone(),
        partition: route.partition,
        key: route.key.map(<[u8]>::to_vec),
        value: Some(value),
        headers: route.headers(&head),
    })
}

/// A reply that cannot be written. The reply is ours, so this is a defect or a value out of range, not the source's
/// fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the reply {kind} for {cause} cannot be written: {problem}")]
pub struct ReplyError {
    /// The reply's CloudEvents type.
    pub kind: &'static str,
    /// The source coordinates, job or instance that it answers.
    pub cause: String,
    /// What does not fit.
    pub problem: String,
}

/// The event that a reply answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRef {
    /// The CloudEvents id, or the coordinates where the record had none; absent if the record could not be read.
    pub event_id: Option<String>,
    /// The CloudEvents source, likewise.
    pub event_source: Option<String>,
    /// The topic of the source record.
    pub topic: String,
    /// The partition of the source record.
    pub partition: Partition,
    /// The offset of the source record.
    pub offset: Offset,
    /// The event's correlation id, given back as it came.
    pub correlation_id: Option<String>,
    /// The event's trace context; it goes into a header only.
    #[serde(default, skip_serializing)]
    pub traceparent: Option<String>,
}

impl SourceRef {
    /// Where the source record stands.
    #[must_use]
    pub fn coordinates(&self) -> Coordinates {
        Coordinates { topic: self.topic.as_str().into(), partition: self.partition, offset: self.offset }
    }
}

/// The process instance that an event started or reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessRef {
    /// The engine's id of the instance.
    pub instance_id: String,
    /// The process definition's key or id, as the engine names it.
    pub definition: Option<String>,
    /// The instance's business key.
    pub business_key: Option<String>,
}

#[cfg(test)]
mod tests;
