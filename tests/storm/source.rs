//! The source systems: tickets and reviews with their updates, wave after wave, some of them twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use emulator::System;
use promises::{repository, systems, unique};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::stage::Stage;

/// A wave is published evenly over this time, and then known to be published.
const WAVE: Duration = Duration::from_secs(2);
/// How many of a hundred events come twice.
const REPEATED: u32 = 10;
/// The CloudEvents source of every event.
pub(crate) const SOURCE: &str = "/storm";

/// One in so many cases is a review.
const REVIEWS: u32 = 5;

/// The flow that a case belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Somebody decides; the CRM is told the owner of what is assigned.
    Ticket,
    /// A document is put in review, looked at, approved and released.
    Review,
}

/// A case that was published whole: created, then changed so many times.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) work: Work,
    pub(crate) key: String,
    pub(crate) updates: usize,
    /// What people decide.
    pub(crate) decision: &'static str,
}

impl Case {
    /// By which the engine knows its process.
    pub(crate) fn business_key(&self) -> String {
        match self.work {
            Work::Ticket => format!("ticket/{}", self.key),
            Work::Review => format!("review/{}", self.key),
        }
    }

    /// Where the thing is that its process changes: the system and the path.
    pub(crate) fn thing(&self) -> (System, String) {
        match self.work {
            Work::Ticket => (System::Crm, format!("/cases/{}", self.key)),
            Work::Review => (System::Ecm, format!("/documents/{}", self.key)),
        }
    }

    /// The variable of its process that holds what the last update said.
    pub(crate) fn told(&self) -> &'static str {
        match self.work {
            Work::Ticket => "comment",
            Work::Review => "title",
        }
    }

    /// What has to take effect in the system, each once.
    pub(crate) fn effects(&self) -> &'static [&'static str] {
        match (self.work, self.decision) {
            (Work::Ticket, "assigned") => &["cases.owner"],
            (Work::Ticket, _) => &[],
            (Work::Review, _) => &["documents.submit", "documents.approve", "documents.release"],
        }
    }

    /// The ids of its events, in order.
    pub(crate) fn events(&self) -> impl Iterator<Item = String> + '_ {
        (0..=self.updates).map(|number| format!("{}-{number}", self.key))
    }
}

/// What is published so far: whole waves.
pub(crate) type Published = Arc<Mutex<Vec<Case>>>;

pub(crate) struct Source {
    pub(crate) published: Published,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<()>>,
}

impl Source {
    /// Lets the wave that is being published be the last, and gives everything.
    pub(crate) async fn finish(&self) -> Result<Vec<Case>> {
        self.stop.store(true, Ordering::Relaxed);
        while !self.task.is_finished() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(self.published.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Publishes until it is told to finish.
pub(crate) fn publish(stage: &Stage, seed: u64, rate: u32) -> Source {
    let published = Published::default();
    let (client, told) = (stage.kafka.client(), published.clone());
    let topics = (stage.deployment.source(), stage.reviews.source().to_owned());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let result = waves(client, &topics, seed, rate, &stopped, &told).await;
        if let Err(error) = &result {
            println!("the source failed: {error:#}");
        }
        result
    });
    Source { published, stop, task }
}

async fn waves(
    mut client: ClientConfig,
    (tickets, reviews): &(String, String),
    seed: u64,
    rate: u32,
    stop: &AtomicBool,
    published: &Published,
) -> Result<()> {
    let producer: FutureProducer = client.set("enable.idempotence", "true").set("linger.ms", "5").create()?;
    let (created, updated) = (example("schemas/ticket/examples/created")?, example("schemas/ticket/examples/updated")?);
    let review = example("flows/content-review/examples/article")?;
    let systems = systems()?;
    let mut dice = StdRng::seed_from_u64(seed ^ 0x50_5C);
    let run = unique("S");
    let (mut due, mut wave) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let mut cases = Vec::new();
        let mut events: Vec<(&str, String, String, Vec<u8>)> = Vec::new();
        while events.len() < (u128::from(rate) * WAVE.as_millis() / 1_000) as usize {
            let work = if dice.random_range(0..REVIEWS) == 0 { Work::Review } else { Work::Ticket };
            let decision = match work {
                Work::Ticket => ["resolved", "assigned"][dice.random_range(0..2)],
                Work::Review => "approved",
            };
            let key = format!("{run}-{wave}-{}", cases.len());
            let case = Case { work, key, updates: dice.random_range(0..3), decision };
            // Not known to the CRM or the repository, it would have nothing to change.
            let (system, path) = case.thing();
            let collection = path.trim_end_matches(&case.key);
            systems
                .put_there(system, collection, json!({ "id": case.key, "name": "storm" }))
                .context("no such collection")?;
            for (number, id) in case.events().enumerate() {
                let (topic, mut value) = match (work, number) {
                    (Work::Ticket, 0) => (tickets, created.clone()),
                    (Work::Ticket, _) => (tickets, updated.clone()),
                    (Work::Review, _) => (reviews, review.clone()),
                };
                match work {
                    Work::Ticket => (value["ticketId"], value["category"]) = (json!(case.key), json!("outage")),
                    Work::Review => (value["reviewId"], value["documentId"]) = (json!(case.key), json!(case.key)),
                }
                if number > 0 {
                    value[case.told()] = json!(format!("update {number}"));
                }
                if work == Work::Review && number > 0 {
                    value["kind"] = json!("changed");
                }
                events.push((topic, case.key.clone(), id, serde_json::to_vec(&value)?));
            }
            // A repeat comes behind all events of its case, with other cases between or not.
            if dice.random_range(0..100) < REPEATED
                && let Some(again) = events.get(events.len() - 1 - dice.random_range(0..=case.updates)).cloned()
            {
                events.push(again);
            }
            cases.push(case);
        }
        let mut sent = Vec::new();
        let pause = WAVE / u32::try_from(events.len().max(1))?;
        for (topic, key, id, value) in &events {
            due += pause;
            tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
            let headers = OwnedHeaders::new();
            let fields =
                [("ce_specversion", "1.0"), ("ce_id", id), ("ce_source", SOURCE), ("content-type", "application/json")];
            let headers = fields
                .iter()
                .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value.as_bytes()) }));
            let record = FutureRecord::to(topic).key(key).payload(value).headers(headers);
            sent.push(producer.send_result(record).map_err(|(error, _)| error)?);
        }
        for delivery in sent {
            delivery.await.context("the producer is gone")?.map_err(|(error, _)| error)?;
        }
        published.lock().unwrap_or_else(PoisonError::into_inner).extend(cases);
        wave += 1;
    }
    Ok(())
}

fn example(name: &str) -> Result<Value> {
    let mut value: Value = serde_json::from_slice(&std::fs::read(repository().join(format!("{name}.json")))?)?;
    if value.get("reportedAt").is_some() {
        value["reportedAt"] = json!(1_795_514_564_518_i64);
    }
    Ok(value)
}
