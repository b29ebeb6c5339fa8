//! Every metric of the audits, and the one place where a finding becomes a log line and a number.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::compare::{Compared, State};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfState {
    flow: String,
    definition: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfResult {
    flow: String,
    result: &'static str,
}

/// The metrics of the audits; one set per process. What an audit finds is a gauge: the next one finds the same again.
#[derive(Debug)]
pub(crate) struct Telemetry {
    surplus: Family<OfState, Gauge>,
    audits: Family<OfResult, Counter>,
}

impl Telemetry {
    /// Registers every metric.
    pub(crate) fn register(registry: &mut Registry) -> Arc<Telemetry> {
        let telemetry = Telemetry { surplus: Family::default(), audits: Family::default() };
        let r = registry.sub_registry_with_prefix("xconnector");
        let help = "Second instances of one event that the last audit saw, by whether they run";
        r.register("audit_surplus_instances", help, telemetry.surplus.clone());
        r.register("audits", "Audits by what they came to: none, doubles, unknown", telemetry.audits.clone());
        Arc::new(telemetry)
    }

    /// What one audit of one definition found.
    pub(crate) fn audited(&self, flow: &str, definition: &str, found: &Result<Compared, String>) {
        let result = match found {
            Ok(compared) if compared.doubles.is_empty() => "none",
            Ok(_) => "doubles",
            Err(_) => "unknown",
        };
        self.audits.get_or_create(&OfResult { flow: flow.to_owned(), result }).inc();
        match found {
            Ok(compared) => {
                let surplus = || compared.doubles.iter().flat_map(|double| &double.surplus);
                let running = surplus().filter(|copy| copy.state == State::Running).count();
                let ended = surplus().count() - running;
                self.show(flow, definition, [("running", running), ("ended", ended)]);
                if compared.doubles.is_empty() {
                    tracing::info!(
                        flow,
                        definition,
                        compared = compared.compared,
                        "audited: no event has two instances"
                    );
                    return;
                }
                // Ids of instances only: an event's id is the source's.
                let shown: Vec<&str> = surplus().take(10).map(|copy| &*copy.id).collect();
                let (events, shown) = (compared.doubles.len(), shown.join(" "));
                tracing::error!(
                    flow,
                    definition,
                    events,
                    running,
                    ended,
                    surplus = shown,
                    "events have more than one instance; `xconnector audit` tells which"
                );
            }
            Err(reason) => tracing::warn!(flow, definition, reason, "it could not be seen whether there are doubles"),
        }
    }

    /// Another worker audits from now on.
    pub(crate) fn handed_over(&self, flow: &str, definition: &str) {
        for state in ["running", "ended"] {
            self.surplus.remove(&OfState { flow: flow.to_owned(), definition: definition.to_owned(), state });
        }
    }

    fn show(&self, flow: &str, definition: &str, numbers: [(&'static str, usize); 2]) {
        for (state, number) in numbers {
            let label = OfState { flow: flow.to_owned(), definition: definition.to_owned(), state };
            self.surplus.get_or_create(&label).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}
