//! History: the audit of a finished ticket, the lag, the filters.

use std::time::Duration;

use emulator::Switches;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::client::{Client, HISTORY, RUNTIME, embedded, variable};

const INSTANCES: &str = "/workflow-history/v1/historic-process-instances";

/// Starts a ticket, decides it with a remark, and publishes its outcome.
async fn decided_ticket(client: &Client, key: &str) -> String {
    let instance = client.start_ticket(key, "high").await;
    let task = client.tasks(&instance).await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("{RUNTIME}/tasks/{task}");
    client.post(&path, json!({ "action": "claim", "assignee": "ann@example.com" })).await;
    client.post(&format!("{path}/comments"), json!({ "message": "done by phone" })).await;
    client.complete(&task, json!({ "outcome": "resolved" })).await;
    let job = client.acquire("tickets.outcome", "w1", 1).await.remove(0);
    client.job(&job["id"], "complete", json!({ "workerId": "w1" })).await;
    client.settle();
    instance
}

async fn list(client: &Client, query: &str) -> Vec<Value> {
    embedded(&client.get(&format!("{INSTANCES}?{query}")).await, "historic-process-instances")
}

#[tokio::test]
async fn a_finished_ticket_can_be_audited() {
    let client = Client::start().await;
    let id = decided_ticket(&client, "ticket/1").await;
    let read = client.get(&format!("{INSTANCES}/{id}?includeProcessVariables=true")).await;
    assert_eq!(read.status, StatusCode::OK);
    assert!(read.body["endTime"].is_string() && read.body["durationInMillis"].is_number());
    assert_eq!(read.body["endActivityId"], "ticketClosed");
    assert_eq!(read.body["deleteReason"], "terminate end event (ticketClosed)");
    assert_eq!(variable(&read.body["variables"], "decision"), "resolved");
    assert!(read.body["processDefinitionId"].as_str().unwrap().starts_with("ticket_triage:1:"));
    let tasks =
        client.get(&format!("{HISTORY}/historic-task-instances?processInstanceId={id}&includeTaskComments=true")).await;
    let tasks = embedded(&tasks, "historic-task-instances");
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0]["assignee"], "ann@example.com");
    assert!(tasks[0]["claimTime"].is_string() && tasks[0]["endTime"].is_string());
    assert_eq!(tasks[0]["comments"][0]["message"], "done by phone");
}

#[tokio::test]
async fn history_lags_behind_by_the_switch() {
    let client = Client::with(Switches { history_lag_ms: 30_000, ..Switches::default() }).await;
    let id = client.start_ticket("ticket/1", "high").await;
    assert_eq!(client.get(&format!("{INSTANCES}/{id}")).await.status, StatusCode::NOT_FOUND);
    client.emulator.faults().skip(Duration::from_secs(30));
    assert_eq!(client.get(&format!("{INSTANCES}/{id}")).await.status, StatusCode::OK);
    client.delete(&format!("{RUNTIME}/process-instances/{id}")).await;
    assert_eq!(client.get(&format!("{RUNTIME}/process-instances/{id}")).await.status, StatusCode::NOT_FOUND);
    let late = client.get(&format!("{INSTANCES}/{id}")).await;
    assert_eq!(late.body.get("endTime"), None, "the end is not visible yet");
    client.emulator.faults().skip(Duration::from_secs(30));
    assert!(client.get(&format!("{INSTANCES}/{id}")).await.body["endTime"].is_string());
}

#[tokio::test]
async fn a_shorter_lag_never_brings_an_older_picture_back() {
    let client = Client::with(Switches { history_lag_ms: 30_000, ..Switches::default() }).await;
    let id = client.start_ticket("ticket/1", "high").await;
    client.emulator.faults().switch(|s| s.history_lag_ms = 0);
    client.delete(&format!("{RUNTIME}/process-instances/{id}")).await;
    client.emulator.faults().skip(Duration::from_secs(60));
    assert!(client.get(&format!("{INSTANCES}/{id}")).await.body["endTime"].is_string());
}

#[tokio::test]
async fn running_instances_are_listed_unless_the_switch_says_otherwise() {
    let client = Client::start().await;
    let finished = decided_ticket(&client, "ticket/1").await;
    let running = client.start_ticket("ticket/1", "high").await;
    assert_eq!(list(&client, "businessKey=ticket%2F1").await.len(), 2);
    assert_eq!(list(&client, "finished=true").await[0]["id"], *finished);
    assert_eq!(list(&client, "finished=false").await[0]["id"], *running);
    client.emulator.faults().switch(|s| s.history_lists_running = false);
    assert_eq!(list(&client, "businessKey=ticket%2F1").await.len(), 1);
    assert_eq!(client.get(&format!("{INSTANCES}/{running}")).await.status, StatusCode::NOT_FOUND);
    let tasks = client.get(&format!("{HISTORY}/historic-task-instances?processInstanceId={running}")).await;
    assert!(embedded(&tasks, "historic-task-instances").is_empty());
}

#[tokio::test]
async fn history_is_found_by_its_filters() {
    let client = Client::start().await;
    let id = decided_ticket(&client, "ticket/1").await;
    client.start_ticket("case/2", "high").await;
    for (query, expected) in [
        (format!("processInstanceId={id}"), 1),
        ("processDefinitionKey=ticket_triage".into(), 2),
        ("processDefinitionKey=order".into(), 0),
        ("businessKeyLike=ticket%25".into(), 1),
        ("finishedAfter=2020-01-01T00:00:00Z".into(), 1),
        ("finishedBefore=2020-01-01T00:00:00Z".into(), 0),
        ("startedAfter=2020-01-01T00:00:00Z".into(), 2),
        ("superProcessInstanceId=x".into(), 0),
    ] {
        assert_eq!(list(&client, &query).await.len(), expected, "{query}");
    }
    let broken = client.get(&format!("{INSTANCES}?finishedAfter=yesterday")).await;
    assert_eq!(broken.status, StatusCode::INTERNAL_SERVER_ERROR);
}
