//! Performs what the state machine asks for. Nothing here decides, and nothing here waits.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use event_model::{NextOffset, Partition};
use flow_core::{Answer, Batch, Call, Effect, Failure, Fault, Input, RecordId, Resolution, TopicId};
use futures::FutureExt;
use tokio::sync::mpsc;

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
    Probed(Result<(), Failure>),
    Restored(Partition, Vec<(TopicId, NextOffset)>),
}

impl<O> Done<O> {
    pub(crate) fn into_input<W>(self) -> Input<W, O> {
        match self {
            Done::Finished(id, answer) => Input::Finished(id, answer),
            Done::Probed(result) => Input::Probed(result),
            Done::Restored(partition, positions) => Input::Restored(partition, positions),
        }
    }
}

pub(crate) struct Performer<H: Handler> {
    pub flow: Arc<str>,
    pub handler: Arc<H>,
    pub topics: Vec<Arc<str>>,
    pub done: mpsc::UnboundedSender<Done<H::Output>>,
    pub commands: std_mpsc::Sender<Command>,
    pub batches: std_mpsc::Sender<Batch<H::Work, H::Output>>,
    pub restorer: Restorer,
    pub telemetry: Arc<Telemetry>,
    /// Callbacks and the shutdown that wait for partitions to be released.
    pub waiting: Vec<std_mpsc::SyncSender<()>>,
    pub released: bool,
}

impl<H: Handler> Performer<H> {
    pub(crate) fn perform(&mut self, effect: Effect<H::Work, H::Output>) -> Result<(), EngineError> {
        match effect {
            Effect::Call(id, work, call) => self.call(id, work, call),
            Effect::Probe => self.probe(),
            Effect::Commit(batch) => return self.batches.send(batch).map_err(|_| self.gone("committer")),
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
                }
            }
            Effect::Notice(notice) => self.telemetry.notice(&self.flow, &self.topics, notice),
        }
        Ok(())
    }

    pub(crate) fn count(&self, batch: &Batch<H::Work, H::Output>) {
        let mut counts = [0u64; 3];
        for resolved in &batch.resolved {
            let index = match resolved.resolution {
                Resolution::Accepted(_) => 0,
                Resolution::Filtered => 1,
                Resolution::DeadLettered { .. } => 2,
            };
            if let Some(count) = counts.get_mut(index) {
                *count += 1;
            }
        }
        for (how, count) in ["accepted", "filtered", "dead-lettered"].into_iter().zip(counts) {
            self.telemetry.resolved(&self.flow, how, count);
        }
    }

    fn call(&self, id: RecordId, work: H::Work, call: Call) {
        let (handler, done) = (self.handler.clone(), self.done.clone());
        let (telemetry, flow) = (self.telemetry.clone(), self.flow.clone());
        tokio::spawn(async move {
            let (begun, name, effect) = (Instant::now(), call.name(), call.has_effect());
            let answer = AssertUnwindSafe(handler.call(work, call)).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(%flow, call = name, "the call panicked; this is a bug, please report it");
                // After an effect the answer is ambiguous, so that a look-up comes first.
                let fault = if effect { Fault::BadAnswer } else { Fault::EngineError };
                Answer::Failed(Failure { fault, detail: "the call panicked; see the log".into(), retry_after: None })
            });
            telemetry.called(&flow, name, begun.elapsed());
            // The loop ended: the record is the next owner's.
            let _ = done.send(Done::Finished(id, answer));
        });
    }

    fn probe(&self) {
        let (handler, done) = (self.handler.clone(), self.done.clone());
        tokio::spawn(async move {
            let result = AssertUnwindSafe(handler.probe()).catch_unwind().await.unwrap_or_else(|_| {
                Err(Failure {
                    fault: Fault::BadAnswer,
                    detail: "the probe panicked; see the log".into(),
                    retry_after: None,
                })
            });
            let _ = done.send(Done::Probed(result));
        });
    }

    fn restore(&self, partition: Partition) {
        let (restorer, done, flow) = (self.restorer.clone(), self.done.clone(), self.flow.clone());
        tokio::task::spawn_blocking(move || {
            while !done.is_closed() {
                match restorer.positions(partition) {
                    Ok(positions) => {
                        let _ = done.send(Done::Restored(partition, positions));
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(%flow, partition = partition.get(), %error, "committed positions cannot be read; trying again");
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
