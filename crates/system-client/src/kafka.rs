//! A system that speaks Kafka: a command goes to one topic, its reply comes from another.
//!
//! A command is a CloudEvent in headers: `ce_id` and `ce_correlationid` are the idempotency key, `ce_type` is the method, `ce_subject` the
//! path, `ce_source` names us, `ce_dataschema` the schema of the body where it has one; `if-match` and `reply-to` stand beside them, and
//! the value is the body as JSON. The reply has the same
//! `ce_correlationid`, and a `status` as HTTP has it (200 where it is missing). A system must know repeated commands by their id, as a
//! system that speaks HTTP knows repeated requests.

mod context;
mod memory;
mod replies;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use self::context::Logging;
use self::memory::Reply;
use self::replies::Replies;
use crate::request::{CallError, Fault, Request, Response};
use crate::settings::{Kafka, Settings, SettingsError};

/// Longest wait for the topics while it is asked whether they are there.
const ASK: Duration = Duration::from_secs(5);
/// Stands before a schema's name: CloudEvents wants a URI. The name is that of the file, without its ending.
const SCHEMAS: &str = "xconnector:schemas/";

/// A system that speaks Kafka.
pub(crate) struct KafkaSystem {
    name: String,
    commands: String,
    reply_to: String,
    source: String,
    request_timeout: Duration,
    max_answer: usize,
    producer: FutureProducer<Logging>,
    listener: Listener,
    /// Made by the first call: what only checks its settings reads nothing.
    replies: OnceCell<Replies>,
}

/// What the reader of replies is made of.
struct Listener {
    config: ClientConfig,
    topic: String,
    keep: Duration,
}

impl KafkaSystem {
    pub(crate) fn new(settings: &Settings, kafka: &Kafka) -> Result<KafkaSystem, SettingsError> {
        let mut base = ClientConfig::new();
        base.set("client.id", format!("xconnector-system-{}", settings.name));
        for (name, value) in &kafka.properties {
            base.set(name, value);
        }
        base.set_log_level(RDKafkaLogLevel::Warning);
        let (mut writes, mut reads) = (base.clone(), base);
        let timeout = settings.request_timeout.as_millis().max(1).to_string();
        writes.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "0");
        // A command must not leave any more once nobody waits for its reply.
        writes.set("message.timeout.ms", &timeout);
        // Partitions are assigned by hand, but librdkafka wants a group.
        reads.set("group.id", format!("xconnector-system-{}", settings.name)).set("enable.auto.commit", "false");
        reads.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
        reads.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "100");
        let producer = writes.create_with_context(Logging::of(&settings.name)).map_err(|error: KafkaError| {
            SettingsError::Client { system: settings.name.clone(), reason: error.to_string() }
        })?;
        Ok(KafkaSystem {
            name: settings.name.clone(),
            commands: kafka.commands.clone(),
            reply_to: kafka.replies.clone(),
            source: kafka.source.clone(),
            request_timeout: settings.request_timeout,
            max_answer: settings.max_answer,
            producer,
            listener: Listener { config: reads, topic: kafka.replies.clone(), keep: kafka.keep_replies },
            replies: OnceCell::new(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends the command and waits for its reply, unless it was answered before.
    pub(crate) async fn call(&self, request: &Request) -> Result<Response, CallError> {
        if request.document {
            return Err(self.error(Fault::Limit, "a document cannot be asked for by Kafka"));
        }
        let until = Instant::now() + self.request_timeout;
        let replies = self.replies().await?;
        // Whoever has read less than the topic held at our start may have passed over an answer.
        if timeout_at(until, replies.caught_up()).await.is_err() {
            return Err(self.error(Fault::Unsent, "the replies that are there already could not be read"));
        }
        let key = &request.idempotency_key;
        let mut reply = match replies.memory().known_or_wait(key) {
            Ok(known) => return self.response(&known),
            Err(waiting) => waiting,
        };
        self.send(request, until).await?;
        match timeout_at(until, reply.next()).await {
            Ok(reply) => self.response(&reply),
            Err(_) => Err(self.error(Fault::TimedOut, format!("no reply on {} in time", self.reply_to))),
        }
    }

    /// Shows whether the topic of commands can be reached: a broker knows nothing of those who read it.
    pub(crate) async fn probe(&self) -> Result<Response, CallError> {
        let (producer, topic) = (self.producer.clone(), self.commands.clone());
        let look = move || {
            let metadata = producer.client().fetch_metadata(Some(&topic), ASK)?;
            let found = metadata.topics().first().and_then(|topic| topic.error());
            found.map_or(Ok(()), |code| Err(KafkaError::MetadataFetch(RDKafkaErrorCode::from(code))))
        };
        let looked = tokio::task::spawn_blocking(look).await;
        match looked {
            Ok(Ok(())) => Ok(response(200, BTreeMap::new(), Value::Null)),
            Ok(Err(error)) => Err(self.error(Fault::Unsent, error.to_string())),
            Err(error) => Err(self.error(Fault::Unsent, error.to_string())),
        }
    }

    async fn replies(&self) -> Result<&Replies, CallError> {
        let Listener { config, topic, keep } = &self.listener;
        let start = async || {
            Replies::follow(&self.name, config.clone(), topic.clone(), *keep, self.max_answer)
                .await
                .map_err(|error| self.error(Fault::Unsent, format!("{topic} cannot be read: {error}")))
        };
        self.replies.get_or_try_init(start).await
    }

    async fn send(&self, request: &Request, until: Instant) -> Result<(), CallError> {
        let key = &request.idempotency_key;
        let mut headers = OwnedHeaders::new();
        for (name, value) in [
            ("ce_specversion", "1.0"),
            ("ce_id", key),
            ("ce_source", &self.source),
            ("ce_type", request.method.as_str()),
            ("ce_subject", &request.path),
            ("ce_correlationid", key),
            ("content-type", "application/json"),
            ("reply-to", &self.reply_to),
        ] {
            headers = headers.insert(Header { key: name, value: Some(value) });
        }
        if let Some(version) = &request.if_match {
            headers = headers.insert(Header { key: "if-match", value: Some(version) });
        }
        if let Some(schema) = &request.schema {
            let uri = format!("{SCHEMAS}{schema}");
            headers = headers.insert(Header { key: "ce_dataschema", value: Some(&uri) });
        }
        let body = request.body.as_ref().map(Value::to_string);
        let mut record = FutureRecord::to(&self.commands).key(key).headers(headers);
        record.payload = body.as_deref();
        let left = until.saturating_duration_since(Instant::now());
        match self.producer.send(record, left).await {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(self.error(fault(&error), format!("{}: {error}", self.commands))),
        }
    }

    fn response(&self, reply: &Reply) -> Result<Response, CallError> {
        let Reply::Read { status, headers, body } = reply else {
            let message = format!("the reply is larger than max_answer, {} bytes", self.max_answer);
            return Err(self.error(Fault::BadAnswer, message));
        };
        let Some(status) = status else {
            return Err(self.error(Fault::BadAnswer, "the `status` of the reply is no number from 100 to 599"));
        };
        tracing::debug!(system = self.name, status, "system reply");
        Ok(response(*status, headers.clone(), body.clone()))
    }

    fn error(&self, fault: Fault, message: impl Into<String>) -> CallError {
        CallError { fault, system: self.name.clone(), message: message.into(), retry_after: None }
    }
}

fn response(status: u16, headers: BTreeMap<String, String>, body: Value) -> Response {
    let seconds = headers.get("retry-after").and_then(|seconds| seconds.parse().ok());
    Response { status, headers, body, retry_after: seconds.map(Duration::from_secs) }
}

/// Whether a command that was not acknowledged may be on the topic all the same.
fn fault(error: &KafkaError) -> Fault {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => Fault::Limit,
        Some(
            RDKafkaErrorCode::QueueFull
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition,
        ) => Fault::Unsent,
        Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed) => {
            Fault::Unauthorized
        }
        Some(_) | None => Fault::Broken,
    }
}
