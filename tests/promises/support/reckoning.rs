//! The reckoning: what is on the reply topic and in the engine must be what was published and decided

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use promises::{DEADLINE, Deployment, Instance, Kafka, Received, committed_lag, read_all, read_until, until};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use workflow_client::Engine;

use super::{Bench, Decision};

/// Replies by kind, read by a `read_committed` consumer
pub(crate) struct Books {
    pub(crate) accepted: Vec<(String, Value)>,
    pub(crate) rejected: Vec<(String, Value)>,
    pub(crate) outcomes: Vec<(String, Value)>,
}

/// What one reply may take on two cores that others keep busy, on top of a start
const EACH: Duration = Duration::from_millis(150);

/// Waits for so many replies; when they do not come, the logs of the instances say why.
pub(crate) async fn await_replies(
    kafka: &Kafka,
    deployment: &Deployment,
    count: usize,
    instances: &[&Instance],
) -> Vec<Received> {
    let patience = 2 * DEADLINE + EACH * u32::try_from(count).unwrap();
    read_until(kafka, &deployment.replies(), count, patience).await.unwrap_or_else(|error| {
        let logs: Vec<String> = instances.iter().map(|instance| instance.connector.log()).collect();
        panic!("{error:#}\n{}", logs.join("\n\n"))
    })
}

impl Books {
    pub(crate) fn of(replies: &[Received]) -> Self {
        let of = |kind: &str| {
            let own = replies.iter().filter(|reply| reply.header("ce_type") == Some(kind));
            own.map(|reply| (reply.key_text(), reply.json().unwrap())).collect::<Vec<_>>()
        };
        let books = Self {
            accepted: of("xconnector.accepted.v1"),
            rejected: of("xconnector.rejected.v1"),
            outcomes: of("xconnector.outcome.v1"),
        };
        let sorted = books.accepted.len() + books.rejected.len() + books.outcomes.len();
        assert_eq!(sorted, replies.len(), "every reply is of a known kind");
        books
    }

    /// Exactly one accepted reply for each event, no other, and the process instance that each names, by key.
    #[track_caller]
    pub(crate) fn assert_each_accepted_once<'a>(&self, keys: impl IntoIterator<Item = &'a str>) {
        assert_counts(&self.accepted, keys, "accepted replies");
        let sources: std::collections::BTreeSet<String> =
            self.accepted.iter().map(|(_, reply)| reply["source"].to_string()).collect();
        assert_eq!(sources.len(), self.accepted.len(), "each reply answers another event");
    }

    /// Exactly one outcome for each key, which says what was decided, by whom and why.
    #[track_caller]
    pub(crate) fn assert_outcomes<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a str>,
        decided: &HashMap<String, Decision>,
    ) {
        assert_counts(&self.outcomes, keys, "outcomes");
        let started: HashMap<&Value, &Value> = self
            .accepted
            .iter()
            .map(|(_, reply)| (&reply["source"]["eventId"], &reply["process"]["instanceId"]))
            .collect();
        for (key, outcome) in &self.outcomes {
            let instance = outcome["process"]["instanceId"].as_str().unwrap();
            let decision = &decided[instance];
            let event = &outcome["source"]["eventId"];
            assert_eq!(started.get(event), Some(&&outcome["process"]["instanceId"]), "{key}: the event that began it");
            assert_eq!(outcome["decision"], json!(decision.decision), "{key}: {outcome}");
            assert_eq!(outcome["comments"][0]["text"], json!(decision.comment), "{key}: {outcome}");
            assert_eq!(outcome["comments"].as_array().unwrap().len(), 1, "{key}: {outcome}");
            let audit = outcome["audit"].as_array().unwrap();
            assert_eq!(audit.len(), 1, "{key}: {outcome}");
            assert_eq!(audit[0]["assignee"], json!(decision.clerk), "{key}: {outcome}");
            assert!(audit[0]["completed"].is_i64() || audit[0]["completed"].is_string(), "{key}: {outcome}");
            assert_eq!(outcome["auditComplete"], json!(true), "{key}: {outcome}");
            assert_eq!(outcome["variables"]["ticketId"], json!(key), "{key}: {outcome}");
            assert_eq!(outcome["process"]["businessKey"], json!(format!("ticket/{key}")), "{key}: {outcome}");
        }
    }
}

#[track_caller]
fn assert_counts<'a>(replies: &[(String, Value)], keys: impl IntoIterator<Item = &'a str>, what: &str) {
    let mut expected: BTreeMap<&str, i64> = BTreeMap::new();
    for key in keys {
        *expected.entry(key).or_default() += 1;
    }
    for (key, _) in replies {
        *expected.entry(key).or_default() -= 1;
    }
    expected.retain(|_, difference| *difference != 0);
    let shown: Vec<_> = expected.iter().take(10).collect();
    assert!(expected.is_empty(), "{what}: too few (+) or too many (-) of {} keys, such as {shown:?}", expected.len());
}

/// Each key has exactly one instance in the engine's history, and `xcEventId` names the flow and one event.
pub(crate) async fn assert_one_instance_each(bench: &Bench, deployment: &Deployment, keys: &[String]) {
    let mut readers = JoinSet::new();
    for share in keys.chunks(keys.len().div_ceil(8).max(1)) {
        let (share, engine): (Vec<String>, Engine) = (share.to_vec(), bench.engine.clone());
        let (definition, prefix) = (deployment.definition(), format!("{}/", deployment.flow()));
        readers.spawn(async move {
            let mut marks = Vec::new();
            for key in share {
                let instances = engine.historic(&definition, &format!("ticket/{key}")).await.unwrap();
                assert_eq!(instances.len(), 1, "instances of {key}");
                let mark = instances[0].variable("xcEventId").and_then(|mark| mark.as_str()).unwrap().to_owned();
                assert!(mark.starts_with(&prefix), "{key}: {mark}");
                marks.push(mark);
            }
            marks
        });
    }
    let marks: Vec<String> = readers.join_all().await.into_iter().flatten().collect();
    let different: std::collections::BTreeSet<&String> = marks.iter().collect();
    assert_eq!(different.len(), keys.len(), "each instance was started by another event");
}

/// Nothing is in the dead letters, and the group has committed everything.
pub(crate) async fn assert_nothing_left(kafka: &Kafka, deployment: &Deployment) {
    assert_eq!(read_all(kafka, &deployment.dead_letters()).await.unwrap(), []);
    let topics = [deployment.source(), deployment.jobs()];
    let committed = async || {
        let lag = committed_lag(kafka, &deployment.group(), &topics).await?;
        Ok(lag.values().all(|behind| *behind == 0).then_some(()))
    };
    until("everything to be committed", DEADLINE, committed).await.unwrap();
}
