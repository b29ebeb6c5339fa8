//! A source topic gets more partitions: the flow halts, says so, goes on when ours have followed, and starts nothing twice

use promises::{DEADLINE, Kafka, Sent, Signal, grow_topic, produce, unique, until, xconnector};

use crate::support::{Bench, Ticket, assert_nothing_left, assert_one_instance_each, await_replies};

const BEFORE: usize = 2;
const AFTER: usize = 6;
const TICKETS: usize = 24;

/// Publishes each ticket under an id of its own, which a repeat has too.
async fn publish(kafka: &Kafka, topic: &str, tickets: &[Ticket]) {
    let sent = tickets.iter().map(|ticket| Sent {
        partition: None,
        key: Some(ticket.key.clone().into_bytes()),
        value: Some(ticket.bytes()),
        headers: [
            ("content-type", "application/json"),
            ("ce_specversion", "1.0"),
            ("ce_type", "ticket"),
            ("ce_source", "/crm"),
            ("ce_id", &ticket.key),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .into(),
    });
    produce(kafka, topic, sent).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_grows_halts_the_flow_until_ours_have_followed_and_nothing_is_started_twice() {
    let bench = Bench::opentext().await.with("request_timeout = \"2s\"\nsettle = \"3s\"");
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    deployment.set_up(u32::try_from(BEFORE).unwrap()).await.unwrap();
    let source = deployment.source();
    let run = unique("G");
    let tickets: Vec<Ticket> = (0..TICKETS).map(|number| Ticket::created(&format!("{run}-{number}"))).collect();
    let (first, second) = tickets.split_at(TICKETS / 2);
    let mut instance = deployment.instance().await.unwrap();
    publish(kafka, &source, first).await;
    await_replies(kafka, &deployment, first.len(), &[&instance]).await;

    grow_topic(kafka, &source, AFTER).await.unwrap();
    instance.connector.logged("the flow halts").await.unwrap();
    let metrics = instance.metrics;
    instance.connector.measured(metrics, "xconnector_flow_halted", &[], |halted| halted == 1.0).await.unwrap();
    let ready = format!("http://{metrics}/readyz");
    until("the page to say so", DEADLINE, async || {
        let page = reqwest::get(&ready).await?;
        let status = page.status();
        let page = page.text().await?;
        Ok((status == 503 && page.contains("halted") && page.contains(&format!("{source} has {AFTER}"))).then_some(()))
    })
    .await
    .unwrap();

    // repeats that land in other partitions, whose ledgers do not know them, and new tickets
    publish(kafka, &source, first).await;
    publish(kafka, &source, second).await;
    // a process that starts now halts too, instead of giving up
    instance.connector.signal(Signal::Kill);
    instance.connector.wait(DEADLINE).await.unwrap();
    let mut instance = deployment.instance().await.unwrap();
    instance.connector.logged("the flow halts").await.unwrap();
    let config = deployment.config_file().unwrap();
    let said =
        xconnector(&["topics", "grow", "--config", config.to_str().unwrap(), "--flow", &deployment.flow()]).await;
    let said = said.unwrap();
    for topic in ["jobs", "ledger", "state", "dlq"] {
        assert!(said.contains(&format!("xc.{}.{topic} has {AFTER} partitions now", deployment.flow())), "{said}");
    }
    instance.connector.logged("keys came from other partitions").await.unwrap();
    let keys: Vec<String> = tickets.iter().map(|ticket| ticket.key.clone()).collect();
    all_have_an_instance(&bench, &deployment.definition(), &keys).await;
    assert_nothing_left(kafka, &deployment).await;
    assert_one_instance_each(&bench, &deployment, &keys).await;

    // the next owner still knows
    instance.connector.signal(Signal::Terminate);
    instance.connector.wait(DEADLINE).await.unwrap();
    let mut instance = deployment.instance().await.unwrap();
    instance.connector.logged("keys came from other partitions").await.unwrap();
    publish(kafka, &source, first).await;
    let third: Vec<Ticket> = (0..4).map(|number| Ticket::created(&format!("{run}-more-{number}"))).collect();
    publish(kafka, &source, &third).await;
    let keys: Vec<String> = tickets.iter().chain(&third).map(|ticket| ticket.key.clone()).collect();
    all_have_an_instance(&bench, &deployment.definition(), &keys).await;
    assert_nothing_left(kafka, &deployment).await;
    assert_one_instance_each(&bench, &deployment, &keys).await;
    let said = xconnector(&["topics", "grow", "--config", config.to_str().unwrap()]).await.unwrap();
    assert!(said.contains("has the partition count of its source already"), "{said}");
}

async fn all_have_an_instance(bench: &Bench, definition: &str, keys: &[String]) {
    until("every ticket to have its process", DEADLINE, async || {
        for key in keys {
            if bench.engine.historic(definition, &format!("ticket/{key}")).await?.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
    .unwrap();
}
