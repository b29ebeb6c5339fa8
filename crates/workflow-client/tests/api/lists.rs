//! Lists are read to their true end, and only rows that answer the question are believed.

use serde_json::{Value, json};
use workflow_client::{Fault, Instance};

use crate::server::{Reply, Seen, Server, reply};

fn row(id: usize) -> Value {
    json!({"id": format!("i{id:04}"), "businessKey": "ticket/7", "processDefinitionId": "triage:3:abc",
           "variables": [{"name": "xcEventId", "type": "string", "value": format!("e{id}"), "scope": "local"}]})
}

/// The rows that a server with `total` rows and a cap on its page size answers.
fn rows(first: usize, size: usize, cap: usize, total: usize) -> Vec<Value> {
    (first..total.min(first + size.min(cap))).map(row).collect()
}

fn flowable_page(seen: &Seen, cap: usize, total: usize) -> Reply {
    let first = seen.number("start");
    reply(200, json!({"data": rows(first, seen.number("size"), cap, total), "total": total, "start": first}))
}

fn hal(rows: Vec<Value>, more: Value) -> Value {
    let mut answer = more;
    if !rows.is_empty() {
        answer["_embedded"] = json!({"process-instances": rows});
    }
    answer
}

fn ids(instances: Vec<Instance>) -> Vec<String> {
    instances.into_iter().map(|instance| instance.id).collect()
}

fn expected(total: usize) -> Vec<String> {
    (0..total).map(|id| format!("i{id:04}")).collect()
}

#[tokio::test]
async fn flowable_lists_are_read_whole_whatever_the_page_size() {
    for (cap, total, calls) in [(1, 5, 5), (100, 100, 1), (100, 101, 2), (100, 0, 1), (30, 250, 9)] {
        let server = Server::start(move |seen, _| flowable_page(seen, cap, total)).await;
        let engine = server.flowable();
        assert_eq!(ids(engine.running("triage", "ticket/7").await.unwrap()), expected(total));
        assert_eq!(engine.calls().of("running"), calls, "cap {cap}, total {total}");
    }
}

#[tokio::test]
async fn hal_lists_are_read_whole_by_total_by_link_or_to_the_empty_page() {
    type Envelope = fn(usize, usize) -> Value;
    let by_total: Envelope = |_, _| json!({"page": {"totalElements": 5}});
    let by_link: Envelope = |next, total| match next < total {
        true => json!({"_links": {"self": {"href": "x"}, "next": {"href": "x"}}}),
        false => json!({"_links": {"self": {"href": "x"}}}),
    };
    let silent: Envelope = |_, _| json!({});
    for (envelope, calls) in [(by_total, 5), (by_link, 5), (silent, 6)] {
        let server = Server::start(move |seen, _| {
            let first = seen.number("offset");
            reply(200, hal(rows(first, seen.number("count"), 1, 5), envelope(first + 1, 5)))
        })
        .await;
        let engine = server.opentext();
        assert_eq!(ids(engine.historic("triage", "ticket/7").await.unwrap()), expected(5));
        assert_eq!(engine.calls().of("historic"), calls);
    }
}

#[tokio::test]
async fn an_empty_hal_list_is_empty() {
    for answer in [
        json!({"_links": {"self": {}}, "page": {"totalElements": 0}}),
        json!({"links": {"empty": true}, "content": []}),
    ] {
        let server = Server::start(move |_, _| reply(200, &answer)).await;
        assert_eq!(server.opentext().running("triage", "ticket/7").await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_list_that_may_be_cut_is_unknown_and_never_short() {
    let ten: Vec<Value> = (0..10).map(row).collect();
    let cut = hal(ten, json!({}));
    let announced = json!({"_embedded": {"process-instances": [row(0)]}, "page": {"totalElements": 3}});
    let linked = json!({"_embedded": {"process-instances": [row(0)]}, "_links": {"next": {"href": "x"}}});
    let nothing = json!({"page": {"totalElements": 3}});
    for answer in [cut, announced, linked, nothing, json!({"message": "please log in"})] {
        let shown = answer.to_string();
        let server = Server::start(move |_, _| reply(200, &answer)).await;
        let error = server.opentext().running("triage", "ticket/7").await.unwrap_err();
        assert_eq!(error.fault, Fault::BadAnswer, "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_ignores_paging_and_gives_all_is_believed() {
    let three = hal((0..3).map(row).collect(), json!({}));
    let server = Server::start(move |_, _| reply(200, &three)).await;
    assert_eq!(ids(server.opentext().running("triage", "ticket/7").await.unwrap()), expected(3));
    assert_eq!(server.seen().len(), 2, "the second page shows that nothing new comes");
}

#[tokio::test]
async fn a_list_that_changes_while_it_is_read_is_read_again() {
    // 150 rows; before the second page one of the first page disappears, so that a row slips over the border.
    let server = Server::start(|seen, number| match number {
        0 => flowable_page(seen, 100, 150),
        _ => flowable_page(seen, 100, 149),
    })
    .await;
    assert_eq!(ids(server.flowable().running("triage", "ticket/7").await.unwrap()), expected(149));
    assert_eq!(server.seen().len(), 4);

    let restless = Server::start(|seen, number| flowable_page(seen, 100, 150 - number)).await;
    let error = restless.flowable().running("triage", "ticket/7").await.unwrap_err();
    assert_eq!(error.fault, Fault::BadAnswer);
}

#[tokio::test]
async fn rows_that_a_misread_filter_let_through_are_dropped() {
    let mut other_key = row(1);
    other_key["businessKey"] = json!("ticket/8");
    let mut no_key = row(2);
    no_key["businessKey"] = Value::Null;
    let mut other_definition = row(3);
    other_definition["processDefinitionId"] = json!("refund:1:abc");
    let mut child = row(4);
    child["superProcessInstanceId"] = json!("i0000");
    let mut no_definition = row(5);
    no_definition["processDefinitionId"] = Value::Null;
    let all = json!({"total": 6, "data": [row(0), other_key, no_key, other_definition, child, no_definition]});
    let server = Server::start(move |_, _| reply(200, &all)).await;
    let kept = ids(server.flowable().historic("triage", "ticket/7").await.unwrap());
    assert_eq!(kept, ["i0000", "i0005"], "a row without a definition cannot be checked and stays");
}

#[tokio::test]
async fn variables_come_with_the_rows_or_are_known_to_be_unknown() {
    let mut bare = row(1);
    bare.as_object_mut().unwrap().remove("variables");
    let answer = json!({"total": 2, "data": [row(0), bare]});
    let server = Server::start(move |_, _| reply(200, &answer)).await;
    let found = server.flowable().running("triage", "ticket/7").await.unwrap();
    assert_eq!(found[0].variable("xcEventId").and_then(|value| value.as_str()), Some("e0"));
    assert_eq!(found[1].variables, None);
    assert_eq!(server.last().query["includeProcessVariables"], "true");
}

#[tokio::test]
async fn a_row_without_an_id_makes_the_answer_a_bad_one() {
    let answer = json!({"total": 1, "data": [{"businessKey": "ticket/7"}]});
    let server = Server::start(move |_, _| reply(200, &answer)).await;
    let error = server.flowable().running("triage", "ticket/7").await.unwrap_err();
    assert_eq!(error.fault, Fault::BadAnswer);
}
