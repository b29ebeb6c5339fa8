//! Tasks for people: claim, give back, delegate, resolve, complete, remark.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::instance::Delegation;
use super::variables::{Variable, VariableInput, read};
use super::{Comment, Engine, EngineError, Instance, Task};
use crate::bpmn::{ElementIndex, Kind};

/// What somebody does with a task.
#[derive(Debug)]
pub(crate) enum TaskAction {
    /// Take it; without an assignee, put it back.
    Claim { assignee: Option<String> },
    /// Put it back.
    Unclaim,
    /// Let somebody else do it and give it back.
    Delegate { assignee: String },
    /// Give it back to who delegated it.
    Resolve { variables: Vec<VariableInput> },
    /// Finish it.
    Complete { outcome: Option<String>, variables: Vec<VariableInput> },
}

impl Engine {
    /// Performs an action on an open task.
    pub(crate) fn act_on_task(&mut self, id: &str, action: TaskAction, now: Timestamp) -> Result<(), EngineError> {
        let instance = self.instance_of_task(id)?;
        if instance.suspended {
            return Err(EngineError::Internal(format!(
                "Cannot act on task '{id}': its process instance is suspended."
            )));
        }
        let mut change = self.change(instance, now);
        let task = change.instance.task_mut(id).ok_or_else(|| no_task(id))?;
        match action {
            TaskAction::Claim { assignee: Some(assignee) } => match &task.assignee {
                Some(holder) if *holder != assignee => {
                    return Err(EngineError::AlreadyClaimed(format!(
                        "Task '{id}' is already claimed by someone else."
                    )));
                }
                Some(_) => return Ok(()),
                None => {
                    task.assignee = Some(assignee);
                    task.claimed = Some(now);
                }
            },
            TaskAction::Claim { assignee: None } | TaskAction::Unclaim => {
                task.assignee = None;
                task.claimed = None;
            }
            TaskAction::Delegate { assignee } => {
                task.owner = task.owner.take().or_else(|| task.assignee.clone());
                task.assignee = Some(assignee);
                task.delegation = Some(Delegation::Pending);
            }
            TaskAction::Resolve { variables } => {
                task.assignee = task.owner.clone();
                task.delegation = Some(Delegation::Resolved);
                change.instance.variables.extend(read(variables)?);
            }
            TaskAction::Complete { outcome, variables } => {
                if task.delegation == Some(Delegation::Pending) {
                    return Err(EngineError::Internal(
                        "A delegated task cannot be completed, but should be resolved instead.".into(),
                    ));
                }
                let (execution, at) = (task.execution.clone(), task.at);
                let (local, global): (Vec<_>, Vec<_>) =
                    variables.into_iter().partition(|v| v.scope.as_deref() == Some("local"));
                task.variables.extend(read(local)?);
                change.instance.variables.extend(read(global)?);
                if let Some((name, variable)) = outcome_variable(&change.instance, at, outcome)? {
                    change.instance.variables.insert(name, variable);
                }
                change.end_task(id, None);
                change.resume(&execution)?;
            }
        }
        self.commit(change);
        Ok(())
    }

    /// Adds a remark to an open task; it shows on the instance as well.
    pub(crate) fn comment_on_task(
        &mut self,
        id: &str,
        author: &Arc<str>,
        message: String,
        now: Timestamp,
    ) -> Result<Comment, EngineError> {
        let instance = self.instance_of_task(id)?.clone();
        Ok(self.add_comment(&instance, Some(id.into()), author, message, now))
    }

    /// Changes fields of an open task.
    pub(crate) fn edit_task(
        &mut self,
        id: &str,
        edit: impl FnOnce(&mut Task),
        now: Timestamp,
    ) -> Result<Arc<Instance>, EngineError> {
        let mut change = self.change(self.instance_of_task(id)?, now);
        edit(change.instance.task_mut(id).ok_or_else(|| no_task(id))?);
        Ok(self.commit(change))
    }

    /// The running instance that an open task belongs to.
    pub(crate) fn instance_of_task(&self, id: &str) -> Result<&Arc<Instance>, EngineError> {
        self.owner(id).filter(|i| i.open_tasks().any(|t| &*t.id == id)).ok_or_else(|| no_task(id))
    }
}

fn no_task(id: &str) -> EngineError {
    EngineError::NotFound(format!("Could not find a task with id '{id}'."))
}

/// The outcome as the variable that the model names. Both the value and its label are accepted, clients send either.
fn outcome_variable(
    instance: &Instance,
    at: ElementIndex,
    outcome: Option<String>,
) -> Result<Option<(String, Variable)>, EngineError> {
    let Some(outcome) = outcome else { return Ok(None) };
    let model = match &instance.definition.process.nodes[at].kind {
        Kind::UserTask(task) => task.outcome.as_ref(),
        Kind::Start { .. }
        | Kind::ExternalTask { .. }
        | Kind::HttpTask(_)
        | Kind::ExclusiveGateway { .. }
        | Kind::ParallelGateway
        | Kind::Catch(_)
        | Kind::Boundary { .. }
        | Kind::End
        | Kind::TerminateEnd => None,
    };
    let Some(model) = model else { return Ok(None) };
    let value = model
        .possible
        .iter()
        .find(|(label, value)| *value == outcome || *label == outcome)
        .map(|(_, value)| value.clone())
        .ok_or_else(|| {
            EngineError::BadRequest(format!(
                "'{outcome}' is not a possible outcome of task '{}'.",
                instance.node_id(at)
            ))
        })?;
    let variable = Variable { kind: "string", value: Arc::new(Value::String(value)), encryption: false };
    Ok(Some((model.variable.to_string(), variable)))
}
