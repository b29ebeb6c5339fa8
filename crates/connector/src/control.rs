//! `xconnector control`: an operator holds a flow or a key back, lets it go on, or ends a storm. See [`consumer_engine::Subject`].

use std::collections::BTreeMap;

use anyhow::Context;
use consumer_engine::{CONTROL_TOPIC, Subject};
use event_model::Record;
use flow_core::KeyHash;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cli::Target;
use crate::setup::{self, Setup};

/// Who said it, and why: for people, and never needed to obey it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Remark {
    /// The key as it was given, where the word is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// RFC 3339.
    at: String,
}

/// Holds a flow or one of its keys back.
///
/// # Errors
/// There is no such flow, or Kafka did not take the word.
pub(crate) async fn pause(setup: Setup, target: Target, reason: Option<String>) -> anyhow::Result<()> {
    let remark = Remark { key: target.key.clone(), reason, at: Timestamp::now().to_string() };
    let value = serde_json::to_vec(&remark).context("the reason makes no JSON")?;
    say(&setup, &target, Some(value), "is held back: nothing new leaves for it, what is under way is finished").await
}

/// Lets it go on.
///
/// # Errors
/// As [`pause`].
pub(crate) async fn resume(setup: Setup, target: Target) -> anyhow::Result<()> {
    say(&setup, &target, None, "goes on").await
}

/// Ends a storm: the guard lets everything go and counts anew.
///
/// # Errors
/// As [`pause`].
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn reset_guard(setup: Setup, flow: &str) -> anyhow::Result<()> {
    setup::chosen(&setup.flows, Some(flow))?;
    let remark = Remark { at: Timestamp::now().to_string(), ..Remark::default() };
    let value = serde_json::to_vec(&remark).context("the remark makes no JSON")?;
    write(&setup, &Subject::Guard(flow.to_owned()), Some(value)).await?;
    println!("flow {flow}: its storm guard lets everything go and counts anew, in every process that runs now");
    Ok(())
}

/// Shows what is held back.
///
/// # Errors
/// The topic cannot be read.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn show(setup: Setup) -> anyhow::Result<()> {
    let cluster = setup::cluster(&setup.settings.kafka);
    let mut held: BTreeMap<Subject, Remark> = BTreeMap::new();
    let read = tokio::task::spawn_blocking(move || {
        intake::read_topic(&cluster, CONTROL_TOPIC, |record| take(&mut held, &record)).map(|()| held)
    });
    let held =
        read.await?.with_context(|| format!("{CONTROL_TOPIC} cannot be read; `xconnector topics create` makes it"))?;
    if held.is_empty() {
        println!("nothing is held back");
    }
    for (subject, Remark { key, reason, at }) in held {
        let what = match &subject {
            Subject::Flow(flow) => format!("flow {flow}"),
            Subject::Key(flow, hash) => {
                let key = key.unwrap_or_else(|| format!("with the hash {hash}"));
                format!("flow {flow}, key {key}")
            }
            Subject::Guard(_) => continue,
        };
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        println!("{what}, since {at}{reason}");
    }
    Ok(())
}

fn take(held: &mut BTreeMap<Subject, Remark>, record: &Record) {
    let Some(subject) = record.key.as_deref().and_then(Subject::of) else { return };
    match (&subject, &record.value) {
        (Subject::Guard(_), _) => {}
        (Subject::Flow(_) | Subject::Key(..), Some(value)) => {
            // It holds whatever was remarked, and whoever wrote it.
            held.insert(subject, serde_json::from_slice(value).unwrap_or_default());
        }
        (Subject::Flow(_) | Subject::Key(..), None) => drop(held.remove(&subject)),
    }
}

#[allow(clippy::print_stdout, reason = "the command's answer")]
async fn say(setup: &Setup, target: &Target, value: Option<Vec<u8>>, what: &str) -> anyhow::Result<()> {
    setup::chosen(&setup.flows, Some(&target.flow))?;
    let subject = match &target.key {
        Some(key) => Subject::Key(target.flow.clone(), KeyHash::of(key.as_bytes())),
        None => Subject::Flow(target.flow.clone()),
    };
    write(setup, &subject, value).await?;
    match &target.key {
        Some(key) => println!("flow {}: the key {key} {what}", target.flow),
        None => println!("flow {} {what}", target.flow),
    }
    Ok(())
}

async fn write(setup: &Setup, subject: &Subject, value: Option<Vec<u8>>) -> anyhow::Result<()> {
    let written = intake::write(&setup::cluster(&setup.settings.kafka), &[subject.record(value)]).await;
    written.with_context(|| format!("{CONTROL_TOPIC} does not take the word; `xconnector topics create` makes it"))?;
    Ok(())
}
