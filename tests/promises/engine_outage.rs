//! Whatever the engine does to us, no record is blamed for it: the flow waits, says why, and goes on without loss or doubles

use std::time::{Duration, Instant};

use emulator::{Availability, Fault, Faults, Mount, Rule};
use promises::{Deployment, Instance, Kafka, unique};

use crate::support::{
    Bench, Books, Ticket, assert_nothing_left, assert_one_instance_each, await_replies, complete_open_tasks, publish,
};

const PARTITIONS: u32 = 4;
/// Tickets that are published into each fault
const TICKETS: usize = 24;
const UPDATES: usize = 2;
const OUTAGE: Duration = Duration::from_secs(60);
/// One fault after the other, on one deployment
struct Outage {
    kafka: &'static Kafka,
    deployment: Deployment,
    instance: Instance,
    faults: Faults,
    region: String,
    published: Vec<Ticket>,
}

#[tokio::test]
async fn an_engine_that_is_down_slow_busy_or_refuses_us_costs_no_record() {
    // shorter than the engine is slow, so that answers are lost; longer than what a lost request takes to have its effect
    let bench = Bench::opentext().await.with("request_timeout = \"2s\"\nsettle = \"4s\"");
    let mut outage = Outage::begin(&bench).await;

    outage.engine_is_down().await;
    outage.engine_is_slow().await;
    outage.engine_asks_for_time().await;
    outage.token_expires().await;
    outage.engine_refuses_us().await;

    outage.reckon(&bench).await;
}

impl Outage {
    async fn begin(bench: &Bench) -> Self {
        let kafka = Kafka::shared().await.unwrap();
        let deployment = bench.tickets(kafka);
        deployment.set_up(PARTITIONS).await.unwrap();
        let instance = deployment.instance().await.unwrap();
        let region = deployment.flow();
        let mut outage = Self { kafka, deployment, instance, faults: bench.faults(), region, published: Vec::new() };
        outage.publish_more().await;
        outage.all_accepted().await;
        outage
    }

    /// Connections are refused, for a minute from when the flow has noticed.
    async fn engine_is_down(&mut self) {
        self.faults.set_availability(Availability::Refusing).await;
        self.publish_more().await;
        self.measured("xconnector_pauses_total", "failing", |pauses| pauses >= 1.0).await;
        self.measured("xconnector_retries_total", "unsent", |retries| retries >= 1.0).await;
        self.instance.connector.logged("why=\"failing\"").await.unwrap();
        // the gauge follows within a second
        self.measured("xconnector_gate_open", "", |open| open == 0.0).await;
        let noticed = Instant::now();
        let stays_closed = |open: f64| {
            assert!(open == 0.0, "the gate opened although the engine is down");
            noticed.elapsed() >= OUTAGE
        };
        self.measured("xconnector_gate_open", "", stays_closed).await;
        self.faults.set_availability(Availability::Up).await;
        self.measured("xconnector_gate_open", "", |open| open == 1.0).await;
        self.instance.connector.logged("well again; what waited for it goes on").await.unwrap();
        self.all_accepted().await;
    }

    /// Answers come after we gave up waiting, and some never: what was asked for happens all the same.
    async fn engine_is_slow(&mut self) {
        let slow = Fault::Delay { ms: 3_000, jitter_ms: 500 };
        self.faults.add(Rule::on("start", slow.clone()).percent(50.0)).unwrap();
        self.faults.add(Rule::on("deliver", slow).percent(50.0)).unwrap();
        self.faults.add(Rule::on("start", Fault::DropAnswer).percent(20.0)).unwrap();
        self.faults.add(Rule::on("deliver", Fault::DropAnswer).percent(20.0)).unwrap();
        self.publish_more().await;
        self.measured("xconnector_retries_total", "timed-out", |retries| retries >= 3.0).await;
        self.measured("xconnector_retries_total", "broken", |retries| retries >= 1.0).await;
        self.instance.connector.logged("fault=\"timed-out\"").await.unwrap();
        self.instance.connector.logged("look_up_first=true").await.unwrap();
        self.faults.clear();
        self.all_accepted().await;
    }

    /// 429 with Retry-After, in seconds and as a date
    async fn engine_asks_for_time(&mut self) {
        for as_date in [false, true] {
            let busy = Fault::Status {
                status: 429,
                retry_after_s: Some(2),
                retry_after_as_date: as_date,
                after_effect: false,
            };
            self.faults.add(Rule::at(Mount::Runtime, busy)).unwrap();
            let before = self.measured("xconnector_pauses_total", "", |_| true).await;
            self.publish_more().await;
            self.measured("xconnector_pauses_total", "", |pauses| pauses > before).await;
            self.measured("xconnector_pauses_total", "asked-to-wait", |pauses| pauses >= 1.0).await;
            self.measured("xconnector_retries_total", "rate-limited", |retries| retries >= 1.0).await;
            self.instance.connector.logged("why=\"asked-to-wait\"").await.unwrap();
            self.instance.connector.logged("fault=\"rate-limited\"").await.unwrap();
            self.faults.clear();
            self.all_accepted().await;
        }
    }

    /// A token that the engine no longer knows is renewed at once, without a pause; one that it never takes is a pause.
    async fn token_expires(&mut self) {
        let pauses = self.measured("xconnector_pauses_total", "", |_| true).await;
        self.faults.revoke_tokens();
        self.publish_more().await;
        self.all_accepted().await;
        assert_eq!(self.measured("xconnector_pauses_total", "", |_| true).await, pauses, "a new token is enough");

        self.faults.add(Rule::at(Mount::Runtime, Fault::RejectToken)).unwrap();
        self.publish_more().await;
        self.measured("xconnector_pauses_total", "refuses-us", |pauses| pauses >= 1.0).await;
        self.instance.connector.logged("why=\"refuses-us\"").await.unwrap();
        self.instance.connector.logged("failed (unauthorized").await.unwrap();
        self.faults.clear();
        self.all_accepted().await;
    }

    /// 403 until somebody gives us the permission back
    async fn engine_refuses_us(&mut self) {
        self.faults.add(Rule::everywhere(Fault::Forbid)).unwrap();
        self.publish_more().await;
        self.measured("xconnector_pauses_total", "refuses-us", |pauses| pauses >= 2.0).await;
        self.instance.connector.logged("failed (forbidden").await.unwrap();
        self.instance.connector.logged("not well yet; whatever calls it stays paused").await.unwrap();
        self.faults.clear();
        self.all_accepted().await;
    }

    /// New tickets and their updates, back to back
    async fn publish_more(&mut self) {
        let run = unique("T");
        let events = (0..TICKETS).flat_map(|number| {
            let key = format!("{run}-{number}");
            let updates = (1..=UPDATES).map(|update| Ticket::updated(&key, &format!("update {update}")));
            std::iter::once(Ticket::created(&key).of_region(&self.region)).chain(updates).collect::<Vec<_>>()
        });
        let events: Vec<Ticket> = events.collect();
        publish(self.kafka, &self.deployment.source(), &events).await;
        self.published.extend(events);
    }

    /// Every event so far is accepted, once.
    async fn all_accepted(&self) {
        let replies = await_replies(self.kafka, &self.deployment, self.published.len(), &[&self.instance]).await;
        let books = Books::of(&replies);
        books.assert_each_accepted_once(self.published.iter().map(|ticket| ticket.key.as_str()));
    }

    async fn measured(&mut self, metric: &str, kind: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        let label = format!("kind=\"{kind}\"");
        let labels: &[&str] = if kind.is_empty() { &[] } else { &[&label] };
        let (metrics, connector) = (self.instance.metrics, &mut self.instance.connector);
        let measured = connector.measured(metrics, metric, labels, wanted).await;
        measured.unwrap_or_else(|error| panic!("{error:#}\n{}", connector.log()))
    }

    /// One instance for each ticket, its updates in order, one outcome after its decision, nothing dead-lettered.
    async fn reckon(self, bench: &Bench) {
        let keys: Vec<String> = self.published.iter().step_by(1 + UPDATES).map(|ticket| ticket.key.clone()).collect();
        assert_one_instance_each(bench, &self.deployment, &keys).await;
        for key in &keys {
            let business_key = format!("ticket/{key}");
            let instance = bench.engine.historic(&self.deployment.definition(), &business_key).await.unwrap().remove(0);
            let last = instance.variable("comment").and_then(|comment| comment.as_str());
            assert_eq!(last, Some(format!("update {UPDATES}").as_str()), "the last update of {key}");
        }
        let decided = complete_open_tasks(&bench.engine, &format!("support-{}", self.region), keys.len()).await;
        let count = self.published.len() + keys.len();
        let replies = await_replies(self.kafka, &self.deployment, count, &[&self.instance]).await;
        Books::of(&replies).assert_outcomes(keys.iter().map(String::as_str), &decided);
        assert_nothing_left(self.kafka, &self.deployment).await;
    }
}
