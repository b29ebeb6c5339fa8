//! From a record to what is to be done. Pure calculation: it runs on the reader thread, once per record.

use std::sync::Arc;

use consumer_engine::Prepared;
use event_model::{Coordinates, Event, JobRecord, Record, SourceRef};
use flow_config::{OnNull, PlannedAction};
use flow_core::{Command, LaneKey, Letter, Plan, Reason, TopicId};
use serde_json::Value;
use workflow_client::{LimitError, Variable};

use super::{Asked, FlowHandler, Origin, Task, Work, identity, marker};

impl FlowHandler {
    pub(super) fn prepare_event(&self, record: Record) -> Prepared<Arc<Work>> {
        let size = record.value.as_ref().map_or(0, Vec::len);
        if size > self.flow.source.max_body {
            let detail =
                format!("the value has {size} bytes; the flow takes {} ([source] max_body)", self.flow.source.max_body);
            return undecoded(record, Plan::Reject(Reason::code("too-large"), detail));
        }
        let schema = &self.flow.source.schema;
        let decoded = match (&record.value, self.flow.source.on_null) {
            (None, OnNull::Skip) => return undecoded(record, Plan::Filter),
            (None, OnNull::Terminate) => event_model::tombstone(&record, schema),
            (None, OnNull::DeadLetter) | (Some(_), _) => event_model::decode(&record, schema, &self.schema_ids),
        };
        let event = match decoded {
            Ok(event) => event,
            Err(error) => {
                let plan = Plan::Reject(Reason::code(error.reason()), error.to_string());
                return undecoded(record, plan);
            }
        };
        let planned = match self.flow.plan(&event, &record) {
            Ok(planned) => planned,
            Err(error) => {
                // Order is kept where the key, at least, can be calculated.
                let lane = self.flow.lane_key(&event, &record).map_or_else(|_| lane_of(&record), |key| (&key).into());
                let plan = Plan::Reject(Reason::code(error.reason()), error.to_string());
                let work = self.work(record, &event, Task::Nothing);
                return Prepared { lane, keyed: false, letter: None, identity: None, business: None, plan, work };
            }
        };
        let lane: LaneKey = (&planned.key).into();
        let keyed = matches!(planned.key, flow_config::LaneKey::Key(_));
        let (plan, task) = match planned.action {
            None => (Plan::Filter, Task::Nothing),
            Some(action) => self
                .task(action, &event, &record)
                .unwrap_or_else(|error| (Plan::Reject(Reason::LIMIT, error.to_string()), Task::Nothing)),
        };
        let identity = Some(identity::of_event(&event.event_id(), record.value.as_deref()));
        let business = task.target().map(|(definition, key)| identity::of_target(definition, key));
        Prepared { lane, keyed, letter: None, identity, business, plan, work: self.work(record, &event, task) }
    }

    fn task(&self, action: PlannedAction, event: &Event, record: &Record) -> Result<(Plan, Task), LimitError> {
        let marker = marker::of(&self.flow.name, &event.event_id());
        Ok(match action {
            PlannedAction::Start { definition, business_key, variables } => {
                let origin = Origin::of(&self.flow.name, &self.flow.reply.topic, event, record);
                let origin = serde_json::to_value(origin).unwrap_or(Value::Null);
                let mut variables = to_variables(variables)?;
                variables.push(Variable::from_json(marker::EVENT_ID, Value::String(marker.clone()))?);
                variables.push(Variable::from_json(marker::ORIGIN, origin)?);
                (Plan::Command(Command::Start), Task::Start { definition, business_key, marker, variables })
            }
            PlannedAction::Message { definition, message, business_key, variables, hold_for } => {
                let mut variables = to_variables(variables)?;
                let name = marker::message_variable(&marker);
                variables.push(Variable::from_json(name, Value::String(marker.clone()))?);
                let task = Task::Message { definition, message, business_key, marker, variables };
                (Plan::Command(Command::Message { hold_for }), task)
            }
            PlannedAction::Terminate { definition, business_key } => {
                (Plan::Command(Command::Terminate), Task::Terminate { definition, business_key, marker })
            }
        })
    }

    /// A dead letter that came back: what it was at first, at the place where it stood then.
    pub(super) fn prepare_replayed(&self, record: Record) -> Prepared<Arc<Work>> {
        let original = match event_model::original(&record) {
            Ok(original) => original,
            Err(error) => {
                return undecoded(record, Plan::Reject(Reason::code("bad-replay-record"), error.to_string()));
            }
        };
        let Coordinates { topic, offset, .. } = original.coordinates.clone();
        let of_jobs = self.jobs_topic_name().as_deref() == Some(&*topic);
        let prepared = if of_jobs { self.prepare_job(original) } else { self.prepare_event(original) };
        let topic = self.flow.source.topics.iter().position(|known| *known == topic);
        let place = (TopicId(topic.map_or(u16::MAX, |index| index as u16)), offset);
        let letter = Some(Letter { place, number: event_model::number_in_quarantine(&record) });
        if event_model::is_discarded(&record) {
            return Prepared { letter, plan: Plan::Discard, identity: None, business: None, ..prepared };
        }
        Prepared { letter, ..prepared }
    }

    pub(super) fn prepare_job(&self, record: Record) -> Prepared<Arc<Work>> {
        let job = match JobRecord::from_record(&record) {
            Ok(job) => job,
            Err(error) => return undecoded(record, Plan::Reject(Reason::code("bad-job-record"), error.to_string())),
        };
        if !self.serves(&job) {
            let detail = format!("the flow has no [[job]] with topic = \"{}\"", job.topic);
            return undecoded(record, Plan::Reject(Reason::code("unknown-job-topic"), detail));
        }
        let source = unread(&record);
        let identity = Some(identity::of_job(&job));
        let (lane, command, task) = match self.asks(&job.topic) {
            // Jobs of one instance run side by side in its branches: none waits for another one's system.
            Some(system) => (job.job_id.as_bytes().into(), Command::Request { system }, Task::Ask(Asked::new(job))),
            None => (job.process_instance_id.as_bytes().into(), Command::Publish, Task::Job(job)),
        };
        let work = Arc::new(Work { record, event_id: None, source, task });
        let (keyed, plan) = (matches!(command, Command::Publish), Plan::Command(command));
        Prepared { lane, keyed, letter: None, identity, business: None, plan, work }
    }

    fn work(&self, record: Record, event: &Event, task: Task) -> Arc<Work> {
        let source = SourceRef {
            event_id: Some(event.id.clone()),
            event_source: Some(event.source.clone()),
            correlation_id: event.correlation_id.clone(),
            traceparent: event.traceparent.clone(),
            ..unread(&record)
        };
        Arc::new(Work { event_id: Some(event.event_id()), source, record, task })
    }
}

/// A record that could not be read, or need not be.
pub(super) fn undecoded(record: Record, plan: Plan) -> Prepared<Arc<Work>> {
    let lane = lane_of(&record);
    let source = unread(&record);
    let work = Arc::new(Work { record, event_id: None, source, task: Task::Nothing });
    Prepared { lane, keyed: false, letter: None, identity: None, business: None, plan, work }
}

/// The order of a record that has no better key than its own.
fn lane_of(record: &Record) -> LaneKey {
    match &record.key {
        Some(key) => key.as_slice().into(),
        None => (&flow_config::LaneKey::Alone(record.coordinates.clone())).into(),
    }
}

fn unread(record: &Record) -> SourceRef {
    SourceRef {
        event_id: None,
        event_source: None,
        topic: record.coordinates.topic.to_string(),
        partition: record.coordinates.partition,
        offset: record.coordinates.offset,
        correlation_id: None,
        traceparent: None,
    }
}

fn to_variables(planned: flow_config::Variables) -> Result<Vec<Variable>, LimitError> {
    planned.into_iter().map(|(name, value)| Variable::from_json(&*name, value)).collect()
}
