//! Against a small server of our own: what is sent, what is read, and what a failure is called.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method as HttpMethod, StatusCode, Uri};
use axum::response::{IntoResponse, Response as Answer};
use serde_json::{Value, json};

use super::*;

/// What came in: method, path with query, headers, body.
type Came = (String, String, HeaderMap, Value);

#[derive(Clone, Default)]
struct Server {
    came: Arc<Mutex<Vec<Came>>>,
    /// What is answered next, in this order; then 200 with nothing.
    answers: Arc<Mutex<Vec<Answer>>>,
}

async fn serve(State(server): State<Server>, method: HttpMethod, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let json = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
    server.came.lock().unwrap().push((method.to_string(), uri.to_string(), headers, json));
    let mut answers = server.answers.lock().unwrap();
    if answers.is_empty() { StatusCode::OK.into_response() } else { answers.remove(0) }
}

async fn started(answers: Vec<Answer>) -> (Server, String) {
    let server = Server { answers: Arc::new(Mutex::new(answers)), ..Server::default() };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(serve).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (server, url)
}

fn settings(url: &str, auth: Auth) -> Settings {
    Settings {
        name: "crm".into(),
        request_timeout: Duration::from_secs(5),
        max_answer: 100,
        reach: Reach::Http(Http {
            url: url.into(),
            auth,
            idempotency_header: "Idempotency-Key".into(),
            connect_timeout: Duration::from_secs(2),
            max_document: 1_000,
            probe: "/health".into(),
            identity: None,
            authorities: None,
        }),
    }
}

fn request() -> Request {
    Request {
        method: Method::Post,
        path: "/cases/C%2F1/owner?why=now".into(),
        body: Some(json!({ "owner": "eva" })),
        schema: Some("crm-assign-owner/v1".into()),
        if_match: Some("\"3\"".into()),
        idempotency_key: "job-1".into(),
        document: false,
    }
}

#[tokio::test]
async fn a_request_carries_its_key_its_version_and_the_credentials() {
    let made = (StatusCode::CREATED, [("etag", "\"4\"")], axum::Json(json!({ "id": "C/1" }))).into_response();
    let (server, url) = started(vec![made]).await;
    let auth = Auth::ApiKey { header: "x-api-key".into(), key: "hush".into() };
    let system = System::new(&settings(&format!("{url}/api/"), auth)).unwrap();
    let answer = system.call(&request()).await.unwrap();
    assert_eq!((answer.status, &answer.body), (201, &json!({ "id": "C/1" })));
    assert_eq!(answer.headers["etag"], "\"4\"");
    let (method, path, headers, body) = server.came.lock().unwrap().remove(0);
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/api/cases/C%2F1/owner?why=now"));
    assert_eq!(body, json!({ "owner": "eva" }));
    for (name, value) in [("idempotency-key", "job-1"), ("if-match", "\"3\""), ("x-api-key", "hush")] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(!format!("{:?} {answer:?}", request()).contains("eva"));
}

#[tokio::test]
async fn a_refusal_is_an_answer_with_the_pause_that_it_asks_for() {
    let refused = (StatusCode::CONFLICT, axum::Json(json!({ "id": "C-7" }))).into_response();
    let date = [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")];
    let later = (StatusCode::SERVICE_UNAVAILABLE, date, "come back").into_response();
    let (_server, url) = started(vec![refused, later]).await;
    let system = System::new(&settings(&url, Auth::None)).unwrap();
    let answer = system.call(&request()).await.unwrap();
    assert_eq!((answer.status, answer.body), (409, json!({ "id": "C-7" })));
    let answer = system.call(&request()).await.unwrap();
    assert_eq!((answer.body, answer.retry_after), (json!("come back"), Some(Duration::from_secs(10))));
}

#[tokio::test]
async fn a_token_is_fetched_once_and_once_more_when_it_is_refused() {
    let token = |text: &str| axum::Json(json!({ "access_token": text, "expires_in": 3600 })).into_response();
    let refused = StatusCode::UNAUTHORIZED.into_response();
    let fine = || StatusCode::NO_CONTENT.into_response();
    let (server, url) = started(vec![token("t1"), fine(), fine(), refused, token("t2"), fine()]).await;
    let auth = Auth::ClientCredentials {
        token_url: format!("{url}/token"),
        client_id: "us".into(),
        client_secret: "hush".into(),
        scope: Some("cases".into()),
    };
    let system = System::new(&settings(&url, auth)).unwrap();
    for _ in 0..3 {
        assert_eq!(system.call(&request()).await.unwrap().status, 204);
    }
    let came = server.came.lock().unwrap();
    let shown: Vec<&str> = came
        .iter()
        .map(
            |(_, path, headers, _)| {
                if path == "/token" { "token" } else { headers["authorization"].to_str().unwrap() }
            },
        )
        .collect();
    assert_eq!(shown, ["token", "Bearer t1", "Bearer t1", "Bearer t1", "token", "Bearer t2"]);
    assert_eq!(came[0].3, json!("grant_type=client_credentials&scope=cases"));
    assert!(came[0].2["authorization"].to_str().unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn a_document_is_referred_to_and_one_that_is_too_large_is_not_read() {
    let (small, large) = (vec![7u8; 1_000], vec![7u8; 1_001]);
    let kind = [("content-type", "application/pdf")];
    let (_server, url) = started(vec![(kind, small).into_response(), (kind, large).into_response()]).await;
    let system = System::new(&settings(&url, Auth::None)).unwrap();
    let read = Request {
        method: Method::Get,
        path: "/documents/D-1/content?x=1".into(),
        body: None,
        document: true,
        ..request()
    };
    let body = system.call(&read).await.unwrap().body;
    assert_eq!(body["href"], format!("{url}/documents/D-1/content"));
    assert_eq!((&body["bytes"], &body["contentType"]), (&json!(1_000), &json!("application/pdf")));
    assert_eq!(body["sha256"], "df1329c8b6c7cf3740bbe2f8bab34d253a8d9534a79dceea18177081fdf9f0e9");
    let error = system.call(&read).await.unwrap_err();
    assert_eq!(error.fault, Fault::BadAnswer);
    assert!(error.message.contains("max_document, 1000 bytes"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_reached_or_read_is_told_apart() {
    let long = "x".repeat(101).into_response();
    let garbage = ([("content-type", "application/json")], "{").into_response();
    let moved = (StatusCode::FOUND, [("location", "/elsewhere")]).into_response();
    let (_server, url) = started(vec![long, garbage, moved]).await;
    let system = System::new(&settings(&url, Auth::None)).unwrap();
    for what in ["larger than max_answer", "says that it is JSON", "a redirect"] {
        let error = system.call(&request()).await.unwrap_err();
        assert_eq!(error.fault, Fault::BadAnswer);
        assert!(error.message.contains(what), "{error}");
    }
    let free = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let nobody = System::new(&settings(&format!("http://{free}"), Auth::None)).unwrap();
    assert_eq!(nobody.call(&request()).await.unwrap_err().fault, Fault::Unsent);
}

#[test]
fn settings_that_make_no_client_are_named() {
    let wrong = |change: fn(&mut Http)| {
        let mut settings = settings("https://crm.example", Auth::None);
        let Reach::Http(http) = &mut settings.reach else { panic!("it speaks HTTP") };
        change(http);
        System::new(&settings).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(wrong(|s| s.url = "ftp://x".into()).contains("`url` is no URL: neither http nor https"));
    assert!(wrong(|s| s.idempotency_header = "a b".into()).contains("`idempotency_header`"));
    assert!(wrong(|s| s.auth = Auth::Bearer("a\nb".into())).contains("`bearer`"));
    assert!(wrong(|s| s.identity = Some("no pem".into())).contains("`identity`"));
    assert!(!format!("{:?}", settings("https://crm.example", Auth::Bearer("hush".into()))).contains("hush"));
}
