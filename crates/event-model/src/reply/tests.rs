//! Replies as a source system would read them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::event::decode;
use crate::record::Record;
use crate::schema::SchemaIds;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn source() -> SourceRef {
    SourceRef {
        event_id: Some("e-1".to_owned()),
        event_source: Some("crm/eu".to_owned()),
        topic: "crm.tickets.v1".to_owned(),
        partition: Partition::new(2),
        offset: Offset::new(40),
        correlation_id: Some("c-9".to_owned()),
        traceparent: Some(TRACE.to_owned()),
    }
}

fn process() -> ProcessRef {
    ProcessRef {
        instance_id: "p-1".to_owned(),
        definition: Some("ticket_triage".to_owned()),
        business_key: Some("ticket/T-1".to_owned()),
    }
}

fn receipt(status: ReceiptStatus) -> Receipt {
    Receipt {
        status,
        reason: None,
        detail: None,
        is_final: true,
        source: source(),
        process: Some(process()),
        attempts: 1,
        time: at("2026-11-24T10:00:00.123Z"),
    }
}

fn outcome() -> Outcome {
    Outcome {
        decision: Some("refund".to_owned()),
        comments: vec![Comment {
            author: Some("dana".to_owned()),
            time: Some(at("2026-11-24T10:05:00Z")),
            text: "The contract says once a year.".to_owned(),
        }],
        audit: vec![AuditEntry {
            task: "decide".to_owned(),
            assignee: Some("dana".to_owned()),
            created: Some(at("2026-11-24T10:00:01Z")),
            claimed: None,
            completed: Some(at("2026-11-24T10:06:00Z")),
            outcome: Some("refund".to_owned()),
        }],
        audit_complete: true,
        variables: BTreeMap::from([
            ("amount".to_owned(), json!(42)),
            ("rate".to_owned(), json!(0.5)),
            ("vip".to_owned(), json!(true)),
            ("team".to_owned(), json!({ "id": 7 })),
            ("huge".to_owned(), json!(u64::MAX)),
        ]),
        source: Some(source()),
        process: process(),
        started: Some(at("2026-11-24T10:00:00Z")),
        ended: None,
    }
}

fn route(encoding: ReplyEncoding) -> ReplyRoute<'static> {
    ReplyRoute { flow: "tickets", topic: "crm.tickets.replies.v1".into(), partition: None, key: Some(b"T-1"), encoding }
}

fn header<'a>(record: &'a OutgoingRecord, name: &str) -> Option<&'a str> {
    let header = record.headers.iter().find(|header| header.name == name)?;
    std::str::from_utf8(header.value.as_deref()?).ok()
}

fn written(status: ReceiptStatus) -> OutgoingRecord {
    let schemas = ReplySchemas::compile().expect("the reply schemas compile");
    schemas.receipt(&receipt(status), &route(ReplyEncoding::Json)).expect("written")
}

#[test]
fn a_receipt_is_a_cloud_event_keyed_like_its_source_record() {
    let record = written(ReceiptStatus::Accepted);
    assert_eq!(&*record.topic, "crm.tickets.replies.v1");
    assert_eq!(record.key.as_deref(), Some(b"T-1".as_slice()));
    for (name, value) in [
        ("ce_specversion", "1.0"),
        ("ce_source", "xconnector/tickets"),
        ("ce_type", "xconnector.accepted.v1"),
        ("ce_time", "2026-11-24T10:00:00.123Z"),
        ("ce_subject", "p-1"),
        ("ce_correlationid", "c-9"),
        ("traceparent", TRACE),
        ("content-type", "application/json"),
    ] {
        assert_eq!(header(&record, name), Some(value), "{name}");
    }
    let body: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
    assert_eq!(
        body,
        json!({
            "status": "accepted", "reason": null, "detail": null, "final": true, "attempts": 1,
            "time": 1_795_514_400_123_i64,
            "source": {
                "eventId": "e-1", "eventSource": "crm/eu", "topic": "crm.tickets.v1", "partition": 2,
                "offset": 40, "correlationId": "c-9"
            },
            "process": {"instanceId": "p-1", "definition": "ticket_triage", "businessKey": "ticket/T-1"}
        })
    );
}

#[test]
fn a_repeated_reply_has_the_same_id_and_another_reply_another() {
    let id = |record: &OutgoingRecord| header(record, "ce_id").expect("an id").to_owned();
    let accepted = id(&written(ReceiptStatus::Accepted));
    assert_eq!(accepted, id(&written(ReceiptStatus::Accepted)));
    assert_ne!(accepted, id(&written(ReceiptStatus::Rejected)));
    let schemas = ReplySchemas::compile().expect("the reply schemas compile");
    let mut later = receipt(ReceiptStatus::Accepted);
    later.source.offset = Offset::new(41);
    let later = schemas.receipt(&later, &route(ReplyEncoding::Json)).expect("written");
    assert_ne!(accepted, id(&later));
    // Pinned: consumers store these ids, so they may not change from one version to the next.
    assert_eq!(accepted, "59f2bec5-bae4-5e1f-a22b-a57f552c8d34");
}

#[test]
fn an_outcome_reads_the_same_from_json_and_from_avro() {
    let schemas = ReplySchemas::compile().expect("the reply schemas compile");
    let time = at("2026-11-24T10:07:00Z");
    let expected = json!({"amount": 42, "rate": 0.5, "vip": true, "team": "{\"id\":7}",
        "huge": "18446744073709551615"});
    for encoding in [ReplyEncoding::Json, ReplyEncoding::Avro] {
        let sent = schemas.outcome(&outcome(), "job-1", time, &route(encoding)).expect("written");
        assert_eq!(header(&sent, "ce_type"), Some("xconnector.outcome.v1"));
        let received = Record {
            coordinates: source().coordinates(),
            key: sent.key,
            value: sent.value,
            headers: sent.headers,
            timestamp_ms: None,
        };
        // An own reply can be read like any event, which is what a flow behind this one would do.
        let event = decode(&received, &schemas.outcome, &SchemaIds::default()).expect("an event");
        assert_eq!(event.data["variables"], expected, "{encoding:?}");
        let mut plain = outcome();
        plain.variables = serde_json::from_value(expected.clone()).expect("variables");
        plain.source = Some(SourceRef { traceparent: None, ..source() });
        let read: Outcome = serde_json::from_value(event.data).expect("an outcome");
        assert_eq!(read, plain, "{encoding:?}");
    }
}

#[test]
fn an_outcome_of_a_process_that_no_event_started_has_no_source() {
    let schemas = ReplySchemas::compile().expect("the reply schemas compile");
    let mut orphan = outcome();
    orphan.source = None;
    let time = at("2026-11-24T10:07:00Z");
    let sent = schemas.outcome(&orphan, "job-1", time, &route(ReplyEncoding::Json)).expect("written");
    assert_eq!(header(&sent, "ce_correlationid"), None);
    assert_eq!(header(&sent, "ce_subject"), Some("p-1"));
    let body: Value = serde_json::from_slice(sent.value.as_deref().expect("a value")).expect("JSON");
    assert_eq!(body["source"], Value::Null);
}

#[test]
fn debug_output_of_replies_shows_no_contents() {
    let mut refused = receipt(ReceiptStatus::Rejected);
    refused.detail = Some("hunter2".to_owned());
    let mut decided = outcome();
    decided.decision = Some("hunter2".to_owned());
    decided.comments[0].text = "hunter2".to_owned();
    let printed = format!("{refused:?} {decided:?} {:?}", decided.comments);
    assert!(!printed.contains("hunter2"), "{printed}");
}
