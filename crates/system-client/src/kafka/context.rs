//! What librdkafka tells goes into our log, with the system's name and never with payloads (it prints none).

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The context of a system's clients.
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    system: String,
}

impl Logging {
    pub(crate) fn of(system: &str) -> Logging {
        Logging { system: system.to_owned() }
    }
}

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let system = &self.system;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(system, facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(system, facility, message, "librdkafka"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(system, facility, message, "librdkafka"),
            RDKafkaLogLevel::Debug => tracing::debug!(system, facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes this way too, and is none.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!(system = self.system, %error, reason, "the Kafka client reports a problem");
        }
    }
}

impl ConsumerContext for Logging {}
