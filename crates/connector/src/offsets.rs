//! `xconnector offsets`: what an operator has to say about them.

use std::sync::Arc;

use anyhow::Context;
use event_model::{JobRecord, Partition, replay_topic_of};

use crate::setup::{self, Setup};

/// Lets a partition go on behind what retention removed.
///
/// # Errors
/// There is no such flow, or what the cluster says.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn accept_loss(setup: Setup, flow: &str, partition: i32) -> anyhow::Result<()> {
    let flows = setup::chosen(&setup.flows, Some(flow))?;
    let flow = flows.first().context("there is no flow")?;
    let mut topics: Vec<Arc<str>> = flow.source.topics.clone();
    if !flow.jobs.is_empty() {
        topics.push(JobRecord::topic_of(&flow.name).into());
    }
    topics.push(replay_topic_of(&flow.name).into());
    let kafka = &setup.settings.kafka;
    let group = format!("{}.{}", setup.settings.deployment, flow.name);
    let (properties, partition) = (setup::properties(kafka), Partition::new(partition));
    let accepted =
        consumer_engine::accept_loss(&kafka.bootstrap_servers, &properties, &group, &flow.name, topics, partition)
            .await
            .with_context(|| {
                format!("flow {}, partition {}: the loss cannot be accepted", flow.name, partition.get())
            })?;
    if accepted.is_empty() {
        println!("nothing is lost in partition {}: its committed offsets are in their logs", partition.get());
    }
    for loss in accepted {
        println!(
            "accepted: {}/{} goes on at {} and not at {}; what was not finished between them is lost",
            loss.topic,
            partition.get(),
            loss.log_start,
            loss.committed
        );
    }
    Ok(())
}
