//! A plain HTTP client and the emulator that it talks to.

use emulator::{Emulator, Options, Switches};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

pub(crate) const RUNTIME: &str = "/workflow/v1";
pub(crate) const HISTORY: &str = "/workflow-history/v1";
pub(crate) const JOBS: &str = "/workflow-job/v1";

pub(crate) struct Client {
    pub(crate) emulator: Emulator,
    pub(crate) http: reqwest::Client,
    pub(crate) token: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) headers: reqwest::header::HeaderMap,
}

impl Client {
    /// An emulator with every model of these tests, and a client that holds a token.
    pub(crate) async fn start() -> Self {
        Self::with(Switches { token_expires_in_s: 30 * 24 * 3600, ..Switches::default() }).await
    }

    pub(crate) async fn with(switches: Switches) -> Self {
        let emulator = Emulator::start(Options { switches, ..Options::default() }).await.unwrap();
        for model in [
            include_str!("../../../../flows/tickets/ticket_triage.bpmn"),
            include_str!("../../models/order.bpmn"),
            include_str!("../../models/parts.bpmn"),
        ] {
            emulator.deploy(model).unwrap();
        }
        let http = reqwest::Client::new();
        let mut client = Self { emulator, http, token: String::new() };
        client.token = client.fetch_token().await;
        client
    }

    pub(crate) async fn fetch_token(&self) -> String {
        let grant = json!({
            "grant_type": "client_credentials",
            "client_id": self.emulator.client_id(),
            "client_secret": self.emulator.client_secret(),
        });
        let answer = self.http.post(self.emulator.token_url()).json(&grant).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let body: Value = answer.json().await.unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn try_send(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Result<Answer> {
        let url = format!("{}{path}", self.emulator.base_url());
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_send(Method::GET, path, None).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_send(Method::POST, path, Some(body)).await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.try_send(Method::PUT, path, Some(body)).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.try_send(Method::DELETE, path, None).await.unwrap()
    }

    /// Starts a ticket and returns the instance's id.
    pub(crate) async fn start_ticket(&self, key: &str, priority: &str) -> String {
        let answer = self.post(&format!("{RUNTIME}/process-instances"), ticket(key, priority)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// Starts an instance without variables.
    pub(crate) async fn start_process(&self, key: &str) -> String {
        let answer = self.post(&format!("{RUNTIME}/process-instances"), json!({ "processDefinitionKey": key })).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// Open tasks of an instance.
    pub(crate) async fn tasks(&self, instance: &str) -> Vec<Value> {
        let path = format!("{RUNTIME}/tasks?processInstanceId={instance}&includeTaskAssignments=true");
        embedded(&self.get(&path).await, "tasks")
    }

    pub(crate) async fn complete(&self, task: &str, body: Value) -> Answer {
        let mut request = json!({ "action": "complete" });
        request.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        self.post(&format!("{RUNTIME}/tasks/{task}"), request).await
    }

    /// Acquires jobs; the default envelope is `content`.
    pub(crate) async fn acquire(&self, topic: &str, worker: &str, number: usize) -> Vec<Value> {
        let body = json!({ "topic": topic, "workerId": worker, "lockDuration": "PT1M", "numberOfTasks": number });
        let answer = self.post(&format!("{JOBS}/external-jobs"), body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body["content"].as_array().unwrap().clone()
    }

    pub(crate) async fn job(&self, id: &Value, action: &str, body: Value) -> Answer {
        self.post(&format!("{JOBS}/external-jobs/{}/{action}", id.as_str().unwrap()), body).await
    }

    /// Waits until a job's continuation has run: the service says that it comes after the answer.
    pub(crate) fn settle(&self) {
        self.emulator.faults().skip(std::time::Duration::from_millis(10));
    }

    pub(crate) async fn stats(&self) -> Value {
        self.http.get(format!("{}/_stats", self.emulator.control_url())).send().await.unwrap().json().await.unwrap()
    }
}

pub(crate) fn ticket(key: &str, priority: &str) -> Value {
    json!({
        "processDefinitionKey": "ticket_triage",
        "businessKey": key,
        "variables": [
            { "name": "priority", "type": "string", "value": priority },
            { "name": "decideWithin", "type": "string", "value": if priority == "high" { "PT8H" } else { "PT48H" } },
            { "name": "team", "type": "string", "value": "team-emea" },
            { "name": "xcEventId", "type": "string", "value": format!("tickets/{key}") },
        ],
    })
}

/// Rows of a HAL list; an empty list has no `_embedded`.
pub(crate) fn embedded(answer: &Answer, key: &str) -> Vec<Value> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["_embedded"][key].as_array().cloned().unwrap_or_default()
}

/// Value of a variable in a list of variables.
pub(crate) fn variable(variables: &Value, name: &str) -> Value {
    let found = variables.as_array().unwrap().iter().find(|v| v["name"] == name);
    found.map_or(Value::Null, |v| v["value"].clone())
}
