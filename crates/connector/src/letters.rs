//! `xconnector dlq`: what became a dead letter and why, and putting it back in.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use event_model::{
    DeadLetter, Offset, OutgoingRecord, Partition, Record, letter_of, replay_topic_of, to_discard, to_replay,
};
use intake::Cluster;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::setup::{self, Setup};

/// Which dead letters are meant; all of the flow's when nothing is said.
#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    /// The flow
    #[arg(long)]
    flow: String,
    /// Only this one, as partition/offset of the dead-letter topic
    #[arg(long)]
    at: Option<Place>,
    /// Only with this reason, such as no-instance
    #[arg(long)]
    reason: Option<String>,
    /// Only those of the last so long, such as 2h
    #[arg(long, value_parser = humantime::parse_duration)]
    since: Option<Duration>,
}

/// A place in the dead-letter topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(Partition, Offset);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let numbers = text.split_once('/').and_then(|(p, o)| Some((p.parse().ok()?, o.parse().ok()?)));
        let (partition, offset) = numbers.ok_or_else(|| format!("{text} is not partition/offset, such as 3/1042"))?;
        Ok(Place(Partition::new(partition), Offset::new(offset)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

/// A dead letter for people: no key, no payload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    at: String,
    failed_at: String,
    reason: String,
    detail: String,
    attempts: String,
    event_id: Option<String>,
    source: String,
    replayed: bool,
}

impl Line {
    fn of(letter: &Record, replayed: bool) -> Line {
        let text = |name: &str| header(letter, name).unwrap_or("?").to_owned();
        Line {
            at: place(letter).to_string(),
            failed_at: text("xc-failed-at"),
            reason: text("xc-reason"),
            detail: text("xc-detail"),
            attempts: text("xc-attempts"),
            event_id: header(letter, "xc-event-id").map(str::to_owned),
            source: format!("{}/{}@{}", text("xc-source-topic"), text("xc-source-partition"), text("xc-source-offset")),
            replayed,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { at, failed_at, reason, detail, attempts, event_id, source, replayed } = self;
        write!(f, "{at}  {failed_at}  {reason}  {source}  {}", event_id.as_deref().unwrap_or("-"))?;
        write!(f, "  attempts {attempts}{}\n    {detail}", if *replayed { ", replayed" } else { "" })
    }
}

/// Shows dead letters, oldest first.
///
/// # Errors
/// No such flow, or Kafka cannot be read.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn list(setup: Setup, choice: Choice, limit: usize, json: bool) -> anyhow::Result<()> {
    let (cluster, choice) = (cluster(&setup, &choice.flow)?, choice);
    let (letters, replayed) = tokio::task::spawn_blocking(move || read(&cluster, &choice)).await??;
    let lines = letters.iter().map(|letter| Line::of(letter, replayed.contains(&place(letter))));
    let lines: Vec<Line> = lines.take(limit).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
        return Ok(());
    }
    lines.iter().for_each(|line| println!("{line}"));
    println!("{} dead letters{}", letters.len(), if letters.len() > limit { "; --limit shows more" } else { "" });
    Ok(())
}

/// Puts dead letters back in. Each is looked up before anything is done for it: what has its effect already is only answered.
///
/// # Errors
/// No such flow, nothing to replay where one letter was named, or Kafka refused.
pub(crate) async fn replay(setup: Setup, choice: Choice, again: bool, dry_run: bool) -> anyhow::Result<()> {
    put_back(setup, choice, again, dry_run, "replayed", to_replay).await
}

/// Puts dead letters aside for good, each in its turn.
///
/// # Errors
/// As [`replay`].
pub(crate) async fn discard(setup: Setup, choice: Choice, dry_run: bool) -> anyhow::Result<()> {
    put_back(setup, choice, false, dry_run, "discarded", to_discard).await
}

#[allow(clippy::print_stdout, reason = "the command's answer")]
async fn put_back(
    setup: Setup,
    choice: Choice,
    again: bool,
    dry_run: bool,
    what: &str,
    how: fn(&str, &Record) -> OutgoingRecord,
) -> anyhow::Result<()> {
    let cluster = cluster(&setup, &choice.flow)?;
    let (flow, named, reading) = (choice.flow.clone(), choice.at, cluster.clone());
    let (letters, replayed) = tokio::task::spawn_blocking(move || read(&reading, &choice)).await??;
    if let Some(named) = named {
        ensure!(!letters.is_empty(), "there is no dead letter at {named}");
        ensure!(again || !replayed.contains(&named), "{named} was replayed before; --again does it once more");
    }
    let mut chosen: Vec<&Record> =
        letters.iter().filter(|letter| again || !replayed.contains(&place(letter))).collect();
    // In the order of the source: one that came back before and became a letter again stands behind later ones.
    chosen.sort_by_key(|letter| source_offset(letter));
    let passed = letters.len() - chosen.len();
    let records: Vec<_> = chosen.iter().map(|letter| how(&flow, letter)).collect();
    if dry_run {
        println!("{} dead letters would be {what}, {passed} were replayed before", records.len());
        return Ok(());
    }
    let written = intake::write(&cluster, &records).await.context("not every dead letter was put back in")?;
    println!("{written} dead letters {what}, {passed} passed over because they were replayed before");
    Ok(())
}

fn cluster(setup: &Setup, flow: &str) -> anyhow::Result<Cluster> {
    if !setup.flows.iter().any(|known| &*known.name == flow) {
        let names: Vec<&str> = setup.flows.iter().map(|flow| &*flow.name).collect();
        bail!("there is no flow {flow}; the flows are {}", names.join(", "));
    }
    Ok(setup::cluster(&setup.settings.kafka))
}

/// The letters that are meant, by partition and offset, and which letters were replayed already.
fn read(cluster: &Cluster, choice: &Choice) -> anyhow::Result<(Vec<Record>, BTreeSet<Place>)> {
    let not_before = choice.since.map(|since| anyhow::Ok(Timestamp::now() - SignedDuration::try_from(since)?));
    let not_before = not_before.transpose()?;
    let young = |letter: &Record| {
        let failed_at = || header(letter, "xc-failed-at")?.parse::<Timestamp>().ok();
        not_before.is_none_or(|bound| failed_at().is_some_and(|time| time >= bound))
    };
    let mut letters = Vec::new();
    let topic = DeadLetter::topic_of(&choice.flow);
    let taken = intake::read_topic(cluster, &topic, |letter| {
        let reason = choice.reason.as_deref().is_none_or(|reason| header(&letter, "xc-reason") == Some(reason));
        if reason && choice.at.is_none_or(|at| at == place(&letter)) && young(&letter) {
            letters.push(letter);
        }
    });
    taken.with_context(|| format!("{topic} cannot be read"))?;
    let mut replayed = BTreeSet::new();
    let topic = replay_topic_of(&choice.flow);
    let taken = intake::read_topic(cluster, &topic, |record| {
        replayed.extend(letter_of(&record).map(|(partition, offset)| Place(partition, offset)));
    });
    taken.with_context(|| format!("{topic} cannot be read; `xconnector topics create` makes it"))?;
    Ok((letters, replayed))
}

fn source_offset(letter: &Record) -> i64 {
    header(letter, "xc-source-offset").and_then(|offset| offset.parse().ok()).unwrap_or(i64::MAX)
}

fn place(letter: &Record) -> Place {
    Place(letter.coordinates.partition, letter.coordinates.offset)
}

fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record.header(name).and_then(|header| std::str::from_utf8(header.value.as_deref()?).ok())
}
