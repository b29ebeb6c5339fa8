//! `/runtime/models`: deploy and look up.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Service;
use super::filters::Filters;
use super::hal;
use super::problem::Problem;
use super::request::Body;
use crate::engine::Definition;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Model {
    model_type: Option<String>,
    model_content: Option<Value>,
}

pub(super) async fn deploy(State(service): State<Arc<Service>>, Body(body): Body<Model>) -> Result<Response, Problem> {
    match body.model_type.as_deref() {
        Some("xml") => {}
        Some("json") => {
            return Err(Problem::bad_request(
                "Models of type 'json' are not supported here; send the BPMN file as 'xml'.",
            ));
        }
        other => return Err(Problem::bad_request(format!("Unknown modelType '{}'.", other.unwrap_or_default()))),
    }
    let content = body.model_content.as_ref().and_then(Value::as_str);
    let content = content.ok_or_else(|| Problem::bad_request("modelContent is required"))?;
    let source = decode(content)?;
    let deployed = {
        let (mut engine, _) = service.engine();
        engine.deploy(&source).map_err(|error| Problem::bad_request(error.to_string()))?
    };
    let first = deployed.first().ok_or_else(|| Problem::bad_request("The model holds no process."))?;
    Ok((StatusCode::CREATED, Json(render(first))).into_response())
}

/// How the content is encoded is not documented: plain XML and base64 are told apart by their first character.
fn decode(content: &str) -> Result<String, Problem> {
    if content.trim_start().starts_with('<') {
        return Ok(content.to_owned());
    }
    let compact: String = content.split_whitespace().collect();
    let bytes = STANDARD
        .decode(compact)
        .map_err(|error| Problem::bad_request(format!("modelContent is neither XML nor base64: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Problem::bad_request("modelContent is not UTF-8"))
}

pub(super) async fn list(State(service): State<Arc<Service>>, filters: Filters) -> Result<Response, Problem> {
    let matches: Vec<Arc<Definition>> = {
        let (engine, _) = service.engine();
        engine
            .definitions()
            .filter(|d| {
                filters.equals("key", Some(&d.key))
                    && filters.equals("processDefinitionId", Some(&d.id))
                    && (!filters.is_set("latestVersion")
                        || engine.latest_definition(&d.key).is_some_and(|latest| latest.id == d.id))
            })
            .cloned()
            .collect()
    };
    let page = hal::page(
        matches,
        &filters,
        &[
            ("key", |a, b| a.key.cmp(&b.key)),
            ("version", |a, b| a.version.cmp(&b.version)),
            ("name", |a, b| a.process.name.cmp(&b.process.name)),
        ],
    )?;
    Ok(page.hal("models", &filters, &service.base_url, |d| render(d)))
}

pub(super) async fn get(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let found = service.engine().0.definitions().find(|d| *d.id == *id).cloned();
    let definition = found.ok_or_else(|| Problem::not_found(format!("Could not find a model with id '{id}'.")))?;
    let mut model = render(&definition);
    model["modelType"] = "xml".into();
    model["modelContent"] = STANDARD.encode(definition.source.as_bytes()).into();
    Ok(Json(model))
}

fn render(definition: &Definition) -> Value {
    json!({
        "id": definition.id,
        "key": definition.key,
        "name": definition.process.name,
        "version": definition.version,
        "deploymentId": definition.deployment,
    })
}
