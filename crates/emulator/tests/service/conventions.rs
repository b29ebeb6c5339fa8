//! Tokens, lists, error bodies.

use std::time::Duration;

use emulator::Switches;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::client::{Client, RUNTIME, embedded};

#[tokio::test]
async fn tokens_are_issued_for_json_and_form_bodies() {
    let client = Client::with(Switches { token_expires_in_s: 90, ..Switches::default() }).await;
    let grant = [
        ("grant_type", "client_credentials"),
        ("client_id", client.emulator.client_id()),
        ("client_secret", client.emulator.client_secret()),
    ];
    let form: String = grant.iter().map(|(name, value)| format!("{name}={value}&")).collect();
    let request = client.http.post(client.emulator.token_url()).body(form);
    let answer = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(90)));

    let refuse = |body: Value| client.http.post(client.emulator.token_url()).json(&body).send();
    let wrong = json!({ "grant_type": "client_credentials", "client_id": "xconnector", "client_secret": "no" });
    assert_eq!(refuse(wrong).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let secret = client.emulator.client_secret();
    let kind = json!({ "grant_type": "magic", "client_id": "xconnector", "client_secret": secret });
    assert_eq!(refuse(kind).await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_person_can_act_under_their_own_name() {
    let mut client = Client::start().await;
    let grant = json!({
        "grant_type": "password", "username": "ann@example.com", "password": "any",
        "client_id": "xconnector", "client_secret": client.emulator.client_secret(),
    });
    let answer = client.http.post(client.emulator.token_url()).json(&grant).send().await.unwrap();
    let id = client.start_ticket("ticket/1", "high").await;
    client.token = answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let path = format!("{RUNTIME}/process-instances/{id}/comments");
    assert_eq!(client.post(&path, json!({ "message": "hello" })).await.body["author"], "ann@example.com");
}

#[tokio::test]
async fn missing_expired_and_unknown_tokens_get_the_gateways_answer() {
    let mut client = Client::with(Switches { token_expires_in_s: 60, ..Switches::default() }).await;
    let tasks = format!("{RUNTIME}/tasks");
    let bare = client.http.get(format!("{}{tasks}", client.emulator.base_url())).send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    assert!(bare.json::<Value>().await.unwrap()["fault"]["faultstring"].is_string());

    client.emulator.faults().skip(Duration::from_secs(60));
    let expired = client.get(&tasks).await;
    assert_eq!(expired.status, StatusCode::UNAUTHORIZED);
    assert_eq!(expired.body["fault"]["faultstring"], "Access Token expired");

    client.token = client.fetch_token().await;
    assert_eq!(client.get(&tasks).await.status, StatusCode::OK);
    client.emulator.faults().revoke_tokens();
    let unknown = client.get(&tasks).await;
    assert_eq!(unknown.body["fault"]["faultstring"], "Invalid access token");
}

#[tokio::test]
async fn lists_are_hal_with_pages_of_ten() {
    let client = Client::start().await;
    let list = format!("{RUNTIME}/process-instances?processDefinitionKey=one_part");
    let empty = client.get(&list).await;
    assert_eq!(empty.body.get("_embedded"), None);
    assert_eq!(empty.body["page"]["totalElements"], 0);
    for _ in 0..23 {
        client.start_process("one_part").await;
    }
    let mut seen = Vec::new();
    let mut next = Some(list);
    let mut pages = 0;
    while let Some(path) = next {
        let page = client.get(&path).await;
        seen.extend(embedded(&page, "process-instances").iter().map(|i| i["id"].as_str().unwrap().to_owned()));
        assert_eq!(page.body["page"]["totalElements"], 23);
        let link = page.body["_links"]["next"]["href"].as_str();
        next = link.map(|href| href.strip_prefix(client.emulator.base_url()).unwrap().to_owned());
        pages += 1;
    }
    assert_eq!((pages, seen.len()), (3, 23));
    seen.dedup();
    assert_eq!(seen.len(), 23);
    let tail = client.get(&format!("{RUNTIME}/process-instances?offset=20&count=100")).await;
    assert_eq!(embedded(&tail, "process-instances").len(), 3);
    for wrong in ["sort=nonsense", "order=sideways"] {
        let answer = client.get(&format!("{RUNTIME}/process-instances?{wrong}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let answer = client.get(&format!("{RUNTIME}/process-instances?count=many")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn unreadable_requests_are_refused_like_the_engine_does() {
    let client = Client::start().await;
    let url = format!("{}{RUNTIME}/process-instances", client.emulator.base_url());
    let post = |body: &'static str, kind: &'static str| {
        client.http.post(&url).bearer_auth(&client.token).header(header::CONTENT_TYPE, kind).body(body).send()
    };
    for body in ["", "{", "[]", "{\"variables\": 5}"] {
        assert_eq!(post(body, "application/json").await.unwrap().status(), StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(post("{}", "text/plain").await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let closing = post("{", "application/json").await.unwrap();
    assert_eq!(closing.headers().get(header::CONNECTION).unwrap(), "close");
    assert_eq!(client.get(&format!("{RUNTIME}/nothing-here")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let patch = client.try_send(Method::PATCH, &format!("{RUNTIME}/tasks"), None).await.unwrap();
    assert_eq!(patch.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(client.get("/elsewhere").await.status, StatusCode::NOT_FOUND);
}
