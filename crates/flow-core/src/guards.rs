//! The guards behind the promises, by name, so that each can be taken away and the simulation be seen to notice.
//!
//! Without the feature `mutants`, which no production build has, [`holds`] is the constant `true`.

/// What keeps a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "mutants"), allow(dead_code, unreachable_pub, reason = "only mutants list them"))]
pub enum Guard {
    /// Absent is believed only when no earlier request can take effect any more.
    Settle,
    /// `history_lag` passes between the reads.
    LagBetweenReads,
    /// History is read, not only what runs.
    HistoryToo,
    /// What runs is read, not only history.
    RunningToo,
    /// What runs is read before history.
    RunningFirst,
    /// After a doubt the instances are counted.
    SecondLook,
    /// Starts of a lost partition are counted.
    ContestOnLost,
    /// 503 may come after the effect.
    UnavailableIsAmbiguous,
    /// An ambiguous answer is looked up, not repeated.
    LookBeforeRepeat,
    /// Nothing is given up while its last effect is in doubt.
    NoVerdictInDoubt,
    /// A terminate or message leaves alone what later offsets started.
    SpareLater,
    /// A job is completed after its outcome is committed.
    OutcomeFirst,
    /// A job is completed only after the system that it asks has answered.
    SystemFirst,
    /// A job that asked a system is recorded only after it was completed with the answer.
    ResultGiven,
    /// An answer that the engine does not take is kept until the job was handed out again.
    AnswerKept,
    /// What a system refuses is a dead letter only while its job is open.
    OpenBeforeRefusal,
    /// Nothing is dispatched beyond the committed horizon.
    HorizonFirst,
    /// A lease reaches the record that asks for it.
    LeaseReaches,
    /// Nothing is dispatched after the lease's term.
    LeaseTerm,
    /// Accepted offsets renew the lease, a poll does not.
    LeaseByOffsets,
    /// A new owner waits for its predecessor's term before it believes absence.
    PredecessorsTerm,
    /// A new owner waits for its predecessor's `settle` where that is longer.
    PredecessorsSettle,
    /// What lies below the horizon is verified first.
    VerifyFirst,
    /// What comes from the replay topic is verified first.
    ReplayIsUncertain,
    /// While something of the replay topic is begun and open, a new owner takes everything for uncertain.
    ReplaySpreads,
    /// The horizon is clamped to the log's end one lease term after the assignment, not before.
    LateClamp,
    /// Where the horizon falls, what may be dispatched falls before it.
    LeaseShrinksFirst,
    /// Uncertainty is handed on.
    Inherit,
    /// A horizon that is given back lies behind everything begun and open.
    GivenBack,
    /// Metadata that cannot be read makes everything uncertain.
    UnknownIsUncertain,
    /// Metadata that is missing from a partition that was begun makes everything uncertain.
    MissingIsUncertain,
    /// A committed offset beyond the log's end is of another log.
    BeyondEndIsUnknown,
    /// What retention removed is counted when it is passed.
    LossCounted,
    /// What retention removed is passed only when an operator said so.
    LossWaits,
    /// A position that is not in the log any more is noticed.
    RangeChecked,
    /// Nothing is worked on while the topics' partition counts differ.
    MisfitHalts,
    /// A new partition count is remembered.
    GrowthRemembered,
    /// After a new partition count everything is looked up first.
    GrowthVerified,
    /// The map ends where it says.
    MapExact,
    /// Offsets that are never delivered count as finished.
    GapsCount,
    /// So do those behind the last record.
    EndsCount,
    /// An id is known once resolved, not only once committed.
    LedgerAtOnce,
    /// Records of one event wait for each other, whatever their key.
    EventTurn,
    /// Records of one key wait for each other.
    KeyTurn,
    /// Retries and holds are measured in healthy time.
    HealthyTime,
    /// A record that ended without an effect holds its turns until that is committed.
    VerdictCommitted,
    /// No call leaves while the endpoint's gate is closed, whoever closed it.
    ClosedGate,
    /// Flows that share an endpoint make one probe at a time.
    OneProbe,
    /// The endpoint's limit holds for all its flows together.
    SharedLimit,
    /// A flow that ends gives its permits back.
    PermitsComeBack,
    /// Scarce permits go to the flow with the fewest in flight for its weight.
    FairShare,
    /// What comes behind a record that was given up follows it into the dead letters.
    QuarantineFollows,
    /// The quarantine is known to the next owner.
    QuarantineRestored,
    /// A dead letter of a quarantined key waits for the one before it when it comes back.
    LettersInTurn,
    /// The storm guard trips.
    StormTrips,
    /// The time of retries and holds stands still while it is tripped, and while the flow is paused.
    StormStopsClock,
    /// What an operator pauses is held back.
    PauseHolds,
    /// The time of retries and holds stands still while their key is paused.
    PauseStopsClock,
}

#[cfg(not(feature = "mutants"))]
pub(crate) const fn holds(_: Guard) -> bool {
    true
}

#[cfg(feature = "mutants")]
pub(crate) use taken::holds;
#[cfg(feature = "mutants")]
pub use taken::take_away;

#[cfg(feature = "mutants")]
mod taken {
    use std::cell::Cell;

    use super::Guard;

    thread_local! {
        static TAKEN: Cell<Option<Guard>> = const { Cell::new(None) };
    }

    pub(crate) fn holds(guard: Guard) -> bool {
        TAKEN.get() != Some(guard)
    }

    /// Takes one guard away for every flow of this thread, or gives all back.
    pub fn take_away(guard: Option<Guard>) {
        TAKEN.set(guard);
    }

    impl Guard {
        /// Every guard.
        pub const ALL: [Guard; 58] = [
            Guard::Settle,
            Guard::LagBetweenReads,
            Guard::HistoryToo,
            Guard::RunningToo,
            Guard::RunningFirst,
            Guard::SecondLook,
            Guard::ContestOnLost,
            Guard::UnavailableIsAmbiguous,
            Guard::LookBeforeRepeat,
            Guard::NoVerdictInDoubt,
            Guard::SpareLater,
            Guard::OutcomeFirst,
            Guard::SystemFirst,
            Guard::ResultGiven,
            Guard::AnswerKept,
            Guard::OpenBeforeRefusal,
            Guard::HorizonFirst,
            Guard::LeaseReaches,
            Guard::LeaseTerm,
            Guard::LeaseByOffsets,
            Guard::PredecessorsTerm,
            Guard::PredecessorsSettle,
            Guard::VerifyFirst,
            Guard::ReplayIsUncertain,
            Guard::ReplaySpreads,
            Guard::LateClamp,
            Guard::LeaseShrinksFirst,
            Guard::Inherit,
            Guard::GivenBack,
            Guard::UnknownIsUncertain,
            Guard::MissingIsUncertain,
            Guard::BeyondEndIsUnknown,
            Guard::LossCounted,
            Guard::LossWaits,
            Guard::RangeChecked,
            Guard::MisfitHalts,
            Guard::GrowthRemembered,
            Guard::GrowthVerified,
            Guard::MapExact,
            Guard::GapsCount,
            Guard::EndsCount,
            Guard::LedgerAtOnce,
            Guard::EventTurn,
            Guard::KeyTurn,
            Guard::HealthyTime,
            Guard::VerdictCommitted,
            Guard::ClosedGate,
            Guard::OneProbe,
            Guard::SharedLimit,
            Guard::PermitsComeBack,
            Guard::FairShare,
            Guard::QuarantineFollows,
            Guard::QuarantineRestored,
            Guard::LettersInTurn,
            Guard::StormTrips,
            Guard::StormStopsClock,
            Guard::PauseHolds,
            Guard::PauseStopsClock,
        ];
    }
}
