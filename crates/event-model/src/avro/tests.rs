//! The codec against `apache-avro`, against damage, and across schema versions.

use apache_avro::types::Value as AvroValue;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::error::DecodeError;
use crate::schema::EventSchema;

const EVERYTHING: &str = r#"{"type":"record","name":"All","namespace":"n","fields":[
    {"name":"flag","type":"boolean"},
    {"name":"small","type":"int"},
    {"name":"large","type":"long"},
    {"name":"single","type":"float"},
    {"name":"wide","type":"double"},
    {"name":"raw","type":"bytes"},
    {"name":"text","type":"string"},
    {"name":"pair","type":{"type":"fixed","name":"Pair","size":2}},
    {"name":"color","type":{"type":"enum","name":"Color","symbols":["red","green"]}},
    {"name":"list","type":{"type":"array","items":"long"}},
    {"name":"labels","type":{"type":"map","values":"string"}},
    {"name":"maybe","type":["null","string",{"type":"record","name":"Note","fields":[{"name":"by","type":"Color"}]}]},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;

fn schema(text: &str) -> EventSchema {
    EventSchema::parse("all/v1", text).expect("a schema")
}

fn record_of(fields: &str) -> EventSchema {
    schema(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#))
}

fn everything() -> Value {
    json!({
        "flag": true, "small": -5, "large": i64::MIN, "single": 0.5, "wide": -1.25e10, "raw": "/wA=",
        "text": "grüße", "pair": "AQI=", "color": "green", "list": [0, -1, 300], "labels": {"a": "1"},
        "maybe": {"by": "red"}, "at": 1_795_510_800_123_i64
    })
}

#[test]
fn apache_avro_reads_what_we_write_and_we_read_what_it_writes() {
    let schema = schema(EVERYTHING);
    let ours = schema.encode_avro(&everything()).expect("written");
    let read = apache_avro::from_avro_datum(schema.avro(), &mut ours.as_slice(), None).expect("read");
    let AvroValue::Record(fields) = &read else {
        panic!("a record");
    };
    assert_eq!(fields[1].1, AvroValue::Int(-5));
    assert_eq!(fields[2].1, AvroValue::Long(i64::MIN));
    assert_eq!(fields[6].1, AvroValue::String("grüße".to_owned()));
    assert_eq!(fields[8].1, AvroValue::Enum(1, "green".to_owned()));
    assert_eq!(fields[12].1, AvroValue::TimestampMillis(1_795_510_800_123));
    let theirs = apache_avro::to_avro_datum(schema.avro(), read).expect("written");
    assert_eq!(theirs, ours);
    assert_eq!(schema.decode_avro(&theirs), Ok(everything()));
}

#[test]
fn single_object_encoding_is_the_one_of_apache_avro() {
    let schema = schema(EVERYTHING);
    let ours = schema.encode_single_object(&everything()).expect("written");
    let reader = apache_avro::GenericSingleObjectReader::new(schema.avro().clone()).expect("a reader");
    assert!(reader.read_value(&mut ours.as_slice()).is_ok());
}

#[test]
fn a_datum_that_ends_early_is_damaged_wherever_it_ends() {
    let schema = schema(EVERYTHING);
    let datum = schema.encode_avro(&everything()).expect("written");
    for length in 0..datum.len() {
        let error = schema.decode_avro(&datum[..length]).expect_err("damaged");
        assert_eq!(error.reason(), "undecodable-avro", "after {length} bytes: {error}");
    }
}

#[test]
fn bytes_behind_the_datum_are_damage() {
    let schema = record_of(r#"{"name":"a","type":"string"}"#);
    let error = schema.decode_avro(b"\x02x\x00").expect_err("damaged");
    assert!(error.to_string().contains("1 bytes follow the end"), "{error}");
}

#[test]
fn damage_is_reported_with_path_and_byte() {
    let schema = record_of(r#"{"name":"a","type":"long"},{"name":"b","type":"boolean"}"#);
    let error = schema.decode_avro(&[0x00, 0x07]).expect_err("damaged");
    assert_eq!(
        error,
        DecodeError::UndecodableAvro {
            path: "$.b".to_owned(),
            problem: "a boolean is neither 0 nor 1".to_owned(),
            byte: 2
        }
    );
}

#[test]
fn a_lying_length_costs_no_memory() {
    let number = |n: i64| {
        let long = record_of(r#"{"name":"n","type":"long"}"#);
        long.encode_avro(&json!({ "n": n })).expect("written")
    };
    for kind in [
        r#""string""#,
        r#""bytes""#,
        r#"{"type":"array","items":"long"}"#,
        r#"{"type":"array","items":"null"}"#,
        r#"{"type":"map","values":"null"}"#,
    ] {
        let schema = record_of(&format!(r#"{{"name":"a","type":{kind}}}"#));
        for length in [-1, i64::MAX, i64::MIN, 1 << 29] {
            let mut datum = number(length);
            datum.extend_from_slice(&number(8));
            let error = schema.decode_avro(&datum).expect_err("damaged");
            assert_eq!(error.reason(), "undecodable-avro", "{kind} of length {length}");
        }
    }
}

#[test]
fn numbers_beyond_their_type_are_damage() {
    let long = record_of(r#"{"name":"n","type":"long"}"#);
    let int = record_of(r#"{"name":"n","type":"int"}"#);
    let too_long = [0xFF; 11];
    assert!(long.decode_avro(&too_long).is_err());
    let beyond_64_bits = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02];
    assert!(long.decode_avro(&beyond_64_bits).is_err());
    let largest = long.encode_avro(&json!({ "n": i64::MAX })).expect("written");
    assert_eq!(long.decode_avro(&largest), Ok(json!({ "n": i64::MAX })));
    assert!(int.decode_avro(&largest).is_err());
}

#[test]
fn blocks_with_a_size_are_read() {
    let schema = record_of(r#"{"name":"a","type":{"type":"array","items":"long"}}"#);
    // Two items in a block of two bytes, one item in a plain block, the end.
    let datum = [0x03, 0x04, 0x02, 0x04, 0x02, 0x06, 0x00];
    assert_eq!(schema.decode_avro(&datum), Ok(json!({ "a": [1, 2, 3] })));
}

#[test]
fn endless_nesting_is_refused_on_a_small_stack() {
    let tree = r#"{"type":"record","name":"T","fields":[{"name":"next","type":["null","T"]}]}"#;
    let reading = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        let schema = schema(tree);
        // Each byte says: the second branch, another level.
        schema.decode_avro(&vec![0x02; 5_000_000]).expect_err("refused").to_string()
    });
    let error = reading.expect("a thread").join().expect("no overflow");
    assert!(error.contains("nested deeper than"), "{error}");
    assert!(error.len() < 2_000, "{}", error.len());
}

#[test]
fn not_a_number_has_no_place_in_the_normal_form() {
    let schema = record_of(r#"{"name":"n","type":"double"}"#);
    let error = schema.decode_avro(&f64::NAN.to_le_bytes()).expect_err("refused");
    assert_eq!(error.reason(), "schema-violation");
}

#[test]
fn another_writers_schema_is_resolved() {
    let writer = schema(
        r#"{"type":"record","name":"R","fields":[
            {"name":"gone","type":{"type":"map","values":["null","long"]}},
            {"name":"amount","type":"int"},
            {"name":"old","type":"string"},
            {"name":"note","type":"string"},
            {"name":"color","type":{"type":"enum","name":"Color","symbols":["red","blue"]}},
            {"name":"raw","type":"string"},
            {"name":"maybe","type":["null","long"]}]}"#,
    );
    let reader = schema(
        r#"{"type":"record","name":"R","fields":[
            {"name":"maybe","type":["string","null","double"]},
            {"name":"raw","type":"bytes"},
            {"name":"color","type":{"type":"enum","name":"Color","symbols":["red","other"],"default":"other"}},
            {"name":"note","type":["null","string"]},
            {"name":"new","type":"string","aliases":["old"]},
            {"name":"amount","type":"double"},
            {"name":"added","type":{"type":"array","items":"int"},"default":[1]}]}"#,
    );
    let written = json!({
        "gone": {"k": 1}, "amount": 3, "old": "o", "note": "n", "color": "blue", "raw": "ab", "maybe": 5
    });
    let datum = writer.encode_avro(&written).expect("written");
    assert_eq!(
        reader.decode_avro_from(&writer, &datum),
        Ok(json!({
            "maybe": 5.0, "raw": "YWI=", "color": "other", "note": "n", "new": "o", "amount": 3.0, "added": [1]
        }))
    );
}

#[test]
fn of_several_branches_that_fit_equally_well_the_readers_first_counts() {
    let writer = record_of(r#"{"name":"a","type":"int"}"#);
    let reader = record_of(r#"{"name":"a","type":["null","long","double"]}"#);
    let read = reader.decode_avro_from(&writer, &[0x0A]);
    assert_eq!(read, Ok(json!({ "a": 5 })));
}

#[test]
fn a_writers_schema_that_does_not_fit_is_a_violation_with_a_path() {
    let writer = record_of(r#"{"name":"a","type":"long"}"#);
    let datum = writer.encode_avro(&json!({ "a": 1 })).expect("written");
    for (fields, message) in [
        (r#"{"name":"a","type":"int"}"#, "$.a: the writer's type long cannot be read as int"),
        (r#"{"name":"b","type":"int"}"#, "$.b: the writer's schema lacks this field"),
    ] {
        let error = record_of(fields).decode_avro_from(&writer, &datum).expect_err("refused");
        assert_eq!(error.reason(), "schema-violation");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn damage_in_a_field_that_nobody_wants_is_still_damage() {
    let writer = record_of(r#"{"name":"gone","type":"string"},{"name":"a","type":"long"}"#);
    let reader = record_of(r#"{"name":"a","type":"long"}"#);
    assert_eq!(reader.decode_avro_from(&writer, b"\x02x\x02"), Ok(json!({ "a": 1 })));
    let error = reader.decode_avro_from(&writer, b"\x02\xFF\x02").expect_err("damaged");
    assert_eq!(error.reason(), "undecodable-avro");
}

#[test]
fn branches_of_the_same_short_name_are_told_apart() {
    let schema = record_of(
        r#"{"name":"u","type":[
            {"type":"record","name":"X","namespace":"a","fields":[{"name":"one","type":"long"}]},
            {"type":"record","name":"X","namespace":"b","fields":[{"name":"two","type":"string"}]}]}"#,
    );
    let data = json!({ "u": { "two": "2" } });
    let datum = schema.encode_avro(&data).expect("written");
    assert_eq!(schema.decode_avro(&datum), Ok(data.clone()));
    // A copy of the schema is another object, so this takes the way of schema resolution.
    let text = serde_json::to_string(schema.avro()).expect("text");
    let copy = EventSchema::parse("copy/v1", &text).expect("a schema");
    assert_eq!(copy.decode_avro_from(&schema, &datum), Ok(data));
}

fn any_everything() -> impl Strategy<Value = Value> {
    let numbers = (any::<bool>(), any::<i32>(), any::<i64>(), any::<f32>(), any::<f64>());
    let texts = (".*", any::<[u8; 2]>(), proptest::collection::vec(any::<u8>(), 0..20));
    let parts = (
        proptest::collection::vec(any::<i64>(), 0..5),
        proptest::collection::hash_map(".{0,3}", ".{0,3}", 0..4),
        prop_oneof![Just(json!(null)), Just(json!({"by": "green"})), ".*".prop_map(Value::from)],
        any::<i64>(),
    );
    (numbers, texts, parts)
        .prop_filter("JSON has finite numbers only", |((_, _, _, f, d), _, _)| f.is_finite() && d.is_finite())
        .prop_map(|((flag, small, large, single, wide), (text, pair, raw), (list, labels, maybe, at))| {
            use base64::Engine;
            use base64::engine::general_purpose::STANDARD;
            let labels: Map<String, Value> = labels.into_iter().map(|(k, v)| (k, v.into())).collect();
            json!({
                "flag": flag, "small": small, "large": large, "single": single, "wide": wide,
                "raw": STANDARD.encode(raw), "text": text, "pair": STANDARD.encode(pair), "color": "red",
                "list": list, "labels": labels, "maybe": maybe, "at": at
            })
        })
}

proptest! {
    #[test]
    fn json_to_avro_to_json_gives_the_checked_data_back(data in any_everything()) {
        let schema = schema(EVERYTHING);
        let checked = schema.check_json(data.clone()).expect("accepted");
        let datum = schema.encode_avro(&data).expect("written");
        prop_assert_eq!(schema.decode_avro(&datum), Ok(checked));
        let oracle = apache_avro::from_avro_datum(schema.avro(), &mut datum.as_slice(), None);
        prop_assert!(oracle.is_ok());
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_what_is_read_can_be_written(datum in proptest::collection::vec(any::<u8>(), 0..200)) {
        let schema = schema(EVERYTHING);
        if let Ok(data) = schema.decode_avro(&datum) {
            prop_assert!(schema.encode_avro(&data).is_ok());
        }
    }
}
