//! What an endpoint shows: its limit, its gate, and the log line of each change, once for all flows that share it.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use flow_core::{Closed, EndpointView, Pressure};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfEndpoint {
    endpoint: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Why {
    endpoint: String,
    why: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Endpoints {
    limit: Family<OfEndpoint, Gauge>,
    in_flight: Family<OfEndpoint, Gauge>,
    floor: Family<OfEndpoint, Gauge<f64, AtomicU64>>,
    closed: Family<Why, Gauge>,
    cuts: Family<Why, Counter>,
}

impl Endpoints {
    pub(super) fn register(registry: &mut Registry) -> Endpoints {
        let endpoints = Endpoints::default();
        let r = registry.sub_registry_with_prefix("endpoint");
        r.register("limit", "Calls that may be in flight now, over all flows", endpoints.limit.clone());
        r.register("in_flight", "Calls under way, over all flows", endpoints.in_flight.clone());
        let help = "What a round of calls takes at its quickest; 0 as long as nobody knows";
        r.register_with_unit("rtt_floor", help, Unit::Seconds, endpoints.floor.clone());
        r.register("gate_closed", "1 while no call may leave, by why", endpoints.closed.clone());
        r.register("limit_cuts", "Cuts of the limit, by why", endpoints.cuts.clone());
        endpoints
    }

    pub(super) fn show(&self, name: &str, view: EndpointView) {
        let label = OfEndpoint { endpoint: name.to_owned() };
        self.limit.get_or_create(&label).set(view.limit as i64);
        self.in_flight.get_or_create(&label).set(view.in_flight as i64);
        self.floor.get_or_create(&label).set(view.floor.unwrap_or_default().as_secs_f64());
        for why in [Closed::Failing, Closed::AskedToWait, Closed::Refused] {
            let closed = view.closed == Some(why);
            self.closed.get_or_create(&of(name, closed_word(why))).set(i64::from(closed));
        }
    }

    /// `flow` is the one that met it; all that share the endpoint pause.
    pub(super) fn gate_closed(&self, endpoint: &str, flow: &str, why: Closed, detail: &str, delay: Duration) {
        let why = closed_word(why);
        tracing::warn!(
            endpoint,
            flow,
            why,
            detail,
            ?delay,
            "every flow pauses what calls it: no call leaves until it is well; nothing is lost"
        );
    }

    pub(super) fn probe_failed(&self, endpoint: &str, detail: &str, delay: Duration) {
        tracing::warn!(endpoint, detail, ?delay, "not well yet; whatever calls it stays paused");
    }

    pub(super) fn gate_opened(&self, endpoint: &str, after: Duration) {
        tracing::info!(endpoint, ?after, "well again; what waited for it goes on");
    }

    pub(super) fn limit_cut(&self, endpoint: &str, why: Pressure, limit: usize) {
        let why = pressure_word(why);
        self.cuts.get_or_create(&of(endpoint, why)).inc();
        tracing::info!(endpoint, why, limit, "fewer calls at once from now on, until it copes");
    }
}

fn of(endpoint: &str, why: &'static str) -> Why {
    Why { endpoint: endpoint.to_owned(), why }
}

pub(super) fn closed_word(why: Closed) -> &'static str {
    match why {
        Closed::Failing => "failing",
        Closed::AskedToWait => "asked-to-wait",
        Closed::Refused => "refuses-us",
    }
}

fn pressure_word(why: Pressure) -> &'static str {
    match why {
        Pressure::RateLimited => "rate-limited",
        Pressure::Failing => "failing",
        Pressure::Queueing => "queueing",
    }
}
