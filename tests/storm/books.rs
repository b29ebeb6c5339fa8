//! What a `read_committed` consumer sees on the reply topics, as it comes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use promises::Kafka;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::cases::Case;
use crate::source::Published;
use crate::stage::{PARTITIONS, Stage, TICKETS};

/// After so long without a reply the reader is made anew.
const SILENCE: Duration = Duration::from_secs(5);

/// Replies by what they answer.
#[derive(Default)]
pub(crate) struct Entries {
    /// By event id: how many replies of the kind.
    pub(crate) accepted: HashMap<String, u32>,
    pub(crate) duplicate: HashMap<String, u32>,
    /// By event id: the reason.
    pub(crate) rejected: Vec<(String, String)>,
    /// By process instance: its outcomes, each as place, time and id.
    pub(crate) outcomes: HashMap<String, Vec<String>>,
    /// By key: the offsets of its accepted events, in the order of their replies.
    pub(crate) order: HashMap<String, Vec<i64>>,
    /// By case: the instance that its reply names.
    pub(crate) instances: HashMap<String, String>,
    /// By source partition of the tickets: when an event of it was accepted.
    pub(crate) progress: BTreeMap<i64, Vec<Instant>>,
}

pub(crate) struct Books {
    entries: Mutex<Entries>,
}

impl Books {
    /// Follows the reply topics until the process ends.
    pub(crate) fn open(kafka: &Kafka, stage: &Stage) -> Result<Arc<Books>> {
        let books = Arc::new(Books { entries: Mutex::default() });
        let mut client = kafka.client();
        client
            .set("group.id", promises::unique("storm"))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("log_level", "0");
        let entering = Arc::clone(&books);
        let tickets = stage.flows.get(TICKETS).map(|flow| flow.replies.clone()).unwrap_or_default();
        let mut next = BTreeMap::new();
        for flow in stage.flows.values() {
            next.extend((0..PARTITIONS as i32).map(|partition| ((flow.replies.clone(), partition), 0)));
        }
        let mut consumer = reader(&client, &next)?;
        std::thread::spawn(move || {
            let mut heard = Instant::now();
            loop {
                match consumer.poll(Duration::from_millis(200)) {
                    Some(Ok(message)) => {
                        heard = Instant::now();
                        next.insert((message.topic().to_owned(), message.partition()), message.offset() + 1);
                        entering.enter(&message, message.topic() == tickets);
                    }
                    // A reader that a broker's restart left without data, or without a position, is made anew where it stood.
                    Some(Err(_)) | None if heard.elapsed() > SILENCE => {
                        heard = Instant::now();
                        if let Ok(anew) = reader(&client, &next) {
                            // Closing one that fell silent may take for ever.
                            let silent = std::mem::replace(&mut consumer, anew);
                            std::thread::spawn(move || drop(silent));
                        }
                    }
                    Some(Err(_)) | None => {}
                }
            }
        });
        Ok(books)
    }

    fn enter(&self, message: &impl Message, of_ticket: bool) {
        let header = |name: &str| {
            let headers = message.headers()?;
            let found = headers.iter().find(|header| header.key == name)?;
            found.value.and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned)
        };
        let kind = header("ce_type").unwrap_or_default();
        let body: Value = serde_json::from_slice(message.payload().unwrap_or_default()).unwrap_or_default();
        let event = body["source"]["eventId"].as_str().unwrap_or_default().to_owned();
        let instance = body["process"]["instanceId"].as_str().unwrap_or_default().to_owned();
        let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        let mut entries = self.lock();
        match kind.as_str() {
            "xconnector.accepted.v1" => {
                *entries.accepted.entry(event).or_default() += 1;
                let offset = body["source"]["offset"].as_i64().unwrap_or(-1);
                entries.order.entry(key.clone()).or_default().push(offset);
                entries.instances.entry(key).or_insert(instance);
                if of_ticket {
                    let partition = body["source"]["partition"].as_i64().unwrap_or(-1);
                    entries.progress.entry(partition).or_default().push(Instant::now());
                }
            }
            "xconnector.duplicate.v1" => *entries.duplicate.entry(event).or_default() += 1,
            "xconnector.outcome.v1" => {
                let place = format!("{}@{}", message.partition(), message.offset());
                let (id, time) = (header("ce_id").unwrap_or_default(), header("ce_time").unwrap_or_default());
                entries.outcomes.entry(instance).or_default().push(format!("{place} of {time}, id {id}"));
            }
            other => {
                let reason = body["reason"].as_str().unwrap_or(other).to_owned();
                entries.rejected.push((event, reason));
            }
        }
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an instance has its outcome
    pub(crate) fn has_outcome(&self, instance: &str) -> bool {
        self.lock().outcomes.contains_key(instance)
    }

    /// Whether every event of the case is accepted.
    pub(crate) fn accepted(&self, case: &Case) -> bool {
        let entries = self.lock();
        case.events().all(|event| entries.accepted.contains_key(&event))
    }

    /// The instance of a case all of whose events are accepted.
    pub(crate) fn decidable(&self, case: &Case) -> Option<String> {
        if !self.accepted(case) {
            return None;
        }
        self.lock().instances.get(&case.key).cloned()
    }

    /// Takes away the cases all of whose events are accepted and that have their outcome.
    pub(crate) fn keep_open(&self, cases: &mut Vec<Case>) {
        cases.retain(|case| {
            let accepted = self.accepted(case);
            let entries = self.lock();
            let decided = entries.instances.get(&case.key).and_then(|id| entries.outcomes.get(id));
            !(accepted && decided.is_some())
        });
    }

    /// How many events and instances are answered.
    pub(crate) fn replies(&self) -> usize {
        let entries = self.lock();
        entries.accepted.len() + entries.outcomes.len()
    }

    pub(crate) fn summary(&self, published: &Published) -> String {
        let events: usize = {
            let published = published.lock().unwrap_or_else(PoisonError::into_inner);
            published.iter().map(|case| 1 + case.updates).sum()
        };
        let entries = self.lock();
        format!(
            "{events} events published, {} accepted, {} known already, {} outcomes",
            entries.accepted.len(),
            entries.duplicate.values().sum::<u32>(),
            entries.outcomes.len()
        )
    }

    /// In how many partitions an event was accepted.
    pub(crate) fn flowing(&self) -> usize {
        self.lock().progress.len()
    }

    /// How long after `since` the slowest partition had an event accepted.
    pub(crate) fn all_flow_after(&self, since: Instant) -> Option<Duration> {
        let entries = self.lock();
        let first = |times: &Vec<Instant>| times.iter().find(|time| **time > since).map(|time| *time - since);
        entries.progress.values().map(first).collect::<Option<Vec<Duration>>>()?.into_iter().max()
    }
}

fn reader(client: &ClientConfig, next: &BTreeMap<(String, i32), i64>) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = client.create()?;
    let mut assignment = TopicPartitionList::new();
    for ((topic, partition), offset) in next {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}
