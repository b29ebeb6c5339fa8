//! `[[step]]`: what one kind of event does in the workflow service.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::read::expression;
use super::source::Located;
use crate::document::{Section, Zero};
use crate::expression::{Scope, Wanted};

/// One step; an event does what the first step says whose condition holds.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step {
    /// Line of the step in its file, from 1.
    pub line: usize,
    /// What is done.
    pub action: Action,
    pub(super) when: Option<Located>,
    pub(super) business_key: Located,
    pub(super) variables: Vec<(Arc<str>, Located)>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Starts a process.
    Start {
        /// Process definition key.
        definition: Arc<str>,
    },
    /// Correlates a message with a running process.
    Message {
        /// Process definition key of the processes that may receive it.
        definition: Arc<str>,
        /// Message name.
        message: Arc<str>,
        /// How long a process may take to wait for it.
        hold_for: Duration,
    },
    /// Ends running processes.
    Terminate {
        /// Process definition key.
        definition: Arc<str>,
    },
}

impl Action {
    /// The definition key that the action concerns.
    #[must_use]
    pub fn definition(&self) -> &Arc<str> {
        match self {
            Self::Start { definition } | Self::Message { definition, .. } | Self::Terminate { definition } => {
                definition
            }
        }
    }

    /// What to call it in messages: `start ticket_triage`.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Start { definition } => format!("start {definition}"),
            Self::Message { message, .. } => format!("message {message}"),
            Self::Terminate { definition } => format!("terminate {definition}"),
        }
    }
}

/// Default of `hold_for`.
const HOLD_FOR: Duration = Duration::from_secs(15 * 60);
/// The engine's limit for names and keys, in characters; longer ones make it answer 500.
pub(super) const ENGINE_TEXT_LIMIT: usize = 255;
/// Variables that every start sets itself.
const RESERVED: [&str; 2] = ["xc", "xcEventId"];

pub(super) fn read_all(sections: Vec<Section<'_>>, scope: Option<&Scope>) -> Vec<Step> {
    let first_start: Option<Arc<str>> = sections.iter().find_map(|section| section.peek("start")).map(Into::into);
    let last = sections.len();
    let steps = sections.into_iter().enumerate().map(|(index, section)| {
        if index + 1 < last && !section.has("when") {
            section.report(
                section.at(),
                "when",
                "is missing, so the steps below are never reached",
                "give this step a condition, or put it last",
            );
        }
        read(section, scope, first_start.as_ref())
    });
    steps.collect::<Vec<_>>().into_iter().flatten().collect()
}

fn read(section: Section<'_>, scope: Option<&Scope>, first_start: Option<&Arc<str>>) -> Option<Step> {
    let action = action(&section, first_start);
    let line = section.document.position(section.at()).0;
    let required =
        section.require("business_key", "a CEL text by which the process is found, \"'ticket/' + event.ticketId\"");
    let table = section.table("variables");
    let Some(scope) = scope else {
        // Without a schema nothing can be said about expressions; the missing schema has been reported.
        section.get("when");
        section.finish();
        return None;
    };
    let when = expression(&section, "when", Wanted::Bool, scope);
    let mut scope = scope.clone();
    scope.not_null = when.as_ref().map(|when| when.expression.proves_not_null()).unwrap_or_default();
    let business_key = required.then(|| expression(&section, "business_key", Wanted::Text, &scope)).flatten();
    let variables = table.map(|table| variables(&table, &scope)).unwrap_or_default();
    section.finish();
    Some(Step { line, action: action?, when, business_key: business_key?, variables })
}

/// Exactly one of `start`, `message` and `terminate`, with the fields that belong to it.
fn action(section: &Section<'_>, first_start: Option<&Arc<str>>) -> Option<Action> {
    let name = |field| {
        let text = section.string(field)?;
        check_name(section, field, text.span().start, text.get_ref());
        Some(Arc::from(text.get_ref().as_str()))
    };
    let (start, message, terminate) = (name("start"), name("message"), name("terminate"));
    let definition = name("definition");
    let hold_for = section.duration("hold_for", Zero::Refused);
    let given = ["start", "message", "terminate"].into_iter().filter(|field| section.has(field));
    match given.collect::<Vec<_>>().as_slice() {
        [] => {
            let help = "give exactly one: start = \"definition key\", message = \"message name\" or terminate = \"definition key\"";
            section.report(section.at(), "", "says nothing to do", help);
            return None;
        }
        [_] => {}
        several => {
            let what = format!("has {}, but a step does one thing", several.join(" and "));
            section.report(section.at(), "", what, "write one [[step]] for each");
            return None;
        }
    }
    if !section.has("message") {
        for field in ["definition", "hold_for"] {
            if let Some(at) = section.key_at(field) {
                section.report(at, field, "belongs to message steps only", "remove it");
            }
        }
    }
    if let (Some(_), Some(at)) = (&terminate, section.key_at("variables")) {
        section.report(at, "variables", "a terminated process takes no variables", "remove them");
    }
    match (start, message, terminate) {
        (Some(definition), _, _) => Some(Action::Start { definition }),
        (_, Some(message), _) => {
            let definition = definition.or_else(|| first_start.cloned());
            if definition.is_none() {
                let help = "name the process that waits for the message: definition = \"definition key\"";
                section.report(section.at(), "definition", "is missing, and no step starts a process", help);
            }
            Some(Action::Message { definition: definition?, message, hold_for: hold_for.unwrap_or(HOLD_FOR) })
        }
        (_, _, Some(definition)) => Some(Action::Terminate { definition }),
        (None, None, None) => None,
    }
}

/// Names and expressions of a table that makes process variables.
pub(super) fn variables(table: &Section<'_>, scope: &Scope) -> Vec<(Arc<str>, Located)> {
    let mut seen = BTreeSet::new();
    let variables = table.entries().filter_map(|(name, at, value)| {
        check_name(table, name, at, name);
        if RESERVED.contains(&name) {
            table.report(at, name, "is set by xConnector itself", "choose another name");
        }
        if !seen.insert(name) {
            return None;
        }
        let Some(source) = value.get_ref().as_str() else {
            let help = "put the value in quotes: text as \"'text'\", a number as \"42\"";
            table.report(value.span().start, name, "must be a CEL expression in quotes", help);
            return None;
        };
        let located = super::read::compile(table, name, value.span(), source, Wanted::Anything, scope)?;
        Some((Arc::from(name), located))
    });
    variables.collect()
}

pub(super) fn check_name(section: &Section<'_>, field: &str, at: usize, name: &str) {
    let length = name.chars().count();
    if length == 0 {
        section.report(at, field, "is empty", "");
    } else if length > ENGINE_TEXT_LIMIT {
        let message = format!("is {length} characters long; the engine takes at most {ENGINE_TEXT_LIMIT}");
        section.report(at, "", message, "shorten the name");
    }
}
