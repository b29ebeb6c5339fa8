//! OpenText Workflow Service: three base URLs, HAL lists, `offset` and `count`.
//!
//! Source of the facts: OpenText's published API samples and sample applications; what they leave open (job
//! paths, task comments) follows Flowable, of which the service is a derivative.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use serde_json::{Value, json};

use super::body::{
    AcquireBody, AssignBody, BpmnErrorBody, CompleteJobBody, CompleteTaskBody, FailJobBody, MessageBody, StartBody,
};
use super::{Deployment, PROBE, Protocol};
use crate::answers::Definition;
use crate::calls::Operation;
use crate::engine::{Acquire, CommentTarget, JobFailure, Start, SweepSource, TaskFilter};
use crate::fault::Endpoint::{History, Jobs, Runtime};
use crate::limits::LimitError;
use crate::pages::{self, Page};
use crate::request::Request;
use crate::settings::JobPaths;
use crate::variable::Variable;

/// The documented service with the configured job paths.
pub(crate) struct OpenText {
    pub(super) job_paths: JobPaths,
}

impl Protocol for OpenText {
    fn start<'a>(&self, start: &Start<'a>) -> Request<'a> {
        Request::new(Operation::Start, Runtime, Method::POST, &["process-instances"]).json(&StartBody::new(start))
    }

    fn running<'a>(&self, definition: &'a str, business_key: &'a str) -> Request<'a> {
        let request = Request::new(Operation::Running, Runtime, Method::GET, &["process-instances"]);
        roots(request, definition, business_key)
    }

    fn historic<'a>(&self, definition: &'a str, business_key: &'a str) -> Request<'a> {
        let request = Request::new(Operation::Historic, History, Method::GET, &["historic-process-instances"]);
        roots(request, definition, business_key)
    }

    fn swept_after<'a>(&self, definition: &'a str, source: SweepSource, after: String) -> Request<'a> {
        let request = match source {
            SweepSource::Running => Request::new(Operation::Sweep, Runtime, Method::GET, &["process-instances"]),
            SweepSource::History | SweepSource::Ended => {
                Request::new(Operation::Sweep, History, Method::GET, &["historic-process-instances"])
            }
        };
        super::oldest_first(request, definition, source, after)
    }

    /// History is a service of its own, and its samples show ended instances only.
    fn history_lists_running(&self) -> bool {
        false
    }

    fn instance_history<'a>(&self, instance: &'a str) -> Request<'a> {
        Request::new(Operation::InstanceHistory, History, Method::GET, &["historic-process-instances", instance])
            .query("includeProcessVariables", "true")
    }

    fn instance<'a>(&self, instance: &'a str) -> Request<'a> {
        Request::new(Operation::Instance, Runtime, Method::GET, &["process-instances", instance])
    }

    fn waiting<'a>(&self, instance: &'a str, message: &'a str) -> Request<'a> {
        Request::new(Operation::Waiting, Runtime, Method::GET, &["process-instances", "executions"])
            .query("processInstanceId", instance)
            .query("messageEventSubscriptionName", message)
    }

    fn deliver<'a>(&self, execution: &'a str, message: &str, variables: &[Variable]) -> Request<'a> {
        Request::new(Operation::Deliver, Runtime, Method::PUT, &["process-instances", "executions", execution])
            .json(&MessageBody::new(message, variables))
    }

    /// Whether the service keeps the reason is not documented; its history has a field for it.
    fn terminate<'a>(&self, instance: &'a str, reason: &'a str) -> Request<'a> {
        Request::new(Operation::Terminate, Runtime, Method::DELETE, &["process-instances", instance])
            .query("deleteReason", reason)
    }

    fn acquire<'a>(&'a self, acquire: &Acquire<'a>) -> Request<'a> {
        Request::templated(Operation::Acquire, Jobs, &self.job_paths.acquire, "").json(&AcquireBody::new(acquire))
    }

    fn complete_job<'a>(&'a self, job: &'a str, worker: &str, variables: &[Variable]) -> Request<'a> {
        Request::templated(Operation::CompleteJob, Jobs, &self.job_paths.complete, job)
            .json(&CompleteJobBody { worker_id: worker, variables })
    }

    fn fail_job<'a>(&'a self, job: &'a str, worker: &str, failure: &JobFailure<'_>) -> Request<'a> {
        Request::templated(Operation::FailJob, Jobs, &self.job_paths.fail, job).json(&FailJobBody::new(worker, failure))
    }

    fn bpmn_error<'a>(&'a self, job: &'a str, worker: &str, code: &str, variables: &[Variable]) -> Request<'a> {
        Request::templated(Operation::BpmnError, Jobs, &self.job_paths.bpmn_error, job).json(&BpmnErrorBody {
            worker_id: worker,
            error_code: code,
            variables,
        })
    }

    /// By the documented query: a path for one job is not known.
    fn job<'a>(&'a self, job: &'a str, instance: &'a str) -> Request<'a> {
        let mut request = Request::templated(Operation::Job, Jobs, &self.job_paths.acquire, "");
        request.method = Method::GET;
        request.query("id", job).query("processInstanceId", instance).query("count", "2")
    }

    fn tasks<'a>(&self, filter: TaskFilter<'a>) -> Request<'a> {
        let (name, value) = filter.query();
        Request::new(Operation::Tasks, Runtime, Method::GET, &["tasks"]).query(name, value)
    }

    fn claim<'a>(&self, task: &'a str, assignee: &str) -> Request<'a> {
        task_action(Operation::Claim, task).json(&AssignBody { action: "claim", assignee: Some(assignee) })
    }

    fn unclaim<'a>(&self, task: &'a str, assignee: &str) -> Request<'a> {
        task_action(Operation::Unclaim, task).json(&AssignBody { action: "unclaim", assignee: Some(assignee) })
    }

    fn complete_task<'a>(&self, task: &'a str, outcome: Option<&str>, variables: &[Variable]) -> Request<'a> {
        task_action(Operation::CompleteTask, task).json(&CompleteTaskBody { action: "complete", outcome, variables })
    }

    fn historic_tasks<'a>(&self, instance: &'a str) -> Request<'a> {
        Request::new(Operation::HistoricTasks, History, Method::GET, &["historic-task-instances"])
            .query("processInstanceId", instance)
            .query("includeTaskComments", "true")
    }

    fn comments<'a>(&self, instance: &'a str) -> Request<'a> {
        Request::new(Operation::Comments, Runtime, Method::GET, &["process-instances", instance, "comments"])
    }

    fn comments_of_ended<'a>(&self, instance: &'a str) -> Option<Request<'a>> {
        let request = Request::new(Operation::Comments, History, Method::GET, &["historic-process-instances"])
            .query("processInstanceId", instance)
            .query("includeProcessComments", "true");
        Some(request)
    }

    /// The path of a task's comments is not documented; this one is by analogy with the instance's.
    fn add_comment<'a>(&self, target: CommentTarget<'a>, message: &str) -> Request<'a> {
        let path = match target {
            CommentTarget::Task(task) => ["tasks", task, "comments"],
            CommentTarget::Instance(instance) => ["process-instances", instance, "comments"],
        };
        Request::new(Operation::AddComment, Runtime, Method::POST, &path)
            .json(&json!({ "message": message, "includeUserIds": false }))
    }

    /// The content must be "encoded", which the documentation does not explain: base64 here. The file name is
    /// not sent, the service tells models by the key inside.
    fn deploy<'a>(&self, _file_name: &str, bpmn_xml: &str) -> Result<Request<'a>, LimitError> {
        Ok(Request::new(Operation::Deploy, Runtime, Method::POST, &["runtime", "models"])
            .json(&json!({ "modelType": "xml", "modelContent": BASE64.encode(bpmn_xml) })))
    }

    /// One model, or a list of them.
    fn deployment(&self, answer: Value) -> Result<Deployment, String> {
        let rows = if answer.get("id").is_some() { vec![answer] } else { self.page(answer, "models")?.rows };
        let definitions: Result<Vec<Definition>, _> = rows.into_iter().map(serde_json::from_value).collect();
        definitions.map(Deployment::Definitions).map_err(|error| error.to_string())
    }

    fn deployed<'a>(&self, deployment: &'a str) -> Request<'a> {
        Request::new(Operation::Deploy, Runtime, Method::GET, &["runtime", "models", deployment])
    }

    fn definition<'a>(&self, key: &'a str) -> Request<'a> {
        Request::new(Operation::Definition, Runtime, Method::GET, &["runtime", "models"])
            .query("latestVersion", "true")
            .query("key", key)
    }

    fn probe_runtime<'a>(&self) -> Request<'a> {
        probe(Request::new(Operation::Probe, Runtime, Method::GET, &["process-instances"]), "businessKey")
    }

    fn probe_history<'a>(&self) -> Request<'a> {
        probe(Request::new(Operation::Probe, History, Method::GET, &["historic-process-instances"]), "businessKey")
    }

    fn probe_jobs<'a>(&'a self) -> Request<'a> {
        let mut request = Request::templated(Operation::Probe, Jobs, &self.job_paths.acquire, "");
        request.method = Method::GET;
        probe(request, "topic")
    }

    fn paged<'a>(&self, request: Request<'a>, first: usize, size: usize) -> Request<'a> {
        request.query("offset", first.to_string()).query("count", size.to_string())
    }

    fn page(&self, answer: Value, collection: &str) -> Result<Page<Value>, String> {
        pages::hal_envelope(answer, collection)
    }
}

fn roots<'a>(request: Request<'a>, definition: &'a str, business_key: &'a str) -> Request<'a> {
    request
        .query("processDefinitionKey", definition)
        .query("businessKey", business_key)
        .query("excludeSubprocesses", "true")
        .query("includeProcessVariables", "true")
}

fn probe<'a>(request: Request<'a>, unused: &'static str) -> Request<'a> {
    request.query(unused, PROBE).query("count", "1")
}

fn task_action(operation: Operation, task: &str) -> Request<'_> {
    Request::new(operation, Runtime, Method::POST, &["tasks", task])
}
