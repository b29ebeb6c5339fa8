//! Correlating a message: find the instance, find its waiting execution, deliver

use serde_json::json;
use workflow_client::{ExecutionId, Fault, Instance, Variable};

use super::subject::{Subject, assert_fault};

/// An instance that waits for its message: the message's name, itself, the waiting execution
async fn waiting(on: &Subject) -> (String, Instance, ExecutionId) {
    let (key, instance) = on.started("message", &[]).await;
    on.complete_only_task(&instance, &[]).await;
    let message = format!("{key}.go");
    let mut executions = on.engine.waiting(&instance.id, &message).await.unwrap();
    assert_eq!(executions.len(), 1);
    (message, instance, executions.remove(0))
}

pub(super) async fn a_message_moves_the_waiting_instance_on(on: &Subject) {
    let (message, instance, execution) = waiting(on).await;
    on.engine.deliver(&execution, &message, &[Variable::new("answer", "yes")]).await.unwrap();
    assert_eq!(on.task(&instance).await.name.as_deref(), Some("Follow up"));
    assert_eq!(on.variables(&instance).await["answer"], json!("yes"));
    assert_eq!(on.engine.waiting(&instance.id, &message).await.unwrap(), []);
}

pub(super) async fn an_early_message_finds_nothing_and_is_not_kept(on: &Subject) {
    let (key, instance) = on.started("message", &[]).await;
    let message = format!("{key}.go");
    assert_eq!(on.engine.waiting(&instance.id, &message).await.unwrap(), []);
    // whoever sends it all the same, to the instance itself, is refused
    let early = on.engine.deliver(&ExecutionId(instance.id.clone()), &message, &[]).await;
    assert_fault(early, Fault::EngineError);

    on.complete_only_task(&instance, &[]).await;

    assert_eq!(on.engine.waiting(&instance.id, &message).await.unwrap().len(), 1, "it still waits for its message");
}

pub(super) async fn a_message_is_taken_once(on: &Subject) {
    let (message, instance, execution) = waiting(on).await;
    on.engine.deliver(&execution, &message, &[]).await.unwrap();
    let again = on.engine.deliver(&execution, &message, &[]).await.unwrap_err();
    assert!(matches!(again.fault, Fault::NotFound | Fault::EngineError), "{again}");
    assert_eq!(on.task(&instance).await.name.as_deref(), Some("Follow up"), "it moved one step, not two");
}

pub(super) async fn another_message_is_refused(on: &Subject) {
    let (message, instance, execution) = waiting(on).await;
    assert_fault(on.engine.deliver(&execution, "some other message", &[]).await, Fault::EngineError);
    assert_eq!(on.engine.waiting(&instance.id, "some other message").await.unwrap(), []);
    assert_eq!(on.engine.waiting(&instance.id, &message).await.unwrap(), [execution]);
}

pub(super) async fn a_suspended_instance_refuses_its_message_until_it_is_activated(on: &Subject) {
    let (message, instance, execution) = waiting(on).await;
    on.suspend(&instance).await;
    assert_fault(on.engine.deliver(&execution, &message, &[]).await, Fault::EngineError);
    let key = message.trim_end_matches(".go");
    let found = on.engine.running(key, "order/4711").await.unwrap();
    assert!(found[0].suspended, "the look-up shows why");

    on.activate(&instance).await;

    on.engine.deliver(&execution, &message, &[]).await.unwrap();
    assert_eq!(on.task(&instance).await.name.as_deref(), Some("Follow up"));
}

pub(super) async fn an_ended_instance_has_no_execution_for_a_message(on: &Subject) {
    let (message, instance, execution) = waiting(on).await;
    on.engine.terminate(&instance.id, "obsolete").await.unwrap();
    assert_eq!(on.engine.waiting(&instance.id, &message).await.unwrap(), []);
    assert_fault(on.engine.deliver(&execution, &message, &[]).await, Fault::NotFound);
}

pub(super) async fn of_concurrent_deliveries_one_succeeds(on: &Subject) {
    let (message, instance, execution) = waiting(on).await;
    let deliver = || on.engine.deliver(&execution, &message, &[]);
    let (a, b, c, d) = tokio::join!(deliver(), deliver(), deliver(), deliver());
    assert_eq!([a, b, c, d].iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(on.task(&instance).await.name.as_deref(), Some("Follow up"), "it moved one step");
}

/// The instance ends by its own clock: task and subscription are gone together.
pub(super) async fn a_timer_that_fires_first_cancels_the_wait(on: &Subject) {
    let (key, instance) = on.started("timer", &[]).await;
    let message = format!("{key}.go");
    let executions = on.engine.waiting(&instance.id, &message).await.unwrap();
    assert_eq!(executions.len(), 1);
    let ended = on.ended(&instance).await;
    assert_eq!(ended.end_activity_id.as_deref(), Some("tooLate"));
    assert_eq!(on.engine.waiting(&instance.id, &message).await.unwrap(), []);
    assert_fault(on.engine.deliver(&executions[0], &message, &[]).await, Fault::NotFound);
}
