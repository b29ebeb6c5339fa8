//! The offsets of processed events are set back to the beginning: the ledger knows them all.

use std::time::{Duration, Instant};

use anyhow::Result;
use promises::{DEADLINE, Signal, committed_lag, set_offset, unique, until};

use crate::replies::Replies;
use crate::stage::{PARTITIONS, Stage, resident_mb};

/// How long so many tickets may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn soak(tickets: usize) -> Result<Vec<String>> {
    let stage = Stage::set().await?;
    let (run, source) = (unique("B"), stage.deployment.source());
    let replies = Replies::follow(&stage.kafka, &stage.deployment.replies(), PARTITIONS, "")?;
    let mut process = stage.deployment.instance().await?;
    let begun = Instant::now();
    let load = stage.publish(&run, None, tickets)?;
    let all = async || Ok((replies.counts().keys.len() == tickets).then_some(()));
    until("every ticket to be accepted", PATIENCE, all).await?;
    println!("{} tickets accepted after {:.1} s", load.published(), begun.elapsed().as_secs_f64());
    process.connector.signal(Signal::Terminate);
    process.connector.wait(DEADLINE).await?;

    let group = stage.deployment.group();
    for partition in 0..PARTITIONS as i32 {
        set_offset(&stage.kafka, &group, &source, partition, 0).await?;
    }
    let (starts, looks) = (stage.calls("start").await?, stage.looks().await?);
    let begun = Instant::now();
    let process = stage.deployment.instance().await?;
    let topics = [source];
    let committed = async || {
        let lag = committed_lag(&stage.kafka, &group, &topics).await?;
        Ok(lag.values().all(|behind| *behind == 0).then_some(()))
    };
    until("everything to be committed again", PATIENCE, committed).await?;
    let (again, looked) = (stage.calls("start").await?, stage.looks().await? - looks);
    println!(
        "offsets set back to 0: everything committed again after {:.1} s; {again} start requests for {tickets} tickets, {looked} look-ups; \
         {:.0} MB resident",
        begun.elapsed().as_secs_f64(),
        resident_mb(process.metrics).await?
    );
    let mut violations = Vec::new();
    if starts != tickets as u64 || again != starts {
        violations.push(format!("{starts} start requests for {tickets} tickets, {again} after the reset"));
    }
    Ok(violations)
}
