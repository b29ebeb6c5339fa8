//! `call` of a `[[job]]`: the request to a system, and what its answer means to the process.

mod body;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use event_model::{EventSchema, JobRecord, Role, Schemas, Violation};
use serde_json::{Value as Json, json};

use self::body::Body;
use super::plan::{Breach, PlanError, Variables};
use super::read::{expression, schema};
use super::source::Located;
use super::step::{check_name, variables};
use super::template::Template;
use crate::document::Section;
use crate::expression::{AnswerBody, Evaluation, EvaluationError, Wanted, answer_scope, job_scope, noun};

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
    body_schema: Option<Arc<EventSchema>>,
    if_match: Option<Located>,
    answer: AnswerBody,
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

impl SystemCall {
    /// The request for `job`.
    ///
    /// # Errors
    /// An expression failed, or gave what cannot stand there; or the body does not obey its schema.
    pub fn plan(&self, job: &JobRecord) -> Result<PlannedCall, PlanError> {
        let evaluation = Evaluation::of_job(job, None);
        let wrong = |at: &Located, cause: EvaluationError| self.wrong(job, at, &cause);
        let path = self.path.fill(&evaluation).map_err(|(at, cause)| wrong(at, cause))?;
        let body = self.body.as_ref().map(|body| body.fill(&evaluation)).transpose();
        let body = body.map_err(|(at, cause)| wrong(at, cause))?;
        if let (Some(body), Some(schema)) = (&body, &self.body_schema) {
            // What is sent is what was calculated: adding a schema to a call changes no request that is under way.
            schema.check_exactly(body).map_err(|violation| PlanError::Body(self.breach(job, schema, violation)))?;
        }
        let if_match = self.if_match.as_ref().map(|at| text_or_null(at, &evaluation)).transpose();
        let if_match = if_match.map_err(|(at, cause)| wrong(at, cause))?.flatten();
        Ok(PlannedCall { method: self.method, path, body, if_match, document: self.document })
    }

    /// The variables that the answer gives the process. Of an answer with a schema they see what the schema knows, and not the rest.
    ///
    /// # Errors
    /// The answer does not obey its schema, or an expression failed, for instance because the answer has no such field.
    pub fn result(&self, job: &JobRecord, answer: SystemAnswer<'_>) -> Result<Variables, PlanError> {
        let body = match &self.answer {
            AnswerBody::Obeys(schema) => {
                let obeys = schema.check_json(answer.body.clone());
                obeys.map_err(|violation| PlanError::Answer(self.breach(job, schema, violation)))?
            }
            AnswerBody::Any | AnswerBody::Document => answer.body.clone(),
        };
        let response = json!({ "status": answer.status, "headers": answer.headers, "body": body });
        let evaluation = Evaluation::of_job(job, Some(&response));
        let value = |(name, at): &(Arc<str>, Located)| match at.expression.evaluate(&evaluation) {
            Ok(value) => Ok((Arc::clone(name), value)),
            Err(cause) => Err(self.wrong(job, at, &cause)),
        };
        self.result.iter().map(value).collect()
    }

    /// The schema that every body obeys.
    #[must_use]
    pub fn body_schema(&self) -> Option<&EventSchema> {
        self.body_schema.as_deref()
    }

    /// The schema that every good answer has to obey.
    #[must_use]
    pub fn answer_schema(&self) -> Option<&EventSchema> {
        if let AnswerBody::Obeys(schema) = &self.answer { Some(schema) } else { None }
    }

    /// What no schema describes: the body, and the answer where `result` looks into it. One that is taken as a whole needs none.
    #[must_use]
    pub fn undescribed(&self) -> Vec<&'static str> {
        let body = self.body.is_some() && self.body_schema.is_none();
        let looks = self.result.iter().any(|(_, at)| at.expression.looks_into_the_answer());
        let answer = looks && matches!(self.answer, AnswerBody::Any);
        [("body", body), ("answer", answer)].into_iter().filter(|(_, lacks)| *lacks).map(|(what, _)| what).collect()
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

    fn breach(&self, job: &JobRecord, schema: &EventSchema, violation: Violation) -> Breach {
        let (file, topic, schema) = (Arc::clone(&self.file), job.topic.clone(), schema.name().to_owned());
        Breach { file, line: self.line, topic, schema, violation }
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

pub(super) fn read(job: &Section<'_>, file: &Arc<str>, schemas: &Schemas) -> Option<SystemCall> {
    for field in ["decision", "include"] {
        if let Some(at) = job.key_at(field) {
            job.report(at, field, "belongs to a job that publishes the outcome", "remove it");
        }
    }
    let section = job.table("call")?;
    let scope = job_scope();
    let system = section.required_string("system", "the name of a [[system]] in xconnector.toml");
    let method = section.one_of("method", &METHODS);
    let path = section
        .required_string("path", "for instance path = \"/cases/{vars.caseId}/owner\"; what stands in braces is CEL")
        .and_then(|path| Template::read(&section, "path", &path, &scope));
    let body_schema = schema(&section, "body_schema", schemas, Role::Command);
    let body = body::read(&section, &scope, body_schema.as_deref());
    if let (false, Some(at)) = (section.has("body"), section.key_at("body_schema")) {
        section.report(at, "body_schema", "describes a body, and there is none", "add body = { … }, or remove it");
    }
    let if_match = expression(&section, "if_match", Wanted::Anything, &scope);
    let document = section.one_of("answer", &[("json", false), ("document", true)]).unwrap_or(false);
    let answer = answer(&section, document, schemas);
    section.finish();
    let result = job.table("result").map(|table| variables(&table, &answer_scope(&answer))).unwrap_or_default();
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
        body_schema,
        if_match,
        answer,
        result,
        bpmn_error,
        file: Arc::clone(file),
    })
}

fn answer(section: &Section<'_>, document: bool, schemas: &Schemas) -> AnswerBody {
    let described = schema(section, "answer_schema", schemas, Role::Answer);
    if let (true, Some(at)) = (document, section.key_at("answer_schema")) {
        let help = "remove it: response.body is { href, sha256, bytes, contentType }";
        section.report(at, "answer_schema", "describes JSON, and the answer is a document", help);
    }
    match described {
        _ if document => AnswerBody::Document,
        Some(schema) => AnswerBody::Obeys(schema),
        None => AnswerBody::Any,
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
