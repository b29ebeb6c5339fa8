//! One process instance with everything that belongs to it, so that it can be copied, changed and committed whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Definition, Variable};
use crate::bpmn::ElementIndex;

/// One process instance, running or ended.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: Arc<str>,
    /// Position in the order of starting.
    pub(crate) number: u64,
    /// Grows with every commit, so that an older picture never replaces a newer one.
    pub(crate) revision: u64,
    pub(crate) definition: Arc<Definition>,
    pub(crate) name: Option<String>,
    pub(crate) business_key: Option<Arc<str>>,
    pub(crate) start_time: Timestamp,
    pub(crate) start_user: Arc<str>,
    pub(crate) start_activity: Arc<str>,
    pub(crate) suspended: bool,
    pub(crate) variables: BTreeMap<String, Variable>,
    /// Where the process waits; empty once it has ended.
    pub(crate) executions: Vec<Execution>,
    /// Open and ended tasks, oldest first.
    pub(crate) tasks: Vec<Task>,
    pub(crate) comments: Vec<Comment>,
    /// Held by an exclusive job until then, or until it is completed or failed.
    pub(crate) locked_until: Option<Timestamp>,
    pub(crate) end: Option<End>,
}

/// How and when an instance ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) time: Timestamp,
    /// The end event that was reached; none when the instance was deleted.
    pub(crate) activity: Option<Arc<str>>,
    pub(crate) delete_reason: Option<String>,
}

/// A token at rest.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub(crate) id: Arc<str>,
    pub(crate) at: ElementIndex,
    pub(crate) wait: Wait,
    /// Timers on the edge of the activity.
    pub(crate) timers: Vec<ArmedTimer>,
}

/// What a token waits for.
#[derive(Debug, Clone)]
pub(crate) enum Wait {
    /// The other branches, at a joining gateway.
    Join,
    /// The open task of this id.
    Task(Arc<str>),
    /// An external worker.
    Job(Job),
    /// The answer to a request that the engine makes itself.
    Request(Request),
    /// A message of this name.
    Message(Arc<str>),
    /// A moment.
    Timer(Timestamp),
}

/// A request that an HTTP task makes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) id: Arc<str>,
    /// How often it may still be tried.
    pub(crate) retries: i64,
    pub(crate) exception: Option<String>,
    pub(crate) state: RequestState,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestState {
    /// It is made at this time.
    Waiting(Timestamp),
    /// It is under way.
    Sent,
    /// No retries left.
    Dead,
}

/// A boundary timer that runs.
#[derive(Debug, Clone)]
pub(crate) struct ArmedTimer {
    pub(crate) id: Arc<str>,
    /// The boundary event.
    pub(crate) at: ElementIndex,
    pub(crate) due: Timestamp,
}

/// A job for an external worker.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: Arc<str>,
    pub(crate) correlation_id: Arc<str>,
    /// Position in the order of creation.
    pub(crate) number: u64,
    pub(crate) topic: Arc<str>,
    pub(crate) exclusive: bool,
    pub(crate) created: Timestamp,
    pub(crate) retries: i64,
    pub(crate) exception: Option<String>,
    pub(crate) state: JobState,
}

/// Where a job stands.
#[derive(Debug, Clone)]
pub(crate) enum JobState {
    /// May be handed out.
    Waiting,
    /// Handed out; after `expires` it waits for the sweep, and its owner may still complete it.
    Locked { owner: Arc<str>, expires: Timestamp },
    /// Failed with a time-out before the next attempt.
    Deferred { until: Timestamp },
    /// Answered by its worker; the process moves on at `due`.
    Continuing { result: JobResult, due: Timestamp },
    /// No retries left.
    Dead,
}

/// What a worker reported.
#[derive(Debug, Clone)]
pub(crate) enum JobResult {
    /// Done, with these variables.
    Completed(Vec<(String, Variable)>),
    /// A BPMN error with this code, and these variables.
    Error { code: String, variables: Vec<(String, Variable)> },
}

/// A task for a person, open while `end` is empty.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: Arc<str>,
    pub(crate) at: ElementIndex,
    pub(crate) execution: Arc<str>,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) category: Option<String>,
    pub(crate) form_key: Option<String>,
    pub(crate) priority: i64,
    pub(crate) assignee: Option<String>,
    pub(crate) owner: Option<String>,
    /// Given to someone else and not given back yet, or given back.
    pub(crate) delegation: Option<Delegation>,
    pub(crate) candidate_groups: Vec<String>,
    pub(crate) candidate_users: Vec<String>,
    pub(crate) created: Timestamp,
    pub(crate) claimed: Option<Timestamp>,
    pub(crate) due: Option<Timestamp>,
    pub(crate) variables: BTreeMap<String, Variable>,
    pub(crate) end: Option<TaskEnd>,
}

/// How a task ended.
#[derive(Debug, Clone)]
pub(crate) struct TaskEnd {
    pub(crate) time: Timestamp,
    /// Why it was taken away; none when somebody completed it.
    pub(crate) delete_reason: Option<String>,
}

/// State of a delegated task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delegation {
    /// The delegate works on it.
    Pending,
    /// It is back with its owner.
    Resolved,
}

/// A remark by a person.
#[derive(Debug, Clone)]
pub(crate) struct Comment {
    pub(crate) id: Arc<str>,
    pub(crate) author: Arc<str>,
    pub(crate) message: String,
    pub(crate) time: Timestamp,
    pub(crate) task: Option<Arc<str>>,
}

impl Instance {
    /// The model's id of the node at this position.
    pub(crate) fn node_id(&self, at: ElementIndex) -> &Arc<str> {
        &self.definition.process.nodes[at].id
    }

    /// Jobs of all states.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = (&Execution, &Job)> {
        self.executions.iter().filter_map(|execution| match &execution.wait {
            Wait::Job(job) => Some((execution, job)),
            Wait::Join | Wait::Task(_) | Wait::Request(_) | Wait::Message(_) | Wait::Timer(_) => None,
        })
    }

    /// Tasks that nobody has completed yet.
    pub(crate) fn open_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|t| t.end.is_none())
    }

    /// Requests of all states.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&Execution, &Request)> {
        self.executions.iter().filter_map(|execution| match &execution.wait {
            Wait::Request(request) => Some((execution, request)),
            Wait::Join | Wait::Task(_) | Wait::Job(_) | Wait::Message(_) | Wait::Timer(_) => None,
        })
    }

    pub(super) fn request_mut(&mut self, id: &str) -> Option<&mut Request> {
        self.executions.iter_mut().find_map(|execution| match &mut execution.wait {
            Wait::Request(request) if &*request.id == id => Some(request),
            Wait::Request(_) | Wait::Join | Wait::Task(_) | Wait::Job(_) | Wait::Message(_) | Wait::Timer(_) => None,
        })
    }

    pub(super) fn job_mut(&mut self, id: &str) -> Option<&mut Job> {
        self.executions.iter_mut().find_map(|execution| match &mut execution.wait {
            Wait::Job(job) if &*job.id == id => Some(job),
            Wait::Job(_) | Wait::Join | Wait::Task(_) | Wait::Request(_) | Wait::Message(_) | Wait::Timer(_) => None,
        })
    }

    pub(super) fn task_mut(&mut self, id: &str) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|t| &*t.id == id && t.end.is_none())
    }
}
