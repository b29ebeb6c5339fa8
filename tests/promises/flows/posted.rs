//! A process that posts its outcome to the HTTP intake itself: hearsay until the engine shows it, and then one outcome

use emulator::System;
use promises::{DEADLINE, free_address, until};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::office::{Case, Office};
use crate::support::Bench;

const TOKEN: &str = "engine-s3cret";
/// What is left of the tickets' model where its last task stood
const AFTER: &str = "<sequenceFlow id=\"toEnd\" sourceRef=\"publishOutcome\" targetRef=\"ticketClosed\"/>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_posts_is_published_on_flowable() {
    what_a_process_posts_is_published(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_posts_is_published_in_the_opentext_dialect() {
    what_a_process_posts_is_published(Bench::opentext().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_is_rolled_back_publishes_nothing_on_flowable() {
    a_post_that_is_rolled_back_publishes_nothing(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_is_rolled_back_publishes_nothing_in_the_opentext_dialect() {
    a_post_that_is_rolled_back_publishes_nothing(Bench::opentext().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_and_a_post_give_one_outcome_on_flowable() {
    history_and_a_post_give_one_outcome(Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_and_a_post_give_one_outcome_in_the_opentext_dialect() {
    history_and_a_post_give_one_outcome(Bench::opentext().await).await;
}

async fn what_a_process_posts_is_published(bench: Bench) {
    let intake = Intake::new();
    let office = intake.office(bench, &|text| text).await;
    let (first, event) = case(&office);
    first.publish(&event).await;
    first.task("triage").await;
    let told = first.instance().await;
    first.decide("triage", "assigned").await;
    first.ends_as("assigned").await;
    assert!(office.job_records_of(&told).await > 0);
    for _ in 0..2 {
        assert_eq!(intake.post(&office, &told).await, StatusCode::ACCEPTED, "the engine repeats itself");
    }

    // Too early, while somebody still has to decide; then the intake is not there when the process ends.
    let (second, event) = case(&office);
    second.publish(&event).await;
    second.task("triage").await;
    let early = second.instance().await;
    assert_eq!(intake.post(&office, &early).await, StatusCode::ACCEPTED);
    office.measured("xconnector_holds_total", 1.0).await;
    assert_eq!(second.replies_now("outcome").await, 0, "it runs");
    office.kill().await;
    second.decide("triage", "resolved").await;
    office.start_again().await;
    second.ends_as("resolved").await;

    // A stranger's process, one that was withdrawn, one that nobody knows.
    let foreign = office.start_foreign(&second).await;
    let (withdrawn, mut gone) = case(&office);
    withdrawn.publish(&gone).await;
    withdrawn.task("triage").await;
    let ended = withdrawn.instance().await;
    gone["kind"] = json!("withdrawn");
    withdrawn.publish(&gone).await;
    withdrawn.replies("accepted", 2).await;
    for instance in [&ended, "00000000-0000-4000-8000-000000000000"] {
        assert_eq!(intake.post(&office, instance).await, StatusCode::ACCEPTED);
    }
    let posted = async || Ok((office.job_records_of(&foreign).await > 0).then_some(()));
    until("the post of the stranger's process", DEADLINE, posted).await.unwrap();
    office.jobs_are_done().await;
    let outcomes = [&first, &second, &withdrawn].map(|case| case.replies_now("outcome"));
    let [of_first, of_second, of_withdrawn] = outcomes;
    assert_eq!((of_first.await, of_second.await, of_withdrawn.await), (1, 1, 0));
    assert_eq!(office.outcomes_of(&foreign).await, 0, "nobody of ours started it");
    assert_eq!(office.letters(1).await.remove(0).0, "no-instance");

    let records = office.job_records_of(&told).await;
    assert_eq!(intake.send(&office, "{}", TOKEN).await, StatusCode::UNPROCESSABLE_ENTITY);
    let named = json!({ "processInstanceId": told }).to_string();
    assert_eq!(intake.send(&office, &named, "wr0ng-token").await, StatusCode::UNAUTHORIZED);
    assert_eq!(office.job_records_of(&told).await, records, "nothing of it was kept");
}

async fn a_post_that_is_rolled_back_publishes_nothing(bench: Bench) {
    let intake = Intake::new();
    // What comes after the post belongs to its transaction, and fails until an update brings a comment.
    let gateway = "<sequenceFlow id=\"toCommented\" sourceRef=\"publishOutcome\" targetRef=\"commented\"/>\
        <exclusiveGateway id=\"commented\" default=\"uncommented\"/>\
        <sequenceFlow id=\"withComment\" sourceRef=\"commented\" targetRef=\"ticketClosed\">\
        <conditionExpression xsi:type=\"tFormalExpression\">${comment != 'none'}</conditionExpression></sequenceFlow>\
        <sequenceFlow id=\"uncommented\" sourceRef=\"commented\" targetRef=\"ticketClosed\"/>";
    let office = intake.office(bench, &|text| text.replace(AFTER, gateway)).await;
    let (ticket, mut event) = case(&office);
    ticket.publish(&event).await;
    ticket.decide("triage", "resolved").await;
    office.measured("xconnector_http_intake_outcomes_total", 2.0).await;
    let posted = ticket.instance().await;
    office.measured("xconnector_holds_total", 1.0).await;
    assert_eq!(ticket.replies_now("outcome").await, 0, "each of these posts was taken back");
    event["kind"] = json!("updated");
    event["comment"] = json!("It blinks");
    ticket.publish(&event).await;
    ticket.ends_as("resolved").await;
    office.jobs_are_done().await;
    assert_eq!(ticket.replies_now("outcome").await, 1);
    assert!(office.job_records_of(&posted).await > 2, "two that were taken back, and the last one");
    office.closes().await;
}

async fn history_and_a_post_give_one_outcome(bench: Bench) {
    let intake = Intake::new();
    let history = "[[job]]\nended = \"ticket_triage\"\npublish = \"outcome\"\n\
                   include = [\"ticketId\", \"priority\", \"team\", \"owner\"]\n[reply]";
    let office = intake.office(bench, &|text| text.replace("[reply]", history)).await;
    let (ticket, event) = case(&office);
    ticket.publish(&event).await;
    ticket.task("triage").await;
    let told = ticket.instance().await;
    ticket.decide("triage", "resolved").await;
    ticket.ends_as("resolved").await;
    let both = async || Ok((office.job_records_of(&told).await >= 2).then_some(()));
    until("both records of the instance", DEADLINE, both).await.unwrap();
    office.jobs_are_done().await;
    assert_eq!(ticket.replies_now("outcome").await, 1);
    office.closes().await;
}

/// Where the flow's processes post to
struct Intake {
    address: String,
    secrets: TempDir,
    http: Client,
}

impl Intake {
    fn new() -> Intake {
        let (address, secrets) = (free_address().unwrap().to_string(), TempDir::new().unwrap());
        std::fs::write(secrets.path().join("token"), TOKEN).unwrap();
        Intake { address, secrets, http: Client::builder().timeout(DEADLINE).build().unwrap() }
    }

    /// The tickets flow with an HTTP task where the model's last external task stands, and `change` besides.
    async fn office(&self, bench: Bench, change: &dyn Fn(String) -> String) -> Office {
        let token = self.secrets.path().join("token");
        let tables = format!(
            "[intake]\nlisten = \"{}\"\n[[intake.door]]\nflow = \"tickets\"\nbearer = {{ file = {token:?} }}\n",
            self.address
        );
        let bench = bench.with("settle = \"2s\"");
        let office = Office::open_with_settings("tickets", bench, &|text| change(self.posting(text)), &tables).await;
        office.logged("the HTTP intake listens").await;
        office
    }

    /// A flow's file, or its model
    fn posting(&self, text: String) -> String {
        let flow = text.replace("topic    = \"tickets.outcome\"", "posted   = \"ticket_triage\"");
        let Some((before, task)) = flow.split_once("<serviceTask id=\"publishOutcome\"") else { return flow };
        let (_, after) = task.split_once("/>").unwrap();
        let url = format!("http://{}/intake/tickets/outcomes", self.address);
        let fields = |of: &str| {
            format!(
                "<{of}:failedJobRetryTimeCycle>R100/PT1S</{of}:failedJobRetryTimeCycle>\
                 <{of}:field name=\"requestMethod\" stringValue=\"POST\"/>\
                 <{of}:field name=\"requestUrl\"><{of}:string><![CDATA[{url}]]></{of}:string></{of}:field>\
                 <{of}:field name=\"requestHeaders\"><{of}:string><![CDATA[Content-Type: application/json\n\
                 Authorization: Bearer {TOKEN}]]></{of}:string></{of}:field>\
                 <{of}:field name=\"requestBody\"><{of}:expression>\
                 <![CDATA[{{\"processInstanceId\": \"${{execution.processInstanceId}}\"}}]]></{of}:expression></{of}:field>\
                 <{of}:field name=\"failStatusCodes\" stringValue=\"4XX, 5XX\"/>"
            )
        };
        let types = ["flowable", "workflow"].map(|of| format!("{of}:type=\"http\" {of}:async=\"true\"")).join(" ");
        let fields = ["flowable", "workflow"].map(fields).concat();
        let task = format!(
            "<serviceTask id=\"publishOutcome\" name=\"Tell the outcome\" {types}>\
             <extensionElements>{fields}</extensionElements></serviceTask>"
        );
        format!("{before}{task}{after}")
    }

    async fn post(&self, office: &Office, instance: &str) -> StatusCode {
        self.send(office, &json!({ "processInstanceId": instance }).to_string(), TOKEN).await
    }

    async fn send(&self, office: &Office, body: &str, token: &str) -> StatusCode {
        let url = format!("http://{}/intake/{}/outcomes", self.address, office.flow_name());
        let request = self.http.post(url).bearer_auth(token).body(body.to_owned());
        request.send().await.unwrap().status()
    }
}

fn case(office: &Office) -> (Case<'_>, Value) {
    let case = office.case("T-1", 0, "ticket/{id}");
    office.systems.put_there(System::Crm, "/cases", json!({ "id": case.id, "subject": "Router" })).unwrap();
    let event = case.event("router");
    (case, event)
}
