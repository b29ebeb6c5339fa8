//! What schemas change about a call: before it is sent, and when its answer comes.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::super::tests::{asking, with_vars};
use super::*;

/// A purchase whose fields are variables of the process
fn booking() -> SystemCall {
    asking(
        "result = { bookingId = \"response.body.id\", whole = \"response.body\" }\n\
         [job.call]\nsystem = \"procurement\"\npath = \"/purchase-requests\"\n\
         body = { title = \"vars.title\", amount = \"vars.amount\", costCentre = \"'CC1'\", reference = \"job.id\" }\n\
         body_schema = \"procurement-book/v1\"\nanswer_schema = \"procurement-purchase-request/v1\"",
    )
}

fn answered(call: &SystemCall, body: &Json) -> Result<BTreeMap<String, Json>, PlanError> {
    let headers = BTreeMap::new();
    let answer = SystemAnswer { status: 201, headers: &headers, body };
    let variables = call.result(&with_vars(json!({})), answer)?;
    Ok(variables.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

#[test]
fn a_body_that_obeys_is_sent_as_it_was_calculated() {
    let planned = booking().plan(&with_vars(json!({ "title": "Chairs", "amount": 480 }))).expect("planned");
    let body = json!({ "title": "Chairs", "amount": 480, "costCentre": "CC1", "reference": "j-1" });
    assert_eq!(planned.body.expect("a body").to_string(), body.to_string(), "480, and not 480.0");
}

#[test]
fn a_body_that_does_not_obey_is_not_sent_and_its_field_is_named_without_its_value() {
    let refused = |vars: Json| booking().plan(&with_vars(vars)).expect_err("refused");
    let error = refused(json!({ "title": "Chairs", "amount": "geheim" }));
    assert_eq!(error.reason(), "schema-violation");
    let text = error.to_string();
    let (what, place) = text.split_once(" (").expect("a place");
    let wanted = "job.call.body does not obey schema procurement-book/v1: $.amount: expected double, found string";
    assert_eq!(what, wanted);
    assert!(place.ends_with(": job tickets.outcome)") && place.contains("flow.toml:"), "{text}");
    let text = refused(json!({ "title": { "geheim": 1 }, "amount": 1.5 })).to_string();
    assert!(text.contains("$.title: expected string, found object") && !text.contains("geheim"), "{text}");
}

#[test]
fn of_a_computed_body_only_its_values_can_tell() {
    let call = asking(
        "call = { system = \"crm\", path = \"/x\", body = \"vars.body\", body_schema = \"crm-assign-owner/v1\" }",
    );
    let sent = |body: Json| call.plan(&with_vars(json!({ "body": body }))).map(|planned| planned.body);
    assert_eq!(sent(json!({ "owner": "eva" })), Ok(Some(json!({ "owner": "eva" }))));
    let refused = |body: Json| sent(body).expect_err("refused").to_string();
    assert!(refused(json!({})).contains("$.owner: required field is missing"));
    let text = refused(json!({ "owner": "eva", "geheim": 1 }));
    assert!(text.contains("$: found a field beside those of the schema, owner") && !text.contains("geheim"), "{text}");
}

#[test]
fn an_answer_may_hold_more_than_its_schema_and_not_less() {
    let call = booking();
    let more = json!({ "id": "PR-1", "status": "booked", "later": { "deep": [1] } });
    let variables = answered(&call, &more).expect("variables");
    let known = json!({ "id": "PR-1", "status": "booked" });
    assert_eq!(json!(variables), json!({ "bookingId": "PR-1", "whole": known }));
    for (body, why) in [
        (json!({ "id": "PR-1" }), "$.status: required field is missing"),
        (json!({ "id": 1, "status": "geheim" }), "$.id: expected string, found number"),
        (Json::Null, "$: expected procurement.answers.v1.PurchaseRequest, found null"),
        (json!("geheim"), "$: expected procurement.answers.v1.PurchaseRequest, found string"),
    ] {
        let error = answered(&call, &body).expect_err("unusable");
        assert!(matches!(error, PlanError::Answer(_)), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("the answer does not obey schema procurement-purchase-request/v1: "), "{text}");
        assert!(text.contains(why) && !text.contains("geheim"), "{text}");
    }
}

#[test]
fn what_no_schema_describes_is_known() {
    let lacks = |result: &str, call: &str| {
        let call = format!("result = {{ x = \"{result}\" }}\n[job.call]\nsystem = \"crm\"\npath = \"/x\"\n{call}");
        asking(&call).undescribed()
    };
    assert_eq!(lacks("response.body.id", "body = { a = 1 }"), ["body", "answer"]);
    for looks in ["'id' in response.body", "response.body['id']", "response['body'].id", "string(response.body)"] {
        assert_eq!(lacks(looks, ""), ["answer"], "{looks}");
    }
    for takes_none_or_all in ["response.body", "response.headers.etag", "string(response.status)", "vars.y"] {
        assert_eq!(lacks(takes_none_or_all, ""), [] as [&str; 0], "{takes_none_or_all}");
    }
    assert_eq!(lacks("response.body.sha256", "answer = \"document\""), [] as [&str; 0]);
    let described =
        "body = { owner = \"'a'\" }\nbody_schema = \"crm-assign-owner/v1\"\nanswer_schema = \"crm-case/v1\"";
    assert_eq!(lacks("response.body.id", described), [] as [&str; 0]);
}
