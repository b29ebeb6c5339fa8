//! Performs what the state machine asks for. Nothing here decides, and nothing here waits.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use event_model::{NextOffset, Partition};
use flow_core::{
    Answer, Batch, Call, Effect, EndpointId, Failure, Fault, Input, Moment, RecordId, Resolution, Restored, TopicId,
};
use futures::FutureExt;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use tokio::sync::mpsc;

use crate::committer::Sealed;
use crate::context::Membership;
use crate::control::Heard;
use crate::error::EngineError;
use crate::handler::Handler;
use crate::reader::Command;
use crate::restore::Restorer;
use crate::telemetry::Telemetry;

/// How long to wait before a failed restore is tried again.
const RESTORE_AGAIN: Duration = Duration::from_secs(1);

/// What tasks and threads tell the loop.
pub(crate) enum Done<O> {
    Finished(RecordId, Answer<O>),
    Probed(EndpointId, Result<(), Failure>),
    Restored(Partition, Restored, Epoch),
    LogEnds(Partition, Vec<(TopicId, NextOffset)>, Epoch),
    Ranges(Partition, Vec<(TopicId, NextOffset, NextOffset)>, Epoch),
    Fits(bool),
    Heard(Heard),
}

/// Which ownership of a partition is meant: it moves with every assignment, every loss and every restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

pub(crate) struct Performer<H: Handler> {
    pub flow: Arc<str>,
    pub handler: Arc<H>,
    pub topics: Vec<Arc<str>>,
    pub done: mpsc::UnboundedSender<Done<H::Output>>,
    pub commands: std_mpsc::Sender<Command>,
    pub batches: std_mpsc::Sender<Sealed<H::Work, H::Output>>,
    pub consumer: Arc<BaseConsumer<Membership<H::Work>>>,
    pub origin: Instant,
    pub restorer: Restorer,
    pub telemetry: Arc<Telemetry>,
    /// The names of the endpoints, by their ids.
    pub endpoints: Vec<Arc<str>>,
    /// Callbacks and the shutdown that wait for partitions to be released.
    pub waiting: Vec<std_mpsc::SyncSender<()>>,
    pub epochs: HashMap<Partition, Epoch>,
    pub released: bool,
    /// How often partitions were given up, as far as the state machine knows.
    pub given_up: u64,
}

impl<H: Handler> Performer<H> {
    pub(crate) fn perform(&mut self, effect: Effect<H::Work, H::Output>) -> Result<(), EngineError> {
        match effect {
            Effect::Call { id, work, call, until } => self.call(id, work, call, until),
            Effect::Probe(endpoint) => self.probe(endpoint),
            Effect::Commit(batch) => return self.commit(batch),
            Effect::LogEnds(partition) => self.log_ends(partition),
            Effect::Ranges(partition) => self.ranges(partition),
            Effect::Restore(partition) => self.restore(partition),
            Effect::Start(partition, positions) => return self.command(Command::Start(partition, positions)),
            Effect::Pause(partition) => return self.command(Command::Pause(partition)),
            Effect::Resume(partition) => return self.command(Command::Resume(partition)),
            Effect::Released(partitions) => {
                for partition in partitions {
                    self.telemetry.gone(&self.flow, &self.topics, partition.get());
                }
                self.released = true;
                for callback in self.waiting.drain(..) {
                    // A callback that gave up waiting has gone on by itself.
                    let _ = callback.try_send(());
                    self.given_up += 1;
                }
            }
            Effect::Notice(notice) => self.telemetry.notice(&self.flow, &self.endpoints, &self.topics, notice),
        }
        Ok(())
    }

    /// The ownership of these partitions changed.
    pub(crate) fn moved(&mut self, partitions: &[(TopicId, Partition)]) {
        for (_, partition) in partitions {
            self.epochs.entry(*partition).or_default().0 += 1;
        }
    }

    /// What a task or thread has to say; `None` for the answer to a question of an earlier ownership.
    pub(crate) fn input(&self, done: Done<H::Output>) -> Option<Input<H::Work, H::Output>> {
        let now = |partition: Partition| self.epochs.get(&partition).copied().unwrap_or_default();
        match done {
            Done::Finished(id, answer) => Some(Input::Finished(id, answer)),
            Done::Probed(endpoint, result) => Some(Input::Probed(endpoint, result)),
            Done::Restored(partition, restored, epoch) => {
                (now(partition) == epoch).then_some(Input::Restored(partition, restored))
            }
            Done::LogEnds(partition, ends, epoch) => {
                (now(partition) == epoch).then_some(Input::LogEnds(partition, ends))
            }
            Done::Ranges(partition, ranges, epoch) => {
                (now(partition) == epoch).then_some(Input::Ranges(partition, ranges))
            }
            Done::Fits(fits) => Some(Input::Fits(fits)),
            Done::Heard(Heard::Paused(paused)) => Some(Input::Control(paused)),
            Done::Heard(Heard::GuardReset) => Some(Input::GuardReset),
        }
    }

    pub(crate) fn count(&self, batch: &Batch<H::Work, H::Output>) {
        let mut counts = [0u64; 5];
        for resolved in &batch.resolved {
            let index = match resolved.resolution {
                Resolution::Accepted(_) => 0,
                Resolution::Filtered => 1,
                Resolution::DeadLettered { .. } => 2,
                Resolution::Duplicate => 3,
                Resolution::Repeated => 4,
            };
            if let Some(count) = counts.get_mut(index) {
                *count += 1;
            }
        }
        let words = ["accepted", "filtered", "dead-lettered", "duplicate", "repeated"];
        for (how, count) in words.into_iter().zip(counts) {
            self.telemetry.resolved(&self.flow, how, count);
        }
        for line in batch.offsets.iter().filter(|line| line.news.lost > 0) {
            self.telemetry.lost(&self.flow, &self.topics, line);
        }
    }

    /// The membership is taken here and now, and not when the batch is written: a rebalance in between makes the coordinator
    /// refuse offsets of partitions that we no longer hold. A loss that the state machine has not heard of yet is another matter:
    /// the member may have joined again already, and the coordinator does not look which partitions it holds. So the batch
    /// carries the losses that the state machine knows of, and the committer compares them with those that there were.
    fn commit(&self, batch: Batch<H::Work, H::Output>) -> Result<(), EngineError> {
        let (given_up, member) = (self.given_up, self.consumer.group_metadata());
        self.batches.send(Sealed { batch, member, given_up }).map_err(|_| self.gone("committer"))
    }

    fn call(&self, id: RecordId, work: H::Work, call: Call, until: Option<Moment>) {
        let (handler, done) = (self.handler.clone(), self.done.clone());
        let until = until.map(|until| (self.origin + until.since(Moment::ORIGIN)).into());
        let (telemetry, flow) = (self.telemetry.clone(), self.flow.clone());
        tokio::spawn(async move {
            let (begun, name) = (Instant::now(), call.name());
            let answer = AssertUnwindSafe(handler.call(work, call, until)).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(%flow, call = name, "the call panicked; this is a bug, please report it");
                // The record's own fault; after an effect a look-up comes first.
                let fault = Fault::EngineError;
                Answer::Failed(Failure { fault, detail: "the call panicked; see the log".into(), retry_after: None })
            });
            telemetry.called(&flow, name, begun.elapsed());
            // The loop ended: the record is the next owner's.
            let _ = done.send(Done::Finished(id, answer));
        });
    }

    fn probe(&self, endpoint: EndpointId) {
        let (handler, done) = (self.handler.clone(), self.done.clone());
        tokio::spawn(async move {
            let result = AssertUnwindSafe(handler.probe(endpoint)).catch_unwind().await.unwrap_or_else(|_| {
                Err(Failure {
                    fault: Fault::BadAnswer,
                    detail: "the probe panicked; see the log".into(),
                    retry_after: None,
                })
            });
            let _ = done.send(Done::Probed(endpoint, result));
        });
    }

    fn restore(&mut self, partition: Partition) {
        self.epochs.entry(partition).or_default().0 += 1;
        self.read(partition, "what is committed", Restorer::restore, Done::Restored);
    }

    fn log_ends(&self, partition: Partition) {
        self.read(partition, "the logs' ends", Restorer::log_ends, Done::LogEnds);
    }

    fn ranges(&self, partition: Partition) {
        self.read(partition, "where the logs begin and end", Restorer::ranges, Done::Ranges);
    }

    /// Reads by the second client, off the loop, until it succeeds.
    fn read<T: Send + 'static>(
        &self,
        partition: Partition,
        what: &'static str,
        read: fn(&Restorer, Partition) -> KafkaResult<T>,
        tell: fn(Partition, T, Epoch) -> Done<H::Output>,
    ) {
        let (restorer, done, flow) = (self.restorer.clone(), self.done.clone(), self.flow.clone());
        let epoch = self.epochs.get(&partition).copied().unwrap_or_default();
        tokio::task::spawn_blocking(move || {
            while !done.is_closed() {
                match read(&restorer, partition) {
                    Ok(found) => {
                        let _ = done.send(tell(partition, found, epoch));
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(%flow, partition = partition.get(), %error, "{what} cannot be read; trying again");
                        std::thread::sleep(RESTORE_AGAIN);
                    }
                }
            }
        });
    }

    fn command(&self, command: Command) -> Result<(), EngineError> {
        self.commands.send(command).map_err(|_| self.gone("reader"))
    }

    fn gone(&self, thread: &'static str) -> EngineError {
        EngineError::ThreadGone { flow: self.flow.to_string(), thread }
    }
}
