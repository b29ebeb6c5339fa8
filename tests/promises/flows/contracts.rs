//! Contracts with systems: a command that breaks its schema does not leave, an answer that breaks its schema does not reach the process,
//! costs no second effect, and ends where somebody looks

use emulator::System;
use serde_json::{Value, json};
use workflow_client::Variable;

use super::office::{Case, Office};
use crate::support::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_contract_is_seen_on_flowable() {
    a_broken_contract_is_seen(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_contract_is_seen_in_the_opentext_dialect() {
    a_broken_contract_is_seen(Bench::opentext().await).await;
}

async fn a_broken_contract_is_seen(bench: Bench) {
    let office = Office::open_with("tickets", bench, &of_a_crm_that_answers_otherwise).await;
    let (first, _) = a_command_that_breaks_its_schema_does_not_leave(&office).await;
    let second = an_answer_that_breaks_its_schema_is_not_believed(&office).await;
    for case in [first, second] {
        assert_eq!(case.replies_now("outcome").await, 0);
        assert!(!case.is_over().await, "the process stands where its job failed");
    }
    let log = office.log().await;
    assert!(!log.contains("geheim"), "no word of the process is logged");
}

/// The flow expects what the CRM answers to a search, and gives up soon.
fn of_a_crm_that_answers_otherwise(text: String) -> String {
    let limits = "[limits]\nretry_initial = \"50ms\"\nretry_max = \"500ms\"\ngive_up_after = \"2s\"\n[reply]";
    text.replace("\"crm-case/v1\"", "\"crm-customers/v1\"")
        .replace("response.body.owner", "string(response.body.total)")
        .replace("[reply]", limits)
}

/// A ticket that the CRM has a case for, decided so that its owner is written back
async fn assigned<'o>(office: &'o Office, variables: &[Variable]) -> (Case<'o>, Value) {
    let case = office.case("T-1", 0, "ticket/{id}");
    office.systems.put_there(System::Crm, "/cases", json!({ "id": case.id, "subject": "Router" })).unwrap();
    let event = case.event("router");
    case.publish(&event).await;
    let decision = [Variable::new("decision", "assigned")];
    case.decide_with("triage", &[&decision, variables].concat()).await;
    (case, event)
}

async fn a_command_that_breaks_its_schema_does_not_leave(office: &Office) -> (Case<'_>, Value) {
    let owner = Variable::from_json("owner", json!({ "geheim": 7 })).unwrap();
    let broken = assigned(office, &[owner]).await;
    let letters = office.letters(1).await;
    assert_eq!(letters[0].0, "limit");
    let told = "job.call.body does not obey schema crm-assign-owner/v1: $.owner: expected string, found object";
    assert!(letters[0].1.contains(told) && !letters[0].1.contains("geheim"), "{letters:?}");
    assert_eq!(office.effects(System::Crm, "cases.owner"), (0, 0));
    broken
}

/// The CRM does what it is asked for, once; what it says to it is asked for again, until the record is given up.
async fn an_answer_that_breaks_its_schema_is_not_believed(office: &Office) -> Case<'_> {
    let (case, _) = assigned(office, &[Variable::new("owner", "grace")]).await;
    let letters = office.letters(2).await;
    let (reason, detail) = letters.iter().find(|(reason, _)| reason != "limit").unwrap();
    assert_eq!(reason, "retries-exhausted");
    assert!(detail.contains("does not obey schema crm-customers/v1: $.total: required field is missing"), "{detail}");
    assert_eq!(office.effects(System::Crm, "cases.owner"), (1, 1), "under one key, however often it was asked");
    case
}
