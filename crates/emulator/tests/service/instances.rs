//! Process instances: start, look up, variables, suspend, terminate, remarks.

use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, RUNTIME, embedded, ticket, variable};

const INSTANCES: &str = "/workflow/v1/process-instances";

#[tokio::test]
async fn a_start_runs_to_the_first_wait_states_before_it_answers() {
    let client = Client::start().await;
    let mut body = ticket("ticket/1", "high");
    body["returnVariables"] = json!(true);
    let started = client.post(INSTANCES, body).await;
    assert_eq!(started.status, StatusCode::CREATED);
    assert_eq!(started.body["businessKey"], "ticket/1");
    assert_eq!(variable(&started.body["variables"], "priority"), "high");
    assert_eq!(started.body.get("processDefinitionId"), None);
    let id = started.body["id"].as_str().unwrap();
    let tasks = client.tasks(id).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0]["taskDefinitionKey"], "urgentTriage");
    let waiting = format!("{INSTANCES}/executions?processInstanceId={id}&messageEventSubscriptionName=ticketUpdated");
    assert_eq!(embedded(&client.get(&waiting).await, "executions").len(), 1);
}

#[tokio::test]
async fn exactly_one_selector_is_accepted() {
    let client = Client::start().await;
    for body in [
        json!({}),
        json!({ "processDefinitionKey": "one_part", "message": "orderPlaced" }),
        json!({ "processDefinitionKey": "one_part", "processDefinitionId": "one_part:1:x" }),
        json!({ "processDefinitionKey": "nope" }),
        json!({ "processDefinitionId": "nope:1:x" }),
        json!({ "message": "nope" }),
    ] {
        let answer = client.post(INSTANCES, body.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.body["message"], "Bad request");
        assert!(answer.body["exception"].is_string(), "{body}");
    }
    assert_eq!(client.stats().await["instances"], json!([]));
}

#[tokio::test]
async fn a_definition_can_be_started_by_its_id() {
    let client = Client::start().await;
    let models = embedded(&client.get(&format!("{RUNTIME}/runtime/models?key=one_part")).await, "models");
    let started = client.post(INSTANCES, json!({ "processDefinitionId": models[0]["id"] })).await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.body);
}

#[tokio::test]
async fn business_keys_are_not_unique_and_can_be_looked_up() {
    let client = Client::start().await;
    let first = client.start_ticket("ticket/7", "high").await;
    let second = client.start_ticket("ticket/7", "normal").await;
    client.start_ticket("ticket/8", "high").await;
    let found = client.get(&format!("{INSTANCES}?businessKey=ticket%2F7&includeProcessVariables=true")).await;
    let found = embedded(&found, "process-instances");
    let ids: Vec<&str> = found.iter().map(|i| i["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [first.as_str(), second.as_str()]);
    assert_eq!(variable(&found[1]["variables"], "xcEventId"), "tickets/ticket/7");
    let other = client.get(&format!("{INSTANCES}?businessKey=ticket%2F7&processDefinitionKey=order")).await;
    assert!(embedded(&other, "process-instances").is_empty());
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_behind() {
    let client = Client::start().await;
    let answer = client.post(INSTANCES, json!({ "processDefinitionKey": "ticket_triage", "businessKey": "t" })).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.body["exception"].as_str().unwrap().contains("priority"), "{}", answer.body);
    let long = client.post(INSTANCES, ticket(&"k".repeat(256), "high")).await;
    assert_eq!(long.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(client.stats().await["instances"], json!([]));
}

#[tokio::test]
async fn variables_have_the_documented_types_and_losses() {
    let client = Client::start().await;
    let cases = [
        (json!({ "value": "a" }), "string", json!("a")),
        (json!({ "value": 5 }), "integer", json!(5)),
        (json!({ "value": 3_000_000_000_i64 }), "long", json!(3_000_000_000_i64)),
        (json!({ "value": 1.5 }), "double", json!(1.5)),
        (json!({ "value": { "a": [1] } }), "json", json!({ "a": [1] })),
        (json!({ "type": "integer", "value": 3_000_000_000_i64 }), "integer", json!(-1_294_967_296)),
        (json!({ "type": "long", "value": 3.7 }), "long", json!(3)),
        (json!({ "type": "date", "value": "2026-01-02T03:04:05.678+01:00" }), "date", json!("2026-01-02T02:04:05Z")),
        (json!({ "type": "json", "value": { "b": 1 } }), "json", json!({ "b": 1 })),
    ];
    for (number, (input, kind, value)) in cases.into_iter().enumerate() {
        let mut input = input;
        input["name"] = json!("v");
        let body = json!({ "processDefinitionKey": "one_part", "variables": [input], "returnVariables": true });
        let answer = client.post(INSTANCES, body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "case {number}: {}", answer.body);
        assert_eq!(answer.body["variables"][0]["type"], kind, "case {number}");
        assert_eq!(answer.body["variables"][0]["value"], value, "case {number}");
    }
    for input in [
        json!({ "name": "v", "type": "integer", "value": "abc" }),
        json!({ "name": "v", "type": "string", "value": 5 }),
        json!({ "name": "v", "type": "nonsense", "value": 5 }),
        json!({ "name": "v", "type": "date", "value": "yesterday" }),
        json!({ "value": 5 }),
    ] {
        let body = json!({ "processDefinitionKey": "one_part", "variables": [input] });
        assert_eq!(client.post(INSTANCES, body).await.status, StatusCode::BAD_REQUEST, "{input}");
    }
}

#[tokio::test]
async fn variables_are_created_once_and_then_set_by_name() {
    let client = Client::start().await;
    let id = client.start_ticket("ticket/1", "high").await;
    let variables = format!("{INSTANCES}/{id}/variables");
    let both = json!([{ "name": "mark", "value": 1 }, { "name": "other", "value": 2 }]);
    assert_eq!(client.post(&variables, json!([{ "name": "mark", "value": 1 }])).await.status, StatusCode::CREATED);
    assert_eq!(client.post(&variables, both).await.status, StatusCode::CONFLICT);
    let names = embedded(&client.get(&format!("{variables}?count=50")).await, "variables");
    assert!(names.iter().all(|v| v["name"] != "other"), "a refused list must write nothing");
    assert_eq!(client.put(&format!("{variables}/mark"), json!({ "value": 9 })).await.body["value"], 9);
    assert_eq!(client.put(&format!("{variables}/nope"), json!({ "value": 9 })).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_terminated_instance_is_gone_from_the_runtime() {
    let client = Client::start().await;
    let id = client.start_ticket("ticket/1", "high").await;
    let path = format!("{INSTANCES}/{id}");
    assert_eq!(client.delete(&format!("{path}?deleteReason=obsolete")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.delete(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.get(&format!("{path}/variables")).await.status, StatusCode::NOT_FOUND);
    assert!(client.tasks(&id).await.is_empty());
    let history = client.get(&format!("/workflow-history/v1/historic-process-instances/{id}")).await;
    assert_eq!(history.body["deleteReason"], "obsolete");
    assert_eq!(history.body.get("endActivityId"), None);
}

#[tokio::test]
async fn the_statuses_of_terminate_are_switches() {
    let client = Client::start().await;
    client.emulator.faults().switch(|s| {
        s.delete_status = 200;
        s.repeated_delete_status = 204;
    });
    let id = client.start_ticket("ticket/1", "high").await;
    assert_eq!(client.delete(&format!("{INSTANCES}/{id}")).await.status, StatusCode::OK);
    assert_eq!(client.delete(&format!("{INSTANCES}/{id}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.delete(&format!("{INSTANCES}/never-there")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_suspended_instance_does_not_move() {
    let client = Client::start().await;
    let id = client.start_ticket("ticket/1", "high").await;
    let path = format!("{INSTANCES}/{id}");
    let suspended = client.put(&path, json!({ "action": "suspend", "comment": { "message": "wait" } })).await;
    assert_eq!((suspended.status, &suspended.body["suspended"]), (StatusCode::OK, &json!(true)));
    assert_eq!(client.put(&path, json!({ "action": "suspend" })).await.status, StatusCode::CONFLICT);
    client.emulator.faults().skip(std::time::Duration::from_secs(9 * 3600));
    assert_eq!(client.tasks(&id).await[0]["taskDefinitionKey"], "urgentTriage");
    assert_eq!(client.put(&path, json!({ "action": "activate" })).await.status, StatusCode::OK);
    assert_eq!(client.tasks(&id).await[0]["taskDefinitionKey"], "leadDecision");
    assert_eq!(client.put(&path, json!({ "action": "explode" })).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn comments_carry_their_author_and_can_be_deleted() {
    let client = Client::start().await;
    let id = client.start_ticket("ticket/1", "high").await;
    let path = format!("{INSTANCES}/{id}/comments");
    let comment = client.post(&path, json!({ "includeUserIds": false, "message": "looks urgent" })).await;
    assert_eq!((comment.status, &comment.body["author"]), (StatusCode::CREATED, &json!("xconnector")));
    let all = embedded(&client.get(&path).await, "comments");
    assert_eq!((all.len(), &all[0]["message"]), (1, &json!("looks urgent")));
    let one = format!("{path}/{}", comment.body["id"].as_str().unwrap());
    assert_eq!(client.delete(&one).await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.delete(&one).await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.post(&path, json!({})).await.status, StatusCode::BAD_REQUEST);
}
