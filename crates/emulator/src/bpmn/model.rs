//! A process as the interpreter walks it: nodes by index, everything checked at deploy.

use std::sync::Arc;

use jiff::Span;

use super::expression::{Expression, Template};

/// Position of a node in [`Process::nodes`].
pub(crate) type ElementIndex = usize;

/// One executable process of a deployed file.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) key: Arc<str>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) nodes: Vec<Node>,
}

/// One flow node with the sequence flows that leave it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: Arc<str>,
    pub(crate) name: Option<Template>,
    pub(crate) kind: Kind,
    /// How many sequence flows arrive; a parallel gateway waits for that many.
    pub(crate) incoming: usize,
    pub(crate) outgoing: Vec<Flow>,
    /// Boundary events attached to this node.
    pub(crate) boundary: Vec<ElementIndex>,
}

/// One sequence flow.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) id: Arc<str>,
    pub(crate) target: ElementIndex,
    pub(crate) condition: Option<Expression>,
}

/// What a node does when a token reaches it.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Start event; with a message it is the target of a start by message.
    Start { message: Option<Arc<str>>, initiator: Option<Arc<str>> },
    /// Waits for a person.
    UserTask(UserTask),
    /// Waits for an external worker.
    ExternalTask { topic: Template, exclusive: bool },
    /// Sends a request in a transaction of its own.
    HttpTask(Box<HttpTask>),
    /// Takes the first flow whose condition holds, else the default flow (index into `outgoing`).
    ExclusiveGateway { default: Option<usize> },
    /// Joins all arriving flows, then takes all leaving ones.
    ParallelGateway,
    /// Waits for a message or a time.
    Catch(Event),
    /// Lies on the edge of another node and takes over when its event happens there.
    Boundary { event: BoundaryEvent, interrupting: bool },
    /// Ends this token.
    End,
    /// Ends the whole instance.
    TerminateEnd,
}

/// A request that the engine makes, and when it goes on.
#[derive(Debug)]
pub(crate) struct HttpTask {
    pub(crate) method: Template,
    pub(crate) url: Template,
    /// Lines of `Name: value`.
    pub(crate) headers: Vec<Template>,
    pub(crate) body: Option<Template>,
    /// In milliseconds.
    pub(crate) timeout: Option<Template>,
    /// Statuses that fail, such as `503` or `5XX`; every other answer passes.
    pub(crate) fail_codes: Option<Template>,
    /// How often it is tried in all.
    pub(crate) tries: i64,
    /// Between two tries; `None`: what the engine is set to.
    pub(crate) retry_wait: Option<Span>,
}

/// How long a timer takes: an ISO 8601 duration, or an expression that gives one.
#[derive(Debug, Clone)]
pub(crate) struct Timer(pub(crate) Template);

/// What a catch event waits for.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A message of this name.
    Message(Arc<str>),
    /// This long after the token arrived.
    Timer(Timer),
}

/// What a boundary event waits for.
#[derive(Debug, Clone)]
pub(crate) enum BoundaryEvent {
    /// This long after the activity began.
    Timer(Timer),
    /// An error with this code, or any error.
    Error(Option<Arc<str>>),
}

/// A task for people.
#[derive(Debug)]
pub(crate) struct UserTask {
    pub(crate) assignee: Option<Template>,
    /// One template per comma-separated part; an expression may itself give a list.
    pub(crate) candidate_groups: Vec<Template>,
    pub(crate) candidate_users: Vec<Template>,
    pub(crate) due: Option<Template>,
    pub(crate) description: Option<Template>,
    pub(crate) category: Option<Template>,
    pub(crate) priority: Option<Template>,
    pub(crate) form_key: Option<Template>,
    pub(crate) outcome: Option<Outcome>,
}

/// Where the outcome of a task is stored, and which outcomes are possible.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) variable: Arc<str>,
    /// Pairs of label and value, in the order of the model.
    pub(crate) possible: Vec<(String, String)>,
}

impl Process {
    /// Where a start by key begins: at the start event without a message, else at the first one, as in the engine.
    pub(crate) fn initial(&self) -> Option<ElementIndex> {
        let position = |wanted: fn(&Kind) -> bool| self.nodes.iter().position(|n| wanted(&n.kind));
        position(|kind| matches!(kind, Kind::Start { message: None, .. }))
            .or_else(|| position(|kind| matches!(kind, Kind::Start { .. })))
    }

    /// Names of the messages that start this process, with their start events.
    pub(crate) fn message_starts(&self) -> impl Iterator<Item = (&Arc<str>, ElementIndex)> {
        self.nodes.iter().enumerate().filter_map(|(index, node)| match &node.kind {
            Kind::Start { message: Some(message), .. } => Some((message, index)),
            Kind::Start { message: None, .. }
            | Kind::UserTask(_)
            | Kind::ExternalTask { .. }
            | Kind::HttpTask(_)
            | Kind::ExclusiveGateway { .. }
            | Kind::ParallelGateway
            | Kind::Catch(_)
            | Kind::Boundary { .. }
            | Kind::End
            | Kind::TerminateEnd => None,
        })
    }
}
