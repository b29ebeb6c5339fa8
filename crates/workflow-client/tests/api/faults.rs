//! What went wrong, and whether the engine may have acted.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;
use workflow_client::{Auth, CallError, Endpoint, Engine, Fault, Settings, Start, Variable};

use crate::server::{Raw, Reply, Server, raw_server, reply};

const START: Start<'static> = Start { definition: "triage", business_key: "ticket/7", name: None, variables: &[] };

const STARTED: &str = "HTTP/1.1 201 \r\nContent-Length: 11\r\n\r\n{\"id\":\"i1\"}";

async fn start(engine: &Engine) -> Result<String, CallError> {
    engine.start(&START).await.map(|instance| instance.id)
}

async fn fault_of(answer: Reply) -> CallError {
    let server = Server::start(move |_, _| answer.clone()).await;
    start(&server.flowable()).await.unwrap_err()
}

#[tokio::test]
async fn a_start_is_one_request_and_its_echoed_variables_are_skipped() {
    let echo = json!({"id": "i1", "businessKey": "ticket/7", "variables": [{"strange": [1, 2]}], "ended": null});
    let server = Server::start(move |_, _| reply(201, &echo)).await;
    let engine = server.flowable();
    let instance = engine.start(&START).await.unwrap();
    assert_eq!((instance.id.as_str(), instance.variables), ("i1", None));
    assert_eq!((engine.calls().of("start"), engine.calls().total(), server.seen().len()), (1, 1, 1));
}

#[tokio::test]
async fn a_refused_connection_has_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = start(&Engine::new(Settings::flowable(&url, Auth::None)).unwrap()).await.unwrap_err();
    assert_eq!((error.fault, error.is_ambiguous()), (Fault::Unsent, false), "{error}");
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_failed_tls_handshake_has_sent_nothing() {
    let server = Server::start(|_, _| reply(201, json!({"id": "i1"}))).await;
    let url = server.url.replace("http:", "https:");
    let error = start(&Engine::new(Settings::flowable(&url, Auth::None)).unwrap()).await.unwrap_err();
    assert_eq!((error.fault, server.seen().len()), (Fault::Unsent, 0), "{error}");
}

#[tokio::test]
async fn a_connection_lost_after_the_effect_is_ambiguous_and_never_repeated() {
    let (url, effects) = raw_server(vec![Raw::Answer(STARTED)]).await;
    let engine = Engine::new(Settings::flowable(&url, Auth::None)).unwrap();
    start(&engine).await.unwrap();
    let error = start(&engine).await.unwrap_err(); // on the kept-alive connection, where a pool may retry
    assert_eq!((error.fault, error.is_ambiguous()), (Fault::Broken, true), "{error}");
    assert_eq!(*effects.lock().unwrap(), 2, "each start reached the engine once");
}

#[tokio::test]
async fn an_answer_cut_short_is_a_lost_connection() {
    let cut = "HTTP/1.1 201 \r\nContent-Length: 50\r\n\r\n{\"id\":\"i1\"}";
    let (url, _effects) = raw_server(vec![Raw::AnswerAndClose(cut)]).await;
    let error = start(&Engine::new(Settings::flowable(&url, Auth::None)).unwrap()).await.unwrap_err();
    assert_eq!((error.fault, error.status, error.is_ambiguous()), (Fault::Broken, Some(201), true), "{error}");
}

#[tokio::test]
async fn no_answer_in_time_is_ambiguous() {
    let server = Server::start(|_, _| reply(201, "").hanging()).await;
    let mut settings = Settings::flowable(&server.url, Auth::None);
    settings.request_timeout = Duration::from_millis(200);
    let error = start(&Engine::new(settings).unwrap()).await.unwrap_err();
    assert_eq!((error.fault, error.is_ambiguous()), (Fault::TimedOut, true), "{error}");
}

#[tokio::test]
async fn every_status_gets_its_fault_and_the_engines_words() {
    let engine = json!({"message": "Bad request", "exception": "no such key 'nope'"}).to_string();
    let gateway = json!({"fault": {"faultstring": "Spike arrest violation"}}).to_string();
    let table = [
        (400, &engine, Fault::BadRequest),
        (401, &engine, Fault::Unauthorized),
        (403, &engine, Fault::Forbidden),
        (404, &engine, Fault::NotFound),
        (409, &engine, Fault::Conflict),
        (413, &gateway, Fault::TooLarge),
        (422, &engine, Fault::BadRequest),
        (423, &engine, Fault::Conflict),
        (429, &gateway, Fault::RateLimited),
        (500, &engine, Fault::EngineError),
        (500, &gateway, Fault::ServerError),
        (502, &gateway, Fault::Gateway),
        (503, &gateway, Fault::Unavailable),
        (504, &gateway, Fault::Gateway),
    ];
    for (status, body, fault) in table {
        let error = fault_of(reply(status, body)).await;
        assert_eq!((error.fault, error.status), (fault, Some(status)));
        assert!(error.message == "Bad request: no such key 'nope'" || error.message == "Spike arrest violation");
        assert_eq!((error.operation, error.endpoint), ("start", Endpoint::Runtime));
    }
}

#[tokio::test]
async fn retry_after_is_kept() {
    let seconds = fault_of(reply(429, "").header("retry-after", "7")).await;
    assert_eq!(seconds.retry_after, Some(Duration::from_secs(7)));
    let date = fault_of(
        reply(503, "")
            .header("date", "Sun, 06 Nov 1994 08:49:07 GMT")
            .header("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
    )
    .await;
    assert_eq!(date.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(fault_of(reply(503, "")).await.retry_after, None);
}

#[tokio::test]
async fn a_listed_status_counts_as_not_sent() {
    let server = Server::start(|_, _| reply(503, "")).await;
    let mut settings = Settings::flowable(&server.url, Auth::None);
    settings.unsent_statuses = vec![503];
    let error = start(&Engine::new(settings).unwrap()).await.unwrap_err();
    assert_eq!((error.fault, error.status, error.is_ambiguous()), (Fault::Unsent, Some(503), false));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|_, _| reply(307, "").header("location", "/elsewhere")).await;
    let error = start(&server.flowable()).await.unwrap_err();
    assert_eq!((error.fault, server.seen().len()), (Fault::BadAnswer, 1));
    assert!(error.message.contains("base URL"), "{error}");
}

#[tokio::test]
async fn a_good_status_with_a_strange_body_is_ambiguous() {
    for body in ["<html>", "{}", r#"{"id":""}"#, ""] {
        let error = fault_of(reply(201, body)).await;
        assert_eq!((error.fault, error.is_ambiguous()), (Fault::BadAnswer, true), "{body}");
    }
}

#[tokio::test]
async fn what_breaks_a_limit_is_never_sent() {
    let server = Server::start(|_, _| reply(201, json!({"id": "i1"}))).await;
    let engine = server.flowable();
    let long = "k".repeat(256);
    let not_finite = [Variable::new("v", f64::INFINITY)];
    let starts = [
        Start { business_key: &long, ..START },
        Start { definition: "", ..START },
        Start { variables: &not_finite, ..START },
    ];
    for start in &starts {
        let error = engine.start(start).await.unwrap_err();
        assert_eq!((error.fault, error.is_ambiguous()), (Fault::Limit, false), "{error}");
    }
    assert_eq!(engine.terminate("", "r").await.unwrap_err().fault, Fault::Limit, "would delete the collection");
    assert_eq!(engine.terminate("..", "r").await.unwrap_err().fault, Fault::Limit);
    assert_eq!((server.seen().len(), engine.calls().total()), (0, 0));
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let server = Server::start(|_, _| reply(201, json!({"id": "i1"}))).await;
    let engine = server.flowable();
    let error = start(&engine.before(Instant::now())).await.unwrap_err();
    assert_eq!((error.fault, server.seen().len()), (Fault::Unsent, 0), "{error}");
    start(&engine.before(Instant::now() + Duration::from_secs(60))).await.unwrap();
}

#[tokio::test]
async fn calls_beyond_the_connections_wait_only_so_long() {
    let server = Server::start(|_, _| reply(201, "").hanging()).await;
    let mut settings = Settings::flowable(&server.url, Auth::None);
    settings.max_connections = 1;
    settings.connect_timeout = Duration::from_millis(100);
    settings.request_timeout = Duration::from_millis(600);
    let engine = Engine::new(settings).unwrap();
    let (first, second) = futures::join!(start(&engine), start(&engine));
    assert_eq!(first.unwrap_err().fault, Fault::TimedOut);
    assert_eq!(second.unwrap_err().fault, Fault::Unsent);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn basic_credentials_are_sent_and_never_shown() {
    let server = Server::start(|_, _| reply(401, "")).await;
    let auth = Auth::Basic { username: "rest".into(), password: "geheim".to_owned().into() };
    let engine = Engine::new(Settings::flowable(&server.url, auth)).unwrap();
    let error = engine.running("triage", "a private key").await.unwrap_err();
    assert_eq!(error.fault, Fault::Unauthorized);
    let seen = server.last();
    assert_eq!(seen.headers["authorization"], "Basic cmVzdDpnZWhlaW0=");
    assert_eq!(server.seen().len(), 1, "a password does not get better by repeating");
    for text in [format!("{error}"), format!("{error:?}")] {
        assert!(!text.contains("geheim") && !text.contains("private") && !text.contains("cmVzd"), "{text}");
    }
}
