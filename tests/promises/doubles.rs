//! What an audit must not get wrong: what it cannot see, what people chose, children, and what follows from an ended double

use std::collections::BTreeMap;

use emulator::{Fault, Rule};
use event_model::JobRecord;
use promises::{DEADLINE, Deployment, Kafka, Sent, Signal, connector_binary, produce, repository, unique, until};
use serde_json::{Value, json};
use tokio::process::Command;
use workflow_client::{Instance, Start, TaskFilter, Variable};

use crate::support::{Bench, Books, Ticket, allow_deletion, assert_nothing_left, await_replies, publish};

const NONE: i32 = 0;
const DOUBLES: i32 = 3;
const UNKNOWN: i32 = 1;

/// Starts an instance past the connector, with an event's mark or without.
async fn start(bench: &Bench, deployment: &Deployment, business_key: &str, mark: Option<&str>) -> Instance {
    let mut variables = vec![
        Variable::new("ticketId", business_key),
        Variable::new("priority", "normal"),
        Variable::new("team", deployment.flow().as_str()),
        Variable::new("sla", "bronze"),
        Variable::new("decideWithin", "PT48H"),
    ];
    variables.extend(mark.map(|mark| Variable::new("xcEventId", mark)));
    let definition = deployment.definition();
    let start = Start { definition: &definition, business_key, name: None, variables: &variables };
    bench.engine.start(&start).await.unwrap()
}

/// Instances in the order of which all observers agree.
fn ordered(mut instances: Vec<Instance>) -> Vec<String> {
    instances.sort_by_key(|instance| (instance.start_time, instance.id.clone()));
    instances.into_iter().map(|instance| instance.id).collect()
}

async fn running(bench: &Bench, deployment: &Deployment, business_key: &str) -> Vec<String> {
    let running = bench.engine.running(&deployment.definition(), business_key).await.unwrap();
    running.into_iter().map(|instance| instance.id).collect()
}

/// Exit code and what `xconnector audit` wrote to stdout and stderr.
async fn audit(deployment: &Deployment, more: &[&str]) -> (i32, String) {
    let mut command = Command::new(connector_binary().await.unwrap());
    let config = deployment.config_file().unwrap();
    let output = command.args(["audit", "--config"]).arg(config).args(more).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// The history of the emulator is half a second behind.
async fn until_history_shows(bench: &Bench, deployment: &Deployment, business_key: &str, count: usize) {
    let definition = deployment.definition();
    let shown = async || Ok((bench.engine.historic(&definition, business_key).await?.len() >= count).then_some(()));
    until("history to show the instances", DEADLINE, shown).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_that_was_undone_is_none_any_more_on_flowable() {
    a_double_that_was_undone_is_none_any_more(&Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_that_was_undone_is_none_any_more_in_the_opentext_dialect() {
    a_double_that_was_undone_is_none_any_more(&Bench::opentext().await).await;
}

async fn a_double_that_was_undone_is_none_any_more(bench: &Bench) {
    let deployment = bench.tickets(Kafka::shared().await.unwrap());
    deployment.set_up(1).await.unwrap();
    allow_deletion(&deployment);
    let mark = |event: &str| format!("{}/{event}", deployment.flow());
    start(bench, &deployment, "ticket/1", Some(&mark("e-1"))).await;
    start(bench, &deployment, "ticket/1", None).await;
    // the same event, whatever its business key
    let doubled = vec![
        start(bench, &deployment, "ticket/3", Some(&mark("e-3"))).await,
        start(bench, &deployment, "ticket/3", Some(&mark("e-3"))).await,
        start(bench, &deployment, "ticket/3b", Some(&mark("e-3"))).await,
    ];
    let doubled = ordered(doubled);

    let (code, text) = audit(&deployment, &["--compensate"]).await;
    assert_eq!(code, DOUBLES, "{text}");
    assert!(text.contains(&format!("{} (runs", doubled[0])), "{text}");
    assert!(doubled[1..].iter().all(|surplus| text.contains(&format!("{surplus} (was ended"))), "{text}");
    assert!(text.contains("4 instances compared, 1 of others passed over, 1 events with doubles"), "{text}");
    let mut left = running(bench, &deployment, "ticket/3").await;
    left.extend(running(bench, &deployment, "ticket/3b").await);
    assert_eq!(left, doubled[..1], "exactly the survivor");
    assert_eq!(running(bench, &deployment, "ticket/1").await.len(), 2);
    let ended = async || Ok(bench.engine.instance_history(&doubled[1]).await?.filter(Instance::is_ended));
    let ended = until("the end of the surplus in history", DEADLINE, ended).await.unwrap();
    assert_eq!(ended.delete_reason.as_deref(), Some("xc:duplicate"));

    let (code, text) = audit(&deployment, &[]).await;
    assert_eq!(code, NONE, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_choice_of_a_person_is_not_undone() {
    let bench = Bench::opentext().await;
    let deployment = bench.tickets(Kafka::shared().await.unwrap());
    deployment.set_up(1).await.unwrap();
    allow_deletion(&deployment);
    let mark = format!("{}/e-1", deployment.flow());
    let copies = vec![
        start(&bench, &deployment, "ticket/1", Some(&mark)).await,
        start(&bench, &deployment, "ticket/1", Some(&mark)).await,
    ];
    let copies = ordered(copies);
    bench.engine.terminate(&copies[0], "the other one stays").await.unwrap();
    until_history_shows(&bench, &deployment, "ticket/1", 2).await;

    let (code, text) = audit(&deployment, &["--compensate"]).await;

    assert_eq!(code, DOUBLES, "{text}");
    assert!(text.contains("left as it is: somebody ended the survivor"), "{text}");
    assert_eq!(running(&bench, &deployment, "ticket/1").await, copies[1..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_that_cannot_see_says_so() {
    let bench = Bench::opentext().await;
    let deployment = bench.tickets(Kafka::shared().await.unwrap());
    deployment.set_up(1).await.unwrap();
    start(&bench, &deployment, "ticket/1", Some(&format!("{}/e-1", deployment.flow()))).await;
    bench.faults().add(Rule::on("list-history", Fault::Forbid)).unwrap();
    let (code, text) = audit(&deployment, &[]).await;
    assert_eq!(code, UNKNOWN, "{text}");
    assert!(text.contains("sweep at the history endpoint failed (forbidden"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_instance_of_a_call_activity_is_no_double() {
    let bench = Bench::flowable().await;
    let deployment = bench.tickets(Kafka::shared().await.unwrap());
    deployment.set_up(1).await.unwrap();
    let (definition, caller) = (deployment.definition(), format!("caller-{}", &unique("x")[2..12]));
    let file = repository().join("tests/conformance/models/caller.bpmn");
    let model = std::fs::read_to_string(file).unwrap().replace("UNIQUE", &caller);
    bench.engine.deploy(&format!("{caller}.bpmn"), &model).await.unwrap();
    let mark = format!("{}/e-1", deployment.flow());
    let root = start(&bench, &deployment, "ticket/1", Some(&mark)).await;
    let variables = [
        Variable::new("called", definition.as_str()),
        Variable::new("xcEventId", mark.as_str()),
        Variable::new("priority", "normal"),
        Variable::new("team", "somebody"),
        Variable::new("decideWithin", "PT48H"),
    ];
    let start = Start { definition: &caller, business_key: "ticket/1", name: None, variables: &variables };
    let parent = bench.engine.start(&start).await.unwrap();
    let tasks = bench.engine.tasks(TaskFilter::CandidateGroup("somebody")).await.unwrap();
    let child = tasks.iter().filter_map(|task| task.process_instance_id.clone()).find(|id| *id != parent.id).unwrap();
    let seen = bench.engine.instance_history(&child).await.unwrap().unwrap();
    assert_eq!(seen.definition_key(), Some(definition.as_str()), "the child is of the flow's definition");
    assert_eq!(seen.variable("xcEventId").and_then(|value| value.as_str()), Some(mark.as_str()), "and has the mark");
    allow_deletion(&deployment);

    let (code, text) = audit(&deployment, &["--compensate"]).await;

    assert_eq!(code, NONE, "{text}");
    assert!(text.contains("1 instances compared, 0 of others"), "{text}");
    assert_eq!(running(&bench, &deployment, "ticket/1").await, [root.id]);
    let child = bench.engine.instance_history(&child).await.unwrap().unwrap();
    assert!(!child.is_ended(), "the child lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_connector_audits_by_itself() {
    let bench = Bench::opentext().await.with("[audit]\nevery = \"1s\"");
    let deployment = bench.tickets(Kafka::shared().await.unwrap());
    deployment.set_up(2).await.unwrap();
    let mut instance = deployment.instance().await.unwrap();
    let metrics = instance.metrics;
    let clean = ["result=\"none\""];
    instance.connector.measured(metrics, "xconnector_audits_total", &clean, |audits| audits > 0.0).await.unwrap();

    let mark = format!("{}/e-1", deployment.flow());
    let first = start(&bench, &deployment, "ticket/1", Some(&mark)).await;
    let second = start(&bench, &deployment, "ticket/1", Some(&mark)).await;
    let copies = ordered(vec![first, second]);

    let surplus = |state| ["xconnector_audit_surplus_instances".to_owned(), format!("state=\"{state}\"")];
    for (state, number) in [("running", 1.0), ("ended", 0.0)] {
        let [name, label] = surplus(state);
        instance.connector.measured(metrics, &name, &[&label], |surplus| surplus == number).await.unwrap();
    }
    instance.connector.logged("events have more than one instance").await.unwrap();
    let log = instance.connector.log();
    let line = log.lines().find(|line| line.contains("events have more than one instance")).unwrap();
    assert!(line.contains("ERROR") && line.contains(&copies[1]) && !line.contains(&mark), "{line}");
    assert_eq!(running(&bench, &deployment, "ticket/1").await.len(), 2, "it reports and ends nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_of_a_double_that_was_ended_is_never_published_on_flowable() {
    the_outcome_of_a_double_that_was_ended_is_never_published(&Bench::flowable().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_of_a_double_that_was_ended_is_never_published_in_the_opentext_dialect() {
    the_outcome_of_a_double_that_was_ended_is_never_published(&Bench::opentext().await).await;
}

/// The surplus instance has reached its job, which waits on the jobs topic, when it is ended.
async fn the_outcome_of_a_double_that_was_ended_is_never_published(bench: &Bench) {
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    deployment.set_up(1).await.unwrap();
    allow_deletion(&deployment);
    let mut instance = deployment.instance().await.unwrap();
    let key = unique("D");
    publish(kafka, &deployment.source(), &[Ticket::created(&key).of_region(&deployment.flow())]).await;
    await_replies(kafka, &deployment, 1, &[&instance]).await;
    instance.connector.signal(Signal::Terminate);
    instance.connector.wait(DEADLINE).await.unwrap();

    let business_key = format!("ticket/{key}");
    let survivor = bench.engine.running(&deployment.definition(), &business_key).await.unwrap().remove(0);
    let mark = survivor.variable("xcEventId").and_then(|value| value.as_str()).unwrap().to_owned();
    let mut surplus = start(bench, &deployment, &business_key, Some(&mark)).await;
    while surplus.start_time <= survivor.start_time {
        surplus = start(bench, &deployment, &business_key, Some(&mark)).await;
    }
    let job = JobRecord {
        job_id: unique("job"),
        correlation_id: None,
        topic: format!("{}.outcome", deployment.definition().trim_start_matches("triage_")),
        process_instance_id: surplus.id.clone(),
        process_definition_id: None,
        element_id: None,
        business_key: Some(business_key.clone()),
        variables: BTreeMap::from([("decision".to_owned(), json!("resolved"))]),
        retries: Some(3),
        lock_expires_at: None,
    };
    let record = job.to_record(&deployment.flow()).unwrap();
    let sent = Sent { key: record.key, value: record.value, ..Sent::default() };
    produce(kafka, &deployment.jobs(), [sent]).await.unwrap();
    let (code, text) = audit(&deployment, &["--compensate"]).await;
    assert_eq!(code, DOUBLES, "{text}");
    assert_eq!(running(bench, &deployment, &business_key).await, [survivor.id.as_str()]);

    let instance = deployment.instance().await.unwrap();
    let task = bench.engine.tasks(TaskFilter::Instance(&survivor.id)).await.unwrap().remove(0);
    bench.engine.complete_task(&task.id, None, &[Variable::new("decision", "resolved")]).await.unwrap();

    let replies = await_replies(kafka, &deployment, 2, &[&instance]).await;
    assert_nothing_left(kafka, &deployment).await;
    let books = Books::of(&replies);
    assert_eq!(books.accepted.len(), 1);
    let outcomes: Vec<&Value> = books.outcomes.iter().map(|(_, outcome)| &outcome["process"]["instanceId"]).collect();
    assert_eq!(outcomes, [&json!(survivor.id)]);
}
