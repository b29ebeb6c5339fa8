//! Deploying models and finding definitions, in both dialects.

use serde_json::json;
use workflow_client::Fault;

use crate::dialects::{FLOWABLE, OPENTEXT, answering, list};
use crate::server::{Server, reply};

#[tokio::test]
async fn flowable_deploys_a_file_and_shows_its_definitions() {
    let server = Server::start(|seen, _| match seen.line().as_str() {
        "POST /process-api/repository/deployments" => reply(201, json!({"id": "d1", "name": "x"})),
        _ => reply(
            200,
            list(
                FLOWABLE,
                "",
                json!([
            {"id": "triage:2:x", "key": "triage", "version": 2, "deploymentId": "d1"},
            {"id": "other:1:x", "key": "other", "version": 1, "deploymentId": "d0"}]),
            ),
        ),
    })
    .await;
    let definitions = server.flowable().deploy("triage.bpmn20.xml", "<definitions/>").await.unwrap();
    assert_eq!(definitions.iter().map(|found| found.key.as_str()).collect::<Vec<_>>(), ["triage"]);
    let upload = &server.seen()[0];
    assert!(upload.headers["content-type"].to_str().unwrap().starts_with("multipart/form-data"));
    assert!(
        upload.text.contains("name=\"file\"; filename=\"triage.bpmn20.xml\"") && upload.text.contains("<definitions/>")
    );
    assert_eq!(server.last().query["deploymentId"], "d1");
    let refused = server.flowable().deploy("triage.xml", "<definitions/>").await.unwrap_err();
    assert_eq!((refused.fault, server.seen().len()), (Fault::Limit, 2));
}

#[tokio::test]
async fn opentext_deploys_encoded_xml() {
    let (server, engine) = answering(OPENTEXT, 201, json!({"id": "m1", "key": "triage", "version": 4})).await;
    let definitions = engine.deploy("triage.bpmn", "<definitions/>").await.unwrap();
    assert_eq!((definitions[0].id.as_str(), definitions[0].version), ("m1", Some(4)));
    assert_eq!(server.last().line(), "POST /workflow/v1/runtime/models");
    assert_eq!(server.last().json(), json!({"modelType": "xml", "modelContent": "PGRlZmluaXRpb25zLz4="}));
}

#[tokio::test]
async fn a_definition_is_the_newest_of_its_key() {
    let rows = json!([{"id": "a", "key": "triage", "version": 1}, {"id": "b", "key": "triage", "version": 2},
                      {"id": "c", "key": "other", "version": 9}]);
    for (dialect, line) in
        [(FLOWABLE, "GET /process-api/repository/process-definitions"), (OPENTEXT, "GET /workflow/v1/runtime/models")]
    {
        let (server, engine) = answering(dialect, 200, list(dialect, "models", rows.clone())).await;
        assert_eq!(engine.definition("triage").await.unwrap().unwrap().id, "b");
        assert_eq!((server.last().line().as_str(), server.last().query["key"].as_str()), (line, "triage"));
        assert_eq!(engine.definition("nope").await.unwrap(), None);
    }
}
