//! `/_faults`, `/_stats`, `/_reset`: what tests use to disturb the service and to count what it did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Service;
use super::request::Body;
use crate::engine::JobState;
use crate::faults::Rule;
use crate::server::Availability;
use crate::switches::Switches;

/// Every field is optional; what is absent stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disturbance {
    /// Replaces all rules.
    rules: Option<Vec<Rule>>,
    /// Switches to change, by name.
    switches: Option<Map<String, Value>>,
    availability: Option<Availability>,
    /// Brings the service up again after this many milliseconds.
    for_ms: Option<u64>,
    /// Skips this much time: timers fire, locks and tokens expire.
    skip_ms: Option<u64>,
    #[serde(default)]
    revoke_tokens: bool,
    /// Jobs that are out will be handed out again.
    #[serde(default)]
    release_locks: bool,
    /// Jobs without retries get fresh ones.
    #[serde(default)]
    revive_dead_jobs: bool,
}

pub(super) async fn faults(State(service): State<Arc<Service>>) -> Json<Value> {
    let switches = service.engine().0.switches.clone();
    Json(json!({
        "rules": service.rules.current(),
        "switches": switches,
        "availability": service.gatekeeper.current(),
        "operations": service.operations(),
    }))
}

pub(super) async fn set_faults(State(service): State<Arc<Service>>, Body(body): Body<Disturbance>) -> Response {
    match apply(&service, body) {
        Ok(()) => faults(State(service)).await.into_response(),
        Err(reason) => (StatusCode::BAD_REQUEST, Json(json!({ "message": reason }))).into_response(),
    }
}

fn apply(service: &Arc<Service>, body: Disturbance) -> Result<(), String> {
    if let Some(problem) = body.rules.iter().flatten().find_map(|rule| rule.problem(service.operations())) {
        return Err(problem);
    }
    if let Some(changes) = body.switches {
        let mut engine = service.engine().0;
        engine.switches = merge(&engine.switches, changes)?;
    }
    if let Some(rules) = body.rules {
        service.rules.replace(rules);
    }
    if let Some(ms) = body.skip_ms {
        service.skip(Duration::from_millis(ms));
    }
    if body.revoke_tokens {
        service.tokens.revoke_all();
    }
    let (mut engine, now) = service.engine();
    if body.release_locks {
        engine.release_locks(now);
    }
    if body.revive_dead_jobs {
        engine.revive_dead_jobs(now);
    }
    drop(engine);
    if let Some(availability) = body.availability {
        service.gatekeeper.set(availability);
        if let Some(ms) = body.for_ms {
            let service = service.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                service.gatekeeper.set(Availability::Up);
            });
        }
    }
    Ok(())
}

fn merge(switches: &Switches, changes: Map<String, Value>) -> Result<Switches, String> {
    let mut merged = serde_json::to_value(switches).map_err(|e| e.to_string())?;
    if let Value::Object(fields) = &mut merged {
        fields.extend(changes);
    }
    let merged: Switches = serde_json::from_value(merged).map_err(|e| format!("switches: {e}"))?;
    merged.problem().map_or(Ok(merged), Err)
}

/// Everything that an outside test needs for its arithmetic, whatever history shows at the moment.
pub(super) async fn stats(State(service): State<Arc<Service>>) -> Json<Value> {
    let (engine, _) = service.engine();
    let mut by_key: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut instances = Vec::with_capacity(engine.all().len());
    let (mut running, mut open_tasks, mut dead_jobs) = (0, 0, 0);
    for instance in engine.all().iter() {
        let business_key = instance.business_key.as_deref().unwrap_or_default();
        *by_key.entry((&instance.definition.key, business_key)).or_default() += 1;
        if instance.end.is_none() {
            running += 1;
            open_tasks += instance.open_tasks().count();
            dead_jobs += instance.jobs().filter(|(_, j)| matches!(j.state, JobState::Dead)).count();
        }
        instances.push(json!({
            "id": instance.id,
            "processDefinitionKey": instance.definition.key,
            "businessKey": instance.business_key,
            "xcEventId": instance.variables.get("xcEventId").map(|v| &*v.value),
            "startTime": instance.start_time.to_string(),
            "endTime": instance.end.as_ref().map(|e| e.time.to_string()),
            "endActivityId": instance.end.as_ref().and_then(|e| e.activity.clone()),
            "deleteReason": instance.end.as_ref().and_then(|e| e.delete_reason.clone()),
        }));
    }
    let by_key: Vec<Value> = by_key
        .into_iter()
        .map(|((definition, key), count)| json!({ "processDefinitionKey": definition, "businessKey": key, "count": count }))
        .collect();
    Json(json!({
        "operations": service.stats.current(),
        "instancesByBusinessKey": by_key,
        "instances": instances,
        "running": running,
        "openTasks": open_tasks,
        "deadJobs": dead_jobs,
    }))
}

/// Forgets instances, counts and rules; models, tokens and switches stay.
pub(super) async fn reset(State(service): State<Arc<Service>>) -> StatusCode {
    service.engine().0.reset();
    service.rules.replace(Vec::new());
    service.stats.reset();
    StatusCode::NO_CONTENT
}
