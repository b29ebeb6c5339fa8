//! Mutants: one guard is taken away, of the core (behind the feature `mutants`) or of the driver, and the checks must notice.

#[cfg(feature = "mutants")]
use flow_core::guards::Guard;

/// A guard of the driver, of the handler or of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// The committer gives up a batch that was closed before partitions were given up.
    CommitOnlyOwned,
    /// What the loop knows when it closes a batch counts, not what the consumer's callbacks know.
    SealedByTheLoop,
    /// A transaction is committed only when the coordinator accepted its offsets.
    OffsetsAccepted,
    /// The ledger is read to its end, not to the last stable offset.
    LedgerToItsEnd,
    /// The committed offset is read when no transaction is pending on it.
    StableOffsets,
    /// Ledger entries are written inside the transaction.
    LedgerInTransaction,
    /// The entry of a quarantined key is written inside the transaction of its dead letter.
    QuarantineInTransaction,
    /// A request leaves before its lease is over.
    UntilHonoured,
    /// Only root instances count.
    RootOnly,
    /// The event's mark carries the flow, and the look-up asks for the flow's definition.
    FlowInMarker,
    /// A delivered message leaves its mark.
    MessageMarker,
    /// All workers of a flow have one lease term.
    OneLeaseTerm,
    /// `settle` bounds the effect in the engine.
    SettleLongEnough,
}

impl Switch {
    /// All of them.
    pub const ALL: [Switch; 13] = [
        Switch::CommitOnlyOwned,
        Switch::SealedByTheLoop,
        Switch::OffsetsAccepted,
        Switch::LedgerToItsEnd,
        Switch::StableOffsets,
        Switch::LedgerInTransaction,
        Switch::QuarantineInTransaction,
        Switch::UntilHonoured,
        Switch::RootOnly,
        Switch::FlowInMarker,
        Switch::MessageMarker,
        Switch::OneLeaseTerm,
        Switch::SettleLongEnough,
    ];
}

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A guard of the core.
    #[cfg(feature = "mutants")]
    Guard(Guard),
    /// A guard of the driver.
    Switch(Switch),
}

impl Mutant {
    /// Every mutant.
    pub fn all() -> Vec<Mutant> {
        let switches = Switch::ALL.into_iter().map(Mutant::Switch);
        #[cfg(feature = "mutants")]
        let switches = Guard::ALL.into_iter().map(Mutant::Guard).chain(switches);
        switches.collect()
    }

    /// For the table.
    pub fn name(self) -> String {
        match self {
            #[cfg(feature = "mutants")]
            Mutant::Guard(guard) => format!("{guard:?}"),
            Mutant::Switch(switch) => format!("{switch:?} (driver)"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Switches {
    pub mutant: Option<Mutant>,
}

impl Switches {
    pub(crate) fn holds(&self, switch: Switch) -> bool {
        self.mutant != Some(Mutant::Switch(switch))
    }
}

/// Puts the guard back when dropped.
pub(crate) struct Taken;

impl Drop for Taken {
    fn drop(&mut self) {
        #[cfg(feature = "mutants")]
        flow_core::guards::take_away(None);
    }
}

#[cfg_attr(not(feature = "mutants"), allow(unused_variables, reason = "switches are read where they act"))]
pub(crate) fn take_away(mutant: Option<Mutant>) -> Taken {
    #[cfg(feature = "mutants")]
    if let Some(Mutant::Guard(guard)) = mutant {
        flow_core::guards::take_away(Some(guard));
    }
    Taken
}
