//! A system that is reached by Kafka: the flow is the same, a command is one effect however often it is sent, and its job waits

use emulator::{Availability, Fault, Rule, System};
use promises::{DEADLINE, until};
use serde_json::{Value, json};
use workflow_client::Variable;

use super::office::{Case, Office};
use crate::support::Bench;

const BOOKING: &str = "purchase-requests.create";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_are_booked_by_kafka_on_flowable() {
    purchases_are_booked_by_kafka(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_are_booked_by_kafka_in_the_opentext_dialect() {
    purchases_are_booked_by_kafka(Bench::opentext().await).await;
}

async fn purchases_are_booked_by_kafka(bench: Bench) {
    // After the kill, events are looked up first: here nobody has to wait a minute for it.
    let bench = bench.with("settle = \"2s\"");
    let office = Office::open_over_kafka("document-approval", bench, System::Procurement).await;
    a_reply_that_comes_twice_is_one(&office).await;
    a_refusal_reaches_the_process(&office).await;
    a_late_reply_is_found_by_who_asks_again(&office).await;
    a_reply_that_came_while_nobody_was_there_is_found_by_the_next(&office).await;
    what_is_down_is_waited_for(&office).await;
    office.closes().await;
    let schema = "xconnector:schemas/procurement-book/v1".to_owned();
    assert_eq!(office.schemas_of_commands().await, [Some(schema)].into(), "what every command says it obeys");
    assert_eq!(office.effects(System::Procurement, BOOKING), (5, 5), "each purchase is booked once");
}

fn case(office: &Office) -> (Case<'_>, Value) {
    let document = office.systems.put_there(System::Ecm, "/documents", json!({ "name": "Offer 17" })).unwrap();
    let case = office.case("REQ-1", 0, "approval/{id}");
    let mut event = case.event("purchase");
    event["documentId"] = json!(document);
    (case, event)
}

async fn a_reply_that_comes_twice_is_one(office: &Office) {
    let (case, event) = case(office);
    case.publish(&event).await;
    case.decide("managerApproval", "approved").await;
    case.ends_as("purchase").await;
}

async fn a_refusal_reaches_the_process(office: &Office) {
    let (case, mut event) = case(office);
    event["amount"] = json!(-480.0);
    case.publish(&event).await;
    case.decide("managerApproval", "approved").await;
    let refusal = json!({ "system": "procurement", "status": 422, "message": "amount: is negative" });
    case.variable("systemRefusal", &refusal).await;
    let mended = [Variable::new("decision", "approved"), Variable::new("amount", 480.0)];
    case.decide_with("clarifyBooking", &mended).await;
    case.ends_as("booked-again").await;
}

/// Later than anybody waits: the booking took effect at once, the second command is not needed.
async fn a_late_reply_is_found_by_who_asks_again(office: &Office) {
    let (case, event) = case(office);
    let late = Fault::DelayAnswer { ms: 3_000, jitter_ms: 0 };
    office.systems.disturb(System::Procurement, Rule::on(BOOKING, late).times(1));
    case.publish(&event).await;
    case.decide("managerApproval", "approved").await;
    office.logged("system procurement (timed out)").await;
    case.ends_as("purchase").await;
}

/// The connector is killed while it waits; the system answers; a new connector, which has to take the job over, hears of it.
async fn a_reply_that_came_while_nobody_was_there_is_found_by_the_next(office: &Office) {
    let (case, event) = case(office);
    office.systems.set_availability(System::Procurement, Availability::Refusing).await;
    let before = office.commands().await;
    case.publish(&event).await;
    case.decide("managerApproval", "approved").await;
    until("the command", DEADLINE, async || Ok((office.commands().await > before).then_some(()))).await.unwrap();
    office.kill().await;
    office.systems.set_availability(System::Procurement, Availability::Up).await;
    let booked = async || Ok((office.effects(System::Procurement, BOOKING).0 == 4).then_some(()));
    until("the booking", DEADLINE, booked).await.unwrap();
    office.start_again().await;
    case.ends_as("purchase").await;
}

/// Commands stay on their topic; what does not need the system goes on.
async fn what_is_down_is_waited_for(office: &Office) {
    office.systems.set_availability(System::Procurement, Availability::Refusing).await;
    let ((purchase, event), (other, mut rejected)) = (case(office), case(office));
    purchase.publish(&event).await;
    purchase.decide("managerApproval", "approved").await;
    office.logged("system procurement (timed out)").await;
    rejected["documentKind"] = json!("contract");
    other.publish(&rejected).await;
    other.decide("managerApproval", "rejected").await;
    other.replies("outcome", 1).await;
    assert_eq!(purchase.replies_now("outcome").await, 0);
    office.systems.set_availability(System::Procurement, Availability::Up).await;
    purchase.ends_as("purchase").await;
}
