//! The decisions of a flow, as a pure state machine: no I/O, no clock, no randomness of its own.
//!
//! A driver (the consumer engine, or a simulation) feeds [`Input`]s with the time at which they happened to
//! [`Flow::step`], with the [`Endpoint`]s that the flow shares with others, and performs the [`Effect`]s that come back.
//! Everything that decides about a record is here: whose turn it is in its lane, which call comes next, whether a fault is
//! retried, and when offsets may move.
//!
//! Read in this order: [`Input`], [`Effect`], [`Flow`], then the parts it is made of.

mod batch;
mod call;
mod contest;
mod effect;
mod endpoint;
mod fate;
mod flow;
mod frontier;
mod gate;
#[cfg(feature = "mutants")]
pub mod guards;
#[cfg(not(feature = "mutants"))]
mod guards;
mod input;
mod lanes;
mod layout;
mod ledger;
mod limiter;
mod ownership;
mod pause;
mod position;
mod progress;
mod protocol;
mod quarantine;
mod rate;
mod retry;
mod storm_guard;
mod time;

pub use batch::{Batch, CommitFault, News, Progressed, Resolution, Resolved};
pub use call::{Call, Scope};
pub use effect::{Effect, Notice};
pub use endpoint::{Endpoint, EndpointPolicy, EndpointView, Seat};
pub use fate::{Fault, Reason};
pub use flow::{Flow, PartitionView, Settings};
pub use frontier::{Delivery, Frontier};
pub use gate::{Closed, GatePolicy};
pub use input::{
    Answer, Command, Copy, Delivered, EndpointId, Failure, Input, LaneKey, Letter, Plan, RecordId, Restored, TopicId,
    Unseen,
};
pub use layout::{Layout, Moved};
pub use ledger::{EventHash, Remembered};
pub use limiter::Pressure;
pub use pause::Paused;
pub use position::{Loss, OnLost, Position, Surprise};
pub use progress::{METADATA_LIMIT, Progress, Reading};
pub use quarantine::{Change, KeyHash, OnExhausted, Place, Quarantined};
pub use retry::{Dice, RetryPolicy};
pub use storm_guard::{Storm, StormPolicy};
pub use time::Moment;
