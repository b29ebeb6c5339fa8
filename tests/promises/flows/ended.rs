//! A model without a task that publishes: what has ended is found in history, once, whoever watched before

use emulator::System;
use promises::{DEADLINE, until};
use serde_json::{Value, json};

use super::office::{Case, Office};
use crate::support::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_is_published_on_flowable() {
    what_has_ended_is_published(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_is_published_in_the_opentext_dialect() {
    what_has_ended_is_published(Bench::opentext().await).await;
}

async fn what_has_ended_is_published(bench: Bench) {
    let bench = bench.with("settle = \"2s\"");
    let office = Office::open_with("tickets", bench, &without_its_last_task).await;
    let (first, event) = case(&office);
    first.publish(&event).await;
    first.decide("triage", "assigned").await;
    first.ends_as("assigned").await;

    // Decided while nobody is there; a stranger's process ends meanwhile, and one is withdrawn.
    let ((second, event), (withdrawn, mut gone)) = (case(&office), case(&office));
    second.publish(&event).await;
    withdrawn.publish(&gone).await;
    gone["kind"] = json!("withdrawn");
    withdrawn.publish(&gone).await;
    withdrawn.replies("accepted", 2).await;
    second.task("triage").await;
    office.kill().await;
    second.decide("triage", "resolved").await;
    let foreign = office.start_foreign(&second).await;
    until("the end of both", DEADLINE, async || Ok(second.is_over().await.then_some(()))).await.unwrap();
    office.start_again().await;
    second.ends_as("resolved").await;

    let (third, event) = case(&office);
    third.publish(&event).await;
    third.decide("triage", "resolved").await;
    third.ends_as("resolved").await;
    assert_eq!((first.replies_now("outcome").await, withdrawn.replies_now("outcome").await), (1, 0));
    assert_eq!(office.outcomes_of(&foreign).await, 0, "nobody of ours started it");
    office.closes().await;
}

/// Where the model published, the process just goes on.
fn without_its_last_task(text: String) -> String {
    let flow = text.replace("topic    = \"tickets.outcome\"", "ended    = \"ticket_triage\"");
    let Some((before, task)) = flow.split_once("<serviceTask id=\"publishOutcome\"") else { return flow };
    let (_, after) = task.split_once("/>").unwrap();
    format!("{before}<exclusiveGateway id=\"publishOutcome\"/>{after}")
}

fn case(office: &Office) -> (Case<'_>, Value) {
    let case = office.case("T-1", 0, "ticket/{id}");
    office.systems.put_there(System::Crm, "/cases", json!({ "id": case.id, "subject": "Router" })).unwrap();
    let event = case.event("router");
    (case, event)
}
