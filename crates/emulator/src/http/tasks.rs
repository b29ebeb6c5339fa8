//! `/tasks`: what people have to do, and what they did with it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Service;
use super::filters::{Filters, Period};
use super::gate::User;
use super::hal;
use super::instances::{Remark, candidates, of_definition};
use super::problem::Problem;
use super::render::{self, Expand};
use super::request::Body;
use crate::engine::{EngineError, Instance, Task, TaskAction, VariableInput};

/// A task together with the instance that it belongs to.
type Row = (Arc<Instance>, usize);

pub(super) async fn list(State(service): State<Arc<Service>>, filters: Filters) -> Result<Response, Problem> {
    let created = filters.period("createdBefore", "createdAfter")?;
    let due = filters.period("dueBefore", "dueAfter")?;
    let rows: Vec<Row> = {
        let (engine, _) = service.engine();
        let running = engine.running();
        match filters.get("processInstanceId").or_else(|| filters.get("processInstanceIdWithChildren")) {
            Some(id) => running.get(id).into_iter().flat_map(|i| open(i, &filters, created, due)).collect(),
            None => candidates(running, filters.get("processInstanceBusinessKey"))
                .flat_map(|i| open(i, &filters, created, due))
                .collect(),
        }
    };
    let page = hal::page(
        rows,
        &filters,
        &[
            ("createTime", |a, b| task(a).created.cmp(&task(b).created)),
            ("name", |a, b| task(a).name.cmp(&task(b).name)),
            ("description", |a, b| task(a).description.cmp(&task(b).description)),
            ("priority", |a, b| task(a).priority.cmp(&task(b).priority)),
            ("dueDate", |a, b| task(a).due.cmp(&task(b).due)),
            ("id", |a, b| task(a).id.cmp(&task(b).id)),
        ],
    )?;
    let expand = expand(&filters);
    Ok(page.hal("tasks", &filters, &service.base_url, |row| render::task(&row.0, task(row), expand)))
}

fn task(row: &Row) -> &Task {
    &row.0.tasks[row.1]
}

pub(super) fn expand(filters: &Filters) -> Expand {
    Expand {
        variables: filters.is_set("includeProcessVariables"),
        comments: filters.is_set("includeTaskComments"),
        assignments: filters.is_set("includeTaskAssignments"),
        local_variables: filters.is_set("includeTaskLocalVariables"),
    }
}

fn open(instance: &Arc<Instance>, filters: &Filters, created: Period, due: Period) -> Vec<Row> {
    let of_instance = of_definition(filters, instance)
        && filters.equals("processInstanceBusinessKey", instance.business_key.as_deref())
        && filters.like("processInstanceBusinessKeyLike", instance.business_key.as_deref())
        && filters.flag("active").is_none_or(|active| active != instance.suspended);
    if !of_instance {
        return Vec::new();
    }
    instance
        .tasks
        .iter()
        .enumerate()
        .filter(|(_, t)| t.end.is_none() && passes(t, instance, filters))
        .filter(|(_, t)| created.holds(Some(t.created)) && due.holds(t.due))
        .map(|(position, _)| (instance.clone(), position))
        .collect()
}

fn passes(task: &Task, instance: &Instance, filters: &Filters) -> bool {
    let assignee = task.assignee.as_deref();
    // Group and user candidates only find tasks that nobody has taken, as in the engine.
    let group = |wanted: &str| assignee.is_none() && task.candidate_groups.iter().any(|g| g == wanted);
    let user = |wanted: &str| assignee.is_none() && task.candidate_users.iter().any(|u| u == wanted);
    filters.equals("name", task.name.as_deref())
        && filters.like("nameLike", task.name.as_deref())
        && filters.equals("description", task.description.as_deref())
        && filters.equals("category", task.category.as_deref())
        && filters.equals("taskDefinitionKey", Some(instance.node_id(task.at)))
        && filters.equals("executionId", Some(&task.execution))
        && filters.equals("priority", Some(&task.priority.to_string()))
        && filters.equals("assignee", assignee)
        && filters.like("assigneeLike", assignee)
        && filters.equals("owner", task.owner.as_deref())
        && filters.like("ownerLike", task.owner.as_deref())
        && filters.flag("unassigned").is_none_or(|wanted| assignee.is_none() == wanted)
        && filters.flag("withoutDueDate").is_none_or(|wanted| task.due.is_none() == wanted)
        && filters.get("candidateGroup").is_none_or(group)
        && filters.get("candidateGroups").is_none_or(|list| list.split(',').any(group))
        && filters.get("candidateUser").is_none_or(user)
        && filters.get("candidateOrAssigned").is_none_or(|wanted| assignee == Some(wanted) || user(wanted))
        && filters
            .get("delegationState")
            .is_none_or(|wanted| task.delegation.is_some_and(|d| format!("{d:?}").eq_ignore_ascii_case(wanted)))
}

#[derive(Deserialize)]
pub(super) struct Action {
    action: Option<String>,
    assignee: Option<String>,
    outcome: Option<String>,
    variables: Option<Vec<VariableInput>>,
}

pub(super) async fn act(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Body(body): Body<Action>,
) -> Result<StatusCode, Problem> {
    // An unknown task is told before a wrong action, as in the engine.
    service.engine().0.instance_of_task(&id)?;
    let variables = body.variables.unwrap_or_default();
    let action = match (body.action.as_deref(), body.assignee) {
        (Some("claim"), assignee) => TaskAction::Claim { assignee },
        (Some("unclaim"), _) => TaskAction::Unclaim,
        (Some("delegate"), Some(assignee)) => TaskAction::Delegate { assignee },
        (Some("delegate"), None) => {
            return Err(Problem::bad_request("An assignee is required when delegating a task."));
        }
        (Some("resolve"), _) => TaskAction::Resolve { variables },
        (Some("complete"), _) => TaskAction::Complete { outcome: body.outcome, variables },
        (other, _) => return Err(Problem::bad_request(format!("Invalid action: '{}'.", other.unwrap_or_default()))),
    };
    let (mut engine, now) = service.engine();
    engine.act_on_task(&id, action, now)?;
    Ok(StatusCode::OK)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edit {
    assignee: Option<String>,
    owner: Option<String>,
    name: Option<String>,
    description: Option<String>,
    category: Option<String>,
    form_key: Option<String>,
    priority: Option<i64>,
    due_date: Option<Timestamp>,
}

pub(super) async fn edit(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Body(body): Body<Edit>,
) -> Result<Json<Value>, Problem> {
    let (mut engine, now) = service.engine();
    let instance = engine.edit_task(
        &id,
        |task| {
            for (field, value) in [
                (&mut task.assignee, body.assignee),
                (&mut task.owner, body.owner),
                (&mut task.name, body.name),
                (&mut task.description, body.description),
                (&mut task.category, body.category),
                (&mut task.form_key, body.form_key),
            ] {
                *field = value.or_else(|| field.take());
            }
            task.priority = body.priority.unwrap_or(task.priority);
            task.due = body.due_date.or(task.due);
        },
        now,
    )?;
    let task = open_task(&instance, &id)?;
    Ok(Json(render::task(&instance, task, Expand::default())))
}

pub(super) async fn assignments(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<Vec<Value>>, Problem> {
    let instance = service.engine().0.instance_of_task(&id)?.clone();
    Ok(Json(render::assignments(open_task(&instance, &id)?)))
}

pub(super) async fn comments(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    filters: Filters,
) -> Result<Response, Problem> {
    let instance = service.engine().0.instance_of_task(&id)?.clone();
    let all = instance
        .comments
        .iter()
        .filter(|c| c.task.as_deref() == Some(&id))
        .map(|c| render::comment(&instance, c))
        .collect();
    Ok(hal::page(all, &filters, &[])?.hal("comments", &filters, &service.base_url, Value::clone))
}

pub(super) async fn add_comment(
    State(service): State<Arc<Service>>,
    Extension(User(user)): Extension<User>,
    Path(id): Path<String>,
    Body(body): Body<Remark>,
) -> Result<Response, Problem> {
    let message = body.text()?;
    let (mut engine, now) = service.engine();
    let comment = engine.comment_on_task(&id, &user, message, now)?;
    let instance = engine.instance_of_task(&id)?;
    Ok((StatusCode::CREATED, Json(render::comment(instance, &comment))).into_response())
}

fn open_task<'a>(instance: &'a Instance, id: &str) -> Result<&'a Task, Problem> {
    let task = instance.open_tasks().find(|t| &*t.id == id);
    task.ok_or_else(|| EngineError::NotFound(format!("Could not find a task with id '{id}'.")).into())
}
