//! Lost answers start nothing twice, and the happy path of a start is one call

use emulator::{Fault, Rule};
use promises::{Kafka, unique};

use crate::support::{Bench, Books, Ticket, assert_nothing_left, assert_one_instance_each, await_replies, publish};

const PARTITIONS: u32 = 8;
const STARTS: usize = 20_000;
const LOST: u64 = 39;
/// A look at once, one of runtime and one of history after the settle time where it is needed, and the second look of both.
const LOOKS_AT_MOST: u64 = 2 * 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_start_nothing_twice_and_cost_look_ups_only_where_they_were_lost() {
    let bench = Bench::opentext().await.with("request_timeout = \"10s\"\nsettle = \"12s\"");
    bench.faults().add(Rule::on("start", Fault::DropAnswer).percent(0.5).times(LOST)).unwrap();
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    deployment.set_up(PARTITIONS).await.unwrap();
    let instance = deployment.instance().await.unwrap();
    let run = unique("L");
    let tickets: Vec<Ticket> = (0..STARTS).map(|number| Ticket::created(&format!("{run}-{number}"))).collect();
    publish(kafka, &deployment.source(), &tickets).await;

    let replies = await_replies(kafka, &deployment, STARTS, &[&instance]).await;
    let keys: Vec<String> = tickets.into_iter().map(|ticket| ticket.key).collect();
    Books::of(&replies).assert_each_accepted_once(keys.iter().map(String::as_str));
    let calls = bench.calls().await;
    let of = |operation: &str| calls.get(operation).copied().unwrap_or_default();
    println!("{calls:?}");
    assert_eq!(of("start").bad, LOST, "so many answers were lost: {calls:?}");
    assert_eq!(of("start").calls, STARTS as u64, "what is found is not started again: {calls:?}");
    let looks = of("list-instances").calls + of("list-history").calls;
    assert!((LOST..=LOST * LOOKS_AT_MOST).contains(&looks), "{looks} look-ups: {calls:?}");
    assert_one_instance_each(&bench, &deployment, &keys).await;
    assert_nothing_left(kafka, &deployment).await;
}
