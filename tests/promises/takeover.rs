//! A worker that is gone does not hold up its successor

use promises::{DEADLINE, Kafka, unique};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::{Bench, Books, Ticket, assert_one_instance_each, await_replies, publish};

/// The longest that a broker allows by default: none of the waits of this test outlives it.
const TRANSACTION_TIMEOUT_MS: &str = "900000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_open_transaction_of_a_dead_owner_is_ended_by_the_next() {
    let bench = Bench::opentext().await.with("request_timeout = \"2s\"\nsettle = \"3s\"");
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    deployment.set_up(1).await.unwrap();

    // an owner that commits once, and dies in the middle of its next transaction
    let writer = unique("dead");
    let member: BaseConsumer = kafka.client().set("group.id", deployment.group()).create().unwrap();
    let dead: BaseProducer = kafka
        .client()
        .set("transactional.id", &writer)
        .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)
        .create()
        .unwrap();
    let (source, metadata) = (deployment.source(), format!("xc1:@{writer}"));
    let group = member.group_metadata().unwrap();
    tokio::task::spawn_blocking(move || {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition(&source, 0).set_offset(Offset::Offset(0)).unwrap();
        offsets.find_partition(&source, 0).unwrap().set_metadata(metadata);
        dead.init_transactions(DEADLINE).unwrap();
        dead.begin_transaction().unwrap();
        dead.send_offsets_to_transaction(&offsets, &group, DEADLINE).unwrap();
        dead.commit_transaction(DEADLINE).unwrap();
        dead.begin_transaction().unwrap();
        dead.send_offsets_to_transaction(&offsets, &group, DEADLINE).unwrap();
        dead
    })
    .await
    .map(|dead| std::mem::forget((dead, member))) // closing would abort the transaction
    .unwrap();

    let instance = deployment.instance().await.unwrap();
    let run = unique("F");
    let tickets: Vec<Ticket> = (0..20).map(|number| Ticket::created(&format!("{run}-{number}"))).collect();
    publish(kafka, &deployment.source(), &tickets).await;
    let replies = await_replies(kafka, &deployment, tickets.len(), &[&instance]).await;
    let keys: Vec<String> = tickets.into_iter().map(|ticket| ticket.key).collect();
    Books::of(&replies).assert_each_accepted_once(keys.iter().map(String::as_str));
    assert_one_instance_each(&bench, &deployment, &keys).await;
    let log = instance.connector.log();
    let told = log.lines().filter(|line| line.contains("left a transaction open")).count();
    assert_eq!(told, 1, "said once, with the id: {log}");
    assert!(log.contains(&writer), "{log}");
}
