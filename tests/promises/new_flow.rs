//! A stranger adds a flow by following docs/new-flow.md: the page's files are written and its commands run, in their order

use std::path::Path;

use promises::{Connector, DEADLINE, Flowable, Kafka, connector_binary, free_address, read_until, repository};
use tokio::process::Command;
use workflow_client::Engine;

use crate::support::complete_open_tasks;

/// A block of the page between fences, with what stands behind the opening one
type Block<'a> = (&'a str, &'a str);

fn blocks(page: &str) -> Vec<Block<'_>> {
    let parts: Vec<&str> = page.split("\n```").collect();
    assert!(parts.len() % 2 == 1, "a fence is not closed");
    parts.iter().skip(1).step_by(2).map(|block| block.split_once('\n').unwrap()).collect()
}

/// Runs a line of the page as a person would, in their folder.
async fn run(line: &str, folder: &Path) {
    let binaries = connector_binary().await.unwrap();
    let path = format!("{}:{}", binaries.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-ec", line]).current_dir(folder).env("PATH", path).output().await.unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "$ {line}\n{told}");
}

#[tokio::test]
async fn the_page_on_a_new_flow_leads_to_an_outcome() {
    let (kafka, flowable) = (Kafka::shared().await.unwrap(), Flowable::shared().await.unwrap());
    let base = flowable.process_api().strip_suffix("/process-api").unwrap().to_owned();
    let [metrics, intake] = [free_address().unwrap().to_string(), free_address().unwrap().to_string()];
    // Only the addresses are others.
    let page = std::fs::read_to_string(repository().join("docs/new-flow.md")).unwrap();
    let page = page.replace("localhost:9092", kafka.bootstrap()).replace("http://localhost:8080", &base);
    let page = page.replace("127.0.0.1:9464", &metrics).replace("127.0.0.1:9465", &intake);
    let folder = tempfile::Builder::new().prefix("xconnector-new-flow-").tempdir().unwrap();
    let mut connector = None;
    for (kind, text) in blocks(&page) {
        match kind {
            "toml" => {
                let (name, text) = text.split_once('\n').unwrap();
                std::fs::write(folder.path().join(name.trim_start_matches("# ")), text).unwrap();
            }
            "console" => {
                for line in text.lines().filter_map(|line| line.strip_prefix("$ ")) {
                    if line == "xconnector run" {
                        let config = folder.path().join("xconnector.toml");
                        let running = connector.insert(Connector::run(&config, &[] as &[&str]).await.unwrap());
                        running.logged("the HTTP intake listens").await.unwrap();
                    } else {
                        run(line, folder.path()).await;
                    }
                }
            }
            other => panic!("nobody knows what to do with a block of {other:?}"),
        }
    }
    let log = || connector.as_ref().map(Connector::log).unwrap_or_default();
    let replies = "equipment-loan.replies.v1";
    let accepted = read_until(kafka, replies, 1, DEADLINE).await.unwrap_or_else(|error| panic!("{error:#}\n{}", log()));
    assert_eq!(accepted[0].header("ce_type"), Some("xconnector.accepted.v1"));
    let engine = Engine::new(flowable.client_settings()).unwrap();
    complete_open_tasks(&engine, "clerks", 1).await;
    let outcome = read_until(kafka, replies, 2, DEADLINE).await.unwrap_or_else(|error| panic!("{error:#}\n{}", log()));
    let outcome = outcome.iter().find(|reply| reply.header("ce_type") == Some("xconnector.outcome.v1")).unwrap();
    assert_eq!(outcome.key_text(), "R-1", "the key of the request");
    assert_eq!(outcome.json().unwrap()["decision"], "resolved");
}
