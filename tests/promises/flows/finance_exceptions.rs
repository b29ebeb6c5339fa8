//! Finance exceptions: reviewed, investigated, corrected; the corrected record goes back to ERP and to the reply topic

use emulator::{Availability, Fault, Rule, System};
use serde_json::{Value, json};
use workflow_client::Variable;

use super::office::{Case, Office};
use crate::support::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exceptions_are_settled_on_flowable() {
    exceptions_are_settled(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exceptions_are_settled_in_the_opentext_dialect() {
    exceptions_are_settled(Bench::opentext().await).await;
}

async fn exceptions_are_settled(bench: Bench) {
    let office = Office::open("finance-exceptions", bench).await;
    tokio::join!(
        an_invoice_is_released_once(&office),
        a_corrected_invoice_goes_back(&office),
        what_is_missing_is_investigated_first(&office),
        an_invoice_that_changed_meanwhile_is_reviewed_again(&office),
        a_correction_that_makes_no_sense_is_reviewed_again(&office),
        a_rejection_leaves_it_blocked(&office),
        a_dear_one_goes_to_the_controllers_even_when_that_is_known_early(&office),
        a_late_review_goes_to_the_controllers(&office),
        a_record_that_is_not_there_is_given_up(&office),
        what_is_withdrawn_has_no_outcome(&office),
    );
    erp_is_down_for_a_while(&office).await;
    office.closes().await;
    let effects = |operation| office.effects(System::Erp, operation).0;
    assert_eq!((effects("invoices.correct"), effects("invoices.release")), (5, 8));
}

/// An exception with an invoice that ERP has blocked
fn case(office: &Office) -> (Case<'_>, Value, String) {
    let case = office.case("EX-1", 0, "exception/{id}");
    let blocked = json!({ "number": case.id, "supplier": "Northwind", "amount": 1210.0 });
    let invoice = office.systems.put_there(System::Erp, "/invoices", blocked).unwrap();
    let mut event = case.event("invoice");
    event["recordId"] = json!(invoice);
    (case, event, format!("/invoices/{invoice}"))
}

fn status(office: &Office, invoice: &str) -> Value {
    office.systems.look(System::Erp, invoice).unwrap()["status"].clone()
}

async fn correct(case: &Case<'_>, amount: f64) {
    case.decide_with("review", &[Variable::new("decision", "correct"), Variable::new("amount", amount)]).await;
}

async fn an_invoice_is_released_once(office: &Office) {
    let (case, event, invoice) = case(office);
    let id = case.publish(&event).await;
    case.publish_as(&id, &event).await;
    case.decide("review", "release").await;
    case.ends_as("released").await;
    case.replies("duplicate", 1).await;
    assert_eq!(status(office, &invoice), "released");
}

async fn a_corrected_invoice_goes_back(office: &Office) {
    let (case, event, invoice) = case(office);
    case.publish(&event).await;
    correct(&case, 1120.0).await;
    case.ends_as("corrected").await;
    assert_eq!(office.systems.look(System::Erp, &invoice).unwrap()["amount"], 1120.0);
}

async fn what_is_missing_is_investigated_first(office: &Office) {
    let (case, event, _) = case(office);
    case.publish(&event).await;
    case.decide("review", "investigate").await;
    case.decide_with("investigate", &[Variable::new("found", "the receipt")]).await;
    correct(&case, 1120.0).await;
    case.ends_as("investigated").await;
}

async fn an_invoice_that_changed_meanwhile_is_reviewed_again(office: &Office) {
    let (case, event, invoice) = case(office);
    case.publish(&event).await;
    case.task("review").await;
    office.systems.changed(System::Erp, &invoice, json!({ "note": "paid in part" }));
    correct(&case, 1120.0).await;
    let stale = json!({ "system": "erp", "status": 412, "message": "it was changed meanwhile; read it again" });
    case.variable("systemRefusal", &stale).await;
    correct(&case, 1120.0).await;
    case.ends_as("corrected-again").await;
}

async fn a_correction_that_makes_no_sense_is_reviewed_again(office: &Office) {
    let (case, event, _) = case(office);
    case.publish(&event).await;
    correct(&case, -5.0).await;
    case.variable("systemRefusal", &json!({ "system": "erp", "status": 422, "message": "amount: is negative" })).await;
    correct(&case, 1120.0).await;
    case.ends_as("refused-first").await;
}

async fn a_rejection_leaves_it_blocked(office: &Office) {
    let (case, event, invoice) = case(office);
    case.publish(&event).await;
    case.decide("review", "rejected").await;
    case.ends_as("rejected").await;
    assert_eq!(status(office, &invoice), "blocked");
}

/// The amount is changed while the record is still read.
async fn a_dear_one_goes_to_the_controllers_even_when_that_is_known_early(office: &Office) {
    let (case, mut event, _) = case(office);
    event["amount"] = json!(9_000.0);
    case.publish(&event).await;
    let mut changed = event.clone();
    (changed["kind"], changed["amount"]) = (json!("changed"), json!(12_000.0));
    case.publish(&changed).await;
    case.variable("amount", &json!(12_000.0)).await;
    case.decide("controllerReview", "release").await;
    case.ends_as("dear").await;
}

async fn a_late_review_goes_to_the_controllers(office: &Office) {
    let (case, mut event, _) = case(office);
    event["reviewWithin"] = json!("PT1S");
    case.publish(&event).await;
    case.decide("controllerReview", "release").await;
    case.ends_as("escalated").await;
}

async fn a_record_that_is_not_there_is_given_up(office: &Office) {
    let case = office.case("EX-1", 0, "exception/{id}");
    case.publish(&case.event("invoice")).await;
    case.decide("noRecord", "rejected").await;
    case.ends_as("no-record").await;
}

async fn what_is_withdrawn_has_no_outcome(office: &Office) {
    let (case, mut event, _) = case(office);
    case.publish(&event).await;
    case.task("review").await;
    event["kind"] = json!("withdrawn");
    case.publish(&event).await;
    case.replies("accepted", 2).await;
    case.replies("outcome", 0).await;
    assert!(case.is_over().await);
}

/// Nothing connects, then the answer to the correction is lost: it is made once.
async fn erp_is_down_for_a_while(office: &Office) {
    let (case, event, _) = case(office);
    case.publish(&event).await;
    case.task("review").await;
    office.systems.set_availability(System::Erp, Availability::Refusing).await;
    correct(&case, 1120.0).await;
    office.logged("system erp (not sent)").await;
    office.systems.disturb(System::Erp, Rule::on("invoices.correct", Fault::DropAnswer).times(1));
    office.systems.set_availability(System::Erp, Availability::Up).await;
    case.ends_as("corrected").await;
}
