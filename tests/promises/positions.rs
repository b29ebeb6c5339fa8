//! Where reading begins, and what happens when the place is gone: nothing is skipped in silence, nothing is started twice

use emulator::Availability;
use promises::{
    DEADLINE, Deployment, Instance, Kafka, Sent, Signal, committed_lag, delete_group, produce, remove_before,
    set_offset, unique, until, xconnector,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::{
    Bench, Books, Ticket, assert_nothing_left, assert_one_instance_each, await_replies, edit, publish,
};

const LOST: &str = "xconnector_records_lost_total";
const TO_ACCEPT: &str = "xconnector_loss_to_accept_offsets";
const UNUSABLE: &str = "xconnector_offsets_unusable_total";

/// Nothing that was sent takes effect later than so.
async fn bench() -> Bench {
    Bench::opentext().await.with("request_timeout = \"2s\"\nsettle = \"3s\"")
}

fn tickets(count: usize) -> Vec<Ticket> {
    let run = unique("P");
    (0..count).map(|number| Ticket::created(&format!("{run}-{number}"))).collect()
}

fn keys(tickets: &[Ticket]) -> Vec<String> {
    tickets.iter().map(|ticket| ticket.key.clone()).collect()
}

async fn end(mut instance: Instance) {
    instance.connector.signal(Signal::Terminate);
    instance.connector.wait(DEADLINE).await.unwrap();
}

async fn none_has_an_instance(bench: &Bench, deployment: &Deployment, tickets: &[Ticket]) {
    for ticket in tickets {
        let key = format!("ticket/{}", ticket.key);
        assert_eq!(bench.engine.historic(&deployment.definition(), &key).await.unwrap(), [], "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_start_position_is_taken_once_and_stands_in_for_an_offset_that_is_gone() {
    let (bench, kafka) = (bench().await, Kafka::shared().await.unwrap());
    let deployment = bench.tickets(kafka);
    deployment.set_up(1).await.unwrap();
    edit(&deployment, "start_from = \"earliest\"", "start_from = \"latest\"");
    let (before, after, later) = (tickets(5), tickets(6), tickets(3));
    publish(kafka, &deployment.source(), &before).await;

    let first = deployment.instance().await.unwrap();
    let topics = [deployment.source(), deployment.jobs()];
    let begun = async || {
        let lag = committed_lag(kafka, &deployment.group(), &topics).await?;
        Ok(lag.values().all(|behind| *behind == 0).then_some(()))
    };
    until("the start position to be committed", DEADLINE, begun).await.unwrap();
    publish(kafka, &deployment.source(), &after).await;
    await_replies(kafka, &deployment, after.len(), &[&first]).await;
    end(first).await;

    // the offsets expire, and somebody thinks that the flow could begin elsewhere
    delete_group(kafka, &deployment.group()).await.unwrap();
    edit(&deployment, "start_from = \"latest\"", "start_from = \"earliest\"");
    publish(kafka, &deployment.source(), &later).await;
    let mut second = deployment.instance().await.unwrap();
    let replies = await_replies(kafka, &deployment, after.len() * 2 + later.len(), &[&second]).await;
    let metrics = second.metrics;
    second.connector.measured(metrics, UNUSABLE, &["kind=\"missing\""], |count| count >= 1.0).await.unwrap();
    second.connector.logged("start_from was taken when the flow began").await.unwrap();
    let log = second.connector.log();
    assert!(log.contains("goes_on_at=5"), "where the flow was begun: {log}");
    assert!(log.contains("the committed offset cannot be used"), "{log}");

    // the same records again are answered again, under the same id, and nothing is started for them
    let ids: std::collections::BTreeSet<&str> = replies.iter().map(|reply| reply.header("ce_id").unwrap()).collect();
    assert_eq!(ids.len(), after.len() + later.len());
    let both: Vec<String> = keys(&after).into_iter().chain(keys(&later)).collect();
    assert_one_instance_each(&bench, &deployment, &both).await;
    none_has_an_instance(&bench, &deployment, &before).await;
    assert_nothing_left(kafka, &deployment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_removed_waits_for_a_word_and_is_counted() {
    let (bench, kafka) = (bench().await, Kafka::shared().await.unwrap());
    let deployment = bench.tickets(kafka);
    deployment.set_up(1).await.unwrap();
    let (read, unread) = (tickets(10), tickets(20));
    publish(kafka, &deployment.source(), &read).await;
    let first = deployment.instance().await.unwrap();
    await_replies(kafka, &deployment, read.len(), &[&first]).await;
    assert_nothing_left(kafka, &deployment).await;
    end(first).await;

    publish(kafka, &deployment.source(), &unread).await;
    remove_before(kafka, &deployment.source(), 0, 25).await.unwrap();
    for blow in ["kill -9", "an operator's word"] {
        let mut waiting = deployment.instance().await.unwrap();
        let metrics = waiting.metrics;
        waiting.connector.measured(metrics, TO_ACCEPT, &["partition=\"0\""], |lost| lost == 15.0).await.unwrap();
        let log = waiting.connector.log();
        assert!(log.contains("committed=10") && log.contains("log_start=25"), "{log}");
        let page = promises::metrics(metrics).await.unwrap();
        assert_eq!(promises::sum(&page, LOST, &[]), None, "nothing is passed yet: {page}");
        assert_eq!(await_replies(kafka, &deployment, read.len(), &[&waiting]).await.len(), read.len(), "{blow}");
        if blow == "kill -9" {
            waiting.connector.signal(Signal::Kill);
            waiting.connector.wait(DEADLINE).await.unwrap();
            continue;
        }
        let config = deployment.config_file().unwrap();
        let (config, flow) = (config.to_str().unwrap(), deployment.flow());
        let words = ["offsets", "accept-loss", "--config", config, "--flow", &flow, "--partition", "0"];
        let said = xconnector(&words).await.unwrap();
        assert!(said.contains("goes on at 25 and not at 10"), "{said}");
        waiting.connector.measured(metrics, LOST, &["partition=\"0\""], |lost| lost == 15.0).await.unwrap();
        await_replies(kafka, &deployment, read.len() + 5, &[&waiting]).await;
        let page = promises::metrics(metrics).await.unwrap();
        assert_eq!(promises::sum(&page, TO_ACCEPT, &[]), None, "{page}");
        end(waiting).await;
    }
    let rest: Vec<String> = keys(&read).into_iter().chain(keys(&unread[15..])).collect();
    assert_one_instance_each(&bench, &deployment, &rest).await;
    none_has_an_instance(&bench, &deployment, &unread[..15]).await;
    assert_nothing_left(kafka, &deployment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_beyond_the_logs_end_is_not_believed() {
    let (bench, kafka) = (bench().await, Kafka::shared().await.unwrap());
    let deployment = bench.tickets(kafka);
    deployment.set_up(1).await.unwrap();
    let (read, unread) = (tickets(8), tickets(4));
    publish(kafka, &deployment.source(), &read).await;
    let first = deployment.instance().await.unwrap();
    await_replies(kafka, &deployment, read.len(), &[&first]).await;
    end(first).await;

    set_offset(kafka, &deployment.group(), &deployment.source(), 0, 1_000).await.unwrap();
    publish(kafka, &deployment.source(), &unread).await;
    let mut second = deployment.instance().await.unwrap();
    await_replies(kafka, &deployment, 2 * read.len() + unread.len(), &[&second]).await;
    let metrics = second.metrics;
    second.connector.measured(metrics, UNUSABLE, &["kind=\"beyond-end\""], |count| count >= 1.0).await.unwrap();
    let all: Vec<String> = keys(&read).into_iter().chain(keys(&unread)).collect();
    assert_one_instance_each(&bench, &deployment, &all).await;
    assert_nothing_left(kafka, &deployment).await;
}

/// More than the reader takes in one go, so that most of it is still in the log when retention comes.
const BACKLOG: usize = 3_000;
const LEFT: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_partition_that_retention_overtakes_goes_on_with_what_is_left() {
    let (bench, kafka) = (bench().await, Kafka::shared().await.unwrap());
    let deployment = bench.tickets(kafka);
    deployment.set_up(1).await.unwrap();
    edit(&deployment, "start_from = \"earliest\"", "start_from = \"earliest\"\non_lost = \"continue\"");
    edit(&deployment, "[reply]", "[limits]\nmax_held = 10\n[reply]");
    let mut instance = deployment.instance().await.unwrap();
    bench.faults().set_availability(Availability::Refusing).await;
    let all = tickets(BACKLOG);
    publish(kafka, &deployment.source(), &all).await;
    let metrics = instance.metrics;
    instance
        .connector
        .measured(metrics, "xconnector_pauses_total", &["kind=\"max_held\""], |n| n >= 1.0)
        .await
        .unwrap();
    let log_start = i64::try_from(BACKLOG - LEFT).unwrap();
    remove_before(kafka, &deployment.source(), 0, log_start).await.unwrap();
    bench.faults().set_availability(Availability::Up).await;

    let lost = instance.connector.measured(metrics, LOST, &["partition=\"0\""], |lost| lost > 0.0).await.unwrap();
    instance.connector.logged("what was to be read is not in the log any more").await.unwrap();
    assert_nothing_left(kafka, &deployment).await;
    let replies = await_replies(kafka, &deployment, LEFT, &[&instance]).await;
    let books = Books::of(&replies);
    let told = instance.connector.measured(metrics, LOST, &["partition=\"0\""], |_| true).await.unwrap();
    assert_eq!(
        (lost, books.accepted.len() as f64 + told),
        (told, BACKLOG as f64),
        "accepted or lost, and nothing both"
    );
    let (taken, gone) = all.split_at(books.accepted.len() - LEFT);
    let taken: Vec<String> = keys(taken).into_iter().chain(keys(&all[BACKLOG - LEFT..])).collect();
    books.assert_each_accepted_once(taken.iter().map(String::as_str));
    none_has_an_instance(&bench, &deployment, &gone[..3]).await;
}

/// Publishes tickets in one transaction.
async fn in_transaction(kafka: &Kafka, topic: &str, tickets: &[Ticket], commit: bool) {
    let producer: BaseProducer = kafka.client().set("transactional.id", unique("crm")).create().unwrap();
    let (topic, tickets) = (topic.to_owned(), tickets.to_vec());
    let publish = move || {
        producer.init_transactions(DEADLINE).unwrap();
        producer.begin_transaction().unwrap();
        for ticket in &tickets {
            let bytes = ticket.bytes();
            producer.send(BaseRecord::to(&topic).partition(0).key(&ticket.key).payload(&bytes)).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
        if commit { producer.commit_transaction(DEADLINE) } else { producer.abort_transaction(DEADLINE) }.unwrap();
    };
    tokio::task::spawn_blocking(publish).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_delivered_at_the_end_of_a_log_is_no_lag() {
    let (bench, kafka) = (bench().await, Kafka::shared().await.unwrap());
    let deployment = bench.tickets(kafka);
    deployment.set_up(1).await.unwrap();
    let source = deployment.source();
    let (kept, dropped, more) = (tickets(3), tickets(2), tickets(1));
    in_transaction(kafka, &source, &kept, true).await;
    in_transaction(kafka, &source, &dropped, false).await;

    let mut instance = deployment.instance().await.unwrap();
    let metrics = instance.metrics;
    await_replies(kafka, &deployment, kept.len(), &[&instance]).await;
    committed_to(kafka, &deployment, 3 + 1 + 2 + 1).await;
    // only what is aborted, then a seek past it by the next owner, then one that counts
    in_transaction(kafka, &source, &dropped, false).await;
    committed_to(kafka, &deployment, 7 + 3).await;
    let no_lag = |lag: f64| lag == 0.0;
    instance.connector.measured(metrics, "xconnector_lag_records", &["partition=\"0\""], no_lag).await.unwrap();
    end(instance).await;
    let instance = deployment.instance().await.unwrap();
    in_transaction(kafka, &source, &more, true).await;
    let replies = await_replies(kafka, &deployment, kept.len() + more.len(), &[&instance]).await;
    committed_to(kafka, &deployment, 10 + 2).await;
    let counted: Vec<String> = keys(&kept).into_iter().chain(keys(&more)).collect();
    Books::of(&replies).assert_each_accepted_once(counted.iter().map(String::as_str));
    none_has_an_instance(&bench, &deployment, &dropped).await;

    // plain records behind them are told apart from what was jumped over
    let plain = tickets(1);
    let sent = Sent { partition: Some(0), value: Some(plain[0].bytes()), ..Sent::default() };
    assert_eq!(produce(kafka, &source, [sent]).await.unwrap(), [(0, 12)], "the log ended where it was said to end");
    committed_to(kafka, &deployment, 13).await;
}

/// Waits until the group has committed the end of the source's log, which is `end`.
async fn committed_to(kafka: &Kafka, deployment: &Deployment, end: i64) {
    let topics = [deployment.source()];
    let committed = async || {
        let lag = committed_lag(kafka, &deployment.group(), &topics).await?;
        Ok(lag.values().all(|behind| *behind == 0).then_some(()))
    };
    until(&format!("the offset {end} to be committed"), DEADLINE, committed).await.unwrap();
}
