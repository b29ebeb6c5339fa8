//! Starting an instance

use promises::{DEADLINE, until};
use reqwest::Method;
use serde_json::json;
use workflow_client::{Fault, Start, Variable};

use super::subject::{Subject, assert_fault};

fn start(definition: &str) -> Start<'_> {
    Start { definition, business_key: "order/1", name: None, variables: &[] }
}

pub(super) async fn by_key_waits_at_the_first_task(on: &Subject) {
    let (key, instance) = on.started("approval", &[]).await;
    assert!(!instance.id.is_empty() && !instance.is_ended());
    let running = on.engine.running(&key, "order/4711").await.unwrap();
    assert_eq!(running.iter().map(|running| &running.id).collect::<Vec<_>>(), [&instance.id]);
    assert_eq!(on.task(&instance).await.name.as_deref(), Some("Decide"));
}

pub(super) async fn by_message_takes_the_definition_that_declares_it(on: &Subject) {
    let key = on.deploy("approval").await;
    let body = json!({"message": format!("{key}.begin"), "businessKey": "order/1"});
    let (status, answer) = on.raw(Method::POST, "process-instances", &body).await;
    assert_eq!(status, 201, "{answer}");
    let running = on.engine.running(&key, "order/1").await.unwrap();
    assert_eq!(running.iter().map(|running| json!(running.id)).collect::<Vec<_>>(), [answer["id"].clone()]);
}

pub(super) async fn an_instance_that_ends_within_the_call_says_so(on: &Subject) {
    let (_, instance) = on.started("straight", &[]).await;
    assert!(instance.is_ended());
}

pub(super) async fn a_business_key_is_accepted_twice(on: &Subject) {
    let (key, first) = on.started("approval", &[]).await;
    let second = on.start(&key, "order/4711", &[]).await;
    assert_ne!(first.id, second.id);
    assert_eq!(on.engine.running(&key, "order/4711").await.unwrap().len(), 2);
}

pub(super) async fn an_unknown_definition_is_a_bad_request(on: &Subject) {
    assert_fault(on.engine.start(&start("nobody-deployed-this")).await, Fault::BadRequest);
}

pub(super) async fn an_unknown_message_is_a_bad_request(on: &Subject) {
    let body = json!({"message": "nobody declared this", "businessKey": "order/1"});
    let (status, _) = on.raw(Method::POST, "process-instances", &body).await;
    assert_eq!(status, 400);
}

pub(super) async fn two_selectors_are_a_bad_request(on: &Subject) {
    let key = on.deploy("approval").await;
    let body = json!({"message": format!("{key}.begin"), "processDefinitionKey": key});
    let (status, _) = on.raw(Method::POST, "process-instances", &body).await;
    assert_eq!(status, 400);
    let (status, _) = on.raw(Method::POST, "process-instances", &json!({"businessKey": "order/1"})).await;
    assert_eq!(status, 400);
}

pub(super) async fn a_step_that_throws_before_the_first_wait_state_leaves_nothing_behind(on: &Subject) {
    let key = on.deploy("throws").await;
    let set = [Variable::new("unrelated", 1)];
    assert_fault(on.engine.start(&Start { variables: &set, ..start(&key) }).await, Fault::EngineError);
    assert_eq!(on.engine.running(&key, "order/1").await.unwrap(), []);
    assert_eq!(on.engine.historic(&key, "order/1").await.unwrap(), []);
}

/// Why a lost answer is never a proof that nothing was done
pub(super) async fn a_start_whose_client_is_gone_takes_effect_all_the_same(on: &Subject) {
    let key = on.deploy("approval").await;
    on.post_and_leave("process-instances", &json!({"processDefinitionKey": key, "businessKey": "order/1"})).await;
    let found = until("the instance", DEADLINE, async || Ok(on.engine.running(&key, "order/1").await?.pop())).await;
    assert!(!found.unwrap().is_ended());
}

pub(super) async fn of_concurrent_starts_with_one_business_key_all_succeed(on: &Subject) {
    let key = on.deploy("approval").await;
    let start = || on.start(&key, "order/1", &[]);
    let (a, b, c) = tokio::join!(start(), start(), start());
    assert!(a.id != b.id && b.id != c.id && a.id != c.id);
    assert_eq!(on.engine.running(&key, "order/1").await.unwrap().len(), 3);
}
