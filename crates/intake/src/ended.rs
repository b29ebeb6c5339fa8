//! Processes that have ended, for models without a task that publishes: the engine's history is read again and again, and what ended is
//! written to `xc.<flow>.jobs` like a job.
//!
//! How far it was read stands in the flow's state topic. History may lag and show what ended earlier later: each reading begins
//! `history_lag` before the last one's end. What is written twice all the same, after a restart, the ledger knows by the instance.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use event_model::{JobRecord, OutgoingRecord};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use workflow_client::{CallError, Engine, Instance, SweepSource};

use crate::acquirer::{Next, next};
use crate::error::IntakeError;
use crate::letters::{Cluster, read_topic};
use crate::pace::{Pace, Round};
use crate::producer::{JobsTopic, Refusal};
use crate::settings::Settings;
use crate::telemetry::{Report, Telemetry};

/// End times are shown in milliseconds, and filters may cut theirs down to the second.
const SLACK: SignedDuration = SignedDuration::from_secs(2);
/// Before the state topic is asked again where it could not be read.
const AGAIN: Duration = Duration::from_secs(5);

/// What is watched, and for whom.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The key of the process definition.
    pub process: Arc<str>,
    /// What stands for the topic of its records.
    pub topic: Arc<str>,
    /// The variable by which an instance names the event that started it, as `<flow>/<event id>`.
    pub mark: &'static str,
    /// How much later than the end of an instance history may show it.
    pub history_lag: Duration,
    /// Where the flow's state is.
    pub state_topic: String,
}

/// Writes what has ended, from the moment of the first watch on, until `shutdown` is true. `may_watch` is as for jobs.
///
/// # Errors
/// [`IntakeError`] when the settings cannot work. Faults of the engine or of Kafka end nothing.
pub async fn watch_ended(
    settings: Settings,
    ended: Ended,
    engine: Engine,
    mut may_watch: watch::Receiver<bool>,
    telemetry: Arc<Telemetry>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), IntakeError> {
    settings.check()?;
    let mut watcher = Watcher {
        jobs_topic: JobsTopic::new(&settings)?,
        pace: Pace::new(settings.batch, settings.poll_interval),
        report: Report::new(telemetry, Arc::clone(&settings.flow), Arc::clone(&ended.topic)),
        read: None,
        settings,
        ended,
        engine,
    };
    let mut not_before = Instant::now();
    loop {
        match next(&mut may_watch, &mut shutdown, not_before, &mut watcher.report).await {
            Next::Ask => not_before = Instant::now() + watcher.round().await,
            // Whoever watches meanwhile reads further.
            Next::LookAgain => watcher.read = None,
            Next::Stop => {
                watcher.report.acquiring(false);
                return Ok(());
            }
        }
    }
}

/// How far history was read.
struct Read {
    /// The latest end that was seen, or the moment at which watching began.
    to: Timestamp,
    /// What was written of the time that is read again, by instance.
    written: HashMap<String, Timestamp>,
}

struct Watcher {
    settings: Settings,
    ended: Ended,
    engine: Engine,
    jobs_topic: JobsTopic,
    pace: Pace,
    report: Report,
    /// Unknown until the state topic was read.
    read: Option<Read>,
}

impl Watcher {
    /// Reads once, to the end; says how long to wait for the next time.
    async fn round(&mut self) -> Duration {
        if self.read.is_none() {
            match self.cursor().await {
                Ok(to) => self.read = Some(Read { to, written: HashMap::new() }),
                Err(refusal) => {
                    self.report.refused(&[refusal], AGAIN);
                    return AGAIN;
                }
            }
        }
        let Some(mut read) = self.read.take() else { return AGAIN };
        let (pause, read) = match self.news(&mut read).await {
            Ok(news) => self.write(read, news).await,
            Err(error) => {
                let pause = self.pace.after(Round::EngineFault { retry_after: error.retry_after });
                self.report.engine_fault(&error, pause);
                (pause, read)
            }
        };
        self.read = Some(read);
        pause
    }

    /// What has ended and was not written yet, with its end.
    async fn news(&self, read: &mut Read) -> Result<Vec<(Instance, Timestamp)>, CallError> {
        let lag = SignedDuration::try_from(self.ended.history_lag).unwrap_or(SignedDuration::MAX);
        let since = read.to.checked_sub(lag).and_then(|since| since.checked_sub(SLACK)).unwrap_or(Timestamp::MIN);
        read.written.retain(|_, end| *end >= since);
        let mut sweep = self.engine.sweep(&self.ended.process, since, SweepSource::Ended)?;
        let mut news = Vec::new();
        while let Some(page) = sweep.next_page().await? {
            for mut instance in page.into_iter().filter(|instance| !read.written.contains_key(&instance.id)) {
                let Some(end) = instance.end_time() else { continue };
                if instance.variables.is_none() {
                    // Without them nobody can tell whose it is.
                    let whole = self.engine.instance_history(&instance.id).await?;
                    instance.variables = whole.and_then(|whole| whole.variables);
                }
                news.push((instance, end));
            }
        }
        Ok(news)
    }

    /// Writes records for what is ours, then how far history was read: the other way round, a crash between would lose them.
    async fn write(&mut self, mut read: Read, news: Vec<(Instance, Timestamp)>) -> (Duration, Read) {
        let ours = |instance: &Instance| {
            let mark = instance.variable(self.ended.mark).and_then(|mark| mark.as_str());
            let of_flow = mark.and_then(|mark| mark.strip_prefix(&*self.settings.flow)?.strip_prefix('/')).is_some();
            // What was terminated, by us at least, has no outcome.
            of_flow && !instance.delete_reason.as_deref().is_some_and(|reason| reason.starts_with("xc:"))
        };
        let ends: Vec<(String, Timestamp)> = news.iter().map(|(instance, end)| (instance.id.clone(), *end)).collect();
        let records: Vec<_> = news
            .into_iter()
            .filter(|(instance, _)| ours(instance))
            .map(|(instance, _)| self.record(instance))
            .collect();
        let count = records.len();
        self.report.acquired(count);
        let mut refusals = self.jobs_topic.write(records.into_iter()).await;
        let latest = ends.iter().map(|(_, end)| *end).max().filter(|latest| *latest > read.to);
        if let (true, Some(latest)) = (refusals.is_empty(), latest) {
            refusals = self.jobs_topic.write(std::iter::once(Ok(self.cursor_record(latest)))).await;
        }
        if !refusals.is_empty() {
            let pause = self.pace.after(Round::NotAcknowledged);
            self.report.refused(&refusals, pause);
            return (pause, read);
        }
        read.to = latest.unwrap_or(read.to);
        read.written.extend(ends);
        self.report.well();
        // Everything there is was read: there is no full batch to ask for at once.
        self.pace.after(Round::HandedOver(0));
        (self.settings.poll_interval, read)
    }

    fn record(&self, instance: Instance) -> Result<OutgoingRecord, Refusal> {
        let variables = instance.variables.into_iter().flatten();
        let record = JobRecord {
            job_id: instance.id.clone(),
            correlation_id: Some(instance.id.clone()),
            topic: self.ended.topic.to_string(),
            process_instance_id: instance.id,
            process_definition_id: instance.process_definition_id,
            element_id: None,
            business_key: instance.business_key,
            variables: variables.map(|variable| (variable.name, variable.value.into_json())).collect(),
            retries: None,
            lock_expires_at: None,
        };
        record.to_record(&self.settings.flow).map_err(Refusal::Unwritable)
    }

    fn cursor_key(&self) -> String {
        format!("cursor/{}", self.ended.process)
    }

    fn cursor_record(&self, to: Timestamp) -> OutgoingRecord {
        OutgoingRecord {
            topic: self.ended.state_topic.as_str().into(),
            partition: Some(event_model::Partition::new(0)),
            key: Some(self.cursor_key().into_bytes()),
            value: Some(to.to_string().into_bytes()),
            headers: Vec::new(),
        }
    }

    /// How far history was read; now, and remembered, where it never was.
    async fn cursor(&self) -> Result<Timestamp, Refusal> {
        let cluster = Cluster {
            bootstrap_servers: self.settings.bootstrap_servers.clone(),
            properties: self.settings.properties.clone(),
        };
        let (topic, key) = (self.ended.state_topic.clone(), self.cursor_key().into_bytes());
        let found = tokio::task::spawn_blocking(move || {
            let mut found = None;
            let read = read_topic(&cluster, &topic, |record| {
                if record.key.as_deref() == Some(key.as_slice()) {
                    found = record.value.and_then(|value| std::str::from_utf8(&value).ok()?.parse().ok());
                }
            });
            read.map(|()| found)
        });
        let found: Option<Timestamp> = match found.await {
            Ok(found) => found.map_err(Refusal::Kafka)?,
            Err(_) => return Err(Refusal::Kafka(rdkafka::error::KafkaError::Canceled)),
        };
        if let Some(to) = found {
            return Ok(to);
        }
        let now = Timestamp::now();
        match self.jobs_topic.write(std::iter::once(Ok(self.cursor_record(now)))).await.pop() {
            None => Ok(now),
            Some(refusal) => Err(refusal),
        }
    }
}
