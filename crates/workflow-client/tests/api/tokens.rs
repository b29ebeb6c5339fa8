//! OAuth2 client credentials: one token for all, renewed in time, and never to be seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use workflow_client::{CallError, Endpoint, Engine, Fault, Settings, Start};

use crate::server::{Reply, Seen, Server, reply};

const TOKEN: &str = "POST /tenants/t1/oauth2/token";
const START: Start<'static> = Start { definition: "triage", business_key: "ticket/7", name: None, variables: &[] };

/// Answers tokens `t1`, `t2`, … of the given lifetime, and leaves every other request to `engine`.
async fn server(lifetime: Value, engine: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
    let issued = AtomicUsize::new(0);
    Server::start(move |seen, _| {
        if seen.line() != TOKEN {
            return engine(seen);
        }
        let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
        reply(200, json!({"access_token": format!("t{number}"), "token_type": "bearer", "expires_in": lifetime}))
    })
    .await
}

fn engine(server: &Server) -> Engine {
    Engine::new(Settings::opentext(&server.url, server.tokens())).unwrap()
}

fn started(_: &Seen) -> Reply {
    reply(201, json!({"id": "i1"}))
}

async fn start(engine: &Engine) -> Result<(), CallError> {
    engine.start(&START).await.map(drop)
}

/// Moves the client's clock, and lets it run on.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn many_calls_share_one_token_request() {
    let server = server(json!("3600"), started).await;
    let engine = engine(&server);
    for result in join_all((0..32).map(|_| start(&engine))).await {
        result.unwrap();
    }
    assert_eq!((server.count(TOKEN), engine.calls().of("token"), engine.calls().total()), (1, 1, 32));
    let wanted = json!({"client_id": "connector", "client_secret": "geheim", "grant_type": "client_credentials"});
    for seen in server.seen() {
        if seen.line() == TOKEN {
            assert_eq!(seen.json(), wanted);
        } else {
            assert_eq!(seen.headers["authorization"], "Bearer t1");
        }
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let server = server(json!(100), started).await;
    let engine = engine(&server);
    start(&engine).await.unwrap();
    pass(Duration::from_secs(80)).await;
    start(&engine).await.unwrap();
    assert_eq!(server.count(TOKEN), 1, "not earlier than a tenth before the end");
    pass(Duration::from_secs(15)).await;
    start(&engine).await.unwrap();
    assert_eq!(server.count(TOKEN), 2);
    assert_eq!(server.last().headers["authorization"], "Bearer t2");
}

#[tokio::test]
async fn an_old_token_serves_while_the_token_endpoint_is_down() {
    let server = Server::start(|seen, number| match (seen.line().as_str(), number) {
        (TOKEN, 0) => reply(200, json!({"access_token": "t1", "expires_in": 100})),
        (TOKEN, _) => reply(503, ""),
        _ => started(seen),
    })
    .await;
    let engine = engine(&server);
    start(&engine).await.unwrap();
    pass(Duration::from_secs(95)).await;
    start(&engine).await.unwrap();
    start(&engine).await.unwrap();
    assert_eq!(server.count(TOKEN), 2, "one try to renew, then a pause");
    pass(Duration::from_secs(10)).await;
    let error = start(&engine).await.unwrap_err();
    assert_eq!((error.fault, error.endpoint), (Fault::Unsent, Endpoint::Token), "expired now");
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_call_repeated_once() {
    let server = server(json!(3600), |seen| match seen.headers["authorization"].to_str() {
        Ok("Bearer t1") => reply(401, ""),
        _ => started(seen),
    })
    .await;
    let engine = engine(&server);
    for result in join_all((0..8).map(|_| start(&engine))).await {
        result.unwrap();
    }
    assert_eq!(server.count(TOKEN), 2, "eight refusals of one token ask for one new token");
    assert_eq!(engine.calls().of("start"), 16);
}

#[tokio::test]
async fn a_second_401_is_the_answer() {
    let server = server(json!(3600), |_| reply(401, json!({"fault": {"faultstring": "Invalid token"}}))).await;
    let engine = engine(&server);
    let error = start(&engine).await.unwrap_err();
    assert_eq!((error.fault, error.status, error.endpoint), (Fault::Unauthorized, Some(401), Endpoint::Runtime));
    assert!(!error.is_ambiguous());
    assert_eq!((server.count(TOKEN), engine.calls().of("start")), (2, 2));
}

#[tokio::test]
async fn faults_of_the_token_endpoint_never_blame_the_call() {
    let table = [
        (reply(503, "").header("retry-after", "9"), Fault::Unsent),
        (reply(500, json!({"message": "x"})), Fault::Unsent),
        (reply(502, ""), Fault::Unsent),
        (reply(200, "<html>"), Fault::Unsent),
        (reply(200, "{}"), Fault::Unsent),
        (reply(429, ""), Fault::RateLimited),
        (reply(400, json!({"error": "invalid_client", "error_description": "geheim is wrong"})), Fault::Unauthorized),
        (reply(401, ""), Fault::Unauthorized),
        (reply(404, ""), Fault::Unauthorized),
        (reply(403, ""), Fault::Forbidden),
    ];
    for (answer, fault) in table {
        let server = Server::start(move |_, _| answer.clone()).await;
        let error = start(&engine(&server)).await.unwrap_err();
        assert_eq!((error.fault, error.endpoint, error.operation), (fault, Endpoint::Token, "start"), "{error}");
        assert!(!error.is_ambiguous() && !format!("{error:?} {error}").contains("geheim"), "{error}");
        assert_eq!(server.seen().len(), 1, "the call itself was not sent");
    }
}

#[tokio::test]
async fn a_failed_token_request_fails_all_who_waited_for_it() {
    let server = Server::start(|_, _| reply(503, "").header("retry-after", "9")).await;
    let engine = engine(&server);
    for result in join_all((0..16).map(|_| start(&engine))).await {
        let error = result.unwrap_err();
        assert_eq!((error.fault, error.retry_after), (Fault::Unsent, Some(Duration::from_secs(9))));
    }
    assert_eq!(server.count(TOKEN), 1);
    start(&engine).await.unwrap_err();
    assert_eq!(server.count(TOKEN), 2, "the next call tries again");
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_block_the_others() {
    let first = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |seen, _| match seen.line().as_str() {
        TOKEN if first.fetch_add(1, Ordering::SeqCst) == 0 => reply(200, "").hanging(),
        TOKEN => reply(200, json!({"access_token": "t2"})),
        _ => started(seen),
    })
    .await;
    let engine = engine(&server);
    let impatient = tokio::time::timeout(Duration::from_millis(200), start(&engine));
    let (gave_up, patient) = futures::join!(impatient, start(&engine));
    assert!(gave_up.is_err());
    patient.unwrap();
    assert_eq!(server.last().headers["authorization"], "Bearer t2");
}
