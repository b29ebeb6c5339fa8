//! Master data: validated before anybody is asked, approved, written with optimistic locking, never twice

use emulator::{Availability, Fault, Rule, System};
use serde_json::{Value, json};

use super::office::{Case, Office};
use crate::support::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn master_data_is_kept_on_flowable() {
    master_data_is_kept(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn master_data_is_kept_in_the_opentext_dialect() {
    master_data_is_kept(Bench::opentext().await).await;
}

async fn master_data_is_kept(bench: Bench) {
    let office = Office::open("master-data", bench).await;
    tokio::join!(
        a_vendor_is_created_once(&office),
        a_rejection_writes_nothing(&office),
        a_known_key_needs_no_decision(&office),
        one_of_two_requests_for_a_key_is_a_duplicate(&office),
        a_customer_that_changed_meanwhile_is_approved_again(&office),
        a_record_that_is_not_there_cannot_be_changed(&office),
        a_late_steward_is_passed_over(&office),
        a_change_of_the_request_is_seen_even_when_it_is_early(&office),
        what_is_withdrawn_has_no_outcome(&office),
    );
    mdm_is_down_for_a_while(&office).await;
    office.closes().await;
    let made = office.effects(System::Mdm, "vendors.create").0;
    assert_eq!((made, office.effects(System::Mdm, "customers.update").0), (5, 1));
}

fn case<'o>(office: &'o Office, example: &str) -> (Case<'o>, Value) {
    let case = office.case("MD-1", 0, "master-data/{id}");
    let mut event = case.event(example);
    event["key"] = json!(format!("KEY-{}", case.id));
    (case, event)
}

async fn a_vendor_is_created_once(office: &Office) {
    let (case, event) = case(office, "new-vendor");
    let id = case.publish(&event).await;
    case.publish_as(&id, &event).await;
    case.decide("approve", "approved").await;
    case.ends_as("created").await;
    case.replies("duplicate", 1).await;
}

async fn a_rejection_writes_nothing(office: &Office) {
    let (case, event) = case(office, "new-vendor");
    case.publish(&event).await;
    case.decide("approve", "rejected").await;
    case.ends_as("rejected").await;
}

async fn a_known_key_needs_no_decision(office: &Office) {
    let (case, event) = case(office, "new-vendor");
    office.systems.put_there(System::Mdm, "/vendors", json!({ "key": event["key"], "name": "Northwind" })).unwrap();
    case.publish(&event).await;
    case.ends_as("duplicate").await;
}

/// The same vendor is asked for by two systems, and both requests are approved.
async fn one_of_two_requests_for_a_key_is_a_duplicate(office: &Office) {
    let ((one, first), (other, mut second)) = (case(office, "new-vendor"), case(office, "new-vendor"));
    second["key"] = first["key"].clone();
    one.publish(&first).await;
    other.publish(&second).await;
    one.task("approve").await;
    other.task("approve").await;
    one.decide("approve", "approved").await;
    one.ends_as("created").await;
    other.decide("approve", "approved").await;
    other.ends_as("duplicate-at-approval").await;
}

async fn a_customer_that_changed_meanwhile_is_approved_again(office: &Office) {
    let (case, mut event) = case(office, "changed-customer");
    let customer = json!({ "key": event["key"], "name": "Contoso" });
    let id = office.systems.put_there(System::Mdm, "/customers", customer.clone()).unwrap();
    event["mdmId"] = json!(id);
    case.publish(&event).await;
    case.task("approve").await;
    office.systems.changed(System::Mdm, &format!("/customers/{id}"), json!({ "city": "Lyon" }));
    case.decide("approve", "approved").await;
    case.variable(
        "systemRefusal",
        &json!({ "system": "mdm", "status": 412, "message": "it was changed meanwhile; read it again" }),
    )
    .await;
    case.decide("approve", "approved").await;
    case.ends_as("updated-after-all").await;
    let customer = office.systems.look(System::Mdm, &format!("/customers/{id}")).unwrap();
    assert_eq!((&customer["name"], &customer["city"]), (&json!("Contoso SA"), &json!("Lyon")));
}

async fn a_record_that_is_not_there_cannot_be_changed(office: &Office) {
    let (case, event) = case(office, "changed-customer");
    case.publish(&event).await;
    case.ends_as("no-such-record").await;
}

async fn a_late_steward_is_passed_over(office: &Office) {
    let (case, mut event) = case(office, "new-vendor");
    event["decideWithin"] = json!("PT1S");
    case.publish(&event).await;
    case.decide("leadApprove", "approved").await;
    case.ends_as("escalated").await;
}

async fn a_change_of_the_request_is_seen_even_when_it_is_early(office: &Office) {
    let (case, event) = case(office, "new-vendor");
    case.publish(&event).await;
    let mut changed = event.clone();
    (changed["kind"], changed["name"]) = (json!("changed"), json!("Northwind Traders Ltd"));
    case.publish(&changed).await;
    case.variable("name", &json!("Northwind Traders Ltd")).await;
    case.decide("approve", "approved").await;
    case.ends_as("changed-name").await;
}

async fn what_is_withdrawn_has_no_outcome(office: &Office) {
    let (case, mut event) = case(office, "new-vendor");
    case.publish(&event).await;
    case.task("approve").await;
    event["kind"] = json!("withdrawn");
    case.publish(&event).await;
    case.replies("accepted", 2).await;
    case.replies("outcome", 0).await;
    assert!(case.is_over().await);
}

/// MDM is gone, then the answer to the creation is lost: the vendor is there once, and its request knows its number.
async fn mdm_is_down_for_a_while(office: &Office) {
    let (case, event) = case(office, "new-vendor");
    case.publish(&event).await;
    case.task("approve").await;
    office.systems.set_availability(System::Mdm, Availability::Refusing).await;
    case.decide("approve", "approved").await;
    office.logged("system mdm (not sent)").await;
    office.systems.disturb(System::Mdm, Rule::on("vendors.create", Fault::DropAnswer).times(1));
    office.systems.set_availability(System::Mdm, Availability::Up).await;
    case.ends_as("created").await;
}
