//! What is left of an instance: outcome, audit, comments, reasons

use serde_json::json;
use workflow_client::{CommentTarget, Fault, Variable};

use super::subject::{Subject, assert_fault};

pub(super) async fn the_end_and_the_last_variables_are_kept(on: &Subject) {
    let (key, instance) = on.started("approval", &[Variable::new("amount", 1)]).await;
    let changed = [Variable::new("decision", "approved"), Variable::new("amount", 2)];
    on.complete_only_task(&instance, &changed).await;
    let ended = on.ended(&instance).await;
    assert_eq!(ended.business_key.as_deref(), Some("order/4711"));
    assert_eq!(ended.definition_key(), Some(key.as_str()));
    assert_eq!(ended.end_activity_id.as_deref(), Some("approved"));
    assert_eq!(ended.delete_reason, None);
    assert!(ended.start_time.unwrap() <= ended.end_time().unwrap());
    assert_eq!(on.variables(&instance).await["amount"], json!(2));
}

pub(super) async fn the_audit_names_who_decided_and_when(on: &Subject) {
    let (_, instance) = on.started("approval", &[]).await;
    let task = on.task(&instance).await;
    let open = on.engine.historic_tasks(&instance.id).await.unwrap();
    assert!(open.iter().all(|task| task.end_time.is_none()));
    on.engine.claim(&task.id, "ada").await.unwrap();
    on.engine.complete_task(&task.id, None, &[Variable::new("decision", "approved")]).await.unwrap();
    on.ended(&instance).await;

    let audit = on.engine.historic_tasks(&instance.id).await.unwrap();

    assert_eq!(audit.len(), 1);
    let entry = &audit[0];
    assert_eq!(entry.id, task.id);
    assert_eq!(entry.task_definition_key.as_deref(), Some("decide"));
    assert_eq!((entry.name.as_deref(), entry.assignee.as_deref()), (Some("Decide"), Some("ada")));
    assert!(entry.created().unwrap() <= entry.claim_time.unwrap());
    assert!(entry.claim_time.unwrap() <= entry.end_time.unwrap());
    assert!(entry.due_date.is_some() && entry.delete_reason.is_none());
}

pub(super) async fn comments_are_readable_after_the_end(on: &Subject) {
    let (_, instance) = on.started("approval", &[]).await;
    let task = on.task(&instance).await;
    on.engine.add_comment(CommentTarget::Task(&task.id), "looks good, größer als erwartet").await.unwrap();
    on.engine.add_comment(CommentTarget::Instance(&instance.id), "closing").await.unwrap();
    on.complete_only_task(&instance, &[Variable::new("decision", "approved")]).await;
    on.ended(&instance).await;

    let comments = on.engine.comments(&instance.id).await.unwrap();

    let mut texts: Vec<&str> = comments.iter().map(|comment| comment.message.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["closing", "looks good, größer als erwartet"]);
    assert!(comments.iter().all(|comment| comment.time.is_some() && comment.author.is_some()), "{comments:?}");
}

pub(super) async fn a_terminated_instance_keeps_the_reason(on: &Subject) {
    let (key, instance) = on.started("approval", &[Variable::new("amount", 1)]).await;
    on.engine.terminate(&instance.id, "ticket withdrawn & closed").await.unwrap();
    assert_eq!(on.engine.running(&key, "order/4711").await.unwrap(), []);
    let ended = on.ended(&instance).await;
    assert_eq!(ended.delete_reason.as_deref(), Some("ticket withdrawn & closed"));
    assert!(ended.end_time().is_some() && ended.end_activity_id.is_none());
    assert_eq!(on.variables(&instance).await["amount"], json!(1));
    let audit = on.engine.historic_tasks(&instance.id).await.unwrap();
    assert!(audit.iter().all(|task| task.delete_reason.is_some()), "an open task was removed, not completed");
}

pub(super) async fn terminating_twice_finds_nothing(on: &Subject) {
    let (_, instance) = on.started("approval", &[]).await;
    on.engine.terminate(&instance.id, "first").await.unwrap();
    assert_fault(on.engine.terminate(&instance.id, "second").await, Fault::NotFound);
    assert_eq!(on.ended(&instance).await.delete_reason.as_deref(), Some("first"));
}

pub(super) async fn an_unknown_instance_has_no_history(on: &Subject) {
    let unknown = uuid::Uuid::new_v4().to_string();
    assert_eq!(on.engine.instance_history(&unknown).await.unwrap(), None);
    assert_fault(on.engine.comments(&unknown).await, Fault::NotFound);
}
