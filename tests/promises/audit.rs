//! `xconnector audit` finds second instances of one event, and ends the surplus where the flow allows it

use promises::{Deployment, Kafka, connector_binary, unique};
use serde_json::Value;
use tokio::process::Command;
use workflow_client::{Instance, Start};

use crate::support::{Bench, allow_deletion, variables_of};

#[tokio::test]
async fn doubles_are_found_and_their_surplus_is_ended_on_flowable() {
    doubles_are_found(&Bench::flowable().await).await;
}

#[tokio::test]
async fn doubles_are_found_and_their_surplus_is_ended_in_the_opentext_dialect() {
    doubles_are_found(&Bench::opentext().await).await;
}

async fn doubles_are_found(bench: &Bench) {
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    deployment.set_up(1).await.unwrap();
    let clean = audit(&deployment, &[]).await;
    assert_eq!((clean.0, &clean.1["doubles"]), (0, &Value::Array(Vec::new())), "{clean:?}");

    // one event alone, one with three instances of which the second has ended, and one of another flow
    let mark = |event: &str| format!("{}//crm/{event}", deployment.flow());
    start(bench, &deployment, "alone", &mark("alone")).await;
    let first = start(bench, &deployment, "tripled", &mark("tripled")).await;
    let second = start(bench, &deployment, "tripled", &mark("tripled")).await;
    let third = start(bench, &deployment, "tripled", &mark("tripled")).await;
    bench.engine.terminate(&second.id, "by hand").await.unwrap();
    start(bench, &deployment, "foreign", "other//crm/foreign").await;
    start(bench, &deployment, "foreign", "other//crm/foreign").await;

    let (code, found) = promises::until("history to show all of them", promises::DEADLINE, async || {
        let (code, found) = audit(&deployment, &[]).await;
        Ok((found["compared"] == 4 && found["unmarked"] == 2 && surplus(&found).contains(&(second.id.clone(), false)))
            .then_some((code, found)))
    })
    .await
    .unwrap();
    assert_eq!(code, 3, "{found:#}");
    let double = &found["doubles"][0];
    assert_eq!(found["doubles"].as_array().unwrap().len(), 1, "{found:#}");
    assert_eq!(double["eventId"], mark("tripled"));
    assert_eq!(double["survivor"]["id"], first.id.as_str(), "the first stays");
    let mut expected = [(second.id.clone(), false), (third.id.clone(), true)];
    expected.sort();
    assert_eq!(surplus(&found), expected);

    let (code, refused) = audit(&deployment, &["--compensate"]).await;
    assert_eq!((code, refused), (1, Value::Null), "the flow only reports");
    allow_deletion(&deployment);
    let (code, found) = audit(&deployment, &["--compensate"]).await;
    assert_eq!(code, 3, "{found:#}");
    let running = bench.engine.running(&deployment.definition(), "tripled").await.unwrap();
    assert_eq!(running.iter().map(|instance| &instance.id).collect::<Vec<_>>(), [&first.id]);
    let foreign = bench.engine.running(&deployment.definition(), "foreign").await.unwrap();
    assert_eq!(foreign.len(), 2, "another flow's are not ours to end");
}

async fn start(bench: &Bench, deployment: &Deployment, business_key: &str, mark: &str) -> Instance {
    let ticket = unique("audit");
    let variables = variables_of(&ticket, mark);
    let definition = deployment.definition();
    let start = Start { definition: &definition, business_key, name: None, variables: &variables };
    bench.engine.start(&start).await.unwrap()
}

/// Ids of the surplus of the first double, and whether they run.
fn surplus(found: &Value) -> Vec<(String, bool)> {
    let rows = found["doubles"][0]["surplus"].as_array().cloned().unwrap_or_default();
    let mut rows: Vec<(String, bool)> =
        rows.iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row["running"].as_bool().unwrap())).collect();
    rows.sort();
    rows
}

/// Exit code and answer of the command, as an operator sees them.
async fn audit(deployment: &Deployment, more: &[&str]) -> (i32, Value) {
    let config = deployment.config_file().unwrap();
    let mut command = Command::new(connector_binary().await.unwrap());
    let output = command.args(["audit", "--json", "--config"]).arg(config).args(more).output().await.unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}
