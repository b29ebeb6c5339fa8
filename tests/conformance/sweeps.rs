//! Reading through everything that a definition has started: what an audit compares

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use workflow_client::{Instance, Start, SweepSource, Variable, VariableValue};

use super::subject::Subject;

/// More than one page of the client's, and many of the engine's default of 10
const MANY: usize = 230;
const ENDED: usize = 110;

async fn swept(on: &Subject, key: &str, since: Timestamp, source: SweepSource) -> Vec<Instance> {
    let mut sweep = on.engine.sweep(key, since, source).unwrap();
    let mut all = Vec::new();
    while let Some(page) = sweep.next_page().await.unwrap() {
        all.extend(page);
    }
    all
}

fn long_ago() -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24)
}

pub(super) async fn every_instance_is_given_once_with_its_mark(on: &Subject) {
    let key = on.deploy("approval").await;
    let mut started = BTreeMap::new();
    for number in 0..MANY {
        let mark = format!("tickets/{number}");
        let instance = on.start(&key, "shared", &[Variable::new("xcEventId", mark.as_str())]).await;
        if number < ENDED {
            on.engine.terminate(&instance.id, "xc:duplicate").await.unwrap();
        }
        started.insert(instance.id, (mark, number < ENDED));
    }

    let history = swept(on, &key, long_ago(), SweepSource::History).await;
    let running = swept(on, &key, long_ago(), SweepSource::Running).await;

    assert!(history.is_sorted_by_key(|instance| instance.start_time));
    let seen: BTreeMap<String, (String, bool)> = history
        .iter()
        .map(|instance| {
            let mark = instance.variable("xcEventId").and_then(VariableValue::as_str).unwrap().to_owned();
            assert_eq!(instance.is_ended(), instance.delete_reason.as_deref() == Some("xc:duplicate"));
            (instance.id.clone(), (mark, instance.is_ended()))
        })
        .collect();
    assert_eq!(history.len(), MANY, "each once");
    assert_eq!(seen, started);
    let mut running: Vec<String> = running.into_iter().map(|instance| instance.id).collect();
    running.sort();
    let expected: Vec<&String> = started.iter().filter(|(_, (_, ended))| !ended).map(|(id, _)| id).collect();
    assert_eq!(running.iter().collect::<Vec<_>>(), expected);
}

pub(super) async fn what_has_ended_is_given_in_the_order_of_its_end(on: &Subject) {
    let key = on.deploy("approval").await;
    let mut started = Vec::new();
    for number in 0..5 {
        let mark = format!("tickets/{number}");
        started.push(on.start(&key, "shared", &[Variable::new("xcEventId", mark.as_str())]).await);
    }
    let mut ended = Vec::new();
    for instance in [&started[3], &started[0], &started[4]] {
        on.engine.terminate(&instance.id, "xc:duplicate").await.unwrap();
        ended.push(instance.id.clone());
        // Times are shown by the millisecond.
        let next = on.ended(instance).await.end_time().unwrap() + SignedDuration::from_millis(2);
        while Timestamp::now() < next {
            tokio::task::yield_now().await;
        }
    }
    let found = swept(on, &key, long_ago(), SweepSource::Ended).await;
    assert_eq!(found.iter().map(|instance| instance.id.clone()).collect::<Vec<_>>(), ended);
    assert!(found.iter().all(|instance| instance.variable("xcEventId").is_some()));
    let last = found.last().and_then(Instance::end_time).unwrap() + SignedDuration::from_secs(2);
    assert!(swept(on, &key, last, SweepSource::Ended).await.is_empty());
}

pub(super) async fn what_started_before_is_left_out(on: &Subject) {
    let key = on.deploy("approval").await;
    let before = on.start(&key, "shared", &[]).await;
    let mut after = on.start(&key, "shared", &[]).await;
    while after.start_time <= before.start_time {
        after = on.start(&key, "shared", &[]).await;
    }
    for source in [SweepSource::History, SweepSource::Running] {
        let found = swept(on, &key, after.start_time.unwrap(), source).await;
        assert_eq!(found.iter().map(|instance| &instance.id).collect::<Vec<_>>(), [&after.id], "{source:?}");
    }
}

pub(super) async fn the_instance_of_a_call_activity_is_left_out(on: &Subject) {
    let called = on.deploy("approval").await;
    let caller = on.deploy("caller").await;
    let variables = [Variable::new("called", called.as_str()), Variable::new("xcEventId", "tickets/1")];
    let start = Start { definition: &caller, business_key: "order/1", name: None, variables: &variables };
    let instance = on.engine.start(&start).await.unwrap();
    for source in [SweepSource::History, SweepSource::Running] {
        let found = swept(on, &caller, long_ago(), source).await;
        assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&instance.id]);
        assert_eq!(swept(on, &called, long_ago(), source).await, []);
    }
}

pub(super) async fn history_holds_what_runs_where_the_dialect_says_so(on: &Subject) {
    let (key, instance) = on.started("approval", &[]).await;
    let found = swept(on, &key, long_ago(), SweepSource::History).await;
    let listed = found.iter().any(|found| found.id == instance.id && !found.is_ended());
    assert!(listed || !on.engine.history_lists_running(), "one read of history would miss what runs");
}
