//! What a process posts of itself: hearsay until the engine shows it.
//!
//! An HTTP task posts within the engine's open transaction: the instance may not be there yet, run on, or be rolled back and post again.
//! And whoever is let in by the intake may name any instance. So nothing of the post counts but which instance it names.

use std::time::Duration;

use event_model::JobRecord;
use flow_core::{Answer, Failure, Reason};
use workflow_client::Instance;

use super::faults::{bad_answer, failure};
use super::{FlowHandler, Output, marker};

/// What the engine says of an instance that was posted.
pub(super) enum Shown {
    /// It is the flow's and has ended.
    Ended(Box<JobRecord>),
    /// It is not yet so, or never will be.
    Otherwise(Answer<Output>),
}

impl FlowHandler {
    /// What the engine shows of the posted instance; `instance` is what its history holds.
    pub(super) async fn shown(&self, posted: &JobRecord, instance: Option<&Instance>) -> Result<Shown, Box<Failure>> {
        let not_yet = |hold_for, reason, detail| Ok(Shown::Otherwise(Answer::NotYet { hold_for, reason, detail }));
        // What the engine was asked for takes effect within `settle`, and history shows it.
        let shows_within = self.settle + self.history_lag;
        let Some(instance) = instance else {
            let detail = "the engine does not know the posted instance: its transaction was rolled back, or another engine's process posts here";
            return not_yet(shows_within, Reason::NO_INSTANCE, detail);
        };
        if instance.variables.is_none() {
            return Err(bad_answer("history does not show the variables of the posted instance"));
        }
        let job = match marker::has_outcome(instance, &self.flow.name) {
            true => self.job_of(instance).await?,
            false => None,
        };
        let Some((topic, hold_for)) = job else {
            let (flow, instance) = (&*self.flow.name, &posted.process_instance_id);
            tracing::info!(
                flow,
                instance,
                "a posted process has no outcome: the flow did not start it, ended it itself, or expects no post of its definition"
            );
            return Ok(Shown::Otherwise(Answer::Done(Output::Completed)));
        };
        if !instance.is_ended() {
            let detail = "the posted instance runs on; replay the dead letter once it has ended, or post at the end of the process";
            return not_yet(hold_for.max(shows_within), Reason::NOT_ENDED, detail);
        }
        let variables = instance.variables.iter().flatten();
        Ok(Shown::Ended(Box::new(JobRecord {
            topic,
            process_definition_id: instance.process_definition_id.clone(),
            business_key: instance.business_key.clone(),
            variables: variables.map(|variable| (variable.name.clone(), variable.value.clone().into_json())).collect(),
            ..posted.clone()
        })))
    }

    /// The job for which processes of the instance's definition post, and how long they may run on.
    async fn job_of(&self, instance: &Instance) -> Result<Option<(String, Duration)>, Box<Failure>> {
        for (job, process, hold_for) in self.flow.posted() {
            let is = match (instance.definition_key(), &instance.business_key) {
                (Some(key), _) => key == process,
                // Its definition's id does not tell: the engine does, when it is asked for those of the definition.
                (None, Some(key)) => {
                    let all = self.engine.historic(process, key).await.map_err(|error| failure(&error))?;
                    all.iter().any(|other| other.id == instance.id)
                }
                (None, None) => false,
            };
            if is {
                return Ok(Some((job.topic.to_string(), hold_for)));
            }
        }
        Ok(None)
    }

    /// Whether the flow has a job of that topic, or one that is posted.
    pub(super) fn serves(&self, job: &JobRecord) -> bool {
        match job.topic.as_str() {
            JobRecord::POSTED => self.flow.posted().next().is_some(),
            topic => self.flow.job(topic).is_some(),
        }
    }
}
