//! A ticket becomes a process, its decision becomes a reply: published by kcat, run by two instances, on both engines

use std::collections::BTreeMap;

use emulator::{Emulator, Options, Switches};
use promises::{
    DEADLINE, Deployment, Flowable, Instance, Kafka, Received, Signal, publish_with_kcat, read_all, read_until,
    repository, unique, until,
};
use serde_json::{Value, json};
use workflow_client::{Auth, CommentTarget, Engine, Settings, TaskFilter, Variable};

/// Enough for every partition and for both instances to have work
const TICKETS: usize = 24;
const PARTITIONS: u32 = 4;

#[tokio::test]
async fn every_ticket_has_one_process_and_one_outcome_on_flowable() {
    tickets_reach_their_outcome(Flowable::shared().await.unwrap().client_settings()).await;
}

#[tokio::test]
async fn every_ticket_has_one_process_and_one_outcome_in_the_opentext_dialect() {
    let switches = Switches { sweep_interval_ms: 1_000, ..Switches::default() };
    let emulator = Emulator::start(Options { switches, ..Options::default() }).await.unwrap();
    let auth = Auth::ClientCredentials {
        token_url: emulator.token_url(),
        client_id: emulator.client_id().to_owned(),
        client_secret: emulator.client_secret().into(),
    };
    tickets_reach_their_outcome(Settings::opentext(emulator.base_url(), auth)).await;
}

async fn tickets_reach_their_outcome(settings: Settings) {
    let kafka = Kafka::shared().await.unwrap();
    let engine = Engine::new(settings.clone()).unwrap();
    let deployment = Deployment::of_tickets(kafka, &settings, "").unwrap();
    deployment.set_up(PARTITIONS).await.unwrap();
    let mut instances = vec![deployment.instance().await.unwrap(), deployment.instance().await.unwrap()];

    let run = unique("T");
    let tickets: Vec<(String, Vec<u8>)> = (0..TICKETS).map(|number| ticket(&format!("{run}-{number}"))).collect();
    publish_with_kcat(kafka, &deployment.source(), &[], &tickets).await.unwrap();
    let replies = async {
        for (key, _) in &tickets {
            decide(&engine, key).await?;
        }
        read_until(kafka, &deployment.replies(), 2 * TICKETS, DEADLINE).await
    };
    let replies = match replies.await {
        Ok(replies) => replies,
        Err(error) => panic!("{error:#}\n{}", logs(&instances)),
    };
    let by_kind = keys_by_kind(&replies);
    let expected: BTreeMap<String, usize> = tickets.iter().map(|(key, _)| (key.clone(), 1)).collect();
    assert_eq!(by_kind.get("xconnector.accepted.v1"), Some(&expected));
    assert_eq!(by_kind.get("xconnector.outcome.v1"), Some(&expected));
    assert_eq!(by_kind.len(), 2, "{by_kind:?}");
    for reply in replies.iter().filter(|reply| reply.header("ce_type") == Some("xconnector.outcome.v1")) {
        outcome_is_complete(&reply.json().unwrap());
    }
    assert_eq!(read_all(kafka, &deployment.dead_letters()).await.unwrap(), []);
    for (key, _) in &tickets {
        let processes = engine.historic(&deployment.definition(), &format!("ticket/{key}")).await.unwrap();
        assert_eq!(processes.len(), 1, "{key}");
    }

    for instance in &mut instances {
        instance.connector.signal(Signal::Terminate);
        let status = instance.connector.wait(DEADLINE).await.unwrap();
        assert!(status.success(), "it stops in good order: {status}\n{}", instance.connector.log());
    }
}

fn ticket(key: &str) -> (String, Vec<u8>) {
    let example = std::fs::read(repository().join("schemas/ticket/examples/created.json")).unwrap();
    let mut ticket: Value = serde_json::from_slice(&example).unwrap();
    ticket["ticketId"] = json!(key);
    (key.to_owned(), serde_json::to_vec(&ticket).unwrap())
}

/// What a clerk does: claim, comment, decide.
async fn decide(engine: &Engine, key: &str) -> anyhow::Result<()> {
    let business_key = format!("ticket/{key}");
    let open = async || Ok(engine.tasks(TaskFilter::BusinessKey(&business_key)).await?.pop());
    let task = until(&format!("the task of {key}"), DEADLINE, open).await?;
    engine.claim(&task.id, "ada").await?;
    engine.add_comment(CommentTarget::Task(&task.id), "fee credited").await?;
    engine.complete_task(&task.id, None, &[Variable::new("decision", "resolved")]).await?;
    Ok(())
}

fn logs(instances: &[Instance]) -> String {
    let logs = instances.iter().enumerate();
    logs.map(|(number, instance)| format!("--- instance {number}\n{}", instance.connector.log())).collect()
}

fn keys_by_kind(replies: &[Received]) -> BTreeMap<&str, BTreeMap<String, usize>> {
    let mut found: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    for reply in replies {
        let kind = reply.header("ce_type").unwrap();
        *found.entry(kind).or_default().entry(reply.key_text()).or_default() += 1;
    }
    found
}

fn outcome_is_complete(outcome: &Value) {
    assert_eq!(outcome["decision"], json!("resolved"), "{outcome}");
    assert_eq!(outcome["comments"][0]["text"], json!("fee credited"), "{outcome}");
    assert_eq!(outcome["audit"][0]["assignee"], json!("ada"), "{outcome}");
    assert_eq!(outcome["auditComplete"], json!(true), "{outcome}");
    assert_eq!(outcome["variables"]["priority"], json!("high"), "{outcome}");
}
