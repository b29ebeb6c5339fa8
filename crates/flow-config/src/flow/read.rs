//! `flow.toml` from the file to a checked [`Flow`].

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use event_model::{EventSchema, ReplyEncoding, Role, Schemas};

use super::source::Located;
use super::{Compensate, Flow, Job, Limits, OnExhausted, Reply, job, model, source, step, storm_guard};
use crate::document::{Document, Section, Zero};
use crate::expression::{Expression, Needed, Scope, Uses, Wanted};
use crate::problem::{Problem, suggestion};

pub(super) fn flow(dir: &Path, schemas: &Schemas) -> Result<Flow, Vec<Problem>> {
    let file = dir.join("flow.toml");
    let document = Document::read(&file).map_err(|mut problem| {
        problem.help = "every folder of a flow holds a flow.toml".to_owned();
        vec![problem]
    })?;
    let flow = read(&document, dir, schemas);
    match (flow, document.into_problems()) {
        (Some(flow), problems) if problems.is_empty() => Ok(flow),
        (_, problems) if !problems.is_empty() => Err(problems),
        // Every absent part has been reported; this line keeps a flow from vanishing in silence if one is not.
        _ => Err(vec![Problem::of_file(file, "cannot be used, for a reason that was not found", "")]),
    }
}

fn read(document: &Document, dir: &Path, schemas: &Schemas) -> Option<Flow> {
    let parsed = document.parse();
    let root = Section::root(document, &parsed);
    let own = root.require("flow", "write [flow] and name = \"…\"").then(|| root.table("flow")).flatten();
    let (name, compensate) = own.map_or((None, Compensate::Report), identity);
    let source = root.require("source", "write [source] with topics, schema and start_from");
    let (source, scope) = match source.then(|| root.table("source")).flatten() {
        Some(section) => source::read(section, schemas),
        None => (None, None),
    };
    let sections = root.tables("step");
    if sections.is_empty() {
        root.report(0, "step", "is missing, so every event would be filtered", "write at least one [[step]]");
    }
    let file: Arc<str> = document.file().display().to_string().into();
    let steps = step::read_all(sections, scope.as_ref());
    let jobs = jobs(root.tables("job"), &file, schemas);
    let reply =
        root.require("reply", "write [reply] and topic = \"…\"").then(|| root.table("reply")).flatten().and_then(reply);
    let limits = root.table("limits").map(limits).unwrap_or_default();
    let storm_guard = root.table("storm_guard").map(storm_guard::read).unwrap_or_default();
    let models = model::check(document, dir, &parsed);
    root.finish();
    let needed = needed(scope.as_ref()?, &source, &steps);
    Some(Flow {
        name: name?,
        file: document.file().to_owned(),
        source: source?,
        steps,
        jobs,
        compensate,
        reply: reply?,
        limits,
        storm_guard,
        models,
        needed,
    })
}

/// What the interpreter needs of each event, over all expressions of the flow.
fn needed(scope: &Scope, source: &Option<source::Source>, steps: &[step::Step]) -> Needed {
    let key = source.iter().filter_map(|source| source.key.as_ref());
    let of_steps = steps.iter().flat_map(|step| {
        let variables = step.variables.iter().map(|(_, variable)| variable);
        step.when.iter().chain([&step.business_key]).chain(variables)
    });
    needed_by(scope, key.chain(of_steps))
}

/// What the interpreter needs for some expressions.
pub(super) fn needed_by<'a>(scope: &Scope, expressions: impl Iterator<Item = &'a Located>) -> Needed {
    let mut uses = Uses::default();
    for more in expressions.filter_map(|located| located.expression.interpreter_uses()) {
        uses.add(more);
    }
    Needed::of(scope, &uses)
}

/// Longest flow name: with `xc.` before and `.ledger` behind it, it must fit Kafka's 249 characters.
const FLOW_NAME_LIMIT: usize = 200;

fn identity(section: Section<'_>) -> (Option<Arc<str>>, Compensate) {
    let words = [("report", Compensate::Report), ("delete", Compensate::Delete)];
    let compensate = section.one_of("compensate", &words).unwrap_or(Compensate::Report);
    (flow_name(section), compensate)
}

fn flow_name(section: Section<'_>) -> Option<Arc<str>> {
    let name = section.required_string("name", "for instance name = \"tickets\"");
    section.finish_as(|section| {
        let name = name?;
        let text = name.get_ref().as_str();
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let help = "use letters, digits, - and _; topics are called xc.<name>.dlq and so on";
        if text.is_empty() || text.len() > FLOW_NAME_LIMIT {
            let message = format!("must have 1 to {FLOW_NAME_LIMIT} characters, not {}", text.len());
            section.report(name.span().start, "name", message, help);
        } else if let Some(wrong) = text.chars().find(|c| !allowed(*c)) {
            section.report(
                name.span().start,
                "name",
                format!("`{text}` has `{wrong}` in it, which cannot be part of a topic name here"),
                help,
            );
        }
        Some(text.into())
    })
}

fn jobs(sections: Vec<Section<'_>>, file: &Arc<str>, schemas: &Schemas) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for section in sections {
        let (document, at) = (section.document, section.at());
        let Some(job) = job::read(section, file, schemas) else {
            continue;
        };
        if jobs.iter().any(|other| other.topic == job.topic) {
            document.report(at, "job.topic", format!("`{}` is served by two jobs", job.topic), "remove one of them");
        }
        jobs.push(job);
    }
    jobs
}

fn reply(section: Section<'_>) -> Option<Reply> {
    let topic = section.required_string("topic", "for instance topic = \"crm.tickets.replies.v1\"");
    let format = section.one_of("format", &[("json", ReplyEncoding::Json), ("avro", ReplyEncoding::Avro)]);
    section.finish_as(|section| {
        let topic = topic?;
        check_topic(section, "topic", topic.span().start, topic.get_ref());
        Some(Reply { topic: topic.get_ref().as_str().into(), format: format.unwrap_or(ReplyEncoding::Json) })
    })
}

fn limits(section: Section<'_>) -> Limits {
    let default = Limits::default();
    let count = |name, fallback: usize| {
        section.integer(name, 1..=1_000_000).and_then(|count| usize::try_from(count).ok()).unwrap_or(fallback)
    };
    let exhausted = [("next", OnExhausted::Next), ("quarantine-key", OnExhausted::QuarantineKey)];
    let limits = Limits {
        max_in_flight: count("max_in_flight", default.max_in_flight),
        weight: section.integer("weight", 1..=1_000).and_then(|w| u32::try_from(w).ok()).unwrap_or(default.weight),
        max_held: count("max_held", default.max_held),
        retry_initial: section.duration("retry_initial", Zero::Refused).unwrap_or(default.retry_initial),
        retry_max: section.duration("retry_max", Zero::Refused).unwrap_or(default.retry_max),
        give_up_after: section.duration("give_up_after", Zero::Refused).unwrap_or(default.give_up_after),
        on_exhausted: section.one_of("on_exhausted", &exhausted).unwrap_or(default.on_exhausted),
        max_quarantined: count("max_quarantined", default.max_quarantined),
        ledger_entries: count("ledger_entries", default.ledger_entries),
    };
    if limits.retry_initial > limits.retry_max {
        section.report(section.at(), "retry_initial", "is longer than retry_max", "make retry_max the longer one");
    }
    section.finish();
    limits
}

/// The schema that a field names, if the field is there: one that describes what it has to describe.
pub(super) fn schema(
    section: &Section<'_>,
    field: &'static str,
    schemas: &Schemas,
    role: Role,
) -> Option<Arc<EventSchema>> {
    let name = section.string(field)?;
    let (at, name) = (name.span().start, name.get_ref().as_str());
    let Some(schema) = schemas.get(name) else {
        let fitting = schemas.names().filter(|known| schemas.get(known).is_some_and(|schema| schema.role() == role));
        let names: Vec<String> = fitting.map(|known| known.to_string()).collect();
        let help = suggestion(name, names.iter().map(String::as_str));
        section.report(at, field, format!("there is no schema `{name}`"), help);
        return None;
    };
    if schema.role() != role {
        let message = format!("`{name}` describes {}, and this has to describe {role}", schema.role());
        section.report(at, field, message, "name another schema, or see the schema's xconnector.role");
        return None;
    }
    Some(schema)
}

/// Compiles the expression in a field of `section`, if the field is there.
pub(super) fn expression(section: &Section<'_>, name: &'static str, wanted: Wanted, scope: &Scope) -> Option<Located> {
    let source = section.string(name)?;
    compile(section, name, source.span(), source.get_ref(), wanted, scope)
}

pub(super) fn compile(
    section: &Section<'_>,
    name: &str,
    span: Range<usize>,
    source: &str,
    wanted: Wanted,
    scope: &Scope,
) -> Option<Located> {
    let document = section.document;
    match Expression::compile(source, wanted, scope) {
        Ok(expression) => {
            Some(Located { expression, field: section.path_of(name), line: document.position(span.start).0 })
        }
        Err(mistakes) => {
            // Only where the file holds the expression letter by letter is the place inside it known.
            let written = document.slice(span.clone());
            let inside = written.find(source).filter(|_| !source.is_empty());
            for mistake in mistakes {
                let at = inside.map_or(span.start, |quotes| span.start + quotes + mistake.offset);
                section.report(at, name, mistake.message, mistake.help);
            }
            None
        }
    }
}

/// Refuses a name that Kafka would refuse.
pub(super) fn check_topic(section: &Section<'_>, field: &str, at: usize, topic: &str) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = if topic.is_empty() || topic.len() > 249 {
        format!("a topic name has 1 to 249 characters, not {}", topic.len())
    } else if topic == "." || topic == ".." || !topic.chars().all(allowed) {
        format!("`{topic}` is no topic name")
    } else {
        return;
    };
    section.report(at, field, problem, "Kafka takes letters, digits, `.`, `_` and `-`");
}
