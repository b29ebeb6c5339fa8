//! External-worker jobs: acquire, complete, fail, and what becomes of a lock

use std::time::Duration;

use promises::{DEADLINE, until};
use serde_json::json;
use workflow_client::{Fault, Instance, Job, JobFailure, Variable};

use super::subject::{Subject, assert_fault};

/// Longer than any test runs
const LONG: Duration = Duration::from_secs(3600);
/// Over before the next question is asked, or soon after
const SHORT: Duration = Duration::from_millis(100);

/// An instance whose job worker `w1` holds: topic, instance, job
async fn locked(on: &Subject) -> (String, Instance, Job) {
    let (topic, instance) = on.started("job", &[Variable::new("amount", 42)]).await;
    let job = on.job(&topic, "w1", LONG).await;
    (topic, instance, job)
}

fn failure(retries: Option<u32>) -> JobFailure<'static> {
    JobFailure { message: "no luck", details: Some("line 1\nline 2"), retries, retry_timeout: None }
}

pub(super) async fn a_job_carries_the_variables_of_its_instance(on: &Subject) {
    let (topic, instance, job) = locked(on).await;
    assert_eq!(job.process_instance_id.as_ref(), Some(&instance.id));
    assert!(job.process_definition_id.unwrap().starts_with(&format!("{topic}:1:")));
    assert_eq!(job.element_id.as_deref(), Some("work"));
    assert_eq!(job.element_name.as_deref(), Some("Work"));
    assert_eq!(job.lock_owner.as_deref(), Some("w1"));
    assert_eq!(job.retries, Some(3));
    assert!(job.correlation_id.is_some() && job.lock_expiration_time.is_some() && job.create_time.is_some());
    let amount = job.variables.into_iter().find(|variable| variable.name == "amount").unwrap();
    assert_eq!(amount.value.into_json(), json!(42));
}

pub(super) async fn a_job_names_its_topic(on: &Subject) {
    let (topic, _, job) = locked(on).await;
    assert_eq!(job.topic, Some(topic));
}

pub(super) async fn nothing_to_do_is_an_empty_list(on: &Subject) {
    assert_eq!(on.acquire("nobody-works-here", "w1", LONG, 10).await, []);
}

pub(super) async fn a_batch_takes_one_job_each_of_several_instances(on: &Subject) {
    let (topic, first) = on.started("job", &[]).await;
    let second = on.start(&topic, "order/2", &[]).await;
    let third = on.start(&topic, "order/3", &[]).await;
    let mut expected = [first.id, second.id, third.id];
    expected.sort();

    let two = on.acquire(&topic, "w1", LONG, 2).await;
    let rest = on.acquire(&topic, "w1", LONG, 10).await;

    assert_eq!((two.len(), rest.len()), (2, 1));
    let mut instances: Vec<String> = two.into_iter().chain(rest).filter_map(|job| job.process_instance_id).collect();
    instances.sort();
    assert_eq!(instances, expected);
}

pub(super) async fn a_locked_job_is_not_handed_out_again(on: &Subject) {
    let (topic, _, _) = locked(on).await;
    assert_eq!(on.acquire(&topic, "w2", LONG, 10).await, []);
    assert_eq!(on.acquire(&topic, "w1", LONG, 10).await, [], "not even to its owner");
}

pub(super) async fn an_expired_job_comes_back_under_its_id(on: &Subject) {
    let (topic, _) = on.started("job", &[]).await;
    let first = on.job(&topic, "w1", SHORT).await;
    let again = on.job(&topic, "w2", LONG).await;
    assert_eq!((again.id, again.correlation_id), (first.id, first.correlation_id));
    assert_eq!(again.retries, first.retries, "an expired lock costs no try");
    assert_eq!(again.lock_owner.as_deref(), Some("w2"));
}

pub(super) async fn a_completed_job_moves_its_instance_on_with_the_result(on: &Subject) {
    let (_, instance, job) = locked(on).await;
    on.engine.complete_job(&job.id, "w1", &[Variable::new("result", "done")]).await.unwrap();
    assert_eq!(on.task(&instance).await.name.as_deref(), Some("Accepted"));
    assert_eq!(on.variables(&instance).await["result"], json!("done"));
}

pub(super) async fn completing_twice_finds_nothing(on: &Subject) {
    let (_, instance, job) = locked(on).await;
    on.engine.complete_job(&job.id, "w1", &[]).await.unwrap();
    on.task(&instance).await;
    assert_fault(on.engine.complete_job(&job.id, "w1", &[]).await, Fault::NotFound);
}

pub(super) async fn only_the_owner_of_the_lock_may_complete(on: &Subject) {
    let (_, instance, job) = locked(on).await;
    assert_fault(on.engine.complete_job(&job.id, "w2", &[]).await, Fault::Forbidden);
    assert_fault(on.engine.fail_job(&job.id, "w2", &failure(None)).await, Fault::Forbidden);
    assert_fault(on.engine.bpmn_error(&job.id, "w2", "declined", &[]).await, Fault::Forbidden);
    on.engine.complete_job(&job.id, "w1", &[]).await.unwrap();
    assert_eq!(on.task(&instance).await.name.as_deref(), Some("Accepted"));
}

pub(super) async fn after_the_job_was_handed_out_again_the_first_worker_may_not_complete(on: &Subject) {
    let (topic, _) = on.started("job", &[]).await;
    let job = on.job(&topic, "w1", SHORT).await;
    on.job(&topic, "w2", LONG).await;
    assert_fault(on.engine.complete_job(&job.id, "w1", &[]).await, Fault::Forbidden);
    on.engine.complete_job(&job.id, "w2", &[]).await.unwrap();
}

pub(super) async fn a_failing_job_comes_back_until_its_tries_are_used_up(on: &Subject) {
    let (topic, instance, first) = locked(on).await;
    let mut job = first.clone();
    for left in [2, 1] {
        on.engine.fail_job(&job.id, "w1", &failure(None)).await.unwrap();
        job = on.job(&topic, "w1", LONG).await;
        assert_eq!((&job.id, &job.correlation_id), (&first.id, &first.correlation_id));
        assert_eq!(job.retries, Some(left));
        assert_eq!(job.exception_message.as_deref(), Some("no luck"));
    }
    on.engine.fail_job(&job.id, "w1", &failure(None)).await.unwrap();

    assert_eq!(on.acquire(&topic, "w1", LONG, 10).await, []);
    assert_fault(on.engine.complete_job(&job.id, "w1", &[]).await, Fault::NotFound);
    assert_eq!(on.engine.running(&topic, "order/4711").await.unwrap()[0].id, instance.id, "the instance still waits");
}

pub(super) async fn a_job_failed_without_tries_left_is_gone_at_once(on: &Subject) {
    let (topic, _, job) = locked(on).await;
    on.engine.fail_job(&job.id, "w1", &failure(Some(0))).await.unwrap();
    assert_eq!(on.acquire(&topic, "w1", LONG, 10).await, []);
    assert_fault(on.engine.complete_job(&job.id, "w1", &[]).await, Fault::NotFound);
}

pub(super) async fn a_bpmn_error_takes_the_boundary_event(on: &Subject) {
    let (_, instance, job) = locked(on).await;
    on.engine.bpmn_error(&job.id, "w1", "declined", &[Variable::new("why", "too late")]).await.unwrap();
    assert_eq!(on.task(&instance).await.name.as_deref(), Some("Declined"));
    assert_eq!(on.variables(&instance).await["why"], json!("too late"));
}

pub(super) async fn the_job_of_a_terminated_instance_is_gone(on: &Subject) {
    let (_, instance, job) = locked(on).await;
    on.engine.terminate(&instance.id, "obsolete").await.unwrap();
    assert_fault(on.engine.complete_job(&job.id, "w1", &[]).await, Fault::NotFound);
    assert_fault(on.engine.fail_job(&job.id, "w1", &failure(None)).await, Fault::NotFound);
}

/// So 404 on completion is no proof of completion.
pub(super) async fn the_job_of_a_suspended_instance_is_hidden_until_it_is_activated(on: &Subject) {
    let (topic, instance) = on.started("job", &[]).await;
    let job = on.job(&topic, "w1", SHORT).await;
    on.suspend(&instance).await;
    assert_fault(on.engine.complete_job(&job.id, "w1", &[]).await, Fault::NotFound);
    assert_eq!(on.acquire(&topic, "w2", LONG, 10).await, []);

    on.activate(&instance).await;

    let again = until("the job to come back", DEADLINE, async || Ok(on.acquire(&topic, "w2", LONG, 1).await.pop()));
    let again = again.await.unwrap();
    assert_eq!((again.id, again.correlation_id), (job.id, job.correlation_id));
}

/// What 403 and 404 on completion leave unsaid.
pub(super) async fn a_job_is_open_until_it_is_completed_whoever_holds_its_lock(on: &Subject) {
    let (topic, instance) = on.started("job", &[]).await;
    let job = on.job(&topic, "w1", SHORT).await;
    let open = async || on.engine.is_open(&job.id, &instance.id).await.unwrap();
    assert!(open().await, "locked by us");
    on.job(&topic, "w2", LONG).await;
    assert!(open().await, "locked by another");
    on.engine.fail_job(&job.id, "w2", &failure(None)).await.unwrap();
    assert!(open().await, "locked by nobody");
    on.suspend(&instance).await;
    assert!(open().await, "hidden");
    on.activate(&instance).await;
    let again = until("the job to come back", DEADLINE, async || Ok(on.acquire(&topic, "w1", LONG, 1).await.pop()));
    assert_eq!(again.await.unwrap().id, job.id);
    assert!(open().await, "handed out again");

    on.engine.complete_job(&job.id, "w1", &[]).await.unwrap();

    assert!(!open().await, "completed");
    on.task(&instance).await;
    assert!(!open().await, "completed, and its instance has moved on");
}

pub(super) async fn the_job_of_an_ended_instance_or_without_tries_left_is_not_open(on: &Subject) {
    let (_, instance, job) = locked(on).await;
    on.engine.terminate(&instance.id, "obsolete").await.unwrap();
    assert!(!on.engine.is_open(&job.id, &instance.id).await.unwrap());

    let (_, instance, job) = locked(on).await;
    on.engine.fail_job(&job.id, "w1", &failure(Some(0))).await.unwrap();
    assert!(!on.engine.is_open(&job.id, &instance.id).await.unwrap());
}

pub(super) async fn of_concurrent_completions_one_succeeds(on: &Subject) {
    let (_, instance, job) = locked(on).await;
    let complete = || on.engine.complete_job(&job.id, "w1", &[]);
    let (a, b, c, d) = tokio::join!(complete(), complete(), complete(), complete());
    assert_eq!([a, b, c, d].iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(on.task(&instance).await.name.as_deref(), Some("Accepted"));
}

pub(super) async fn two_workers_never_hold_the_same_job(on: &Subject) {
    const JOBS: usize = 6;
    let topic = on.deploy("job").await;
    for number in 0..JOBS {
        on.start(&topic, &format!("order/{number}"), &[]).await;
    }
    let mut held = Vec::new();
    // an acquirer that loses the race gets an empty list: not a proof that nothing is left
    while held.len() < JOBS {
        let (one, two) = tokio::join!(on.acquire(&topic, "w1", LONG, 2), on.acquire(&topic, "w2", LONG, 2));
        held.extend(one.into_iter().chain(two).map(|job| job.id));
    }
    held.sort();
    held.dedup();
    assert_eq!(held.len(), JOBS);
}

pub(super) async fn a_batch_takes_all_jobs_of_an_instance_where_the_model_says_not_exclusive(on: &Subject) {
    let (topic, instance) = on.started("fork", &[]).await;
    let jobs = on.acquire(&topic, "w1", LONG, 10).await;
    assert_eq!(jobs.len(), 2);
    let complete = |job: usize| on.engine.complete_job(&jobs[job].id, "w1", &[]);
    complete(0).await.unwrap();
    complete(1).await.unwrap();
    assert_eq!(on.ended(&instance).await.end_activity_id.as_deref(), Some("done"));
}

/// Jobs are exclusive unless the model says otherwise; this is why an acquirer falls back to one job at a time.
pub(super) async fn exclusive_jobs_of_an_instance_are_only_handed_out_one_by_one(on: &Subject) {
    let (topic, instance) = on.started("exclusive", &[]).await;
    assert_eq!(on.acquire(&topic, "w1", LONG, 2).await, [], "a batch with two of them comes back empty");
    for _ in 0..2 {
        let job = on.job(&topic, "w1", LONG).await;
        assert_eq!(on.acquire(&topic, "w1", LONG, 1).await, [], "the other one is blocked meanwhile");
        on.engine.complete_job(&job.id, "w1", &[]).await.unwrap();
    }
    assert_eq!(on.ended(&instance).await.end_activity_id.as_deref(), Some("done"));
}
