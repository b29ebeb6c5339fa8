//! The arithmetic at the end: whether every ticket got exactly what it had to get.

use std::collections::{BTreeMap, HashMap};

use emulator::demo::{InstanceFacts, Totals};

use super::book::{Book, Entry};
use super::plan::Fate;

/// The numbers of a run, and what is wrong with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reckoning {
    /// Events on the source topic.
    pub published: usize,
    /// Process instances in the workflow service.
    pub instances: usize,
    /// *Accepted* replies.
    pub accepted: usize,
    /// *Outcome* replies.
    pub outcomes: usize,
    /// *Rejected* replies.
    pub rejected: usize,
    /// Dead letters.
    pub dead_letters: usize,
    /// Replies that came again under their id, and instances beyond the first of a ticket.
    pub duplicates: u64,
    /// Requests that start an instance.
    pub start_calls: u64,
    /// Tickets that are not over.
    pub unsettled: usize,
    /// What is wrong, one sentence each; empty when all is well.
    pub problems: Vec<String>,
}

/// Reckons up. `complete` says that everything should have come by now; otherwise what has not come is no problem, and only
/// what must never come is.
pub(super) fn reckon(book: &Book, totals: &Totals, complete: bool) -> Reckoning {
    let mut by_key: HashMap<&str, Vec<&InstanceFacts>> = HashMap::new();
    let instances: Vec<&InstanceFacts> = totals.instances.iter().filter(|of| is_of_ticket(of)).collect();
    for instance in &instances {
        by_key.entry(instance.business_key.as_deref().unwrap_or_default()).or_default().push(*instance);
    }
    let mut problems = book.strange.clone();
    let mut duplicates = book.repeated;
    for entry in &book.entries {
        let instances = by_key.remove(business_key(entry).as_str()).unwrap_or_default();
        duplicates += instances.len().saturating_sub(1) as u64;
        let found = of_ticket(entry, &instances, complete);
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", entry.ticket.id)));
    }
    let without: BTreeMap<&str, usize> = by_key.iter().map(|(key, instances)| (*key, instances.len())).collect();
    problems.extend(without.iter().map(|(key, count)| format!("{count} instances of {key:?}, which is no ticket")));
    if book.repeated > 0 {
        problems.push(format!("{} replies came again under their id", book.repeated));
    }
    let sum = |of: fn(&Entry) -> usize| book.entries.iter().map(of).sum();
    Reckoning {
        published: sum(|entry| entry.places.len()),
        instances: instances.len(),
        accepted: sum(|entry| entry.accepted.len()),
        outcomes: sum(|entry| entry.outcomes.len()),
        rejected: sum(|entry| entry.rejected.len()),
        dead_letters: sum(|entry| entry.dead_letters.len()),
        duplicates,
        start_calls: totals.calls.get("start").copied().unwrap_or(0),
        unsettled: book.unsettled(),
        problems,
    }
}

/// Whether a ticket started the instance.
pub(super) fn is_of_ticket(instance: &InstanceFacts) -> bool {
    instance.business_key.as_deref().is_some_and(|key| key.starts_with("ticket/"))
}

fn business_key(entry: &Entry) -> String {
    format!("ticket/{}", entry.ticket.id)
}

fn of_ticket(entry: &Entry, instances: &[&InstanceFacts], complete: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut exactly = |what: &str, count: usize, wanted: usize| {
        if count > wanted || (complete && count < wanted) {
            problems.push(format!("{count} {what} instead of {wanted}"));
        }
    };
    let events = entry.ticket.events().len();
    let (good, outcomes) = match entry.ticket.fate {
        Fate::Decided { .. } => (true, 1),
        Fate::Withdrawn => (true, 0),
        Fate::Refused(_) => (false, 0),
    };
    exactly("events published", entry.places.len(), events);
    for (number, place) in entry.places.iter().enumerate() {
        let of = |replies: &[(i32, i64)]| replies.iter().filter(|other| *other == place).count();
        exactly(&format!("accepted replies to event {number}"), of(&entry.accepted), usize::from(good));
        exactly(&format!("rejected replies to event {number}"), of(&entry.rejected), usize::from(!good));
    }
    exactly("replies to all events", entry.accepted.len() + entry.rejected.len(), events);
    exactly("outcomes", entry.outcomes.len(), outcomes);
    exactly("dead letters", entry.dead_letters.len(), usize::from(!good));
    exactly("process instances", instances.len(), usize::from(good));
    if entry.dead_letters.iter().any(|bytes| *bytes != entry.bytes) {
        problems.push("the dead letter holds other bytes than were published".to_owned());
    }
    let running = instances.iter().filter(|instance| instance.end_time.is_none()).count();
    if complete && running > 0 {
        problems.push(format!("{running} process instances have not ended"));
    }
    problems.extend(of_decision(entry));
    if entry.ticket.fate == Fate::Withdrawn && entry.settled.is_some() {
        let ended_otherwise = instances.iter().any(|instance| instance.delete_reason.is_none());
        problems.extend(ended_otherwise.then(|| "it was withdrawn, and its process went on".to_owned()));
    }
    problems
}

/// Whether the outcome says what the person decided.
fn of_decision(entry: &Entry) -> Vec<String> {
    let (Fate::Decided { decision, .. }, Some(outcome)) = (&entry.ticket.fate, entry.outcomes.first()) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    let mut same = |what: &str, told: Option<&str>, wanted: &str| {
        if told != Some(wanted) {
            problems.push(format!("the outcome's {what} is {told:?} instead of {wanted:?}"));
        }
    };
    same("decision", outcome.decision.as_deref(), decision.outcome);
    same("assignee", entry.decided_by(), decision.by);
    same("comment", outcome.comments.first().map(|comment| comment.text.as_str()), decision.comment);
    same("author", outcome.comments.first().and_then(|comment| comment.author.as_deref()), decision.by);
    if !outcome.audit_complete {
        problems.push("the outcome's audit is not complete".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests;
