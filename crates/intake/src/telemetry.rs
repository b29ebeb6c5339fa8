//! Every metric of the job acquirer, and the one place where its log lines are made: one per change of state.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use workflow_client::{CallError, Fault};

use crate::producer::Refusal;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTopic {
    flow: String,
    topic: String,
}

/// A loop and one bounded word: a fault or an error code.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfKind {
    flow: String,
    topic: String,
    kind: String,
}

/// The acquirer's metrics, all under `xconnector_intake_`; one set per process. `topic` is the engine's topic.
#[derive(Debug)]
pub struct Telemetry {
    acquiring: Family<OfTopic, Gauge>,
    jobs_acquired: Family<OfTopic, Counter>,
    empty_polls: Family<OfTopic, Counter>,
    engine_faults: Family<OfKind, Counter>,
    records_refused: Family<OfKind, Counter>,
}

impl Telemetry {
    /// Registers every metric.
    pub fn register(registry: &mut Registry) -> Arc<Telemetry> {
        let telemetry = Telemetry {
            acquiring: Family::default(),
            jobs_acquired: Family::default(),
            empty_polls: Family::default(),
            engine_faults: Family::default(),
            records_refused: Family::default(),
        };
        let r = registry.sub_registry_with_prefix("xconnector").sub_registry_with_prefix("intake");
        r.register("acquiring", "1 while this worker asks the engine for jobs", telemetry.acquiring.clone());
        r.register("jobs_acquired", "Jobs that the engine locked for us", telemetry.jobs_acquired.clone());
        r.register("empty_polls", "Answers of the engine without a job", telemetry.empty_polls.clone());
        r.register("engine_faults", "Failed calls of the engine, by fault", telemetry.engine_faults.clone());
        let help = "Locked jobs that did not reach the jobs topic, by cause; they come again when their lock expires";
        r.register("records_refused", help, telemetry.records_refused.clone());
        Arc::new(telemetry)
    }
}

/// What one loop reports. Remembers its state, so that a lasting one is logged once.
pub(crate) struct Report {
    telemetry: Arc<Telemetry>,
    flow: Arc<str>,
    topic: Arc<str>,
    acquiring: Option<bool>,
    condition: Condition,
}

#[derive(Debug, PartialEq, Eq)]
enum Condition {
    Well,
    EngineFails(Fault),
    /// Jobs do not reach the jobs topic, by the first one's cause.
    Refused(String),
}

impl Report {
    pub(crate) fn new(telemetry: Arc<Telemetry>, flow: Arc<str>, topic: Arc<str>) -> Report {
        Report { telemetry, flow, topic, acquiring: None, condition: Condition::Well }
    }

    /// Whether this worker may ask for jobs.
    pub(crate) fn acquiring(&mut self, acquiring: bool) {
        if self.acquiring.replace(acquiring) == Some(acquiring) {
            return;
        }
        self.telemetry.acquiring.get_or_create(&self.label()).set(i64::from(acquiring));
        let (flow, topic) = (&*self.flow, &*self.topic);
        if acquiring {
            tracing::info!(flow, topic, "acquires jobs");
        } else {
            tracing::info!(flow, topic, "acquires no jobs: another worker does, the jobs topic lags, or we stop");
        }
    }

    /// The engine answered.
    pub(crate) fn acquired(&self, jobs: usize) {
        let label = self.label();
        if jobs == 0 {
            self.telemetry.empty_polls.get_or_create(&label).inc();
        } else {
            self.telemetry.jobs_acquired.get_or_create(&label).inc_by(jobs as u64);
        }
    }

    /// Every job of an answer stands on the jobs topic.
    pub(crate) fn well(&mut self) {
        if self.enter(Condition::Well) {
            tracing::info!(flow = %self.flow, topic = %self.topic, "jobs are acquired and handed over again");
        }
    }

    /// The engine failed; it is asked again after `pause`.
    pub(crate) fn engine_fault(&mut self, error: &CallError, pause: Duration) {
        let (kind, advice) = explain(error.fault);
        self.telemetry.engine_faults.get_or_create(&self.kind(kind)).inc();
        if self.enter(Condition::EngineFails(error.fault)) {
            let (flow, topic) = (&*self.flow, &*self.topic);
            tracing::warn!(flow, topic, %error, ?pause, "no jobs are acquired: {advice}; it is tried again and again");
        }
    }

    /// Some jobs did not reach the jobs topic; the engine is asked again after `pause`.
    pub(crate) fn refused(&mut self, refusals: &[Refusal], pause: Duration) {
        for refusal in refusals {
            self.telemetry.records_refused.get_or_create(&self.kind(&kind_of(refusal))).inc();
        }
        let Some(first) = refusals.first() else { return };
        if self.enter(Condition::Refused(kind_of(first))) {
            let jobs = refusals.len();
            let (flow, topic) = (&*self.flow, &*self.topic);
            let (cause, advice) = match first {
                Refusal::Kafka(error) => (
                    error.to_string(),
                    "check the brokers, that xc.<flow>.jobs exists (`xconnector topics create`), our right to write to it, \
                     and its max.message.bytes",
                ),
                Refusal::Unwritable(error) => (error.to_string(), "look at the variables of the job in the engine"),
                Refusal::NoInstance { job_id } => (
                    format!("job {job_id} belongs to no process instance"),
                    "give the topic to models of this flow alone",
                ),
            };
            tracing::error!(
                flow,
                topic,
                jobs,
                cause,
                ?pause,
                "locked jobs did not reach the jobs topic: {advice}; the engine hands them out again when their lock expires"
            );
        }
    }

    /// Whether the condition is a new one.
    fn enter(&mut self, condition: Condition) -> bool {
        let changed = self.condition != condition;
        self.condition = condition;
        changed
    }

    fn label(&self) -> OfTopic {
        OfTopic { flow: self.flow.to_string(), topic: self.topic.to_string() }
    }

    fn kind(&self, kind: &str) -> OfKind {
        OfKind { flow: self.flow.to_string(), topic: self.topic.to_string(), kind: kind.to_owned() }
    }
}

/// A loop that is cut off, or panics, must not leave its gauge at 1.
impl Drop for Report {
    fn drop(&mut self) {
        self.telemetry.acquiring.get_or_create(&self.label()).set(0);
    }
}

fn kind_of(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Kafka(error) => error.rdkafka_error_code().map_or_else(|| "client".into(), |code| format!("{code:?}")),
        Refusal::Unwritable(_) => "unwritable".into(),
        Refusal::NoInstance { .. } => "no-instance".into(),
    }
}

/// The fault's word in the metrics, and what an operator can do.
fn explain(fault: Fault) -> (&'static str, &'static str) {
    const WAIT: &str = "the engine, or the way to it, fails";
    const SETTINGS: &str = "the engine does not understand the request; check its dialect, jobs URL and job paths";
    match fault {
        Fault::Unsent => ("unsent", "the engine cannot be reached; check that it runs, its jobs URL and the network"),
        Fault::TimedOut => ("timed-out", WAIT),
        Fault::Broken => ("broken", WAIT),
        Fault::RateLimited => ("rate-limited", "the engine limits our rate"),
        Fault::Unavailable => ("unavailable", "the engine asks us to come back later"),
        Fault::Gateway => ("gateway", WAIT),
        Fault::EngineError => ("engine-error", WAIT),
        Fault::ServerError => ("server-error", WAIT),
        Fault::Conflict => ("conflict", "the engine reports a clash with another acquirer"),
        Fault::Unauthorized => ("unauthorized", "the engine refuses our credentials (401); correct or renew them"),
        Fault::Forbidden => ("forbidden", "our credentials may not acquire jobs (403); grant them that right"),
        Fault::BadRequest => ("bad-request", SETTINGS),
        Fault::NotFound => ("not-found", SETTINGS),
        Fault::TooLarge => ("too-large", SETTINGS),
        Fault::BadAnswer => ("bad-answer", "the answer cannot be understood; check the engine's dialect and jobs URL"),
        Fault::Limit => ("limit", "the request was not sent; correct the topic's or the worker's name"),
    }
}

#[cfg(test)]
mod tests;
