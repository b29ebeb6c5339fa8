//! `call` of a `[[job]]`: the request to a system, and what its answer means to the process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use event_model::JobRecord;
use serde_json::{Map, Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::plan::{PlanError, Variables};
use super::read::{compile, expression};
use super::source::Located;
use super::step::{check_name, variables};
use super::template::Template;
use crate::document::Section;
use crate::expression::{Evaluation, EvaluationError, Scope, Wanted, job_scope, noun};

/// What a job asks of a system.
#[derive(Debug)]
pub struct SystemCall {
    /// The system's name in the settings.
    pub system: Arc<str>,
    /// The method.
    pub method: Method,
    /// Whether the answer is a document, which is referred to and not kept.
    pub document: bool,
    /// Line of the call in its file, from 1.
    pub line: usize,
    path: Template,
    body: Option<Body>,
    if_match: Option<Located>,
    result: Vec<(Arc<str>, Located)>,
    bpmn_error: BTreeMap<u16, Arc<str>>,
    file: Arc<str>,
}

/// A method of HTTP that jobs may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes something, or does something to it.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

/// A request, calculated for one job.
#[derive(Clone, PartialEq)]
pub struct PlannedCall {
    /// The method.
    pub method: Method,
    /// Path and query below the system's URL, percent-encoded.
    pub path: String,
    /// The JSON body.
    pub body: Option<Json>,
    /// The version that is meant.
    pub if_match: Option<String>,
    /// Whether the answer is a document.
    pub document: bool,
}

impl fmt::Debug for PlannedCall {
    /// Path and body are data of the process.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedCall").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What a system answered.
#[derive(Clone, Copy)]
pub struct SystemAnswer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Headers by their lower-case names.
    pub headers: &'a BTreeMap<String, String>,
    /// The body.
    pub body: &'a Json,
}

/// The body as the file writes it: expressions in tables and lists.
#[derive(Debug)]
enum Body {
    Value(Located),
    Constant(Json),
    Table(Vec<(String, Body)>),
    List(Vec<Body>),
}

impl SystemCall {
    /// The request for `job`.
    ///
    /// # Errors
    /// An expression failed, or gave what cannot stand there.
    pub fn plan(&self, job: &JobRecord) -> Result<PlannedCall, PlanError> {
        let evaluation = Evaluation::of_job(job, None);
        let wrong = |at: &Located, cause: EvaluationError| self.wrong(job, at, &cause);
        let path = self.path.fill(&evaluation).map_err(|(at, cause)| wrong(at, cause))?;
        let body = self.body.as_ref().map(|body| body.fill(&evaluation)).transpose();
        let body = body.map_err(|(at, cause)| wrong(at, cause))?;
        let if_match = self.if_match.as_ref().map(|at| text_or_null(at, &evaluation)).transpose();
        let if_match = if_match.map_err(|(at, cause)| wrong(at, cause))?.flatten();
        Ok(PlannedCall { method: self.method, path, body, if_match, document: self.document })
    }

    /// The variables that the answer gives the process.
    ///
    /// # Errors
    /// An expression failed, for instance because the answer has no such field.
    pub fn result(&self, job: &JobRecord, answer: SystemAnswer<'_>) -> Result<Variables, PlanError> {
        let response = json!({ "status": answer.status, "headers": answer.headers, "body": answer.body });
        let evaluation = Evaluation::of_job(job, Some(&response));
        let value = |(name, at): &(Arc<str>, Located)| match at.expression.evaluate(&evaluation) {
            Ok(value) => Ok((Arc::clone(name), value)),
            Err(cause) => Err(self.wrong(job, at, &cause)),
        };
        self.result.iter().map(value).collect()
    }

    /// The path as it is written in the flow.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path.source
    }

    /// The BPMN error that the status stands for, if it does.
    #[must_use]
    pub fn bpmn_error(&self, status: u16) -> Option<&Arc<str>> {
        self.bpmn_error.get(&status)
    }

    fn wrong(&self, job: &JobRecord, at: &Located, cause: &EvaluationError) -> PlanError {
        PlanError::expression(&self.file, &format!("job {}", job.topic), at, cause)
    }
}

impl Body {
    fn fill(&self, evaluation: &Evaluation<'_>) -> Result<Json, (&Located, EvaluationError)> {
        Ok(match self {
            Body::Value(at) => at.expression.evaluate(evaluation).map_err(|cause| (at, cause))?,
            Body::Constant(value) => value.clone(),
            Body::List(items) => Json::Array(items.iter().map(|item| item.fill(evaluation)).collect::<Result<_, _>>()?),
            Body::Table(fields) => {
                let mut object = Map::new();
                for (name, body) in fields {
                    object.insert(name.clone(), body.fill(evaluation)?);
                }
                Json::Object(object)
            }
        })
    }
}

fn text_or_null<'a>(
    at: &'a Located,
    evaluation: &Evaluation<'_>,
) -> Result<Option<String>, (&'a Located, EvaluationError)> {
    match at.expression.evaluate(evaluation).map_err(|cause| (at, cause))? {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(text)),
        other @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            Err((at, EvaluationError(format!("must give text, but gave {}", noun(&other)))))
        }
    }
}

const METHODS: [(&str, Method); 5] = [
    ("GET", Method::Get),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("PATCH", Method::Patch),
    ("DELETE", Method::Delete),
];

pub(super) fn read(job: &Section<'_>, file: &Arc<str>) -> Option<SystemCall> {
    for field in ["decision", "include"] {
        if let Some(at) = job.key_at(field) {
            job.report(at, field, "belongs to a job that publishes the outcome", "remove it");
        }
    }
    let section = job.table("call")?;
    let scope = job_scope(false);
    let system = section.required_string("system", "the name of a [[system]] in xconnector.toml");
    let method = section.one_of("method", &METHODS);
    let path = section
        .required_string("path", "for instance path = \"/cases/{vars.caseId}/owner\"; what stands in braces is CEL")
        .and_then(|path| Template::read(&section, "path", &path, &scope));
    let body = section.get("body").and_then(|value| body(&section, "body", value, &scope));
    let if_match = expression(&section, "if_match", Wanted::Anything, &scope);
    let document = section.one_of("answer", &[("json", false), ("document", true)]).unwrap_or(false);
    section.finish();
    let result = job.table("result").map(|table| variables(&table, &job_scope(true))).unwrap_or_default();
    let bpmn_error = job.table("bpmn_error").map(|table| bpmn_errors(&table)).unwrap_or_default();
    if section.has("body") && body.is_none() || section.has("if_match") && if_match.is_none() {
        return None;
    }
    Some(SystemCall {
        system: system?.get_ref().as_str().into(),
        method: method.unwrap_or(Method::Post),
        document,
        line: section.document.position(section.at()).0,
        path: path?,
        body,
        if_match,
        result,
        bpmn_error,
        file: Arc::clone(file),
    })
}

fn body(section: &Section<'_>, name: &str, value: &Spanned<DeValue<'_>>, scope: &Scope) -> Option<Body> {
    match value.get_ref() {
        DeValue::String(source) => {
            compile(section, name, value.span(), source, Wanted::Anything, scope).map(Body::Value)
        }
        DeValue::Boolean(truth) => Some(Body::Constant(Json::Bool(*truth))),
        DeValue::Integer(number) => {
            let whole = i64::from_str_radix(number.as_str(), number.radix()).ok();
            whole.map(|whole| Body::Constant(Json::from(whole)))
        }
        DeValue::Table(table) => {
            let field = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                Some((name.get_ref().to_string(), body(section, name.get_ref(), value, scope)?))
            };
            // Every mistake is reported, not the first only.
            let fields: Vec<_> = table.iter().map(field).collect();
            fields.into_iter().collect::<Option<_>>().map(Body::Table)
        }
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| body(section, name, item, scope)).collect();
            items.into_iter().collect::<Option<_>>().map(Body::List)
        }
        DeValue::Float(_) | DeValue::Datetime(_) => {
            section.wrong_type(name, value, "a CEL expression in quotes, or a table of them")
        }
    }
}

fn bpmn_errors(table: &Section<'_>) -> BTreeMap<u16, Arc<str>> {
    let mut errors = BTreeMap::new();
    for (status, at, code) in table.entries() {
        let number = status.parse().ok().filter(|number| (400..600).contains(number));
        match (number, code.get_ref().as_str()) {
            (Some(number), Some(code)) => {
                check_name(table, status, at, code);
                errors.insert(number, Arc::from(code));
            }
            (None, _) => {
                let help =
                    "write \"409\" = \"alreadyOwned\": a status from 400 to 599, and the error's code in the model";
                table.report(at, status, format!("`{status}` is no status of a refusal"), help);
            }
            (Some(_), None) => {
                table.wrong_type::<()>(status, code, "the error's code in the model, in quotes");
            }
        }
    }
    errors
}
