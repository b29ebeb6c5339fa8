//! One behaviour suite, two engines: what the connector relies on holds on Flowable and on the emulator alike
//!
//! A behaviour is a plain function over a [`Subject`] and does not know which engine is behind it. The table below lists each
//! once. One that holds on a single engine says why, and must fail on the other: a reason that is no longer true is found.

mod history;
mod http_tasks;
mod jobs;
mod lookups;
mod messages;
mod models;
mod starts;
mod subject;
mod sweeps;
mod tasks;
mod variables;

use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub(crate) use subject::Subject;

/// `both!(module::function)`: holds on both engines
macro_rules! both {
    ($behaviour:path) => {
        Behaviour { name: stringify!($behaviour), holds_on: HoldsOn::Both, run: |on| Box::pin($behaviour(on)) }
    };
}

/// `only!(module::function, holds on, reason)`: holds on one engine
macro_rules! only {
    ($behaviour:path, $holds_on:ident, $reason:literal) => {
        Behaviour {
            name: stringify!($behaviour),
            holds_on: HoldsOn::$holds_on($reason),
            run: |on| Box::pin($behaviour(on)),
        }
    };
}

const BEHAVIOURS: &[Behaviour] = &[
    both!(starts::by_key_waits_at_the_first_task),
    both!(starts::by_message_takes_the_definition_that_declares_it),
    both!(starts::an_instance_that_ends_within_the_call_says_so),
    both!(starts::a_business_key_is_accepted_twice),
    both!(starts::an_unknown_definition_is_a_bad_request),
    both!(starts::an_unknown_message_is_a_bad_request),
    both!(starts::two_selectors_are_a_bad_request),
    both!(starts::a_step_that_throws_before_the_first_wait_state_leaves_nothing_behind),
    both!(starts::of_concurrent_starts_with_one_business_key_all_succeed),
    both!(starts::a_start_whose_client_is_gone_takes_effect_all_the_same),
    both!(lookups::an_instance_is_seen_as_soon_as_its_start_is_answered),
    both!(lookups::every_page_is_read),
    both!(lookups::the_business_key_is_matched_exactly),
    both!(lookups::another_definition_with_the_same_key_is_not_found),
    both!(lookups::an_ended_instance_is_found_in_history_only),
    only!(
        lookups::the_instance_of_a_call_activity_is_not_found,
        Flowable,
        "the emulator refuses models with call activities, so none of its instances has a parent"
    ),
    both!(sweeps::every_instance_is_given_once_with_its_mark),
    both!(sweeps::what_started_before_is_left_out),
    both!(sweeps::what_has_ended_is_given_in_the_order_of_its_end),
    only!(
        sweeps::the_instance_of_a_call_activity_is_left_out,
        Flowable,
        "the emulator refuses models with call activities, so none of its instances has a parent"
    ),
    both!(sweeps::history_holds_what_runs_where_the_dialect_says_so),
    both!(messages::a_message_moves_the_waiting_instance_on),
    both!(messages::an_early_message_finds_nothing_and_is_not_kept),
    both!(messages::a_message_is_taken_once),
    both!(messages::another_message_is_refused),
    both!(messages::a_suspended_instance_refuses_its_message_until_it_is_activated),
    both!(messages::an_ended_instance_has_no_execution_for_a_message),
    both!(messages::of_concurrent_deliveries_one_succeeds),
    both!(messages::a_timer_that_fires_first_cancels_the_wait),
    both!(jobs::a_job_carries_the_variables_of_its_instance),
    only!(jobs::a_job_names_its_topic, OpenText, "Flowable's jobs do not say which topic they belong to"),
    both!(jobs::nothing_to_do_is_an_empty_list),
    both!(jobs::a_batch_takes_one_job_each_of_several_instances),
    both!(jobs::a_locked_job_is_not_handed_out_again),
    both!(jobs::an_expired_job_comes_back_under_its_id),
    both!(jobs::a_completed_job_moves_its_instance_on_with_the_result),
    both!(jobs::completing_twice_finds_nothing),
    both!(jobs::only_the_owner_of_the_lock_may_complete),
    both!(jobs::after_the_job_was_handed_out_again_the_first_worker_may_not_complete),
    both!(jobs::a_failing_job_comes_back_until_its_tries_are_used_up),
    both!(jobs::a_job_failed_without_tries_left_is_gone_at_once),
    both!(jobs::a_bpmn_error_takes_the_boundary_event),
    both!(jobs::the_job_of_a_terminated_instance_is_gone),
    both!(jobs::the_job_of_a_suspended_instance_is_hidden_until_it_is_activated),
    both!(jobs::a_job_is_open_until_it_is_completed_whoever_holds_its_lock),
    both!(jobs::the_job_of_an_ended_instance_or_without_tries_left_is_not_open),
    both!(jobs::of_concurrent_completions_one_succeeds),
    both!(jobs::two_workers_never_hold_the_same_job),
    both!(jobs::a_batch_takes_all_jobs_of_an_instance_where_the_model_says_not_exclusive),
    both!(jobs::exclusive_jobs_of_an_instance_are_only_handed_out_one_by_one),
    both!(http_tasks::an_http_task_sends_what_its_fields_say),
    both!(http_tasks::a_status_that_the_model_lists_and_a_lost_answer_are_tried_again),
    both!(http_tasks::a_status_that_the_model_does_not_list_passes),
    both!(tasks::a_task_is_listed_for_its_candidate_group),
    both!(tasks::a_task_is_listed_for_its_instance),
    both!(tasks::a_claimed_task_refuses_another_user),
    both!(tasks::an_unclaimed_task_can_be_claimed_by_another_user),
    both!(tasks::completing_with_variables_decides_the_way),
    only!(
        tasks::the_outcome_is_kept_in_the_variable_that_the_model_names,
        OpenText,
        "Flowable ignores the outcome of a task without a form"
    ),
    both!(tasks::completing_twice_finds_nothing),
    both!(tasks::a_completion_that_throws_leaves_the_task_open),
    both!(history::the_end_and_the_last_variables_are_kept),
    both!(history::the_audit_names_who_decided_and_when),
    both!(history::comments_are_readable_after_the_end),
    both!(history::a_terminated_instance_keeps_the_reason),
    both!(history::terminating_twice_finds_nothing),
    both!(history::an_unknown_instance_has_no_history),
    both!(variables::every_type_survives_the_round_trip),
    both!(variables::a_large_text_survives_the_round_trip),
    both!(variables::the_result_of_a_message_overwrites),
    both!(models::a_new_version_is_used_by_the_next_start_only),
    both!(models::an_unknown_key_has_no_definition),
    both!(models::a_file_that_is_no_model_is_refused),
    both!(models::the_probe_succeeds),
    both!(models::wrong_credentials_are_unauthorized),
];

/// Behaviours under way at once: the engine and the builders of other tests share few cores
const AT_ONCE: usize = 6;

struct Behaviour {
    name: &'static str,
    holds_on: HoldsOn,
    run: for<'a> fn(&'a Subject) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

#[derive(Clone, Copy)]
enum HoldsOn {
    Both,
    OpenText(&'static str),
    Flowable(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EngineKind {
    Emulator,
    Flowable,
}

#[tokio::test]
async fn conformance_of_the_emulator() {
    every_behaviour_on(EngineKind::Emulator).await;
}

#[tokio::test]
async fn conformance_of_flowable() {
    every_behaviour_on(EngineKind::Flowable).await;
}

async fn every_behaviour_on(engine: EngineKind) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (position, behaviour) in BEHAVIOURS.iter().enumerate() {
        let permits = Arc::clone(&permits);
        running.spawn(async move {
            let _permit = permits.acquire_owned().await.unwrap();
            let subject = match engine {
                EngineKind::Emulator => Subject::emulator().await,
                EngineKind::Flowable => Subject::flowable().await,
            };
            // a task of its own catches the panic of an assertion
            let started = Instant::now();
            let outcome = tokio::spawn(async move { (behaviour.run)(&subject).await }).await;
            let verdict = verdict(behaviour.holds_on, engine, outcome.is_ok());
            (position, verdict, started.elapsed())
        });
    }
    let mut verdicts = running.join_all().await;
    verdicts.sort_by_key(|(position, ..)| *position);

    let mut wrong = String::new();
    for (position, verdict, took) in verdicts {
        let name = BEHAVIOURS[position].name;
        match verdict {
            Ok(fine) => println!("{engine:?} {name}: {fine} ({} ms)", took.as_millis()),
            Err(text) => writeln!(wrong, "- {name}: {text}").unwrap(),
        }
    }
    assert!(wrong.is_empty(), "{engine:?} does not behave as the table says (why: see the panics above):\n{wrong}");
}

fn verdict(holds_on: HoldsOn, engine: EngineKind, held: bool) -> Result<&'static str, &'static str> {
    let (expected, reason) = match (holds_on, engine) {
        (HoldsOn::Both, _) => (true, ""),
        (HoldsOn::OpenText(reason), EngineKind::Flowable) | (HoldsOn::Flowable(reason), EngineKind::Emulator) => {
            (false, reason)
        }
        (HoldsOn::OpenText(reason), EngineKind::Emulator) | (HoldsOn::Flowable(reason), EngineKind::Flowable) => {
            (true, reason)
        }
    };
    match (expected, held) {
        (true, true) => Ok("holds"),
        (false, false) => Ok(reason),
        (true, false) => Err("does not hold"),
        (false, true) => Err("holds although the table gives a reason why it should not: list it with `both!`"),
    }
}

#[test]
fn a_difference_fails_unless_the_table_lists_it() {
    let (both, opentext) = (HoldsOn::Both, HoldsOn::OpenText("reason"));
    assert!(verdict(both, EngineKind::Flowable, true).is_ok());
    assert!(verdict(both, EngineKind::Flowable, false).is_err());
    assert!(verdict(opentext, EngineKind::Emulator, false).is_err());
    assert!(verdict(opentext, EngineKind::Emulator, true).is_ok());
    assert_eq!(verdict(opentext, EngineKind::Flowable, false), Ok("reason"));
    assert!(verdict(opentext, EngineKind::Flowable, true).is_err());
}
