//! Decoding whole records: CloudEvents modes, payload formats, and everything that can be wrong with them.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ids::{Coordinates, Offset, Partition};
use crate::record::Header;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SCHEMA: &str = r#"{"type":"record","name":"Ticket","fields":[
    {"name":"ticketId","type":"string"},
    {"name":"note","type":"string","default":""}]}"#;

fn schema() -> EventSchema {
    EventSchema::parse("ticket/v1", SCHEMA).expect("a schema")
}

fn data() -> Value {
    json!({ "ticketId": "T-1", "note": "" })
}

fn record(headers: &[(&str, &str)], value: impl Into<Vec<u8>>) -> Record {
    Record {
        coordinates: Coordinates {
            topic: "crm.tickets.v1".into(),
            partition: Partition::new(2),
            offset: Offset::new(40),
        },
        key: None,
        value: Some(value.into()),
        headers: headers.iter().map(|(name, value)| Header::text(*name, *value)).collect(),
        timestamp_ms: None,
    }
}

fn read(record: &Record) -> Result<Event, DecodeError> {
    decode(record, &schema(), &SchemaIds::default())
}

fn json_value() -> Vec<u8> {
    br#"{"ticketId":"T-1"}"#.to_vec()
}

fn datum() -> Vec<u8> {
    schema().encode_avro(&data()).expect("written")
}

fn confluent(id: u32) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), &datum()].concat()
}

#[test]
fn binary_mode_takes_the_attributes_from_headers() {
    let record = record(
        &[
            ("ce_specversion", "1.0"),
            ("ce_id", "e-1"),
            ("ce_source", "crm/eu"),
            ("ce_type", "crm.ticket.created"),
            ("ce_subject", "T-1"),
            ("ce_time", "2026-11-24T09:12:44.518Z"),
            ("ce_correlationid", "c-9"),
            ("ce_traceparent", TRACE),
            ("content-type", "application/json"),
        ],
        json_value(),
    );
    let event = read(&record).expect("an event");
    assert_eq!(event.event_id(), "crm/eu/e-1");
    assert_eq!(
        event,
        Event {
            id: "e-1".to_owned(),
            source: "crm/eu".to_owned(),
            kind: "crm.ticket.created".to_owned(),
            subject: Some("T-1".to_owned()),
            time: Some("2026-11-24T09:12:44.518Z".to_owned()),
            correlation_id: Some("c-9".to_owned()),
            traceparent: Some(TRACE.to_owned()),
            data: data(),
        }
    );
}

#[test]
fn structured_mode_takes_the_attributes_from_the_body() {
    let body = json!({
        "specversion": "1.0", "id": "e-1", "source": "crm/eu", "type": "crm.ticket.created", "subject": "T-1",
        "time": "2026-11-24T09:12:44.518Z", "correlationid": "c-9", "traceparent": TRACE, "other": 5,
        "datacontenttype": "application/json", "data": {"ticketId": "T-1"}
    });
    let headers = [("Content-Type", "application/cloudevents+json; charset=UTF-8")];
    let event = read(&record(&headers, body.to_string())).expect("an event");
    assert_eq!(event.event_id(), "crm/eu/e-1");
    assert_eq!(event.correlation_id.as_deref(), Some("c-9"));
    assert_eq!(event.traceparent.as_deref(), Some(TRACE));
    assert_eq!(event.data, data());
}

#[test]
fn structured_mode_carries_json_and_avro_as_base64() {
    let headers = [("content-type", "application/cloudevents+json")];
    for (content_type, bytes) in [("application/json", json_value()), ("avro/binary", datum())] {
        let body = json!({
            "specversion": "1.0", "id": "1", "source": "s", "type": "t",
            "datacontenttype": content_type, "data_base64": STANDARD.encode(bytes)
        });
        let event = read(&record(&headers, body.to_string())).expect("an event");
        assert_eq!(event.data, data(), "{content_type}");
    }
}

#[test]
fn a_record_without_attributes_is_known_by_its_coordinates() {
    let event = read(&record(&[], json_value())).expect("an event");
    assert_eq!(event.id, "crm.tickets.v1/2@40");
    assert_eq!(event.source, "crm.tickets.v1");
    assert_eq!(event.kind, "ticket/v1");
    assert_eq!(event.event_id(), "crm.tickets.v1/2@40");
}

#[test]
fn an_id_without_a_source_belongs_to_the_topic() {
    let event = read(&record(&[("ce_id", "e-1")], json_value())).expect("an event");
    assert_eq!(event.event_id(), "crm.tickets.v1/e-1");
}

#[test]
fn the_plain_trace_header_is_used_and_a_malformed_one_costs_nothing() {
    let event = read(&record(&[("traceparent", TRACE)], json_value())).expect("an event");
    assert_eq!(event.traceparent.as_deref(), Some(TRACE));
    let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
    for malformed in ["", "yes", zero, &TRACE.to_uppercase(), &TRACE.replace("00-4", "ff-4")] {
        let event = read(&record(&[("traceparent", malformed)], json_value())).expect("an event");
        assert_eq!(event.traceparent, None, "{malformed}");
    }
}

#[test]
fn a_present_but_invalid_attribute_is_an_error_that_names_it() {
    for (name, value) in
        [("ce_id", ""), ("ce_source", ""), ("ce_type", ""), ("ce_specversion", "0.3"), ("ce_time", "yesterday")]
    {
        let error = read(&record(&[("ce_id", "1"), (name, value)], json_value())).expect_err("refused");
        assert_eq!(error.reason(), "bad-cloudevent");
        assert!(error.to_string().contains(name), "{error}");
    }
    let mut not_utf8 = record(&[], json_value());
    for value in [Some(vec![0xFF]), None] {
        not_utf8.headers = vec![Header { name: "ce_id".to_owned(), value }];
        assert_eq!(read(&not_utf8).expect_err("refused").reason(), "bad-cloudevent");
    }
}

#[test]
fn a_structured_event_must_be_complete() {
    let whole = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": {"ticketId": "T-1"}});
    let headers = [("content-type", "application/cloudevents+json")];
    assert!(read(&record(&headers, whole.to_string())).is_ok());
    for name in ["specversion", "id", "source", "type", "data"] {
        let mut lacking = whole.clone();
        lacking.as_object_mut().expect("an object").remove(name);
        let error = read(&record(&headers, lacking.to_string())).expect_err("refused");
        assert_eq!(error.reason(), "bad-cloudevent");
        assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        let mut wrong = whole.clone();
        wrong[name] = json!(7);
        assert!(read(&record(&headers, wrong.to_string())).is_err(), "{name}");
    }
}

#[test]
fn avro_is_read_in_each_of_its_framings() {
    let schema = Arc::new(schema());
    let ids = SchemaIds::new(HashMap::from([(7, Arc::clone(&schema))]));
    let single_object = schema.encode_single_object(&data()).expect("written");
    let avro = [("content-type", "application/avro")];
    for (what, record) in [
        ("Confluent, no content type", record(&[], confluent(7))),
        ("Confluent", record(&avro, confluent(7))),
        ("single object, no content type", record(&[], single_object.clone())),
        ("single object", record(&avro, single_object)),
        ("bare", record(&avro, datum())),
    ] {
        let event = decode(&record, &schema, &ids).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(event.data, data(), "{what}");
    }
}

#[test]
fn the_writers_schema_of_a_configured_id_is_resolved() {
    let older = r#"{"type":"record","name":"Ticket","fields":[{"name":"ticketId","type":"string"}]}"#;
    let older = Arc::new(EventSchema::parse("ticket/v0", older).expect("a schema"));
    let ids = SchemaIds::new(HashMap::from([(3, Arc::clone(&older))]));
    let written = older.encode_avro(&json!({ "ticketId": "T-1" })).expect("written");
    let confluent = [&[0, 0, 0, 0, 3][..], &written].concat();
    let single = older.encode_single_object(&json!({ "ticketId": "T-1" })).expect("written");
    for value in [confluent, single] {
        let event = decode(&record(&[], value), &schema(), &ids).expect("an event");
        assert_eq!(event.data, data());
    }
}

#[test]
fn a_bare_datum_that_begins_like_a_schema_id_is_read_where_no_ids_are_configured() {
    let empty_id = schema().encode_avro(&json!({ "ticketId": "", "note": "hello" })).expect("written");
    assert_eq!(empty_id[0], 0);
    let avro = record(&[("content-type", "avro/binary")], empty_id);
    assert_eq!(read(&avro).expect("an event").data["note"], "hello");
    let ids = SchemaIds::new(HashMap::from([(7, Arc::new(schema()))]));
    let error = decode(&avro, &schema(), &ids).expect_err("refused");
    assert_eq!(error.reason(), "unknown-schema-id");
}

#[test]
fn every_kind_of_bad_input_has_its_own_reason() {
    let avro = &[("content-type", "application/avro")][..];
    let unknown_fingerprint = [&[0xC3, 0x01][..], &[9; 8], &datum()].concat();
    let deep = [vec![b'['; 1_000], vec![b']'; 1_000]].concat();
    for (reason, headers, value) in [
        ("empty-value", &[][..], Vec::new()),
        ("undecodable-json", &[], b"\xFFgarbage".to_vec()),
        ("undecodable-json", &[], b"{\"ticketId\":\"T-1\"".to_vec()),
        ("undecodable-json", &[], deep),
        ("undecodable-avro", avro, datum()[..3].to_vec()),
        ("undecodable-avro", avro, b"\x63garbage".to_vec()),
        ("unknown-schema-id", &[], confluent(8)),
        ("unknown-schema-id", avro, confluent(8)),
        ("unknown-schema-fingerprint", &[], unknown_fingerprint),
        ("schema-violation", &[], b"[]".to_vec()),
        ("schema-violation", &[], b"{\"ticketId\":5}".to_vec()),
        ("bad-cloudevent", &[("ce_id", "")], json_value()),
        ("unsupported-content-type", &[("content-type", "text/xml")], json_value()),
    ] {
        let error = read(&record(headers, value)).expect_err(reason);
        assert_eq!(error.reason(), reason, "{error}");
    }
    let mut null = record(&[], json_value());
    null.value = None;
    assert_eq!(read(&null).expect_err("refused").reason(), "null-value");
}

#[test]
fn five_megabytes_are_read_or_refused_like_any_other_body() {
    let text = "x".repeat(5_000_000);
    let event = read(&record(&[], json!({ "ticketId": text }).to_string())).expect("an event");
    assert_eq!(event.data["ticketId"].as_str().map(str::len), Some(5_000_000));
    let brackets = "[".repeat(5_000_000);
    assert_eq!(read(&record(&[], brackets)).expect_err("refused").reason(), "undecodable-json");
}

#[test]
fn messages_never_repeat_the_payload() {
    let secret = "hunter2";
    for value in [
        format!("{{\"ticketId\": {secret}"),
        format!("{{\"ticketId\": [\"{secret}\"]}}"),
        format!("{{\"{secret}\": 1}}"),
        format!("\"{secret}\""),
        secret.to_owned(),
    ] {
        let error = read(&record(&[], value)).expect_err("refused");
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    }
}

fn any_header() -> impl Strategy<Value = Header> {
    let name = prop_oneof![
        Just("content-type".to_owned()),
        Just("ce_id".to_owned()),
        Just("ce_time".to_owned()),
        Just("ce_traceparent".to_owned()),
        Just("traceparent".to_owned()),
        ".*"
    ];
    let value = prop_oneof![
        Just(Some(b"application/cloudevents+json".to_vec())),
        Just(Some(b"avro/binary".to_vec())),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
    ];
    (name, value).prop_map(|(name, value)| Header { name, value })
}

fn any_value() -> impl Strategy<Value = Option<Vec<u8>>> {
    let tail = || proptest::collection::vec(any::<u8>(), 0..100);
    prop_oneof![
        Just(None),
        tail().prop_map(Some),
        tail().prop_map(|tail| Some([&[0, 0, 0, 0, 7][..], &tail].concat())),
        tail().prop_map(|tail| Some([&[0xC3, 0x01][..], &schema().fingerprint(), &tail].concat())),
        "\\{\"ticketId\":.*\\}".prop_map(|text| Some(text.into_bytes())),
        "\\{\"specversion\":\"1.0\",\"id\":\"[a-z]*\",\"source\":\"s\",\"type\":\"t\",\"data(_base64)?\":.*\\}"
            .prop_map(|text| Some(text.into_bytes())),
    ]
}

proptest! {
    #[test]
    fn arbitrary_records_never_panic_and_events_obey_the_schema(
        headers in proptest::collection::vec(any_header(), 0..6),
        value in any_value(),
    ) {
        let schema = Arc::new(schema());
        let ids = SchemaIds::new(HashMap::from([(7, Arc::clone(&schema))]));
        let mut record = record(&[], Vec::new());
        record.headers = headers;
        record.value = value;
        match decode(&record, &schema, &ids) {
            Ok(event) => {
                prop_assert!(!event.event_id().is_empty());
                prop_assert_eq!(schema.check_json(event.data.clone()), Ok(event.data));
            }
            Err(error) => prop_assert!(!error.reason().is_empty()),
        }
    }
}
