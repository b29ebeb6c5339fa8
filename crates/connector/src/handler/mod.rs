//! What a flow's records mean: decoded by `prepare`, acted upon by `calls`, written up by `records`.

mod admit;
mod calls;
mod faults;
mod identity;
pub(crate) mod marker;
mod origin;
mod outcome;
mod posted;
mod prepare;
mod records;
mod systems;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use consumer_engine::{Handler, Prepared};
use event_model::{JobRecord, Outcome, OutgoingRecord, Record, ReplySchemas, SchemaIds, SourceRef};
use flow_config::Flow;
use flow_core::{Answer, Call, EndpointId, Failure, Resolved, TopicId};
use system_client::System;
use tokio::time::Instant;
use workflow_client::{Engine, Variable};

pub(crate) use origin::Origin;
use systems::Asked;

/// The handler of one flow.
pub(crate) struct FlowHandler {
    flow: Flow,
    /// The place of the jobs topic among the flow's topics, if it has one.
    jobs_topic: Option<TopicId>,
    /// The place of the replay topic.
    replay_topic: TopicId,
    schema_ids: SchemaIds,
    replies: ReplySchemas,
    engine: Engine,
    /// The systems that the flow's jobs ask, in the order of its endpoints behind the engine.
    systems: Vec<Arc<System>>,
    /// The deployment's name: the engine knows it as the owner of job locks.
    worker: String,
    /// Within which time the engine acts on what it was asked for.
    settle: Duration,
    history_lag: Duration,
    /// How long a job is locked; what the acquirer asks for.
    lock: Duration,
}

/// What is known of a record once it is decoded.
pub(crate) struct Work {
    /// The record as it came: a dead letter gives it back byte for byte.
    record: Record,
    /// The event's name among its flow's, once it could be read.
    event_id: Option<String>,
    /// Where the event comes from, for replies.
    source: SourceRef,
    task: Task,
}

/// What is to be done.
enum Task {
    /// Nothing: filtered or rejected.
    Nothing,
    Start {
        definition: Arc<str>,
        business_key: String,
        marker: String,
        variables: Vec<Variable>,
    },
    Message {
        definition: Arc<str>,
        message: Arc<str>,
        business_key: String,
        marker: String,
        variables: Vec<Variable>,
    },
    Terminate {
        definition: Arc<str>,
        business_key: String,
        marker: String,
    },
    /// A job that publishes the outcome.
    Job(JobRecord),
    /// A job that asks a system.
    Ask(Asked),
}

impl Task {
    fn is_job(&self) -> bool {
        matches!(self, Task::Job(_) | Task::Ask(_))
    }

    /// The definition and business key that it acts on.
    fn target(&self) -> Option<(&str, &str)> {
        match self {
            Task::Start { definition, business_key, .. }
            | Task::Message { definition, business_key, .. }
            | Task::Terminate { definition, business_key, .. } => Some((definition, business_key)),
            Task::Nothing | Task::Job(_) | Task::Ask(_) => None,
        }
    }
}

/// What a finished call brought back.
#[derive(Debug)]
pub(crate) enum Output {
    /// The instance that was started, reached or ended; `None` when there was none to end.
    Instance(Option<String>),
    /// What a process decided, and the key of the record that started it.
    Outcome(Box<Outcome>, Option<Vec<u8>>),
    /// The job is no longer ours to complete.
    Completed,
}

/// What a handler is made of.
pub(crate) struct Parts {
    /// The flow.
    pub flow: Flow,
    /// The place of the jobs topic among the topics that the engine reads.
    pub jobs_topic: Option<TopicId>,
    /// The place of the replay topic among them.
    pub replay_topic: TopicId,
    /// Confluent schema ids.
    pub schema_ids: SchemaIds,
    /// The workflow engine.
    pub engine: Engine,
    /// The systems that the flow's jobs ask, in the order of its endpoints behind the engine.
    pub systems: Vec<Arc<System>>,
    /// The deployment's name.
    pub worker: String,
    /// Within which time the engine acts on what it was asked for.
    pub settle: Duration,
    /// How long the engine's history may lag.
    pub history_lag: Duration,
    /// How long a job is locked.
    pub lock: Duration,
}

impl FlowHandler {
    /// Makes the handler.
    ///
    /// # Errors
    /// Only when the program was built with a broken reply schema.
    pub(crate) fn new(parts: Parts) -> Result<FlowHandler, event_model::SchemaError> {
        let Parts { flow, jobs_topic, replay_topic, schema_ids, engine, systems, worker, settle, history_lag, lock } =
            parts;
        let replies = ReplySchemas::compile()?;
        Ok(FlowHandler {
            flow,
            jobs_topic,
            replay_topic,
            schema_ids,
            replies,
            engine,
            systems,
            worker,
            settle,
            history_lag,
            lock,
        })
    }
}

impl Handler for FlowHandler {
    type Work = Arc<Work>;
    type Output = Output;

    fn prepare(&self, topic: TopicId, record: Record) -> Prepared<Arc<Work>> {
        if topic == self.replay_topic {
            self.prepare_replayed(record)
        } else if self.jobs_topic == Some(topic) {
            self.prepare_job(record)
        } else {
            self.prepare_event(record)
        }
    }

    fn rescue(&self, _topic: TopicId, record: Record) -> Prepared<Arc<Work>> {
        prepare::undecoded(record, flow_core::Plan::Filter)
    }

    async fn call(&self, work: Arc<Work>, call: Call, until: Option<Instant>) -> Answer<Output> {
        // The client itself refuses to send after the lease: waiting for a connection or a token may outlast a check made here.
        let leased = until.map(|until| self.engine.before(until));
        let engine = leased.as_ref().unwrap_or(&self.engine);
        self.perform(engine, &work, call).await.unwrap_or_else(|failure| Answer::Failed(*failure))
    }

    async fn probe(&self, endpoint: EndpointId) -> Result<(), Failure> {
        if endpoint != EndpointId::ENGINE {
            return self.probe_system(endpoint).await;
        }
        self.engine.probe().await.map_err(|error| *faults::failure(&error))
    }

    fn records(&self, resolved: &Resolved<Arc<Work>, Output>) -> Vec<OutgoingRecord> {
        self.write_up(resolved, jiff::Timestamp::now())
    }
}
