//! The business systems as their clients see them: over HTTP, by what each of them is for
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use emulator::{Availability, Fault, Rule, System, Systems};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

struct Office {
    systems: Systems,
    http: Client,
}

impl Office {
    async fn open() -> Office {
        Office { systems: Systems::start(&[]).await.unwrap(), http: Client::new() }
    }

    async fn ask(
        &self,
        system: System,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> reqwest::Result<Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.systems.url(system)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        request.send().await
    }

    async fn post(&self, system: System, path: &str, key: &str, body: Value) -> (StatusCode, Value) {
        told(self.ask(system, Method::POST, path, &[("Idempotency-Key", key)], &body).await.unwrap()).await
    }

    async fn get(&self, system: System, path: &str) -> (StatusCode, Value) {
        told(self.ask(system, Method::GET, path, &[], &Value::Null).await.unwrap()).await
    }
}

async fn told(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
}

fn invoice(number: &str) -> Value {
    json!({ "number": number, "supplier": "ACME", "amount": 120.5 })
}

#[tokio::test]
async fn a_key_has_one_effect_however_often_it_comes() {
    let office = Office::open().await;
    let first = office.post(System::Erp, "/invoices", "k1", invoice("1")).await;
    assert_eq!((first.0, &first.1["status"]), (StatusCode::CREATED, &json!("blocked")));
    assert_eq!(office.post(System::Erp, "/invoices", "k1", invoice("1")).await, first, "the answer of the first time");
    assert_eq!(
        office.post(System::Erp, "/invoices", "k1", invoice("2")).await.0,
        StatusCode::UNPROCESSABLE_ENTITY,
        "another request"
    );
    let without = office.ask(System::Erp, Method::POST, "/invoices", &[], &invoice("3")).await.unwrap();
    assert_eq!(without.status(), StatusCode::BAD_REQUEST);
    let effects = office.systems.effects(System::Erp);
    assert_eq!(effects.len(), 1);
    assert_eq!((effects[0].operation.as_str(), effects[0].key.as_deref()), ("invoices.create", Some("k1")));
    assert_eq!(office.get(System::Erp, "/_effects").await.1[0]["operation"], "invoices.create");
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_one_effect_behind_and_the_key_finds_it() {
    let office = Office::open().await;
    office.systems.disturb(System::Procurement, Rule::on("purchase-requests.create", Fault::DropAnswer).times(1));
    let request = json!({ "title": "Chairs", "amount": 480, "costCentre": "CC1" });
    let headers = [("Idempotency-Key", "job-7")];
    assert!(office.ask(System::Procurement, Method::POST, "/purchase-requests", &headers, &request).await.is_err());
    let (status, booked) = office.post(System::Procurement, "/purchase-requests", "job-7", request).await;
    assert_eq!((status, &booked["status"]), (StatusCode::CREATED, &json!("booked")));
    assert_eq!(office.systems.effects(System::Procurement).len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_what_is_there_already_is_a_conflict() {
    let office = Office::open().await;
    let wrong = office.post(System::Mdm, "/vendors", "a", json!({ "key": "DE1" })).await;
    assert_eq!((wrong.0, &wrong.1["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("name")));
    let negative =
        office.post(System::Erp, "/invoices", "b", json!({ "number": "1", "supplier": "S", "amount": -1 })).await;
    assert_eq!((negative.0, &negative.1["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("amount")));
    let vendor = json!({ "key": "DE1", "name": "ACME" });
    // what was refused may be asked for again under its key
    let made = office.post(System::Mdm, "/vendors", "a", vendor.clone()).await;
    assert_eq!(made.0, StatusCode::CREATED);
    let again = office.post(System::Mdm, "/vendors", "c", vendor).await;
    assert_eq!((again.0, &again.1["id"]), (StatusCode::CONFLICT, &made.1["id"]), "the same from another system");
    assert_eq!(office.get(System::Mdm, "/vendors?key=DE1").await.1["total"], 1);
    assert_eq!(office.get(System::Mdm, "/vendors?key=DE2").await.1["total"], 0);
    assert_eq!(office.get(System::Mdm, "/vendors/V-99").await.0, StatusCode::NOT_FOUND);
    assert_eq!(office.systems.effects(System::Mdm).len(), 1);
}

#[tokio::test]
async fn a_change_says_which_version_it_means() {
    let office = Office::open().await;
    let id = office.systems.put_there(System::Mdm, "/vendors", json!({ "key": "DE1", "name": "ACME" })).unwrap();
    let path = format!("/vendors/{id}");
    let read = office.ask(System::Mdm, Method::GET, &path, &[], &Value::Null).await.unwrap();
    let version = read.headers()["etag"].to_str().unwrap().to_owned();
    let change = async |headers: &[(&str, &str)], name: &str| {
        office.ask(System::Mdm, Method::PATCH, &path, headers, &json!({ "name": name })).await.unwrap().status()
    };
    assert_eq!(change(&[], "A").await, StatusCode::PRECONDITION_REQUIRED);
    assert_eq!(change(&[("If-Match", &version)], "B").await, StatusCode::OK);
    assert_eq!(change(&[("If-Match", &version)], "C").await, StatusCode::PRECONDITION_FAILED, "somebody was faster");
    assert_eq!(office.systems.look(System::Mdm, &path).unwrap()["name"], "B");
    assert_eq!(office.systems.look(System::Mdm, &path).unwrap()["key"], "DE1", "what is not named stays");
}

#[tokio::test]
async fn a_document_is_released_only_when_it_was_approved() {
    let office = Office::open().await;
    let id = office.systems.put_there(System::Ecm, "/documents", json!({ "name": "Contract" })).unwrap();
    let step = async |action: &str, body: Value| {
        office.post(System::Ecm, &format!("/documents/{id}/{action}"), &format!("k-{action}-{body}"), body).await
    };
    assert_eq!(step("release", Value::Null).await.0, StatusCode::CONFLICT);
    assert_eq!(step("submit", Value::Null).await.1["status"], "in-review");
    assert_eq!(step("reject", Value::Null).await.0, StatusCode::UNPROCESSABLE_ENTITY, "without a comment");
    assert_eq!(step("reject", json!({ "comment": "too long", "status": "released" })).await.1["status"], "rejected");
    assert_eq!(step("submit", json!({ "round": 2 })).await.1["status"], "in-review");
    assert_eq!(step("approve", Value::Null).await.1["status"], "approved");
    assert_eq!(step("release", json!({})).await.1["status"], "released");
    let done: Vec<String> = office.systems.effects(System::Ecm).into_iter().map(|effect| effect.operation).collect();
    let steps = ["submit", "reject", "submit", "approve", "release"].map(|step| format!("documents.{step}"));
    assert_eq!(done, steps);
    assert_eq!(step("shred", Value::Null).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn equipment_is_given_to_one_person_at_a_time() {
    let office = Office::open().await;
    let id = office.systems.put_there(System::Assets, "/equipment", json!({ "kind": "laptop" })).unwrap();
    let path = |action: &str| format!("/equipment/{id}/{action}");
    assert_eq!(office.post(System::Assets, &path("assign"), "1", json!({ "employee": "E1" })).await.0, StatusCode::OK);
    assert_eq!(
        office.post(System::Assets, &path("assign"), "2", json!({ "employee": "E2" })).await.0,
        StatusCode::CONFLICT
    );
    assert_eq!(office.post(System::Assets, &path("return"), "3", Value::Null).await.1["status"], "free");
}

#[tokio::test]
async fn accounts_are_made_found_deactivated_and_removed_by_scim() {
    let office = Office::open().await;
    let user = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada@example.org" });
    let (status, made) = office.post(System::Identity, "/scim/v2/Users", "u1", user.clone()).await;
    assert_eq!((status, &made["active"]), (StatusCode::CREATED, &json!(true)));
    let (status, again) = office.post(System::Identity, "/scim/v2/Users", "u2", user.clone()).await;
    assert_eq!(
        (status, &again["scimType"], &again["status"]),
        (StatusCode::CONFLICT, &json!("uniqueness"), &json!("409"))
    );
    let mut nameless = user;
    nameless["userName"] = json!("");
    let (status, refused) = office.post(System::Identity, "/scim/v2/Users", "u3", nameless).await;
    assert_eq!((status, &refused["scimType"]), (StatusCode::BAD_REQUEST, &json!("invalidValue")));
    let found = office.get(System::Identity, "/scim/v2/Users?filter=userName%20eq%20%22ada%40example.org%22").await.1;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &made["id"]));
    assert_eq!(office.get(System::Identity, "/scim/v2/Users?filter=userName+eq+%22bob%22").await.1["totalResults"], 0);
    assert_eq!(
        office.get(System::Identity, "/scim/v2/Users?filter=userName+sw+%22a%22").await.1["scimType"],
        "invalidFilter"
    );
    let path = format!("/scim/v2/Users/{}", made["id"].as_str().unwrap());
    let off = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                      "Operations": [{ "op": "Replace", "path": "active", "value": false }] });
    let patched = told(office.ask(System::Identity, Method::PATCH, &path, &[], &off).await.unwrap()).await;
    assert_eq!((patched.0, &patched.1["active"]), (StatusCode::OK, &json!(false)));
    let gone = office.ask(System::Identity, Method::DELETE, &path, &[], &Value::Null).await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let missing = office.get(System::Identity, &path).await;
    assert_eq!((missing.0, &missing.1["status"]), (StatusCode::NOT_FOUND, &json!("404")));
}

#[tokio::test]
async fn one_system_that_is_down_or_asks_for_time_leaves_the_others_alone() {
    let office = Office::open().await;
    office.systems.set_availability(System::Crm, Availability::Refusing).await;
    assert!(office.ask(System::Crm, Method::GET, "/cases", &[], &Value::Null).await.is_err());
    assert_eq!(office.get(System::Hris, "/employees").await.0, StatusCode::OK);
    office.systems.set_availability(System::Crm, Availability::Up).await;
    assert_eq!(office.get(System::Crm, "/cases").await.0, StatusCode::OK);
    let busy = Fault::Status { status: 429, retry_after_s: Some(7), retry_after_as_date: false, after_effect: false };
    office.systems.disturb(System::Payroll, Rule::everywhere(busy).times(1));
    let response = office.ask(System::Payroll, Method::GET, "/entries", &[], &Value::Null).await.unwrap();
    assert_eq!(
        (response.status(), response.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::TOO_MANY_REQUESTS, "7")
    );
    assert_eq!(office.get(System::Payroll, "/entries").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_system_may_ask_who_calls() {
    let systems = Systems::start(&[(System::ContactCentre, "Bearer t")]).await.unwrap();
    let office = Office { systems, http: Client::new() };
    let complaint = json!({ "customer": "C1", "text": "late" });
    assert_eq!(
        office.post(System::ContactCentre, "/complaints", "1", complaint.clone()).await.0,
        StatusCode::UNAUTHORIZED
    );
    let headers = [("Idempotency-Key", "1"), ("Authorization", "Bearer t")];
    let taken = office.ask(System::ContactCentre, Method::POST, "/complaints", &headers, &complaint).await.unwrap();
    assert_eq!(taken.status(), StatusCode::CREATED);
    assert_eq!(taken.headers()["location"], "/complaints/CO-1");
}
