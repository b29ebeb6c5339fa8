//! The way onto `xc.<flow>.jobs`. What the promise rests on is set last, so that no property can undo it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_model::{BadJobRecord, JobRecord, OutgoingRecord};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use workflow_client::Job;

use crate::error::IntakeError;
use crate::settings::Settings;

/// A record that waits for its acknowledgement longer than this is given up, even under a longer lock: meanwhile the
/// operator would see nothing.
const LONGEST_DELIVERY: Duration = Duration::from_secs(60);

/// The jobs topic of one flow, shared by all loops.
pub(crate) struct JobsTopic {
    flow: Arc<str>,
    config: ClientConfig,
    producer: Mutex<FutureProducer<Logging>>,
}

/// Why a locked job did not reach the jobs topic. Carries no payload.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Kafka did not acknowledge the record.
    Kafka(KafkaError),
    /// The job makes no record.
    Unwritable(BadJobRecord),
    /// The engine named no process instance: there is no key, and nobody to complete the job for.
    NoInstance { job_id: String },
}

impl JobsTopic {
    /// Makes the producer. Nothing is sent.
    pub(crate) fn new(settings: &Settings) -> Result<JobsTopic, IntakeError> {
        let config = client_config(settings);
        let producer = create(&config, &settings.flow)
            .map_err(|source| IntakeError::Producer { flow: settings.flow.to_string(), source })?;
        Ok(JobsTopic { flow: Arc::clone(&settings.flow), config, producer: Mutex::new(producer) })
    }

    /// Writes every job, waits for every acknowledgement, and returns what was refused.
    pub(crate) async fn hand_over(&self, topic: &str, jobs: Vec<Job>) -> Vec<Refusal> {
        self.write(jobs.into_iter().map(|job| record_of(topic, job, &self.flow))).await
    }

    /// Writes records, waits for every acknowledgement, and returns what was refused.
    pub(crate) async fn write(&self, records: impl Iterator<Item = Result<OutgoingRecord, Refusal>>) -> Vec<Refusal> {
        let producer = self.lock().clone();
        let mut refused = Vec::new();
        let mut waiting = Vec::new();
        // All are queued before any is waited for, in the engine's order.
        for record in records {
            match record.and_then(|record| enqueue(&producer, &record).map_err(Refusal::Kafka)) {
                Ok(delivery) => waiting.push(delivery),
                Err(refusal) => refused.push(refusal),
            }
        }
        for delivery in waiting {
            match delivery.await {
                Ok(Ok(_)) => {}
                Ok(Err((error, _))) => refused.push(Refusal::Kafka(error)),
                Err(_) => refused.push(Refusal::Kafka(KafkaError::Canceled)),
            }
        }
        if !refused.is_empty() {
            self.replace_broken_producer();
        }
        refused
    }

    /// An idempotent producer that lost track of its sequence numbers never writes again.
    fn replace_broken_producer(&self) {
        let mut producer = self.lock();
        let Some((code, detail)) = producer.client().fatal_error() else {
            return;
        };
        match create(&self.config, &self.flow) {
            Ok(fresh) => {
                tracing::warn!(flow = %self.flow, %code, detail, "the producer of the jobs topic is replaced");
                *producer = fresh;
            }
            Err(error) => {
                tracing::error!(flow = %self.flow, %code, detail, %error, "the producer of the jobs topic cannot be replaced yet");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, FutureProducer<Logging>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn enqueue<C: ClientContext + 'static>(
    producer: &FutureProducer<C>,
    record: &OutgoingRecord,
) -> KafkaResult<rdkafka::producer::DeliveryFuture> {
    let headers = record.headers.iter().fold(OwnedHeaders::new_with_capacity(record.headers.len()), |all, header| {
        all.insert(Header { key: &header.name, value: header.value.as_deref() })
    });
    let mut outgoing = FutureRecord::<[u8], [u8]>::to(&record.topic).headers(headers);
    outgoing.key = record.key.as_deref();
    outgoing.payload = record.value.as_deref();
    outgoing.partition = record.partition.map(|partition| partition.get());
    producer.send_result(outgoing).map_err(|(error, _)| error)
}

/// The job as it stands on the jobs topic. `topic` is the one that was asked for: not every engine repeats it.
fn record_of(topic: &str, job: Job, flow: &str) -> Result<OutgoingRecord, Refusal> {
    let Some(process_instance_id) = job.process_instance_id else {
        return Err(Refusal::NoInstance { job_id: job.id });
    };
    let record = JobRecord {
        job_id: job.id,
        correlation_id: job.correlation_id,
        topic: topic.to_owned(),
        process_instance_id,
        process_definition_id: job.process_definition_id,
        element_id: job.element_id,
        business_key: None,
        variables: job.variables.into_iter().map(|variable| (variable.name, variable.value.into_json())).collect(),
        retries: job.retries.and_then(|retries| i32::try_from(retries).ok()),
        lock_expires_at: job.lock_expiration_time,
    };
    record.to_record(flow).map_err(Refusal::Unwritable)
}

fn client_config(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    // The broker's limit decides what is too large, not the client's.
    config.set("message.max.bytes", "67108864").set("linger.ms", "2");
    let delivery = settings.lock.clamp(Duration::from_secs(1), LONGEST_DELIVERY);
    config.set("delivery.timeout.ms", delivery.as_millis().to_string());
    config.set("client.id", format!("xconnector-{}-intake", settings.flow));
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", &settings.bootstrap_servers).set("acks", "all").set("enable.idempotence", "true");
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

fn create(config: &ClientConfig, flow: &Arc<str>) -> KafkaResult<FutureProducer<Logging>> {
    FutureProducer::from_config_and_context(config, Logging { flow: Arc::clone(flow) })
}

/// Where librdkafka's own log lines go: into ours, with the flow's name. It prints no payloads.
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    flow: Arc<str>,
}

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let flow = &*self.flow;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(flow, facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(flow, facility, message, "librdkafka"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(flow, facility, message, "librdkafka"),
            RDKafkaLogLevel::Debug => tracing::debug!(flow, facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(flow = %self.flow, %error, reason, "the Kafka client reports a problem");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_property_undoes_acknowledgement_and_idempotence() {
        let wanted = [("acks", "0"), ("enable.idempotence", "false"), ("bootstrap.servers", "x"), ("linger.ms", "50")];
        let settings = Settings {
            flow: "tickets".into(),
            topics: Vec::new(),
            worker: "xc".into(),
            lock: Duration::from_secs(600),
            batch: 1,
            poll_interval: Duration::from_secs(1),
            bootstrap_servers: "127.0.0.1:9".into(),
            properties: wanted
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
        };
        let config = client_config(&settings);
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("enable.idempotence"), Some("true"));
        assert_eq!(config.get("bootstrap.servers"), Some("127.0.0.1:9"));
        assert_eq!(config.get("linger.ms"), Some("50"));
        assert_eq!(config.get("delivery.timeout.ms"), Some("60000"));
        assert!(JobsTopic::new(&settings).is_ok());
    }
}
