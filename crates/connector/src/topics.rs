//! `xconnector topics create`, and the look at the topics before a flow runs.

use std::collections::BTreeMap;

use consumer_engine::{TopicSpec, create_topics, ledger_topic, partition_counts, state_topic};
use event_model::{DeadLetter, JobRecord, replay_topic_of};
use flow_config::Flow;

use crate::setup::{self, Setup};

/// A dead letter must hold whatever a source topic could hold.
const DEAD_LETTER_BYTES: i64 = 64 * 1024 * 1024;
const MONTH_MS: i64 = 30 * 24 * 3600 * 1000;
const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;

/// Makes what is missing.
///
/// # Errors
/// What the cluster says.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn create(setup: Setup, partitions: i32, all: bool) -> anyhow::Result<()> {
    let servers = setup.settings.kafka.bootstrap_servers.clone();
    let properties = setup::properties(&setup.settings.kafka);
    let (s, p) = (servers.clone(), properties.clone());
    let existing = tokio::task::spawn_blocking(move || partition_counts(&s, &p)).await??;
    let specs: Vec<TopicSpec> = setup.flows.iter().flat_map(|flow| specs(flow, &existing, partitions, all)).collect();
    let missing: Vec<TopicSpec> = specs.into_iter().filter(|spec| !existing.contains_key(&spec.name)).collect();
    if missing.is_empty() {
        println!("every topic is there already");
        return Ok(());
    }
    let made = create_topics(&servers, &properties, &missing).await?;
    for spec in missing.iter().filter(|spec| made.contains(&spec.name)) {
        println!("made {} with {} partitions", spec.name, spec.partitions);
    }
    Ok(())
}

/// The topics of a flow. Ours follow the source topic's partition count.
fn specs(flow: &Flow, existing: &BTreeMap<String, usize>, partitions: i32, all: bool) -> Vec<TopicSpec> {
    let source = flow.source.topics.iter().find_map(|topic| existing.get(&**topic));
    let count = source.map_or(partitions, |count| i32::try_from(*count).unwrap_or(partitions));
    let topic = |name: String, config: Vec<(&'static str, String)>| TopicSpec { name, partitions: count, config };
    let forever = ("retention.ms", "-1".to_owned());
    let large = ("max.message.bytes", DEAD_LETTER_BYTES.to_string());
    let compact = |policy: &str| ("cleanup.policy", policy.to_owned());
    let mut specs = vec![
        topic(DeadLetter::topic_of(&flow.name), vec![forever.clone(), large]),
        topic(ledger_topic(&flow.name), vec![compact("compact,delete"), ("retention.ms", MONTH_MS.to_string())]),
        topic(state_topic(&flow.name), vec![compact("compact")]),
    ];
    let large = ("max.message.bytes", DEAD_LETTER_BYTES.to_string());
    specs.push(topic(replay_topic_of(&flow.name), vec![("retention.ms", MONTH_MS.to_string()), large]));
    if !flow.jobs.is_empty() {
        // A job that nobody took for a week is handed out again by the engine long before.
        specs.push(topic(JobRecord::topic_of(&flow.name), vec![("retention.ms", WEEK_MS.to_string())]));
    }
    if all {
        specs.extend(flow.source.topics.iter().map(|name| topic(name.to_string(), Vec::new())));
        specs.push(topic(flow.reply.topic.to_string(), Vec::new()));
    }
    specs
}

/// What keeps a flow from running: topics that are missing, or partition counts that differ.
pub(crate) fn problem(flow: &Flow, existing: &BTreeMap<String, usize>) -> Option<String> {
    let mut read: Vec<String> = flow.source.topics.iter().map(ToString::to_string).collect();
    if !flow.jobs.is_empty() {
        read.push(JobRecord::topic_of(&flow.name));
    }
    read.extend([replay_topic_of(&flow.name), ledger_topic(&flow.name), state_topic(&flow.name)]);
    let written = [DeadLetter::topic_of(&flow.name), flow.reply.topic.to_string()];
    let missing: Vec<&str> =
        read.iter().chain(&written).filter(|name| !existing.contains_key(*name)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Some(format!(
            "missing topics: {}; `xconnector topics create` makes those that are ours",
            missing.join(", ")
        ));
    }
    let counts: Vec<String> =
        read.iter().filter_map(|name| existing.get(name).map(|count| format!("{name} has {count}"))).collect();
    let differ = read.iter().filter_map(|name| existing.get(name)).collect::<std::collections::BTreeSet<_>>().len() > 1;
    differ.then(|| {
        format!(
            "all topics of a flow need the same number of partitions, because partition p of all of them is worked on \
             together: {}",
            counts.join(", ")
        )
    })
}
