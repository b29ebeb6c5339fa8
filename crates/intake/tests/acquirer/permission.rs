//! While this worker may not acquire, the engine is not asked.

use std::time::Duration;

use crate::parts::{Acquirer, JobsReader, ScriptedEngine, broker, jobs, until};

/// Longer than anything that the acquirer could be waiting for. Takes no time: the clock is stopped, and jumps.
const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn nothing_is_acquired_before_it_is_permitted_nor_after_it_is_withdrawn() {
    let broker = broker();
    let engine = ScriptedEngine::start(|_, _| jobs(&["j1"])).await;
    let acquirer = Acquirer::start(&broker, &engine, &["outcome"], false);

    tokio::time::pause();
    tokio::time::sleep(LONG).await;
    tokio::time::resume();
    assert_eq!(engine.asked().len(), 0);

    acquirer.may_acquire.send(true).unwrap();
    assert_eq!(JobsReader::of(&broker).next_id().await, "j1");
    assert_eq!(acquirer.metric("xconnector_intake_acquiring", None), 1);

    acquirer.may_acquire.send(false).unwrap();
    until("the acquirer rests", || acquirer.metric("xconnector_intake_acquiring", None) == 0).await;
    let asked = engine.asked().len();
    tokio::time::pause();
    tokio::time::sleep(LONG).await;
    tokio::time::resume();
    assert_eq!(engine.asked().len(), asked);
    acquirer.stop().await;
}

#[tokio::test]
async fn a_permission_that_nobody_vouches_for_is_none() {
    let broker = broker();
    let engine = ScriptedEngine::start(|_, _| jobs(&[])).await;
    let mut acquirer = Acquirer::start(&broker, &engine, &["outcome"], true);
    engine.asked_times(1).await;

    acquirer.may_acquire = tokio::sync::watch::channel(true).0;
    until("the acquirer rests", || acquirer.metric("xconnector_intake_acquiring", None) == 0).await;
    let asked = engine.asked().len();
    // the clock jumps only while every task waits: a loop that spins would never let this end
    tokio::time::pause();
    tokio::time::sleep(LONG).await;
    tokio::time::resume();
    assert_eq!(engine.asked().len(), asked);
    acquirer.stop().await;
}
