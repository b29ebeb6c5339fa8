//! History: instances and tasks as they were, behind the present by the history lag.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use super::Service;
use super::filters::Filters;
use super::hal;
use super::instances::{candidates, is_root, of_definition};
use super::problem::Problem;
use super::render::{self, Expand};
use super::tasks::expand;
use crate::engine::{Instance, Task};

pub(super) async fn list(State(service): State<Arc<Service>>, filters: Filters) -> Result<Response, Problem> {
    let started = filters.period("startedBefore", "startedAfter")?;
    let finished = filters.period("finishedBefore", "finishedAfter")?;
    let matches: Vec<Arc<Instance>> = {
        let (engine, _) = service.engine();
        let lists_running = engine.switches.history_lists_running;
        let history = engine.history();
        let all: Box<dyn Iterator<Item = &Arc<Instance>>> = match filters.get("processInstanceId") {
            Some(id) => Box::new(history.get(id).into_iter()),
            None => candidates(history, filters.get("businessKey")),
        };
        all.filter(|i| {
            let end = i.end.as_ref().map(|e| e.time);
            (lists_running || end.is_some())
                && filters.equals("businessKey", i.business_key.as_deref())
                && filters.like("businessKeyLike", i.business_key.as_deref())
                && filters.equals("processInstanceName", i.name.as_deref())
                && filters.like("processInstanceNameLike", i.name.as_deref())
                && of_definition(&filters, i)
                && filters.equals("deploymentId", Some(&i.definition.deployment))
                && filters.equals("startedBy", Some(&i.start_user))
                && filters.flag("finished").is_none_or(|wanted| end.is_some() == wanted)
                && started.holds(Some(i.start_time))
                && finished.holds(end)
                && is_root(&filters)
        })
        .cloned()
        .collect()
    };
    let page = hal::page(
        matches,
        &filters,
        &[
            ("processInstanceId", |a, b| a.id.cmp(&b.id)),
            ("businessKey", |a, b| a.business_key.cmp(&b.business_key)),
            ("startTime", |a, b| a.start_time.cmp(&b.start_time)),
            ("endTime", |a, b| end_time(a).cmp(&end_time(b))),
        ],
    )?;
    let expand = Expand {
        variables: filters.is_set("includeProcessVariables"),
        comments: filters.is_set("includeProcessComments"),
        ..Expand::default()
    };
    Ok(page.hal("historic-process-instances", &filters, &service.base_url, |i| render::historic_instance(i, expand)))
}

fn end_time(instance: &Instance) -> Option<jiff::Timestamp> {
    instance.end.as_ref().map(|e| e.time)
}

pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    filters: Filters,
) -> Result<Json<Value>, Problem> {
    let instance = {
        let (engine, _) = service.engine();
        let lists_running = engine.switches.history_lists_running;
        engine.history().get(&id).filter(|i| lists_running || i.end.is_some()).cloned()
    };
    let instance =
        instance.ok_or_else(|| Problem::not_found(format!("Could not find a process instance with id '{id}'.")))?;
    let expand = Expand { variables: filters.is_set("includeProcessVariables"), comments: true, ..Expand::default() };
    Ok(Json(render::historic_instance(&instance, expand)))
}

/// A task together with the instance that it belongs to.
type Row = (Arc<Instance>, usize);

pub(super) async fn tasks(State(service): State<Arc<Service>>, filters: Filters) -> Result<Response, Problem> {
    let created = filters.period("taskCreatedBefore", "taskCreatedAfter")?;
    let completed = filters.period("taskCompletedBefore", "taskCompletedAfter")?;
    let rows: Vec<Row> = {
        let (engine, _) = service.engine();
        let lists_running = engine.switches.history_lists_running;
        let history = engine.history();
        let instance = filters.get("processInstanceId").or_else(|| filters.get("processInstanceIdWithChildren"));
        let instances: Box<dyn Iterator<Item = &Arc<Instance>>> = match instance {
            Some(id) => Box::new(history.get(id).into_iter()),
            None => candidates(history, filters.get("processBusinessKey")),
        };
        instances
            .filter(|i| {
                filters.equals("processBusinessKey", i.business_key.as_deref())
                    && filters.like("processBusinessKeyLike", i.business_key.as_deref())
                    && of_definition(&filters, i)
                    && filters.flag("processFinished").is_none_or(|wanted| i.end.is_some() == wanted)
            })
            .flat_map(|i| (0..i.tasks.len()).map(move |position| (i, position)))
            .filter(|(i, position)| {
                let task = &i.tasks[*position];
                let end = task.end.as_ref().map(|e| e.time);
                (lists_running || end.is_some())
                    && passes(i, task, &filters)
                    && created.holds(Some(task.created))
                    && completed.holds(end)
            })
            .map(|(i, position)| (i.clone(), position))
            .collect()
    };
    let page = hal::page(
        rows,
        &filters,
        &[
            ("taskId", |a, b| task(a).id.cmp(&task(b).id)),
            ("startTime", |a, b| task(a).created.cmp(&task(b).created)),
            ("name", |a, b| task(a).name.cmp(&task(b).name)),
        ],
    )?;
    let expand = expand(&filters);
    Ok(page.hal("historic-task-instances", &filters, &service.base_url, |row| render::task(&row.0, task(row), expand)))
}

fn task(row: &Row) -> &Task {
    &row.0.tasks[row.1]
}

fn passes(instance: &Instance, task: &Task, filters: &Filters) -> bool {
    let delete_reason = task.end.as_ref().and_then(|e| e.delete_reason.as_deref());
    let key = instance.node_id(task.at);
    filters.equals("taskId", Some(&task.id))
        && filters.equals("executionId", Some(&task.execution))
        && filters.equals("taskDefinitionKey", Some(key))
        && filters.get("taskDefinitionKeys").is_none_or(|keys| keys.split(',').any(|k| *k == **key))
        && filters.equals("taskName", task.name.as_deref())
        && filters.like("taskNameLike", task.name.as_deref())
        && filters.equals("taskDescription", task.description.as_deref())
        && filters.equals("taskCategory", task.category.as_deref())
        && filters.equals("taskDeleteReason", delete_reason)
        && filters.like("taskDeleteReasonLike", delete_reason)
        && filters.equals("taskAssignee", task.assignee.as_deref())
        && filters.like("taskAssigneeLike", task.assignee.as_deref())
        && filters.equals("taskOwner", task.owner.as_deref())
        && filters.equals("taskPriority", Some(&task.priority.to_string()))
        && filters.flag("finished").is_none_or(|wanted| task.end.is_some() == wanted)
        && filters.flag("withoutDueDate").is_none_or(|wanted| task.due.is_none() == wanted)
}
