//! The check of JSON against a schema, and loading schemas from a folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{EventSchema, Role, SchemaError, Schemas};

fn shared_schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

fn schema_of_field(field_type: &str) -> EventSchema {
    let text = format!(
        r#"{{"type":"record","name":"Order","namespace":"shop","fields":[{{"name":"f","type":{field_type}}}]}}"#
    );
    EventSchema::parse("order/v1", &text).expect("a schema")
}

fn accepted(field_type: &str, value: Value) -> Value {
    let checked = schema_of_field(field_type).check_json(json!({ "f": value }));
    checked.expect("accepted")["f"].clone()
}

fn refused(field_type: &str, value: Value) -> String {
    let checked = schema_of_field(field_type).check_json(json!({ "f": value }));
    checked.expect_err("refused").to_string()
}

#[test]
fn every_ticket_example_obeys_the_ticket_schema() {
    let ticket = Schemas::load(&shared_schemas()).expect("schemas load").get("ticket/v1").expect("ticket/v1");
    let mut seen = 0;
    for entry in fs::read_dir(shared_schemas().join("ticket/examples")).expect("examples") {
        let path = entry.expect("entry").path();
        let text = fs::read_to_string(&path).expect("readable");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let checked = ticket.check_json(value).unwrap_or_else(|violation| panic!("{}: {violation}", path.display()));
        assert!(checked["description"].is_string(), "defaults are filled in");
        assert!(checked["comment"].is_null() || checked["comment"].is_string());
        assert!(checked["reportedAt"].is_null() || checked["reportedAt"].is_i64());
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn only_schema_files_directly_in_a_folder_are_loaded_under_folder_and_stem() {
    let schemas = Schemas::load(&shared_schemas()).expect("schemas load");
    let of = |role: Role| -> Vec<&str> {
        schemas.names().filter(|name| schemas.get(name).is_some_and(|schema| schema.role() == role)).collect()
    };
    let flows = ["approval", "complaint", "content-review", "employment", "finance-exception", "master-data", "ticket"];
    assert_eq!(of(Role::Event), flows.map(|name| format!("{name}/v1")));
    assert_eq!(of(Role::Reply), ["outcome/v1", "receipt/v1"]);
    assert!(schemas.names().all(|name| name.ends_with("/v1")), "examples are none");
    assert!(schemas.get("ticket/v2").is_none());
}

#[test]
fn a_broken_schema_is_named_by_its_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("order").join("v1.avsc");
    fs::create_dir(dir.path().join("order")).expect("created");
    fs::write(&file, r#"{"type":"record","name":"Order"}"#).expect("written");
    let error = Schemas::load(dir.path()).expect_err("refused");
    assert!(matches!(&error, SchemaError::InvalidFile { path, .. } if *path == file), "{error}");
    assert!(error.to_string().contains("order/v1.avsc"), "{error}");
}

#[test]
fn a_schema_that_is_no_json_is_reported_with_its_line() {
    let error = EventSchema::parse("o/v1", "{\n  \"type\": record\n}").expect_err("refused");
    assert_eq!(
        error.to_string(),
        "schema o/v1 cannot be used: it is not valid JSON: expected value at line 2 column 11"
    );
}

#[test]
fn a_missing_folder_is_named() {
    let error = Schemas::load(Path::new("no/such/folder")).expect_err("refused");
    assert!(error.to_string().starts_with("no/such/folder: cannot be read"), "{error}");
}

#[test]
fn types_without_a_normal_form_are_refused_at_load() {
    let decimal = r#"{"type":"record","name":"O","fields":[{"name":"price",
        "type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}"#;
    let error = EventSchema::parse("order/v1", decimal).expect_err("refused").to_string();
    assert!(error.contains("field `price`: decimals are not supported; use a string"), "{error}");
}

#[test]
fn a_violation_names_the_path_and_both_types() {
    let region = r#"{"type":"record","name":"C","fields":[{"name":"region","type":"string"}]}"#;
    assert_eq!(refused(region, json!({ "region": 7 })), "$.f.region: expected string, found number");
    assert_eq!(refused(region, json!({})), "$.f.region: required field is missing");
    let list = r#"{"type":"array","items":{"type":"map","values":"boolean"}}"#;
    assert_eq!(refused(list, json!([{}, { "a": true, "b": "secret" }])), "$.f[1]{1}: expected boolean, found string");
    let not_a_record = schema_of_field(r#""string""#).check_json(json!([]));
    assert_eq!(not_a_record.expect_err("refused").to_string(), "$: expected shop.Order, found array");
}

#[test]
fn whole_numbers_never_overflow_or_lose_a_fraction() {
    assert_eq!(accepted(r#""int""#, json!(-2_147_483_648_i64)), json!(-2_147_483_648_i64));
    assert_eq!(accepted(r#""long""#, json!(i64::MAX)), json!(i64::MAX));
    assert!(refused(r#""int""#, json!(2_147_483_648_i64)).contains("beyond 32 bits"));
    assert!(refused(r#""long""#, json!(u64::MAX)).contains("beyond 64 bits"));
    assert!(refused(r#""long""#, json!(3.0)).contains("fraction or exponent"));
    assert!(refused(r#""long""#, json!("3")).contains("expected long, found string"));
}

#[test]
fn floating_numbers_are_exact_or_refused() {
    assert_eq!(accepted(r#""double""#, json!(3)), json!(3.0));
    assert_eq!(accepted(r#""float""#, json!(0.5)), json!(0.5));
    assert!(refused(r#""double""#, json!(9_007_199_254_740_993_i64)).contains("cannot hold exactly"));
    assert!(refused(r#""float""#, json!(1e300)).contains("finite float"));
}

#[test]
fn timestamps_and_dates_become_whole_numbers() {
    let millis = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
    assert_eq!(accepted(millis, json!(1_795_510_800_123_i64)), json!(1_795_510_800_123_i64));
    assert_eq!(accepted(millis, json!("2026-11-24T10:00:00.123+01:00")), json!(1_795_510_800_123_i64));
    assert!(refused(millis, json!("2026-11-24")).contains("RFC 3339"));
    let date = r#"{"type":"int","logicalType":"date"}"#;
    assert_eq!(accepted(date, json!("1970-01-11")), json!(10));
}

#[test]
fn bytes_are_base64_of_the_right_length() {
    assert_eq!(accepted(r#""bytes""#, json!("/wA=")), json!("/wA="));
    assert!(refused(r#""bytes""#, json!("ÿ")).contains("base64"));
    let fixed = r#"{"type":"fixed","name":"Pair","size":2}"#;
    assert_eq!(accepted(fixed, json!("/wA=")), json!("/wA="));
    assert_eq!(refused(fixed, json!("/w==")), "$.f: expected 2 bytes for shop.Pair, found 1");
}

#[test]
fn uuids_take_one_form() {
    let uuid = r#"{"type":"string","logicalType":"uuid"}"#;
    assert_eq!(
        accepted(uuid, json!("67E5504410B1426F9247BB680E5FE0C8")),
        json!("67e55044-10b1-426f-9247-bb680e5fe0c8")
    );
    assert!(refused(uuid, json!("T-1")).contains("UUID"));
}

#[test]
fn an_enum_takes_its_symbols_only_and_does_not_repeat_others() {
    let color = r#"{"type":"enum","name":"Color","symbols":["red","green"]}"#;
    assert_eq!(accepted(color, json!("green")), json!("green"));
    let message = refused(color, json!("chartreuse"));
    assert_eq!(message, "$.f: expected one of red, green, found other text");
}

#[test]
fn a_union_takes_the_plain_value_and_avros_tagged_one() {
    let union = r#"["null","string",{"type":"record","name":"Note","fields":[{"name":"text","type":"string"}]}]"#;
    assert_eq!(accepted(union, json!(null)), json!(null));
    assert_eq!(accepted(union, json!("a")), json!("a"));
    assert_eq!(accepted(union, json!({ "string": "a" })), json!("a"));
    for tag in ["Note", "shop.Note"] {
        assert_eq!(accepted(union, json!({ tag: { "text": "a" } })), json!({ "text": "a" }));
    }
    assert_eq!(accepted(union, json!({ "text": "a" })), json!({ "text": "a" }));
    assert_eq!(refused(union, json!(1)), "$.f: expected null or string or shop.Note, found number");
    assert_eq!(
        refused(union, json!({ "text": 1 })),
        "$.f.text: expected string, found number",
        "the only possible branch is looked into"
    );
}

#[test]
fn an_object_that_a_branch_takes_as_it_is_is_not_unwrapped() {
    let union = r#"["null","string",{"type":"map","values":"string"}]"#;
    assert_eq!(accepted(union, json!({ "string": "a" })), json!({ "string": "a" }));
}

#[test]
fn of_several_branches_the_first_that_accepts_counts() {
    let numbers = r#"["int","long","double"]"#;
    assert_eq!(accepted(numbers, json!(5_000_000_000_i64)), json!(5_000_000_000_i64));
    assert_eq!(accepted(numbers, json!(2.5)), json!(2.5));
}

#[test]
fn unknown_fields_are_dropped_and_aliases_renamed() {
    let text = r#"{"type":"record","name":"O","fields":[
        {"name":"id","type":"string","aliases":["number"]},
        {"name":"tags","type":{"type":"array","items":"string"},"default":["new"]},
        {"name":"raw","type":"bytes","default":"\u00ff"}]}"#;
    let schema = EventSchema::parse("o/v1", text).expect("a schema");
    let checked = schema.check_json(json!({ "number": "7", "later": { "deep": [1] } }));
    assert_eq!(checked, Ok(json!({ "id": "7", "tags": ["new"], "raw": "/w==" })));
}

#[test]
fn a_schema_may_refer_back_to_itself() {
    let text = r#"{"type":"record","name":"Tree","namespace":"n","fields":[
        {"name":"children","type":{"type":"array","items":"Tree"},"default":[]}]}"#;
    let schema = EventSchema::parse("tree/v1", text).expect("a schema");
    let checked = schema.check_json(json!({ "children": [{}, { "children": [{ "children": 1 }] }] }));
    assert_eq!(
        checked.expect_err("refused").to_string(),
        "$.children[1].children[0].children: expected array, found number"
    );
}

#[test]
fn checking_again_changes_nothing() {
    let schemas = Schemas::load(&shared_schemas()).expect("schemas load");
    let ticket = schemas.get("ticket/v1").expect("ticket/v1");
    let text = fs::read_to_string(shared_schemas().join("ticket/examples/created.json"));
    let value: Value = serde_json::from_str(&text.expect("readable")).expect("JSON");
    let once = ticket.check_json(value).expect("accepted");
    assert_eq!(ticket.check_json(once.clone()), Ok(once));
}

#[test]
fn what_leaves_us_is_exactly_what_its_schema_says() {
    let text = r#"{"type":"record","name":"O","xconnector.role":"command","fields":[
        {"name":"id","type":"string","aliases":["number"]},
        {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-millis"}, "string"],"default":null},
        {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[{"name":"price","type":"double"}]}},"default":[]},
        {"name":"labels","type":{"type":"map","values":{"type":"int","logicalType":"date"}},"default":{}}]}"#;
    let schema = EventSchema::parse("o/v1", text).expect("a schema");
    let refused = |value: Value| {
        assert!(schema.check_json(value.clone()).is_ok(), "the normal form takes it: {value}");
        schema.check_exactly(&value).expect_err("refused").to_string()
    };
    assert_eq!(
        schema.check_exactly(&json!({ "id": "7", "at": "2026-11-24T09:00:00Z", "lines": [{ "price": 3 }] })),
        Ok(())
    );
    let wrong = schema.check_exactly(&json!({ "id": 7 })).expect_err("refused").to_string();
    assert_eq!(wrong, "$.id: expected string, found number");
    for (value, why) in [
        (json!({ "id": "7", "secret": 1 }), "$: found a field beside those of the schema, id, at, lines, labels"),
        (json!({ "number": "7" }), "$: found a field beside those of the schema, id, at, lines, labels"),
        (
            json!({ "id": "7", "lines": [{ "price": 1.5, "tax": 2 }] }),
            "$.lines[0]: found a field beside those of the schema, price",
        ),
        (
            json!({ "id": "7", "labels": { "secret": "2026-11-24" } }),
            "$.labels{0}: expected a whole number, found a time as text",
        ),
        (json!({ "id": "7", "at": { "long": 3 } }), "$.at: expected null or long or string, found object"),
    ] {
        assert_eq!(refused(value), why);
    }
}
