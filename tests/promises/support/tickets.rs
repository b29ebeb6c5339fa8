//! Tickets as the CRM publishes them: JSON and Avro in both framings

use std::sync::LazyLock;

use apache_avro::{GenericSingleObjectWriter, Schema, to_avro_datum};
use promises::{Kafka, Keyed, publish_with_kcat, repository};
use serde_json::{Value, json};
use workflow_client::Variable;

/// The id under which the (absent) registry knows `ticket/v1`
pub(crate) const CONFLUENT_ID: u32 = 17;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let text = std::fs::read_to_string(repository().join("schemas/ticket/v1.avsc")).unwrap();
    Schema::parse_str(&text).unwrap()
});

/// How a ticket is written down
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    /// Avro, `C3 01` and the schema's fingerprint in front
    SingleObject,
    /// Avro, `00` and the registry's id in front
    Confluent,
}

impl Encoding {
    pub(crate) const ALL: [Self; 3] = [Self::Json, Self::SingleObject, Self::Confluent];

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::SingleObject => "avro/binary",
            Self::Confluent => "application/vnd.confluent.avro",
        }
    }
}

/// One event of a ticket
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) encoding: Encoding,
}

impl Ticket {
    pub(crate) fn created(key: &str) -> Self {
        Self::like("created", key)
    }

    /// A change that the process sees as the variable `comment`
    pub(crate) fn updated(key: &str, comment: &str) -> Self {
        let mut ticket = Self::like("updated", key);
        ticket.value["comment"] = json!(comment);
        ticket
    }

    pub(crate) fn withdrawn(key: &str) -> Self {
        let mut ticket = Self::like("withdrawn", key);
        ticket.value["comment"] = Value::Null;
        ticket
    }

    fn like(kind: &str, key: &str) -> Self {
        let example = repository().join(format!("schemas/ticket/examples/{kind}.json"));
        let mut value: Value = serde_json::from_slice(&std::fs::read(example).unwrap()).unwrap();
        value["ticketId"] = json!(key);
        value["reportedAt"] = json!(1_795_514_564_518_i64);
        Self { key: key.to_owned(), value, encoding: Encoding::Json }
    }

    /// The same, worked on by the support team of a region: their group is `support-<region>`.
    pub(crate) fn of_region(mut self, region: &str) -> Self {
        self.value["category"] = json!("outage");
        self.value["customer"]["region"] = json!(region);
        self
    }

    pub(crate) fn encoded_as(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// The bytes of the record's value; Avro is written by the reference library, not by our code.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        if self.encoding == Encoding::Json {
            return serde_json::to_vec(&self.value).unwrap();
        }
        let datum = apache_avro::types::Value::from(self.value.clone()).resolve(&SCHEMA).unwrap();
        let mut bytes = Vec::new();
        if self.encoding == Encoding::SingleObject {
            let mut writer = GenericSingleObjectWriter::new_with_capacity(&SCHEMA, 1024).unwrap();
            writer.write_value(datum, &mut bytes).unwrap();
        } else {
            bytes.push(0);
            bytes.extend(CONFLUENT_ID.to_be_bytes());
            bytes.extend(to_avro_datum(&SCHEMA, datum).unwrap());
        }
        bytes
    }
}

/// Publishes tickets by kcat: one run for each encoding, because a run has one set of headers. Within an encoding the order is
/// kept.
pub(crate) async fn publish(kafka: &Kafka, topic: &str, tickets: &[Ticket]) {
    for encoding in Encoding::ALL {
        let own = tickets.iter().filter(|ticket| ticket.encoding == encoding);
        let records: Vec<Keyed> = own.map(|ticket| (ticket.key.clone(), ticket.bytes())).collect();
        if !records.is_empty() {
            let headers = [("content-type", encoding.content_type()), ("ce_specversion", "1.0")];
            publish_with_kcat(kafka, topic, &headers, &records).await.unwrap();
        }
    }
}

/// What a process of the tickets flow needs to be started past the connector, with the mark of an event
pub(crate) fn variables_of(ticket: &str, mark: &str) -> Vec<Variable> {
    let texts = [
        ("ticketId", ticket),
        ("title", "T"),
        ("category", "billing"),
        ("region", "north"),
        ("customerType", "person"),
        ("sla", "none"),
        ("priority", "normal"),
        ("team", "back-office"),
        ("decideWithin", "PT48H"),
        ("xcEventId", mark),
    ];
    texts.into_iter().map(|(name, value)| Variable::new(name, value)).collect()
}
