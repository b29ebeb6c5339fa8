//! The librdkafka clients of one engine. What the promises rest on is set last, so that no property can undo it.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::settings::{Delivery, GroupProtocol, Settings};

/// The broker aborts a transaction that stays open longer, so that a dead worker blocks its successor no longer than this.
pub(crate) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

fn base(settings: &Settings, role: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", format!("xconnector-{}-{role}", settings.flow));
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", &settings.bootstrap_servers);
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// The group member that reads.
pub(crate) fn reader(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Bounds what librdkafka holds ahead of us; paused partitions hold nothing. Its own back-off at that bound is a whole second.
    config
        .set("queued.max.messages.kbytes", "4096")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.wait.max.ms", "100")
        // A leader of the classic protocol hands out new partitions when it sees them.
        .set("topic.metadata.refresh.interval.ms", "60000")
        .set("statistics.interval.ms", "1000");
    let mut config = merge(config, base(settings, "reader"));
    config
        .set("group.id", &settings.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    match settings.group_protocol {
        GroupProtocol::Consumer => config.set("group.protocol", "consumer").set("group.remote.assignor", "range"),
        GroupProtocol::Classic => config.set("group.protocol", "classic").set("partition.assignment.strategy", "range"),
    };
    config
}

/// The second client: it reads committed positions and never joins the group.
pub(crate) fn restorer(settings: &Settings, isolation: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    // An offset under an open transaction is asked for again and again: not once a second only.
    config.set("retry.backoff.ms", "50").set("retry.backoff.max.ms", "100");
    // The end of a book shows in an empty answer: the broker gives it at once.
    config.set("fetch.wait.max.ms", "10");
    let mut config = merge(config, base(settings, "restorer"));
    config
        .set("group.id", &settings.group_id)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", isolation);
    config
}

/// The producer of replies, dead letters and offsets.
pub(crate) fn producer(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    // A dead letter carries what the source topic could carry: the broker's limit decides, not the client's.
    config.set("message.max.bytes", "67108864").set("linger.ms", "2");
    // The first answer after a commit is often "the last transaction is still being written": ask again at once.
    config.set("retry.backoff.ms", "2").set("retry.backoff.max.ms", "50");
    let mut config = merge(config, base(settings, "producer"));
    config.set("enable.idempotence", "true").set("acks", "all");
    match settings.delivery {
        Delivery::ExactlyOnce => {
            config
                .set("transactional.id", &settings.transactional_id)
                .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string());
        }
        Delivery::AtLeastOnce => {}
    }
    config
}

/// The producer that takes another's `transactional.id`, to end what that one left open.
pub(crate) fn fencer(settings: &Settings, transactional_id: &str) -> ClientConfig {
    let mut config = base(settings, "fencer");
    config.set("enable.idempotence", "true").set("acks", "all").set("transactional.id", transactional_id);
    config
}

/// The administration client.
pub(crate) fn admin(bootstrap_servers: &str, properties: &std::collections::BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "xconnector-admin");
    for (name, value) in properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", bootstrap_servers);
    config
}

/// Defaults first, then what the user set.
fn merge(mut defaults: ClientConfig, user: ClientConfig) -> ClientConfig {
    for (name, value) in user.config_map() {
        defaults.set(name.to_string(), value.to_string());
    }
    defaults.set_log_level(RDKafkaLogLevel::Warning);
    defaults
}
