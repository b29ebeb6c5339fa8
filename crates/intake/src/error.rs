//! Why the job acquirer did not start, or ended other than by shutdown.

use rdkafka::error::KafkaError;

/// Why the job acquirer did not start, or ended other than by shutdown. An engine or a broker that fails is no such
/// reason: the acquirer waits and goes on.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// A setting that cannot work.
    #[error("flow `{flow}`: job acquirer: {field} {rule}")]
    Setting {
        /// Which flow.
        flow: String,
        /// The setting.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// The settings make no Kafka producer.
    #[error(
        "flow `{flow}`: the producer of the jobs topic cannot be made: {source}; check [kafka] in the settings file"
    )]
    Producer {
        /// Which flow.
        flow: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// A loop is gone.
    #[error("flow `{flow}`: a loop of the job acquirer ended; this is a bug, its cause is in the log above: {source}")]
    LoopGone {
        /// Which flow.
        flow: String,
        /// How it ended.
        source: tokio::task::JoinError,
    },
}
