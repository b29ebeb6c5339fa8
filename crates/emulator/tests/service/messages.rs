//! Messages to a waiting execution, and those that nobody waits for.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::client::{Answer, Client, RUNTIME, embedded, variable};

async fn waiting(client: &Client, instance: &str, message: &str) -> Vec<Value> {
    let query = format!("processInstanceId={instance}&messageEventSubscriptionName={message}");
    embedded(&client.get(&format!("{RUNTIME}/process-instances/executions?{query}")).await, "executions")
}

async fn deliver(client: &Client, execution: &Value, message: &str, mark: &str) -> Answer {
    let path = format!("{RUNTIME}/process-instances/executions/{}", execution.as_str().unwrap());
    let variables = json!([{ "name": "mark", "value": mark }]);
    let body = json!({ "action": "messageEventReceived", "messageName": message, "variables": variables });
    client.put(&path, body).await
}

#[tokio::test]
async fn updates_are_taken_in_again_and_again() {
    let client = Client::start().await;
    let instance = client.start_ticket("ticket/1", "high").await;
    for mark in ["first", "second"] {
        let execution = &waiting(&client, &instance, "ticketUpdated").await[0];
        assert_eq!(execution["parentId"], *instance);
        let delivered = deliver(&client, &execution["id"], "ticketUpdated", mark).await;
        assert_eq!((delivered.status, &delivered.body["id"]), (StatusCode::OK, &execution["id"]));
        let variables =
            client.get(&format!("{RUNTIME}/process-instances/{instance}?includeProcessVariables=true")).await;
        assert_eq!(variable(&variables.body["variables"], "mark"), mark);
    }
}

#[tokio::test]
async fn a_message_that_nobody_waits_for_is_refused_and_not_kept() {
    let client = Client::start().await;
    let instance = client.start_ticket("ticket/1", "high").await;
    let execution = waiting(&client, &instance, "ticketUpdated").await[0]["id"].clone();
    let wrong = deliver(&client, &execution, "somethingElse", "x").await;
    assert_eq!(wrong.status, StatusCode::INTERNAL_SERVER_ERROR);
    let text = wrong.body["exception"].as_str().unwrap();
    assert!(text.contains("does not have a subscription to a message event"), "{text}");
    assert_eq!(
        deliver(&client, &json!(instance), "ticketUpdated", "x").await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert_eq!(deliver(&client, &json!("nope"), "ticketUpdated", "x").await.status, StatusCode::NOT_FOUND);
    client.emulator.faults().switch(|s| s.unsubscribed_status = 404);
    assert_eq!(deliver(&client, &execution, "somethingElse", "x").await.status, StatusCode::NOT_FOUND);
    assert!(waiting(&client, &instance, "somethingElse").await.is_empty());
}

#[tokio::test]
async fn a_suspended_instance_takes_no_message() {
    let client = Client::start().await;
    let instance = client.start_ticket("ticket/1", "high").await;
    let execution = waiting(&client, &instance, "ticketUpdated").await[0]["id"].clone();
    client.put(&format!("{RUNTIME}/process-instances/{instance}"), json!({ "action": "suspend" })).await;
    let refused = deliver(&client, &execution, "ticketUpdated", "x").await;
    assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(refused.body["exception"].as_str().unwrap().contains("suspended"));
}

#[tokio::test]
async fn executions_are_listed_with_their_root() {
    let client = Client::start().await;
    let instance = client.start_ticket("ticket/1", "high").await;
    client.start_ticket("ticket/2", "high").await;
    let list = format!("{RUNTIME}/process-instances/executions?processInstanceId={instance}");
    let all = embedded(&client.get(&list).await, "executions");
    let at: Vec<&Value> = all.iter().map(|e| &e["activityId"]).collect();
    assert_eq!(at, [&Value::Null, &json!("urgentTriage"), &json!("urgentOverdue"), &json!("ticketUpdate")]);
    assert_eq!(all[2]["parentId"], all[1]["id"], "a boundary timer hangs on the task that it watches");
    assert_eq!(all.iter().filter(|e| e.get("parentId").is_none()).count(), 1);
    let at = embedded(&client.get(&format!("{list}&activityId=ticketUpdate")).await, "executions");
    assert_eq!(at.len(), 1);
    let everywhere = format!("{RUNTIME}/process-instances/executions?messageEventSubscriptionName=ticketUpdated");
    assert_eq!(embedded(&client.get(&everywhere).await, "executions").len(), 2);
}

#[tokio::test]
async fn wrong_requests_are_told_apart() {
    let client = Client::start().await;
    let instance = client.start_ticket("ticket/1", "high").await;
    let execution = waiting(&client, &instance, "ticketUpdated").await[0]["id"].clone();
    let path = format!("{RUNTIME}/process-instances/executions/{}", execution.as_str().unwrap());
    for body in [json!({ "action": "messageEventReceived" }), json!({ "action": "explode" }), json!({})] {
        assert_eq!(client.put(&path, body).await.status, StatusCode::BAD_REQUEST);
    }
    let signal = json!({ "action": "signalEventReceived", "signalName": "s" });
    assert_eq!(client.put(&path, signal).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    // The real engine moves a waiting message event on without its message; clients must never send this.
    assert_eq!(client.put(&path, json!({ "action": "trigger" })).await.status, StatusCode::OK);
}
