//! Single calls to the engine. Which one comes next is decided in `flow-core`.

use flow_core::{Answer, Call, Failure, Scope};
use workflow_client::{Instance, Start};

use super::faults::{bad_answer, failure};
use super::{FlowHandler, Output, Task, Work, marker};

type Called = Result<Answer<Output>, Box<Failure>>;

impl FlowHandler {
    pub(super) async fn perform(&self, work: &Work, call: Call) -> Called {
        match (&work.task, call) {
            (Task::Start { definition, business_key, variables, .. }, Call::Act) => {
                let start = Start { definition, business_key, name: None, variables };
                let instance = self.engine.start(&start).await.map_err(|error| failure(&error))?;
                Ok(done(instance.id))
            }
            (Task::Start { definition, business_key, marker, .. }, Call::Look(scope)) => {
                self.look(definition, business_key, marker::EVENT_ID, marker, scope).await
            }
            (Task::Message { definition, business_key, marker, .. }, Call::Look(scope)) => {
                let variable = marker::message_variable(marker);
                self.look(definition, business_key, &variable, marker, scope).await
            }
            (Task::Message { definition, message, business_key, .. }, Call::Locate) => {
                self.locate_waiting(definition, business_key, message).await
            }
            (Task::Message { message, variables, .. }, Call::ActOn(target)) => {
                let (instance, execution) =
                    target.split_once('/').ok_or_else(|| bad_answer("no execution in the target"))?;
                let execution = workflow_client::ExecutionId(execution.to_owned());
                self.engine.deliver(&execution, message, variables).await.map_err(|error| failure(&error))?;
                Ok(done(instance.to_owned()))
            }
            (Task::Terminate { definition, business_key, .. }, Call::Locate) => {
                let running = self.running(definition, business_key).await?;
                Ok(match running.as_slice() {
                    [] => Answer::NoInstance(Output::Instance(None)),
                    [one] => Answer::Located(one.id.as_str().into()),
                    several => Answer::Several(several.len() as u32),
                })
            }
            (Task::Terminate { marker, .. }, Call::ActOn(target)) => {
                let reason = marker::terminate_reason(marker);
                self.engine.terminate(&target, &reason).await.map_err(|error| failure(&error))?;
                Ok(done(target.to_string()))
            }
            (Task::Job(job), Call::Gather) => self.gather(job).await,
            (Task::Job(job), Call::CompleteJob) => self.complete(job).await,
            (
                Task::Nothing | Task::Start { .. } | Task::Message { .. } | Task::Terminate { .. } | Task::Job(_),
                call @ (Call::Act | Call::Locate | Call::ActOn(_) | Call::Look(_) | Call::Gather | Call::CompleteJob),
            ) => Err(bad_answer(format!("the call `{}` does not belong to this record; this is a bug", call.name()))),
        }
    }

    async fn running(&self, definition: &str, business_key: &str) -> Result<Vec<Instance>, Box<Failure>> {
        self.engine.running(definition, business_key).await.map_err(|error| failure(&error))
    }

    /// Looks for the instance that carries the event's mark. What cannot be seen is a failure, never an absence.
    async fn look(&self, definition: &str, key: &str, variable: &str, mark: &str, scope: Scope) -> Called {
        if scope != Scope::History {
            let running = self.running(definition, key).await?;
            if let Some(found) = marked(&running, variable, mark)? {
                return Ok(done(found));
            }
        }
        if scope != Scope::Running {
            let ended = self.engine.historic(definition, key).await.map_err(|error| failure(&error))?;
            if let Some(found) = marked(&ended, variable, mark)? {
                return Ok(done(found));
            }
        }
        Ok(Answer::Absent)
    }

    async fn locate_waiting(&self, definition: &str, key: &str, message: &str) -> Called {
        let running = self.running(definition, key).await?;
        if running.is_empty() {
            return Ok(Answer::NoInstance(Output::Instance(None)));
        }
        let mut targets = Vec::new();
        // A suspended instance takes no message: it is as if it did not wait yet.
        for instance in running.iter().filter(|instance| !instance.suspended) {
            let waiting = self.engine.waiting(&instance.id, message).await.map_err(|error| failure(&error))?;
            targets.extend(waiting.into_iter().map(|execution| format!("{}/{}", instance.id, execution.0)));
        }
        Ok(match targets.as_slice() {
            [] => Answer::NotWaiting,
            [one] => Answer::Located(one.as_str().into()),
            several => Answer::Several(several.len() as u32),
        })
    }
}

fn done(instance: String) -> Answer<Output> {
    Answer::Done(Output::Instance(Some(instance)))
}

fn marked(instances: &[Instance], variable: &str, mark: &str) -> Result<Option<String>, Box<Failure>> {
    for instance in instances {
        if instance.variables.is_none() {
            return Err(bad_answer(format!("the variables of instance {} could not be read", instance.id)));
        }
        if instance.variable(variable).and_then(|value| value.as_str()) == Some(mark) {
            return Ok(Some(instance.id.clone()));
        }
    }
    Ok(None)
}
