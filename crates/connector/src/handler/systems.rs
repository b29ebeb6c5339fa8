//! Jobs that ask a system: one request under the job's key, then the job is completed with what was answered.

use std::sync::OnceLock;

use event_model::JobRecord;
use flow_config::{JobWork, Method, PlanError, SystemAnswer, SystemCall, Variables};
use flow_core::{Answer, EndpointId, Failure, Fault};
use serde_json::{Value, json};
use system_client::{CallError, Fault as ClientFault, Request, Response};
use workflow_client::{Fault as EngineFault, Variable};

use super::faults::{bad_answer, failure};
use super::{FlowHandler, Output};

#[cfg(test)]
mod tests;

type Called = Result<Answer<Output>, Box<Failure>>;

/// A job that asks a system, and what was answered.
pub(crate) struct Asked {
    pub job: JobRecord,
    /// Set once, by the request; the engine is told it.
    verdict: OnceLock<Verdict>,
}

/// What a system's answer means to the process.
enum Verdict {
    Result(Variables),
    BpmnError { code: String, refusal: Value },
}

/// The variable that tells a process why a system refused, beside the BPMN error.
const REFUSAL: &str = "systemRefusal";
/// Of a system's own words so many characters are kept.
const WORDS: usize = 500;

impl Asked {
    pub(super) fn new(job: JobRecord) -> Asked {
        Asked { job, verdict: OnceLock::new() }
    }

    /// Stays the same when the engine makes the job anew after a failure.
    fn idempotency_key(&self) -> &str {
        self.job.correlation_id.as_deref().unwrap_or(&self.job.job_id)
    }
}

impl FlowHandler {
    /// Which endpoint a job's topic asks, if it asks one: the engine is the first, then come the flow's systems.
    pub(super) fn asks(&self, topic: &str) -> Option<EndpointId> {
        let JobWork::Call(call) = &self.flow.job(topic)?.work else { return None };
        let place = self.systems.iter().position(|system| system.name() == &*call.system)?;
        Some(EndpointId(u8::try_from(place + 1).ok()?))
    }

    fn system_call(&self, topic: &str) -> Result<&SystemCall, Box<Failure>> {
        match self.flow.job(topic).map(|job| &job.work) {
            Some(JobWork::Call(call)) => Ok(call),
            Some(JobWork::Outcome(_)) | None => Err(bad_answer("the flow's job asks no system; this is a bug")),
        }
    }

    /// Asks. Whatever was answered before to the same key is answered again.
    pub(super) async fn ask(&self, asked: &Asked, system: EndpointId) -> Called {
        let call = self.system_call(&asked.job.topic)?;
        let client = self.system(system)?;
        let planned = call.plan(&asked.job).map_err(|error| misfit(&error))?;
        let request = Request {
            method: method(planned.method),
            path: planned.path,
            body: planned.body,
            schema: call.body_schema().map(|schema| schema.name().to_owned()),
            if_match: planned.if_match,
            idempotency_key: asked.idempotency_key().to_owned(),
            document: planned.document,
        };
        let response = client.call(&request).await.map_err(|error| unanswered(&error))?;
        let verdict = if let Some(code) = call.bpmn_error(response.status) {
            let refusal =
                json!({ "system": client.name(), "status": response.status, "message": words(&response.body) });
            Verdict::BpmnError { code: code.to_string(), refusal }
        } else if (200..300).contains(&response.status) {
            let answer = SystemAnswer { status: response.status, headers: &response.headers, body: &response.body };
            Verdict::Result(call.result(&asked.job, answer).map_err(|error| misfit(&error))?)
        } else {
            return Err(refused(client.name(), &response));
        };
        // A repeated request brings what the first one brought.
        let _ = asked.verdict.set(verdict);
        Ok(Answer::Done(Output::Completed))
    }

    /// Completes the job with what the system answered.
    pub(super) async fn give_result(&self, asked: &Asked) -> Called {
        let verdict = asked.verdict.get().ok_or_else(|| bad_answer("no system was asked yet; this is a bug"))?;
        let (id, worker) = (&asked.job.job_id, &self.worker);
        let variable = |name: &str, value: &Value| Variable::from_json(name, value.clone());
        let limit = |error: workflow_client::LimitError| {
            Box::new(Failure { fault: Fault::Limit, detail: error.to_string(), retry_after: None })
        };
        let answer = match verdict {
            Verdict::Result(variables) => {
                let variables = variables.iter().map(|(name, value)| variable(name, value));
                let variables = variables.collect::<Result<Vec<_>, _>>().map_err(limit)?;
                self.engine.complete_job(id, worker, &variables).await
            }
            Verdict::BpmnError { code, refusal } => {
                let variables = [variable(REFUSAL, refusal).map_err(limit)?];
                self.engine.bpmn_error(id, worker, code, &variables).await
            }
        };
        match answer {
            Ok(()) => Ok(Answer::Done(Output::Completed)),
            // Which of the two it is, only the job itself tells: a suspended instance hides it, and its lock may have run out.
            Err(error) if matches!(error.fault, EngineFault::NotFound | EngineFault::Forbidden) => {
                tracing::debug!(flow = %self.flow.name, job = id, %error, "the engine does not take the result from us");
                Ok(Answer::NotHeld)
            }
            Err(error) => Err(failure(&error)),
        }
    }

    /// Whether the job is still to be done.
    pub(super) async fn is_open(&self, asked: &Asked) -> Called {
        let JobRecord { job_id, process_instance_id, .. } = &asked.job;
        let open = self.engine.is_open(job_id, process_instance_id).await.map_err(|error| failure(&error))?;
        Ok(if open { Answer::Open(Output::Completed) } else { Answer::Done(Output::Completed) })
    }

    /// Shows whether the system is well: it answers, and does not refuse our credentials.
    pub(super) async fn probe_system(&self, system: EndpointId) -> Result<(), Failure> {
        let client = self.system(system).map_err(|failure| *failure)?;
        let response = client.probe().await.map_err(|error| *unanswered(&error))?;
        match response.status {
            401 | 403 | 407 | 408 | 429 | 500.. => Err(*refused(client.name(), &response)),
            _ => Ok(()),
        }
    }

    fn system(&self, system: EndpointId) -> Result<&system_client::System, Box<Failure>> {
        let place = usize::from(system.0).checked_sub(1);
        let client = place.and_then(|place| self.systems.get(place));
        client.map(|client| &**client).ok_or_else(|| bad_answer("the flow has no such system; this is a bug"))
    }
}

/// Expressions of the job that do not fit its variables or the answer, or a body that its schema refuses: a repeat would not mend them.
/// An answer that its schema refuses is the system's doing, after an effect perhaps: it is asked again under the same key, as after any
/// answer that cannot be used, until the system is mended or the record is given up.
fn misfit(error: &PlanError) -> Box<Failure> {
    let fault = if matches!(error, PlanError::Answer(_)) { Fault::BadAnswer } else { Fault::Limit };
    Box::new(Failure { fault, detail: error.to_string(), retry_after: None })
}

fn unanswered(error: &CallError) -> Box<Failure> {
    let fault = match error.fault {
        ClientFault::Unsent => Fault::Unsent,
        ClientFault::TimedOut => Fault::TimedOut,
        ClientFault::Broken => Fault::Broken,
        ClientFault::Unauthorized => Fault::Unauthorized,
        ClientFault::BadAnswer => Fault::BadAnswer,
        ClientFault::Limit => Fault::Limit,
    };
    Box::new(Failure { fault, detail: error.to_string(), retry_after: error.retry_after })
}

fn refused(system: &str, response: &Response) -> Box<Failure> {
    let fault = match response.status {
        401 | 407 => Fault::Unauthorized,
        403 => Fault::Forbidden,
        404 | 410 => Fault::NotFound,
        408 | 502 | 504 => Fault::Gateway,
        // Of another request under the same key that is under way, too.
        409 | 423 => Fault::Conflict,
        413 => Fault::TooLarge,
        429 => Fault::RateLimited,
        503 => Fault::Unavailable,
        400..=499 => Fault::Refused,
        500..=599 => Fault::ServerError,
        0..=399 | 600.. => Fault::BadAnswer,
    };
    let detail = format!("system {system} answered {}: {}", response.status, words(&response.body));
    Box::new(Failure { fault, detail, retry_after: response.retry_after })
}

/// What a system says of its refusal: the field that error bodies have for it (RFC 9457, SCIM, and what is usual), else the text;
/// with the field that is to blame, where it is named.
fn words(body: &Value) -> String {
    let field = |name| body.get(name).and_then(Value::as_str);
    let said = ["detail", "message", "error", "title"].into_iter().find_map(field).or(body.as_str());
    let said = said.unwrap_or("it says nothing that is known to be a reason");
    let said = field("field").map_or_else(|| said.to_owned(), |field| format!("{field}: {said}"));
    said.chars().take(WORDS).collect()
}

fn method(method: Method) -> system_client::Method {
    match method {
        Method::Get => system_client::Method::Get,
        Method::Post => system_client::Method::Post,
        Method::Put => system_client::Method::Put,
        Method::Patch => system_client::Method::Patch,
        Method::Delete => system_client::Method::Delete,
    }
}
