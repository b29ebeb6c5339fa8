//! Operators hold back a flow or one key of it, also over a crash, and the storm guard holds back a flow whose records are bad one after the other

use promises::{DEADLINE, Deployment, Instance, Kafka, Received, Signal, read_until, unique, xconnector};

use crate::support::{
    Bench, Books, Ticket, assert_nothing_left, assert_one_instance_each, await_replies, edit, operator, publish,
};

const PARTITIONS: u32 = 2;

#[tokio::test]
async fn what_is_paused_waits_also_at_the_next_owner_and_goes_on_when_it_is_resumed() {
    let bench = Bench::opentext().await.with("request_timeout = \"2s\"\nsettle = \"4s\"");
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    deployment.set_up(PARTITIONS).await.unwrap();
    let mut instance = deployment.instance().await.unwrap();
    let run = unique("P");
    let name = |what: &str| format!("{run}-{what}");
    let keys: Vec<String> = ["held", "free", "later"].map(name).to_vec();
    let [held, free, later] = &keys[..] else { panic!() };

    control(&deployment, "pause", &["--key", held, "--reason", "the customer asked"]).await;
    measured(&mut instance, "xconnector_keys_paused", 1.0).await;
    publish(kafka, &deployment.source(), &[Ticket::created(held), Ticket::created(free)]).await;
    let replies = await_replies(kafka, &deployment, 1, &[&instance]).await;
    assert_eq!(keys_of(&replies), std::slice::from_ref(free), "other keys go on");

    control(&deployment, "pause", &[]).await;
    measured(&mut instance, "xconnector_flow_paused", 1.0).await;
    let (_, shown) = show(&deployment).await;
    assert!(shown.contains(&format!("key {held}")) && shown.contains("the customer asked"), "{shown}");
    publish(kafka, &deployment.source(), &[Ticket::created(later)]).await;
    // a crash changes nothing: who comes next has heard it before it begins
    instance.connector.signal(Signal::Kill);
    instance.connector.wait(DEADLINE).await.unwrap();
    let mut instance = deployment.instance().await.unwrap();
    measured(&mut instance, "xconnector_flow_paused", 1.0).await;
    measured(&mut instance, "xconnector_held_records", 2.0).await;
    let calls = bench.calls().await["start"];
    assert_eq!(calls.calls, 1, "{}", instance.connector.log());

    control(&deployment, "resume", &[]).await;
    let replies = await_replies(kafka, &deployment, 2, &[&instance]).await;
    assert_eq!(keys_of(&replies), [free.clone(), later.clone()], "the key is paused still");
    control(&deployment, "resume", &["--key", held]).await;
    let books = Books::of(&await_replies(kafka, &deployment, 3, &[&instance]).await);
    books.assert_each_accepted_once(keys.iter().map(String::as_str));
    assert_one_instance_each(&bench, &deployment, &keys).await;
    assert_nothing_left(kafka, &deployment).await;
    let (_, shown) = show(&deployment).await;
    assert!(!shown.contains(&deployment.flow()), "{shown}");
}

#[tokio::test]
async fn a_storm_of_bad_records_stops_the_flow_and_an_operator_lets_it_go() {
    let bench = Bench::opentext().await;
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    let guard = "[limits]\nmax_in_flight = 4\n[storm_guard]\nrun = 6\ntrial_after = \"0s\"\n\n[reply]";
    edit(&deployment, "[reply]", guard);
    let config = deployment.config_file().unwrap();
    let config = config.to_str().unwrap();
    xconnector(&["topics", "create", "--config", config, "--partitions", "2", "--all"]).await.unwrap();
    let mut instance = deployment.instance().await.unwrap();

    // no model is deployed: every start is refused for good
    let run = unique("S");
    let keys: Vec<String> = (0..60).map(|index| format!("{run}-{index}")).collect();
    let tickets: Vec<Ticket> = keys.iter().map(|key| Ticket::created(key)).collect();
    publish(kafka, &deployment.source(), &tickets).await;
    measured(&mut instance, "xconnector_storm_guard_tripped", 1.0).await;
    instance.connector.logged("the storm guard stops the flow").await.unwrap();
    measured(&mut instance, "xconnector_calls_in_flight", 0.0).await;
    let letters = read_until(kafka, &deployment.dead_letters(), 6, DEADLINE).await.unwrap().len();

    // the cause is mended; nothing leaves before somebody says so
    xconnector(&["models", "deploy", "--config", config]).await.unwrap();
    assert!(letters <= 6 + 4, "{letters} dead letters, though 6 in a row stop the flow and 4 may be under way");
    control(&deployment, "reset-guard", &[]).await;
    let replies = await_replies(kafka, &deployment, keys.len(), &[&instance]).await;
    let books = Books::of(&replies);
    let rejected = read_until(kafka, &deployment.dead_letters(), 6, DEADLINE).await.unwrap().len();
    assert_eq!((books.rejected.len(), books.accepted.len()), (rejected, keys.len() - rejected));
    assert!(rejected <= 6 + 4, "{rejected}");
    measured(&mut instance, "xconnector_storm_guard_tripped", 0.0).await;
}

/// Sorted: replies lie in several partitions.
fn keys_of(replies: &[Received]) -> Vec<String> {
    let mut keys: Vec<String> = replies.iter().map(Received::key_text).collect();
    keys.sort();
    keys
}

async fn control(deployment: &Deployment, what: &str, more: &[&str]) {
    let (code, told) = operator(deployment, &["control", what], more).await;
    assert_eq!(code, 0, "{told}");
}

async fn show(deployment: &Deployment) -> (i32, String) {
    let config = deployment.config_file().unwrap();
    (0, xconnector(&["control", "show", "--config", config.to_str().unwrap()]).await.unwrap())
}

async fn measured(instance: &mut Instance, metric: &str, wanted: f64) {
    let measured = instance.connector.measured(instance.metrics, metric, &[], |value| value == wanted).await;
    measured.unwrap_or_else(|error| panic!("{error:#}\n{}", instance.connector.log()));
}
