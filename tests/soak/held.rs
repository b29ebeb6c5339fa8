//! One record hangs for minutes while its partition goes on; then the process is killed in that state.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use promises::{DEADLINE, Signal, unique, until};

use crate::replies::Replies;
use crate::stage::{PARTITIONS, Stage, Suspension, counted, resident_mb};

/// A line of progress each.
const EVERY: Duration = Duration::from_secs(30);
/// What may be on its way from the source to its reply.
const ON_ITS_WAY: usize = 2_000;

pub(crate) async fn soak(minutes: u64, rate: u32) -> Result<Vec<String>> {
    let stage = Stage::set().await?;
    let run = unique("K");
    let held = format!("{run}-held");
    let replies = Replies::follow(&stage.kafka, &stage.deployment.replies(), PARTITIONS, &held)?;
    let mut process = stage.deployment.instance().await?;
    stage.publish_one(&held, &format!("{held}/0"), &stage.created(&held)).await?;
    let watched = async || Ok(replies.counts().watched.map(|(partition, _)| partition));
    let partition = until("the first ticket to be accepted", DEADLINE, watched).await?;
    let instances = stage.engine.running(&stage.deployment.definition(), &format!("ticket/{held}")).await?;
    let instance = instances.first().context("the first ticket has no process")?.id.clone();
    // A suspended process takes no message: its update waits for up to 15 minutes (`hold_for` of the flow).
    stage.set_suspension(&instance, Suspension::Suspend).await?;
    stage.publish_one(&held, &format!("{held}/1"), &stage.updated(&held, "at last")).await?;

    println!(
        "an update hangs in partition {partition}; {rate} tickets a second come to {PARTITIONS} partitions, for {minutes} minutes"
    );
    let load = stage.publish(&run, Some(rate), usize::MAX)?;
    let mut violations = Vec::new();
    let (begun, length) = (Instant::now(), Duration::from_secs(60 * minutes));
    let mut before = 0;
    while begun.elapsed() < length {
        tokio::time::sleep(EVERY).await;
        let (here, all) = {
            let counts = replies.counts();
            (counts.by_partition.get(partition).copied().unwrap_or_default(), counts.by_partition.iter().sum::<usize>())
        };
        println!(
            "{:5.0} s  {} accepted in that partition, {all} of {} in all; {:.0} MB resident",
            begun.elapsed().as_secs_f64(),
            here - before,
            load.published(),
            resident_mb(process.metrics).await?
        );
        if here == before {
            violations.push(format!("nothing of partition {partition} was accepted for {EVERY:?}"));
        }
        if all + ON_ITS_WAY < load.published() {
            violations.push(format!("{} tickets are behind", load.published() - all));
        }
        before = here;
    }

    process.connector.signal(Signal::Kill);
    process.connector.wait(DEADLINE).await?;
    let (killed, looks) = (Instant::now(), stage.looks().await?);
    let process = stage.deployment.instance().await?;
    let tickets = load.finish().await?;
    let all = async || Ok((replies.counts().keys.len() == tickets + 1).then_some(()));
    until("every ticket to be accepted", DEADLINE, all).await?;
    let (after, looked) = (killed.elapsed(), stage.looks().await? - looks);
    let uncertain = counted(process.metrics, "xconnector_uncertain_offsets_total").await?;
    println!(
        "kill -9: all accepted after {:.1} s; {uncertain} offsets uncertain, {looked} look-ups; the new process has {:.0} MB resident",
        after.as_secs_f64(),
        resident_mb(process.metrics).await?
    );
    if replies.counts().watched.is_some_and(|(_, count)| count > 1) {
        violations.push("the update was accepted though its process was suspended".into());
    }
    stage.set_suspension(&instance, Suspension::Activate).await?;
    let told = async || Ok(replies.counts().watched.filter(|(_, count)| *count == 2).map(|_| ()));
    until("the update that hung to be accepted", DEADLINE, told).await?;
    let (starts, messages) = (stage.calls("start").await?, stage.calls("deliver").await?);
    println!("{starts} start requests for {} tickets; {messages} messages for one update", tickets + 1);
    if starts != tickets as u64 + 1 {
        violations.push(format!("{starts} start requests for {} tickets", tickets + 1));
    }
    if messages != 1 {
        violations.push(format!("{messages} messages for one update"));
    }
    Ok(violations)
}
