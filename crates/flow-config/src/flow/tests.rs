//! Planning, and the rules of a flow file that need more than one line to show.

use std::collections::BTreeMap;
use std::path::Path;

use event_model::{Event, JobRecord, Offset, Partition, Schemas};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::*;

fn schemas() -> Schemas {
    Schemas::load(Path::new("../../schemas")).expect("the schemas of this repository")
}

fn tickets() -> Flow {
    Flow::load(Path::new("../../flows/tickets"), &schemas()).expect("a good flow")
}

fn ticket(kind: &str, change: impl FnOnce(&mut Json)) -> Event {
    let mut data = json!({
        "ticketId": "T-1", "kind": kind, "title": "No dial tone", "category": "outage", "sla": "gold",
        "channel": "phone", "customer": {"id": "C-1", "name": "N", "type": "private", "region": "FR-EST"}
    });
    change(&mut data);
    let schema = schemas().get("ticket/v1").expect("the schema");
    Event {
        id: "e-1".to_owned(),
        source: "/crm".to_owned(),
        kind: "ticket".to_owned(),
        subject: None,
        time: None,
        correlation_id: None,
        traceparent: None,
        data: schema.check_json(data).expect("a ticket"),
    }
}

fn record(key: Option<&str>) -> event_model::Record {
    event_model::Record {
        coordinates: event_model::Coordinates {
            topic: "crm.tickets.v1".into(),
            partition: Partition::new(0),
            offset: Offset::new(7),
        },
        key: key.map(|key| key.as_bytes().to_vec()),
        value: None,
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

/// The tickets flow with some of its text replaced, without its model.
fn edited(edits: &[(&str, &str)]) -> Result<Flow, Vec<Problem>> {
    let mut text = std::fs::read_to_string("../../flows/tickets/flow.toml").expect("the flow");
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let dir = TempDir::new().expect("a folder");
    std::fs::write(dir.path().join("flow.toml"), text).expect("written");
    Flow::load(dir.path(), &schemas())
}

fn refusal(edits: &[(&str, &str)]) -> String {
    let problems = edited(edits).expect_err("refused");
    problems.iter().map(|problem| format!("{}: {}; {}\n", problem.field, problem.message, problem.help)).collect()
}

#[test]
fn a_new_ticket_starts_a_process_with_its_variables() {
    let planned = tickets().plan(&ticket("created", |_| ()), &record(Some("k"))).expect("planned");
    assert_eq!((planned.key, planned.step), (LaneKey::Key(b"T-1".to_vec()), Some(0)));
    let Some(PlannedAction::Start { definition, business_key, variables }) = planned.action else {
        panic!("not a start");
    };
    assert_eq!((&*definition, business_key.as_str()), ("ticket_triage", "ticket/T-1"));
    let variables: std::collections::BTreeMap<_, _> = variables.into_iter().collect();
    assert_eq!(variables.len(), 9);
    assert_eq!(variables["priority"], json!("high"));
    assert_eq!(variables["team"], json!("support-fr-est"));
    assert_eq!(variables["region"], json!("FR-EST"));
}

#[test]
fn a_change_becomes_a_message_to_the_process_that_the_flow_starts() {
    let planned = tickets().plan(&ticket("updated", |_| ()), &record(None)).expect("planned");
    let Some(PlannedAction::Message { definition, message, variables, hold_for, .. }) = planned.action else {
        panic!("not a message");
    };
    assert_eq!((&*definition, &*message), ("ticket_triage", "ticketUpdated"));
    assert_eq!(hold_for, Duration::from_secs(900));
    assert!(variables.contains(&("comment".into(), Json::Null)), "a null comment is passed on as null");
}

#[test]
fn the_storm_guard_and_the_quarantine_are_set_per_flow() {
    let limits = "[limits]\non_exhausted = \"quarantine-key\"\nmax_quarantined = 7\n";
    let guard = "[storm_guard]\nrun = 20\nwindow = 40\npercent = 80\nfailing_after = \"5s\"\ntrial_after = \"0s\"\n";
    let flow = edited(&[("[reply]", &format!("{limits}{guard}[reply]"))]).expect("good");
    assert_eq!((flow.limits.on_exhausted, flow.limits.max_quarantined), (OnExhausted::QuarantineKey, 7));
    let expected =
        StormGuard { run: 20, window: 40, percent: 80, failing_after: Duration::from_secs(5), trial_after: None };
    assert_eq!(flow.storm_guard, expected);
    assert_eq!((tickets().limits.on_exhausted, tickets().storm_guard), (OnExhausted::Next, StormGuard::default()));
}

#[test]
fn a_withdrawal_ends_the_process() {
    let planned = tickets().plan(&ticket("withdrawn", |_| ()), &record(None)).expect("planned");
    let expected =
        PlannedAction::Terminate { definition: "ticket_triage".into(), business_key: "ticket/T-1".to_owned() };
    assert_eq!(planned.action, Some(expected));
}

#[test]
fn an_event_that_no_step_wants_is_filtered() {
    let flow =
        edited(&[("event.kind == 'withdrawn'", "event.kind == 'withdrawn' && event.sla == 'bronze'")]).expect("good");
    let planned = flow.plan(&ticket("withdrawn", |_| ()), &record(None)).expect("planned");
    assert_eq!((planned.action, planned.step), (None, None));
}

#[test]
fn without_a_key_expression_the_record_key_counts_and_without_that_the_record_is_alone() {
    let flow = edited(&[("key        = \"event.ticketId\"", "")]).expect("good");
    let event = ticket("created", |_| ());
    assert_eq!(flow.lane_key(&event, &record(Some("k"))), Ok(LaneKey::Key(b"k".to_vec())));
    let alone = flow.lane_key(&event, &record(None)).expect("a lane");
    assert_eq!(alone, LaneKey::Alone(record(None).coordinates));
    let bytes: Arc<[u8]> = (&alone).into();
    assert_eq!(&*bytes, b"\0crm.tickets.v1/0@7");
}

#[test]
fn a_business_key_that_the_engine_would_not_take_is_refused_before_sending() {
    let flow = edited(&[("'ticket/' + event.ticketId", "event.ticketId")]).expect("good");
    for (id, fits) in
        [("x".repeat(255), true), ("x".repeat(256), false), (String::new(), false), ("😀".repeat(128), false)]
    {
        let event = ticket("created", |data| data["ticketId"] = json!(id));
        match flow.plan(&event, &record(None)) {
            Ok(_) => assert!(fits, "{} characters", id.len()),
            Err(error) => {
                assert!(!fits, "{error}");
                assert_eq!(error.reason(), "business-key-limit");
                assert!(error.to_string().contains("step 1 (start ticket_triage), step.business_key"), "{error}");
            }
        }
    }
}

#[test]
fn a_wrong_type_at_run_time_names_step_line_and_expression_but_no_data() {
    let flow = edited(&[("\"'ticket/' + event.ticketId\"", "\"dyn(size(event.ticketId))\"")]).expect("good");
    let error = flow.plan(&ticket("created", |_| ()), &record(None)).expect_err("a number");
    assert_eq!(error.reason(), "expression-error");
    let text = error.to_string();
    let place = text.split_once("flow.toml").expect("the file").1;
    assert_eq!(
        place,
        ":20: step 1 (start ticket_triage), step.business_key: `dyn(size(event.ticketId))` must give text, but gave a whole number"
    );
}

#[test]
fn what_is_planned_does_not_show_data_when_it_is_logged() {
    let planned = tickets().plan(&ticket("created", |_| ()), &record(None)).expect("planned");
    let shown = format!("{planned:?}");
    assert!(shown.contains("ticket_triage"), "{shown}");
    for data in ["T-1", "No dial tone", "FR-EST"] {
        assert!(!shown.contains(data), "{shown}");
    }
}

#[test]
fn the_decision_of_a_job_comes_from_its_variables() {
    let flow = tickets();
    let job = publication(&flow);
    assert_eq!(job.include.iter().map(|name| &**name).collect::<Vec<_>>(), ["ticketId", "priority", "team", "owner"]);
    let decide = |vars: Json| job.decision(&with_vars(vars));
    assert_eq!(decide(json!({"decision": "resolved"})), Ok(Some("resolved".to_owned())));
    assert_eq!(decide(json!({"decision": null})), Ok(None));
    let error = decide(json!({"decision": 3})).expect_err("a number").to_string();
    assert!(
        error.ends_with("job tickets.outcome, job.decision: `vars.decision` must give text, but gave a whole number"),
        "{error}"
    );
    let error = decide(json!({})).expect_err("absent").to_string();
    assert!(error.ends_with("`vars.decision` the process has no variable `decision`"), "{error}");
}

fn publication(flow: &Flow) -> &Publication {
    let JobWork::Outcome(job) = &flow.job("tickets.outcome").expect("the job").work else { panic!("it publishes") };
    job
}

pub(super) fn with_vars(vars: Json) -> JobRecord {
    let job = json!({"jobId": "j-1", "topic": "tickets.outcome", "processInstanceId": "p-1", "variables": vars});
    serde_json::from_value(job).expect("a job")
}

/// The flow with a job that asks a system.
pub(super) fn asking(call: &str) -> SystemCall {
    let mut flow = edited(&[
        ("publish  = \"outcome\"", call),
        ("decision = \"vars.decision\"", ""),
        ("include  = [\"ticketId\", \"priority\", \"team\", \"owner\"]", ""),
    ])
    .expect("good");
    match flow.jobs.pop().expect("a job").work {
        JobWork::Call(call) => *call,
        JobWork::Outcome(_) => panic!("it calls"),
    }
}

#[test]
fn a_call_is_calculated_from_the_job_and_data_stays_in_its_segment() {
    let call = asking(
        "call = { system = \"crm\", path = \"/cases/{vars.case}/owner?by={vars.by}\", if_match = \"vars.etag\", body = { owner = { name = \"vars.owner\" }, tags = [\"'a'\", \"job.id\"], tries = 3, urgent = true } }",
    );
    let vars = json!({"case": "../a/b?c#d", "by": 7, "etag": null, "owner": "eva"});
    let planned = call.plan(&with_vars(vars.clone())).expect("planned");
    assert_eq!((planned.method, planned.path.as_str()), (Method::Post, "/cases/..%2Fa%2Fb%3Fc%23d/owner?by=7"));
    assert_eq!(planned.body, Some(json!({"owner": {"name": "eva"}, "tags": ["a", "j-1"], "tries": 3, "urgent": true})));
    assert_eq!(planned.if_match, None);
    for (case, why) in
        [(json!(""), "empty, or dots alone"), (json!(".."), "empty, or dots alone"), (json!(null), "but gave null")]
    {
        let mut vars = vars.clone();
        vars["case"] = case;
        let error = call.plan(&with_vars(vars)).expect_err("refused").to_string();
        assert!(error.contains("job tickets.outcome, job.call.path: `vars.case`") && error.contains(why), "{error}");
    }
}

#[test]
fn an_answer_becomes_variables_or_a_bpmn_error() {
    let call = asking(
        "call = { system = \"crm\", path = \"/cases\" }\nresult = { caseId = \"response.body.id\", version = \"response.headers.etag\", status = \"response.status\" }\nbpmn_error = { \"409\" = \"taken\" }",
    );
    let headers = BTreeMap::from([("etag".to_owned(), "\"1\"".to_owned())]);
    let answer = |body| SystemAnswer { status: 201, headers: &headers, body };
    let made = json!({"id": "C-1"});
    let result = call.result(&with_vars(json!({})), answer(&made)).expect("variables");
    let result: BTreeMap<String, Json> = result.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    assert_eq!(json!(result), json!({"caseId": "C-1", "version": "\"1\"", "status": 201}));
    let error = call.result(&with_vars(json!({})), answer(&json!({}))).expect_err("no id").to_string();
    assert!(error.contains("job.result.caseId") && error.ends_with("there is no `id`"), "{error}");
    assert_eq!(call.bpmn_error(409).map(|code| &**code), Some("taken"));
    assert_eq!(call.bpmn_error(404), None);
}

#[test]
fn what_has_ended_can_stand_for_a_job_and_only_publish() {
    let topic = "topic    = \"tickets.outcome\"";
    let flow = edited(&[(topic, "ended = \"ticket_triage\"")]).expect("good");
    let job = flow.job("ended:ticket_triage").expect("the job");
    assert_eq!(job.origin, JobOrigin::Ended("ticket_triage".into()));
    let both = refusal(&[(topic, "ended = \"ticket_triage\"\ntopic = \"tickets.outcome\"")]);
    assert!(both.contains("job.ended: stands beside another origin of jobs"), "{both}");
    let calls = "ended = \"ticket_triage\"\ncall = { system = \"crm\", path = \"/cases\" }";
    let calls = refusal(&[(topic, calls), ("publish  = \"outcome\"", ""), ("decision = \"vars.decision\"", "")]);
    assert!(calls.contains("what has ended can only publish"), "{calls}");
}

#[test]
fn what_is_posted_can_stand_for_a_job_and_only_publish() {
    let topic = "topic    = \"tickets.outcome\"";
    let flow = edited(&[(topic, "posted = \"ticket_triage\"\nhold_for = \"1h\"")]).expect("good");
    let (job, process, hold_for) = flow.posted().next().expect("the job");
    assert_eq!((&*job.topic, process, hold_for.as_secs()), ("posted:ticket_triage", "ticket_triage", 3_600));
    let origins = "posted = \"ticket_triage\"\nended = \"ticket_triage\"";
    let both = refusal(&[(topic, origins)]);
    assert!(both.contains("job.posted: stands beside another origin of jobs"), "{both}");
    assert!(refusal(&[(topic, "posted = \"ticket_triage\"\nhold_for = \"0s\"")]).contains("job.hold_for: must be"));
    let held = refusal(&[(topic, "ended = \"ticket_triage\"\nhold_for = \"1m\"")]);
    assert!(held.contains("job.hold_for: belongs to jobs that are posted"), "{held}");
}

#[test]
fn what_a_flow_does_not_say_has_its_default() {
    let flow =
        edited(&[("hold_for     = \"15m\"", ""), ("decision = \"vars.decision\"", ""), ("format = \"json\"", "")])
            .expect("good");
    assert_eq!(flow.limits, Limits::default());
    assert_eq!((flow.source.max_body, flow.source.on_null), (1024 * 1024, OnNull::DeadLetter));
    assert_eq!(flow.reply.format, ReplyEncoding::Json);
    assert_eq!(publication(&flow).decision.expression.source(), "vars.decision");
    assert!(matches!(&flow.steps[1].action, Action::Message { hold_for, .. } if hold_for.as_secs() == 900));
}

#[test]
fn doubles_are_reported_unless_the_flow_lets_them_be_deleted() {
    assert_eq!(tickets().compensate, Compensate::Report);
    let name = "name = \"tickets\"";
    let delete = edited(&[(name, "name = \"tickets\"\ncompensate = \"delete\"")]).expect("a good flow");
    assert_eq!(delete.compensate, Compensate::Delete);
    let text = refusal(&[(name, "name = \"tickets\"\ncompensate = \"delet\"")]);
    assert!(text.contains("must be \"report\" or \"delete\", not \"delet\"; did you mean \"delete\"?"), "{text}");
}

#[test]
fn a_loss_waits_for_a_word_unless_the_flow_may_go_on() {
    assert_eq!(tickets().source.on_lost, OnLost::Pause);
    let start = "start_from = \"earliest\"";
    let go_on = edited(&[(start, "start_from = \"earliest\"\non_lost = \"continue\"")]).expect("a good flow");
    assert_eq!(go_on.source.on_lost, OnLost::Continue);
    let text = refusal(&[(start, "start_from = \"earliest\"\non_lost = \"skip\"")]);
    assert!(text.contains("must be \"pause\" or \"continue\", not \"skip\""), "{text}");
}

#[test]
fn a_flow_may_start_at_a_time() {
    for time in ["\"2026-01-31T00:00:00Z\"", "2026-01-31T01:00:00+01:00"] {
        let flow = edited(&[("\"earliest\"", time)]).expect("good");
        assert_eq!(flow.source.start_from, StartFrom::At("2026-01-31T00:00:00Z".parse().expect("a time")));
    }
}

#[test]
fn what_is_not_there_yet_or_out_of_place_is_refused_with_the_way_out() {
    insta::assert_snapshot!(
        [
            vec![("start_from = \"earliest\"", "start_from = \"earliest\"\non_null = \"terminate\"")],
            vec![("[reply]", "[limits]\non_exhausted = \"quarantine\"\nmax_in_flight = 0\n[reply]")],
            vec![("[reply]", "[storm_guard]\npercent = 101\nfailing_after = \"0s\"\nratio = 2\n[reply]")],
            vec![("when         = \"event.kind == 'created'\"\n", "")],
            vec![("start        = \"ticket_triage\"", "start = \"ticket_triage\"\nhold_for = \"1m\"")],
            vec![("priority     =", "xcEventId =")],
            vec![("priority     = \"event.sla == 'gold' ? 'high' : 'normal'\"", "priority = 3")],
            vec![("start        = \"ticket_triage\"", "terminate = \"ticket_triage\"")],
            vec![("business_key = \"'ticket/' + event.ticketId\"\nhold_for     = \"15m\"", "hold_for = \"15m\"")],
            vec![("\"crm.tickets.v1\"", "\"xc.tickets.replay\", \"a b\"")],
            vec![("publish  = \"outcome\"", "publish = \"outcomes\"")],
        ]
        .map(|edits| refusal(&edits))
        .join("\n")
    );
}

#[test]
fn the_when_of_a_step_holds_for_its_variables() {
    let wanted = ("comment      = \"event.comment\"", "comment = \"event.comment + '!'\"");
    assert!(refusal(&[wanted]).contains("`event.comment` may be null here"));
    let guarded = ("event.kind == 'updated'", "event.kind == 'updated' && event.comment != null");
    assert!(edited(&[wanted, guarded]).is_ok());
}

#[test]
fn a_variable_name_longer_than_the_engine_takes_is_refused() {
    let name = format!("{} =", "v".repeat(256));
    assert!(refusal(&[("priority     =", &name)]).contains("256 characters long; the engine takes at most 255"));
}

#[test]
fn flows_that_share_a_name_or_a_job_topic_are_refused() {
    let root = TempDir::new().expect("a folder");
    let text = std::fs::read_to_string("../../flows/tickets/flow.toml").expect("the flow");
    for (folder, name) in [("a", "tickets"), ("b", "tickets"), ("c", "other")] {
        std::fs::create_dir(root.path().join(folder)).expect("made");
        let text = text.replace("name = \"tickets\"", &format!("name = \"{name}\""));
        std::fs::write(root.path().join(folder).join("flow.toml"), text).expect("written");
    }
    std::fs::create_dir(root.path().join("empty")).expect("made");
    let report = crate::check(root.path(), &schemas()).to_string();
    assert!(report.contains("flow.name: the name `tickets` is taken by"), "{report}");
    assert!(report.contains("job.topic: the jobs of `tickets.outcome` are taken by"), "{report}");
    assert!(report.contains("every folder of a flow holds a flow.toml"), "{report}");
}

/// Loads the tickets flow beside this BPMN text.
fn with_model(model: &str) -> Result<Flow, Vec<Problem>> {
    let dir = TempDir::new().expect("a folder");
    std::fs::copy("../../flows/tickets/flow.toml", dir.path().join("flow.toml")).expect("copied");
    std::fs::write(dir.path().join("model.bpmn20.xml"), model).expect("written");
    Flow::load(dir.path(), &schemas())
}

#[test]
fn a_job_topic_that_the_engine_computes_may_be_any_topic() {
    let model = |topic: &str| {
        format!(
            r#"<bpmn:definitions xmlns:bpmn="b" xmlns:flowable="f"><bpmn:message name="ticketUpdated"/>
            <bpmn:error id="e" errorCode="ownerRefused"/><bpmn:process id="ticket_triage">
            <bpmn:serviceTask flowable:topic="tickets.assign-owner"/><bpmn:serviceTask flowable:topic="{topic}"/></bpmn:process></bpmn:definitions>"#
        )
    };
    let flow = with_model(&model("tickets.${kind}")).expect("good");
    assert_eq!(flow.models.len(), 1);
    let problems = with_model(&model("orders")).expect_err("another topic");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].field, "job.topic");
}

#[test]
fn a_model_that_is_no_xml_is_reported_by_its_file() {
    let problems = with_model("<definitions><process id='a'></definitions>").expect_err("no XML");
    assert_eq!(problems.len(), 1, "nothing is compared with half a model: {problems:?}");
    let text = problems[0].to_string();
    assert!(text.contains("model.bpmn20.xml: is not readable as BPMN"), "{text}");
}

#[test]
fn a_flow_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Flow>();
}

/// A null payload ends the ticket's process.
fn ending() -> [(&'static str, &'static str); 1] {
    let rule = "on_null = \"terminate\"\n[source.null]\nterminate = \"ticket_triage\"\nkey = \"record.key\"\n\
                business_key = \"'ticket/' + record.key\"\n# Steps:";
    [("\n# Steps:", rule)]
}

#[test]
fn a_null_payload_ends_the_process_that_the_key_of_its_record_names() {
    let flow = edited(&ending()).expect("good");
    let planned = |key: Option<&str>| {
        let record = record(key);
        let event = event_model::tombstone(&record, &flow.source.schema).expect("headers that can be read");
        flow.plan(&event, &record)
    };
    let plan = planned(Some("T-1")).expect("a plan");
    assert_eq!(plan.key, LaneKey::Key(b"T-1".to_vec()), "the turn of the ticket's events");
    let action = PlannedAction::Terminate { definition: "ticket_triage".into(), business_key: "ticket/T-1".to_owned() };
    assert_eq!(plan.action, Some(action));
    assert_eq!(planned(None).map_err(|error| error.reason()), Err("expression-error"), "it says nothing at all");
    assert_eq!(planned(Some("")).map(|plan| plan.key), Ok(LaneKey::Key(Vec::new())));
    let long = planned(Some(&"x".repeat(300)));
    assert_eq!(long.map_err(|error| error.reason()), Err("business-key-limit"));
    // what has a payload is none of its business
    let mut with_value = record(Some("T-2"));
    with_value.value = Some(b"{}".to_vec());
    let plan = flow.plan(&ticket("created", |_| {}), &with_value).expect("a plan");
    assert!(matches!(plan.action, Some(PlannedAction::Start { .. })));
}

#[test]
fn the_rule_for_null_payloads_knows_no_event_and_is_there_when_it_is_asked_for() {
    let [(place, rule)] = ending();
    let refused = |from: &str, to: &str| {
        let rule = rule.replace(from, to);
        refusal(&[(place, rule.as_str())])
    };
    assert!(refused("'ticket/' + record.key", "event.ticketId").contains("event"));
    assert!(refused("terminate = \"ticket_triage\"\n", "").contains("source.null.terminate: is missing"));
    assert!(refused("\"terminate\"", "\"skip\"").contains("source.null: says nothing here"));
}
