//! What the check accepts and refuses, and what evaluation gives.

use event_model::{Coordinates, Event, EventSchema, Offset, Partition, Record};
use serde_json::{Value as Json, json};

use super::*;

const SCHEMA: &str = r#"{
  "type": "record", "name": "Order",
  "fields": [
    {"name": "id", "type": "string"},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["opened", "closed"]}},
    {"name": "count", "type": "long"},
    {"name": "amount", "type": "double"},
    {"name": "open", "type": "boolean"},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "buyer", "type": ["null", {"type": "record", "name": "Buyer", "fields": [
      {"name": "name", "type": "string"},
      {"name": "parent", "type": ["null", "Buyer"], "default": null}
    ]}], "default": null},
    {"name": "tags", "type": {"type": "map", "values": "string"}, "default": {}},
    {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
      {"name": "sku", "type": "string"}, {"name": "pieces", "type": "int"}
    ]}}, "default": []}
  ]
}"#;

fn schema() -> EventSchema {
    EventSchema::parse("order/v1", SCHEMA).expect("a valid schema")
}

fn event(data: Json) -> Event {
    Event {
        id: "e-1".to_owned(),
        source: "/shop".to_owned(),
        kind: "order".to_owned(),
        subject: None,
        time: None,
        correlation_id: None,
        traceparent: None,
        data: schema().check_json(data).expect("data of the schema"),
    }
}

fn order() -> Json {
    json!({
        "id": "O-7", "kind": "opened", "count": 3, "amount": 5, "open": true, "tags": {"colour": "red"},
        "lines": [{"sku": "A", "pieces": 1}, {"sku": "B", "pieces": 4}]
    })
}

fn record(key: Option<&[u8]>) -> Record {
    Record {
        coordinates: Coordinates { topic: "orders".into(), partition: Partition::new(2), offset: Offset::new(40) },
        key: key.map(<[u8]>::to_vec),
        value: None,
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

fn compile(source: &str) -> Result<Expression, Vec<BadExpression>> {
    Expression::compile(source, Wanted::Anything, &step_scope(&schema()))
}

fn value(source: &str) -> Result<Json, EvaluationError> {
    let expression = compile(source).unwrap_or_else(|mistakes| panic!("{source}: {mistakes:?}"));
    let mut uses = Uses::default();
    if let Some(more) = expression.interpreter_uses() {
        uses.add(more);
    }
    let needed = Needed::of(&step_scope(&schema()), &uses);
    let (event, record) = (event(order()), record(Some(b"k-1")));
    expression.evaluate(&Evaluation::of_event(&event, &record, &needed))
}

fn mistakes(source: &str) -> String {
    let found = compile(source).expect_err(source);
    let lines = found.into_iter().map(|mistake| format!("{}: {}; {}", mistake.offset, mistake.message, mistake.help));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn constants_paths_and_programs_give_what_the_language_says() {
    for (source, expected) in [
        ("'text'", json!("text")),
        ("42", json!(42)),
        ("null", Json::Null),
        ("event.id", json!("O-7")),
        ("event.amount", json!(5.0)),
        ("event.note", Json::Null),
        ("event.note == null", json!(true)),
        ("event.buyer == null ? 'nobody' : event.buyer.name", json!("nobody")),
        ("'order/' + event.id", json!("order/O-7")),
        ("event.amount / 2.0", json!(2.5)),
        ("event.count + 1", json!(4)),
        ("event.count > 2 && event.amount < 10", json!(true)),
        ("event.lines.exists(line, line.pieces > 3)", json!(true)),
        ("event.lines.map(line, line.sku)", json!(["A", "B"])),
        ("event.lines[1].pieces", json!(4)),
        ("event.tags.colour", json!("red")),
        ("event.tags['colour'].upperAscii()", json!("RED")),
        ("event.kind in ['opened', 'closed']", json!(true)),
        ("{'id': event.id, 'n': event.count}", json!({"id": "O-7", "n": 3})),
        ("duration('36h')", json!("PT129600S")),
        ("ce.id", json!("e-1")),
        ("ce.source + ce.type", json!("/shoporder")),
        ("ce.subject", Json::Null),
        ("record.topic + '/' + string(record.partition)", json!("orders/2")),
        ("record.offset", json!(40)),
        ("record.key", json!("k-1")),
        ("event", event(order()).data),
    ] {
        assert_eq!(value(source), Ok(expected), "{source}");
    }
}

#[test]
fn a_path_gives_the_same_with_and_without_the_interpreter() {
    for path in ["event.id", "event.amount", "event.note", "event.lines", "event.buyer", "ce.subject", "record.key"] {
        assert_eq!(value(path), value(&format!("true ? {path} : null")), "{path}");
    }
}

#[test]
fn mistakes_name_the_part_and_what_would_be_right() {
    insta::assert_snapshot!(
        [
            "event.amont > 1.0",
            "event.kind == 'opend'",
            "event.kind in ['opened', 'shut']",
            "evnt.id",
            "kind == 'opened'",
            "event.id.length",
            "event.note + '!'",
            "event.buyer.name",
            "event.id + event.count",
            "event.count + event.amount",
            "event.id == 3",
            "event.id < 3",
            "event.id && event.open",
            "event.id.lower()",
            "event.id.contains()",
            "has(event.note)",
            "event.lines.exists(line, line.pices > 3)",
            "event.lines.all(line, line.sku > 3)",
            "event.open ? event.id",
            "Buyer{name: 'x'}",
            "event.?note",
            "record.kay",
            "-event.id",
        ]
        .map(|source| format!("{source}\n    {}", mistakes(source).replace('\n', "\n    ")))
        .join("\n")
    );
}

#[test]
fn a_condition_proves_that_a_field_is_there() {
    for source in [
        "event.note != null ? event.note + '!' : ''",
        "event.note == null ? '' : event.note + '!'",
        "event.note != null && event.note.contains('x')",
        "event.note == null || event.note.contains('x')",
        "!(event.note == null) && event.note.size() > 1",
        "event.note == 'a' ? event.note + '!' : ''",
        "event.buyer != null && event.buyer.parent != null ? event.buyer.parent.name : ''",
    ] {
        assert!(compile(source).is_ok(), "{source}");
    }
    for source in [
        "event.note != null ? '' : event.note + '!'",
        "event.note != null || event.note.contains('x')",
        "event.buyer == null || event.open ? event.buyer.name : ''",
    ] {
        assert!(mistakes(source).contains("may be null here"), "{source}");
    }
}

#[test]
fn a_failed_evaluation_tells_the_cause_and_no_data() {
    for (source, cause) in [
        ("event.tags.size", "there is no `size`"),
        ("event.tags[event.id]", "the map has no such key"),
        ("event.lines[7].sku", "the list is shorter than the index"),
        ("1 / (event.count - 3)", "division by zero"),
        ("int(event.id)", "`int` cannot work on this value"),
        ("dyn(event.id) + dyn(event.count)", "string and int do not go together"),
        ("event.amount / 0.0", "gave a number that is not finite, which no variable can hold"),
    ] {
        let error = value(source).expect_err(source).to_string();
        assert_eq!(error, cause, "{source}");
        assert!(!error.contains("O-7"), "{error}");
    }
}

#[test]
fn only_what_expressions_use_is_converted() {
    let scope = step_scope(&schema());
    let uses = |source: &str| compile(source).expect(source).interpreter_uses().cloned();
    assert_eq!(uses("event.id"), None, "a path needs no interpreter");
    let fields = uses("event.kind == 'opened' && size(event.id) > 2").expect("a program");
    assert_eq!(fields.event_fields.iter().map(String::as_str).collect::<Vec<_>>(), ["id", "kind"]);
    assert!(!fields.whole_event);
    let whole = uses("size(event) > 2").expect("a program");
    assert!(whole.whole_event);
    let needed = format!("{:?}", Needed::of(&scope, &fields));
    assert!(needed.contains("\"kind\"") && !needed.contains("\"amount\""), "{needed}");
}

#[test]
fn a_process_variable_that_is_absent_is_named() {
    let expression = Expression::compile("vars.decision", Wanted::Text, &job_scope()).expect("compiles");
    let job = json!({"jobId": "j", "topic": "t", "processInstanceId": "p", "variables": {"other": "x"}});
    let job = serde_json::from_value(job).expect("a job");
    let error = expression.evaluate(&Evaluation::of_job(&job, None)).expect_err("absent");
    assert_eq!(error.to_string(), "the process has no variable `decision`");
}

#[test]
fn the_place_of_a_mistake_is_that_of_the_part() {
    let found = compile("'größe' + event.amont").expect_err("unknown field");
    assert_eq!(found[0].offset, "'größe' + event".len(), "{found:?}");
}
