//! What an audit tells, for people and for machines.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::Subject;
use super::compare::{Compared, Copy, State};

/// Everything that one command found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Root instances with a mark of their flow.
    compared: usize,
    /// Instances of the definitions without one: somebody else started them.
    unmarked: usize,
    pub doubles: Vec<Told>,
    /// Where it could not be seen whether there are doubles; the numbers leave these out.
    pub unknown: Vec<Unseen>,
}

/// An event with more than one root instance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub flow: String,
    definition: String,
    event_id: String,
    /// The one that stays.
    pub survivor: Found,
    pub surplus: Vec<Found>,
}

/// An instance, and what was done about it.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    started: Option<Timestamp>,
    pub id: String,
    pub running: bool,
    /// Somebody ended it.
    pub deleted: bool,
    /// Why it was not ended although that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

/// A definition that could not be seen whole.
#[derive(Debug, Serialize)]
pub(crate) struct Unseen {
    flow: String,
    definition: String,
    reason: String,
}

impl Report {
    pub(crate) fn add(&mut self, subject: &Subject, definition: &str, found: Result<Compared, String>) {
        let (flow, definition) = (subject.flow.to_string(), definition.to_owned());
        match found {
            Err(reason) => self.unknown.push(Unseen { flow, definition, reason }),
            Ok(compared) => {
                self.compared += compared.compared;
                self.unmarked += compared.unmarked;
                self.doubles.extend(compared.doubles.into_iter().map(|double| Told {
                    flow: flow.clone(),
                    definition: definition.clone(),
                    event_id: double.event,
                    survivor: Found::from(&double.survivor),
                    surplus: double.surplus.iter().map(Found::from).collect(),
                }));
            }
        }
    }

    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl From<&Copy> for Found {
    fn from(copy: &Copy) -> Found {
        let (running, deleted) = (copy.state == State::Running, copy.state >= State::Deleted);
        let started = Timestamp::from_millisecond(copy.started_ms).ok();
        Found { started, id: copy.id.to_string(), running, deleted, left: None }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Told { flow, definition, event_id, survivor, surplus } in &self.doubles {
            // An event's id is whatever its source wrote.
            let event = event_id.escape_debug();
            writeln!(f, "DOUBLE {event} (flow {flow}, {definition}): {survivor} stays")?;
            for one in surplus {
                write!(f, "       {one} is surplus")?;
                match &one.left {
                    Some(reason) => writeln!(f, "; left as it is: {reason}")?,
                    None => writeln!(f)?,
                }
            }
        }
        for Unseen { flow, definition, reason } in &self.unknown {
            writeln!(f, "UNKNOWN (flow {flow}, {definition}): {reason}")?;
        }
        let Report { compared, unmarked, doubles, .. } = self;
        let doubles = doubles.len();
        write!(f, "{compared} instances compared, {unmarked} of others passed over, {doubles} events with doubles")
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.running, self.deleted) {
            (true, _) => "runs",
            (false, true) => "was ended",
            (false, false) => "ended",
        };
        write!(f, "{} ({state}", self.id)?;
        if let Some(started) = self.started {
            write!(f, ", started {started}")?;
        }
        write!(f, ")")
    }
}
