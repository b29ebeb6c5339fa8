//! The variables of an expression: declared for the check, bound for an evaluation.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Value as Cel};
use event_model::{Event, EventSchema, JobRecord, Record};
use serde_json::Value as Json;

use super::check::{Scope, Uses};
use super::types::{RecordType, Type};
use super::{EvaluationError, language, value};

/// What the expressions of a source or step may use: `event`, `ce` and `record`.
pub(crate) fn step_scope(schema: &EventSchema) -> Scope {
    Scope {
        variables: vec![
            ("event", Type::of_schema(schema.avro())),
            ("ce", ce_type()),
            ("record", Type::record(record_fields(Type::Text.nullable()))),
        ],
        declared: "event",
        declared_in: format!("schema {}", schema.name()),
        not_null: Vec::new(),
    }
}

/// What is known of a record without a value. Its key is a text: a record that has none says nothing at all.
pub(crate) fn null_scope() -> Scope {
    let (ce, record) = (ce_type(), Type::record(record_fields(Type::Text)));
    let (declared, declared_in) = ("record", "a record without a value".to_owned());
    Scope { variables: vec![("ce", ce), ("record", record)], declared, declared_in, not_null: Vec::new() }
}

fn ce_type() -> Type {
    let text = || Type::Text;
    Type::record([
        ("id", text()),
        ("source", text()),
        ("type", text()),
        ("subject", text().nullable()),
        ("time", text().nullable()),
    ])
}

fn record_fields(key: Type) -> [(&'static str, Type); 4] {
    [("topic", Type::Text), ("partition", Type::Int), ("offset", Type::Int), ("key", key)]
}

/// What the expressions of a job may use: `vars`, the process variables by name, and `job`.
pub(crate) fn job_scope() -> Scope {
    let text = || Type::Text;
    let job = Type::record([("id", text()), ("processInstanceId", text()), ("businessKey", text().nullable())]);
    Scope {
        variables: vec![("vars", Type::Map(Arc::new(Type::Dyn))), ("job", job)],
        declared: "job",
        declared_in: "the job".to_owned(),
        not_null: Vec::new(),
    }
}

/// The same where a system has answered: `response` is its answer.
pub(crate) fn answer_scope(body: &AnswerBody) -> Scope {
    let (of, declared_in) = match body {
        AnswerBody::Any => (Type::Dyn, "the answer".to_owned()),
        AnswerBody::Obeys(schema) => (Type::of_schema(schema.avro()), format!("schema {}", schema.name())),
        AnswerBody::Document => (document_reference(), "the reference to a document".to_owned()),
    };
    let mut scope = job_scope();
    let headers = Type::Map(Arc::new(Type::Text));
    scope.variables.push(("response", Type::record([("status", Type::Int), ("headers", headers), ("body", of)])));
    Scope { declared: "response.body", declared_in, ..scope }
}

/// What is known of the body of an answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// Nothing.
    Any,
    /// It obeys a schema.
    Obeys(Arc<EventSchema>),
    /// It is the reference that is made of a document.
    Document,
}

fn document_reference() -> Type {
    let text = || Type::Text;
    Type::record([("href", text()), ("sha256", text()), ("bytes", Type::Int), ("contentType", text().nullable())])
}

impl Scope {
    /// Whether a path leads through records alone, or to a process variable: then looking it up gives what the
    /// interpreter would give. A key of a map may be absent, which is for the interpreter to refuse.
    pub(crate) fn is_plain_path(&self, path: &[&str]) -> bool {
        let Some((root, fields)) = path.split_first() else {
            return false;
        };
        if *root == "vars" {
            return !fields.is_empty();
        }
        let mut of = self.variables.iter().find(|(name, _)| name == root).map(|(_, of)| of);
        for field in fields {
            of = match of.map(Type::without_null) {
                Some(Type::Record(record)) => record.field(field),
                _ => None,
            };
        }
        of.is_some() && !fields.is_empty()
    }
}

/// The part of an event that the expressions of a flow need as CEL values.
#[derive(Debug)]
pub(crate) struct Needed {
    event: Type,
    ce: bool,
    record: bool,
}

impl Needed {
    pub(crate) fn of(scope: &Scope, uses: &Uses) -> Self {
        let event = scope.variables.iter().find(|(name, _)| *name == "event").map_or(Type::Dyn, |(_, of)| of.clone());
        let event = if let Type::Record(record) = &event
            && !uses.whole_event
        {
            let used = |(name, _): &&(String, Type)| uses.event_fields.contains(name);
            let fields = record.fields.iter().filter(used).cloned().collect();
            Type::Record(Arc::new(RecordType { fields, optional: record.optional.clone() }))
        } else {
            event
        };
        Self { event, ce: uses.variables.contains("ce"), record: uses.variables.contains("record") }
    }
}

/// The variables of one event or job, converted for the interpreter when the first expression asks for it.
pub(crate) struct Evaluation<'a> {
    inputs: Inputs<'a>,
    context: OnceCell<Context<'static, 'static>>,
}

enum Inputs<'a> {
    Step { event: &'a Event, record: &'a Record, needed: &'a Needed },
    Job { job: &'a JobRecord, response: Option<&'a Json> },
}

impl<'a> Evaluation<'a> {
    pub(crate) fn of_event(event: &'a Event, record: &'a Record, needed: &'a Needed) -> Self {
        Self { inputs: Inputs::Step { event, record, needed }, context: OnceCell::new() }
    }

    pub(crate) fn of_job(job: &'a JobRecord, response: Option<&'a Json>) -> Self {
        Self { inputs: Inputs::Job { job, response }, context: OnceCell::new() }
    }

    pub(crate) fn context(&self) -> &Context<'static, 'static> {
        self.context.get_or_init(|| {
            // Cheap: the functions live in the shared language.
            let mut context = Context::with_env(language());
            match &self.inputs {
                Inputs::Step { event, record, needed } => {
                    context.add_variable_from_value("event", value::to_cel(&event.data, &needed.event));
                    if needed.ce {
                        context.add_variable_from_value(
                            "ce",
                            value::to_cel(&all_of(CE, |name| ce(event, name)), &Type::Dyn),
                        );
                    }
                    if needed.record {
                        let fields = all_of(RECORD, |name| record_field(record, name));
                        context.add_variable_from_value("record", value::to_cel(&fields, &Type::Dyn));
                    }
                }
                Inputs::Job { job, response } => {
                    let entry = |(name, of): (&String, &Json)| (name.clone(), value::to_cel(of, &Type::Dyn));
                    let map: HashMap<String, Cel> = job.variables.iter().map(entry).collect();
                    context.add_variable_from_value("vars", map);
                    let fields = all_of(JOB, |name| job_field(job, name));
                    context.add_variable_from_value("job", value::to_cel(&fields, &Type::Dyn));
                    if let Some(response) = response {
                        context.add_variable_from_value("response", value::to_cel(response, &Type::Dyn));
                    }
                }
            }
            context
        })
    }

    /// The value at a path that the check has found to exist; absent data fields are null.
    pub(crate) fn look_up(&self, path: &[String]) -> Result<Json, EvaluationError> {
        let (root, fields) = path.split_first().ok_or_else(|| EvaluationError("the path is empty".to_owned()))?;
        match (&self.inputs, root.as_str(), fields) {
            (Inputs::Step { event, .. }, "event", fields) => Ok(below(&event.data, fields)?.unwrap_or(Json::Null)),
            (Inputs::Step { event, .. }, "ce", [name]) => Ok(ce(event, name)),
            (Inputs::Step { record, .. }, "record", [name]) => Ok(record_field(record, name)),
            (Inputs::Job { job, .. }, "job", [name]) => Ok(job_field(job, name)),
            (Inputs::Job { response: Some(response), .. }, "response", fields) => {
                below(response, fields)?.ok_or_else(|| EvaluationError(format!("there is no `{}`", path.join("."))))
            }
            (Inputs::Job { job, .. }, "vars", [name, fields @ ..]) => {
                let absent = || EvaluationError(format!("the process has no variable `{name}`"));
                let variable = job.variables.get(name).ok_or_else(absent)?;
                below(variable, fields)?.ok_or_else(|| EvaluationError(format!("there is no `{}`", path.join("."))))
            }
            _ => Err(EvaluationError(format!("there is no `{}`", path.join(".")))),
        }
    }
}

/// Follows fields down into JSON; `None` where the last one is absent.
fn below(json: &Json, fields: &[String]) -> Result<Option<Json>, EvaluationError> {
    let mut at = json;
    for (depth, field) in fields.iter().enumerate() {
        let Json::Object(object) = at else {
            return Err(EvaluationError(format!("`{field}` is asked of {}", value::noun(at))));
        };
        match object.get(field) {
            Some(inner) => at = inner,
            None if depth + 1 == fields.len() => return Ok(None),
            None => return Err(EvaluationError(format!("there is no `{field}`"))),
        }
    }
    Ok(Some(at.clone()))
}

const CE: &[&str] = &["id", "source", "type", "subject", "time"];
const RECORD: &[&str] = &["topic", "partition", "offset", "key"];
const JOB: &[&str] = &["id", "processInstanceId", "businessKey"];

fn all_of(names: &[&str], field: impl Fn(&str) -> Json) -> Json {
    Json::Object(names.iter().map(|name| ((*name).to_owned(), field(name))).collect())
}

fn ce(event: &Event, name: &str) -> Json {
    let text = |text: Option<&String>| text.map_or(Json::Null, |text| Json::String(text.clone()));
    match name {
        "id" => text(Some(&event.id)),
        "source" => text(Some(&event.source)),
        "type" => text(Some(&event.kind)),
        "subject" => text(event.subject.as_ref()),
        "time" => text(event.time.as_ref()),
        _ => Json::Null,
    }
}

fn job_field(job: &JobRecord, name: &str) -> Json {
    match name {
        "id" => Json::String(job.job_id.clone()),
        "processInstanceId" => Json::String(job.process_instance_id.clone()),
        "businessKey" => job.business_key.clone().map_or(Json::Null, Json::String),
        _ => Json::Null,
    }
}

/// A key that is not UTF-8 is null to expressions: they have texts, not bytes.
fn record_field(record: &Record, name: &str) -> Json {
    match name {
        "topic" => Json::String(record.coordinates.topic.to_string()),
        "partition" => Json::from(record.coordinates.partition.get()),
        "offset" => Json::from(record.coordinates.offset.get()),
        "key" => record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).map_or(Json::Null, Json::from),
        _ => Json::Null,
    }
}
