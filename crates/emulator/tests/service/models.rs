//! Deploying and looking up models.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, RUNTIME, embedded};

const MODEL: &str = include_str!("../../models/parts.bpmn");

#[tokio::test]
async fn a_model_is_deployed_as_plain_xml_and_as_base64() {
    let client = Client::start().await;
    let models = format!("{RUNTIME}/runtime/models");
    for (version, content) in [(2, MODEL.to_owned()), (3, STANDARD.encode(MODEL))] {
        let deployed = client.post(&models, json!({ "modelType": "xml", "modelContent": content })).await;
        assert_eq!(deployed.status, StatusCode::CREATED, "{}", deployed.body);
        assert_eq!((&deployed.body["key"], &deployed.body["version"]), (&json!("exclusive_parts"), &json!(version)));
    }
    let all = client.get(&format!("{models}?key=one_part")).await;
    assert_eq!(embedded(&all, "models").len(), 3);
    let latest = embedded(&client.get(&format!("{models}?key=one_part&latestVersion=true")).await, "models");
    assert_eq!((latest.len(), &latest[0]["version"]), (1, &json!(3)));
    let one = client.get(&format!("{models}/{}", latest[0]["id"].as_str().unwrap())).await;
    assert_eq!(STANDARD.decode(one.body["modelContent"].as_str().unwrap()).unwrap(), MODEL.as_bytes());
    assert_eq!(client.get(&format!("{models}/nope")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn running_instances_keep_their_version() {
    let client = Client::start().await;
    client.start_process("one_part").await;
    client.emulator.deploy(MODEL).unwrap();
    client.start_process("one_part").await;
    let jobs = client.acquire("parts.one", "w1", 2).await;
    assert!(jobs[0]["processDefinitionId"].as_str().unwrap().starts_with("one_part:1:"));
    assert!(jobs[1]["processDefinitionId"].as_str().unwrap().starts_with("one_part:2:"));
}

#[tokio::test]
async fn a_model_that_cannot_run_is_refused_with_its_place() {
    let client = Client::start().await;
    let models = format!("{RUNTIME}/runtime/models");
    let broken = "<endEvent id=\"o_good\"><errorEventDefinition/></endEvent>";
    let model = MODEL.replace("<endEvent id=\"o_good\"/>", broken);
    let refused = client.post(&models, json!({ "modelType": "xml", "modelContent": model })).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let reason = refused.body["exception"].as_str().unwrap();
    assert!(reason.contains("line 43") && reason.contains("'o_good'"), "{reason}");
    for body in [
        json!({ "modelType": "xml" }),
        json!({ "modelType": "xml", "modelContent": "%%%" }),
        json!({ "modelType": "json", "modelContent": {} }),
        json!({}),
    ] {
        assert_eq!(client.post(&models, body).await.status, StatusCode::BAD_REQUEST);
    }
}
