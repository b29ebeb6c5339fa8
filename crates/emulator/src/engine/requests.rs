//! HTTP tasks: what is to be sent, and how the process goes on with the answer. Who sends it is no business of the engine.
//!
//! The request belongs to a transaction that is still open: what comes after it may fail, and then it is made again.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::agenda::Due;
use super::commit::Change;
use super::instance::{Request, RequestState, Wait};
use super::{Engine, EngineError, Instance};
use crate::bpmn::expression::Template;
use crate::bpmn::{HttpTask, Kind, duration};

/// How long an answer may take where the model says nothing, the engine's default.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is to be sent, and who waits for the answer.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) instance: u64,
    pub(crate) request: Arc<str>,
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) timeout: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    outgoing: Vec<Outgoing>,
    /// Rung when something is to be sent, now or later.
    pub(super) bell: Arc<Notify>,
}

impl Requests {
    pub(super) fn forget(&mut self) {
        self.outgoing.clear();
    }
}

impl Change {
    pub(super) fn open_request(&mut self, tries: i64) -> Wait {
        let id = self.ids.id();
        self.due.push((self.now, Due::Request { instance: self.instance.number, request: id.clone() }));
        Wait::Request(Request { id, retries: tries, exception: None, state: RequestState::Waiting(self.now) })
    }

    fn outgoing(&self, request: &Arc<str>, task: &HttpTask) -> Result<Outgoing, EngineError> {
        let text = |template: &Option<Template>| template.as_ref().map(|template| template.text(self)).transpose();
        let mut headers = Vec::new();
        for lines in &task.headers {
            for line in lines.text(self)?.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let Some((name, value)) = line.split_once(':') else {
                    return Err(EngineError::Internal("requestHeaders are invalid".into()));
                };
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        let timeout = match text(&task.timeout)? {
            None => TIMEOUT,
            Some(text) => {
                let millis =
                    text.trim().parse().map_err(|_| EngineError::Internal(format!("requestTimeout: {text}")))?;
                Duration::from_millis(millis)
            }
        };
        Ok(Outgoing {
            instance: self.instance.number,
            request: request.clone(),
            method: task.method.text(self)?,
            url: task.url.text(self)?,
            headers,
            body: text(&task.body)?.unwrap_or_default(),
            timeout,
        })
    }
}

impl Engine {
    /// Rung when [`Engine::take_outgoing`] has something to give, now or later.
    pub(crate) fn bell(&self) -> Arc<Notify> {
        self.requests.bell.clone()
    }

    /// What is to be sent now, once each, and when to ask again.
    pub(crate) fn take_outgoing(&mut self) -> (Vec<Outgoing>, Option<Timestamp>) {
        (std::mem::take(&mut self.requests.outgoing), self.agenda.next_request())
    }

    pub(super) fn make_request(&mut self, instance: u64, id: &Arc<str>, at: Timestamp) {
        let Some(instance) = self.running.by_number(instance).filter(|i| !i.suspended).cloned() else { return };
        let mut change = self.change(&instance, at);
        let Some((task, request)) = task_and_request(&instance, id) else { return };
        if !matches!(request.state, RequestState::Waiting(due) if due <= at) {
            return;
        }
        match change.outgoing(id, task) {
            Ok(outgoing) => {
                if let Some(request) = change.instance.request_mut(id) {
                    request.state = RequestState::Sent;
                }
                self.commit(change);
                self.requests.outgoing.push(outgoing);
                self.requests.bell.notify_one();
            }
            Err(error) => self.request_failed(&instance, id, error.to_string(), at),
        }
    }

    /// Goes on with the status that came back, or with why none did.
    pub(crate) fn answered(&mut self, instance: u64, id: &str, answer: Result<u16, String>, now: Timestamp) {
        let Some(instance) = self.running.by_number(instance).cloned() else { return };
        let Some((task, request)) = task_and_request(&instance, id) else { return };
        if request.state != RequestState::Sent {
            return;
        }
        let mut change = self.change(&instance, now);
        let passed = answer.map_err(EngineError::Internal).and_then(|status| {
            let listed = task.fail_codes.as_ref().map(|codes| codes.text(&change)).transpose()?.unwrap_or_default();
            if fails(status, &listed) { Err(EngineError::Internal(format!("HTTP{status}"))) } else { Ok(()) }
        });
        let execution = instance.requests().find(|(_, request)| &*request.id == id).map(|(execution, _)| &execution.id);
        match passed.and_then(|()| execution.map_or(Ok(()), |execution| change.resume(execution))) {
            Ok(()) => {
                self.commit(change);
            }
            Err(error) => self.request_failed(&instance, id, error.to_string(), now),
        }
    }

    /// It is made again after a while, or parked.
    fn request_failed(&mut self, instance: &Instance, id: &str, problem: String, now: Timestamp) {
        let Some((task, _)) = task_and_request(instance, id) else { return };
        let usual = SignedDuration::from_millis(i64::try_from(self.switches.async_retry_ms).unwrap_or(i64::MAX));
        let due = match &task.retry_wait {
            Some(wait) => duration::after(now, wait),
            None => now.checked_add(usual).unwrap_or(Timestamp::MAX),
        };
        let mut change = self.change(instance, now);
        let number = instance.number;
        if let Some(request) = change.instance.request_mut(id) {
            request.retries -= 1;
            request.exception = Some(problem);
            request.state = RequestState::Dead;
            if request.retries > 0 {
                request.state = RequestState::Waiting(due);
                change.due.push((due, Due::Request { instance: number, request: id.into() }));
            }
        }
        self.commit(change);
    }

    /// Parked requests are made again, as often as the first time.
    pub(super) fn revive_dead_requests(&mut self, now: Timestamp) -> usize {
        let is_dead = |request: &Request| request.state == RequestState::Dead;
        let of = |instance: &Arc<Instance>| {
            let dead = instance.requests().filter(|(_, request)| is_dead(request));
            dead.map(|(_, request)| (instance.clone(), request.id.clone())).collect::<Vec<_>>()
        };
        let parked: Vec<_> = self.running.iter().flat_map(of).collect();
        for (instance, id) in &parked {
            let Some(instance) = self.running.by_number(instance.number) else { continue };
            let Some(tries) = task_and_request(instance, id).map(|(task, _)| task.tries) else { continue };
            let mut change = self.change(instance, now);
            change.due.push((now, Due::Request { instance: instance.number, request: id.clone() }));
            if let Some(request) = change.instance.request_mut(id) {
                (request.retries, request.state) = (tries, RequestState::Waiting(now));
            }
            self.commit(change);
        }
        parked.len()
    }
}

fn task_and_request<'a>(instance: &'a Instance, id: &str) -> Option<(&'a HttpTask, &'a Request)> {
    let (execution, request) = instance.requests().find(|(_, request)| &*request.id == id)?;
    let Kind::HttpTask(task) = &instance.definition.process.nodes[execution.at].kind else { return None };
    Some((task, request))
}

/// Whether the status is in a list such as `404, 5XX`. What is not listed passes, as in the engine.
fn fails(status: u16, listed: &str) -> bool {
    let status = status.to_string();
    // Of the classes the engine knows these.
    let class = format!("{}XX", status.get(..1).filter(|class| ["3", "4", "5"].contains(class)).unwrap_or_default());
    listed.split(',').map(str::trim).any(|code| code == status || code == class)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::StartRequest;
    use crate::engine::variables::VariableInput;
    use crate::switches::Switches;

    /// Tells of itself, and then goes by a condition that is part of the same transaction.
    const MODEL: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn">
      <process id="p" isExecutable="true"><startEvent id="start"/><sequenceFlow id="a" sourceRef="start" targetRef="tell"/>
      <serviceTask id="tell" flowable:type="http" flowable:async="true"><extensionElements>
        <flowable:failedJobRetryTimeCycle>R2/PT60S</flowable:failedJobRetryTimeCycle>
        <flowable:field name="requestMethod" stringValue="POST"/>
        <flowable:field name="requestUrl"><flowable:string><![CDATA[http://there/${as it is}]]></flowable:string></flowable:field>
        <flowable:field name="requestHeaders"><flowable:string>A: b
          c:d:e</flowable:string></flowable:field>
        <flowable:field name="requestBody"><flowable:expression>{"id": "${execution.processInstanceId}"}</flowable:expression></flowable:field>
        <flowable:field name="failStatusCodes" stringValue="404, 5XX"/>
      </extensionElements></serviceTask>
      <sequenceFlow id="b" sourceRef="tell" targetRef="which"/><exclusiveGateway id="which" default="d"/>
      <sequenceFlow id="c" sourceRef="which" targetRef="end"><conditionExpression>${good}</conditionExpression></sequenceFlow>
      <sequenceFlow id="d" sourceRef="which" targetRef="end"/><endEvent id="end"/></process></definitions>"#;

    struct World {
        engine: Engine,
        now: Timestamp,
        instance: Arc<Instance>,
    }

    impl World {
        fn new(variables: Vec<VariableInput>) -> World {
            let now = "2026-01-01T00:00:00Z".parse().unwrap();
            let mut engine = Engine::new(Switches::default(), 1, now);
            engine.deploy(MODEL).unwrap();
            let request = StartRequest { definition_key: Some("p".into()), variables, ..StartRequest::default() };
            let instance = engine.start(request, &"tester".into(), now).unwrap();
            World { engine, now, instance }
        }

        fn good() -> Vec<VariableInput> {
            vec![serde_json::from_value(json!({ "name": "good", "value": true })).unwrap()]
        }

        fn pass(&mut self, seconds: i64) {
            self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        }

        fn sent(&mut self) -> Vec<Outgoing> {
            self.engine.advance(self.now);
            self.engine.take_outgoing().0
        }

        fn answer(&mut self, sent: &Outgoing, answer: Result<u16, String>) -> bool {
            self.engine.answered(sent.instance, &sent.request, answer, self.now);
            self.engine.all().get(&self.instance.id).unwrap().end.is_some()
        }
    }

    #[test]
    fn the_request_is_what_the_fields_say_and_only_expressions_are_evaluated() {
        let mut world = World::new(World::good());
        let sent = world.sent().remove(0);
        assert_eq!((sent.method.as_str(), sent.url.as_str()), ("POST", "http://there/${as it is}"));
        assert_eq!(sent.headers, [("A".to_owned(), "b".to_owned()), ("c".to_owned(), "d:e".to_owned())]);
        assert_eq!(sent.body, format!("{{\"id\": \"{}\"}}", world.instance.id));
        assert!(world.sent().is_empty(), "once, until it is answered");
        assert!(world.answer(&sent, Ok(202)));
    }

    #[test]
    fn what_is_listed_fails_and_is_made_again_and_parked_in_the_end_and_all_else_passes() {
        for (answer, passes) in
            [(Ok(503), false), (Ok(404), false), (Err("refused".to_owned()), false), (Ok(400), true), (Ok(302), true)]
        {
            let mut world = World::new(World::good());
            let sent = world.sent().remove(0);
            assert_eq!(world.answer(&sent, answer.clone()), passes, "{answer:?}");
            assert!(world.sent().is_empty());
            world.pass(60);
            let again = world.sent();
            assert_eq!(again.len(), usize::from(!passes), "{answer:?}");
            let Some(sent) = again.first() else { continue };
            assert!(!world.answer(sent, Ok(503)));
            world.pass(3_600);
            assert!(world.sent().is_empty(), "two tries are over");
            assert_eq!(world.engine.revive_dead_jobs(world.now), 1);
            let sent = world.sent().remove(0);
            assert!(world.answer(&sent, Ok(202)));
        }
    }

    #[test]
    fn a_step_after_the_answer_that_fails_takes_the_request_with_it() {
        let mut world = World::new(Vec::new());
        let sent = world.sent().remove(0);
        assert!(!world.answer(&sent, Ok(202)), "nobody says whether it is good");
        world.pass(60);
        assert_eq!(world.sent().len(), 1, "and it is made again");
    }

    #[test]
    fn an_answer_that_nobody_waits_for_changes_nothing() {
        let mut world = World::new(World::good());
        let sent = world.sent().remove(0);
        world.engine.terminate(&world.instance.id, None, world.now).unwrap();
        assert!(world.answer(&sent, Ok(202)), "it was ended by somebody else");
        let reason = world.engine.all().get(&world.instance.id).unwrap().end.clone().unwrap().delete_reason;
        assert_eq!(reason.as_deref(), Some("process instance deleted"));
    }
}
