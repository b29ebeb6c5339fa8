//! `[[job]]`: what a flow does for an external-worker topic of its model.

use std::sync::Arc;

use serde_json::Value as Json;

use super::plan::PlanError;
use super::read::{compile, expression};
use super::source::Located;
use crate::document::Section;
use crate::expression::{Evaluation, EvaluationError, Wanted, job_scope, noun};

/// One external-worker topic and what is done for its jobs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Job {
    /// The external-worker topic in the model.
    pub topic: Arc<str>,
    /// What is published.
    pub publish: Publish,
    /// Process variables that go into the outcome.
    pub include: Vec<Arc<str>>,
    pub(super) decision: Located,
    pub(super) file: Arc<str>,
}

/// What a job publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Decision, comments and audit to the reply topic.
    Outcome,
}

impl Job {
    /// The decision of a process, by its variables. `None` when the expression gives null: the process ended without
    /// a decision.
    ///
    /// # Errors
    /// The expression failed, for instance because the process has no such variable, or gave no text.
    pub fn decision<'v>(
        &self,
        vars: impl IntoIterator<Item = (&'v String, &'v Json)>,
    ) -> Result<Option<String>, PlanError> {
        let value = self.decision.expression.evaluate(&Evaluation::of_job(vars));
        let decision = value.and_then(|value| match value {
            Json::String(text) => Ok(Some(text)),
            Json::Null => Ok(None),
            other @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
                Err(EvaluationError(format!("must give text, but gave {}", noun(&other))))
            }
        });
        decision
            .map_err(|cause| PlanError::expression(&self.file, &format!("job {}", self.topic), &self.decision, &cause))
    }
}

/// Used when a job says nothing else.
const DEFAULT_DECISION: &str = "vars.decision";

pub(super) fn read(section: Section<'_>, file: &Arc<str>) -> Option<Job> {
    let topic = section.required_string("topic", "the external-worker topic in the model, topic = \"tickets.outcome\"");
    if let Some(at) = section.key_at("call") {
        section.report(at, "call", "calls to other systems are not supported yet", "write publish = \"outcome\"");
    }
    for later in ["result", "bpmn_error"] {
        if let Some(at) = section.key_at(later) {
            section.report(at, later, "belongs to `call`, which is not supported yet", "remove it");
        }
    }
    let publish = match section.has("call") || section.require("publish", "write publish = \"outcome\"") {
        true => section.one_of("publish", &[("outcome", Publish::Outcome)]),
        false => None,
    };
    let scope = job_scope();
    let decision = match section.has("decision") {
        true => expression(&section, "decision", Wanted::Text, &scope),
        false => compile(&section, "decision", section.at()..section.at(), DEFAULT_DECISION, Wanted::Text, &scope),
    };
    section.get("decision");
    let include = section.strings("include").unwrap_or_default();
    section.finish();
    Some(Job {
        topic: topic?.get_ref().as_str().into(),
        publish: publish?,
        include: include.iter().map(|name| name.get_ref().as_str().into()).collect(),
        decision: decision?,
        file: Arc::clone(file),
    })
}
