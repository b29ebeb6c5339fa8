//! Onboarding and offboarding: HR, IT, facilities and payroll side by side; what was given in vain is taken back

use emulator::{Availability, Fault, Rule, System};
use serde_json::{Value, json};
use workflow_client::Variable;

use super::office::{Case, Office};
use crate::support::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_begin_and_leave_on_flowable() {
    people_begin_and_leave(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_begin_and_leave_in_the_opentext_dialect() {
    people_begin_and_leave(Bench::opentext().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_waits_for_its_job_to_be_handed_out_again_on_flowable() {
    an_answer_waits_for_its_job_to_be_handed_out_again(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_waits_for_its_job_to_be_handed_out_again_in_the_opentext_dialect() {
    an_answer_waits_for_its_job_to_be_handed_out_again(Bench::opentext().await).await;
}

async fn people_begin_and_leave(bench: Bench) {
    let office = Office::open("people", bench).await;
    tokio::join!(
        somebody_begins_and_leaves_again(&office),
        a_name_that_is_taken_is_chosen_again(&office),
        equipment_that_is_taken_is_found_elsewhere(&office),
        what_was_given_in_vain_is_taken_back(&office),
        policies_that_nobody_acknowledges_go_to_the_leads(&office),
        a_change_reaches_the_process_even_when_it_is_early(&office),
        who_withdraws_has_no_outcome(&office),
        who_had_nothing_leaves_too(&office),
        who_may_not_leave_yet_stays(&office),
    );
    payroll_is_down_for_a_while(&office).await;
    office.closes().await;
}

/// Somebody whom HRIS knows, with a name and equipment of their own
struct Person<'o> {
    begins: Case<'o>,
    leaves: Case<'o>,
    event: Value,
    equipment: String,
}

impl<'o> Person<'o> {
    fn hired(office: &'o Office) -> Person<'o> {
        let number = office.case("N", 0, "{id}").id;
        let employee = json!({ "number": number, "name": "Mia Hansen" });
        let id = office.systems.put_there(System::Hris, "/employees", employee).unwrap();
        let equipment = office.systems.put_there(System::Assets, "/equipment", json!({ "kind": "laptop" })).unwrap();
        let begins = office.case_of("EMP-1", 0, "onboarding/{id}", id.clone());
        let leaves = office.case_of("EMP-1", 1, "offboarding/{id}", id);
        let mut event = begins.event("begins");
        (event["userName"], event["equipmentId"]) = (json!(format!("mia.{number}")), json!(equipment));
        Person { begins, leaves, event, equipment: format!("/equipment/{equipment}") }
    }

    /// The same person's event of that example
    fn leaving(&self) -> Value {
        let mut event = self.leaves.event("leaves");
        for same in ["userName", "equipmentId"] {
            event[same] = self.event[same].clone();
        }
        event
    }

    async fn acknowledges(&self) {
        self.begins.decide_with("acknowledgePolicies", &[Variable::new("acknowledged", true)]).await;
    }

    fn status(&self, office: &Office) -> Value {
        office.systems.look(System::Hris, &format!("/employees/{}", self.begins.id)).unwrap()["status"].clone()
    }

    fn equipment(&self, office: &Office) -> Value {
        office.systems.look(System::Assets, &self.equipment).unwrap()["status"].clone()
    }
}

async fn somebody_begins_and_leaves_again(office: &Office) {
    let person = Person::hired(office);
    let id = person.begins.publish(&person.event).await;
    person.begins.publish_as(&id, &person.event).await;
    person.acknowledges().await;
    person.begins.ends_as("onboarded").await;
    person.begins.replies("duplicate", 1).await;
    assert_eq!((person.status(office), person.equipment(office)), (json!("active"), json!("assigned")));

    person.leaves.publish(&person.leaving()).await;
    person.leaves.decide("finalApproval", "approved").await;
    person.leaves.second_ends_as("offboarded").await;
    assert_eq!((person.status(office), person.equipment(office)), (json!("left"), json!("free")));
}

async fn a_name_that_is_taken_is_chosen_again(office: &Office) {
    let person = Person::hired(office);
    let taken = json!({ "userName": person.event["userName"] });
    office.systems.put_there(System::Identity, "/Users", taken).unwrap();
    person.begins.publish(&person.event).await;
    let other = format!("hansen.{}", person.begins.id);
    person.begins.decide_with("chooseUserName", &[Variable::new("userName", other.as_str())]).await;
    person.acknowledges().await;
    person.begins.ends_as("other-name").await;
}

async fn equipment_that_is_taken_is_found_elsewhere(office: &Office) {
    let person = Person::hired(office);
    office.systems.changed(System::Assets, &person.equipment, json!({ "status": "assigned" }));
    person.begins.publish(&person.event).await;
    let other = office.systems.put_there(System::Assets, "/equipment", json!({ "kind": "laptop" })).unwrap();
    person.begins.decide_with("chooseEquipment", &[Variable::new("equipmentId", other.as_str())]).await;
    person.acknowledges().await;
    person.begins.ends_as("other-equipment").await;
}

async fn what_was_given_in_vain_is_taken_back(office: &Office) {
    let person = Person::hired(office);
    office.systems.put_there(System::Payroll, "/entries", json!({ "employee": person.begins.id })).unwrap();
    person.begins.publish(&person.event).await;
    person.begins.decide_with("clarifyPayroll", &[Variable::new("payrollDecision", "undo")]).await;
    person.acknowledges().await;
    person.begins.ends_as("undone").await;
    assert_eq!((person.status(office), person.equipment(office)), (json!("hired"), json!("free")));
    assert_eq!(office.effects(System::Identity, "Users.delete").0, office.effects(System::Identity, "Users.delete").1);
}

async fn policies_that_nobody_acknowledges_go_to_the_leads(office: &Office) {
    let mut person = Person::hired(office);
    person.event["dueWithin"] = json!("PT1S");
    person.begins.publish(&person.event).await;
    person.begins.decide_with("leadAcknowledges", &[Variable::new("acknowledged", true)]).await;
    person.begins.ends_as("escalated").await;
}

async fn a_change_reaches_the_process_even_when_it_is_early(office: &Office) {
    let person = Person::hired(office);
    person.begins.publish(&person.event).await;
    let mut changed = person.event.clone();
    (changed["kind"], changed["name"]) = (json!("changed"), json!("Mia Hansen-Roy"));
    person.begins.publish(&changed).await;
    person.begins.variable("name", &json!("Mia Hansen-Roy")).await;
    person.acknowledges().await;
    person.begins.ends_as("onboarded").await;
}

async fn who_withdraws_has_no_outcome(office: &Office) {
    let mut person = Person::hired(office);
    person.begins.publish(&person.event).await;
    person.begins.task("acknowledgePolicies").await;
    person.event["kind"] = json!("withdrawn");
    person.begins.publish(&person.event).await;
    person.begins.replies("accepted", 2).await;
    person.begins.replies("outcome", 0).await;
    assert!(person.begins.is_over().await);
}

async fn who_had_nothing_leaves_too(office: &Office) {
    let person = Person::hired(office);
    person.leaves.publish(&person.leaving()).await;
    person.leaves.decide_with("searchEquipment", &[Variable::new("found", false)]).await;
    person.leaves.decide("finalApproval", "approved").await;
    person.leaves.ends_as("nothing-there").await;
    assert_eq!(person.status(office), "left");
}

async fn who_may_not_leave_yet_stays(office: &Office) {
    let person = Person::hired(office);
    office.systems.changed(System::Assets, &person.equipment, json!({ "status": "assigned" }));
    person.leaves.publish(&person.leaving()).await;
    person.leaves.decide("finalApproval", "rejected").await;
    person.leaves.ends_as("kept").await;
    assert_eq!(person.status(office), "hired");
}

/// Nothing connects, then the answer to the entry is lost: it is made once, and nothing else waits for it.
async fn payroll_is_down_for_a_while(office: &Office) {
    let person = Person::hired(office);
    office.systems.set_availability(System::Payroll, Availability::Refusing).await;
    person.begins.publish(&person.event).await;
    office.logged("system payroll (not sent)").await;
    person.acknowledges().await;
    person.begins.variable("accountId", &Value::String("*".into())).await;
    office.systems.disturb(System::Payroll, Rule::on("entries.create", Fault::DropAnswer).times(1));
    office.systems.set_availability(System::Payroll, Availability::Up).await;
    person.begins.ends_as("onboarded").await;
    let (made, keys) = office.effects(System::Payroll, "entries.create");
    assert_eq!(made, keys);
}

/// Payroll's answer is lost until the instance is suspended and its lock over; meanwhile the name has changed, and payroll would refuse
/// another request under the same key.
async fn an_answer_waits_for_its_job_to_be_handed_out_again(bench: Bench) {
    let office = Office::open_with_short_locks("people", bench).await;
    let person = Person::hired(&office);
    office.systems.disturb(System::Payroll, Rule::on("entries.create", Fault::DropAnswer));
    person.begins.publish(&person.event).await;
    office.took_effect(System::Payroll, "entries.create", 1).await;
    person.begins.variable("accountId", &Value::String("*".into())).await;
    let mut changed = person.event.clone();
    (changed["kind"], changed["name"]) = (json!("changed"), json!("Mia Hansen-Roy"));
    person.begins.publish(&changed).await;
    person.begins.variable("name", &json!("Mia Hansen-Roy")).await;

    person.begins.suspend().await;
    office.systems.calm(System::Payroll);
    office.logged("it waits until the engine hands the job out again").await;
    person.begins.locks_end().await;
    person.begins.activate().await;

    person.acknowledges().await;
    person.begins.ends_as("onboarded").await;
    assert_eq!(office.effects(System::Payroll, "entries.create"), (1, 1));
    office.closes().await;
}
