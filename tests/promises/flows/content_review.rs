//! Content review: the engine asks the repository; only approved content is released, rejected content goes back with the comments

use emulator::{Availability, Fault, Rule, System};
use serde_json::{Value, json};
use workflow_client::Variable;

use super::office::{Case, Office};
use crate::support::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_is_reviewed_on_flowable() {
    content_is_reviewed(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_is_reviewed_in_the_opentext_dialect() {
    content_is_reviewed(Bench::opentext().await).await;
}

async fn content_is_reviewed(bench: Bench) {
    let office = Office::open("content-review", bench).await;
    tokio::join!(
        approved_content_is_released_once(&office),
        rejected_content_goes_back_with_the_comment(&office),
        a_late_review_goes_to_the_lead(&office),
        a_change_reaches_the_review_even_when_it_is_early(&office),
        what_is_withdrawn_has_no_outcome(&office),
        content_that_is_not_there_is_given_up(&office),
    );
    the_repository_is_down_for_a_while(&office).await;
    office.closes().await;
    let effects = |operation| office.effects(System::Ecm, operation).0;
    assert_eq!((effects("documents.approve"), effects("documents.release")), (4, 4), "what is released was approved");
    assert_eq!(effects("documents.reject"), 1);
}

/// A case with a document of its own
fn case(office: &Office) -> (Case<'_>, Value, String) {
    let document = office.systems.put_there(System::Ecm, "/documents", json!({ "name": "How-to" })).unwrap();
    let case = office.case("REV-1", 0, "review/{id}");
    let mut event = case.event("article");
    event["documentId"] = json!(document);
    (case, event, format!("/documents/{document}"))
}

fn status(office: &Office, document: &str) -> Value {
    office.systems.look(System::Ecm, document).unwrap()["status"].clone()
}

async fn approved_content_is_released_once(office: &Office) {
    let (case, event, document) = case(office);
    let id = case.publish(&event).await;
    case.publish_as(&id, &event).await;
    case.task("review").await;
    assert_eq!(status(office, &document), "in-review");
    case.decide("review", "approved").await;
    case.ends_as("released").await;
    case.replies("duplicate", 1).await;
    assert_eq!(status(office, &document), "released");
}

/// The repository wants a comment: the first rejection has none, and comes back to the reviewers.
async fn rejected_content_goes_back_with_the_comment(office: &Office) {
    let (case, event, document) = case(office);
    case.publish(&event).await;
    case.decide("review", "rejected").await;
    case.variable("systemRefusal", &json!({ "system": "ecm", "status": 422, "message": "comment: is empty" })).await;
    let reasoned = [Variable::new("decision", "rejected"), Variable::new("comment", "Too long.")];
    case.decide_with("review", &reasoned).await;
    case.ends_as("rejected").await;
    assert_eq!(status(office, &document), "rejected");
}

async fn a_late_review_goes_to_the_lead(office: &Office) {
    let (case, mut event, _) = case(office);
    event["reviewWithin"] = json!("PT1S");
    case.publish(&event).await;
    case.decide("leadReview", "approved").await;
    case.ends_as("escalated").await;
}

async fn a_change_reaches_the_review_even_when_it_is_early(office: &Office) {
    let (case, event, _) = case(office);
    case.publish(&event).await;
    let mut changed = event.clone();
    (changed["kind"], changed["title"]) = (json!("changed"), json!("How to reset any router"));
    case.publish(&changed).await;
    case.variable("title", &json!("How to reset any router")).await;
    case.decide("review", "approved").await;
    case.ends_as("released").await;
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

async fn content_that_is_not_there_is_given_up(office: &Office) {
    let case = office.case("REV-1", 0, "review/{id}");
    case.publish(&case.event("article")).await;
    case.decide("clarifyContent", "given-up").await;
    case.ends_as("given-up").await;
}

/// Nothing connects, then an answer is lost after the effect: each step takes effect once.
async fn the_repository_is_down_for_a_while(office: &Office) {
    let (case, event, document) = case(office);
    case.publish(&event).await;
    case.task("review").await;
    office.systems.set_availability(System::Ecm, Availability::Refusing).await;
    case.decide("review", "approved").await;
    office.logged("system ecm (not sent)").await;
    office.systems.disturb(System::Ecm, Rule::on("documents.approve", Fault::DropAnswer).times(1));
    office.systems.set_availability(System::Ecm, Availability::Up).await;
    case.ends_as("released").await;
    assert_eq!(status(office, &document), "released");
}
