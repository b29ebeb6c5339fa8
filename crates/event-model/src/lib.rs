//! The words that every part of xConnector speaks: where a record stands in Kafka, what event it carries, which schema
//! it obeys, and what goes back to Kafka in answer.
//!
//! Read in this order: [`Record`] comes in, [`decode`] makes an [`Event`] of it, a [`Receipt`], an [`Outcome`], a dead
//! letter ([`DeadLetter`]) or a job ([`JobRecord`]) goes out as an [`OutgoingRecord`]. Nothing here does I/O except
//! [`Schemas::load`], and nothing reads a clock: times are arguments.

mod avro;
mod cloud_event;
mod content;
mod dead_letter;
mod error;
mod event;
mod ids;
mod job;
mod record;
mod replay;
mod reply;
mod schema;

pub use dead_letter::DeadLetter;
pub use error::DecodeError;
pub use event::{Event, decode, tombstone};
pub use ids::{Coordinates, NextOffset, Offset, Partition};
pub use job::{BadJobRecord, JobRecord};
pub use record::{Header, OutgoingRecord, Record};
pub use replay::{
    BadReplay, is_discarded, letter_of, number_in_quarantine, original, replay_topic_of, to_discard, to_replay,
};
pub use reply::{
    AuditEntry, Comment, Outcome, ProcessRef, Receipt, ReceiptStatus, ReplyEncoding, ReplyError, ReplyRoute,
    ReplySchemas, SourceRef,
};
pub use schema::{EventSchema, Role, SchemaError, SchemaIds, Schemas, Violation};
