//! `[kafka]`: the broker.

use std::collections::BTreeMap;

use secrecy::SecretString;
use toml::de::DeValue;

use super::value::Sources;
use crate::document::Section;

/// How to reach and use Kafka.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KafkaSettings {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// How replies and offsets are kept together.
    pub delivery: Delivery,
    /// How group members share partitions.
    pub group_protocol: GroupProtocol,
    /// Further librdkafka properties, for all clients.
    pub properties: BTreeMap<String, PropertyValue>,
}

/// How replies and offsets are kept together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// In one Kafka transaction.
    ExactlyOnce,
    /// Replies first, then offsets: for clusters without transactions. Replies may repeat under the same id.
    AtLeastOnce,
}

/// How group members share partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupProtocol {
    /// KIP-848, brokers 4.0 and later.
    Consumer,
    /// For older brokers.
    Classic,
}

/// The value of a librdkafka property.
#[derive(Debug, Clone)]
pub enum PropertyValue {
    /// From the settings file.
    Plain(String),
    /// From the environment or a file.
    Secret(SecretString),
}

/// Properties that hold secrets.
const SECRET_PROPERTIES: [&str; 7] = [
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.assertion.private.key.passphrase",
];

/// Properties that the promises rest on, so that they are not for a settings file.
const OWN_PROPERTIES: [&str; 14] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "transaction.timeout.ms",
    "transactional.id",
];

pub(super) fn read(section: &Section<'_>, sources: &Sources<'_>) -> Option<KafkaSettings> {
    let help = "for instance bootstrap_servers = \"localhost:9092\", or { env = \"KAFKA_BOOTSTRAP_SERVERS\" }";
    let servers = sources.required_text(section, "bootstrap_servers", help);
    if let Some(servers) = &servers
        && let Some(wrong) = servers.get_ref().split(',').find(|server| !is_host_and_port(server.trim()))
    {
        let message = format!("`{}` is no host:port", wrong.trim());
        section.report(
            servers.span().start,
            "bootstrap_servers",
            message,
            "separate several with commas, \"kafka-1:9092,kafka-2:9092\"",
        );
    }
    let delivery = sources.one_of(
        section,
        "delivery",
        &[("exactly-once", Delivery::ExactlyOnce), ("at-least-once", Delivery::AtLeastOnce)],
    );
    let protocol = sources.one_of(
        section,
        "group_protocol",
        &[("consumer", GroupProtocol::Consumer), ("classic", GroupProtocol::Classic)],
    );
    let properties = section.table("properties").map(|table| properties(&table, sources)).unwrap_or_default();
    section.finish();
    Some(KafkaSettings {
        bootstrap_servers: servers?.into_inner(),
        delivery: delivery.unwrap_or(Delivery::ExactlyOnce),
        group_protocol: protocol.unwrap_or(GroupProtocol::Consumer),
        properties,
    })
}

fn is_host_and_port(server: &str) -> bool {
    let parts = server.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn properties(section: &Section<'_>, sources: &Sources<'_>) -> BTreeMap<String, PropertyValue> {
    let mut properties = BTreeMap::new();
    for (name, at, value) in section.entries() {
        if OWN_PROPERTIES.contains(&name) {
            section.report(at, name, "is set by xConnector itself", "remove it; its guarantees depend on the value");
            continue;
        }
        let secret = SECRET_PROPERTIES.contains(&name);
        let property = match value.get_ref() {
            DeValue::Table(table) if !name.contains('.') && !is_source(table) => {
                let help = format!("put the name in quotes: \"{name}.…\" = …");
                section.report(at, name, "is a table, as names with dots are without quotes", help);
                None
            }
            DeValue::Table(_) => sources.secret_value(section, name, value).map(PropertyValue::Secret),
            _ if secret => sources.secret_value(section, name, value).map(PropertyValue::Secret),
            DeValue::String(text) => Some(PropertyValue::Plain(text.to_string())),
            DeValue::Integer(number) => Some(PropertyValue::Plain(number.as_str().to_owned())),
            DeValue::Float(number) => Some(PropertyValue::Plain(number.as_str().to_owned())),
            DeValue::Boolean(truth) => Some(PropertyValue::Plain(truth.to_string())),
            DeValue::Datetime(_) | DeValue::Array(_) => section.wrong_type(name, value, "text, a number or true/false"),
        };
        if let Some(property) = property {
            properties.insert(name.to_owned(), property);
        }
    }
    properties
}

fn is_source(table: &toml::de::DeTable<'_>) -> bool {
    table.contains_key("env") || table.contains_key("file")
}
