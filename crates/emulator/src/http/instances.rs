//! `/process-instances`: start, read, end, variables, comments.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Service;
use super::filters::Filters;
use super::gate::User;
use super::hal;
use super::problem::Problem;
use super::render::{self, Expand};
use super::request::Body;
use crate::engine::{Instance, StartRequest, Store, VariableInput};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Start {
    process_definition_key: Option<String>,
    process_definition_id: Option<String>,
    message: Option<String>,
    name: Option<String>,
    business_key: Option<String>,
    variables: Option<Vec<VariableInput>>,
    transient_variables: Option<Vec<VariableInput>>,
    comment: Option<Remark>,
    #[serde(default)]
    return_variables: bool,
}

#[derive(Deserialize)]
pub(super) struct Remark {
    message: Option<String>,
}

impl Remark {
    /// The text, which is the one thing that a remark needs.
    pub(super) fn text(self) -> Result<String, Problem> {
        self.message.filter(|m| !m.is_empty()).ok_or_else(|| Problem::bad_request("Comment text is required."))
    }
}

pub(super) async fn start(
    State(service): State<Arc<Service>>,
    Extension(User(user)): Extension<User>,
    Body(body): Body<Start>,
) -> Result<Response, Problem> {
    let request = StartRequest {
        definition_key: body.process_definition_key,
        definition_id: body.process_definition_id,
        message: body.message,
        name: body.name,
        business_key: body.business_key,
        variables: body.variables.unwrap_or_default(),
        transient_variables: body.transient_variables.unwrap_or_default(),
        comment: body.comment.map(Remark::text).transpose()?,
    };
    let started = {
        let (mut engine, now) = service.engine();
        engine.start(request, &user, now)?
    };
    let expand = Expand { variables: body.return_variables, ..Expand::default() };
    Ok((StatusCode::CREATED, Json(render::instance(&started, expand))).into_response())
}

pub(super) async fn list(State(service): State<Arc<Service>>, filters: Filters) -> Result<Response, Problem> {
    let started = filters.period("startedBefore", "startedAfter")?;
    let expand = Expand {
        variables: filters.is_set("includeProcessVariables"),
        comments: filters.is_set("includeProcessComments"),
        ..Expand::default()
    };
    let matches: Vec<Arc<Instance>> = {
        let (engine, _) = service.engine();
        candidates(engine.running(), filters.get("businessKey"))
            .filter(|i| {
                filters.equals("id", Some(&i.id))
                    && filters.equals("name", i.name.as_deref())
                    && filters.like("nameLike", i.name.as_deref())
                    && of_definition(&filters, i)
                    && filters.equals("startedBy", Some(&i.start_user))
                    && started.holds(Some(i.start_time))
                    && filters.flag("suspended").is_none_or(|wanted| i.suspended == wanted)
                    && is_root(&filters)
            })
            .cloned()
            .collect()
    };
    let page = hal::page(
        matches,
        &filters,
        &[
            ("id", |a, b| a.id.cmp(&b.id)),
            ("startTime", |a, b| a.start_time.cmp(&b.start_time)),
            ("processDefinitionKey", |a, b| a.definition.key.cmp(&b.definition.key)),
            ("dueDate", |a, b| a.id.cmp(&b.id)),
        ],
    )?;
    Ok(page.hal("process-instances", &filters, &service.base_url, |i| render::instance(i, expand)))
}

/// Instances to look through: those of one business key where it is given, so that a look-up does not scan them all.
pub(super) fn candidates<'a>(
    store: &'a Store,
    business_key: Option<&str>,
) -> Box<dyn Iterator<Item = &'a Arc<Instance>> + 'a> {
    match business_key {
        Some(key) => Box::new(store.with_business_key(key)),
        None => Box::new(store.iter()),
    }
}

/// The filters on the process definition, which several lists share.
pub(super) fn of_definition(filters: &Filters, instance: &Instance) -> bool {
    let definition = &instance.definition;
    filters.equals("processDefinitionKey", Some(&definition.key))
        && filters.like("processDefinitionKeyLike", Some(&definition.key))
        && filters.equals("processDefinitionId", Some(&definition.id))
        && filters.equals("processDefinitionName", definition.process.name.as_deref())
        && filters.equals("processDefinitionVersion", Some(&definition.version.to_string()))
}

/// Every instance here is a root: filters for parents, children and callbacks match nothing.
pub(super) fn is_root(filters: &Filters) -> bool {
    ["superProcessInstanceId", "subProcessInstanceId", "callbackId", "callbackType"]
        .iter()
        .all(|name| filters.get(name).is_none())
}

pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    filters: Filters,
) -> Result<Json<Value>, Problem> {
    let instance = service.engine().0.running_instance(&id)?.clone();
    let expand = Expand { variables: filters.is_set("includeProcessVariables"), comments: true, ..Expand::default() };
    Ok(Json(render::instance(&instance, expand)))
}

#[derive(Deserialize)]
pub(super) struct Action {
    action: Option<String>,
    comment: Option<Remark>,
}

pub(super) async fn suspend(
    State(service): State<Arc<Service>>,
    Extension(User(user)): Extension<User>,
    Path(id): Path<String>,
    Body(body): Body<Action>,
) -> Result<Json<Value>, Problem> {
    let suspended = match body.action.as_deref() {
        Some("suspend") => true,
        Some("activate") => false,
        other => return Err(Problem::bad_request(format!("Invalid action: '{}'.", other.unwrap_or_default()))),
    };
    let remark = body.comment.map(Remark::text).transpose()?;
    let (mut engine, now) = service.engine();
    let instance = engine.set_suspended(&id, suspended, now)?;
    if let Some(remark) = remark {
        engine.comment(&id, &user, remark, now)?;
    }
    Ok(Json(render::instance(&instance, Expand::default())))
}

pub(super) async fn terminate(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    filters: Filters,
) -> Result<StatusCode, Problem> {
    let (mut engine, now) = service.engine();
    let known = engine.all().get(&id).is_some();
    match engine.terminate(&id, filters.get("deleteReason").map(str::to_owned), now) {
        Ok(()) if engine.switches.delete_status == 200 => Ok(StatusCode::OK),
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(_) if known && engine.switches.repeated_delete_status == 204 => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn variables(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    filters: Filters,
) -> Result<Response, Problem> {
    let instance = service.engine().0.running_instance(&id)?.clone();
    let wanted = instance
        .variables
        .iter()
        .filter(|(_, v)| filters.equals("type", Some(v.kind)))
        .map(|(name, v)| render::variable(name, v, "local"))
        .collect();
    Ok(hal::page(wanted, &filters, &[])?.hal("variables", &filters, &service.base_url, Value::clone))
}

pub(super) async fn create_variables(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Body(body): Body<Vec<VariableInput>>,
) -> Result<Response, Problem> {
    let (mut engine, now) = service.engine();
    let names = engine.create_variables(&id, body, now)?;
    let instance = engine.running_instance(&id)?;
    let created: Vec<Value> = names
        .iter()
        .filter_map(|name| instance.variables.get(name).map(|v| render::variable(name, v, "local")))
        .collect();
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

pub(super) async fn set_variable(
    State(service): State<Arc<Service>>,
    Path((id, name)): Path<(String, String)>,
    Body(body): Body<VariableInput>,
) -> Result<Json<Value>, Problem> {
    let (mut engine, now) = service.engine();
    engine.set_variable(&id, &name, body, now)?;
    let instance = engine.running_instance(&id)?;
    Ok(Json(instance.variables.get(&name).map_or(json!({}), |v| render::variable(&name, v, "local"))))
}

pub(super) async fn comments(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    filters: Filters,
) -> Result<Response, Problem> {
    let instance = service.engine().0.running_instance(&id)?.clone();
    let all = instance.comments.iter().map(|c| render::comment(&instance, c)).collect();
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
    let comment = engine.comment(&id, &user, message, now)?;
    let instance = engine.running_instance(&id)?;
    Ok((StatusCode::CREATED, Json(render::comment(instance, &comment))).into_response())
}

pub(super) async fn delete_comment(
    State(service): State<Arc<Service>>,
    Path((id, comment)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (mut engine, now) = service.engine();
    engine.delete_comment(&id, &comment, now)?;
    Ok(StatusCode::NO_CONTENT)
}
