//! What comes in by HTTP is in Kafka when it is answered 202, is refused with a reason otherwise, and is one event however often it is sent

use std::time::Duration;

use promises::{DEADLINE, Deployment, Instance, Kafka, Signal, free_address, read_until, unique};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Bench, Ticket, assert_one_instance_each, await_replies, edit};

const TOKEN: &str = "portal-s3cret";

/// A connector whose intake has a door for its flow
struct Portal {
    deployment: Deployment,
    url: String,
    http: Client,
}

impl Portal {
    async fn open(bench: &Bench, kafka: &Kafka, door: &str) -> (Portal, Instance) {
        let mut deployment = bench.tickets(kafka);
        edit(&deployment, "[source]", "[source]\nmax_body = 4096");
        let address = free_address().unwrap();
        std::fs::write(deployment.folder().join("portal-token"), TOKEN).unwrap();
        let flow = deployment.flow();
        deployment
            .add_settings(&format!("[intake]\nlisten = \"{address}\"\n[[intake.door]]\nflow = \"{flow}\"\n{door}\n"));
        deployment.set_up(2).await.unwrap();
        let mut instance = deployment.instance().await.unwrap();
        instance.connector.logged("the HTTP intake listens").await.unwrap();
        let http = Client::builder().timeout(DEADLINE).build().unwrap();
        (Portal { url: format!("http://{address}/intake/{flow}"), deployment, http }, instance)
    }

    async fn send(&self, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Response {
        let mut request = self.http.post(&self.url).body(body);
        let usual = [(CONTENT_TYPE, "application/json".to_owned()), (AUTHORIZATION, format!("Bearer {TOKEN}"))];
        for (name, value) in usual.into_iter().filter(|(usual, _)| headers.iter().all(|(name, _)| usual != name)) {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn refused(&self, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> (u16, Value) {
        let response = self.send(body, headers).await;
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

async fn event_id(response: Response) -> String {
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let answer: Value = response.json().await.unwrap();
    answer["eventId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_event_by_http_is_one_event_and_what_no_flow_would_take_is_refused_with_its_field() {
    let bench = Bench::opentext().await;
    let kafka = Kafka::shared().await.unwrap();
    let (portal, instance) = Portal::open(&bench, kafka, "bearer = { file = \"portal-token\" }").await;
    let key = unique("H");
    let ticket = Ticket::created(&key);

    // once, and once more because the sender did not hear the answer
    let id = format!("form-{key}");
    let first = event_id(portal.send(ticket.bytes(), &[("Idempotency-Key", &id)]).await).await;
    let again = event_id(portal.send(ticket.bytes(), &[("Idempotency-Key", &id)]).await).await;
    assert_eq!((first.as_str(), again.as_str()), (id.as_str(), id.as_str()));
    let replies = await_replies(kafka, &portal.deployment, 2, &[&instance]).await;
    let kinds: Vec<&str> = replies.iter().filter_map(|reply| reply.header("ce_type")).collect();
    assert_eq!(kinds, ["xconnector.accepted.v1", "xconnector.duplicate.v1"]);
    assert_one_instance_each(&bench, &portal.deployment, std::slice::from_ref(&key)).await;

    // the record is keyed as the flow orders it, and carries who sent it
    let records = read_until(kafka, &portal.deployment.source(), 2, DEADLINE).await.unwrap();
    assert!(records.iter().all(|record| record.key_text() == key && record.header("ce_id") == Some(id.as_str())));
    assert_eq!(records[0].header("ce_source"), Some(format!("/intake/{}", portal.deployment.flow()).as_str()));

    let mut wrong = ticket.value.clone();
    wrong["sla"] = json!(7);
    let (status, problem) = portal.refused(wrong.to_string(), &[]).await;
    assert_eq!(
        (status, &problem["field"], &problem["code"]),
        (422, &json!("$.sla"), &json!("schema-violation")),
        "{problem}"
    );
    assert_eq!(portal.refused("{", &[]).await.0, 400);
    assert_eq!(portal.refused(ticket.bytes(), &[("content-type", "text/csv")]).await.0, 415);
    assert_eq!(portal.refused(vec![b' '; 5_000], &[]).await.0, 413);
    assert_eq!(portal.refused(ticket.bytes(), &[("authorization", "Bearer wr0ng-token")]).await.0, 401);
    let elsewhere = portal.http.post(portal.url.replace("/intake/", "/intake/no-")).send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        read_until(kafka, &portal.deployment.source(), 2, DEADLINE).await.unwrap().len(),
        2,
        "nothing of it was kept"
    );
    assert!(!instance.connector.log().contains(TOKEN) && !instance.connector.log().contains("wr0ng-token"));
}

#[tokio::test]
async fn a_door_takes_so_many_requests_a_second() {
    let bench = Bench::opentext().await;
    let kafka = Kafka::shared().await.unwrap();
    let (portal, _instance) = Portal::open(&bench, kafka, "auth = \"none\"\nmax_per_second = 3").await;
    // refused before anything else is looked at
    for _ in 0..1_000 {
        let response = portal.send("{", &[]).await;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(response.headers()[RETRY_AFTER], "1");
            return;
        }
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    panic!("a thousand requests passed");
}

#[tokio::test]
async fn an_event_that_kafka_does_not_acknowledge_is_not_called_accepted() {
    let bench = Bench::opentext().await.with("request_timeout = \"2s\"\nsettle = \"4s\"");
    let mut kafka = Kafka::start().await.unwrap();
    let (portal, instance) = Portal::open(&bench, &kafka, "bearer = { file = \"portal-token\" }").await;
    let keys = [unique("H"), unique("H")];
    let [before, during] = &keys;
    event_id(portal.send(Ticket::created(before).bytes(), &[("Idempotency-Key", before)]).await).await;
    await_replies(&kafka, &portal.deployment, 1, &[&instance]).await;

    kafka.signal(Signal::Stop).unwrap();
    let ticket = Ticket::created(during).bytes();
    let refused = portal.send(ticket.clone(), &[("Idempotency-Key", during)]).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[RETRY_AFTER], "5");
    kafka.signal(Signal::Continue).unwrap();
    let sent = async || {
        let response = portal.send(ticket.clone(), &[("Idempotency-Key", during)]).await;
        Ok((response.status() == StatusCode::ACCEPTED).then_some(()))
    };
    promises::until("the event to be taken", 2 * DEADLINE, sent).await.unwrap();
    // accepted, and for each time that it was kept before it was acknowledged once more, known
    let replies = read_until(&kafka, &portal.deployment.replies(), 2, 2 * DEADLINE).await.unwrap();
    let accepted = replies.iter().filter(|reply| reply.header("ce_type") == Some("xconnector.accepted.v1")).count();
    assert_eq!(accepted, 2, "{}", instance.connector.log());
    assert_one_instance_each(&bench, &portal.deployment, &keys).await;
    drop(instance);
    tokio::time::timeout(Duration::from_secs(60), kafka.stop()).await.unwrap().unwrap();
}
