//! What took effect in the business systems.

use std::collections::BTreeSet;

use emulator::{System, Systems};

use super::book::Book;
use super::plan::Fate;

/// What took effect in one system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effects {
    /// The system's name.
    pub system: String,
    /// How often something took effect.
    pub count: usize,
    /// More than one effect under one idempotency key, so often.
    pub repeated: usize,
}

/// What took effect, system by system.
pub(super) fn of(systems: &Systems) -> Vec<Effects> {
    let of = |system: System| {
        let effects = systems.effects(system);
        let keys: Vec<&String> = effects.iter().filter_map(|effect| effect.key.as_ref()).collect();
        let repeated = keys.len() - keys.iter().collect::<BTreeSet<_>>().len();
        Effects { system: system.name(), count: effects.len(), repeated }
    };
    System::ALL.into_iter().map(of).collect()
}

/// What is wrong with it. `complete` says that everything should have happened by now, in every system.
pub(super) fn wrong(effects: &[Effects], book: &Book, systems: &Systems, complete: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for Effects { system, count, repeated } in effects {
        if *repeated > 0 {
            wrong.push(format!("{system}: {repeated} effects under keys that had theirs"));
        }
        if complete && *count == 0 {
            wrong.push(format!("{system}: nothing took effect"));
        }
    }
    for entry in book.entries.iter().filter(|entry| !entry.outcomes.is_empty()) {
        let assigned = matches!(entry.ticket.fate, Fate::Decided { decision, .. } if decision.outcome == "assigned");
        let case = systems.look(System::Crm, &format!("/cases/{}", entry.ticket.id)).unwrap_or_default();
        let (owner, wanted) = (case["owner"].as_str(), entry.team.as_deref().filter(|_| assigned));
        if owner != wanted {
            wrong.push(format!("{}: its owner in the CRM is {owner:?} instead of {wanted:?}", entry.ticket.id));
        }
    }
    wrong
}
