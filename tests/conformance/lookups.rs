//! Finding instances by business key: what settles an ambiguous start

use serde_json::json;
use workflow_client::{Start, Variable, VariableValue};

use super::subject::Subject;

pub(super) async fn an_instance_is_seen_as_soon_as_its_start_is_answered(on: &Subject) {
    let key = on.deploy("approval").await;
    for number in 0..10 {
        let business_key = format!("order/{number}");
        let event = format!("tickets/{number}");
        let started = on.start(&key, &business_key, &[Variable::new("xcEventId", event.as_str())]).await;
        for found in [on.engine.running(&key, &business_key).await, on.engine.historic(&key, &business_key).await] {
            let found = found.unwrap();
            assert_eq!(found.iter().map(|instance| &instance.id).collect::<Vec<_>>(), [&started.id]);
            assert_eq!(found[0].variable("xcEventId").and_then(VariableValue::as_str), Some(event.as_str()));
            assert!(found[0].start_time.is_some() && !found[0].is_ended());
        }
    }
}

pub(super) async fn every_page_is_read(on: &Subject) {
    // more than one page of the client's, and many of the engine's default of 10
    const MANY: usize = 103;
    let key = on.deploy("approval").await;
    let starts = (0..MANY).map(|_| on.start(&key, "shared", &[]));
    let mut started: Vec<String> = Vec::new();
    for start in starts {
        started.push(start.await.id);
    }
    started.sort();
    for found in [on.engine.running(&key, "shared").await, on.engine.historic(&key, "shared").await] {
        let mut found: Vec<String> = found.unwrap().into_iter().map(|instance| instance.id).collect();
        found.sort();
        assert_eq!(found, started);
    }
}

pub(super) async fn the_business_key_is_matched_exactly(on: &Subject) {
    let key = on.deploy("approval").await;
    let business_keys = ["order/1", "order/12", "ORDER/1", "order/%", "order/_", "order/1 & 2?=#", "ördër/🎫", "a+b"];
    for business_key in business_keys {
        on.start(&key, business_key, &[Variable::new("own", business_key)]).await;
    }
    for business_key in business_keys {
        for found in [on.engine.running(&key, business_key).await, on.engine.historic(&key, business_key).await] {
            let found = found.unwrap();
            assert_eq!(found.len(), 1, "{business_key}");
            assert_eq!(found[0].variable("own").cloned().unwrap().into_json(), json!(business_key));
        }
    }
    assert_eq!(on.engine.running(&key, "order").await.unwrap(), []);
}

pub(super) async fn another_definition_with_the_same_key_is_not_found(on: &Subject) {
    let (key, _) = on.started("approval", &[]).await;
    let (other, instance) = on.started("message", &[]).await;
    assert_ne!(key, other);
    let found = on.engine.running(&other, "order/4711").await.unwrap();
    assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&instance.id]);
}

pub(super) async fn an_ended_instance_is_found_in_history_only(on: &Subject) {
    let (key, instance) = on.started("straight", &[]).await;
    assert_eq!(on.engine.running(&key, "order/4711").await.unwrap(), []);
    let found = on.engine.historic(&key, "order/4711").await.unwrap();
    assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&instance.id]);
    assert!(found[0].is_ended());
}

pub(super) async fn the_instance_of_a_call_activity_is_not_found(on: &Subject) {
    let called = on.deploy("approval").await;
    let caller = on.deploy("caller").await;
    let variables = [Variable::new("called", called.as_str()), Variable::new("xcEventId", "tickets/1")];
    let start = Start { definition: &caller, business_key: "order/1", name: None, variables: &variables };
    let instance = on.engine.start(&start).await.unwrap();
    let found = on.engine.running(&caller, "order/1").await.unwrap();
    assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&instance.id]);
    // the inner instance has the same key and, inherited, the same variables
    assert_eq!(on.engine.running(&called, "order/1").await.unwrap(), []);
    assert_eq!(on.engine.historic(&called, "order/1").await.unwrap(), []);
}
