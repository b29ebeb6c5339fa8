//! `/process-instances/executions`: find who waits, and wake them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::Service;
use super::filters::Filters;
use super::hal;
use super::instances::of_definition;
use super::problem::Problem;
use super::render;
use super::request::Body;
use crate::engine::{Execution, Instance, VariableInput, Wait};

pub(super) async fn list(State(service): State<Arc<Service>>, filters: Filters) -> Result<Response, Problem> {
    let rows: Vec<Value> = {
        let (engine, _) = service.engine();
        let running = engine.running();
        match filters.get("processInstanceId") {
            Some(id) => running.get(id).into_iter().flat_map(|i| rows(i, &filters)).collect(),
            None => running.iter().flat_map(|i| rows(i, &filters)).collect(),
        }
    };
    let page = hal::page(
        rows,
        &filters,
        &[
            ("processDefinitionId", |_, _| std::cmp::Ordering::Equal),
            ("processInstanceId", |a, b| a["processInstanceId"].as_str().cmp(&b["processInstanceId"].as_str())),
        ],
    )?;
    Ok(page.hal("executions", &filters, &service.base_url, Value::clone))
}

/// The executions of one instance that pass the filters, the root first.
fn rows(instance: &Arc<Instance>, filters: &Filters) -> Vec<Value> {
    if !of_definition(filters, instance) {
        return Vec::new();
    }
    // The root waits for nothing and stands nowhere: any of these filters excludes it.
    let root = filters.equals("id", Some(&instance.id))
        && ["activityId", "parentId", "messageEventSubscriptionName", "signalEventSubscriptionName"]
            .iter()
            .all(|name| filters.get(name).is_none());
    let root = root.then(|| render::root_execution(instance));
    let children = instance.executions.iter().flat_map(|execution| {
        let own = passes(filters, &execution.id, instance.node_id(execution.at), &instance.id)
            && filters.equals("messageEventSubscriptionName", subscription(execution));
        let timers = execution
            .timers
            .iter()
            .filter(|t| passes(filters, &t.id, instance.node_id(t.at), &execution.id))
            .filter(|_| filters.get("messageEventSubscriptionName").is_none())
            .map(|t| render::timer_execution(instance, execution, t));
        own.then(|| render::execution(instance, execution)).into_iter().chain(timers)
    });
    root.into_iter().chain(children).collect()
}

fn passes(filters: &Filters, id: &str, activity: &str, parent: &str) -> bool {
    filters.equals("id", Some(id))
        && filters.equals("activityId", Some(activity))
        && filters.equals("parentId", Some(parent))
        && filters.get("signalEventSubscriptionName").is_none()
}

fn subscription(execution: &Execution) -> Option<&str> {
    match &execution.wait {
        Wait::Message(name) => Some(name),
        Wait::Join | Wait::Task(_) | Wait::Job(_) | Wait::Request(_) | Wait::Timer(_) => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Action {
    action: Option<String>,
    message_name: Option<String>,
    signal_name: Option<String>,
    variables: Option<Vec<VariableInput>>,
}

/// 200 with the execution, or 204 when it ended as a result.
pub(super) async fn act(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Body(body): Body<Action>,
) -> Result<Response, Problem> {
    let variables = body.variables.unwrap_or_default();
    let (mut engine, now) = service.engine();
    let outcome = match body.action.as_deref() {
        Some("messageEventReceived") => {
            let message = body.message_name.ok_or_else(|| Problem::bad_request("Message name is required"))?;
            engine.deliver(&id, &message, variables, now)
        }
        Some("signalEventReceived") => {
            let signal = body.signal_name.ok_or_else(|| Problem::bad_request("Signal name is required"))?;
            Err(engine.deliver_signal(&id, &signal))
        }
        Some("trigger" | "signal") => engine.trigger(&id, variables, now),
        other => return Err(Problem::bad_request(format!("Invalid action: '{}'.", other.unwrap_or_default()))),
    };
    let status = engine.switches.unsubscribed_status;
    drop(engine);
    let instance = outcome.map_err(|error| Problem::with_unsubscribed_status(error, status))?;
    Ok(match instance.executions.iter().find(|e| *e.id == *id) {
        Some(execution) => Json(render::execution(&instance, execution)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}
