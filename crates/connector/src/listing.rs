//! `xconnector flows`: what each flow reads, does and writes, at a glance.

use std::fmt::Write as _;

use event_model::{DeadLetter, EventSchema, JobRecord, ReplyEncoding, replay_topic_of};
use flow_config::{Action, Flow, JobOrigin, JobWork, Method, SystemCall};
use serde_json::{Value, json};

use crate::setup::Setup;

/// Shows the flows.
///
/// # Errors
/// None but that of a terminal.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) fn show(setup: &Setup, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let all: Vec<Value> = setup.flows.iter().map(to_json).collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        setup.flows.iter().for_each(|flow| print!("{}", to_text(flow)));
    }
    Ok(())
}

fn own_topics(flow: &Flow) -> Vec<String> {
    let jobs = (!flow.jobs.is_empty()).then(|| JobRecord::topic_of(&flow.name));
    let books = [consumer_engine::ledger_topic(&flow.name), consumer_engine::state_topic(&flow.name)];
    [DeadLetter::topic_of(&flow.name), replay_topic_of(&flow.name)].into_iter().chain(jobs).chain(books).collect()
}

fn models(flow: &Flow) -> Vec<String> {
    flow.models.iter().map(|file| file.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect()
}

fn format_of(flow: &Flow) -> &'static str {
    match flow.reply.format {
        ReplyEncoding::Json => "json",
        ReplyEncoding::Avro => "avro",
    }
}

fn method_of(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

/// Where the HTTP task of the job's process posts to.
fn door_of(flow: &Flow, job: &flow_config::Job) -> Option<String> {
    matches!(job.origin, JobOrigin::Posted { .. }).then(|| format!("/intake/{}/outcomes", flow.name))
}

fn to_json(flow: &Flow) -> Value {
    let step = |step: &flow_config::Step| {
        let does = match &step.action {
            Action::Start { definition } => json!({ "start": definition }),
            Action::Message { definition, message, hold_for } => {
                json!({ "message": message, "definition": definition, "holdForSeconds": hold_for.as_secs() })
            }
            Action::Terminate { definition } => json!({ "terminate": definition }),
        };
        json!({ "line": step.line, "does": does })
    };
    let job = |job: &flow_config::Job| match &job.work {
        JobWork::Outcome(_) => {
            let mut shown = json!({ "topic": job.topic, "publish": "outcome" });
            if let Some(door) = door_of(flow, job) {
                shown["toldBy"] = json!(format!("POST {door}"));
            }
            shown
        }
        JobWork::Call(call) => {
            let schemas = (call.body_schema().map(EventSchema::name), call.answer_schema().map(EventSchema::name));
            let call = json!({
                "system": call.system, "method": method_of(call.method), "path": call.path(),
                "bodySchema": schemas.0, "answerSchema": schemas.1, "withoutSchema": call.undescribed(),
            });
            json!({ "topic": job.topic, "call": call })
        }
    };
    json!({
        "flow": flow.name,
        "reads": flow.source.topics,
        "schema": flow.source.schema.name(),
        "steps": flow.steps.iter().map(step).collect::<Vec<_>>(),
        "jobs": flow.jobs.iter().map(job).collect::<Vec<_>>(),
        "replies": { "topic": flow.reply.topic, "format": format_of(flow) },
        "topics": own_topics(flow),
        "models": models(flow),
    })
}

/// What describes the call, and what of it nothing describes.
fn schemas_of(call: &SystemCall) -> String {
    let body = call.body_schema().map(|schema| format!(", body {}", schema.name()));
    let answer = call.answer_schema().map(|schema| format!(", answer {}", schema.name()));
    let lacking = call.undescribed().join(" and ");
    let lacking = (!lacking.is_empty()).then(|| format!(", WITHOUT SCHEMA: {lacking}"));
    [body, answer, lacking].into_iter().flatten().collect()
}

fn to_text(flow: &Flow) -> String {
    let mut text = format!("{}\n", flow.name);
    let mut line = |what: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {what:<8} {value}");
    };
    line("reads", format!("{} as {}", flow.source.topics.join(", "), flow.source.schema.name()));
    for (index, step) in flow.steps.iter().enumerate() {
        let held = match &step.action {
            Action::Message { definition, hold_for, .. } => {
                format!(" to {definition}, held up to {}", humantime::format_duration(*hold_for))
            }
            Action::Start { .. } | Action::Terminate { .. } => String::new(),
        };
        let what = if index == 0 { "steps" } else { "" };
        line(what, format!("{} {}{held} (line {})", index + 1, step.action.label(), step.line));
    }
    for (index, job) in flow.jobs.iter().enumerate() {
        let door = door_of(flow, job);
        let does = match &job.work {
            JobWork::Outcome(_) => {
                format!("publish outcome{}", door.map(|door| format!(", told by POST {door}")).unwrap_or_default())
            }
            JobWork::Call(call) => {
                format!("{} {} {}{}", call.system, method_of(call.method), call.path(), schemas_of(call))
            }
        };
        line(if index == 0 { "jobs" } else { "" }, format!("{} → {does}", job.topic));
    }
    line("replies", format!("{} ({})", flow.reply.topic, format_of(flow)));
    line("topics", own_topics(flow).join(" "));
    line("models", models(flow).join(" "));
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use event_model::Schemas;

    use super::*;

    #[test]
    fn a_flow_is_shown_with_all_that_it_touches() {
        let schemas = Schemas::load(Path::new("../../schemas")).unwrap();
        let flow = Flow::load(Path::new("../../flows/tickets"), &schemas).unwrap();
        insta::assert_snapshot!(to_text(&flow));
        let shown = to_json(&flow);
        assert_eq!(shown["steps"][0]["does"], json!({ "start": "ticket_triage" }));
        let call = json!({
            "system": "crm", "method": "POST", "path": "/cases/{vars.ticketId}/owner",
            "bodySchema": "crm-assign-owner/v1", "answerSchema": "crm-case/v1", "withoutSchema": [],
        });
        assert_eq!(shown["jobs"][0], json!({ "topic": "tickets.assign-owner", "call": call }));
        assert_eq!(shown["jobs"][1], json!({ "topic": "tickets.outcome", "publish": "outcome" }));
        assert_eq!(shown["topics"][0], "xc.tickets.dlq");
    }

    #[test]
    fn what_no_schema_describes_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string("../../flows/tickets/flow.toml").unwrap();
        let described = |line: &&str| !line.starts_with("body_schema") && !line.starts_with("answer_schema");
        let text = text.lines().filter(described).collect::<Vec<_>>().join("\n");
        std::fs::write(folder.path().join("flow.toml"), text).unwrap();
        let schemas = Schemas::load(Path::new("../../schemas")).unwrap();
        let flow = Flow::load(folder.path(), &schemas).unwrap();
        let shown = to_text(&flow);
        assert!(shown.contains("/owner, WITHOUT SCHEMA: body and answer\n"), "{shown}");
        assert_eq!(to_json(&flow)["jobs"][0]["call"]["withoutSchema"], json!(["body", "answer"]));
    }

    #[test]
    fn a_job_that_is_posted_is_shown_with_the_way_in() {
        let folder = tempfile::TempDir::new().unwrap();
        let text = std::fs::read_to_string("../../flows/tickets/flow.toml").unwrap();
        let posted = text.replace("topic    = \"tickets.outcome\"", "posted   = \"ticket_triage\"");
        std::fs::write(folder.path().join("flow.toml"), posted).unwrap();
        let flow = Flow::load(folder.path(), &Schemas::load(Path::new("../../schemas")).unwrap()).unwrap();
        let line = "posted:ticket_triage → publish outcome, told by POST /intake/tickets/outcomes";
        assert!(to_text(&flow).contains(line), "{}", to_text(&flow));
        assert_eq!(to_json(&flow)["jobs"][1]["toldBy"], "POST /intake/tickets/outcomes");
    }
}
