//! Whose jobs are acquired, for whom, and where they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::IntakeError;

/// Everything the job acquirer of one flow needs to know, apart from the engine. Checked by [`crate::acquire_jobs`].
#[derive(Clone)]
pub struct Settings {
    /// The flow; its jobs go to `xc.<flow>.jobs`.
    pub flow: Arc<str>,
    /// The external-worker topics of the flow's model. Each has a loop of its own; none at all is allowed.
    pub topics: Vec<Arc<str>>,
    /// Lock owner in the engine: the deployment's name, so that any instance of it may complete the job.
    pub worker: String,
    /// How long a job stays locked; it must outlast the way through the jobs topic. Cannot be extended later.
    pub lock: Duration,
    /// Most jobs that are asked for at once, at least 1.
    pub batch: u32,
    /// Pause after an answer that was no full batch.
    pub poll_interval: Duration,
    /// Kafka's `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// More properties of the Kafka producer, such as its security settings. They cannot undo `acks` and idempotence.
    pub properties: BTreeMap<String, String>,
}

impl Settings {
    /// Whether the settings can work.
    pub(crate) fn check(&self) -> Result<(), IntakeError> {
        let wrong = |field, rule| Err(IntakeError::Setting { flow: self.flow.to_string(), field, rule });
        if self.worker.is_empty() {
            return wrong("worker", "must not be empty: it owns the locks in the engine");
        }
        if self.topics.iter().any(|topic| topic.is_empty()) {
            return wrong("topics", "must not contain an empty name");
        }
        // the engine takes milliseconds
        if self.lock.as_millis() == 0 {
            return wrong("lock", "must be at least one millisecond");
        }
        if self.batch == 0 {
            return wrong("batch", "must be at least 1");
        }
        if self.poll_interval.is_zero() {
            return wrong("poll_interval", "must be longer than zero, or the engine is asked without end");
        }
        Ok(())
    }

    /// Each topic once: two loops on one topic would only take each other's jobs.
    pub(crate) fn distinct_topics(&self) -> BTreeSet<Arc<str>> {
        self.topics.iter().cloned().collect()
    }
}

/// Shows no value of a property: some are passwords.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("flow", &self.flow)
            .field("topics", &self.topics)
            .field("worker", &self.worker)
            .field("lock", &self.lock)
            .field("batch", &self.batch)
            .field("poll_interval", &self.poll_interval)
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            flow: "tickets".into(),
            topics: vec!["b".into(), "a".into(), "b".into()],
            worker: "xc".into(),
            lock: Duration::from_secs(60),
            batch: 10,
            poll_interval: Duration::from_secs(1),
            bootstrap_servers: "127.0.0.1:9".into(),
            properties: BTreeMap::from([("sasl.password".into(), "geheim".into())]),
        }
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        assert!(settings().check().is_ok());
        let named = |change: fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            settings.check().expect_err("refused").to_string()
        };
        assert!(named(|s| s.worker.clear()).contains("worker must"));
        assert!(named(|s| s.topics.push("".into())).contains("topics must"));
        assert!(named(|s| s.lock = Duration::from_micros(9)).contains("lock must"));
        assert!(named(|s| s.batch = 0).contains("batch must"));
        assert!(named(|s| s.poll_interval = Duration::ZERO).contains("poll_interval must"));
    }

    #[test]
    fn a_topic_that_is_named_twice_is_acquired_once() {
        assert_eq!(settings().distinct_topics(), BTreeSet::from(["a".into(), "b".into()]));
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let shown = format!("{:?}", settings());
        assert!(shown.contains("sasl.password") && !shown.contains("geheim"), "{shown}");
    }
}
