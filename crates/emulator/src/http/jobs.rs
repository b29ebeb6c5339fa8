//! `/external-jobs`. The paths of everything but acquire and query are not documented; these follow the engine's names.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Span;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Service;
use super::filters::Filters;
use super::hal;
use super::problem::Problem;
use super::render::{self, Expand};
use super::request::Body;
use crate::bpmn::duration;
use crate::engine::{Acquire, Failure, Instance, JobState, VariableInput};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcquireBody {
    topic: Option<String>,
    worker_id: Option<String>,
    lock_duration: Option<String>,
    number_of_tasks: Option<i64>,
}

pub(super) async fn acquire(
    State(service): State<Arc<Service>>,
    Body(body): Body<AcquireBody>,
) -> Result<Response, Problem> {
    let lock = required(body.lock_duration, "lockDuration")?;
    let number = body.number_of_tasks.unwrap_or(1);
    let request = Acquire {
        topic: required(body.topic, "topic")?,
        worker: required(body.worker_id, "workerId")?,
        lock_duration: iso_duration(&lock)?,
        number: usize::try_from(number).ok().filter(|n| *n > 0).ok_or_else(|| {
            Problem::bad_request(format!("requested number of tasks must be greater than zero, not {number}"))
        })?,
    };
    let (mut engine, now) = service.engine();
    let acquired = engine.acquire(&request, now);
    let envelope = engine.switches.jobs_envelope.clone();
    drop(engine);
    let rows = acquired.iter().flat_map(|(instance, id)| {
        let expand = Expand { variables: true, ..Expand::default() };
        instance
            .jobs()
            .filter(|(_, job)| job.id == *id)
            .map(|(execution, job)| render::job(instance, execution, job, expand))
            .collect::<Vec<_>>()
    });
    Ok(wrap(rows.collect(), &envelope))
}

pub(super) async fn list(State(service): State<Arc<Service>>, filters: Filters) -> Result<Response, Problem> {
    let (rows, envelope) = {
        let (engine, _) = service.engine();
        let running = engine.running();
        let instances: Box<dyn Iterator<Item = &Arc<Instance>>> = match filters.get("processInstanceId") {
            Some(id) => Box::new(running.get(id).into_iter()),
            None => Box::new(running.iter()),
        };
        let rows: Vec<Value> = instances.flat_map(|i| rows(i, &filters)).collect();
        (rows, engine.switches.jobs_envelope.clone())
    };
    let page = hal::page(rows, &filters, &[("id", |a, b| a["id"].as_str().cmp(&b["id"].as_str()))])?;
    match envelope.as_str() {
        "content" | "bare" => Ok(wrap(page.rows(Value::clone), &envelope)),
        key => Ok(page.hal(key, &filters, &service.base_url, Value::clone)),
    }
}

/// Jobs that a worker could still get or hold; answered and parked ones are no external jobs any more.
fn rows(instance: &Instance, filters: &Filters) -> Vec<Value> {
    if instance.suspended || !filters.equals("processDefinitionId", Some(&instance.definition.id)) {
        return Vec::new();
    }
    instance
        .jobs()
        .filter(|(_, job)| !matches!(job.state, JobState::Continuing { .. } | JobState::Dead))
        .filter(|(execution, job)| {
            let locked = matches!(job.state, JobState::Locked { .. });
            filters.equals("id", Some(&job.id))
                && filters.equals("executionId", Some(&execution.id))
                && filters.equals("elementId", Some(instance.node_id(execution.at)))
                && filters.equals("topic", Some(&job.topic))
                && filters.equals("exceptionMessage", job.exception.as_deref())
                && (!filters.is_set("withException") || job.exception.is_some())
                && (!filters.is_set("locked") || locked)
                && (!filters.is_set("unlocked") || !locked)
        })
        .map(|(execution, job)| render::job(instance, execution, job, Expand::default()))
        .collect()
}

fn wrap(rows: Vec<Value>, envelope: &str) -> Response {
    let body = match envelope {
        "bare" => Value::Array(rows),
        "content" => json!({ "links": { "empty": true }, "content": rows }),
        _ if rows.is_empty() => json!({ "_links": {} }),
        key => json!({ "_embedded": { key: rows }, "_links": {} }),
    };
    Json(body).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    worker_id: Option<String>,
    variables: Option<Vec<VariableInput>>,
    error_code: Option<String>,
    error_message: Option<String>,
    retries: Option<i64>,
    retry_timeout: Option<String>,
}

pub(super) async fn complete(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Body(body): Body<Answer>,
) -> Result<StatusCode, Problem> {
    let worker = required(body.worker_id, "workerId")?;
    let (mut engine, now) = service.engine();
    engine.complete_job(&id, &worker, body.variables.unwrap_or_default(), now)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn fail(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Body(body): Body<Answer>,
) -> Result<StatusCode, Problem> {
    let worker = required(body.worker_id, "workerId")?;
    let failure = Failure {
        message: body.error_message,
        retries: body.retries,
        retry_timeout: body.retry_timeout.as_deref().map(iso_duration).transpose()?,
    };
    let (mut engine, now) = service.engine();
    engine.fail_job(&id, &worker, failure, now)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn bpmn_error(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Body(body): Body<Answer>,
) -> Result<StatusCode, Problem> {
    let worker = required(body.worker_id, "workerId")?;
    let (mut engine, now) = service.engine();
    engine.throw_bpmn_error(
        &id,
        &worker,
        body.error_code.unwrap_or_default(),
        body.variables.unwrap_or_default(),
        now,
    )?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unacquire(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Body(body): Body<Answer>,
) -> Result<StatusCode, Problem> {
    let worker = required(body.worker_id, "workerId")?;
    let (mut engine, now) = service.engine();
    engine.unacquire(&id, &worker, now)?;
    Ok(StatusCode::NO_CONTENT)
}

fn required(value: Option<String>, name: &str) -> Result<String, Problem> {
    value.filter(|v| !v.is_empty()).ok_or_else(|| Problem::bad_request(format!("{name} is required")))
}

fn iso_duration(text: &str) -> Result<Span, Problem> {
    duration::parse(text).map_err(Problem::bad_request)
}
