//! Every metric of the engine, and the one place where a notice becomes a log line and a count.

mod endpoint;
mod notices;

use std::sync::Arc;
use std::time::Duration;

use flow_core::{EndpointId, EndpointView, Progressed};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use self::endpoint::Endpoints;
use crate::status::Status;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfFlow {
    flow: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPartition {
    flow: String,
    topic: String,
    partition: i32,
}

/// A flow and one bounded word: a kind, a reason, a call.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfKind {
    flow: String,
    kind: String,
}

type Histograms<S> = Family<S, Histogram, fn() -> Histogram>;

/// The engine's metrics; one set per process, labelled by flow.
#[derive(Debug)]
pub struct Telemetry {
    lag_records: Family<OfPartition, Gauge>,
    lag_seconds: Family<OfPartition, Gauge<f64, std::sync::atomic::AtomicU64>>,
    held: Family<OfPartition, Gauge>,
    paused: Family<OfPartition, Gauge>,
    in_flight: Family<OfFlow, Gauge>,
    gate_open: Family<OfFlow, Gauge>,
    endpoints: Endpoints,
    resolutions: Family<OfKind, Counter>,
    dead_letters: Family<OfKind, Counter>,
    retries: Family<OfKind, Counter>,
    holds: Family<OfFlow, Counter>,
    answers_kept: Family<OfFlow, Counter>,
    pauses: Family<OfKind, Counter>,
    calls: Histograms<OfKind>,
    commits: Histograms<OfKind>,
    commit_records: Family<OfFlow, Counter>,
    consumer_errors: Family<OfKind, Counter>,
    doubles: Family<OfFlow, Counter>,
    jobs_left: Family<OfFlow, Counter>,
    fenced: Family<OfFlow, Counter>,
    uncertain: Family<OfFlow, Counter>,
    lost: Family<OfPartition, Counter>,
    losses: Family<OfPartition, Gauge>,
    unplaced: Family<OfKind, Counter>,
    halted: Family<OfFlow, Gauge>,
    readers_renewed: Family<OfFlow, Counter>,
    quarantined: Family<OfPartition, Gauge>,
    storm: Family<OfFlow, Gauge>,
    flow_paused: Family<OfFlow, Gauge>,
    keys_paused: Family<OfFlow, Gauge>,
    storms: Family<OfKind, Counter>,
}

fn durations() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

impl Telemetry {
    /// Registers every metric.
    pub fn register(registry: &mut Registry) -> Arc<Telemetry> {
        let r = registry.sub_registry_with_prefix("xconnector");
        let telemetry = Telemetry {
            endpoints: Endpoints::register(r),
            lag_records: Family::default(),
            lag_seconds: Family::default(),
            held: Family::default(),
            paused: Family::default(),
            in_flight: Family::default(),
            gate_open: Family::default(),
            resolutions: Family::default(),
            dead_letters: Family::default(),
            retries: Family::default(),
            holds: Family::default(),
            answers_kept: Family::default(),
            pauses: Family::default(),
            calls: Family::new_with_constructor(durations),
            commits: Family::new_with_constructor(durations),
            commit_records: Family::default(),
            consumer_errors: Family::default(),
            doubles: Family::default(),
            jobs_left: Family::default(),
            fenced: Family::default(),
            uncertain: Family::default(),
            lost: Family::default(),
            losses: Family::default(),
            unplaced: Family::default(),
            halted: Family::default(),
            readers_renewed: Family::default(),
            quarantined: Family::default(),
            storm: Family::default(),
            flow_paused: Family::default(),
            keys_paused: Family::default(),
            storms: Family::default(),
        };
        r.register("lag_records", "Records between the frontier and the log's end", telemetry.lag_records.clone());
        let help = "Age of the oldest record that is read and not finished; 0 when nothing waits";
        r.register_with_unit("oldest_unfinished", help, Unit::Seconds, telemetry.lag_seconds.clone());
        r.register("held_records", "Records in memory", telemetry.held.clone());
        r.register("partition_paused", "1 while a partition is at one of its bounds", telemetry.paused.clone());
        r.register("calls_in_flight", "Calls to the workflow engine that are under way", telemetry.in_flight.clone());
        r.register("gate_open", "0 while no call may leave: see pauses for why", telemetry.gate_open.clone());
        r.register("resolutions", "Records by how they ended, committed", telemetry.resolutions.clone());
        r.register("dead_letters", "Dead letters by reason", telemetry.dead_letters.clone());
        r.register("retries", "Failed calls that are made again, by fault", telemetry.retries.clone());
        r.register("holds", "Looks for what a record needs and is not there yet: an instance that waits for its message, the end of one that was posted", telemetry.holds.clone());
        let help = "Answers of systems that wait until the engine hands their job out again: its lock had ended";
        r.register("answers_kept", help, telemetry.answers_kept.clone());
        r.register("pauses", "Pauses of a partition or of the flow, by reason", telemetry.pauses.clone());
        r.register_with_unit("call_duration", "Calls by kind", Unit::Seconds, telemetry.calls.clone());
        r.register_with_unit("commit_duration", "Transactions by result", Unit::Seconds, telemetry.commits.clone());
        r.register("commit_records", "Records in committed transactions", telemetry.commit_records.clone());
        r.register(
            "consumer_errors",
            "Errors that the Kafka consumer reports, by code",
            telemetry.consumer_errors.clone(),
        );
        r.register("doubles", "Second instances of one event that were found", telemetry.doubles.clone());
        r.register("jobs_left", "Jobs left to their lock's end after the commit", telemetry.jobs_left.clone());
        let help = "Producers of earlier owners whose open transaction was ended at a take-over";
        r.register("fenced_producers", help, telemetry.fenced.clone());
        let help = "Offsets that an earlier owner may have begun, at take-overs: they are looked up first";
        r.register("uncertain_offsets", help, telemetry.uncertain.clone());
        let help = "Offsets that retention removed unfinished, once a committed transaction has passed them";
        r.register("records_lost", help, telemetry.lost.clone());
        let help =
            "Offsets that retention removed unfinished, of a partition that waits for an operator to accept that";
        r.register("loss_to_accept_offsets", help, telemetry.losses.clone());
        let help = "Partitions that went on without a usable committed offset: missing, or beyond the log's end";
        r.register("offsets_unusable", help, telemetry.unplaced.clone());
        let help = "1 while the flow halts because its topics differ in partition count: see `xconnector topics grow`";
        r.register("flow_halted", help, telemetry.halted.clone());
        let help = "Readers of ledger or state that fell silent and were made anew";
        r.register("restore_readers_renewed", help, telemetry.readers_renewed.clone());
        let help = "Keys whose later records follow one that was given up into the dead letters";
        r.register("quarantined_keys", help, telemetry.quarantined.clone());
        let help = "1 while an operator holds the flow back: see `xconnector control`";
        r.register("flow_paused", help, telemetry.flow_paused.clone());
        r.register("keys_paused", "Keys that operators hold back", telemetry.keys_paused.clone());
        let help = "1 while the storm guard holds the flow back: bad records piled up";
        r.register("storm_guard_tripped", help, telemetry.storm.clone());
        r.register(
            "storm_guard_trips",
            "Times that the storm guard stopped the flow, by reason",
            telemetry.storms.clone(),
        );
        Arc::new(telemetry)
    }

    pub(crate) fn called(&self, flow: &str, call: &'static str, took: Duration) {
        self.calls.get_or_create(&kind(flow, call)).observe(took.as_secs_f64());
    }

    pub(crate) fn committed(&self, flow: &str, took: Duration, records: usize, committed: bool) {
        let result = if committed { "committed" } else { "failed" };
        self.commits.get_or_create(&kind(flow, result)).observe(took.as_secs_f64());
        if committed {
            self.commit_records.get_or_create(&of_flow(flow)).inc_by(records as u64);
        }
    }

    pub(crate) fn consumer_error(&self, flow: &str, code: &str) {
        self.consumer_errors.get_or_create(&kind(flow, code)).inc();
    }

    pub(crate) fn fenced(&self, flow: &str, writer: &str) {
        self.fenced.get_or_create(&of_flow(flow)).inc();
        tracing::warn!(flow, writer, "an earlier owner left a transaction open; ended it");
    }

    pub(crate) fn resolved(&self, flow: &str, how: &'static str, count: u64) {
        if count > 0 {
            self.resolutions.get_or_create(&kind(flow, how)).inc_by(count);
        }
    }

    /// A committed transaction passed what retention had removed.
    pub(crate) fn lost(&self, flow: &str, topics: &[Arc<str>], line: &Progressed) {
        let name = topics.get(usize::from(line.topic.0)).map_or("?", |name| name);
        let (label, offsets) = (of_partition(flow, name, line.partition.get()), line.news.lost);
        self.lost.get_or_create(&label).inc_by(offsets);
        self.losses.remove(&label);
        tracing::warn!(flow, topic = name, partition = label.partition, offsets, "went on behind what is lost");
    }

    /// Whether the flow halts, with the partition counts.
    pub(crate) fn misfit(&self, flow: &str, counts: Option<&str>) {
        self.halted.get_or_create(&of_flow(flow)).set(i64::from(counts.is_some()));
        match counts {
            Some(counts) => {
                self.pauses.get_or_create(&kind(flow, "partition-counts-differ")).inc();
                tracing::error!(
                    flow,
                    counts,
                    "the flow halts: its topics differ in partition count; where a source topic grew, `xconnector topics grow` brings ours \
                     to its count, and the flow goes on by itself"
                );
            }
            None => tracing::info!(flow, "the topics have the same partition count again; the flow goes on"),
        }
    }

    pub(crate) fn reader_renewed(&self, flow: &str, at: &str, end: i64) {
        self.readers_renewed.get_or_create(&of_flow(flow)).inc();
        tracing::warn!(flow, at, end, "a reader of ledger or state fell silent before its end; made anew");
    }

    /// Shows the snapshot.
    pub(crate) fn show(&self, flow: &str, topics: &[Arc<str>], status: &Status, now_ms: i64) {
        self.in_flight.get_or_create(&of_flow(flow)).set(status.in_flight as i64);
        self.gate_open.get_or_create(&of_flow(flow)).set(i64::from(status.is_open(EndpointId::ENGINE)));
        self.storm.get_or_create(&of_flow(flow)).set(i64::from(status.storm));
        self.flow_paused.get_or_create(&of_flow(flow)).set(i64::from(status.paused));
        self.keys_paused.get_or_create(&of_flow(flow)).set(i64::try_from(status.paused_keys).unwrap_or(i64::MAX));
        for partition in &status.partitions {
            for (topic, lag) in topics.iter().zip(&partition.lag) {
                let label = of_partition(flow, topic, partition.view.partition.get());
                self.lag_records.get_or_create(&label).set(i64::try_from(*lag).unwrap_or(i64::MAX));
            }
            let label = of_partition(flow, "*", partition.view.partition.get());
            let oldest = partition.view.oldest_timestamp_ms;
            let age = oldest.map_or(0.0, |oldest| (now_ms - oldest).max(0) as f64 / 1000.0);
            self.lag_seconds.get_or_create(&label).set(age);
            self.held.get_or_create(&label).set(partition.view.held as i64);
            self.paused.get_or_create(&label).set(i64::from(partition.view.paused));
            self.quarantined.get_or_create(&label).set(partition.view.quarantined as i64);
        }
    }

    /// Shows an endpoint; every flow that shares it says the same.
    pub(crate) fn show_endpoint(&self, name: &str, view: EndpointView) {
        self.endpoints.show(name, view);
    }

    /// Forgets partitions that this worker no longer holds.
    pub(crate) fn gone(&self, flow: &str, topics: &[Arc<str>], partition: i32) {
        for topic in topics.iter().map(|topic| &**topic).chain(["*"]) {
            let label = of_partition(flow, topic, partition);
            self.lag_records.remove(&label);
            self.lag_seconds.remove(&label);
            self.held.remove(&label);
            self.paused.remove(&label);
            self.losses.remove(&label);
            self.quarantined.remove(&label);
        }
    }
}

fn of_flow(flow: &str) -> OfFlow {
    OfFlow { flow: flow.to_owned() }
}

fn kind(flow: &str, kind: &str) -> OfKind {
    OfKind { flow: flow.to_owned(), kind: kind.to_owned() }
}

fn of_partition(flow: &str, topic: &str, partition: i32) -> OfPartition {
    OfPartition { flow: flow.to_owned(), topic: topic.to_owned(), partition }
}
