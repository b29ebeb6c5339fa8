//! What is locked ends on the jobs topic.

use std::collections::BTreeSet;

use serde_json::json;

use crate::parts::{Acquirer, JobsReader, ScriptedEngine, broker, jobs};

#[tokio::test]
async fn an_acquired_job_stands_on_the_jobs_topic_under_its_instance() {
    let broker = broker();
    let engine = ScriptedEngine::start(|_, before| if before == 0 { jobs(&["j1"]) } else { jobs(&[]) }).await;
    let acquirer = Acquirer::start(&broker, &engine, &["outcome"], true);

    let (key, job) = JobsReader::of(&broker).next().await;
    assert_eq!((key.as_str(), job.process_instance_id.as_str()), ("i-j1", "i-j1"));
    assert_eq!((job.job_id.as_str(), job.correlation_id.as_deref()), ("j1", Some("c-j1")));
    assert_eq!((job.topic.as_str(), job.element_id.as_deref()), ("outcome", Some("publishOutcome")));
    assert_eq!(job.process_definition_id.as_deref(), Some("ticket_triage:1:x"));
    assert_eq!((job.retries, job.variables.get("decision")), (Some(3), Some(&json!("approved"))));
    assert_eq!(job.lock_expires_at.unwrap().to_string(), "2030-01-01T00:00:00Z");

    let asked = engine.asked().remove(0);
    assert_eq!((asked.worker.as_str(), asked.lock.as_str(), asked.max), ("deployment-a", "PT30S", 3));
    assert_eq!(acquirer.metric("xconnector_intake_jobs_acquired_total", None), 1);
    acquirer.stop().await;
}

#[tokio::test]
async fn jobs_of_a_batch_keep_the_engines_order() {
    let broker = broker();
    let engine = ScriptedEngine::start(|_, before| match before {
        0 => jobs(&["j1", "j2", "j3"]),
        1 => jobs(&["j4"]),
        2.. => jobs(&[]),
    })
    .await;
    let acquirer = Acquirer::start(&broker, &engine, &["outcome"], true);

    let reader = JobsReader::of(&broker);
    for expected in ["j1", "j2", "j3", "j4"] {
        assert_eq!(reader.next_id().await, expected);
    }
    acquirer.stop().await;
}

#[tokio::test]
async fn exclusive_siblings_that_block_every_batch_come_one_by_one() {
    let broker = broker();
    // the engine rolls back every batch that holds two of them
    let left = std::sync::Mutex::new(vec!["j3", "j2", "j1"]);
    let engine = ScriptedEngine::start(move |asked, _| {
        let mut left = left.lock().unwrap();
        if asked.max > 1 && left.len() > 1 { jobs(&[]) } else { jobs(left.pop().as_slice()) }
    })
    .await;
    let acquirer = Acquirer::start(&broker, &engine, &["outcome"], true);

    let reader = JobsReader::of(&broker);
    for expected in ["j1", "j2", "j3"] {
        assert_eq!(reader.next_id().await, expected);
    }
    assert!(acquirer.metric("xconnector_intake_empty_polls_total", None) >= 4);
    acquirer.stop().await;
}

#[tokio::test]
async fn a_topic_whose_answer_is_late_holds_up_no_other_topic() {
    let broker = broker();
    let engine = ScriptedEngine::start(|asked, _| jobs(if asked.topic == "assign" { &["j2"] } else { &[] })).await;
    // no answer gets out
    engine.gate.forget_permits(usize::MAX);
    let acquirer = Acquirer::start(&broker, &engine, &["outcome", "assign"], true);

    engine.asked_times(2).await;
    let topics: BTreeSet<String> = engine.asked().into_iter().map(|asked| asked.topic).collect();
    assert_eq!(topics, BTreeSet::from(["assign".to_owned(), "outcome".to_owned()]), "both wait at the same time");
    engine.gate.add_permits(1_000);
    assert_eq!(JobsReader::of(&broker).next_id().await, "j2");
    acquirer.stop().await;
}
