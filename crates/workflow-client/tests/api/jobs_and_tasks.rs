//! External-worker jobs, human tasks and comments, in both dialects.

use std::time::Duration;

use serde_json::{Value, json};
use workflow_client::{
    Acquire, Auth, CommentTarget, Engine, Fault, JobFailure, JobPaths, Settings, TaskFilter, Variable,
};

use crate::dialects::{FLOWABLE, OPENTEXT, answering, list, pairs, query};
use crate::server::{Server, reply};

#[tokio::test]
async fn jobs_are_locked_and_settled() {
    let job = json!({"id": "j1", "correlationId": "c1", "processInstanceId": "i1", "elementId": "decide", "retries": 3,
        "lockOwner": "w", "lockExpirationTime": "2020-05-04T16:35:10.474Z", "url": "http://x",
        "variables": [{"name": "v", "type": "integer", "value": 5}]});
    for (dialect, answer, acquire, settle) in [
        (FLOWABLE, json!([job]), "/external-job-api/acquire/jobs", "/external-job-api/acquire/jobs/j1"),
        (
            OPENTEXT,
            list(OPENTEXT, "external-jobs", json!([job])),
            "/workflow-job/v1/external-jobs",
            "/workflow-job/v1/external-jobs/j1",
        ),
    ] {
        let (server, engine) = answering(dialect, 200, answer).await;
        let lock = Duration::from_millis(90_500);
        let jobs = engine.acquire(&Acquire { topic: "outcome", worker: "w", lock, max: 9 }).await.unwrap();
        assert_eq!((jobs[0].id.as_str(), jobs[0].correlation_id.as_deref()), ("j1", Some("c1")));
        assert!(jobs[0].variables == [Variable::new("v", 5)] && jobs[0].lock_expiration_time.is_some());
        assert_eq!(server.last().line(), format!("POST {acquire}"));
        assert_eq!(
            server.last().json(),
            json!({"topic": "outcome", "workerId": "w", "lockDuration": "PT90.500S", "numberOfTasks": 9})
        );

        let (server, engine) = answering(dialect, 204, Value::Null).await;
        engine.complete_job("j1", "w", &[Variable::new("ok", true)]).await.unwrap();
        let retry_timeout = Some(Duration::from_secs(5));
        let failure = JobFailure { message: "m", details: Some("d"), retries: Some(2), retry_timeout };
        engine.fail_job("j1", "w", &failure).await.unwrap();
        engine.bpmn_error("j1", "w", "alreadyOwned", &[]).await.unwrap();
        let seen = server.seen();
        assert_eq!(seen[0].line(), format!("POST {settle}/complete"));
        assert_eq!(
            seen[0].json(),
            json!({"workerId": "w", "variables": [{"name": "ok", "type": "boolean", "value": true}]})
        );
        assert_eq!(seen[1].line(), format!("POST {settle}/fail"));
        assert_eq!(
            seen[1].json(),
            json!({"workerId": "w", "errorMessage": "m", "errorDetails": "d", "retries": 2, "retryTimeout": "PT5S"})
        );
        assert_eq!(seen[2].line(), format!("POST {settle}/bpmnError"));
        assert_eq!(seen[2].json(), json!({"workerId": "w", "errorCode": "alreadyOwned", "variables": []}));
    }
}

#[tokio::test]
async fn a_job_that_is_not_in_sight_is_open_while_its_instance_is_suspended() {
    let job = json!({"id": "j1", "retries": 3});
    for (dialect, path, instance) in [
        (FLOWABLE, "/external-job-api/jobs/j1", "/process-api/runtime/process-instances/i1"),
        (OPENTEXT, "/workflow-job/v1/external-jobs", "/workflow/v1/process-instances/i1"),
    ] {
        let (there, none) = if dialect == FLOWABLE {
            (reply(200, job.to_string()), reply(404, ""))
        } else {
            let rows = |rows: Value| reply(200, list(dialect, "external-jobs", rows).to_string());
            (rows(json!([job])), rows(json!([])))
        };
        let suspended = |is: bool| reply(200, json!({"id": "i1", "suspended": is}).to_string());
        let cases = [
            (vec![there.clone()], Some(true)),
            (vec![none.clone(), suspended(true)], Some(true)),
            (vec![none.clone(), reply(404, "")], Some(false)),
            (vec![none.clone(), suspended(false), none.clone()], Some(false)),
            (vec![none.clone(), suspended(false), there], Some(true)),
            (vec![none, reply(503, "")], None),
            (vec![reply(403, "")], None),
        ];
        for (number, (answers, expected)) in cases.into_iter().enumerate() {
            let asked = answers.len();
            let server = Server::start(move |_, index| answers[index].clone()).await;
            let engine = if dialect == FLOWABLE { server.flowable() } else { server.opentext() };
            assert_eq!(engine.is_open("j1", "i1").await.ok(), expected, "{dialect}, case {number}");
            let seen: Vec<String> = server.seen().iter().map(|seen| seen.line()).collect();
            let expected = [path, instance, path].map(|path| format!("GET {path}"));
            assert_eq!(seen, expected[..asked], "{dialect}, case {number}");
        }
    }
}

#[tokio::test]
async fn a_list_that_ignores_the_filter_leaves_unknown_whether_a_job_is_open() {
    let other = list(OPENTEXT, "external-jobs", json!([{"id": "j2", "retries": 3}]));
    let (_server, engine) = answering(OPENTEXT, 200, other).await;
    assert_eq!(engine.is_open("j1", "i1").await.unwrap_err().fault, Fault::BadAnswer);
}

#[tokio::test]
async fn job_paths_of_opentext_are_configuration() {
    let server = Server::start(|_, _| reply(204, "")).await;
    let mut settings = Settings::opentext(&server.url, Auth::None);
    settings.job_paths = JobPaths { complete: "v9/{id}/done".into(), ..JobPaths::default() };
    Engine::new(settings).unwrap().complete_job("a/b", "w", &[]).await.unwrap();
    assert_eq!(server.last().line(), "POST /workflow-job/v1/v9/a%2Fb/done");
}

#[tokio::test]
async fn tasks_are_listed_claimed_given_back_and_completed() {
    let row =
        json!({"id": "t1", "assignee": null, "processInstanceId": "i1", "dueDate": "2020-01-01T00:00:00.000+0000"});
    for (dialect, tasks, unclaimed) in [
        (FLOWABLE, "/process-api/runtime/tasks", json!({"action": "claim", "assignee": null})),
        (OPENTEXT, "/workflow/v1/tasks", json!({"action": "unclaim", "assignee": "ann"})),
    ] {
        let (server, engine) = answering(dialect, 200, list(dialect, "tasks", json!([row]))).await;
        for (filter, name, value) in [
            (TaskFilter::Instance("i1"), "processInstanceId", "i1"),
            (TaskFilter::CandidateGroup("agents"), "candidateGroup", "agents"),
            (TaskFilter::BusinessKey("ticket/7"), "processInstanceBusinessKey", "ticket/7"),
        ] {
            assert_eq!(engine.tasks(filter).await.unwrap()[0].id, "t1");
            assert_eq!(server.last().line(), format!("GET {tasks}"));
            assert_eq!(query(&server.last(), &["start", "size", "offset", "count"]), pairs(&[(name, value)]));
        }
        assert_eq!(engine.tasks(TaskFilter::Instance("i9")).await.unwrap(), []);

        let (server, engine) = answering(dialect, 200, Value::Null).await;
        engine.claim("t1", "ann").await.unwrap();
        engine.unclaim("t1", "ann").await.unwrap();
        engine.complete_task("t1", Some("approved"), &[Variable::new("note", "n")]).await.unwrap();
        let seen = server.seen();
        assert!(seen.iter().all(|seen| seen.line() == format!("POST {tasks}/t1")));
        assert_eq!(seen[0].json(), json!({"action": "claim", "assignee": "ann"}));
        assert_eq!(seen[1].json(), unclaimed);
        assert_eq!(
            seen[2].json(),
            json!({"action": "complete", "outcome": "approved",
                   "variables": [{"name": "note", "type": "string", "value": "n"}]})
        );
    }
}

#[tokio::test]
async fn the_audit_trail_has_tasks_and_comments() {
    let task = json!({"id": "t1", "taskDefinitionKey": "decide", "assignee": "ann", "processInstanceId": "i1",
        "startTime": "2020-01-01T00:00:00Z", "createTime": "2020-01-01T00:00:00Z", "endTime": "2020-01-01T01:00:00Z"});
    let comment = json!({"id": "c1", "author": "ann", "message": "fine", "time": "2020-01-01T00:30:00Z"});
    for (dialect, history, comments) in [
        (
            FLOWABLE,
            "/process-api/history/historic-task-instances",
            "/process-api/history/historic-process-instances/i1/comments",
        ),
        (OPENTEXT, "/workflow-history/v1/historic-task-instances", "/workflow/v1/process-instances/i1/comments"),
    ] {
        let (server, engine) = answering(dialect, 200, list(dialect, "tasks", json!([task]))).await;
        let tasks = engine.historic_tasks("i1").await.unwrap();
        assert!(tasks[0].created().is_some() && tasks[0].end_time.is_some());
        assert_eq!(server.last().line(), format!("GET {history}"));
        assert_eq!(server.last().query["processInstanceId"], "i1");
        let with_comments = server.last().query.contains_key("includeTaskComments");
        assert_eq!(with_comments, dialect == OPENTEXT, "Flowable's task rows have no comments");

        let answer = if dialect == FLOWABLE { json!([comment]) } else { list(dialect, "comments", json!([comment])) };
        let (server, engine) = answering(dialect, 200, answer).await;
        assert_eq!(engine.comments("i1").await.unwrap()[0].message, "fine");
        assert_eq!(server.last().line(), format!("GET {comments}"));
        engine.add_comment(CommentTarget::Instance("i1"), "hello").await.unwrap();
        assert_eq!(server.last().line(), format!("POST {comments}"));
        assert_eq!(server.last().json()["message"], "hello");
        engine.add_comment(CommentTarget::Task("t1"), "hello").await.unwrap();
        assert!(server.last().path.ends_with("/tasks/t1/comments"));
        let saved = server.last().json()["saveProcessInstanceId"] == json!(true);
        assert_eq!(saved, dialect == FLOWABLE, "else a task's comment is not listed with its instance");
    }
}

#[tokio::test]
async fn comments_of_an_ended_opentext_instance_come_from_history() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/workflow-history/v1/historic-process-instances" => {
            let comments = json!([{"id": "c1", "message": "fine"}]);
            reply(200, list(OPENTEXT, "historic-process-instances", json!([{"id": "i1", "comments": comments}])))
        }
        _ => reply(404, json!({"message": "Not found"})),
    })
    .await;
    assert_eq!(server.opentext().comments("i1").await.unwrap()[0].message, "fine");
    assert_eq!(server.opentext().comments("i2").await.unwrap_err().fault, Fault::NotFound);
}
