//! Tickets: to the right team, in time; who looks after one is written back to the CRM, once

use emulator::{Availability, Fault, Rule, System};
use serde_json::{Value, json};
use workflow_client::Variable;

use super::office::{Case, Office};
use crate::support::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_find_their_owner_on_flowable() {
    tickets_find_their_owner(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_find_their_owner_in_the_opentext_dialect() {
    tickets_find_their_owner(Bench::opentext().await).await;
}

async fn tickets_find_their_owner(bench: Bench) {
    // Two days are long for a test: tickets of this category have a second.
    let in_a_hurry = |flow: String| flow.replace("'PT48H'", "event.category == 'late' ? 'PT1S' : 'PT48H'");
    let office = Office::open_with("tickets", bench, &in_a_hurry).await;
    tokio::join!(
        a_ticket_is_resolved_once(&office),
        the_team_becomes_the_owner(&office),
        somebody_becomes_the_owner(&office),
        what_the_crm_does_not_know_has_an_outcome_all_the_same(&office),
        what_the_crm_has_closed_takes_no_owner(&office),
        an_urgent_one_of_a_public_customer_is_rejected(&office),
        what_nobody_decides_in_time_goes_to_the_leads(&office),
        a_correction_reaches_the_process_even_when_it_is_early(&office),
        what_is_withdrawn_has_no_outcome(&office),
    );
    the_crm_is_down_for_a_while(&office).await;
    office.closes().await;
    assert_eq!(office.effects(System::Crm, "cases.owner"), (3, 3));
}

/// A ticket that the CRM has a case for
fn case(office: &Office) -> (Case<'_>, Value) {
    let case = office.case("T-1", 0, "ticket/{id}");
    office.systems.put_there(System::Crm, "/cases", json!({ "id": case.id, "subject": "Router" })).unwrap();
    let event = case.event("router");
    (case, event)
}

fn owner(office: &Office, case: &Case<'_>) -> Value {
    office.systems.look(System::Crm, &format!("/cases/{}", case.id)).unwrap()["owner"].clone()
}

async fn a_ticket_is_resolved_once(office: &Office) {
    let (case, event) = case(office);
    let id = case.publish(&event).await;
    case.publish_as(&id, &event).await;
    case.decide("triage", "resolved").await;
    case.ends_as("resolved").await;
    case.replies("duplicate", 1).await;
    assert_eq!(owner(office, &case), Value::Null);
}

async fn the_team_becomes_the_owner(office: &Office) {
    let (case, event) = case(office);
    case.publish(&event).await;
    case.decide("triage", "assigned").await;
    case.ends_as("assigned").await;
    assert_eq!(owner(office, &case), "support-fr-est");
}

async fn somebody_becomes_the_owner(office: &Office) {
    let (case, event) = case(office);
    case.publish(&event).await;
    case.decide_with("triage", &[Variable::new("decision", "assigned"), Variable::new("owner", "grace")]).await;
    case.ends_as("assigned-to-somebody").await;
    assert_eq!(owner(office, &case), "grace");
}

async fn what_the_crm_does_not_know_has_an_outcome_all_the_same(office: &Office) {
    let case = office.case("T-1", 0, "ticket/{id}");
    case.publish(&case.event("router")).await;
    case.decide("triage", "assigned").await;
    case.ends_as("not-in-the-crm").await;
}

async fn what_the_crm_has_closed_takes_no_owner(office: &Office) {
    let (case, event) = case(office);
    office.systems.changed(System::Crm, &format!("/cases/{}", case.id), json!({ "status": "closed" }));
    case.publish(&event).await;
    case.decide("triage", "assigned").await;
    case.ends_as("not-in-the-crm").await;
    assert_eq!(owner(office, &case), Value::Null);
}

async fn an_urgent_one_of_a_public_customer_is_rejected(office: &Office) {
    let (case, mut event) = case(office);
    (event["sla"], event["customer"]["type"]) = (json!("gold"), json!("public"));
    case.publish(&event).await;
    case.decide("urgentTriage", "rejected").await;
    case.ends_as("urgent").await;
}

async fn what_nobody_decides_in_time_goes_to_the_leads(office: &Office) {
    let (case, mut event) = case(office);
    event["category"] = json!("late");
    case.publish(&event).await;
    case.decide("leadDecision", "resolved").await;
    case.ends_as("escalated").await;
}

async fn a_correction_reaches_the_process_even_when_it_is_early(office: &Office) {
    let (case, event) = case(office);
    case.publish(&event).await;
    let mut updated = event.clone();
    (updated["kind"], updated["title"]) = (json!("updated"), json!("Both routers"));
    case.publish(&updated).await;
    case.variable("title", &json!("Both routers")).await;
    case.decide("triage", "resolved").await;
    case.ends_as("resolved").await;
}

async fn what_is_withdrawn_has_no_outcome(office: &Office) {
    let (case, mut event) = case(office);
    case.publish(&event).await;
    case.task("triage").await;
    event["kind"] = json!("withdrawn");
    case.publish(&event).await;
    case.replies("accepted", 2).await;
    case.replies("outcome", 0).await;
    assert!(case.is_over().await);
}

/// Nothing connects, then the answer is lost after the effect: the owner is told once.
async fn the_crm_is_down_for_a_while(office: &Office) {
    let (case, event) = case(office);
    case.publish(&event).await;
    office.systems.set_availability(System::Crm, Availability::Refusing).await;
    case.decide("triage", "assigned").await;
    office.logged("system crm (not sent)").await;
    office.systems.disturb(System::Crm, Rule::on("cases.owner", Fault::DropAnswer).times(1));
    office.systems.set_availability(System::Crm, Availability::Up).await;
    case.ends_as("assigned").await;
}
