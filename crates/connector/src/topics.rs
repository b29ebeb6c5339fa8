//! `xconnector topics`, and the look at the topics before a flow runs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use consumer_engine::{
    CONTROL_TOPIC, TopicSpec, create_topics, grow_topics, ledger_topic, partition_counts, state_topic,
};
use event_model::{DeadLetter, JobRecord, replay_topic_of};
use flow_config::Flow;

use crate::setup::{self, Setup};

/// A dead letter must hold whatever a source topic could hold.
const DEAD_LETTER_BYTES: i64 = 64 * 1024 * 1024;
/// How long a repeat by the source is recognised, where the ledger's count does not end it earlier.
pub(crate) const LEDGER_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);
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
    let mut specs: Vec<TopicSpec> =
        setup.flows.iter().flat_map(|flow| specs(flow, &existing, partitions, all)).collect();
    // A few words of operators, read as a whole by every worker.
    let config = vec![("cleanup.policy", "compact".to_owned())];
    specs.push(TopicSpec { name: CONTROL_TOPIC.to_owned(), partitions: 1, config });
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

/// Brings our topics to the partition count that the source topics have now. A flow that halts goes on by itself.
///
/// # Errors
/// The source topics differ among themselves, ours cannot follow, or what the cluster says.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn grow(setup: Setup, flow: Option<&str>) -> anyhow::Result<()> {
    let servers = setup.settings.kafka.bootstrap_servers.clone();
    let properties = setup::properties(&setup.settings.kafka);
    let (s, p) = (servers.clone(), properties.clone());
    let existing = tokio::task::spawn_blocking(move || partition_counts(&s, &p)).await??;
    let mut smaller = Vec::new();
    for flow in setup::chosen(&setup.flows, flow)? {
        smaller.extend(to_grow(flow, &existing)?);
    }
    if smaller.is_empty() {
        println!("every topic has the partition count of its source already");
        return Ok(());
    }
    grow_topics(&servers, &properties, &smaller).await?;
    for (name, count) in &smaller {
        println!("{name} has {count} partitions now");
    }
    println!("until the ledgers' window has passed, every event is looked up before anything is started for it");
    Ok(())
}

/// Which of our topics have fewer partitions than the source, and how many they need.
fn to_grow(flow: &Flow, existing: &BTreeMap<String, usize>) -> anyhow::Result<Vec<(String, usize)>> {
    let count = |name: &str| existing.get(name).copied();
    let mut counts = Vec::new();
    for topic in &flow.source.topics {
        match count(topic) {
            Some(found) => counts.push((topic, found)),
            None => bail!("flow {}: the source topic {topic} does not exist", flow.name),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    if let Some((topic, fewer)) = counts.iter().find(|(_, count)| *count < most) {
        bail!(
            "flow {}: its source topics need the same number of partitions, and {topic} has {fewer} where another has \
             {most}; whoever owns it has to raise it first",
            flow.name
        );
    }
    let mut smaller = Vec::new();
    for spec in specs(flow, existing, 0, false) {
        match count(&spec.name) {
            Some(found) if found < most => smaller.push((spec.name, most)),
            Some(found) if found > most => bail!(
                "flow {}: {} has {found} partitions and the source only {most}; partitions cannot be taken away, so raise \
                 the source",
                flow.name,
                spec.name
            ),
            Some(_) => {}
            None => bail!("flow {}: {} does not exist; `xconnector topics create` makes it", flow.name, spec.name),
        }
    }
    Ok(smaller)
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
        topic(
            ledger_topic(&flow.name),
            vec![compact("compact,delete"), ("retention.ms", LEDGER_WINDOW.as_millis().to_string())],
        ),
        topic(state_topic(&flow.name), vec![compact("compact")]),
    ];
    let large = ("max.message.bytes", DEAD_LETTER_BYTES.to_string());
    specs
        .push(topic(replay_topic_of(&flow.name), vec![("retention.ms", LEDGER_WINDOW.as_millis().to_string()), large]));
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

/// What keeps a flow from running: topics that are missing, or partition counts that growing ours would not mend. A source topic that
/// grew only halts its flow.
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
    let most = flow.source.topics.iter().filter_map(|topic| existing.get(&**topic)).max();
    let too_many = read.iter().filter_map(|name| existing.get(name)).max() > most;
    too_many.then(|| {
        format!(
            "all topics of a flow need the same number of partitions, because partition p of all of them is worked on \
             together: {}",
            counts.join(", ")
        )
    })
}
