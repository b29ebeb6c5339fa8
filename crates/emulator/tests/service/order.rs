//! The constructs that the tickets flow does not use.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::client::{Client, HISTORY, RUNTIME, embedded};

async fn place(client: &Client) -> String {
    let variables = json!([{ "name": "orderNumber", "value": 4711 }, { "name": "region", "value": "emea" }]);
    let body = json!({ "message": "orderPlaced", "businessKey": "order/4711", "variables": variables });
    let started = client.post(&format!("{RUNTIME}/process-instances"), body).await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.body);
    started.body["id"].as_str().unwrap().to_owned()
}

fn keys(tasks: &[Value]) -> Vec<&str> {
    tasks.iter().map(|t| t["taskDefinitionKey"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_message_start_a_timer_and_a_join_lead_to_the_next_task() {
    let client = Client::start().await;
    let instance = place(&client).await;
    let job = client.acquire("orders.pay", "w1", 1).await.remove(0);
    client.job(&job["id"], "complete", json!({ "workerId": "w1" })).await;
    client.settle();
    assert!(client.tasks(&instance).await.is_empty(), "the cooling-off period is not over");
    client.emulator.faults().skip(Duration::from_secs(3600));
    let tasks = client.tasks(&instance).await;
    assert_eq!(keys(&tasks), ["pack"]);
    let groups: Vec<&Value> = tasks[0]["assignments"].as_array().unwrap().iter().map(|a| &a["group"]).collect();
    assert_eq!(groups, ["warehouse", "emea-warehouse"]);
}

#[tokio::test]
async fn a_bpmn_error_takes_the_boundary_that_catches_it() {
    let client = Client::start().await;
    let instance = place(&client).await;
    let job = client.acquire("orders.pay", "w1", 1).await.remove(0);
    let error = json!({ "workerId": "w1", "errorCode": "paymentRefused" });
    assert_eq!(client.job(&job["id"], "bpmnError", error).await.status, StatusCode::NO_CONTENT);
    client.settle();
    let tasks = client.tasks(&instance).await;
    assert_eq!(keys(&tasks), ["clarify"]);
    assert_eq!(tasks[0]["name"], "Clarify payment of 4711");
    assert_eq!(tasks[0]["assignee"], "xconnector");
}

#[tokio::test]
async fn a_bpmn_error_that_nobody_catches_is_parked_in_the_end() {
    let client = Client::start().await;
    let instance = place(&client).await;
    let job = client.acquire("orders.pay", "w1", 1).await.remove(0);
    let error = json!({ "workerId": "w1", "errorCode": "somethingElse" });
    assert_eq!(client.job(&job["id"], "bpmnError", error).await.status, StatusCode::NO_CONTENT);
    client.emulator.faults().skip(Duration::from_secs(30));
    assert_eq!(client.stats().await["deadJobs"], 1);
    assert!(client.tasks(&instance).await.is_empty());
}

#[tokio::test]
async fn a_timer_that_does_not_interrupt_adds_a_branch() {
    let client = Client::start().await;
    let instance = place(&client).await;
    let job = client.acquire("orders.pay", "w1", 1).await.remove(0);
    client.job(&job["id"], "complete", json!({ "workerId": "w1" })).await;
    client.emulator.faults().skip(Duration::from_secs(3600));
    client.emulator.faults().skip(Duration::from_secs(1800));
    let tasks = client.tasks(&instance).await;
    assert_eq!(keys(&tasks), ["pack", "remind"]);
    for task in &tasks {
        assert_eq!(client.complete(task["id"].as_str().unwrap(), json!({})).await.status, StatusCode::OK);
    }
    let path = format!("{RUNTIME}/process-instances/executions?processInstanceId={instance}&activityId=arrive");
    let execution = embedded(&client.get(&path).await, "executions")[0]["id"].as_str().unwrap().to_owned();
    let message = json!({ "action": "messageEventReceived", "messageName": "goodsReceived" });
    let delivered = client.put(&format!("{RUNTIME}/process-instances/executions/{execution}"), message.clone()).await;
    assert_eq!(delivered.status, StatusCode::NO_CONTENT, "the execution ended with the delivery");
    let again = client.put(&format!("{RUNTIME}/process-instances/executions/{execution}"), message).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    let history = client.get(&format!("{HISTORY}/historic-process-instances/{instance}")).await;
    assert_eq!(history.body["endActivityId"], "done");
    assert_eq!(history.body.get("deleteReason"), None);
}

#[tokio::test]
async fn a_process_with_only_a_message_start_can_be_started_by_key() {
    let client = Client::start().await;
    let instance = client.start_process("order").await;
    assert_eq!(client.acquire("orders.pay", "w1", 1).await[0]["processInstanceId"], *instance);
}
