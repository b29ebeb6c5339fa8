//! Faults on command, through the handle and through HTTP.

use std::time::{Duration, Instant};

use emulator::{Availability, Fault, Mount, Rule};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::client::{Client, JOBS, RUNTIME, ticket};

const INSTANCES: &str = "/workflow/v1/process-instances";

async fn try_start(client: &Client, key: &str) -> reqwest::Result<StatusCode> {
    let sent = client.try_send(Method::POST, INSTANCES, Some(ticket(key, "high"))).await;
    sent.map(|answer| answer.status)
}

async fn instances(client: &Client) -> usize {
    client.stats().await["instances"].as_array().unwrap().len()
}

async fn until(client: &Client, expected: usize) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while instances(client).await != expected {
        assert!(Instant::now() < deadline, "no {expected} instances within ten seconds");
    }
}

fn status(status: u16) -> Fault {
    Fault::Status { status, retry_after_s: None, retry_after_as_date: false, after_effect: false }
}

#[tokio::test]
async fn a_dropped_answer_leaves_its_effect() {
    let client = Client::start().await;
    client.emulator.faults().add(Rule::on("start", Fault::DropAnswer).times(1)).unwrap();
    let lost = try_start(&client, "ticket/1").await.unwrap_err();
    assert!(!lost.is_connect() && !lost.is_timeout(), "{lost:?}");
    assert_eq!(instances(&client).await, 1);
    assert_eq!(try_start(&client, "ticket/2").await.unwrap(), StatusCode::CREATED);
    assert_eq!(
        client.stats().await["operations"]["start"],
        json!({ "calls": 2, "answers": { "201": 1 }, "dropped": 1, "open": 0, "most_open": 1 })
    );
}

#[tokio::test]
async fn a_cut_answer_leaves_its_effect_and_breaks_off_in_its_body() {
    let client = Client::start().await;
    client.emulator.faults().add(Rule::on("start", Fault::CutAnswer).times(1)).unwrap();
    let lost = try_start(&client, "ticket/1").await.unwrap_err();
    assert!(lost.is_body() || lost.is_decode(), "{lost:?}");
    assert_eq!(instances(&client).await, 1);
}

#[tokio::test]
async fn a_dropped_request_has_no_effect() {
    let client = Client::start().await;
    client.emulator.faults().add(Rule::at(Mount::Runtime, Fault::DropRequest).times(1)).unwrap();
    assert!(try_start(&client, "ticket/1").await.is_err());
    assert_eq!(instances(&client).await, 0);
}

#[tokio::test]
async fn an_abandoned_request_takes_effect_later() {
    let client = Client::start().await;
    client.emulator.faults().add(Rule::on("start", Fault::Abandon { effect_within_ms: 200 }).times(5)).unwrap();
    for number in 0..5 {
        assert!(try_start(&client, &format!("ticket/{number}")).await.is_err());
    }
    until(&client, 5).await;
}

#[tokio::test]
async fn a_client_that_gives_up_does_not_undo_its_request() {
    let client = Client::start().await;
    client.emulator.faults().add(Rule::on("start", Fault::Delay { ms: 300, jitter_ms: 0 })).unwrap();
    let url = format!("{}{INSTANCES}", client.emulator.base_url());
    let impatient = client.http.post(url).bearer_auth(&client.token).json(&ticket("ticket/1", "high"));
    let gave_up = impatient.timeout(Duration::from_millis(100)).send().await.unwrap_err();
    assert!(gave_up.is_timeout());
    assert_eq!(instances(&client).await, 0);
    until(&client, 1).await;
}

#[tokio::test]
async fn a_late_answer_comes_after_its_effect() {
    let client = Client::start().await;
    client.emulator.faults().add(Rule::on("start", Fault::DelayAnswer { ms: 400, jitter_ms: 10 })).unwrap();
    let begun = Instant::now();
    let (answer, ()) = tokio::join!(try_start(&client, "ticket/1"), until(&client, 1));
    assert_eq!(answer.unwrap(), StatusCode::CREATED);
    assert!(begun.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn statuses_are_injected_with_their_bodies_and_headers() {
    let client = Client::start().await;
    let faults = client.emulator.faults();
    let busy = |as_date| Fault::Status {
        status: 429,
        retry_after_s: Some(3),
        retry_after_as_date: as_date,
        after_effect: false,
    };
    faults.add(Rule::everywhere(busy(false)).times(1)).unwrap();
    let answer = client.post(INSTANCES, ticket("t", "high")).await;
    assert_eq!(
        (answer.status, &answer.headers[header::RETRY_AFTER]),
        (StatusCode::TOO_MANY_REQUESTS, &"3".parse().unwrap())
    );
    assert!(answer.body["fault"]["faultstring"].as_str().unwrap().contains("Spike arrest"));

    faults.add(Rule::everywhere(busy(true)).times(1)).unwrap();
    let answer = client.post(INSTANCES, ticket("t", "high")).await;
    let date = answer.headers[header::RETRY_AFTER].to_str().unwrap();
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");

    for (fault, expected) in [
        (status(503), 503),
        (status(500), 500),
        (Fault::RejectToken, 401),
        (Fault::Forbid, 403),
        (Fault::OptimisticLock, 500),
    ] {
        faults.add(Rule::everywhere(fault.clone()).times(1)).unwrap();
        assert_eq!(client.post(INSTANCES, ticket("t", "high")).await.status.as_u16(), expected, "{fault:?}");
    }
    faults.switch(|s| s.optimistic_lock_status = 409);
    faults.add(Rule::everywhere(Fault::OptimisticLock).times(1)).unwrap();
    assert_eq!(client.post(INSTANCES, ticket("t", "high")).await.status, StatusCode::CONFLICT);
    assert_eq!(instances(&client).await, 0);

    let lying = Fault::Status { status: 504, retry_after_s: None, retry_after_as_date: false, after_effect: true };
    faults.add(Rule::on("start", lying).times(1)).unwrap();
    assert_eq!(client.post(INSTANCES, ticket("t", "high")).await.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(instances(&client).await, 1);
}

#[tokio::test]
async fn a_service_that_is_down_refuses_and_comes_back_on_its_port() {
    let client = Client::start().await;
    let faults = client.emulator.faults();
    client.start_ticket("ticket/1", "high").await;
    faults.set_availability(Availability::Refusing).await;
    let refused = try_start(&client, "ticket/2").await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    faults.set_availability(Availability::Closing).await;
    assert!(try_start(&client, "ticket/3").await.is_err());
    faults.set_availability(Availability::Up).await;
    assert_eq!(try_start(&client, "ticket/4").await.unwrap(), StatusCode::CREATED);
    assert_eq!(instances(&client).await, 2);
}

#[tokio::test]
async fn released_locks_hand_a_job_out_twice() {
    let client = Client::start().await;
    client.start_process("one_part").await;
    let first = client.acquire("parts.one", "w1", 1).await.remove(0);
    client.emulator.faults().release_locks();
    assert_eq!(client.acquire("parts.one", "w1", 1).await[0]["id"], first["id"]);
}

#[tokio::test]
async fn everything_can_be_done_over_http() {
    let client = Client::start().await;
    let control = |path: &str| format!("{}{path}", client.emulator.control_url());
    let post = |path: &str, body: Value| client.http.post(control(path)).json(&body).send();
    let rules =
        json!([{ "operation": "start", "times": 1, "fault": { "kind": "status", "status": 503, "retry_after_s": 1 } }]);
    let body = json!({ "rules": rules, "switches": { "delete_status": 200 }, "skip_ms": 1000 });
    let set: Value = post("/_faults", body).await.unwrap().json().await.unwrap();
    assert_eq!((&set["rules"][0]["times"], &set["switches"]["delete_status"]), (&json!(1), &json!(200)));
    assert_eq!(set["switches"]["sweep_interval_ms"], 60_000, "other switches stay");
    assert_eq!(try_start(&client, "ticket/1").await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(try_start(&client, "ticket/1").await.unwrap(), StatusCode::CREATED);

    for wrong in [
        json!({ "rules": [{ "operation": "strat", "fault": { "kind": "forbid" } }] }),
        json!({ "rules": [{ "fault": { "kind": "nonsense" } }] }),
        json!({ "switches": { "delete_statsu": 200 } }),
        json!({ "switches": { "delete_status": 418 } }),
        json!({ "availabilty": "up" }),
    ] {
        assert_eq!(post("/_faults", wrong.clone()).await.unwrap().status(), StatusCode::BAD_REQUEST, "{wrong}");
    }

    let stats = client.stats().await;
    assert_eq!(stats["instances"][0]["xcEventId"], "tickets/ticket/1");
    let counted = json!([{ "processDefinitionKey": "ticket_triage", "businessKey": "ticket/1", "count": 1 }]);
    assert_eq!(stats["instancesByBusinessKey"], counted);
    assert_eq!((&stats["running"], &stats["openTasks"]), (&json!(1), &json!(1)));

    post("/_faults", json!({ "availability": "refusing", "for_ms": 300 })).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !try_start(&client, "ticket/2").await.is_ok_and(|s| s == StatusCode::CREATED) {
        assert!(Instant::now() < deadline, "the service did not come back");
    }
    assert_eq!(post("/_reset", json!({})).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(instances(&client).await, 0);
    let gone = json!({ "topic": "tickets.outcome", "workerId": "w", "lockDuration": "PT1M" });
    assert_eq!(client.post(&format!("{JOBS}/external-jobs"), gone).await.status, StatusCode::OK);
    assert_eq!(client.get(&format!("{RUNTIME}/tasks")).await.body["page"]["totalElements"], 0);
}
