//! A sweep gives every root instance once, however the engine cuts its pages and whatever happens meanwhile.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use workflow_client::{Engine, Fault, Instance, SweepSource};

use crate::server::{Reply, Seen, Server, reply};

const BEGIN: &str = "2026-11-26T10:00:00.000Z";

fn at(millis: i64) -> Timestamp {
    BEGIN.parse::<Timestamp>().unwrap() + SignedDuration::from_millis(millis)
}

fn row(id: usize, millis: i64) -> Value {
    json!({"id": format!("i{id:04}"), "processDefinitionId": "triage:3:abc", "startTime": at(millis).to_string(),
           "variables": []})
}

/// What an engine answers that holds `all`, in the order of starting, and gives at most `cap` rows.
fn answer(seen: &Seen, all: &[Value], cap: usize) -> Reply {
    let after: Timestamp = seen.query["startedAfter"].parse().unwrap();
    let (first, size) = match seen.query.get("start") {
        Some(_) => (seen.number("start"), seen.number("size")),
        None => (seen.number("offset"), seen.number("count")),
    };
    let matches: Vec<&Value> =
        all.iter().filter(|row| row["startTime"].as_str().unwrap().parse::<Timestamp>().unwrap() > after).collect();
    let rows: Vec<&Value> = matches.iter().skip(first).take(size.min(cap)).copied().collect();
    let total = matches.len();
    if seen.query.contains_key("start") {
        return reply(200, json!({"data": rows, "total": total}));
    }
    let mut page = json!({"page": {"totalElements": total}});
    if !rows.is_empty() {
        page["_embedded"] = json!({"historic-process-instances": rows});
    }
    reply(200, page)
}

async fn swept(engine: &Engine) -> Result<Vec<String>, Fault> {
    let mut sweep = engine.sweep("triage", at(0), SweepSource::History).unwrap();
    let mut ids = Vec::new();
    while let Some(page) = sweep.next_page().await.map_err(|error| error.fault)? {
        ids.extend(page.into_iter().map(|instance: Instance| instance.id));
    }
    Ok(ids)
}

fn expected(ids: impl IntoIterator<Item = usize>) -> Vec<String> {
    ids.into_iter().map(|id| format!("i{id:04}")).collect()
}

#[tokio::test]
async fn every_instance_is_given_once_whatever_the_page_size_and_however_many_started_together() {
    // how many start at the same millisecond
    for together in [1, 7, 250] {
        for (cap, count) in [(100, 0), (100, 1), (100, 100), (100, 250), (10, 95), (1, 5)] {
            let all: Vec<Value> = (0..count).map(|id| row(id, (id / together) as i64)).collect();
            let server = Server::start(move |seen, _| answer(seen, &all, cap)).await;
            for engine in [server.flowable(), server.opentext()] {
                assert_eq!(swept(&engine).await, Ok(expected(0..count)), "{together} together, {cap} of {count}");
            }
        }
    }
}

#[tokio::test]
async fn instances_that_go_away_meanwhile_hide_none_that_stays() {
    // between two pages everything that was shown first disappears: by offset, the next hundred would be skipped
    for together in [1, 300] {
        let all: Vec<Value> = (0..250).map(|id| row(id, (id / together) as i64)).collect();
        let server = Server::start(move |seen, number| match number {
            0 => answer(seen, &all, 100),
            _ => answer(seen, &all[100..], 100),
        })
        .await;
        assert_eq!(swept(&server.flowable()).await, Ok(expected(0..250)), "{together} together");
    }
}

#[tokio::test]
async fn a_list_that_never_rests_is_unknown() {
    let all: Vec<Value> = (0..900).map(|id| row(id, 0)).collect();
    let server = Server::start(move |seen, number| answer(seen, &all[number..], 100)).await;
    assert_eq!(swept(&server.flowable()).await, Err(Fault::BadAnswer));
}

#[tokio::test]
async fn a_list_that_loses_rows_with_every_page_is_read_to_its_end_all_the_same() {
    // by offset, no page would fit to the one before
    let all: Vec<Value> = (0..900).map(|id| row(id, id as i64)).collect();
    let server = Server::start(move |seen, number| answer(seen, &all[50 * number..], 100)).await;
    assert_eq!(swept(&server.flowable()).await, Ok(expected(0..900)));
}

#[tokio::test]
async fn an_engine_that_ignores_filter_order_or_paging_is_found_out() {
    let many = |order: fn(i64) -> i64| (0..300).map(|id| row(id, order(id as i64))).collect::<Vec<Value>>();
    let (early, unsorted) = (many(|id| 5_000 * id - 60_000), many(|id| 5_000 * (300 - id)));
    let cut: Vec<Value> = (0..10).map(|id| row(id, 0)).collect();
    let undated = vec![json!({"id": "i0000", "variables": []})];
    let cases = [
        ("the engine ignores startedAfter", early, Some(300)),
        ("the engine does not sort by startTime", unsorted, Some(300)),
        ("more rows are announced than can be read", cut, None),
        ("without start or end time", undated, Some(1)),
    ];
    for (what, rows, total) in cases {
        let server = Server::start(move |_, _| match total {
            Some(total) => reply(200, json!({"data": rows[..rows.len().min(100)], "total": total})),
            None => reply(200, json!({"data": rows})),
        })
        .await;
        let mut sweep = server.flowable().sweep("triage", at(0), SweepSource::History).unwrap();
        let error = loop {
            match sweep.next_page().await {
                Ok(page) => assert!(page.is_some(), "{what}: it ended as if it were whole"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.fault, Fault::BadAnswer);
        assert!(error.message.contains(what), "{what}: {error}");
    }
}

#[tokio::test]
async fn children_and_other_definitions_are_left_out() {
    let mut child = row(1, 1);
    child["superProcessInstanceId"] = json!("i0000");
    let mut other = row(2, 2);
    other["processDefinitionId"] = json!("refund:1:abc");
    let all = vec![row(0, 0), child, other, row(3, 3)];
    let server = Server::start(move |seen, _| answer(seen, &all, 100)).await;
    assert_eq!(swept(&server.flowable()).await, Ok(expected([0, 3])));
    let query = server.last().query;
    assert_eq!((query["processDefinitionKey"].as_str(), query["excludeSubprocesses"].as_str()), ("triage", "true"));
}

#[tokio::test]
async fn a_page_that_failed_is_asked_for_again() {
    let all: Vec<Value> = (0..150).map(|id| row(id, id as i64)).collect();
    let server = Server::start(move |seen, number| match number {
        1 => reply(503, "busy"),
        _ => answer(seen, &all, 100),
    })
    .await;
    let mut sweep = server.flowable().sweep("triage", at(0), SweepSource::Running).unwrap();
    assert_eq!(sweep.next_page().await.unwrap().map(|page| page.len()), Some(100));
    assert_eq!(sweep.next_page().await.unwrap_err().fault, Fault::Unavailable);
    assert_eq!(sweep.next_page().await.unwrap().map(|page| page.len()), Some(50));
    assert_eq!(sweep.next_page().await.unwrap(), None);
}
