//! Document approval: a chain of approvers that depends on kind and amount, the document's reference, the booking

use emulator::{Availability, System};
use serde_json::json;
use workflow_client::Variable;

use super::office::{Case, Office};
use crate::support::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_approved_on_flowable() {
    documents_are_approved(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_approved_in_the_opentext_dialect() {
    documents_are_approved(Bench::opentext().await).await;
}

async fn documents_are_approved(bench: Bench) {
    let office = Office::open("document-approval", bench).await;
    let document = office.systems.put_there(System::Ecm, "/documents", json!({ "name": "Offer 17" })).unwrap();
    tokio::join!(
        a_purchase_is_booked_once(&office, &document),
        a_dear_contract_has_three_approvers_and_a_rejection_ends_it(&office, &document),
        a_correction_lets_the_director_off(&office, &document),
        a_late_manager_is_passed_over(&office, &document),
        what_is_withdrawn_has_no_outcome(&office, &document),
        an_early_correction_waits_for_its_process(&office, &document),
        a_document_that_is_missing_is_clarified(&office),
        a_refused_booking_is_clarified_and_made_again(&office, &document),
    );
    procurement_is_down_for_a_while(&office, &document).await;
    office.closes().await;
}

fn case(office: &Office) -> Case<'_> {
    office.case("REQ-1", 0, "approval/{id}")
}

async fn a_purchase_is_booked_once(office: &Office, document: &str) {
    let case = case(office);
    let mut event = case.event("purchase");
    event["documentId"] = json!(document);
    let id = case.publish(&event).await;
    case.publish_as(&id, &event).await;
    case.decide("managerApproval", "approved").await;
    case.ends_as("purchase").await;
    case.replies("accepted", 1).await;
    case.replies("duplicate", 1).await;
}

async fn a_dear_contract_has_three_approvers_and_a_rejection_ends_it(office: &Office, document: &str) {
    let case = case(office);
    let mut event = case.event("contract");
    event["documentId"] = json!(document);
    case.publish(&event).await;
    case.decide("managerApproval", "approved").await;
    case.decide("legalApproval", "approved").await;
    case.decide("directorApproval", "rejected").await;
    case.ends_as("contract").await;
}

async fn a_correction_lets_the_director_off(office: &Office, document: &str) {
    let case = case(office);
    let mut event = case.event("contract");
    event["documentId"] = json!(document);
    case.publish(&event).await;
    case.task("managerApproval").await;
    let mut corrected = event.clone();
    (corrected["kind"], corrected["amount"]) = (json!("corrected"), json!(900.0));
    case.publish(&corrected).await;
    case.variable("amount", &json!(900.0)).await;
    case.decide("managerApproval", "approved").await;
    case.decide("legalApproval", "approved").await;
    case.ends_as("corrected").await;
}

async fn a_late_manager_is_passed_over(office: &Office, document: &str) {
    let case = case(office);
    let mut event = case.event("policy-exception");
    (event["documentId"], event["escalateAfter"]) = (json!(document), json!("PT1S"));
    case.publish(&event).await;
    case.decide("escalatedApproval", "approved").await;
    case.ends_as("policy-exception").await;
}

async fn what_is_withdrawn_has_no_outcome(office: &Office, document: &str) {
    let case = case(office);
    let mut event = case.event("purchase");
    event["documentId"] = json!(document);
    case.publish(&event).await;
    case.task("managerApproval").await;
    event["kind"] = json!("withdrawn");
    case.publish(&event).await;
    case.replies("accepted", 2).await;
    case.replies("outcome", 0).await;
    assert!(case.is_over().await);
}

/// The source may send the correction before the engine has come to wait for it: the key is held.
async fn an_early_correction_waits_for_its_process(office: &Office, document: &str) {
    let case = case(office);
    let mut event = case.event("contract");
    event["documentId"] = json!(document);
    let mut corrected = event.clone();
    (corrected["kind"], corrected["amount"]) = (json!("corrected"), json!(900.0));
    case.publish(&event).await;
    case.publish(&corrected).await;
    case.variable("amount", &json!(900.0)).await;
    case.decide("managerApproval", "rejected").await;
    case.ends_as("rejected").await;
}

async fn a_document_that_is_missing_is_clarified(office: &Office) {
    let case = case(office);
    case.publish(&case.event("contract")).await;
    case.variable("systemRefusal", &json!({ "system": "ecm", "status": 404, "message": "there is none of that id" }))
        .await;
    case.decide("clarifyDocument", "rejected").await;
    case.ends_as("missing").await;
}

async fn a_refused_booking_is_clarified_and_made_again(office: &Office, document: &str) {
    let case = case(office);
    let mut event = case.event("purchase");
    (event["documentId"], event["amount"]) = (json!(document), json!(-480.0));
    case.publish(&event).await;
    case.decide("managerApproval", "approved").await;
    let mended = [Variable::new("decision", "approved"), Variable::new("amount", 480.0)];
    case.decide_with("clarifyBooking", &mended).await;
    case.ends_as("booked-again").await;
}

/// What needs procurement waits for it; what does not goes on.
async fn procurement_is_down_for_a_while(office: &Office, document: &str) {
    office.systems.set_availability(System::Procurement, Availability::Refusing).await;
    let (purchase, contract) = (case(office), case(office));
    let mut event = purchase.event("purchase");
    event["documentId"] = json!(document);
    purchase.publish(&event).await;
    purchase.decide("managerApproval", "approved").await;
    office.logged("system procurement (not sent)").await;
    let mut event = contract.event("contract");
    event["documentId"] = json!(document);
    contract.publish(&event).await;
    contract.decide("managerApproval", "rejected").await;
    contract.ends_as("contract-rejected").await;
    assert_eq!(purchase.replies_now("outcome").await, 0);
    office.systems.set_availability(System::Procurement, Availability::Up).await;
    purchase.ends_as("purchase").await;
    let booked = office.effects(System::Procurement, "purchase-requests.create");
    assert_eq!(booked, (3, 3), "three purchases, each booked once");
}
