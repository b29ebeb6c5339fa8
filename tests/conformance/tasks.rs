//! Human tasks: list, claim, complete

use serde_json::json;
use workflow_client::{Fault, TaskFilter, Variable};

use super::subject::{Subject, assert_fault};

pub(super) async fn a_task_is_listed_for_its_candidate_group(on: &Subject) {
    let (key, instance) = on.started("approval", &[]).await;
    let group = format!("{key}.clerks");
    let tasks = on.engine.tasks(TaskFilter::CandidateGroup(&group)).await.unwrap();
    assert_eq!(tasks.len(), 1);
    let task = &tasks[0];
    assert_eq!(task.process_instance_id, Some(instance.id));
    assert_eq!((task.name.as_deref(), task.assignee.as_deref()), (Some("Decide"), None));
    let (created, due) = (task.create_time.unwrap(), task.due_date.unwrap());
    let seconds = due.duration_since(created).as_secs();
    assert!((3595..=3605).contains(&seconds), "due {seconds} s after its creation, the model says one hour");
    let others = on.engine.tasks(TaskFilter::CandidateGroup("nobody.clerks")).await.unwrap();
    assert_eq!(others, []);
}

pub(super) async fn a_task_is_listed_for_its_instance(on: &Subject) {
    let (key, instance) = on.started("approval", &[]).await;
    let other = on.start(&key, "order/2", &[]).await;
    let of_instance = on.engine.tasks(TaskFilter::Instance(&other.id)).await.unwrap();
    let of_business_key = on.engine.tasks(TaskFilter::BusinessKey("order/2")).await.unwrap();
    assert_eq!(of_instance.len(), 1);
    assert!(of_business_key.iter().any(|task| task.id == of_instance[0].id));
    assert!(of_business_key.iter().all(|task| task.process_instance_id.as_ref() != Some(&instance.id)));
}

pub(super) async fn a_claimed_task_refuses_another_user(on: &Subject) {
    let (key, instance) = on.started("approval", &[]).await;
    let task = on.task(&instance).await;
    on.engine.claim(&task.id, "ada").await.unwrap();
    on.engine.claim(&task.id, "ada").await.unwrap();
    assert_fault(on.engine.claim(&task.id, "bob").await, Fault::Conflict);
    assert_eq!(on.task(&instance).await.assignee.as_deref(), Some("ada"));
    let group = format!("{key}.clerks");
    assert_eq!(on.engine.tasks(TaskFilter::CandidateGroup(&group)).await.unwrap(), [], "a claimed task is no offer");
}

pub(super) async fn an_unclaimed_task_can_be_claimed_by_another_user(on: &Subject) {
    let (_, instance) = on.started("approval", &[]).await;
    let task = on.task(&instance).await;
    on.engine.claim(&task.id, "ada").await.unwrap();
    on.engine.unclaim(&task.id, "ada").await.unwrap();
    on.engine.claim(&task.id, "bob").await.unwrap();
    assert_eq!(on.task(&instance).await.assignee.as_deref(), Some("bob"));
}

pub(super) async fn completing_with_variables_decides_the_way(on: &Subject) {
    for (decision, end) in [("approved", "approved"), ("refused", "rejected")] {
        let (_, instance) = on.started("approval", &[]).await;
        on.complete_only_task(&instance, &[Variable::new("decision", decision)]).await;
        let ended = on.ended(&instance).await;
        assert_eq!(ended.end_activity_id.as_deref(), Some(end));
        assert_eq!(on.variables(&instance).await["decision"], json!(decision));
    }
}

pub(super) async fn the_outcome_is_kept_in_the_variable_that_the_model_names(on: &Subject) {
    let (_, instance) = on.started("approval", &[]).await;
    let task = on.task(&instance).await;
    on.engine.complete_task(&task.id, Some("approved"), &[Variable::new("decision", "x")]).await.unwrap();
    on.ended(&instance).await;
    assert_eq!(on.variables(&instance).await.get("verdict"), Some(&json!("approved")));
}

pub(super) async fn completing_twice_finds_nothing(on: &Subject) {
    let (_, instance) = on.started("approval", &[]).await;
    let task = on.task(&instance).await;
    let decision = [Variable::new("decision", "approved")];
    on.engine.complete_task(&task.id, None, &decision).await.unwrap();
    assert_fault(on.engine.complete_task(&task.id, None, &decision).await, Fault::NotFound);
    assert_fault(on.engine.claim(&task.id, "ada").await, Fault::NotFound);
}

/// The engine rolls back: nobody has to decide twice.
pub(super) async fn a_completion_that_throws_leaves_the_task_open(on: &Subject) {
    let (_, instance) = on.started("approval", &[]).await;
    let task = on.task(&instance).await;
    // the gateway behind the task reads `decision`, which nobody set
    let unset = on.engine.complete_task(&task.id, None, &[Variable::new("other", true)]).await;
    assert_fault(unset, Fault::EngineError);
    assert_eq!(on.task(&instance).await.id, task.id);
    assert!(!on.variables(&instance).await.contains_key("other"));
}
