//! Flows of one process share the engine: what one hears holds for all, and together they call it no more than it copes with

use std::time::Duration;

use emulator::{Fault, Faults, Rule};
use promises::{Deployment, Instance, Kafka, unique};

use crate::support::{Bench, Books, Ticket, await_replies, publish};

const PARTITIONS: u32 = 2;
/// Long enough for tickets to be published, read and held back meanwhile, on a busy machine
const RETRY_AFTER: u64 = 15;
/// Calls at once that the engine is asked to bear
/// The tickets flow asks a CRM, too.
const ENGINE: &str = "endpoint=\"engine\"";
const MAX: u64 = 16;

/// Two flows in one process
struct Pair {
    kafka: &'static Kafka,
    flows: [Deployment; 2],
    published: [Vec<Ticket>; 2],
    instance: Instance,
    faults: Faults,
}

impl Pair {
    async fn on(bench: &Bench) -> Self {
        let kafka = Kafka::shared().await.unwrap();
        let first = bench.tickets(kafka);
        let second = first.twin().unwrap();
        first.set_up(PARTITIONS).await.unwrap();
        let instance = first.instance().await.unwrap();
        let mut pair =
            Self { kafka, flows: [first, second], published: [vec![], vec![]], instance, faults: bench.faults() };
        // Both have their partitions, and the engine's usual speed is known.
        pair.publish(0, 60).await;
        pair.publish(1, 60).await;
        pair.all_accepted().await;
        pair
    }

    async fn publish(&mut self, flow: usize, count: usize) {
        let run = unique("T");
        let tickets: Vec<Ticket> = (0..count).map(|number| Ticket::created(&format!("{run}-{number}"))).collect();
        publish(self.kafka, &self.flows[flow].source(), &tickets).await;
        self.published[flow].extend(tickets);
    }

    /// Every ticket so far is accepted, once.
    async fn all_accepted(&self) {
        for (flow, published) in self.flows.iter().zip(&self.published) {
            let replies = await_replies(self.kafka, flow, published.len(), &[&self.instance]).await;
            Books::of(&replies).assert_each_accepted_once(published.iter().map(|ticket| ticket.key.as_str()));
        }
    }

    async fn measured(&mut self, metric: &str, labels: &[&str], wanted: impl Fn(f64) -> bool) -> f64 {
        let (metrics, connector) = (self.instance.metrics, &mut self.instance.connector);
        let measured = connector.measured(metrics, metric, labels, wanted).await;
        measured.unwrap_or_else(|error| panic!("{error:#}\n{}", connector.log()))
    }
}

#[tokio::test]
async fn a_wait_that_one_flow_is_asked_for_is_kept_by_all() {
    let bench = Bench::opentext().await;
    let mut pair = Pair::on(&bench).await;
    let before = pair.faults.arrivals("start").len();
    let busy = Fault::Status {
        status: 429,
        retry_after_s: Some(RETRY_AFTER),
        retry_after_as_date: false,
        after_effect: false,
    };
    pair.faults.add(Rule::on("start", busy).times(1)).unwrap();

    pair.publish(0, 1).await;
    let why = "why=\"asked-to-wait\"";
    pair.measured("xconnector_endpoint_gate_closed", &["endpoint=\"engine\"", why], |closed| closed == 1.0).await;
    pair.publish(1, 40).await;
    let held = format!("flow=\"{}\"", pair.flows[1].flow());
    pair.measured("xconnector_held_records", &[&held], |held| held >= 40.0).await;
    let meanwhile = pair.faults.arrivals("start").len() - before;
    assert_eq!(meanwhile, 1, "starts at the engine while it asks for time");
    pair.all_accepted().await;

    let starts = pair.faults.arrivals("start").split_off(before);
    assert_eq!(starts.len(), 1 + 1 + 40, "one was refused");
    for later in &starts[1..] {
        let waited = later.duration_since(starts[0]);
        assert!(waited >= Duration::from_secs(RETRY_AFTER), "a start came after {waited:?}");
    }
    let log = pair.instance.connector.log();
    assert_eq!(log.matches(why).count(), 1, "told once, not once per flow:\n{log}");
}

#[tokio::test]
async fn a_slow_engine_gets_fewer_calls_at_once_and_a_quick_one_more_again() {
    let bench = Bench::opentext().await.with(&format!("max_connections = {MAX}\nmin_in_flight = 1"));
    let mut pair = Pair::on(&bench).await;
    pair.measured("xconnector_endpoint_limit", &[ENGINE], |limit| limit == MAX as f64).await;

    // One call at a time is what it can do.
    pair.faults.add(Rule::on("start", Fault::Queue { ms: 100 })).unwrap();
    pair.publish(0, 150).await;
    pair.publish(1, 150).await;
    pair.measured("xconnector_endpoint_limit_cuts_total", &[ENGINE, "why=\"queueing\""], |cuts| cuts >= 1.0).await;
    pair.measured("xconnector_endpoint_limit", &[ENGINE], |limit| limit <= (MAX / 2) as f64).await;
    pair.faults.count_anew();
    let (instance, faults) = (&mut pair.instance, &pair.faults);
    let fifty_more = |_: f64| faults.counted("start").calls >= 50;
    instance
        .connector
        .measured(instance.metrics, "xconnector_endpoint_in_flight", &[ENGINE], fifty_more)
        .await
        .unwrap();
    let most = pair.faults.counted("start").most_open;
    assert!(most < MAX * 3 / 4, "{most} starts wait for each other at the engine");

    pair.faults.clear();
    pair.publish(0, 600).await;
    pair.publish(1, 600).await;
    pair.measured("xconnector_endpoint_limit", &[ENGINE], |limit| limit == MAX as f64).await;
    pair.all_accepted().await;
}
