//! Everything that can happen to a flow.

use std::sync::Arc;
use std::time::Duration;

use event_model::{NextOffset, Offset, Partition};

use crate::batch::{Batch, CommitFault};
use crate::fate::{Fault, Reason};
use crate::layout::{Layout, Moved};
use crate::ledger::{EventHash, Remembered};
use crate::pause::Paused;
use crate::position::Position;
use crate::quarantine::{KeyHash, Place, Quarantined};
use crate::time::Moment;

/// Something that happened; the closed list of what can wake a flow.
///
/// `W` is the driver's prepared work, opaque here; `O` is what a finished call brought back.
#[derive(Debug)]
pub enum Input<W, O> {
    /// The group assigned partitions of one or more topics of the flow.
    Assigned(Vec<(TopicId, Partition)>),
    /// The group wants partitions back; the driver waits for [`Effect::Released`](crate::Effect::Released), at most `within`.
    Revoked {
        /// What is taken away.
        partitions: Vec<(TopicId, Partition)>,
        /// How long calls in flight may take to end.
        within: Duration,
    },
    /// The group took partitions away without asking: another worker may own them already.
    Lost(Vec<(TopicId, Partition)>),
    /// What [`Effect::Restore`](crate::Effect::Restore) asked for: what Kafka knows of the partition.
    Restored(Partition, Restored),
    /// What [`Effect::LogEnds`](crate::Effect::LogEnds) asked for.
    LogEnds(Partition, Vec<(TopicId, NextOffset)>),
    /// The reader's client says that an offset which it was to read is not there; it does not say of which partition.
    OutOfRange,
    /// What [`Effect::Ranges`](crate::Effect::Ranges) asked for: where the logs of the partition begin and end.
    Ranges(Partition, Vec<(TopicId, NextOffset, NextOffset)>),
    /// Whether the flow's topics all have the same number of partitions. While they have not, nothing is worked on.
    Fits(bool),
    /// The reader sought the positions of [`Effect::Start`](crate::Effect::Start): what it delivers from here on counts.
    Started(Partition),
    /// Records in the order of their partitions.
    Records(Vec<Delivered<W>>),
    /// A partition was read to its end.
    ReachedEnd(TopicId, Partition, NextOffset),
    /// A call of [`Effect::Call`](crate::Effect::Call) ended.
    Finished(RecordId, Answer<O>),
    /// The read of [`Effect::Probe`](crate::Effect::Probe) ended.
    Probed(EndpointId, Result<(), Failure>),
    /// The transaction of [`Effect::Commit`](crate::Effect::Commit) is committed; `offsets_sent_at` is when `send_offsets`,
    /// which the group coordinator accepted, was called.
    Committed(Batch<W, O>, Moment),
    /// The transaction failed; nothing of it is visible.
    CommitFailed(Batch<W, O>, CommitFault),
    /// What operators hold back now, all of it. Until it first comes nothing is held back.
    Control(Paused),
    /// An operator ends a storm: the storm guard lets everything go and counts anew.
    GuardReset,
    /// Finish what is in flight, release everything, take nothing new.
    Shutdown {
        /// How long calls in flight may take to end.
        within: Duration,
    },
    /// Time passed.
    Tick,
}

/// A topic of the flow, by its place in the flow's list of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u16);

/// An endpoint of the flow, by its place in the flow's list: the engine first, then the systems that its jobs call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u8);

impl EndpointId {
    /// The workflow engine.
    pub const ENGINE: EndpointId = EndpointId(0);

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A record in the hands of the flow; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub(crate) u64);

/// What Kafka knows of a partition.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Every topic of the flow.
    pub positions: Vec<Position>,
    /// The ledger's entries, oldest first.
    pub remembered: Vec<Remembered>,
    /// What the state topic has yet to say of the partition count.
    pub layout: Option<Layout>,
    /// Whether keys came from other partitions lately.
    pub moved: Option<Moved>,
    /// The keys in quarantine.
    pub quarantined: Vec<(KeyHash, Quarantined)>,
}

/// What orders records: those with equal keys in one partition take effect one after the other.
pub type LaneKey = Arc<[u8]>;

/// A record that the reader delivered, already decoded.
#[derive(Debug)]
pub struct Delivered<W> {
    /// The topic that it came from.
    pub topic: TopicId,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// The record's timestamp in milliseconds since the Unix epoch, where the broker gave one.
    pub timestamp_ms: Option<i64>,
    /// Its ordering key.
    pub lane: LaneKey,
    /// Whether other records share that key; one without a key is alone with it.
    pub keyed: bool,
    /// The dead letter that it was, if it comes back as one.
    pub letter: Option<Letter>,
    /// What it is known by in the ledger: the hashes of its event id and payload.
    pub identity: Option<(EventHash, u64)>,
    /// The hash of the definition and business key that it acts on.
    pub business: Option<u64>,
    /// What is to be done with it.
    pub plan: Plan,
    /// What the driver needs to do it.
    pub work: W,
}

/// A dead letter that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Where it stood in its source.
    pub place: Place,
    /// Its number in the quarantine of its key, if it has one: see [`Change::number`](crate::Change::number).
    pub number: Option<u64>,
}

/// What decoding and the flow's expressions made of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Do something in the engine.
    Command(Command),
    /// No step wants it.
    Filter,
    /// An operator puts a dead letter aside for good: it ends its turn without being done.
    Discard,
    /// It can never be done: dead-letter it when its turn comes.
    Reject(Reason, String),
}

/// What a record asks of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start a process instance.
    Start,
    /// Deliver a message to the instance that waits for it.
    Message {
        /// How long of healthy time an instance may take to reach its catch event.
        hold_for: Duration,
    },
    /// End the instance.
    Terminate,
    /// Publish the outcome of an external-worker job, then complete the job.
    Publish,
    /// Ask a system for what an external-worker job wants of it, then complete the job with the answer. The system knows a repeated
    /// request by its idempotency key, so nothing of it is ever in doubt; it refuses another request under that key.
    Request {
        /// Which system.
        system: EndpointId,
    },
}

impl Command {
    /// Whether it is for an external-worker job, which the engine hands out again until it is completed.
    pub(crate) fn is_job(self) -> bool {
        match self {
            Command::Publish | Command::Request { .. } => true,
            Command::Start | Command::Message { .. } | Command::Terminate => false,
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<O> {
    /// The effect is there; `Look` answers so too when it found the effect of an earlier attempt.
    Done(O),
    /// `Gather`: what was read so far; history does not hold everything yet.
    Incomplete(O),
    /// `Gather`: the engine does not show yet what the record tells of.
    NotYet(Unseen),
    /// `Look`: the effect is not there as far as this read can see.
    Absent,
    /// `Count`: the root instances that carry the event's mark, as far as this read can see.
    Copies(Vec<Copy>),
    /// `Locate`: the one target of a message or terminate, in the engine's own id.
    Located(Arc<str>),
    /// `Locate`: there is an instance, but it does not wait for the message (yet), or it is suspended.
    NotWaiting,
    /// `Locate`: there is no running instance.
    NoInstance(O),
    /// `Locate`: more than one instance could be meant.
    Several(u32),
    /// `GiveResult`: the engine does not take it from us. The job is gone, or hidden, or its lock is not ours any more.
    NotHeld,
    /// `IsOpen`: the job is still to be done; the engine hands it out again, if it has not yet. One that is gone is `Done`.
    Open(O),
    /// The call failed.
    Failed(Failure),
}

/// What the engine does not show yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// How long of healthy time it may take.
    pub hold_for: Duration,
    /// Why the record is given up then.
    pub reason: Reason,
    /// The same for people.
    pub detail: &'static str,
}

/// An instance that carries an event's mark. The smallest is the one that stays when there are several, so that all
/// observers agree: by start time, then by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copy {
    /// When it started, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// The engine's id.
    pub id: Arc<str>,
    /// Whether it still runs.
    pub running: bool,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault, and how sure.
    pub fault: Fault,
    /// What the other side said, for people.
    pub detail: String,
    /// How long the other side asked to be left alone.
    pub retry_after: Option<Duration>,
}
