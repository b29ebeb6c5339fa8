//! Instances, tasks, executions and jobs as the service writes them.
//!
//! Dates come in the three forms that the service's samples show, one per place, so that a client has to read them all.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Map, Value, json};

use crate::engine::{ArmedTimer, Comment, Execution, Instance, Job, JobState, Task, Variable};

const TENANT: &str = "emulated-tenant";
const SUBSCRIPTION: &str = "emulated-subscription";

/// `2020-05-04T16:35:10.474Z`
fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// `2018-04-17T10:17:43.902+0000`
fn compact_offset(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()
}

/// `2020-04-02T17:20:18.722+05:30`
fn local_offset(time: Timestamp) -> String {
    let zone = Offset::from_seconds(19_800).map_or(TimeZone::UTC, TimeZone::fixed);
    time.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

/// Removes fields without a value: the service leaves them out.
fn compact(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.into_iter().filter(|(_, v)| !v.is_null()).collect::<Map<_, _>>()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => other,
    }
}

pub(super) fn variable(name: &str, variable: &Variable, scope: &str) -> Value {
    json!({
        "name": name,
        "type": variable.kind,
        "value": *variable.value,
        "scope": scope,
        "encryption": variable.encryption,
    })
}

pub(super) fn variables(instance: &Instance, scope: &str) -> Vec<Value> {
    instance.variables.iter().map(|(name, v)| variable(name, v, scope)).collect()
}

pub(super) fn comment(instance: &Instance, comment: &Comment) -> Value {
    compact(json!({
        "id": comment.id,
        "author": comment.author,
        "message": comment.message,
        "time": utc(comment.time),
        "taskId": comment.task,
        "processInstanceId": instance.id,
    }))
}

/// What a reader wants to see beside the object itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expand {
    pub(super) variables: bool,
    pub(super) comments: bool,
    pub(super) assignments: bool,
    pub(super) local_variables: bool,
}

/// A running instance. Its definition is not part of it, as in the service's sample.
pub(super) fn instance(instance: &Instance, expand: Expand) -> Value {
    let mut value = compact(json!({
        "id": instance.id,
        "name": instance.name,
        "businessKey": instance.business_key,
        "processDefinitionName": instance.definition.process.name,
        "startTime": utc(instance.start_time),
        "startUserId": instance.start_user,
        "suspended": instance.suspended,
        "ended": instance.end.is_some(),
        "completed": instance.end.is_some(),
        "tenantId": TENANT,
        "subscriptionId": SUBSCRIPTION,
    }));
    if expand.variables {
        value["variables"] = variables(instance, "local").into();
    }
    if expand.comments {
        value["comments"] = instance.comments.iter().map(|c| comment(instance, c)).collect();
    }
    value
}

/// An instance in history.
pub(super) fn historic_instance(instance: &Instance, expand: Expand) -> Value {
    let end = instance.end.as_ref();
    let mut value = compact(json!({
        "id": instance.id,
        "name": instance.name,
        "businessKey": instance.business_key,
        "processDefinitionId": instance.definition.id,
        "processDefinitionName": instance.definition.process.name,
        "startTime": local_offset(instance.start_time),
        "endTime": end.map(|e| local_offset(e.time)),
        "durationInMillis": end.map(|e| millis_between(instance.start_time, e.time)),
        "startActivityId": instance.start_activity,
        "endActivityId": end.and_then(|e| e.activity.clone()),
        "deleteReason": end.and_then(|e| e.delete_reason.clone()),
        "startUserId": instance.start_user,
        "tenantId": TENANT,
        "subscriptionId": SUBSCRIPTION,
    }));
    if expand.variables {
        value["variables"] = variables(instance, "local").into();
    }
    if expand.comments {
        value["comments"] = instance.comments.iter().map(|c| comment(instance, c)).collect();
    }
    value
}

/// A task, open or ended.
pub(super) fn task(instance: &Instance, task: &Task, expand: Expand) -> Value {
    let node = &instance.definition.process.nodes[task.at];
    let mut value = compact(json!({
        "id": task.id,
        "name": task.name,
        "description": task.description,
        "assignee": task.assignee,
        "owner": task.owner,
        "category": task.category,
        "priority": task.priority,
        "createTime": utc(task.created),
        "claimTime": task.claimed.map(utc),
        "dueDate": task.due.map(compact_offset),
        "delegationState": task.delegation.map(|d| format!("{d:?}").to_lowercase()),
        "formKey": task.form_key,
        "taskDefinitionKey": node.id,
        "executionId": task.execution,
        "processInstanceId": instance.id,
        "processDefinitionId": instance.definition.id,
        "tenantId": TENANT,
        "subscriptionId": SUBSCRIPTION,
    }));
    match &task.end {
        None => value["suspended"] = instance.suspended.into(),
        Some(end) => {
            value["endTime"] = utc(end.time).into();
            value["durationInMillis"] = millis_between(task.created, end.time).into();
            if let Some(claimed) = task.claimed {
                value["workTimeInMillis"] = millis_between(claimed, end.time).into();
            }
            if let Some(reason) = &end.delete_reason {
                value["deleteReason"] = reason.as_str().into();
            }
        }
    }
    if expand.assignments {
        value["assignments"] = assignments(task).into();
    }
    if expand.comments {
        let comments = instance.comments.iter().filter(|c| c.task.as_deref() == Some(&*task.id));
        value["comments"] = comments.map(|c| comment(instance, c)).collect();
    }
    let mut shown = Vec::new();
    if expand.local_variables {
        shown.extend(task.variables.iter().map(|(name, v)| variable(name, v, "local")));
    }
    if expand.variables {
        shown.extend(variables(instance, "global"));
    }
    if expand.variables || expand.local_variables {
        value["variables"] = shown.into();
    }
    value
}

pub(super) fn assignments(task: &Task) -> Vec<Value> {
    let groups = task.candidate_groups.iter().map(|group| json!({ "group": group, "type": "candidate" }));
    let users = task.candidate_users.iter().map(|user| json!({ "user": user, "type": "candidate" }));
    let assignee = task.assignee.iter().map(|user| json!({ "user": user, "type": "assignee" }));
    let owner = task.owner.iter().map(|user| json!({ "user": user, "type": "owner" }));
    groups.chain(users).chain(assignee).chain(owner).collect()
}

/// The root execution of an instance; it has no parent and waits for nothing itself.
pub(super) fn root_execution(instance: &Instance) -> Value {
    json!({
        "id": instance.id,
        "processInstanceId": instance.id,
        "suspended": instance.suspended,
        "tenantId": TENANT,
    })
}

pub(super) fn execution(instance: &Instance, execution: &Execution) -> Value {
    json!({
        "id": execution.id,
        "activityId": instance.node_id(execution.at),
        "parentId": instance.id,
        "processInstanceId": instance.id,
        "suspended": instance.suspended,
        "tenantId": TENANT,
    })
}

/// A boundary timer is an execution below the one that it watches.
pub(super) fn timer_execution(instance: &Instance, host: &Execution, timer: &ArmedTimer) -> Value {
    json!({
        "id": timer.id,
        "activityId": instance.node_id(timer.at),
        "parentId": host.id,
        "processInstanceId": instance.id,
        "suspended": instance.suspended,
        "tenantId": TENANT,
    })
}

pub(super) fn job(instance: &Instance, execution: &Execution, job: &Job, expand: Expand) -> Value {
    let (owner, expires) = match &job.state {
        JobState::Locked { owner, expires } => (Some(owner.clone()), Some(*expires)),
        JobState::Deferred { until } => (None, Some(*until)),
        JobState::Waiting | JobState::Continuing { .. } | JobState::Dead => (None, None),
    };
    let node = &instance.definition.process.nodes[execution.at];
    let mut value = compact(json!({
        "id": job.id,
        "topic": job.topic,
        "retries": job.retries,
        "correlationId": job.correlation_id,
        "executionId": execution.id,
        "processInstanceId": instance.id,
        "processDefinitionId": instance.definition.id,
        "elementId": node.id,
        "elementName": node.name.as_ref().and_then(|n| n.text(&instance.variables).ok()),
        "lockOwner": owner,
        "lockExpirationTime": expires.map(utc),
        "createTime": utc(job.created),
        "exceptionMessage": job.exception,
        "tenantId": TENANT,
        "subscriptionId": SUBSCRIPTION,
    }));
    if expand.variables {
        value["variables"] = variables(instance, "local").into();
    }
    value
}

fn millis_between(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_three_documented_forms() {
        let time: Timestamp = "2020-04-02T11:50:18.7225Z".parse().unwrap();
        assert_eq!(utc(time), "2020-04-02T11:50:18.722Z");
        assert_eq!(compact_offset(time), "2020-04-02T11:50:18.722+0000");
        assert_eq!(local_offset(time), "2020-04-02T17:20:18.722+05:30");
    }
}
