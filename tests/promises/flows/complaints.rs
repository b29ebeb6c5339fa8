//! Complaints: statements side by side, an owner with a deadline, one answer on the customer's channel

use emulator::{Availability, Fault, Rule, System};
use serde_json::{Value, json};
use workflow_client::Variable;

use super::office::{Case, Office};
use crate::support::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complaints_are_answered_on_flowable() {
    complaints_are_answered(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complaints_are_answered_in_the_opentext_dialect() {
    complaints_are_answered(Bench::opentext().await).await;
}

async fn complaints_are_answered(bench: Bench) {
    let office = Office::open("complaints", bench).await;
    tokio::join!(
        a_complaint_is_answered_once_and_closed(&office),
        a_refusal_is_an_answer_too(&office),
        an_answer_without_words_comes_back(&office),
        a_late_owner_is_passed_over(&office),
        what_is_added_early_is_seen(&office),
        what_is_withdrawn_has_no_outcome(&office),
    );
    the_contact_centre_is_down_for_a_while(&office).await;
    office.closes().await;
    let answers = office.effects(System::ContactCentre, "answers.create").0;
    assert_eq!((answers, office.effects(System::ContactCentre, "complaints.close").0), (6, 6));
}

/// A complaint that the contact centre has
fn case(office: &Office) -> (Case<'_>, Value) {
    let raised = json!({ "customer": "Jo Martin", "text": "My parcel came after nine days." });
    let id = office.systems.put_there(System::ContactCentre, "/complaints", raised).unwrap();
    let case = office.case_of("CO-1", 0, "complaint/{id}", id);
    let event = case.event("late-parcel");
    (case, event)
}

async fn gather(case: &Case<'_>) {
    for statement in ["legalStatement", "qualityStatement", "operationsStatement"] {
        case.decide_with(statement, &[Variable::new(statement, "as it should be")]).await;
    }
}

async fn answer(case: &Case<'_>, task: &str, decision: &str, words: &str) {
    case.decide_with(task, &[Variable::new("decision", decision), Variable::new("answer", words)]).await;
}

async fn a_complaint_is_answered_once_and_closed(office: &Office) {
    let (case, event) = case(office);
    let id = case.publish(&event).await;
    case.publish_as(&id, &event).await;
    gather(&case).await;
    answer(&case, "finalAnswer", "answered", "We are sorry.").await;
    case.ends_as("answered").await;
    case.replies("duplicate", 1).await;
    let complaint = office.systems.look(System::ContactCentre, &format!("/complaints/{}", case.id)).unwrap();
    assert_eq!(complaint["status"], "closed");
}

async fn a_refusal_is_an_answer_too(office: &Office) {
    let (case, event) = case(office);
    case.publish(&event).await;
    gather(&case).await;
    answer(&case, "finalAnswer", "refused", "It came in time.").await;
    case.ends_as("refused").await;
}

async fn an_answer_without_words_comes_back(office: &Office) {
    let (case, event) = case(office);
    case.publish(&event).await;
    gather(&case).await;
    answer(&case, "finalAnswer", "answered", " ").await;
    case.variable("systemRefusal", &json!({ "system": "contact-centre", "status": 422, "message": "text: is empty" }))
        .await;
    answer(&case, "finalAnswer", "answered", "We are sorry.").await;
    case.ends_as("answered-again").await;
}

async fn a_late_owner_is_passed_over(office: &Office) {
    let (case, mut event) = case(office);
    event["answerWithin"] = json!("PT1S");
    case.publish(&event).await;
    gather(&case).await;
    answer(&case, "leadAnswer", "answered", "We are sorry.").await;
    case.ends_as("escalated").await;
}

async fn what_is_added_early_is_seen(office: &Office) {
    let (case, event) = case(office);
    case.publish(&event).await;
    let mut added = event.clone();
    (added["kind"], added["text"]) = (json!("added"), json!("And it was wet."));
    case.publish(&added).await;
    case.variable("text", &json!("And it was wet.")).await;
    gather(&case).await;
    answer(&case, "finalAnswer", "answered", "We are sorry.").await;
    case.ends_as("answered").await;
}

async fn what_is_withdrawn_has_no_outcome(office: &Office) {
    let (case, mut event) = case(office);
    case.publish(&event).await;
    case.task("legalStatement").await;
    event["kind"] = json!("withdrawn");
    case.publish(&event).await;
    case.replies("accepted", 2).await;
    case.replies("outcome", 0).await;
    assert!(case.is_over().await);
}

/// Nothing connects, then the answer is lost after the effect: the customer hears from us once.
async fn the_contact_centre_is_down_for_a_while(office: &Office) {
    let (case, event) = case(office);
    case.publish(&event).await;
    gather(&case).await;
    office.systems.set_availability(System::ContactCentre, Availability::Refusing).await;
    answer(&case, "finalAnswer", "answered", "We are sorry.").await;
    office.logged("system contact-centre (not sent)").await;
    office.systems.disturb(System::ContactCentre, Rule::on("answers.create", Fault::DropAnswer).times(1));
    office.systems.set_availability(System::ContactCentre, Availability::Up).await;
    case.ends_as("answered").await;
}
