//! The one place where the dialects differ: paths, query names, bodies and list envelopes.

mod body;
mod flowable;
mod opentext;

use serde_json::Value;

use crate::answers::Definition;
use crate::engine::{Acquire, CommentTarget, JobFailure, Start, SweepSource, TaskFilter};
use crate::limits::LimitError;
use crate::pages::Page;
use crate::request::Request;
use crate::settings::{Dialect, Settings};
use crate::variable::Variable;

pub(crate) use flowable::Flowable;
pub(crate) use opentext::OpenText;

/// The protocol of the configured dialect.
pub(crate) fn of(settings: &Settings) -> Box<dyn Protocol> {
    match settings.dialect {
        Dialect::OpenText => Box::new(OpenText { job_paths: settings.job_paths.clone() }),
        Dialect::Flowable => Box::new(Flowable),
    }
}

/// How one engine wants to be asked. Arguments have been checked; ids are single path segments.
pub(crate) trait Protocol: Send + Sync {
    fn start<'a>(&self, start: &Start<'a>) -> Request<'a>;
    fn running<'a>(&self, definition: &'a str, business_key: &'a str) -> Request<'a>;
    fn historic<'a>(&self, definition: &'a str, business_key: &'a str) -> Request<'a>;
    /// Root instances with their variables that started after a moment, the oldest first; of [`SweepSource::Ended`] those that ended.
    fn swept_after<'a>(&self, definition: &'a str, source: SweepSource, after: String) -> Request<'a>;
    /// Whether history holds running instances as soon as they run.
    fn history_lists_running(&self) -> bool;
    /// One instance with its variables: answered as the instance itself, 404, or a list of at most one.
    fn instance_history<'a>(&self, instance: &'a str) -> Request<'a>;
    /// One running instance.
    fn instance<'a>(&self, instance: &'a str) -> Request<'a>;
    fn waiting<'a>(&self, instance: &'a str, message: &'a str) -> Request<'a>;
    fn deliver<'a>(&self, execution: &'a str, message: &str, variables: &[Variable]) -> Request<'a>;
    fn terminate<'a>(&self, instance: &'a str, reason: &'a str) -> Request<'a>;

    fn acquire<'a>(&'a self, acquire: &Acquire<'a>) -> Request<'a>;
    fn complete_job<'a>(&'a self, job: &'a str, worker: &str, variables: &[Variable]) -> Request<'a>;
    fn fail_job<'a>(&'a self, job: &'a str, worker: &str, failure: &JobFailure<'_>) -> Request<'a>;
    fn bpmn_error<'a>(&'a self, job: &'a str, worker: &str, code: &str, variables: &[Variable]) -> Request<'a>;
    /// A job that is still to be done: answered as the job itself, 404, or a list of at most one.
    fn job<'a>(&'a self, job: &'a str, instance: &'a str) -> Request<'a>;

    fn tasks<'a>(&self, filter: TaskFilter<'a>) -> Request<'a>;
    fn claim<'a>(&self, task: &'a str, assignee: &str) -> Request<'a>;
    fn unclaim<'a>(&self, task: &'a str, assignee: &str) -> Request<'a>;
    fn complete_task<'a>(&self, task: &'a str, outcome: Option<&str>, variables: &[Variable]) -> Request<'a>;
    fn historic_tasks<'a>(&self, instance: &'a str) -> Request<'a>;
    fn comments<'a>(&self, instance: &'a str) -> Request<'a>;
    /// Where comments are found once `comments` answers 404 because the instance has ended: a list of instances.
    fn comments_of_ended<'a>(&self, instance: &'a str) -> Option<Request<'a>>;
    fn add_comment<'a>(&self, target: CommentTarget<'a>, message: &str) -> Request<'a>;

    /// The request that deploys a model.
    fn deploy<'a>(&self, file_name: &str, bpmn_xml: &str) -> Result<Request<'a>, LimitError>;
    /// What the answer says was deployed, or the id by which `deployed` finds it.
    fn deployment(&self, answer: Value) -> Result<Deployment, String>;
    /// The definitions of one deployment.
    fn deployed<'a>(&self, deployment: &'a str) -> Request<'a>;
    fn definition<'a>(&self, key: &'a str) -> Request<'a>;

    /// Cheap reads that touch no instance: an indexed look-up of a key that nobody uses.
    fn probe_runtime<'a>(&self) -> Request<'a>;
    fn probe_history<'a>(&self) -> Request<'a>;
    fn probe_jobs<'a>(&'a self) -> Request<'a>;

    /// Asks for `size` rows from row `first` (counted from 0).
    fn paged<'a>(&self, request: Request<'a>, first: usize, size: usize) -> Request<'a>;
    /// Reads a list answer; the error says what is strange about it.
    fn page(&self, answer: Value, collection: &str) -> Result<Page<Value>, String>;
}

/// Both engines name these filters and this order alike.
fn oldest_first<'a>(request: Request<'a>, definition: &'a str, source: SweepSource, after: String) -> Request<'a> {
    let (filter, order) = match source {
        SweepSource::Running | SweepSource::History => ("startedAfter", "startTime"),
        SweepSource::Ended => ("finishedAfter", "endTime"),
    };
    request
        .query("processDefinitionKey", definition)
        .query(filter, after)
        .query("excludeSubprocesses", "true")
        .query("includeProcessVariables", "true")
        .query("sort", order)
        .query("order", "asc")
}

/// What a deploy call answers.
pub(crate) enum Deployment {
    /// The definitions themselves.
    Definitions(Vec<Definition>),
    /// An id to ask for them.
    Id(String),
}

/// A business key and topic that nothing uses, for probes.
pub(crate) const PROBE: &str = "xc:probe";
