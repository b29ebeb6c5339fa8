//! Messages, signals and triggers to an execution that waits.

use std::sync::Arc;

use jiff::Timestamp;

use super::instance::Wait;
use super::variables::{VariableInput, read};
use super::{Engine, EngineError, Instance};

impl Engine {
    /// Delivers a message. The subscription is used up, and nothing is kept for an execution that does not wait.
    pub(crate) fn deliver(
        &mut self,
        execution: &str,
        message: &str,
        variables: Vec<VariableInput>,
        now: Timestamp,
    ) -> Result<Arc<Instance>, EngineError> {
        self.wake(execution, variables, now, |wait| match wait {
            Some(Wait::Message(name)) if &**name == message => Ok(()),
            Some(Wait::Message(_) | Wait::Join | Wait::Task(_) | Wait::Job(_) | Wait::Request(_) | Wait::Timer(_))
            | None => Err(EngineError::NotSubscribed(format!(
                "Execution with id '{execution}' does not have a subscription to a message event with name '{message}'"
            ))),
        })
    }

    /// Signals are not modelled here, so nothing ever waits for one.
    pub(crate) fn deliver_signal(&self, execution: &str, signal: &str) -> EngineError {
        match self.instance_of_execution(execution) {
            Ok(_) => EngineError::NotSubscribed(format!(
                "Execution with id '{execution}' has not subscribed to a signal event with name '{signal}'."
            )),
            Err(error) => error,
        }
    }

    /// Moves a waiting event on without its message, as the real engine does.
    pub(crate) fn trigger(
        &mut self,
        execution: &str,
        variables: Vec<VariableInput>,
        now: Timestamp,
    ) -> Result<Arc<Instance>, EngineError> {
        self.wake(execution, variables, now, |wait| match wait {
            Some(Wait::Message(_) | Wait::Timer(_)) => Ok(()),
            Some(Wait::Join | Wait::Task(_) | Wait::Job(_) | Wait::Request(_)) | None => Err(EngineError::Internal(
                format!("this activity isn't waiting for a trigger: execution '{execution}'"),
            )),
        })
    }

    /// The running instance of an execution; the root execution has the instance's own id.
    pub(crate) fn instance_of_execution(&self, execution: &str) -> Result<&Arc<Instance>, EngineError> {
        self.owner(execution)
            .or_else(|| self.running().get(execution))
            .ok_or_else(|| EngineError::NotFound(format!("Could not find an execution with id '{execution}'.")))
    }

    fn wake(
        &mut self,
        execution: &str,
        variables: Vec<VariableInput>,
        now: Timestamp,
        accepts: impl FnOnce(Option<&Wait>) -> Result<(), EngineError>,
    ) -> Result<Arc<Instance>, EngineError> {
        let instance = self.instance_of_execution(execution)?;
        if instance.suspended {
            return Err(EngineError::Internal(format!(
                "Cannot receive message for a suspended execution '{execution}'"
            )));
        }
        accepts(instance.executions.iter().find(|e| &*e.id == execution).map(|e| &e.wait))?;
        let mut change = self.change(instance, now);
        change.instance.variables.extend(read(variables)?);
        change.resume(execution)?;
        Ok(self.commit(change))
    }
}
