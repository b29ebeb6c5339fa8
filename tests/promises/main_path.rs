//! A ticket becomes a process, its decision becomes a reply: ten thousand of them, JSON and Avro, published by kcat, run by two
//! instances, on both engines

use std::time::Instant;

use promises::{Kafka, Signal, unique};

use crate::support::{
    Bench, Books, Encoding, Ticket, assert_nothing_left, assert_one_instance_each, await_replies, complete_open_tasks,
    publish,
};

const PARTITIONS: u32 = 8;

/// Real Flowable starts one to three hundred processes a second here, so the run of every day is smaller there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ticket_has_one_process_and_one_outcome_on_flowable() {
    tickets_reach_their_outcome(&Bench::flowable().await, tickets_or(2_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ticket_has_one_process_and_one_outcome_in_the_opentext_dialect() {
    tickets_reach_their_outcome(&Bench::opentext().await, tickets_or(10_000)).await;
}

/// `XCONNECTOR_TICKETS` says how many tickets both engines get.
fn tickets_or(usual: usize) -> usize {
    let asked = std::env::var("XCONNECTOR_TICKETS").ok();
    asked.map_or(usual, |count| count.parse().unwrap())
}

async fn tickets_reach_their_outcome(bench: &Bench, count: usize) {
    let started = Instant::now();
    let told = |what: &str| println!("{count} tickets: {what} after {:.1} s", started.elapsed().as_secs_f64());
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    deployment.set_up(PARTITIONS).await.unwrap();
    let mut instances = [deployment.instance().await.unwrap(), deployment.instance().await.unwrap()];
    for instance in &mut instances {
        let metrics = instance.metrics;
        instance.connector.measured(metrics, "xconnector_held_records", &[], |_| true).await.unwrap();
    }
    told("two instances share the partitions");

    // the second half comes in while people decide the first
    let (first_region, second_region) =
        (format!("{}-north", deployment.flow()), format!("{}-south", deployment.flow()));
    let (source, first_team, second_team) =
        (deployment.source(), format!("support-{first_region}"), format!("support-{second_region}"));
    let first = tickets(count / 2, &first_region);
    let second = tickets(count - count / 2, &second_region);
    let keys: Vec<String> = first.iter().chain(&second).map(|ticket| ticket.key.clone()).collect();
    publish(kafka, &source, &first).await;
    await_replies(kafka, &deployment, first.len(), &[&instances[0], &instances[1]]).await;
    told("the first half runs");
    let (mut decided, ()) =
        tokio::join!(complete_open_tasks(&bench.engine, &first_team, first.len()), publish(kafka, &source, &second));
    told("the first half is decided");
    await_replies(kafka, &deployment, count + first.len(), &[&instances[0], &instances[1]]).await;
    told("the second half runs");
    decided.extend(complete_open_tasks(&bench.engine, &second_team, second.len()).await);
    told("the second half is decided");
    let replies = await_replies(kafka, &deployment, 2 * count, &[&instances[0], &instances[1]]).await;
    let books = Books::of(&replies);
    told("every outcome is there");

    books.assert_each_accepted_once(keys.iter().map(String::as_str));
    books.assert_outcomes(keys.iter().map(String::as_str), &decided);
    assert_eq!(books.rejected, []);
    assert_nothing_left(kafka, &deployment).await;
    assert_one_instance_each(bench, &deployment, &keys).await;
    for instance in &mut instances {
        let (metrics, accepted) = (instance.metrics, ["kind=\"accepted\""]);
        let done =
            instance.connector.measured(metrics, "xconnector_resolutions_total", &accepted, |done| done > 0.0).await;
        told(&format!("one of two instances did {}", done.unwrap()));
    }
    for instance in &mut instances {
        instance.connector.signal(Signal::Terminate);
        let status = instance.connector.wait(promises::DEADLINE).await.unwrap();
        assert!(status.success(), "it stops in good order: {status}\n{}", instance.connector.log());
    }
    told("reckoned");
}

fn tickets(count: usize, region: &str) -> Vec<Ticket> {
    let run = unique("T");
    let ticket = |number: usize| {
        let ticket = Ticket::created(&format!("{run}-{number}")).of_region(region);
        ticket.encoded_as(Encoding::ALL[number % Encoding::ALL.len()])
    };
    (0..count).map(ticket).collect()
}
