//! What a process posts of itself: hearsay until the engine shows it.
//!
//! An HTTP task posts within the engine's open transaction: the instance may not be there yet, run on, or be rolled back and post again.
//! And whoever is let in by the intake may name any instance. So nothing of the post counts but which instance it names.

use std::time::Duration;

use event_model::JobRecord;
use flow_core::{Answer, Failure, Reason, Unseen};
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
        let not_yet =
            |hold_for, reason, detail| Ok(Shown::Otherwise(Answer::NotYet(Unseen { hold_for, reason, detail })));
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use event_model::{SchemaIds, Schemas};
    use flow_config::Flow;
    use serde_json::{Value, json};
    use workflow_client::{Auth, Engine, Settings};

    use super::*;
    use crate::handler::{Parts, TopicId};

    const HISTORY_LAG: Duration = Duration::from_secs(2);

    /// The tickets flow whose process posts; nothing listens where its engine should be.
    fn handler() -> FlowHandler {
        let folder = tempfile::TempDir::new().unwrap();
        let text = std::fs::read_to_string("../../flows/tickets/flow.toml").unwrap();
        let text = text.replace("topic    = \"tickets.outcome\"", "posted   = \"ticket_triage\"\nhold_for = \"1h\"");
        std::fs::write(folder.path().join("flow.toml"), text).unwrap();
        let schemas = Schemas::load(Path::new("../../schemas")).unwrap();
        FlowHandler::new(Parts {
            flow: Flow::load(folder.path(), &schemas).unwrap(),
            jobs_topic: Some(TopicId(1)),
            replay_topic: TopicId(2),
            schema_ids: SchemaIds::default(),
            engine: Engine::new(Settings::flowable("http://127.0.0.1:9", Auth::None)).unwrap(),
            systems: Vec::new(),
            worker: "test".into(),
            settle: Duration::from_secs(60),
            history_lag: HISTORY_LAG,
            lock: Duration::from_secs(600),
        })
        .unwrap()
    }

    /// An instance of the flow that has ended, but for what is said otherwise.
    fn instance(otherwise: Value) -> Instance {
        let mut row = json!({
            "id": "p-1", "processDefinitionId": "ticket_triage:3:abc", "businessKey": "ticket/T-1", "endTime": "2026-11-30T10:00:00Z",
            "variables": [{ "name": "xcEventId", "value": "tickets//crm/e-1" }, { "name": "decision", "value": "resolved" }],
        });
        row.as_object_mut().unwrap().extend(otherwise.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    async fn shown(instance: Option<Instance>) -> Shown {
        let posted = JobRecord::posted("p-1".to_owned());
        handler().shown(&posted, instance.as_ref()).await.unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    #[tokio::test]
    async fn what_has_ended_is_the_job_of_its_definition_with_what_the_engine_tells() {
        let Shown::Ended(job) = shown(Some(instance(json!({})))).await else { panic!("it has ended") };
        assert_eq!((job.topic.as_str(), job.job_id.as_str()), ("posted:ticket_triage", "p-1"));
        assert_eq!(job.variables["decision"], "resolved");
        assert_eq!(job.process_definition_id.as_deref(), Some("ticket_triage:3:abc"));
    }

    #[tokio::test]
    async fn what_is_not_so_yet_is_waited_for_as_long_as_it_may_still_come() {
        let waits = async |instance| match shown(instance).await {
            Shown::Otherwise(Answer::NotYet(Unseen { hold_for, reason, .. })) => (hold_for.as_secs(), reason),
            Shown::Ended(_) | Shown::Otherwise(_) => panic!("nothing is to be waited for"),
        };
        assert_eq!(
            waits(None).await,
            (62, Reason::NO_INSTANCE),
            "its transaction may still be open, and history behind"
        );
        assert_eq!(waits(Some(instance(json!({ "endTime": null })))).await, (3_600, Reason::NOT_ENDED));
    }

    #[tokio::test]
    async fn what_is_not_the_flows_has_no_outcome_and_is_not_waited_for() {
        let foreign = json!([{ "name": "xcEventId", "value": "orders//crm/e-1" }]);
        for otherwise in [
            json!({ "processDefinitionId": "orders:1:abc" }),
            json!({ "processDefinitionId": "orders:1:abc", "endTime": null }),
            json!({ "variables": foreign, "endTime": null }),
            json!({ "variables": [] }),
            json!({ "deleteReason": "xc:tickets//crm/e-2" }),
        ] {
            let answer = shown(Some(instance(otherwise.clone()))).await;
            let nothing = matches!(answer, Shown::Otherwise(Answer::Done(Output::Completed)));
            assert!(nothing, "{otherwise}");
        }
        let (posted, unread) = (JobRecord::posted("p-1".to_owned()), instance(json!({ "variables": null })));
        assert!(handler().shown(&posted, Some(&unread)).await.is_err(), "whose it is, is not known");
    }
}
