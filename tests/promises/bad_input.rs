//! Whatever is published, the partition goes on: bad input ends in the dead letters as it came, with a rejected reply

use std::collections::BTreeMap;

use promises::{DEADLINE, Deployment, Kafka, Received, Sent, create_topic_with, produce, read_until, unique};
use serde_json::{Value, json};

use crate::support::{Bench, Books, Encoding, Ticket, assert_one_instance_each, await_replies};

#[tokio::test]
async fn every_kind_of_bad_input_is_dead_lettered_and_the_partition_goes_on_on_flowable() {
    bad_input_stops_nobody(&Bench::flowable().await).await;
}

#[tokio::test]
async fn every_kind_of_bad_input_is_dead_lettered_and_the_partition_goes_on_in_the_opentext_dialect() {
    bad_input_stops_nobody(&Bench::opentext().await).await;
}

/// What is wrong with a record, and the reason that its dead letter must give
struct Bad {
    what: &'static str,
    value: Option<Vec<u8>>,
    content_type: Option<&'static str>,
    reason: &'static str,
}

fn bad(what: &'static str, value: impl Into<Option<Vec<u8>>>, content_type: &'static str, reason: &'static str) -> Bad {
    let content_type = (!content_type.is_empty()).then_some(content_type);
    Bad { what, value: value.into(), content_type, reason }
}

fn every_kind() -> Vec<Bad> {
    let ticket = Ticket::created("T-bad");
    let avro = |encoding| ticket.clone().encoded_as(encoding).bytes();
    let json = Encoding::Json.content_type();
    let cut = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() - 3);
        bytes
    };
    let mut unknown_id = avro(Encoding::Confluent);
    unknown_id[1..5].copy_from_slice(&4711_u32.to_be_bytes());
    let mut unknown_fingerprint = avro(Encoding::SingleObject);
    unknown_fingerprint[2] ^= 0xFF;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut ticket = ticket.clone();
        change(&mut ticket.value);
        ticket.bytes()
    };
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    vec![
        bad("empty", Vec::new(), json, "empty-value"),
        bad("null", None, "", "null-value"),
        bad("garbage", vec![0xFF, 0xFE, 0x13, 0x37, 0x80, 0x0A], "", "undecodable-json"),
        bad("cut JSON", cut(ticket.bytes()), json, "undecodable-json"),
        bad("cut Avro, registry framing", cut(avro(Encoding::Confluent)), "", "undecodable-avro"),
        bad("cut Avro, single object", cut(avro(Encoding::SingleObject)), "avro/binary", "undecodable-avro"),
        bad("unknown schema id", unknown_id, "application/vnd.confluent.avro", "unknown-schema-id"),
        bad("unknown fingerprint", unknown_fingerprint, "avro/binary", "unknown-schema-fingerprint"),
        bad(
            "a field is missing",
            changed(&|ticket| drop(ticket.as_object_mut().unwrap().remove("title"))),
            json,
            "schema-violation",
        ),
        bad("a number for text", changed(&|ticket| ticket["title"] = json!(7)), json, "schema-violation"),
        bad("1,000 deep", deep.into_bytes(), json, "undecodable-json"),
        bad("5 MB", changed(&|ticket| ticket["description"] = json!("x".repeat(5 << 20))), json, "too-large"),
        bad("foreign content type", ticket.bytes(), "text/xml", "unsupported-content-type"),
        bad(
            "wrong type in an expression",
            changed(&|ticket| ticket["category"] = json!("wrong-type")),
            json,
            "expression-error",
        ),
        bad(
            "unknown process",
            changed(&|ticket| ticket["category"] = json!("unknown-process")),
            json,
            "engine-refused",
        ),
    ]
}

async fn bad_input_stops_nobody(bench: &Bench) {
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    // the source decides what it takes: here more than the flow does
    create_topic_with(kafka, &deployment.source(), 1, &[("max.message.bytes", "16777216")]).await.unwrap();
    deployment.set_up(1).await.unwrap();
    widen(&deployment);
    let instance = deployment.instance().await.unwrap();

    let run = unique("T");
    let kinds = every_kind();
    let mut sent: Vec<(String, Sent)> = Vec::new();
    let mut good = Vec::new();
    for (number, kind) in kinds.iter().enumerate() {
        let key = format!("{run}-bad-{number}");
        let mut headers = vec![("x-trace".to_owned(), vec![0, 0xFF, number as u8])];
        headers.extend(kind.content_type.map(|name| ("content-type".to_owned(), name.into())));
        let record = Sent { key: Some(key.clone().into()), value: kind.value.clone(), headers, ..Sent::default() };
        sent.push((kind.what.to_owned(), record));
        let key = format!("{run}-good-{number}");
        let value = Some(Ticket::created(&key).bytes());
        sent.push((key.clone(), Sent { key: Some(key.clone().into()), value, ..Sent::default() }));
        good.push(key);
    }
    let coordinates =
        produce(kafka, &deployment.source(), sent.iter().map(|(_, record)| record.clone())).await.unwrap();

    let replies = await_replies(kafka, &deployment, sent.len(), &[&instance]).await;
    let books = Books::of(&replies);
    books.assert_each_accepted_once(good.iter().map(String::as_str));
    let rejected: BTreeMap<&str, &Value> = books.rejected.iter().map(|(key, reply)| (key.as_str(), reply)).collect();
    assert_eq!(books.rejected.len(), kinds.len());
    let dead = read_until(kafka, &deployment.dead_letters(), kinds.len(), DEADLINE).await.unwrap();
    assert_eq!(dead.len(), kinds.len(), "one dead letter for each bad record");
    // bad and good records alternate
    for (((what, original), (partition, offset)), kind) in sent.iter().zip(&coordinates).step_by(2).zip(&kinds) {
        let letter = dead.iter().find(|letter| letter.key == original.key);
        let letter = letter.unwrap_or_else(|| panic!("{what}: no dead letter with its key"));
        assert_letter(letter, original, what);
        assert_eq!(letter.header("xc-reason"), Some(kind.reason), "{what}: {:?}", letter.header("xc-detail"));
        assert_eq!(letter.header("xc-source-topic"), Some(deployment.source().as_str()), "{what}");
        assert_eq!(letter.header("xc-source-partition"), Some(partition.to_string().as_str()), "{what}");
        assert_eq!(letter.header("xc-source-offset"), Some(offset.to_string().as_str()), "{what}");
        let reply = rejected[letter.key_text().as_str()];
        assert_eq!(reply["status"], json!("rejected"), "{what}: {reply}");
        assert_eq!(reply["reason"], json!(kind.reason), "{what}: {reply}");
        assert_eq!(reply["final"], json!(false), "{what}: a replay may succeed: {reply}");
        assert_eq!(reply["source"]["offset"], json!(offset), "{what}: {reply}");
    }
    assert_one_instance_each(bench, &deployment, &good).await;
}

/// The original's value and headers, byte for byte; ours stand behind them.
#[track_caller]
fn assert_letter(letter: &Received, original: &Sent, what: &str) {
    assert!(letter.value == original.value, "{what}: the value is not the original one");
    let headers: Vec<(String, Option<Vec<u8>>)> =
        original.headers.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    assert_eq!(letter.headers[..headers.len()], headers, "{what}");
}

/// Two more steps: one whose expression goes wrong only when it runs, one whose process nobody deployed.
fn widen(deployment: &Deployment) {
    let (folder, definition) = (deployment.flow_folder(), deployment.definition());
    let absent = format!("absent_{}", deployment.definition());
    let model = include_str!("models/empty.bpmn").replace("\"empty\"", &format!("{absent:?}"));
    std::fs::write(folder.join("absent.bpmn"), model).unwrap();
    let steps = format!(
        "[[step]]\nwhen = \"event.category == 'wrong-type'\"\nstart = {definition:?}\nbusiness_key = \"dyn(7)\"\n\
         [[step]]\nwhen = \"event.category == 'unknown-process'\"\nstart = {absent:?}\nbusiness_key = \"event.ticketId\"\n"
    );
    let file = folder.join("flow.toml");
    let flow = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, flow.replacen("[[step]]", &format!("{steps}[[step]]"), 1)).unwrap();
}
