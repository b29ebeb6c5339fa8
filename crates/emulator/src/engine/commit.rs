//! A changed copy of an instance, and how it becomes the truth in one step.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::agenda::Due;
use super::instance::{Instance, JobState};
use super::{Engine, Ids};

/// A copy that is being worked on. Dropping it undoes the work.
pub(super) struct Change {
    pub(super) instance: Instance,
    pub(super) now: Timestamp,
    pub(super) ids: Ids,
    /// Variables that live only as long as this change.
    pub(super) transient: BTreeMap<String, Value>,
    /// What expressions know as `execution`.
    pub(super) execution: Value,
    /// What goes on the agenda with the commit.
    pub(super) due: Vec<(Timestamp, Due)>,
}

impl Engine {
    pub(super) fn change(&self, instance: &Instance, now: Timestamp) -> Change {
        self.change_of(instance.clone(), now)
    }

    pub(super) fn change_of(&self, instance: Instance, now: Timestamp) -> Change {
        let execution = json!({
            "processInstanceId": &*instance.id,
            "rootProcessInstanceId": &*instance.id,
            "processInstanceBusinessKey": instance.business_key.as_deref(),
            "processDefinitionId": &*instance.definition.id,
        });
        Change { instance, now, ids: self.ids.clone(), transient: BTreeMap::new(), execution, due: Vec::new() }
    }

    /// Makes the copy the truth: stores, indices, agenda, and history now or after its lag.
    pub(super) fn commit(&mut self, change: Change) -> Arc<Instance> {
        let Change { mut instance, now, due, .. } = change;
        instance.revision += 1;
        let instance = Arc::new(instance);
        if let Some(previous) = self.running.by_number(instance.number).cloned() {
            self.unindex(&previous);
        }
        if instance.end.is_none() {
            self.index(&instance);
            self.running.insert(instance.clone());
        } else {
            self.running.remove(instance.number);
        }
        self.all.insert(instance.clone());
        for (at, due) in due {
            if matches!(due, Due::Request { .. }) {
                self.requests.bell.notify_one();
            }
            self.agenda.push(at, due);
        }
        match self.switches.history_lag_ms {
            0 => self.history.insert(instance.clone()),
            lag => {
                let lag = SignedDuration::from_millis(i64::try_from(lag).unwrap_or(i64::MAX));
                let visible = now.checked_add(lag).unwrap_or(Timestamp::MAX);
                self.agenda.push(visible, Due::History(instance.clone()));
            }
        }
        instance
    }

    fn index(&mut self, instance: &Instance) {
        for execution in &instance.executions {
            self.owner_of.insert(execution.id.clone(), instance.number);
            for timer in &execution.timers {
                self.owner_of.insert(timer.id.clone(), instance.number);
            }
        }
        for task in instance.open_tasks() {
            self.owner_of.insert(task.id.clone(), instance.number);
        }
        for (_, job) in instance.jobs() {
            self.owner_of.insert(job.id.clone(), instance.number);
            if matches!(job.state, JobState::Waiting) && !instance.suspended {
                self.acquirable
                    .entry(job.topic.clone())
                    .or_default()
                    .insert(job.number, (instance.number, job.id.clone()));
            }
        }
    }

    fn unindex(&mut self, instance: &Instance) {
        for execution in &instance.executions {
            self.owner_of.remove(&execution.id);
            for timer in &execution.timers {
                self.owner_of.remove(&timer.id);
            }
        }
        for task in instance.open_tasks() {
            self.owner_of.remove(&task.id);
        }
        for (_, job) in instance.jobs() {
            self.owner_of.remove(&job.id);
            if let Some(jobs) = self.acquirable.get_mut(&job.topic) {
                jobs.remove(&job.number);
                if jobs.is_empty() {
                    self.acquirable.remove(&job.topic);
                }
            }
        }
    }
}
