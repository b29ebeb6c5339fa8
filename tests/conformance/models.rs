//! Deploying, finding definitions, and whether the engine lets us in

use workflow_client::{Endpoint, Fault};

use super::subject::{Subject, assert_fault};

pub(super) async fn a_new_version_is_used_by_the_next_start_only(on: &Subject) {
    let (key, before) = on.started("approval", &[]).await;
    let first = on.engine.definition(&key).await.unwrap().unwrap();
    on.deploy_as("message", &key).await;
    let second = on.engine.definition(&key).await.unwrap().unwrap();
    assert_eq!((first.version, second.version), (Some(1), Some(2)));

    let after = on.start(&key, "order/2", &[]).await;

    assert_eq!(on.task(&before).await.name.as_deref(), Some("Decide"));
    assert_eq!(on.task(&after).await.name.as_deref(), Some("Prepare"));
}

pub(super) async fn an_unknown_key_has_no_definition(on: &Subject) {
    assert_eq!(on.engine.definition("nobody-deployed-this").await.unwrap(), None);
}

pub(super) async fn a_file_that_is_no_model_is_refused(on: &Subject) {
    let refused = on.engine.deploy("broken.bpmn", "<definitions").await.unwrap_err();
    assert!(matches!(refused.fault, Fault::BadRequest | Fault::EngineError), "{refused}");
}

pub(super) async fn the_probe_succeeds(on: &Subject) {
    on.engine.probe().await.unwrap();
    for endpoint in [Endpoint::Runtime, Endpoint::History, Endpoint::Jobs] {
        on.engine.probe_endpoint(endpoint).await.unwrap();
    }
}

pub(super) async fn wrong_credentials_are_unauthorized(on: &Subject) {
    assert_fault(on.with_wrong_secret().probe().await, Fault::Unauthorized);
}
