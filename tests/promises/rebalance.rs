//! Instances come and go under load: no ticket is lost, none has two processes or two answers

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use emulator::{Fault, Rule};
use promises::{Deployment, Kafka, Signal, unique};

use crate::support::{
    Bench, Books, Encoding, Ticket, assert_nothing_left, assert_one_instance_each, await_replies, complete_open_tasks,
    publish,
};

const PARTITIONS: u32 = 8;
/// `[shutdown] drain_timeout` by default
const DRAIN_BOUND: Duration = Duration::from_secs(20);
/// What a busy machine may add to it
const MARGIN: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_ticket_survives_instances_that_come_and_go_on_flowable() {
    instances_come_and_go(&Bench::flowable().await, 400).await;
}

#[tokio::test]
async fn a_ticket_survives_instances_that_come_and_go_in_the_opentext_dialect() {
    let bench = Bench::opentext().await;
    // so that calls are under way when partitions move
    bench.faults().add(Rule::on("start", Fault::Delay { ms: 100, jitter_ms: 400 })).unwrap();
    instances_come_and_go(&bench, 2_000).await;
}

async fn instances_come_and_go(bench: &Bench, count: usize) {
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    deployment.set_up(PARTITIONS).await.unwrap();
    let region = deployment.flow();
    let (team, late_team) = (format!("support-{region}"), format!("support-{region}-late"));
    let source = deployment.source();
    let waves = [tickets(count, &region), tickets(count, &region), tickets(count, &format!("{region}-late"))];
    let keys: Vec<&str> = waves.iter().flatten().map(|ticket| ticket.key.as_str()).collect();
    let accepted = ["kind=\"accepted\""];

    let mut first = deployment.instance().await.unwrap();
    publish(kafka, &source, &waves[0]).await;
    let metrics = first.metrics;
    first.connector.measured(metrics, "xconnector_resolutions_total", &accepted, |done| done > 0.0).await.unwrap();
    let mut second = deployment.instance().await.unwrap();
    publish(kafka, &source, &waves[1]).await;
    let metrics = second.metrics;
    second.connector.measured(metrics, "xconnector_resolutions_total", &accepted, |done| done > 0.0).await.unwrap();
    let replies = await_replies(kafka, &deployment, 2 * count, &[&first, &second]).await;
    Books::of(&replies).assert_each_accepted_once(waves[..2].iter().flatten().map(|ticket| ticket.key.as_str()));

    // people decide while the first instance leaves with starts and jobs under way
    let (mut decided, ()) = tokio::join!(complete_open_tasks(&bench.engine, &team, 2 * count), async {
        let metrics = first.metrics;
        let before =
            first.connector.measured(metrics, "xconnector_resolutions_total", &accepted, |_| true).await.unwrap();
        publish(kafka, &source, &waves[2]).await;
        let works = |done| done > before;
        first.connector.measured(metrics, "xconnector_resolutions_total", &accepted, works).await.unwrap();
        let told = Instant::now();
        first.connector.signal(Signal::Terminate);
        let status = first.connector.wait(DRAIN_BOUND + MARGIN).await.unwrap();
        println!("the first instance left within {:.1} s", told.elapsed().as_secs_f64());
        assert_eq!(status.code(), Some(0), "{}", first.connector.log());
    });
    let replies = await_replies(kafka, &deployment, 5 * count, &[&first, &second]).await;
    Books::of(&replies).assert_each_accepted_once(keys.iter().copied());
    decided.extend(complete_open_tasks(&bench.engine, &late_team, count).await);
    let books = Books::of(&await_replies(kafka, &deployment, 6 * count, &[&first, &second]).await);
    books.assert_each_accepted_once(keys.iter().copied());
    books.assert_outcomes(keys.iter().copied(), &decided);
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    assert_one_instance_each(bench, &deployment, &keys).await;
    assert_nothing_left(kafka, &deployment).await;

    let mut moved = assigned_together(&deployment, &first.connector.log());
    moved += assigned_together(&deployment, &second.connector.log());
    assert!(moved >= 3, "partitions moved to the first, from it to the second, and the rest at its end: {moved}");
}

fn tickets(count: usize, region: &str) -> Vec<Ticket> {
    let run = unique("T");
    let encoding = |number: usize| Encoding::ALL[number % Encoding::ALL.len()];
    let ticket = |number| Ticket::created(&format!("{run}-{number}")).of_region(region).encoded_as(encoding(number));
    (0..count).map(ticket).collect()
}

/// What the group gave an instance, after each change: partition p of the source with p of the jobs, or nothing of p. Says how
/// many changes there were.
fn assigned_together(deployment: &Deployment, log: &str) -> usize {
    let mut held: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut changes = 0;
    for line in log.lines() {
        let given = line.contains("partitions assigned");
        if !given && !line.contains("partitions revoked") {
            continue;
        }
        let (_, partitions) = line.split_once("partitions=\"").unwrap();
        let partitions = partitions.split('"').next().unwrap();
        for (topic, partition) in partitions.split_whitespace().filter_map(|name| name.rsplit_once('/')) {
            let held = held.entry(topic.to_owned()).or_default();
            let changed = if given { held.insert(partition.to_owned()) } else { held.remove(partition) };
            assert!(changed, "{topic}/{partition} twice: {line}");
        }
        changes += usize::from(!partitions.is_empty());
        let of = |topic: String| held.get(&topic).cloned().unwrap_or_default();
        assert_eq!(of(deployment.source()), of(deployment.jobs()), "{line}");
    }
    changes
}
