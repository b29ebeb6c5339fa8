//! Everything that a flow asks of its driver.

use std::sync::Arc;
use std::time::Duration;

use event_model::{NextOffset, Offset, Partition};

use crate::batch::Batch;
use crate::call::Call;
use crate::fate::{Fault, Reason};
use crate::gate::Closed;
use crate::input::{EndpointId, RecordId, TopicId};
use crate::limiter::Pressure;
use crate::position::{Loss, Surprise};
use crate::storm_guard::Storm;
use crate::time::Moment;

/// Something to do; the driver performs it and answers with an [`Input`](crate::Input) where one is named.
#[derive(Debug)]
pub enum Effect<W, O> {
    /// Perform one call for a record; answer with `Finished`. Where `until` is given, the request may leave only before it.
    Call {
        /// To be named in the answer.
        id: RecordId,
        /// The driver's work.
        work: W,
        /// What to call.
        call: Call,
        /// The end of the lease.
        until: Option<Moment>,
    },
    /// Perform a harmless read of the endpoint; answer with `Probed`.
    Probe(EndpointId),
    /// Write a batch in one transaction; answer with `Committed` or `CommitFailed`.
    Commit(Batch<W, O>),
    /// Read what Kafka knows of the partition, in this order: the committed offsets of every topic (read_committed), the ends of
    /// ledger and state (read_uncommitted), then both up to there (read_committed). Answer with `Restored`. What an earlier `Restore`
    /// of the same partition read is never answered once a new one is asked for: it may be older than what others committed since.
    Restore(Partition),
    /// Read where the logs of the partition end now; answer with `LogEnds`, unless the partition was given up meanwhile.
    LogEnds(Partition),
    /// Read where the logs of the partition begin and end; answer with `Ranges`, unless the partition was given up meanwhile.
    Ranges(Partition),
    /// Seek to the positions and let records flow; answer with `Started`.
    Start(Partition, Vec<(TopicId, NextOffset)>),
    /// Stop delivering records of the partition for now.
    Pause(Partition),
    /// Deliver records of the partition again.
    Resume(Partition),
    /// The partitions hold no work any more: the revoke, or the shutdown, may go on.
    Released(Vec<Partition>),
    /// Tell people: one log line and one metric.
    Notice(Notice),
}

/// Something that an operator should be able to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A call failed and will be made again.
    Retry {
        /// Where the record stands.
        at: (TopicId, Partition, Offset),
        /// What was called.
        call: &'static str,
        /// Whose fault.
        fault: Fault,
        /// What the other side said.
        detail: String,
        /// How long until the next call; `None` when it waits for the endpoint's gate to open.
        delay: Option<Duration>,
        /// Whether the effect may be there all the same: a look-up comes first.
        ambiguous: bool,
    },
    /// What a record needs is not there yet, and it holds its key.
    Held {
        /// Where the record stands.
        at: (TopicId, Partition, Offset),
        /// What is not there, for people.
        what: &'static str,
        /// How long until the next look.
        delay: Duration,
    },
    /// The engine does not take a system's answer from us, and its job is still open: the answer waits until the job was handed out
    /// again. Told once per record.
    AnswerKept {
        /// Where the record stands.
        at: (TopicId, Partition, Offset),
    },
    /// A record will be dead-lettered.
    DeadLettered {
        /// Where the record stands.
        at: (TopicId, Partition, Offset),
        /// Why, as a stable code.
        reason: Reason,
        /// Why, for people.
        detail: String,
        /// How many times the effect was tried.
        attempts: u32,
    },
    /// The endpoint's gate closed: no call leaves until it opens.
    GateClosed {
        /// Whose.
        endpoint: EndpointId,
        /// Why.
        why: Closed,
        /// What the other side said.
        detail: String,
        /// How long until it opens or is probed.
        delay: Duration,
    },
    /// A probe failed; the endpoint's gate stays closed.
    ProbeFailed {
        /// Whose.
        endpoint: EndpointId,
        /// What the other side said.
        detail: String,
        /// How long until the next probe.
        delay: Duration,
    },
    /// The gate is open again.
    GateOpened {
        /// Whose.
        endpoint: EndpointId,
        /// How long it was closed.
        after: Duration,
    },
    /// The endpoint takes fewer calls at once than before.
    LimitCut {
        /// Whose.
        endpoint: EndpointId,
        /// Why.
        why: Pressure,
        /// How many may be in flight now.
        limit: usize,
    },
    /// A partition is at its bound and reads no further for now.
    Paused(Partition, &'static str),
    /// The partition reads again.
    Resumed(Partition),
    /// A job could not be ended, though its record is resolved; the engine hands it out again when its lock ends.
    JobLeft {
        /// Where the record stands.
        at: (TopicId, Partition, Offset),
        /// What the other side said.
        detail: String,
    },
    /// More than one instance carries an event's mark.
    Double {
        /// Where the record stands.
        at: (TopicId, Partition, Offset),
        /// The instance that stays.
        survivor: Arc<str>,
        /// The others.
        surplus: Vec<Arc<str>>,
    },
    /// A look for doubles could not be ended.
    ContestGivenUp {
        /// Where the record stands.
        at: (TopicId, Partition, Offset),
        /// What the other side said.
        detail: String,
    },
    /// Retention removed what was not finished. Told once for each state of a loss; counted when the transaction that passes it is
    /// committed.
    Lost(Loss),
    /// A partition that was begun goes on elsewhere than at its committed offset; everything is looked up first.
    Unplaced(Surprise),
    /// The partition's position is not in its log any more; it is finished and restored.
    OutOfRange(Partition),
    /// Keys came from other partitions: for so long, everything is looked up first.
    Moved(Partition, Duration),
    /// So many offsets of a partition that was taken over may have been begun by an earlier owner: those that were there, and, one lease
    /// term later, those that came below its horizon meanwhile.
    Uncertain(Partition, u64),
    /// A key is in quarantine from now on: this record was given up, and what comes after it follows.
    Quarantined {
        /// Where the record stands.
        at: (TopicId, Partition, Offset),
    },
    /// The quarantine of a key is over: this was the last of its dead letters.
    QuarantineOver {
        /// Where the record stands.
        at: (TopicId, Partition, Offset),
    },
    /// What operators hold back changed.
    Control {
        /// Whether the whole flow is.
        flow: bool,
        /// How many keys are.
        keys: usize,
    },
    /// The storm guard tripped: nothing leaves until it is reset, or a trial succeeds.
    Storm {
        /// Why.
        why: Storm,
        /// How long until a record is tried; `None`: only an operator ends it.
        trial_after: Option<Duration>,
    },
    /// One record is tried while everything else waits.
    StormTrial {
        /// Where the record stands.
        at: (TopicId, Partition, Offset),
    },
    /// The storm guard lets everything go again.
    StormOver {
        /// How long it stood.
        after: Duration,
    },
    /// A revoke or a shutdown ran out of time: calls were still in flight, and the next owner finds them undone.
    DrainCut(Partition, usize),
    /// A transaction failed and is repeated.
    CommitRetry {
        /// What failed.
        detail: String,
        /// How many records were in it.
        records: usize,
        /// How long until the next try.
        delay: Duration,
    },
}
