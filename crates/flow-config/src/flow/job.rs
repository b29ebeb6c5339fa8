//! `[[job]]`: what a flow does for an external-worker topic of its model.

use std::sync::Arc;

use event_model::{JobRecord, Schemas};
use serde_json::Value as Json;

use super::call::{self, SystemCall};
use super::plan::PlanError;
use super::read::{compile, expression};
use super::source::Located;
use crate::document::Section;
use crate::expression::{Evaluation, EvaluationError, Wanted, job_scope, noun};

/// One external-worker topic and what is done for its jobs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Job {
    /// The external-worker topic in the model; `ended:<process>` where there is none.
    pub topic: Arc<str>,
    /// The process whose ended instances stand for jobs, where its model has no task for them: the engine's history tells of them.
    pub ended: Option<Arc<str>>,
    /// What is done.
    pub work: JobWork,
}

/// What is done for a job.
#[derive(Debug)]
pub enum JobWork {
    /// Decision, comments and audit go to the reply topic.
    Outcome(Box<Publication>),
    /// A system is asked for something; the process goes on with its answer.
    Call(Box<SystemCall>),
}

/// What an outcome holds beside comments and audit.
#[derive(Debug)]
pub struct Publication {
    /// Process variables that go into the outcome.
    pub include: Vec<Arc<str>>,
    pub(super) decision: Located,
    file: Arc<str>,
}

impl Publication {
    /// The decision of a process, by the variables of its job. `None` when the expression gives null: the process ended without
    /// a decision.
    ///
    /// # Errors
    /// The expression failed, for instance because the process has no such variable, or gave no text.
    pub fn decision(&self, job: &JobRecord) -> Result<Option<String>, PlanError> {
        let value = self.decision.expression.evaluate(&Evaluation::of_job(job, None));
        let decision = value.and_then(|value| match value {
            Json::String(text) => Ok(Some(text)),
            Json::Null => Ok(None),
            other @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
                Err(EvaluationError(format!("must give text, but gave {}", noun(&other))))
            }
        });
        decision
            .map_err(|cause| PlanError::expression(&self.file, &format!("job {}", job.topic), &self.decision, &cause))
    }
}

/// Used when a job says nothing else.
const DEFAULT_DECISION: &str = "vars.decision";

pub(super) fn read(section: Section<'_>, file: &Arc<str>, schemas: &Schemas) -> Option<Job> {
    let ended = section.string("ended").map(|process| Arc::<str>::from(process.into_inner()));
    let topic = match &ended {
        Some(process) => Some(format!("ended:{process}")),
        None => {
            let help = "the external-worker topic in the model, topic = \"tickets.outcome\"; or ended = \"…\", a process without one";
            section.required_string("topic", help).map(toml::Spanned::into_inner)
        }
    };
    if let (Some(_), Some(at)) = (&ended, section.key_at("topic").or(section.key_at("call"))) {
        section.report(
            at,
            "ended",
            "stands beside another origin of jobs, or beside a call",
            "what has ended can only publish",
        );
    }
    let work = match (section.has("publish"), section.has("call")) {
        (true, false) => publication(&section, file).map(Box::new).map(JobWork::Outcome),
        (false, true) => call::read(&section, file, schemas).map(Box::new).map(JobWork::Call),
        (given, _) => {
            let what = if given { "publishes and calls, but a job does one thing" } else { "says nothing to do" };
            let help = "give exactly one: publish = \"outcome\", or call = { system = \"crm\", path = \"/cases\" }";
            section.report(section.at(), "", what, help);
            return None;
        }
    };
    section.finish();
    Some(Job { topic: topic?.into(), ended, work: work? })
}

fn publication(section: &Section<'_>, file: &Arc<str>) -> Option<Publication> {
    for field in ["result", "bpmn_error"] {
        if let Some(at) = section.key_at(field) {
            section.report(at, field, "belongs to a job that calls a system", "remove it");
        }
    }
    let known = section.one_of("publish", &[("outcome", ())]);
    let scope = job_scope();
    let decision = match section.has("decision") {
        true => expression(section, "decision", Wanted::Text, &scope),
        false => compile(section, "decision", section.at()..section.at(), DEFAULT_DECISION, Wanted::Text, &scope),
    };
    section.get("decision");
    let include = section.strings("include").unwrap_or_default();
    known?;
    Some(Publication {
        include: include.iter().map(|name| name.get_ref().as_str().into()).collect(),
        decision: decision?,
        file: Arc::clone(file),
    })
}
