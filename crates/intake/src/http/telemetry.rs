//! Every metric of the HTTP intake, and the one place where its log lines are made.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::answer::{Refusal, Taken};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfFlow {
    flow: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfCode {
    flow: String,
    code: &'static str,
}

/// The intake's metrics, all under `xconnector_http_intake_`; one set per process.
#[derive(Debug)]
pub struct HttpTelemetry {
    events: Family<OfFlow, Counter>,
    outcomes: Family<OfFlow, Counter>,
    refused: Family<OfCode, Counter>,
}

impl HttpTelemetry {
    /// Registers every metric.
    pub fn register(registry: &mut Registry) -> Arc<HttpTelemetry> {
        let telemetry =
            HttpTelemetry { events: Family::default(), outcomes: Family::default(), refused: Family::default() };
        let r = registry.sub_registry_with_prefix("xconnector").sub_registry_with_prefix("http_intake");
        r.register("events", "Events that were answered 202: Kafka has them", telemetry.events.clone());
        let help = "Posts by processes that they have an outcome, answered 202: Kafka has them";
        r.register("outcomes", help, telemetry.outcomes.clone());
        r.register(
            "refusals",
            "Requests that left nothing behind for sure, or were not acknowledged, by code",
            telemetry.refused.clone(),
        );
        Arc::new(telemetry)
    }

    pub(super) fn taken(&self, flow: &str, taken: &Taken) {
        let counter = match taken {
            Taken::Event { .. } => &self.events,
            Taken::Outcome { .. } => &self.outcomes,
        };
        counter.get_or_create(&OfFlow { flow: flow.to_owned() }).inc();
    }

    pub(super) fn refused(&self, flow: &str, refusal: &Refusal) {
        let code = refusal.code();
        self.refused.get_or_create(&OfCode { flow: flow.to_owned(), code }).inc();
        match refusal {
            Refusal::Kafka(error) => {
                tracing::warn!(flow, %error, "Kafka did not acknowledge what the HTTP intake wrote; its sender was told to repeat it");
            }
            Refusal::NoDoor
            | Refusal::TooMany
            | Refusal::TooLarge(_)
            | Refusal::TooSlow
            | Refusal::Locked(_)
            | Refusal::BadHeader(_)
            | Refusal::Unfit(_) => {
                let (status, detail) = (refusal.status().as_u16(), refusal.detail());
                tracing::info!(flow, status, code, detail, "the HTTP intake refused a request");
            }
        }
    }
}
