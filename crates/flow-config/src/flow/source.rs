//! `[source]`: what a flow reads.

use std::sync::Arc;

use event_model::{EventSchema, Role, Schemas};
use jiff::Timestamp;
use toml::de::DeValue;

use super::null::{self, NullRule};
use super::read::{check_topic, expression, schema};
use crate::document::Section;
use crate::expression::{Expression, Scope, Wanted, step_scope};

/// What a flow reads, and where it starts.
#[derive(Debug)]
#[non_exhaustive]
pub struct Source {
    /// Topics of the source systems.
    pub topics: Vec<Arc<str>>,
    /// The schema that every event is checked against.
    pub schema: Arc<EventSchema>,
    /// Where a flow without committed offsets begins.
    pub start_from: StartFrom,
    /// What becomes of a partition whose unread records retention removed.
    pub on_lost: OnLost,
    /// What null payloads mean.
    pub on_null: OnNull,
    /// The largest payload in bytes; larger ones are dead-lettered.
    pub max_body: usize,
    pub(super) key: Option<Located>,
    pub(super) null: Option<NullRule>,
}

/// An expression and where it stands, for errors at run time.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) expression: Expression,
    pub(super) field: String,
    pub(super) line: usize,
}

/// Where a flow begins when it runs for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFrom {
    /// With the oldest record that the topic still holds.
    Earliest,
    /// With the first record published after the start.
    Latest,
    /// With the first record of that time or later.
    At(Timestamp),
}

/// What becomes of a partition whose unread records retention removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLost {
    /// It waits until an operator accepts the loss.
    Pause,
    /// It goes on with what is left.
    Continue,
}

/// What a null payload means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNull {
    /// It is a mistake of the source.
    DeadLetter,
    /// It means nothing here (a compacted topic's deletions, for instance).
    Skip,
    /// It ends the process that `[source.null]` names.
    Terminate,
}

const DEFAULT_MAX_BODY: usize = 1024 * 1024;

/// The source and the variables for the flow's expressions; the scope is there even when other fields are wrong, so
/// that the steps can be checked in the same run.
pub(super) fn read(section: Section<'_>, schemas: &Schemas) -> (Option<Source>, Option<Scope>) {
    let topics = topics(&section);
    let help = "for instance schema = \"ticket/v1\", the file schemas/ticket/v1.avsc";
    let schema = section.require("schema", help).then(|| schema(&section, "schema", schemas, Role::Event)).flatten();
    let scope = schema.as_deref().map(step_scope);
    let start_from = start_from(&section);
    let key = scope.as_ref().and_then(|scope| expression(&section, "key", Wanted::Text, scope));
    if scope.is_none() {
        section.get("key");
    }
    let on_lost = section.one_of("on_lost", &[("pause", OnLost::Pause), ("continue", OnLost::Continue)]);
    let (on_null, null) = null::read(&section);
    let max_body = section.integer("max_body", 1..=64 * 1024 * 1024).and_then(|bytes| usize::try_from(bytes).ok());
    section.finish();
    let source = || {
        Some(Source {
            topics: topics?,
            schema: schema?,
            start_from: start_from?,
            on_lost: on_lost.unwrap_or(OnLost::Pause),
            on_null,
            max_body: max_body.unwrap_or(DEFAULT_MAX_BODY),
            key,
            null,
        })
    };
    (source(), scope)
}

fn topics(section: &Section<'_>) -> Option<Vec<Arc<str>>> {
    section.require("topics", "for instance topics = [\"crm.tickets.v1\"]").then_some(())?;
    let topics = section.strings("topics")?;
    if topics.is_empty() {
        section.report(section.at(), "topics", "names no topic", "for instance topics = [\"crm.tickets.v1\"]");
    }
    let mut seen: Vec<Arc<str>> = Vec::new();
    for topic in topics {
        let name: Arc<str> = topic.get_ref().as_str().into();
        let at = topic.span().start;
        check_topic(section, "topics", at, &name);
        if seen.contains(&name) {
            section.report(at, "topics", format!("names `{name}` twice"), "remove one of them");
        } else if name.starts_with("xc.") {
            let message = format!("`{name}` is one of xConnector's own topics");
            section.report(at, "topics", message, "read the topic of the source system");
        }
        seen.push(name);
    }
    Some(seen)
}

fn start_from(section: &Section<'_>) -> Option<StartFrom> {
    let help = "\"earliest\" takes what the topic holds, \"latest\" only what comes from now on, or give a time: \"2026-01-31T00:00:00Z\"";
    section.require("start_from", help).then_some(())?;
    let value = section.get("start_from")?;
    let text = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => {
            return section.wrong_type("start_from", value, "\"earliest\", \"latest\" or a time");
        }
    };
    match (text.as_str(), text.parse::<Timestamp>()) {
        ("earliest", _) => Some(StartFrom::Earliest),
        ("latest", _) => Some(StartFrom::Latest),
        (_, Ok(time)) => Some(StartFrom::At(time)),
        (other, Err(_)) => {
            let message = format!("`{other}` is neither \"earliest\" nor \"latest\" nor a time with its zone");
            section.report(value.span().start, "start_from", message, help);
            None
        }
    }
}
