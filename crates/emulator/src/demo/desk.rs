//! A person's desk: open tasks, and what the person does with them, through the service's REST API.

use std::collections::BTreeMap;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rest;
use crate::Emulator;

/// Most tasks that are read at once; the rest comes when these are done.
const PAGE: usize = 200;

/// A request that did not go as it should.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {problem}")]
pub struct DeskError {
    /// The request.
    pub what: String,
    /// What happened.
    pub problem: String,
}

/// A task that waits for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTask {
    /// Its id.
    pub id: String,
    /// Its name in the model.
    pub name: String,
    /// Its id in the model.
    pub key: String,
    /// The process instance that it belongs to.
    pub instance: String,
    /// The process variables that are text, by name.
    pub variables: BTreeMap<String, String>,
}

/// One process instance as the service itself knows it, whatever its lists show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceFacts {
    /// Its id.
    pub id: String,
    /// Its business key.
    pub business_key: Option<String>,
    /// When it ended; absent while it runs.
    pub end_time: Option<String>,
    /// Why it was deleted, where it was.
    pub delete_reason: Option<String>,
}

/// What the service counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Every instance since its start.
    pub instances: Vec<InstanceFacts>,
    /// Requests by operation.
    pub calls: BTreeMap<String, u64>,
}

impl Totals {
    /// Asks the test controls of a service.
    ///
    /// # Errors
    /// They do not answer, or in an unknown form.
    pub async fn of(emulator: &Emulator) -> Result<Self, DeskError> {
        let url = format!("{}/_stats", emulator.control_url());
        let answer = rest::call(Method::GET, &url, None, None).await?;
        let unreadable = |error: serde_json::Error| DeskError { what: url.clone(), problem: error.to_string() };
        let instances = serde_json::from_value(answer["instances"].clone()).map_err(unreadable)?;
        let operations = answer["operations"].as_object().into_iter().flatten();
        let calls = operations.map(|(name, count)| (name.clone(), count["calls"].as_u64().unwrap_or(0))).collect();
        Ok(Self { instances, calls })
    }
}

/// One person, signed in.
pub struct Desk {
    user: String,
    token: String,
    tasks_url: String,
}

impl Desk {
    /// Signs somebody in, so that the service knows who remarks and decides.
    ///
    /// # Errors
    /// The service gives no token.
    pub async fn sign_in(emulator: &Emulator, user: &str) -> Result<Self, DeskError> {
        let url = emulator.token_url();
        let grant = json!({
            "grant_type": "password",
            "client_id": emulator.client_id(),
            "client_secret": emulator.client_secret(),
            "username": user,
        });
        let answer = rest::call(Method::POST, &url, None, Some(grant)).await?;
        let token = text(&answer["access_token"]);
        Ok(Self { user: user.to_owned(), token, tasks_url: format!("{}/tasks", emulator.runtime_url()) })
    }

    /// Who sits here.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Open tasks, oldest first.
    ///
    /// # Errors
    /// What the service says.
    pub async fn open_tasks(&self) -> Result<Vec<OpenTask>, DeskError> {
        let url = format!("{}?count={PAGE}&includeProcessVariables=true", self.tasks_url);
        let answer = rest::call(Method::GET, &url, Some(&self.token), None).await?;
        let tasks = answer["_embedded"]["tasks"].as_array().into_iter().flatten();
        Ok(tasks.map(open_task).collect())
    }

    /// Takes a task.
    ///
    /// # Errors
    /// What the service says, such as that somebody else has it.
    pub async fn claim(&self, task: &str) -> Result<(), DeskError> {
        self.act(task, json!({ "action": "claim", "assignee": self.user })).await
    }

    /// Remarks something.
    ///
    /// # Errors
    /// What the service says.
    pub async fn comment(&self, task: &str, message: &str) -> Result<(), DeskError> {
        let url = format!("{}/{task}/comments", self.tasks_url);
        rest::call(Method::POST, &url, Some(&self.token), Some(json!({ "message": message }))).await.map(|_| ())
    }

    /// Decides: completes the task with one of the outcomes that the model offers.
    ///
    /// # Errors
    /// What the service says.
    pub async fn decide(&self, task: &str, outcome: &str) -> Result<(), DeskError> {
        self.act(task, json!({ "action": "complete", "outcome": outcome })).await
    }

    /// Completes the task with variables of the process.
    ///
    /// # Errors
    /// What the service says.
    pub async fn complete(&self, task: &str, variables: &Map<String, Value>) -> Result<(), DeskError> {
        let variables: Vec<Value> =
            variables.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        self.act(task, json!({ "action": "complete", "variables": variables })).await
    }

    async fn act(&self, task: &str, action: Value) -> Result<(), DeskError> {
        let url = format!("{}/{task}", self.tasks_url);
        rest::call(Method::POST, &url, Some(&self.token), Some(action)).await.map(|_| ())
    }
}

fn open_task(task: &Value) -> OpenTask {
    let variables =
        task["variables"].as_array().into_iter().flatten().filter_map(|variable| {
            Some((variable["name"].as_str()?.to_owned(), variable["value"].as_str()?.to_owned()))
        });
    OpenTask {
        id: text(&task["id"]),
        name: text(&task["name"]),
        key: text(&task["taskDefinitionKey"]),
        instance: text(&task["processInstanceId"]),
        variables: variables.collect(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
