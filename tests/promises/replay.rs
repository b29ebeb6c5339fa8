//! Dead letters come back in through the replay topic: once their cause is mended they are done, and nothing is done twice

use promises::{DEADLINE, Deployment, Instance, Kafka, read_until, unique, until, xconnector};
use workflow_client::Start;

use crate::support::{
    Bench, Books, Ticket, assert_one_instance_each, await_replies, dead_letters, operator, publish, variables_of,
};

#[tokio::test]
async fn dead_letters_are_replayed_and_nothing_is_done_twice_on_flowable() {
    dead_letters_are_replayed(Bench::flowable().await).await;
}

#[tokio::test]
async fn dead_letters_are_replayed_and_nothing_is_done_twice_in_the_opentext_dialect() {
    dead_letters_are_replayed(Bench::opentext().await).await;
}

async fn dead_letters_are_replayed(bench: Bench) {
    let bench = bench.with("request_timeout = \"10s\"\nsettle = \"12s\"");
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    let config = deployment.config_file().unwrap();
    let config = config.to_str().unwrap();
    xconnector(&["topics", "create", "--config", config, "--partitions", "2", "--all"]).await.unwrap();
    let instance = deployment.instance().await.unwrap();

    // no model is deployed: both starts are refused, and the update finds nothing
    let run = unique("R");
    let (undone, done) = (format!("{run}-undone"), format!("{run}-done"));
    let events = [Ticket::created(&undone), Ticket::created(&done), Ticket::updated(&undone, "late")];
    publish(kafka, &deployment.source(), &events).await;
    let letters = read_until(kafka, &deployment.dead_letters(), 3, DEADLINE).await;
    letters.unwrap_or_else(|error| panic!("{error:#}\n{}", instance.connector.log()));
    let letters = dead_letters(&deployment).await;
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert!(letters.iter().all(|letter| letter["replayed"] == false), "{letters:?}");

    // the cause is mended; of one start the effect is there already, as if its answer had been lost
    xconnector(&["models", "deploy", "--config", config]).await.unwrap();
    let rejected = read_until(kafka, &deployment.replies(), 3, DEADLINE).await.unwrap();
    let of_done = rejected.iter().find(|reply| reply.key_text() == done).unwrap().json().unwrap();
    // it has no id of its own: its coordinates name it
    let mark = format!("{}/{}", deployment.flow(), of_done["source"]["eventId"].as_str().unwrap());
    let there = start_by_hand(&bench, &deployment, &done, &mark).await;

    let told = operator(&deployment, &["dlq", "replay"], &["--reason", letters[0]["reason"].as_str().unwrap()]).await;
    assert!(told.1.contains("2 dead letters replayed"), "{told:?}");
    let accepted = accepted(kafka, &deployment, 3 + 2, &instance).await;
    let of = |key: &str| accepted.accepted.iter().find(|(of, _)| of == key).unwrap().1["process"]["instanceId"].clone();
    assert_eq!(of(&done), there.as_str(), "what was there is found");
    assert_one_instance_each(&bench, &deployment, &[undone.clone(), done.clone()]).await;

    // the update now finds its instance; the others were replayed before
    let told = operator(&deployment, &["dlq", "replay"], &[]).await;
    assert!(told.1.contains("1 dead letters replayed, 2 passed over"), "{told:?}");
    accepted_of(kafka, &deployment, 3 + 3, &instance, 3).await;
    let found = bench.engine.running(&deployment.definition(), &format!("ticket/{undone}")).await.unwrap();
    assert_eq!(found[0].variable("comment").and_then(|text| text.as_str()), Some("late"));

    // once more, all of them: known, and nothing happens
    let told = operator(&deployment, &["dlq", "replay"], &["--again"]).await;
    assert!(told.1.contains("3 dead letters replayed"), "{told:?}");
    let replies = await_replies(kafka, &deployment, 3 + 3 + 3, &[&instance]).await;
    let known = replies.iter().filter(|reply| reply.header("ce_type") == Some("xconnector.duplicate.v1")).count();
    assert_eq!(known, 3);
    assert_one_instance_each(&bench, &deployment, &[undone, done]).await;
    assert!(dead_letters(&deployment).await.iter().all(|letter| letter["replayed"] == true));
    let (code, told) = operator(&deployment, &["dlq", "replay"], &["--at", letters[0]["at"].as_str().unwrap()]).await;
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("was replayed before"), "{told}");
}

async fn accepted(kafka: &Kafka, deployment: &Deployment, replies: usize, instance: &Instance) -> Books {
    accepted_of(kafka, deployment, replies, instance, 2).await
}

async fn accepted_of(
    kafka: &Kafka,
    deployment: &Deployment,
    replies: usize,
    instance: &Instance,
    accepted: usize,
) -> Books {
    let books = Books::of(&await_replies(kafka, deployment, replies, &[instance]).await);
    assert_eq!((books.accepted.len(), books.rejected.len()), (accepted, 3), "{}", instance.connector.log());
    books
}

async fn start_by_hand(bench: &Bench, deployment: &Deployment, ticket: &str, mark: &str) -> String {
    let variables = variables_of(ticket, mark);
    let (definition, business_key) = (deployment.definition(), format!("ticket/{ticket}"));
    let start = Start { definition: &definition, business_key: &business_key, name: None, variables: &variables };
    let id = bench.engine.start(&start).await.unwrap().id;
    let shown = async || Ok((!bench.engine.historic(&definition, &business_key).await?.is_empty()).then_some(()));
    until("history to show the instance", DEADLINE, shown).await.unwrap();
    id
}
