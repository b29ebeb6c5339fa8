use std::path::Path;

use event_model::{Coordinates, Header, Offset, Partition, Schemas};
use flow_core::{Command, Plan};
use serde_json::{Value, json};
use workflow_client::Instance;

use super::*;

const JOBS: TopicId = TopicId(1);
const REPLAY: TopicId = TopicId(2);

fn handler() -> FlowHandler {
    handler_with(Vec::new())
}

/// The handler of the tickets, whose jobs ask these systems.
pub(super) fn handler_with(systems: Vec<Arc<System>>) -> FlowHandler {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let schemas = Schemas::load(&root.join("schemas")).unwrap();
    let flow = Flow::load(&root.join("flows/tickets"), &schemas).unwrap();
    // Nothing listens there: these tests make no call.
    let engine =
        Engine::new(workflow_client::Settings::flowable("http://127.0.0.1:9", workflow_client::Auth::None)).unwrap();
    FlowHandler::new(Parts {
        flow,
        jobs_topic: Some(JOBS),
        replay_topic: REPLAY,
        schema_ids: SchemaIds::default(),
        engine,
        systems,
        worker: "test".into(),
        settle: Duration::from_secs(60),
        history_lag: Duration::ZERO,
        lock: Duration::from_secs(600),
    })
    .unwrap()
}

fn record(topic: &str, key: &[u8], value: Option<Vec<u8>>) -> Record {
    let (partition, offset) = (Partition::new(3), Offset::new(14));
    Record {
        coordinates: Coordinates { topic: topic.into(), partition, offset },
        key: Some(key.to_vec()),
        value,
        headers: vec![
            Header::text("ce_specversion", "1.0"),
            Header::text("ce_id", "e-1"),
            Header::text("ce_source", "/crm"),
        ],
        timestamp_ms: None,
    }
}

fn ticket(kind: &str) -> Record {
    let ticket = json!({
        "ticketId": "T-1", "kind": kind, "title": "No dial tone", "category": "network", "sla": "gold", "channel": "portal",
        "customer": { "id": "C-1", "name": "Nordwerk", "type": "business", "region": "DE" }
    });
    record("crm.tickets.v1", b"T-1", Some(serde_json::to_vec(&ticket).unwrap()))
}

fn variable(prepared: &Prepared<Arc<Work>>, name: &str) -> Value {
    let Task::Start { variables, .. } = &prepared.work.task else { panic!("no start") };
    let variable = variables.iter().find(|variable| variable.name == name).unwrap();
    variable.value.clone().into_json()
}

#[test]
fn a_start_carries_its_events_mark_and_the_way_back() {
    let prepared = handler().prepare(TopicId(0), ticket("created"));
    assert_eq!(prepared.plan, Plan::Command(Command::Start));
    assert_eq!(&*prepared.lane, b"T-1");
    assert_eq!(variable(&prepared, "xcEventId"), json!("tickets//crm/e-1"));
    let origin = Origin::read(&variable(&prepared, "xc")).unwrap();
    assert_eq!((origin.topic.as_str(), origin.offset.get()), ("crm.tickets.v1", 14));
    assert_eq!((origin.key(), origin.reply_topic.as_str()), (Some(b"T-1".to_vec()), "crm.tickets.replies.v1"));
}

#[test]
fn a_key_that_is_no_text_finds_its_way_back_too() {
    let mut created = ticket("created");
    created.key = Some(vec![0xff, 0x00, 0x7f]);
    let prepared = handler().prepare(TopicId(0), created);
    assert_eq!(Origin::read(&variable(&prepared, "xc")).unwrap().key(), Some(vec![0xff, 0x00, 0x7f]));
}

#[test]
fn a_repeat_has_the_same_identity_and_another_payload_another_one() {
    let handler = handler();
    let first = handler.prepare(TopicId(0), ticket("created")).identity.unwrap();
    assert_eq!(handler.prepare(TopicId(0), ticket("created")).identity, Some(first));
    let other = handler.prepare(TopicId(0), ticket("withdrawn")).identity.unwrap();
    assert_eq!((other.0, other.1 == first.1), (first.0, false));
}

#[test]
fn events_of_one_business_key_take_turns_whatever_their_step() {
    let handler = handler();
    let turns = ["created", "updated", "withdrawn"].map(|kind| handler.prepare(TopicId(0), ticket(kind)).business);
    assert!(turns[0].is_some());
    assert_eq!((turns[0], turns[0]), (turns[1], turns[2]));
}

#[test]
fn a_bad_record_is_a_rejection_and_keeps_its_bytes() {
    let garbage = record("crm.tickets.v1", b"K", Some(b"{garbage".to_vec()));
    let prepared = handler().prepare(TopicId(0), garbage.clone());
    let Plan::Reject(reason, _) = &prepared.plan else { panic!("{:?}", prepared.plan) };
    assert_eq!(reason.as_str(), "undecodable-json");
    assert_eq!(prepared.work.record, garbage);
}

#[test]
fn a_job_that_comes_again_under_another_id_is_known_by_its_correlation_id() {
    let handler = handler();
    let job = |id: &str| {
        let job = json!({
            "jobId": id, "correlationId": "c-1", "topic": "tickets.outcome", "processInstanceId": "p-1",
            "processDefinitionId": null, "elementId": null, "retries": 3, "lockExpiresAt": null
        });
        handler.prepare(JOBS, record("xc.tickets.jobs", b"p-1", Some(serde_json::to_vec(&job).unwrap())))
    };
    assert_eq!(job("a").plan, Plan::Command(Command::Publish));
    assert_eq!(job("a").identity, job("b").identity);
}

#[test]
fn a_job_of_a_topic_that_the_flow_does_not_serve_is_rejected() {
    let job = json!({ "jobId": "a", "correlationId": null, "topic": "other", "processInstanceId": "p-1",
        "processDefinitionId": null, "elementId": null, "retries": 3, "lockExpiresAt": null });
    let prepared = handler().prepare(JOBS, record("xc.tickets.jobs", b"p-1", Some(serde_json::to_vec(&job).unwrap())));
    assert!(matches!(&prepared.plan, Plan::Reject(reason, _) if reason.as_str() == "unknown-job-topic"));
}

#[test]
fn a_posted_process_is_the_same_job_as_in_history_and_is_the_flows_to_publish_by_its_mark() {
    let posted = JobRecord::posted("p-1".to_owned());
    let record = |job: &JobRecord| {
        let sent = job.to_record("tickets").unwrap();
        record("xc.tickets.jobs", &sent.key.unwrap(), sent.value)
    };
    let of_history = JobRecord { topic: "ended:ticket_triage".to_owned(), ..posted.clone() };
    assert_eq!(identity::of_job(&posted), identity::of_job(&of_history), "one outcome, whoever tells of it");
    let refused = handler().prepare(JOBS, record(&posted));
    assert!(matches!(&refused.plan, Plan::Reject(reason, _) if reason.as_str() == "unknown-job-topic"), "not expected");

    let instance = |mark: &str, reason: &str| -> Instance {
        let marks = json!([{ "name": marker::EVENT_ID, "value": mark }]);
        serde_json::from_value(json!({ "id": "p-1", "deleteReason": reason, "variables": marks })).unwrap()
    };
    assert!(marker::has_outcome(&instance("tickets//crm/e-1", ""), "tickets"));
    assert!(marker::has_outcome(&instance("tickets//crm/e-1", "by hand"), "tickets"));
    for (mark, reason) in [("tickets-2//crm/e-1", ""), ("", ""), ("tickets//crm/e-1", "xc:duplicate")] {
        assert!(!marker::has_outcome(&instance(mark, reason), "tickets"), "{mark} {reason}");
    }
}

#[test]
fn what_was_ended_as_surplus_is_counted_no_more_and_found_only_without_its_survivor() {
    let instance = |id: &str, reason: &str| -> Instance {
        let marks = json!([{ "name": marker::EVENT_ID, "value": "tickets/e-1" }]);
        let row = json!({ "id": id, "deleteReason": reason, "endTime": "2026-11-26T10:00:00Z", "variables": marks });
        serde_json::from_value(row).unwrap()
    };
    let both = [instance("surplus", marker::DUPLICATE), instance("survivor", "")];
    let found = |instances: &[Instance]| calls::marked(instances, marker::EVENT_ID, "tickets/e-1").unwrap();
    assert_eq!(found(&both).as_deref(), Some("survivor"));
    assert_eq!(found(&both[..1]).as_deref(), Some("surplus"), "it shows that the event was done");
    let counted = calls::copies(&both, "tickets/e-1", flow_core::Scope::History).unwrap();
    assert_eq!(counted.iter().map(|copy| &*copy.id).collect::<Vec<_>>(), ["survivor"]);
}
