//! Why an engine ended.

use rdkafka::error::KafkaError;

/// Why a run of the engine ended other than by shutdown.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The settings make no client.
    #[error("flow `{flow}`: the Kafka client cannot be made: {source}; check [kafka] in the settings file")]
    Client {
        /// Which flow.
        flow: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// The cluster cannot be asked, or refuses.
    #[error("flow `{flow}`: {doing}: {source}")]
    Kafka {
        /// Which flow.
        flow: String,
        /// What was being done.
        doing: &'static str,
        /// What the broker says.
        source: KafkaError,
    },
    /// A topic that the flow reads does not exist, or the partition counts differ.
    #[error("flow `{flow}`: {what}; `xconnector topics create` makes what is missing")]
    Topics {
        /// Which flow.
        flow: String,
        /// What is wrong.
        what: String,
    },
    /// Another producer with the same transactional id took over, or the producer is broken for good.
    #[error("flow `{flow}`: the transactional producer is out: {detail}")]
    ProducerOut {
        /// Which flow.
        flow: String,
        /// What librdkafka says.
        detail: String,
    },
    /// The consumer is broken for good.
    #[error("flow `{flow}`: the consumer is out: {detail}")]
    ConsumerOut {
        /// Which flow.
        flow: String,
        /// What librdkafka says.
        detail: String,
    },
    /// A thread of the engine is gone.
    #[error("flow `{flow}`: the {thread} thread ended; this is a bug, its cause is in the log above")]
    ThreadGone {
        /// Which flow.
        flow: String,
        /// Which thread.
        thread: &'static str,
    },
}
