//! What the engine needs to know about records, and what it asks to be done for them.

use std::future::Future;

use event_model::{OutgoingRecord, Record};
use flow_core::{Answer, Call, EndpointId, EventHash, Failure, LaneKey, Letter, Plan, Resolved, TopicId};
use tokio::time::Instant;

/// What decoding made of a record.
#[derive(Debug)]
pub struct Prepared<W> {
    /// The record's ordering key.
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
    /// What the later calls need; cloned once per call, so an `Arc` is the usual choice.
    pub work: W,
}

/// The meaning of a flow's records: decodes them, performs single calls for them, and writes up how they ended.
///
/// It decides nothing about order, retries or offsets: those are the state machine's.
pub trait Handler: Send + Sync + 'static {
    /// A decoded record.
    type Work: Clone + Send + Sync + 'static;
    /// What a finished call brought back.
    type Output: Send + 'static;

    /// Decodes a record. Runs on the reader thread: no waiting, no I/O. It cannot fail; what is wrong with a record is a
    /// [`Plan::Reject`].
    fn prepare(&self, topic: TopicId, record: Record) -> Prepared<Self::Work>;

    /// Wraps a record whose decoding panicked, undecoded, so that it can be dead-lettered.
    fn rescue(&self, topic: TopicId, record: Record) -> Prepared<Self::Work>;

    /// Performs one call. The future is never cancelled while the partition is held. Where `until` is given, the request may
    /// leave only before it: afterwards another worker may be the one that acts.
    fn call(
        &self,
        work: Self::Work,
        call: Call,
        until: Option<Instant>,
    ) -> impl Future<Output = Answer<Self::Output>> + Send;

    /// A cheap read that shows whether the endpoint is well and lets us in.
    fn probe(&self, endpoint: EndpointId) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The records that the resolution's transaction writes: replies, dead letters. Runs on the committer thread, and
    /// gives the same records for the same resolution when a transaction is repeated.
    fn records(&self, resolved: &Resolved<Self::Work, Self::Output>) -> Vec<OutgoingRecord>;
}
