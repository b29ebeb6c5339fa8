//! External-worker jobs: locks, answers, failures, and what exclusive jobs do to a topic.

use std::time::Duration;

use emulator::Switches;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::client::{Client, JOBS, RUNTIME, embedded, variable};

fn worker(name: &str) -> Value {
    json!({ "workerId": name })
}

#[tokio::test]
async fn a_job_carries_what_a_worker_needs() {
    let client = Client::start().await;
    let instance = client.start_ticket("ticket/1", "high").await;
    let task = client.tasks(&instance).await[0]["id"].as_str().unwrap().to_owned();
    assert!(client.acquire("tickets.outcome", "w1", 5).await.is_empty());
    client.complete(&task, json!({ "outcome": "resolved" })).await;
    let jobs = client.acquire("tickets.outcome", "w1", 5).await;
    assert_eq!(jobs.len(), 1);
    let job = &jobs[0];
    assert_eq!((&job["topic"], &job["retries"]), (&json!("tickets.outcome"), &json!(3)));
    assert_eq!((&job["elementId"], &job["lockOwner"]), (&json!("publishOutcome"), &json!("w1")));
    assert_eq!(job["processInstanceId"], *instance);
    assert_ne!(job["id"], job["correlationId"]);
    assert_eq!(variable(&job["variables"], "decision"), "resolved");
    assert_eq!(job.get("businessKey"), None);
}

#[tokio::test]
async fn the_process_moves_on_after_the_answer() {
    let client = Client::with(Switches { async_delay_ms: 5_000, ..Switches::default() }).await;
    let instance = client.start_process("one_part").await;
    let job = client.acquire("parts.one", "w1", 1).await.remove(0);
    let done = json!({ "workerId": "w1", "variables": [{ "name": "good", "value": true }] });
    assert_eq!(client.job(&job["id"], "complete", done.clone()).await.status, StatusCode::NO_CONTENT);
    let path = format!("{RUNTIME}/process-instances/{instance}");
    assert_eq!(client.get(&path).await.status, StatusCode::OK);
    assert_eq!(client.job(&job["id"], "complete", done).await.status, StatusCode::NOT_FOUND);
    client.emulator.faults().skip(Duration::from_secs(5));
    assert_eq!(client.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_the_holder_may_answer() {
    let client = Client::start().await;
    client.start_process("one_part").await;
    let job = client.acquire("parts.one", "w1", 1).await.remove(0);
    for action in ["complete", "fail", "bpmnError", "unacquire"] {
        let refused = client.job(&job["id"], action, worker("w2")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{action}");
        assert_eq!(refused.body["exception"], "w2 does not hold a lock on the requested job", "{action}");
        assert_eq!(client.job(&json!("nope"), action, worker("w1")).await.status, StatusCode::NOT_FOUND, "{action}");
        assert_eq!(client.job(&job["id"], action, json!({})).await.status, StatusCode::BAD_REQUEST, "{action}");
    }
    let wrong = json!({ "workerId": "w1", "variables": [{ "name": "good", "type": "integer", "value": "x" }] });
    assert_eq!(client.job(&job["id"], "complete", wrong).await.status, StatusCode::BAD_REQUEST);
    let right = json!({ "workerId": "w1", "variables": [{ "name": "good", "value": true }] });
    assert_eq!(client.job(&job["id"], "complete", right).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_expired_job_comes_back_with_the_sweep_under_its_ids() {
    let client = Client::start().await;
    client.start_process("one_part").await;
    let first = client.acquire("parts.one", "w1", 1).await.remove(0);
    client.emulator.faults().skip(Duration::from_secs(59));
    assert!(client.acquire("parts.one", "w2", 1).await.is_empty());
    // One minute of lock, then up to one minute until the next sweep.
    client.emulator.faults().skip(Duration::from_secs(61));
    let again = client.acquire("parts.one", "w2", 1).await.remove(0);
    for field in ["id", "correlationId", "retries"] {
        assert_eq!(again[field], first[field], "{field}");
    }
    assert_eq!(client.job(&first["id"], "complete", worker("w1")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_expired_job_that_is_not_swept_yet_can_still_be_completed() {
    let client = Client::with(Switches { sweep_interval_ms: 600_000, ..Switches::default() }).await;
    client.start_process("one_part").await;
    let job = client.acquire("parts.one", "w1", 1).await.remove(0);
    client.emulator.faults().skip(Duration::from_secs(120));
    assert_eq!(client.job(&job["id"], "complete", worker("w1")).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn failures_use_up_retries_until_the_job_is_parked() {
    let client = Client::start().await;
    client.start_process("one_part").await;
    for left in [3, 2, 1] {
        let job = client.acquire("parts.one", "w1", 1).await.remove(0);
        assert_eq!(job["retries"], left);
        let failed = client.job(&job["id"], "fail", json!({ "workerId": "w1", "errorMessage": "no luck" })).await;
        assert_eq!(failed.status, StatusCode::NO_CONTENT);
    }
    assert!(client.acquire("parts.one", "w1", 1).await.is_empty());
    assert_eq!(client.stats().await["deadJobs"], 1);
    assert_eq!(client.emulator.faults().revive_dead_jobs(), 1);
    let revived = client.acquire("parts.one", "w1", 1).await.remove(0);
    assert_eq!((&revived["retries"], &revived["exceptionMessage"]), (&json!(3), &json!("no luck")));
}

#[tokio::test]
async fn a_failure_may_ask_for_a_pause() {
    let client = Client::start().await;
    client.start_process("one_part").await;
    let job = client.acquire("parts.one", "w1", 1).await.remove(0);
    let body = json!({ "workerId": "w1", "retries": 7, "retryTimeout": "PT5M" });
    client.job(&job["id"], "fail", body).await;
    client.emulator.faults().skip(Duration::from_secs(290));
    assert!(client.acquire("parts.one", "w1", 1).await.is_empty());
    client.emulator.faults().skip(Duration::from_secs(80));
    assert_eq!(client.acquire("parts.one", "w1", 1).await[0]["retries"], 7);
}

#[tokio::test]
async fn exclusive_jobs_of_one_instance_hold_up_their_topic() {
    let client = Client::start().await;
    client.start_process("exclusive_parts").await;
    client.start_process("exclusive_parts").await;
    assert!(client.acquire("parts.exclusive", "w1", 2).await.is_empty(), "a batch with two of one instance");
    let job = client.acquire("parts.exclusive", "w1", 1).await.remove(0);
    assert!(client.acquire("parts.exclusive", "w1", 1).await.is_empty(), "the sibling blocks, even for the holder");
    client.job(&job["id"], "unacquire", worker("w1")).await;
    assert!(client.acquire("parts.exclusive", "w1", 1).await.is_empty(), "giving back does not free the instance");
    client.emulator.faults().skip(Duration::from_secs(60));
    let job = client.acquire("parts.exclusive", "w1", 1).await.remove(0);
    client.job(&job["id"], "complete", worker("w1")).await;
    assert_eq!(client.acquire("parts.exclusive", "w1", 1).await.len(), 1, "completing does");
    client.emulator.faults().switch(|s| s.exclusive_jobs = false);
    assert_eq!(client.acquire("parts.exclusive", "w1", 5).await.len(), 2);
}

#[tokio::test]
async fn shared_jobs_come_in_batches_and_join() {
    let client = Client::start().await;
    let instance = client.start_process("shared_parts").await;
    let jobs = client.acquire("parts.shared", "w1", 10).await;
    assert_eq!(jobs.len(), 2);
    let path = format!("{RUNTIME}/process-instances/{instance}");
    client.job(&jobs[0]["id"], "complete", worker("w1")).await;
    client.settle();
    assert_eq!(client.get(&path).await.status, StatusCode::OK);
    client.job(&jobs[1]["id"], "complete", worker("w1")).await;
    client.settle();
    assert_eq!(client.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_step_that_fails_after_the_answer_is_retried_and_parked() {
    let client = Client::start().await;
    client.start_process("one_part").await;
    let job = client.acquire("parts.one", "w1", 1).await.remove(0);
    // The gateway behind the task needs `good`, which is missing: the worker never hears of it.
    assert_eq!(client.job(&job["id"], "complete", worker("w1")).await.status, StatusCode::NO_CONTENT);
    client.settle();
    assert_eq!(client.stats().await["deadJobs"], 0);
    client.emulator.faults().skip(Duration::from_secs(20));
    assert_eq!(client.stats().await["deadJobs"], 1);
}

#[tokio::test]
async fn a_suspended_instance_hides_its_jobs() {
    let client = Client::start().await;
    let instance = client.start_process("one_part").await;
    let job = client.acquire("parts.one", "w1", 1).await.remove(0);
    let path = format!("{RUNTIME}/process-instances/{instance}");
    client.put(&path, json!({ "action": "suspend" })).await;
    assert_eq!(client.job(&job["id"], "complete", worker("w1")).await.status, StatusCode::NOT_FOUND);
    client.put(&path, json!({ "action": "activate" })).await;
    assert_eq!(client.job(&job["id"], "complete", worker("w1")).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn acquiring_is_checked() {
    let client = Client::start().await;
    let body = |change: &[(&str, Value)]| {
        let mut body = json!({ "topic": "t", "workerId": "w", "lockDuration": "PT1M", "numberOfTasks": 1 });
        for (name, value) in change {
            body[*name] = value.clone();
        }
        body
    };
    for wrong in [
        body(&[("topic", Value::Null)]),
        body(&[("workerId", Value::Null)]),
        body(&[("lockDuration", Value::Null)]),
        body(&[("lockDuration", json!("5s"))]),
        body(&[("numberOfTasks", json!(0))]),
    ] {
        let answer = client.post(&format!("{JOBS}/external-jobs"), wrong.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(client.post(&format!("{JOBS}/external-jobs"), body(&[])).await.status, StatusCode::OK);
}

#[tokio::test]
async fn jobs_are_listed_in_the_chosen_envelope() {
    let client = Client::start().await;
    let instance = client.start_process("one_part").await;
    client.start_process("shared_parts").await;
    let list = |query: &str| format!("{JOBS}/external-jobs?{query}");
    let all = client.get(&list("")).await.body;
    assert_eq!(all["content"].as_array().unwrap().len(), 3);
    let some = client.get(&list(&format!("topic=parts.one&processInstanceId={instance}"))).await.body;
    assert_eq!(some["content"].as_array().unwrap().len(), 1);
    client.acquire("parts.one", "w1", 1).await;
    assert_eq!(client.get(&list("unlocked=true")).await.body["content"].as_array().unwrap().len(), 2);
    client.emulator.faults().switch(|s| s.jobs_envelope = "bare".into());
    assert_eq!(client.get(&list("locked=true")).await.body.as_array().unwrap().len(), 1);
    client.emulator.faults().switch(|s| s.jobs_envelope = "external-jobs".into());
    assert_eq!(embedded(&client.get(&list("")).await, "external-jobs").len(), 3);
    let none = json!({ "topic": "none", "workerId": "w", "lockDuration": "PT1M" });
    assert_eq!(client.post(&list(""), none).await.body.get("_embedded"), None);
}
