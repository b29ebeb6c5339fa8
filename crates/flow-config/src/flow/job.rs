//! `[[job]]`: what a flow does for an external-worker topic of its model.

use std::sync::Arc;
use std::time::Duration;

use event_model::{JobRecord, Schemas};
use serde_json::Value as Json;

use super::call::{self, SystemCall};
use super::plan::PlanError;
use super::read::{compile, expression};
use super::source::Located;
use crate::document::{Section, Zero};
use crate::expression::{Evaluation, EvaluationError, Wanted, job_scope, noun};

/// One external-worker topic and what is done for its jobs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Job {
    /// The external-worker topic in the model; `ended:<process>` or `posted:<process>` where there is none.
    pub topic: Arc<str>,
    /// Who tells of it.
    pub origin: JobOrigin,
    /// What is done.
    pub work: JobWork,
}

/// Who tells that there is a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOrigin {
    /// The engine, which keeps it for an external worker.
    Task,
    /// The engine's history: an instance of this process has ended.
    Ended(Arc<str>),
    /// An instance of the process itself, by an HTTP task that posts to the HTTP intake. The engine decides whether it is so.
    Posted {
        /// The key of the process definition.
        process: Arc<str>,
        /// How long the instance may run on after it was posted.
        hold_for: Duration,
    },
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

/// Default of `hold_for`.
const HOLD_FOR: Duration = Duration::from_secs(15 * 60);
/// Used when a job says nothing else.
const DEFAULT_DECISION: &str = "vars.decision";

pub(super) fn read(section: Section<'_>, file: &Arc<str>, schemas: &Schemas) -> Option<Job> {
    let process = |name| section.string(name).map(|process| Arc::<str>::from(process.into_inner()));
    let (ended, posted) = (process("ended"), process("posted"));
    let hold_for = section.duration("hold_for", Zero::Refused);
    for name in ["ended", "posted"] {
        let others = ["topic", "call", "ended"].into_iter().filter(|other| *other != name);
        if let (true, Some(at)) = (section.has(name), others.filter_map(|other| section.key_at(other)).next()) {
            let help = "what has ended can only publish; give each origin a [[job]] of its own";
            section.report(at, name, "stands beside another origin of jobs, or beside a call", help);
        }
    }
    if let (None, Some(at)) = (&posted, section.key_at("hold_for")) {
        section.report(at, "hold_for", "belongs to jobs that are posted", "remove it");
    }
    let (topic, origin) = match (ended, posted) {
        (Some(process), _) => (Some(format!("ended:{process}")), JobOrigin::Ended(process)),
        (None, Some(process)) => {
            let hold_for = hold_for.unwrap_or(HOLD_FOR);
            (Some(format!("posted:{process}")), JobOrigin::Posted { process, hold_for })
        }
        (None, None) => {
            let help = "the external-worker topic in the model, topic = \"tickets.outcome\"; or, for a process without one, ended = \"…\" (history tells) or posted = \"…\" (an HTTP task does)";
            (section.required_string("topic", help).map(toml::Spanned::into_inner), JobOrigin::Task)
        }
    };
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
    Some(Job { topic: topic?.into(), origin, work: work? })
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
