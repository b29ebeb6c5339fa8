//! Times that must be in the right order, whoever set them: a wrong order costs a promise, not speed.

use std::time::Duration;

use toml::de::DeValue;

use super::{EngineSettings, GroupProtocol, KafkaSettings};
use crate::document::Section;

/// How long an accepted offset lets a worker dispatch; its successor waits as long before it trusts what it reads.
pub const LEASE_TERM: Duration = Duration::from_secs(10);

/// What librdkafka takes when nothing is set.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(300);

/// A time, and the byte offset where the file says it.
#[derive(Clone, Copy)]
struct Placed {
    time: Duration,
    at: usize,
}

/// Checks that lease < session, and request < revoke < half a poll interval.
pub(super) fn check(root: &Section<'_>, kafka: &KafkaSettings, engine: &EngineSettings, drain: Duration) {
    let properties = root.table("kafka").and_then(|kafka| kafka.table("properties"));
    let milliseconds = |name| properties.as_ref().and_then(|section| milliseconds(section, name));
    let session = milliseconds("session.timeout.ms");
    let poll = milliseconds("max.poll.interval.ms");
    if let (Some(session), Some(section)) = (session, &properties) {
        let name = "session.timeout.ms";
        if kafka.group_protocol == GroupProtocol::Consumer {
            let help = "remove it: with group_protocol = \"consumer\" the broker decides, by group.consumer.session.timeout.ms";
            section.report(session.at, name, "belongs to the classic group protocol", help);
        } else if session.time <= LEASE_TERM {
            let message =
                format!("{:?} is not longer than the lease of {LEASE_TERM:?} that a worker sends under", session.time);
            section.report(session.at, name, message, "45000 is usual");
        }
    }
    let given = root.table("shutdown").and_then(|section| position(&section, "drain_timeout"));
    let limit = poll.map_or(MAX_POLL_INTERVAL, |poll| poll.time) / 2;
    if drain <= engine.request_timeout {
        let request = root.table("engine").and_then(|section| position(&section, "request_timeout"));
        let message = format!(
            "{drain:?} is not longer than [engine] request_timeout ({:?}): a record would be handed over while its call is under way",
            engine.request_timeout
        );
        let help = "make it longer than the slowest call";
        root.report(given.or(request).unwrap_or(0), "shutdown.drain_timeout", message, help);
    }
    if drain >= limit {
        let message = format!(
            "{drain:?} is not shorter than half of max.poll.interval.ms ({:?}): the group would throw the worker out while it waits",
            limit * 2
        );
        let help = "shorten it, or raise \"max.poll.interval.ms\" in [kafka.properties]";
        root.report(given.or(poll.map(|poll| poll.at)).unwrap_or(0), "shutdown.drain_timeout", message, help);
    }
}

fn position(section: &Section<'_>, name: &str) -> Option<usize> {
    section.entries().find(|(entry, ..)| *entry == name).map(|(_, at, _)| at)
}

/// A librdkafka property in milliseconds; what is no number is reported here, before a client refuses it at the start.
fn milliseconds(section: &Section<'_>, name: &str) -> Option<Placed> {
    let (_, at, value) = section.entries().find(|(entry, ..)| *entry == name)?;
    let number = match value.get_ref() {
        DeValue::String(text) => text.trim().parse().ok(),
        DeValue::Integer(number) => number.as_str().parse().ok(),
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    };
    if number.is_none() {
        section.report(at, name, "must be a whole number of milliseconds", "");
    }
    number.map(|number| Placed { time: Duration::from_millis(number), at })
}
