//! Open-source Flowable: its REST API below one root, `{data, total}` lists, `start` and `size`.
//!
//! Source of the facts: Flowable 7.2.0, observed.

use reqwest::Method;
use serde_json::{Value, json};

use super::body::{
    AcquireBody, AssignBody, BpmnErrorBody, CompleteJobBody, CompleteTaskBody, FailJobBody, MessageBody, StartBody,
};
use super::{Deployment, PROBE, Protocol};
use crate::calls::Operation;
use crate::engine::{Acquire, CommentTarget, JobFailure, Start, SweepSource, TaskFilter};
use crate::fault::Endpoint::{History, Jobs, Runtime};
use crate::limits::LimitError;
use crate::pages::{self, Page};
use crate::request::{Body, Request};
use crate::variable::Variable;

/// The dialect has no settings of its own.
pub(crate) struct Flowable;

const INSTANCES: [&str; 2] = ["runtime", "process-instances"];
const HISTORY: [&str; 2] = ["history", "historic-process-instances"];

impl Protocol for Flowable {
    fn start<'a>(&self, start: &Start<'a>) -> Request<'a> {
        Request::new(Operation::Start, Runtime, Method::POST, &INSTANCES).json(&StartBody::new(start))
    }

    fn running<'a>(&self, definition: &'a str, business_key: &'a str) -> Request<'a> {
        let request = Request::new(Operation::Running, Runtime, Method::GET, &INSTANCES);
        roots(request, definition, business_key)
    }

    fn historic<'a>(&self, definition: &'a str, business_key: &'a str) -> Request<'a> {
        roots(Request::new(Operation::Historic, History, Method::GET, &HISTORY), definition, business_key)
    }

    fn swept_after<'a>(&self, definition: &'a str, source: SweepSource, after: String) -> Request<'a> {
        let request = match source {
            SweepSource::Running => Request::new(Operation::Sweep, Runtime, Method::GET, &INSTANCES),
            SweepSource::History | SweepSource::Ended => Request::new(Operation::Sweep, History, Method::GET, &HISTORY),
        };
        super::oldest_first(request, definition, source, after)
    }

    /// Written in the transaction of the start, unless the installation was made to write history later.
    fn history_lists_running(&self) -> bool {
        true
    }

    /// The list form: the call for a single instance ignores `includeProcessVariables`.
    fn instance_history<'a>(&self, instance: &'a str) -> Request<'a> {
        Request::new(Operation::InstanceHistory, History, Method::GET, &HISTORY)
            .query("processInstanceId", instance)
            .query("includeProcessVariables", "true")
    }

    fn instance<'a>(&self, instance: &'a str) -> Request<'a> {
        Request::new(Operation::Instance, Runtime, Method::GET, &["runtime", "process-instances", instance])
    }

    fn waiting<'a>(&self, instance: &'a str, message: &'a str) -> Request<'a> {
        Request::new(Operation::Waiting, Runtime, Method::GET, &["runtime", "executions"])
            .query("processInstanceId", instance)
            .query("messageEventSubscriptionName", message)
    }

    fn deliver<'a>(&self, execution: &'a str, message: &str, variables: &[Variable]) -> Request<'a> {
        Request::new(Operation::Deliver, Runtime, Method::PUT, &["runtime", "executions", execution])
            .json(&MessageBody::new(message, variables))
    }

    fn terminate<'a>(&self, instance: &'a str, reason: &'a str) -> Request<'a> {
        Request::new(Operation::Terminate, Runtime, Method::DELETE, &["runtime", "process-instances", instance])
            .query("deleteReason", reason)
    }

    fn acquire<'a>(&'a self, acquire: &Acquire<'a>) -> Request<'a> {
        Request::new(Operation::Acquire, Jobs, Method::POST, &["acquire", "jobs"]).json(&AcquireBody::new(acquire))
    }

    fn complete_job<'a>(&'a self, job: &'a str, worker: &str, variables: &[Variable]) -> Request<'a> {
        Request::new(Operation::CompleteJob, Jobs, Method::POST, &["acquire", "jobs", job, "complete"])
            .json(&CompleteJobBody { worker_id: worker, variables })
    }

    fn fail_job<'a>(&'a self, job: &'a str, worker: &str, failure: &JobFailure<'_>) -> Request<'a> {
        Request::new(Operation::FailJob, Jobs, Method::POST, &["acquire", "jobs", job, "fail"])
            .json(&FailJobBody::new(worker, failure))
    }

    fn bpmn_error<'a>(&'a self, job: &'a str, worker: &str, code: &str, variables: &[Variable]) -> Request<'a> {
        Request::new(Operation::BpmnError, Jobs, Method::POST, &["acquire", "jobs", job, "bpmnError"])
            .json(&BpmnErrorBody { worker_id: worker, error_code: code, variables })
    }

    fn job<'a>(&'a self, job: &'a str, _instance: &'a str) -> Request<'a> {
        Request::new(Operation::Job, Jobs, Method::GET, &["jobs", job])
    }

    fn tasks<'a>(&self, filter: TaskFilter<'a>) -> Request<'a> {
        let (name, value) = filter.query();
        Request::new(Operation::Tasks, Runtime, Method::GET, &["runtime", "tasks"]).query(name, value)
    }

    fn claim<'a>(&self, task: &'a str, assignee: &str) -> Request<'a> {
        task_action(Operation::Claim, task).json(&AssignBody { action: "claim", assignee: Some(assignee) })
    }

    /// There is no action `unclaim` (400): claiming for nobody does it.
    fn unclaim<'a>(&self, task: &'a str, _assignee: &str) -> Request<'a> {
        task_action(Operation::Unclaim, task).json(&AssignBody { action: "claim", assignee: None })
    }

    fn complete_task<'a>(&self, task: &'a str, outcome: Option<&str>, variables: &[Variable]) -> Request<'a> {
        task_action(Operation::CompleteTask, task).json(&CompleteTaskBody { action: "complete", outcome, variables })
    }

    fn historic_tasks<'a>(&self, instance: &'a str) -> Request<'a> {
        Request::new(Operation::HistoricTasks, History, Method::GET, &["history", "historic-task-instances"])
            .query("processInstanceId", instance)
    }

    /// History knows the comments of running and of ended instances; runtime has no such path (500).
    fn comments<'a>(&self, instance: &'a str) -> Request<'a> {
        let [history, instances] = HISTORY;
        Request::new(Operation::Comments, History, Method::GET, &[history, instances, instance, "comments"])
    }

    fn comments_of_ended<'a>(&self, _instance: &'a str) -> Option<Request<'a>> {
        None
    }

    /// `saveProcessInstanceId`: without it a task's comment does not appear among the instance's.
    fn add_comment<'a>(&self, target: CommentTarget<'a>, message: &str) -> Request<'a> {
        let [history, instances] = HISTORY;
        let request = match target {
            CommentTarget::Task(task) => {
                Request::new(Operation::AddComment, Runtime, Method::POST, &["runtime", "tasks", task, "comments"])
            }
            CommentTarget::Instance(instance) => {
                Request::new(Operation::AddComment, History, Method::POST, &[history, instances, instance, "comments"])
            }
        };
        request.json(&json!({ "message": message, "saveProcessInstanceId": true }))
    }

    fn deploy<'a>(&self, file_name: &str, bpmn_xml: &str) -> Result<Request<'a>, LimitError> {
        if !file_name.ends_with(".bpmn20.xml") && !file_name.ends_with(".bpmn") {
            return Err(LimitError::FileName);
        }
        let mut request = Request::new(Operation::Deploy, Runtime, Method::POST, &["repository", "deployments"]);
        request.body = Body::File { name: file_name.to_owned(), content: bpmn_xml.as_bytes().to_vec().into() };
        Ok(request)
    }

    fn deployment(&self, answer: Value) -> Result<Deployment, String> {
        match answer.get("id").and_then(Value::as_str) {
            Some(id) => Ok(Deployment::Id(id.to_owned())),
            None => Err("the deployment has no id".to_owned()),
        }
    }

    fn deployed<'a>(&self, deployment: &'a str) -> Request<'a> {
        Request::new(Operation::Deploy, Runtime, Method::GET, &["repository", "process-definitions"])
            .query("deploymentId", deployment)
    }

    fn definition<'a>(&self, key: &'a str) -> Request<'a> {
        Request::new(Operation::Definition, Runtime, Method::GET, &["repository", "process-definitions"])
            .query("key", key)
            .query("latest", "true")
    }

    fn probe_runtime<'a>(&self) -> Request<'a> {
        probe(Request::new(Operation::Probe, Runtime, Method::GET, &INSTANCES), "businessKey")
    }

    fn probe_history<'a>(&self) -> Request<'a> {
        probe(Request::new(Operation::Probe, History, Method::GET, &HISTORY), "businessKey")
    }

    fn probe_jobs<'a>(&'a self) -> Request<'a> {
        probe(Request::new(Operation::Probe, Jobs, Method::GET, &["jobs"]), "topic")
    }

    fn paged<'a>(&self, request: Request<'a>, first: usize, size: usize) -> Request<'a> {
        request.query("start", first.to_string()).query("size", size.to_string())
    }

    fn page(&self, answer: Value, _collection: &str) -> Result<Page<Value>, String> {
        pages::data_envelope(answer)
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
    request.query(unused, PROBE).query("size", "1")
}

fn task_action(operation: Operation, task: &str) -> Request<'_> {
    Request::new(operation, Runtime, Method::POST, &["runtime", "tasks", task])
}
