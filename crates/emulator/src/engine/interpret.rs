//! Tokens walk through the model until each of them waits or has ended.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::EngineError;
use super::agenda::Due;
use super::commit::Change;
use super::instance::{ArmedTimer, End, Execution, Job, JobState, Task, TaskEnd, Wait};
use crate::bpmn::expression::{Scope, Template};
use crate::bpmn::model::{BoundaryEvent, UserTask};
use crate::bpmn::{ElementIndex, Event, Kind, Node, Timer, duration};

/// A model that walks in a circle without ever waiting is stopped after this many nodes.
const MAX_STEPS: usize = 10_000;

/// Retries of a fresh job, the engine's default.
pub(super) const JOB_RETRIES: i64 = 3;

/// Priority of a task whose model says nothing, the engine's default.
const TASK_PRIORITY: i64 = 50;

/// A token on its way: the execution that carries it, and the node it reaches.
type Move = (Arc<str>, ElementIndex);

impl Scope for Change {
    fn get(&self, name: &str) -> Option<&Value> {
        let own = (name == "execution").then_some(&self.execution);
        own.or_else(|| self.transient.get(name)).or_else(|| Scope::get(&self.instance.variables, name))
    }
}

impl Change {
    /// Begins at a start event and runs to the first wait states.
    pub(super) fn begin(&mut self, start: ElementIndex) -> Result<(), EngineError> {
        let execution = self.ids.id();
        self.walk(VecDeque::from([(execution, start)]))
    }

    /// Leaves the node where this execution waits and runs on.
    pub(super) fn resume(&mut self, execution: &str) -> Result<(), EngineError> {
        let Some(execution) = self.take(execution) else { return Ok(()) };
        let moves = self.leave(execution.id, execution.at);
        self.walk(moves)
    }

    /// Lets a timer go off; `false` when nothing waits for it any more.
    pub(super) fn fire_timer(&mut self, timer: &str) -> Result<bool, EngineError> {
        let now = self.now;
        let intermediate = self
            .instance
            .executions
            .iter()
            .any(|e| &*e.id == timer && matches!(e.wait, Wait::Timer(due) if due <= now));
        if intermediate {
            self.resume(timer)?;
            return Ok(true);
        }
        let armed = self.instance.executions.iter_mut().find_map(|execution| {
            let position = execution.timers.iter().position(|t| &*t.id == timer && t.due <= now)?;
            Some((execution.id.clone(), execution.timers.remove(position)))
        });
        let Some((host, armed)) = armed else { return Ok(false) };
        self.take_boundary(&host, armed.at)?;
        Ok(true)
    }

    /// Takes the boundary error event that catches this code at a job's task.
    pub(super) fn throw(&mut self, execution: &str, code: &str) -> Result<(), EngineError> {
        let at = self.instance.executions.iter().find(|e| &*e.id == execution).map(|e| e.at);
        let process = &self.instance.definition.process;
        let catching = at.and_then(|at| {
            process.nodes[at].boundary.iter().copied().find(|boundary| match &process.nodes[*boundary].kind {
                Kind::Boundary { event: BoundaryEvent::Error(caught), .. } => {
                    caught.as_deref().is_none_or(|caught| caught == code)
                }
                Kind::Boundary { event: BoundaryEvent::Timer(_), .. }
                | Kind::Start { .. }
                | Kind::UserTask(_)
                | Kind::ExternalTask { .. }
                | Kind::HttpTask(_)
                | Kind::ExclusiveGateway { .. }
                | Kind::ParallelGateway
                | Kind::Catch(_)
                | Kind::End
                | Kind::TerminateEnd => false,
            })
        });
        match catching {
            Some(boundary) => self.take_boundary(execution, boundary),
            None => Err(EngineError::Internal(format!(
                "No catching boundary event found for error with errorCode '{code}', neither in same process nor in parent process"
            ))),
        }
    }

    /// Ends the instance where it stands.
    pub(super) fn end(&mut self, activity: Option<Arc<str>>, delete_reason: Option<String>) {
        for task in self.instance.tasks.iter_mut().filter(|t| t.end.is_none()) {
            task.end = Some(TaskEnd { time: self.now, delete_reason: delete_reason.clone() });
        }
        self.instance.executions.clear();
        self.instance.end = Some(End { time: self.now, activity, delete_reason });
    }

    fn take_boundary(&mut self, host: &str, boundary: ElementIndex) -> Result<(), EngineError> {
        let definition = self.instance.definition.clone();
        let interrupting = matches!(definition.process.nodes[boundary].kind, Kind::Boundary { interrupting: true, .. });
        let carrier = if interrupting {
            let Some(execution) = self.take(host) else { return Ok(()) };
            if let Wait::Task(task) = &execution.wait {
                let reason = format!("boundary event ({})", definition.process.nodes[boundary].id);
                self.end_task(task, Some(reason));
            }
            execution.id
        } else {
            self.ids.id()
        };
        let moves = self.leave(carrier, boundary);
        self.walk(moves)
    }

    pub(super) fn end_task(&mut self, task: &str, delete_reason: Option<String>) {
        let end = TaskEnd { time: self.now, delete_reason };
        if let Some(task) = self.instance.task_mut(task) {
            task.end = Some(end);
        }
    }

    fn take(&mut self, execution: &str) -> Option<Execution> {
        let position = self.instance.executions.iter().position(|e| &*e.id == execution)?;
        Some(self.instance.executions.remove(position))
    }

    /// Moves along all leaving flows; the first keeps the execution, as in the engine.
    fn leave(&mut self, execution: Arc<str>, at: ElementIndex) -> VecDeque<Move> {
        let definition = self.instance.definition.clone();
        let mut carrier = Some(execution);
        definition.process.nodes[at]
            .outgoing
            .iter()
            .map(|flow| (carrier.take().unwrap_or_else(|| self.ids.id()), flow.target))
            .collect()
    }

    fn walk(&mut self, mut moves: VecDeque<Move>) -> Result<(), EngineError> {
        let definition = self.instance.definition.clone();
        let mut last_activity = None;
        let mut steps = 0;
        while let Some((execution, at)) = moves.pop_front() {
            steps += 1;
            let node = &definition.process.nodes[at];
            if steps > MAX_STEPS {
                return Err(EngineError::Internal(format!("The process runs in a circle at '{}'.", node.id)));
            }
            match &node.kind {
                Kind::Start { .. } | Kind::Boundary { .. } => moves.extend(self.leave(execution, at)),
                Kind::UserTask(task) => self.open_task(execution, at, node, task)?,
                Kind::ExternalTask { topic, exclusive } => {
                    self.open_job(execution, at, node, topic, *exclusive)?;
                }
                Kind::HttpTask(task) => {
                    let wait = self.open_request(task.tries);
                    self.enter_activity(execution, at, node, wait)?;
                }
                Kind::ExclusiveGateway { default } => moves.push_back((execution, self.choose(node, *default)?)),
                Kind::ParallelGateway => {
                    if let Some(joined) = self.join(execution, at, node.incoming) {
                        moves.extend(self.leave(joined, at));
                    }
                }
                Kind::Catch(event) => self.wait(execution, at, event)?,
                Kind::End => {}
                Kind::TerminateEnd => {
                    self.end(Some(node.id.clone()), Some(format!("terminate end event ({})", node.id)));
                    return Ok(());
                }
            }
            last_activity = Some(node.id.clone());
        }
        if self.instance.executions.is_empty() {
            self.end(last_activity, None);
        }
        Ok(())
    }

    fn choose(&self, node: &Node, default: Option<usize>) -> Result<ElementIndex, EngineError> {
        for (position, flow) in node.outgoing.iter().enumerate() {
            if Some(position) == default {
                continue;
            }
            let taken = match &flow.condition {
                Some(condition) => condition.holds(self)?,
                None => true,
            };
            if taken {
                return Ok(flow.target);
            }
        }
        default.map(|position| node.outgoing[position].target).ok_or_else(|| {
            EngineError::Internal(format!(
                "No outgoing sequence flow of the exclusive gateway '{}' could be selected for continuing the process",
                node.id
            ))
        })
    }

    /// The execution that goes on, once as many tokens are here as flows arrive.
    fn join(&mut self, execution: Arc<str>, at: ElementIndex, incoming: usize) -> Option<Arc<str>> {
        let waiting = |e: &Execution| e.at == at && matches!(e.wait, Wait::Join);
        let here = self.instance.executions.iter().filter(|e| waiting(e)).count() + 1;
        if here >= incoming {
            self.instance.executions.retain(|e| !waiting(e));
            return Some(execution);
        }
        self.instance.executions.push(Execution { id: execution, at, wait: Wait::Join, timers: Vec::new() });
        None
    }

    fn wait(&mut self, execution: Arc<str>, at: ElementIndex, event: &Event) -> Result<(), EngineError> {
        let wait = match event {
            Event::Message(message) => Wait::Message(message.clone()),
            Event::Timer(timer) => {
                let due = self.due_at(timer)?;
                self.due.push((due, Due::Timer { instance: self.instance.number, timer: execution.clone() }));
                Wait::Timer(due)
            }
        };
        self.instance.executions.push(Execution { id: execution, at, wait, timers: Vec::new() });
        Ok(())
    }

    fn due_at(&self, Timer(template): &Timer) -> Result<Timestamp, EngineError> {
        let span = duration::parse(&template.text(self)?).map_err(|reason| template.wrong(reason))?;
        Ok(duration::after(self.now, &span))
    }

    fn open_task(
        &mut self,
        execution: Arc<str>,
        at: ElementIndex,
        node: &Node,
        model: &UserTask,
    ) -> Result<(), EngineError> {
        let text = |template: &Option<Template>| -> Result<Option<String>, EngineError> {
            Ok(template.as_ref().map(|t| t.text(self)).transpose()?.filter(|t| !t.is_empty()))
        };
        let names = |templates: &[Template]| -> Result<Vec<String>, EngineError> {
            let lists = templates.iter().map(|t| t.names(self)).collect::<Result<Vec<_>, _>>()?;
            Ok(lists.into_iter().flatten().collect())
        };
        let due = match text(&model.due)? {
            None => None,
            // A literal is a duration, an expression may also give the moment itself.
            Some(due) => Some(match due.parse() {
                Ok(moment) => moment,
                Err(_) => duration::after(self.now, &duration::parse(&due).map_err(EngineError::Internal)?),
            }),
        };
        let priority = match text(&model.priority)? {
            None => TASK_PRIORITY,
            Some(text) => text
                .parse()
                .map_err(|_| EngineError::Internal(format!("Priority does not resolve to a number: {text}")))?,
        };
        let assignee = match model.assignee.as_ref().and_then(Template::literal) {
            // The workflow service's own word for the person who started the process.
            Some("$INITIATOR") => Some(self.instance.start_user.to_string()),
            Some(_) | None => text(&model.assignee)?,
        };
        let task = Task {
            id: self.ids.id(),
            at,
            execution: execution.clone(),
            name: text(&node.name)?,
            description: text(&model.description)?,
            category: text(&model.category)?,
            form_key: text(&model.form_key)?,
            priority,
            assignee,
            owner: None,
            delegation: None,
            candidate_groups: names(&model.candidate_groups)?,
            candidate_users: names(&model.candidate_users)?,
            created: self.now,
            claimed: None,
            due,
            variables: std::collections::BTreeMap::new(),
            end: None,
        };
        let wait = Wait::Task(task.id.clone());
        self.instance.tasks.push(task);
        self.enter_activity(execution, at, node, wait)?;
        Ok(())
    }

    fn open_job(
        &mut self,
        execution: Arc<str>,
        at: ElementIndex,
        node: &Node,
        topic: &Template,
        exclusive: bool,
    ) -> Result<(), EngineError> {
        let job = Job {
            id: self.ids.id(),
            correlation_id: self.ids.id(),
            number: self.ids.number(),
            topic: topic.text(self)?.into(),
            exclusive,
            created: self.now,
            retries: JOB_RETRIES,
            exception: None,
            state: JobState::Waiting,
        };
        self.enter_activity(execution, at, node, Wait::Job(job))
    }

    fn enter_activity(
        &mut self,
        execution: Arc<str>,
        at: ElementIndex,
        node: &Node,
        wait: Wait,
    ) -> Result<(), EngineError> {
        let definition = self.instance.definition.clone();
        let mut timers = Vec::new();
        for boundary in &node.boundary {
            if let Kind::Boundary { event: BoundaryEvent::Timer(timer), .. } = &definition.process.nodes[*boundary].kind
            {
                let timer = ArmedTimer { id: self.ids.id(), at: *boundary, due: self.due_at(timer)? };
                self.due.push((timer.due, Due::Timer { instance: self.instance.number, timer: timer.id.clone() }));
                timers.push(timer);
            }
        }
        self.instance.executions.push(Execution { id: execution, at, wait, timers });
        Ok(())
    }
}
