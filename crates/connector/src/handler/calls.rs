//! Single calls to the engine. Which one comes next is decided in `flow-core`.

use flow_core::{Answer, Call, Copy, Failure, Scope};
use workflow_client::{Engine, Fault, Instance, Start};

use super::faults::{bad_answer, failure};
use super::{FlowHandler, Origin, Output, Task, Work, marker};

type Called = Result<Answer<Output>, Box<Failure>>;

impl FlowHandler {
    pub(super) async fn perform(&self, engine: &Engine, work: &Work, call: Call) -> Called {
        match (&work.task, call) {
            (Task::Start { definition, business_key, variables, .. }, Call::Act) => {
                let start = Start { definition, business_key, name: None, variables };
                let instance = engine.start(&start).await.map_err(|error| failure(&error))?;
                Ok(done(instance.id))
            }
            (Task::Start { definition, business_key, marker, .. }, Call::Look(scope)) => {
                self.look(definition, business_key, marker::EVENT_ID, marker, scope).await
            }
            (Task::Message { definition, business_key, marker, .. }, Call::Look(scope)) => {
                let variable = marker::message_variable(marker);
                self.look(definition, business_key, &variable, marker, scope).await
            }
            (Task::Message { definition, message, business_key, .. }, Call::Locate { spare_later }) => {
                let running = self.meant(work, definition, business_key, spare_later).await?;
                self.locate_waiting(&running, message).await
            }
            (Task::Message { message, variables, .. }, Call::ActOn(target)) => {
                let (instance, execution) =
                    target.split_once('/').ok_or_else(|| bad_answer("no execution in the target"))?;
                let execution = workflow_client::ExecutionId(execution.to_owned());
                engine.deliver(&execution, message, variables).await.map_err(|error| failure(&error))?;
                Ok(done(instance.to_owned()))
            }
            (Task::Terminate { definition, business_key, .. }, Call::Locate { spare_later }) => {
                let running = self.meant(work, definition, business_key, spare_later).await?;
                Ok(match running.as_slice() {
                    [] => Answer::NoInstance(Output::Instance(None)),
                    [one] => Answer::Located(one.id.as_str().into()),
                    several => Answer::Several(several.len() as u32),
                })
            }
            (Task::Terminate { marker, .. }, Call::ActOn(target)) => {
                let reason = marker::terminate_reason(marker);
                engine.terminate(&target, &reason).await.map_err(|error| failure(&error))?;
                Ok(done(target.to_string()))
            }
            (Task::Terminate { definition, business_key, marker }, Call::Look(_)) => {
                self.look_for_end(definition, business_key, marker).await
            }
            (Task::Start { definition, business_key, marker, .. }, Call::Count(scope)) => {
                self.count(definition, business_key, marker, scope).await
            }
            (Task::Start { .. }, Call::Delete(surplus)) => match engine.terminate(&surplus, marker::DUPLICATE).await {
                Ok(()) => Ok(done(surplus.to_string())),
                // It ended by itself.
                Err(error) if error.fault == Fault::NotFound => Ok(done(surplus.to_string())),
                Err(error) => Err(failure(&error)),
            },
            (Task::Job(job), Call::Gather) => self.gather(job).await,
            (Task::Job(job), Call::CompleteJob) => self.complete(job).await,
            (Task::Job(job), Call::FailJob) => self.give_back(job).await,
            (Task::Ask(asked), Call::Request(system)) => self.ask(asked, system).await,
            (Task::Ask(asked), Call::GiveResult) => self.give_result(asked).await,
            (Task::Ask(asked), Call::IsOpen) => self.is_open(asked).await,
            (Task::Ask(asked), Call::FailJob) => self.give_back(&asked.job).await,
            (
                Task::Nothing
                | Task::Start { .. }
                | Task::Message { .. }
                | Task::Terminate { .. }
                | Task::Job(_)
                | Task::Ask(_),
                call @ (Call::Act
                | Call::Locate { .. }
                | Call::ActOn(_)
                | Call::Look(_)
                | Call::Gather
                | Call::CompleteJob
                | Call::Request(_)
                | Call::GiveResult
                | Call::IsOpen
                | Call::FailJob
                | Call::Count(_)
                | Call::Delete(_)),
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

    /// A terminate leaves its reason in history, where the engine keeps one; where it does not, nothing is found and the
    /// instance is located anew, which does no harm.
    async fn look_for_end(&self, definition: &str, key: &str, marker: &str) -> Called {
        let ended = self.engine.historic(definition, key).await.map_err(|error| failure(&error))?;
        let reason = marker::terminate_reason(marker);
        let found = ended.iter().find(|instance| instance.delete_reason.as_deref() == Some(&reason));
        Ok(found.map_or(Answer::Absent, |instance| done(instance.id.clone())))
    }

    /// The running instances that the record may mean. One that a later record of the same partition started is not meant: the
    /// record had its effect before that one came.
    async fn meant(
        &self,
        work: &Work,
        definition: &str,
        key: &str,
        spare_later: bool,
    ) -> Result<Vec<Instance>, Box<Failure>> {
        let mut running = self.running(definition, key).await?;
        if spare_later {
            let at = &work.record.coordinates;
            running.retain(|instance| {
                let origin =
                    instance.variable(marker::ORIGIN).and_then(|value| Origin::read(&value.clone().into_json()));
                let later = |origin: Origin| {
                    origin.topic == *at.topic && origin.partition == at.partition && origin.offset > at.offset
                };
                !origin.is_some_and(later)
            });
        }
        Ok(running)
    }

    async fn count(&self, definition: &str, key: &str, mark: &str, scope: Scope) -> Called {
        let instances = match scope {
            Scope::History => self.engine.historic(definition, key).await.map_err(|error| failure(&error))?,
            Scope::Running | Scope::Everywhere => self.running(definition, key).await?,
        };
        copies(&instances, mark, scope).map(Answer::Copies)
    }

    async fn locate_waiting(&self, running: &[Instance], message: &str) -> Called {
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

/// The instances of one event. One that was ended as surplus counts no more.
pub(super) fn copies(instances: &[Instance], mark: &str, scope: Scope) -> Result<Vec<Copy>, Box<Failure>> {
    let mut copies = Vec::new();
    for instance in instances.iter().filter(|instance| !marker::is_surplus(instance)) {
        if instance.variables.is_none() {
            return Err(bad_answer(format!("the variables of instance {} could not be read", instance.id)));
        }
        if instance.variable(marker::EVENT_ID).and_then(|value| value.as_str()) == Some(mark) {
            let started_ms = instance.start_time.map_or(i64::MAX, |time| time.as_millisecond());
            let running = !instance.is_ended() && scope != Scope::History;
            copies.push(Copy { started_ms, id: instance.id.as_str().into(), running });
        }
    }
    Ok(copies)
}

/// The instance that carries the mark. One that was ended as surplus is the answer only when the survivor is not in sight.
pub(super) fn marked(instances: &[Instance], variable: &str, mark: &str) -> Result<Option<String>, Box<Failure>> {
    let (surplus, others): (Vec<_>, Vec<_>) = instances.iter().partition(|instance| marker::is_surplus(instance));
    for instance in others.into_iter().chain(surplus) {
        if instance.variables.is_none() {
            return Err(bad_answer(format!("the variables of instance {} could not be read", instance.id)));
        }
        if instance.variable(variable).and_then(|value| value.as_str()) == Some(mark) {
            return Ok(Some(instance.id.clone()));
        }
    }
    Ok(None)
}
