//! Instances, messages and probes: what each dialect sends, and that its answers are understood.

use serde_json::{Value, json};
use workflow_client::{Endpoint, ExecutionId, Fault, Start, Variable};

use crate::dialects::{FLOWABLE, OPENTEXT, answering, list, pairs, query};
use crate::server::Seen;

#[tokio::test]
async fn a_start_sends_key_business_key_and_typed_variables() {
    for (dialect, line) in
        [(FLOWABLE, "POST /process-api/runtime/process-instances"), (OPENTEXT, "POST /workflow/v1/process-instances")]
    {
        let answer = json!({"id": "i1", "businessKey": "ticket/7", "startTime": "2026-01-02T03:04:05.678+0000"});
        let (server, engine) = answering(dialect, 201, answer).await;
        let variables = [
            Variable::new("region", "emea"),
            Variable::from_json("amount", json!(3_000_000_000_u64)).unwrap(),
            Variable::from_json("xc", json!({"topic": "t"})).unwrap(),
        ];
        let start = Start { definition: "triage", business_key: "ticket/7", name: Some("T7"), variables: &variables };
        let instance = engine.start(&start).await.unwrap();
        assert_eq!(instance.start_time.unwrap().to_string(), "2026-01-02T03:04:05.678Z");
        let seen = server.last();
        assert_eq!(seen.line(), line);
        assert_eq!(seen.headers["content-type"], "application/json");
        assert_eq!(
            seen.json(),
            json!({"processDefinitionKey": "triage", "businessKey": "ticket/7", "name": "T7",
                "returnVariables": false, "variables": [
                    {"name": "region", "type": "string", "value": "emea"},
                    {"name": "amount", "type": "long", "value": 3_000_000_000_u64},
                    {"name": "xc", "type": "json", "value": {"topic": "t"}}]})
        );
    }
}

#[tokio::test]
async fn instances_are_asked_for_by_definition_and_business_key() {
    let filters = pairs(&[
        ("processDefinitionKey", "triage"),
        ("businessKey", "ticket/7 & more"),
        ("excludeSubprocesses", "true"),
        ("includeProcessVariables", "true"),
    ]);
    for (dialect, runtime, history, paging) in [
        (
            FLOWABLE,
            "GET /process-api/runtime/process-instances",
            "GET /process-api/history/historic-process-instances",
            ["start", "size"],
        ),
        (
            OPENTEXT,
            "GET /workflow/v1/process-instances",
            "GET /workflow-history/v1/historic-process-instances",
            ["offset", "count"],
        ),
    ] {
        let (server, engine) = answering(dialect, 200, list(dialect, "process-instances", json!([]))).await;
        assert_eq!(engine.running("triage", "ticket/7 & more").await.unwrap(), []);
        assert_eq!(engine.historic("triage", "ticket/7 & more").await.unwrap(), []);
        let seen = server.seen();
        assert_eq!([seen[0].line(), seen[1].line()], [runtime, history]);
        for seen in &seen {
            assert_eq!(query(seen, &paging), filters);
            assert_eq!(paging.map(|name| seen.query[name].as_str()), ["0", "100"]);
        }
    }
}

#[tokio::test]
async fn an_instance_from_history_comes_with_variables_and_its_end() {
    let row = json!({"id": "i1", "businessKey": "ticket/7", "processDefinitionId": "triage:3:abc",
        "startTime": "2020-04-02T17:15:11.315+05:30", "endTime": "2020-04-02T17:20:18.722+05:30",
        "endActivityId": "done", "deleteReason": null, "durationInMillis": 5,
        "variables": [{"name": "decision", "type": "string", "value": "yes", "scope": "local", "encryption": false}]});
    for (dialect, answer, line) in [
        (FLOWABLE, list(FLOWABLE, "", json!([row])), "GET /process-api/history/historic-process-instances"),
        (OPENTEXT, row.clone(), "GET /workflow-history/v1/historic-process-instances/i1"),
    ] {
        let (server, engine) = answering(dialect, 200, answer).await;
        let instance = engine.instance_history("i1").await.unwrap().unwrap();
        assert!(instance.is_ended() && instance.is_root());
        assert_eq!(instance.end_time().unwrap().to_string(), "2020-04-02T11:50:18.722Z");
        assert_eq!(instance.definition_key(), Some("triage"));
        assert_eq!(instance.variable("decision").unwrap().as_str(), Some("yes"));
        assert_eq!(server.last().line(), line);
        assert_eq!(server.last().query["includeProcessVariables"], "true");
    }
    let (server, engine) = answering(FLOWABLE, 200, list(FLOWABLE, "", json!([row]))).await;
    assert_eq!(engine.instance_history("i2").await.unwrap(), None, "a row of another instance is no answer");
    assert_eq!(server.last().query["processInstanceId"], "i2");
    let (_server, engine) = answering(OPENTEXT, 404, json!({"message": "Not found"})).await;
    assert_eq!(engine.instance_history("i1").await.unwrap(), None);
}

#[tokio::test]
async fn an_end_with_an_unreadable_date_is_still_an_end() {
    let (_server, engine) = answering(OPENTEXT, 200, json!({"id": "i1", "endTime": "last Tuesday"})).await;
    let instance = engine.instance_history("i1").await.unwrap().unwrap();
    assert_eq!((instance.is_ended(), instance.end_time()), (true, None));
}

#[tokio::test]
async fn a_message_goes_to_the_waiting_execution_and_never_as_a_trigger() {
    let found =
        json!([{"id": "e1", "parentId": "i1", "processInstanceId": "i1"}, {"id": "e2", "processInstanceId": "i2"}]);
    for (dialect, executions) in
        [(FLOWABLE, "/process-api/runtime/executions"), (OPENTEXT, "/workflow/v1/process-instances/executions")]
    {
        let (server, engine) = answering(dialect, 200, list(dialect, "executions", found.clone())).await;
        let waiting = engine.waiting("i1", "ticketUpdated").await.unwrap();
        assert_eq!(waiting, [ExecutionId("e1".to_owned())], "the execution of another instance is dropped");
        assert_eq!(server.last().line(), format!("GET {executions}"));
        assert_eq!(server.last().query["messageEventSubscriptionName"], "ticketUpdated");
        assert_eq!(server.last().query["processInstanceId"], "i1");

        let (server, engine) = answering(dialect, 204, Value::Null).await;
        engine.deliver(&waiting[0], "ticketUpdated", &[Variable::new("n", 1)]).await.unwrap();
        assert_eq!(server.last().line(), format!("PUT {executions}/e1"));
        assert_eq!(
            server.last().json(),
            json!({"action": "messageEventReceived", "messageName": "ticketUpdated",
                   "variables": [{"name": "n", "type": "long", "value": 1}]})
        );
    }
}

#[tokio::test]
async fn a_terminated_instance_is_named_with_its_reason() {
    for (dialect, line) in [
        (FLOWABLE, "DELETE /process-api/runtime/process-instances/i1"),
        (OPENTEXT, "DELETE /workflow/v1/process-instances/i1"),
    ] {
        let (server, engine) = answering(dialect, 204, Value::Null).await;
        engine.terminate("i1", "xc:e1").await.unwrap();
        assert_eq!((server.last().line().as_str(), server.last().query["deleteReason"].as_str()), (line, "xc:e1"));
        let (_server, engine) = answering(dialect, 404, json!({"message": "Not found"})).await;
        assert_eq!(engine.terminate("i1", "xc:e1").await.unwrap_err().fault, Fault::NotFound);
    }
}

#[tokio::test]
async fn a_probe_reads_one_row_that_nobody_has() {
    for (dialect, size, lines) in [
        (
            FLOWABLE,
            "size",
            [
                "/process-api/runtime/process-instances",
                "/process-api/history/historic-process-instances",
                "/external-job-api/jobs",
            ],
        ),
        (
            OPENTEXT,
            "count",
            [
                "/workflow/v1/process-instances",
                "/workflow-history/v1/historic-process-instances",
                "/workflow-job/v1/external-jobs",
            ],
        ),
    ] {
        let (server, engine) = answering(dialect, 200, list(dialect, "x", json!([]))).await;
        engine.probe().await.unwrap();
        engine.probe_endpoint(Endpoint::History).await.unwrap();
        engine.probe_endpoint(Endpoint::Jobs).await.unwrap();
        let seen = server.seen();
        assert_eq!(seen.iter().map(Seen::line).collect::<Vec<_>>(), lines.map(|path| format!("GET {path}")));
        assert!(seen.iter().all(|seen| seen.query[size] == "1" && seen.query.len() == 2 && seen.text.is_empty()));
        let (_server, engine) = answering(dialect, 200, json!({"message": "please log in"})).await;
        assert_eq!(engine.probe().await.unwrap_err().fault, Fault::BadAnswer);
    }
}
