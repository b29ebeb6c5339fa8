//! The source systems: cases of every flow with their updates, wave after wave, some of them twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use promises::{event_headers, systems, unique};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::task::JoinHandle;

use crate::cases::{Case, Examples};
use crate::stage::Stage;

/// A wave is published evenly over this time, and then known to be published.
const WAVE: Duration = Duration::from_secs(2);
/// How many of a hundred events come twice.
const REPEATED: u32 = 10;
/// The CloudEvents source of every event.
pub(crate) const SOURCE: &str = "/storm";

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
pub(crate) fn publish(stage: &Stage, examples: Examples, seed: u64, rate: u32) -> Source {
    let published = Published::default();
    let (client, told) = (stage.kafka.client(), published.clone());
    let topics = stage.flows.iter().map(|(flow, names)| (*flow, names.source.clone())).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let result = waves(client, &topics, &examples, seed, rate, &stopped, &told).await;
        if let Err(error) = &result {
            println!("the source failed: {error:#}");
        }
        result
    });
    Source { published, stop, task }
}

async fn waves(
    mut client: ClientConfig,
    topics: &BTreeMap<&'static str, String>,
    examples: &Examples,
    seed: u64,
    rate: u32,
    stop: &AtomicBool,
    published: &Published,
) -> Result<()> {
    // A broker that has just made a partition takes any sequence number for the first: with several requests in flight, a case's
    // update can come before its creation.
    client.set("enable.idempotence", "true").set("linger.ms", "5").set("max.in.flight.requests.per.connection", "1");
    let producer: FutureProducer = client.create()?;
    let systems = systems()?;
    let mut dice = StdRng::seed_from_u64(seed ^ 0x50_5C);
    let run = unique("S");
    let (mut due, mut wave) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let mut cases = Vec::new();
        let mut events: Vec<(&str, String, String, Vec<u8>)> = Vec::new();
        while events.len() < (u128::from(rate) * WAVE.as_millis() / 1_000) as usize {
            let case = Case::drawn(&mut dice, format!("{run}-{wave}-{}", cases.len())).context("no such kind")?;
            case.prepare(systems)?;
            let topic = topics.get(case.kind.flow).context("no such flow")?;
            let first = examples.first(case.kind);
            for (number, id) in case.events().enumerate() {
                events.push((topic, case.key.clone(), id, serde_json::to_vec(&case.event(first, number))?));
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
            let headers = event_headers(id, SOURCE);
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
