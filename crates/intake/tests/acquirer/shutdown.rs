//! Shutdown asks for nothing more, writes what is locked, and is bounded.

use std::time::Duration;

use crate::parts::{Acquirer, JobsReader, ScriptedEngine, broker, jobs};

#[tokio::test]
async fn jobs_whose_lock_was_under_way_are_still_written() {
    let broker = broker();
    let engine = ScriptedEngine::start(|_, _| jobs(&["j1", "j2", "j3"])).await;
    engine.gate.forget_permits(usize::MAX);
    let acquirer = Acquirer::start(&broker, &engine, &["outcome"], true);

    engine.asked_times(1).await;
    acquirer.shutdown.send(true).unwrap();
    engine.gate.add_permits(1_000);
    acquirer.ended().await.unwrap();

    let reader = JobsReader::of(&broker);
    for expected in ["j1", "j2", "j3"] {
        assert_eq!(reader.next_id().await, expected);
    }
    assert_eq!(engine.asked().len(), 1, "a full batch is followed by no other after the shutdown");
}

#[tokio::test]
async fn a_kafka_that_does_not_answer_holds_up_no_shutdown() {
    let broker = broker();
    broker.broker_down(1).unwrap();
    let engine = ScriptedEngine::start(|_, _| jobs(&["j1"])).await;
    let acquirer = Acquirer::start(&broker, &engine, &["outcome"], true);

    engine.asked_times(1).await;
    acquirer.shutdown.send(true).unwrap();
    // the clock jumps over the bound, and would jump over the test's own deadline without it
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    acquirer.ended().await.unwrap();
    assert!(started.elapsed() <= Duration::from_secs(11), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_flow_without_jobs_waits_for_the_shutdown() {
    let broker = broker();
    let engine = ScriptedEngine::start(|_, _| jobs(&[])).await;
    let acquirer = Acquirer::start(&broker, &engine, &[], true);

    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    tokio::time::resume();
    assert!(acquirer.is_running());
    acquirer.stop().await;
    assert_eq!(engine.asked().len(), 0);
}
