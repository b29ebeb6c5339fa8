//! Contracts with systems, against a small server: what does not obey its schema neither leaves nor reaches the process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Json, Router};
use flow_core::EndpointId;
use serde_json::{Value, json};
use system_client::{Auth, Http, Reach, Settings, System};

use super::super::tests::handler_with;
use super::*;

const CRM: EndpointId = EndpointId(1);

/// What came: idempotency key and body; and what is answered next.
#[derive(Clone, Default)]
struct Desk {
    came: Arc<Mutex<Vec<(String, Value)>>>,
    answers: Arc<Mutex<Vec<Value>>>,
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, Json(body): Json<Value>) -> Json<Value> {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    desk.came.lock().unwrap().push((key, body));
    Json(desk.answers.lock().unwrap().remove(0))
}

/// The handler of the tickets, with a CRM that gives these answers in their order.
async fn with_crm(answers: &[Value]) -> (FlowHandler, Desk) {
    let desk = Desk { answers: Arc::new(Mutex::new(answers.to_vec())), ..Desk::default() };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(take).with_state(desk.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let http = Http {
        url,
        auth: Auth::None,
        idempotency_header: "Idempotency-Key".into(),
        connect_timeout: Duration::from_secs(5),
        max_document: 1_000,
        probe: "/".into(),
        identity: None,
        authorities: None,
    };
    let request_timeout = Duration::from_secs(30);
    let settings = Settings { name: "crm".into(), request_timeout, max_answer: 1_000, reach: Reach::Http(http) };
    (handler_with(vec![Arc::new(System::new(&settings).unwrap())]), desk)
}

fn asked(vars: Value) -> Asked {
    let job = json!({
        "jobId": "j-1", "correlationId": "c-1", "topic": "tickets.assign-owner", "processInstanceId": "p-1", "variables": vars
    });
    Asked::new(serde_json::from_value(job).unwrap())
}

fn failed(called: Called) -> Failure {
    match called {
        Ok(_) => panic!("it was done"),
        Err(failure) => *failure,
    }
}

#[tokio::test]
async fn a_body_that_its_schema_refuses_does_not_leave() {
    let (handler, desk) = with_crm(&[]).await;
    let asked = asked(json!({ "ticketId": "T-1", "team": "clerks", "owner": { "geheim": 7 } }));
    let failure = failed(handler.ask(&asked, CRM).await);
    assert_eq!(failure.fault, Fault::Limit, "a repeat would not mend it");
    assert!(failure.detail.contains("$.owner: expected string, found object"), "{}", failure.detail);
    assert!(!failure.detail.contains("geheim"), "{}", failure.detail);
    assert!(desk.came.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_its_schema_refuses_is_asked_for_again_under_the_same_key() {
    let refused = json!({ "id": "T-1", "status": "open", "owner": ["geheim"] });
    let more = json!({ "id": "T-1", "status": "open", "owner": "clerks", "subject": "Router" });
    let (handler, desk) = with_crm(&[refused, more]).await;
    let asked = asked(json!({ "ticketId": "T-1", "team": "clerks" }));
    let failure = failed(handler.ask(&asked, CRM).await);
    assert_eq!(failure.fault, Fault::BadAnswer, "the system is asked again, until the record is given up");
    assert!(failure.detail.contains("crm-case/v1: $.owner: expected string, found array"), "{}", failure.detail);
    assert!(!failure.detail.contains("geheim"), "{}", failure.detail);
    assert!(asked.verdict.get().is_none(), "the process hears nothing of it");
    assert!(handler.ask(&asked, CRM).await.is_ok());
    let Some(Verdict::Result(variables)) = asked.verdict.get() else { panic!("no result") };
    assert_eq!(variables, &[("owner".into(), json!("clerks"))]);
    let same = ("c-1".to_owned(), json!({ "owner": "clerks" }));
    assert_eq!(*desk.came.lock().unwrap(), [same.clone(), same]);
}
