//! Tasks: what they show, who may take them, how they end.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::client::{Client, HISTORY, RUNTIME, embedded, variable};

const TASKS: &str = "/workflow/v1/tasks";

async fn one_task(client: &Client) -> (String, String) {
    let instance = client.start_ticket("ticket/1", "high").await;
    let task = client.tasks(&instance).await[0]["id"].as_str().unwrap().to_owned();
    (instance, task)
}

fn act(action: &str, assignee: &str) -> Value {
    json!({ "action": action, "assignee": assignee })
}

#[tokio::test]
async fn a_task_shows_what_the_model_says() {
    let client = Client::start().await;
    let (instance, _) = one_task(&client).await;
    let task = &client.tasks(&instance).await[0];
    assert_eq!(task["name"], "Fast-track triage");
    assert_eq!(task["priority"], 50);
    assert_eq!(task["assignments"], json!([{ "group": "team-emea", "type": "candidate" }]));
    let due = task["dueDate"].as_str().unwrap();
    assert!(due.ends_with("+0000"), "{due}");
    let parse = |text: &str| text.replace("+0000", "Z").parse::<jiff::Timestamp>().unwrap();
    let open_for = parse(due).duration_since(parse(task["createTime"].as_str().unwrap()));
    assert_eq!(open_for.as_hours(), 4);
}

#[tokio::test]
async fn a_task_is_claimed_by_one_person() {
    let client = Client::start().await;
    let (instance, task) = one_task(&client).await;
    let path = format!("{TASKS}/{task}");
    assert_eq!(client.post(&path, act("claim", "ann@example.com")).await.status, StatusCode::OK);
    assert_eq!(client.post(&path, act("claim", "ann@example.com")).await.status, StatusCode::OK);
    let other = client.post(&path, act("claim", "bob@example.com")).await;
    assert_eq!((other.status, &other.body["message"]), (StatusCode::CONFLICT, &json!("Task was already claimed")));
    assert_eq!(client.tasks(&instance).await[0]["assignee"], "ann@example.com");
    assert_eq!(client.post(&path, json!({ "action": "unclaim" })).await.status, StatusCode::OK);
    assert_eq!(client.post(&path, act("claim", "bob@example.com")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_outcome_becomes_the_models_variable() {
    let client = Client::start().await;
    for outcome in ["assigned", "Assign"] {
        let (instance, task) = one_task(&client).await;
        assert_eq!(client.complete(&task, json!({ "outcome": "maybe" })).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(client.complete(&task, json!({ "outcome": outcome })).await.status, StatusCode::OK);
        let read = client.get(&format!("{RUNTIME}/process-instances/{instance}?includeProcessVariables=true")).await;
        assert_eq!(variable(&read.body["variables"], "decision"), "assigned");
    }
}

#[tokio::test]
async fn a_second_completion_finds_no_task() {
    let client = Client::start().await;
    let (instance, task) = one_task(&client).await;
    let variables = json!({ "variables": [
        { "name": "decision", "value": "resolved" },
        { "name": "draft", "value": "x", "scope": "local" },
    ] });
    assert_eq!(client.complete(&task, variables).await.status, StatusCode::OK);
    let second = client.complete(&task, json!({})).await;
    assert_eq!((second.status, &second.body["message"]), (StatusCode::NOT_FOUND, &json!("Not found")));
    let read = client.get(&format!("{RUNTIME}/process-instances/{instance}?includeProcessVariables=true")).await;
    assert_eq!(variable(&read.body["variables"], "decision"), "resolved");
    assert_eq!(variable(&read.body["variables"], "draft"), Value::Null);
}

#[tokio::test]
async fn a_delegated_task_goes_back_to_its_owner() {
    let client = Client::start().await;
    let (instance, task) = one_task(&client).await;
    let path = format!("{TASKS}/{task}");
    client.post(&path, act("claim", "ann@example.com")).await;
    assert_eq!(client.post(&path, act("delegate", "bob@example.com")).await.status, StatusCode::OK);
    let shown = &client.tasks(&instance).await[0];
    assert_eq!((&shown["assignee"], &shown["owner"]), (&json!("bob@example.com"), &json!("ann@example.com")));
    assert_eq!(shown["delegationState"], "pending");
    assert_eq!(client.complete(&task, json!({})).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(client.post(&path, act("resolve", "bob@example.com")).await.status, StatusCode::OK);
    assert_eq!(client.tasks(&instance).await[0]["assignee"], "ann@example.com");
    assert_eq!(client.complete(&task, json!({ "outcome": "resolved" })).await.status, StatusCode::OK);
}

#[tokio::test]
async fn tasks_are_found_by_their_filters() {
    let client = Client::start().await;
    client.start_ticket("ticket/1", "high").await;
    client.start_ticket("ticket/2", "normal").await;
    for (query, expected) in [
        ("", 2),
        ("?candidateGroup=team-emea", 2),
        ("?candidateGroup=team-apac", 0),
        ("?candidateGroups=team-apac,team-emea", 2),
        ("?name=Triage", 1),
        ("?nameLike=%25riage", 2),
        ("?processInstanceBusinessKey=ticket%2F2", 1),
        ("?processDefinitionKey=order", 0),
        ("?unassigned=true", 2),
        ("?assignee=ann", 0),
        ("?dueBefore=2020-01-01T00:00:00Z", 0),
        ("?dueAfter=2020-01-01T00:00:00Z", 2),
        ("?misspelt=anything", 2),
    ] {
        let found = embedded(&client.get(&format!("{TASKS}{query}")).await, "tasks");
        assert_eq!(found.len(), expected, "{query}");
    }
    let newest = client.get(&format!("{TASKS}?sort=createTime&order=desc")).await;
    assert_eq!(embedded(&newest, "tasks")[0]["taskDefinitionKey"], "triage");
}

#[tokio::test]
async fn an_overdue_task_is_taken_over_by_the_lead() {
    let client = Client::start().await;
    let (instance, task) = one_task(&client).await;
    client.emulator.faults().skip(Duration::from_secs(8 * 3600 - 60));
    assert_eq!(client.tasks(&instance).await[0]["id"], *task);
    client.emulator.faults().skip(Duration::from_secs(60));
    let open = client.tasks(&instance).await;
    assert_eq!((open.len(), &open[0]["taskDefinitionKey"]), (1, &json!("leadDecision")));
    assert_eq!(client.complete(&task, json!({})).await.status, StatusCode::NOT_FOUND);
    let past = client.get(&format!("{HISTORY}/historic-task-instances?taskId={task}")).await;
    assert_eq!(embedded(&past, "historic-task-instances")[0]["deleteReason"], "boundary event (urgentOverdue)");
}

#[tokio::test]
async fn remarks_on_a_task_are_remarks_on_its_instance() {
    let client = Client::start().await;
    let (instance, task) = one_task(&client).await;
    let added = client.post(&format!("{TASKS}/{task}/comments"), json!({ "message": "called back" })).await;
    assert_eq!((added.status, &added.body["taskId"]), (StatusCode::CREATED, &json!(task)));
    assert_eq!(embedded(&client.get(&format!("{TASKS}/{task}/comments")).await, "comments").len(), 1);
    let on_instance = client.get(&format!("{RUNTIME}/process-instances/{instance}/comments")).await;
    assert_eq!(embedded(&on_instance, "comments")[0]["message"], "called back");
}

#[tokio::test]
async fn a_task_can_be_edited() {
    let client = Client::start().await;
    let (_, task) = one_task(&client).await;
    let edited = client.put(&format!("{TASKS}/{task}"), json!({ "assignee": "ann@example.com", "priority": 90 })).await;
    assert_eq!((&edited.body["assignee"], &edited.body["priority"]), (&json!("ann@example.com"), &json!(90)));
    assert_eq!(edited.body["name"], "Fast-track triage");
    let links = client.get(&format!("{TASKS}/{task}/assignments")).await;
    assert_eq!(links.body[1], json!({ "user": "ann@example.com", "type": "assignee" }));
}

#[tokio::test]
async fn wrong_actions_are_refused() {
    let client = Client::start().await;
    let (_, task) = one_task(&client).await;
    assert_eq!(client.post(&format!("{TASKS}/nope"), json!({})).await.status, StatusCode::NOT_FOUND);
    for body in [json!({ "action": "explode" }), json!({}), json!({ "action": "delegate" })] {
        assert_eq!(client.post(&format!("{TASKS}/{task}"), body).await.status, StatusCode::BAD_REQUEST);
    }
}
