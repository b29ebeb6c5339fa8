//! The source system: tickets and their updates, wave after wave, some of them twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use promises::{repository, unique};
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

/// A ticket that was published whole: created, then changed so many times.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) key: String,
    pub(crate) updates: usize,
}

impl Ticket {
    /// The ids of its events, in order.
    pub(crate) fn events(&self) -> impl Iterator<Item = String> + '_ {
        (0..=self.updates).map(|number| format!("{}-{number}", self.key))
    }
}

/// What is published so far: whole waves.
pub(crate) type Published = Arc<Mutex<Vec<Ticket>>>;

pub(crate) struct Source {
    pub(crate) published: Published,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<()>>,
}

impl Source {
    /// Lets the wave that is being published be the last, and gives everything.
    pub(crate) async fn finish(&self) -> Result<Vec<Ticket>> {
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
    let (client, topic, told) = (stage.kafka.client(), stage.deployment.source(), published.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let result = waves(client, &topic, seed, rate, &stopped, &told).await;
        if let Err(error) = &result {
            println!("the source failed: {error:#}");
        }
        result
    });
    Source { published, stop, task }
}

async fn waves(
    mut client: ClientConfig,
    topic: &str,
    seed: u64,
    rate: u32,
    stop: &AtomicBool,
    published: &Published,
) -> Result<()> {
    let producer: FutureProducer = client.set("enable.idempotence", "true").set("linger.ms", "5").create()?;
    let examples = ["created", "updated"].map(example);
    let [created, updated] = examples;
    let (created, updated) = (created?, updated?);
    let mut dice = StdRng::seed_from_u64(seed ^ 0x50_5C);
    let run = unique("S");
    let (mut due, mut wave) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let mut tickets = Vec::new();
        let mut events: Vec<(String, String, Vec<u8>)> = Vec::new();
        while events.len() < (u128::from(rate) * WAVE.as_millis() / 1_000) as usize {
            let ticket = Ticket { key: format!("{run}-{wave}-{}", tickets.len()), updates: dice.random_range(0..3) };
            for (number, id) in ticket.events().enumerate() {
                let mut value = if number == 0 { created.clone() } else { updated.clone() };
                value["ticketId"] = json!(ticket.key);
                value["category"] = json!("outage");
                if number > 0 {
                    value["comment"] = json!(format!("update {number}"));
                }
                events.push((ticket.key.clone(), id, serde_json::to_vec(&value)?));
            }
            // A repeat comes behind all events of its ticket, with other tickets between or not.
            if dice.random_range(0..100) < REPEATED
                && let Some(again) = events.get(events.len() - 1 - dice.random_range(0..=ticket.updates)).cloned()
            {
                events.push(again);
            }
            tickets.push(ticket);
        }
        let mut sent = Vec::new();
        let pause = WAVE / u32::try_from(events.len().max(1))?;
        for (key, id, value) in &events {
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
        published.lock().unwrap_or_else(PoisonError::into_inner).extend(tickets);
        wave += 1;
    }
    Ok(())
}

fn example(kind: &str) -> Result<Value> {
    let file = repository().join(format!("schemas/ticket/examples/{kind}.json"));
    let mut value: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    value["reportedAt"] = json!(1_795_514_564_518_i64);
    Ok(value)
}
