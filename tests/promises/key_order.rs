//! The events of one ticket take effect one after the other, in the order of the log; other tickets do not wait for them

use promises::{Kafka, Received, Sent, produce, unique};
use workflow_client::Instance;

use crate::conformance::Subject;
use crate::support::{Bench, Books, Ticket, assert_nothing_left, await_replies, complete_open_tasks, publish};

const PARTITIONS: u32 = 4;

#[tokio::test]
async fn events_of_a_ticket_take_effect_in_their_order_on_flowable() {
    effects_are_in_order(&Bench::flowable().await).await;
}

#[tokio::test]
async fn events_of_a_ticket_take_effect_in_their_order_in_the_opentext_dialect() {
    effects_are_in_order(&Bench::opentext().await).await;
}

#[tokio::test]
async fn a_ticket_that_waits_holds_nobody_else_up_on_flowable() {
    others_go_on(&Bench::flowable().await).await;
}

#[tokio::test]
async fn a_ticket_that_waits_holds_nobody_else_up_in_the_opentext_dialect() {
    others_go_on(&Bench::opentext().await).await;
}

/// Each ticket is created, updated one to `UPDATES` times, and every second one is withdrawn: all published at once.
async fn effects_are_in_order(bench: &Bench) {
    const TICKETS: usize = 60;
    const UPDATES: usize = 5;
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    deployment.set_up(PARTITIONS).await.unwrap();
    let instances = [deployment.instance().await.unwrap(), deployment.instance().await.unwrap()];

    let run = unique("T");
    let region = deployment.flow();
    let keys: Vec<String> = (0..TICKETS).map(|number| format!("{run}-{number}")).collect();
    let is_withdrawn = |number: usize| number % 2 == 1;
    let events_of = |number: usize| {
        let key = &keys[number];
        let mut events = vec![Ticket::created(key).of_region(&region)];
        // another number of updates for every ticket, so that every update is somewhere the last
        events.extend((1..=1 + number % UPDATES).map(|update| Ticket::updated(key, &format!("update {update}"))));
        events.extend(is_withdrawn(number).then(|| Ticket::withdrawn(key)));
        events
    };
    let mut published: Vec<Ticket> = (0..TICKETS).flat_map(events_of).collect();
    let early = format!("{run}-early");
    published.insert(TICKETS, Ticket::updated(&early, "before it was created"));
    publish(kafka, &deployment.source(), &published).await;

    let instances = [&instances[0], &instances[1]];
    let replies = await_replies(kafka, &deployment, published.len(), &instances).await;
    let books = Books::of(&replies);
    let accepted = published.iter().map(|ticket| ticket.key.as_str()).filter(|key| *key != early);
    books.assert_each_accepted_once(accepted);
    assert_answered_in_order(&replies);
    let [(rejected, receipt)] = books.rejected.as_slice() else { panic!("one rejected reply: {:?}", books.rejected) };
    assert_eq!((rejected.as_str(), &receipt["reason"]), (early.as_str(), &"no-instance".into()), "{receipt}");

    for (number, key) in keys.iter().enumerate() {
        let updates = 1 + number % UPDATES;
        let instance = only_instance(bench, &deployment.definition(), key, is_withdrawn(number)).await;
        // each message leaves a mark of its own: all of them came before the withdrawal, none is missing
        let marks = instance.variables.iter().flatten().filter(|variable| variable.name.starts_with("xcMessage_"));
        assert_eq!(marks.count(), updates, "updates that reached {key}");
        let last = instance.variable("comment").and_then(|comment| comment.as_str());
        assert_eq!(last, Some(format!("update {updates}").as_str()), "the last update of {key}");
    }
    let decided = complete_open_tasks(&bench.engine, &format!("support-{region}"), TICKETS / 2).await;
    let replies = await_replies(kafka, &deployment, published.len() + TICKETS / 2, &instances).await;
    let still_open = keys.iter().enumerate().filter(|(number, _)| !is_withdrawn(*number));
    Books::of(&replies).assert_outcomes(still_open.map(|(_, key)| key.as_str()), &decided);
    let dead = promises::read_all(kafka, &deployment.dead_letters()).await.unwrap();
    assert_eq!(dead.iter().map(Received::key_text).collect::<Vec<_>>(), [early]);
}

/// Replies of one key, which share a partition, stand in the order of the events that they answer.
fn assert_answered_in_order(replies: &[Received]) {
    let mut last: std::collections::BTreeMap<String, i64> = std::collections::BTreeMap::new();
    for reply in replies {
        let offset = reply.json().unwrap()["source"]["offset"].as_i64().unwrap();
        let before = last.insert(reply.key_text(), offset);
        assert!(before.is_none_or(|before| before < offset), "{}: {before:?} before {offset}", reply.key_text());
    }
}

async fn only_instance(bench: &Bench, definition: &str, key: &str, ended: bool) -> Instance {
    let there = async || {
        let mut found = bench.engine.historic(definition, &format!("ticket/{key}")).await?;
        assert!(found.len() < 2, "{key}: {found:?}");
        // history may lag
        Ok(found.pop().filter(|instance| instance.is_ended() == ended))
    };
    promises::until(&format!("the instance of {key}, ended: {ended}"), promises::DEADLINE, there).await.unwrap()
}

/// One ticket's process is suspended, so that its update has to wait; tickets behind it in the same partition go on meanwhile.
async fn others_go_on(bench: &Bench) {
    const OTHERS: usize = 20;
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    deployment.set_up(1).await.unwrap();
    let mut running = deployment.instance().await.unwrap();
    let (run, region) = (unique("T"), deployment.flow());
    let waiting = format!("{run}-waiting");
    publish(kafka, &deployment.source(), &[Ticket::created(&waiting).of_region(&region)]).await;
    await_replies(kafka, &deployment, 1, &[&running]).await;
    let subject = Subject::over(bench.settings.clone(), None);
    let instance = only_instance(bench, &deployment.definition(), &waiting, false).await;
    subject.suspend(&instance).await;

    let others: Vec<Ticket> =
        (0..OTHERS).map(|number| Ticket::created(&format!("{run}-{number}")).of_region(&region)).collect();
    let records = [Ticket::updated(&waiting, "first"), Ticket::updated(&waiting, "second")];
    let records = records.iter().chain(&others).map(|ticket| Sent {
        key: Some(ticket.key.clone().into_bytes()),
        value: Some(ticket.bytes()),
        ..Sent::default()
    });
    produce(kafka, &deployment.source(), records).await.unwrap();
    let books = Books::of(&await_replies(kafka, &deployment, 1 + OTHERS, &[&running]).await);
    let created = std::iter::once(waiting.as_str()).chain(others.iter().map(|ticket| ticket.key.as_str()));
    books.assert_each_accepted_once(created);
    let metrics = running.metrics;
    running.connector.measured(metrics, "xconnector_holds_total", &[], |holds| holds > 0.0).await.unwrap();

    subject.activate(&instance).await;
    let books = Books::of(&await_replies(kafka, &deployment, 1 + OTHERS + 2, &[&running]).await);
    assert_eq!(books.accepted.iter().filter(|(key, _)| *key == waiting).count(), 3);
    let instance = only_instance(bench, &deployment.definition(), &waiting, false).await;
    assert_eq!(instance.variable("comment").and_then(|comment| comment.as_str()), Some("second"));
    assert_nothing_left(kafka, &deployment).await;
}
