//! The second look: after a start that was ever in doubt, and after a start whose partition was lost before its commit, the
//! instances that carry the event's mark are counted once no request can take effect any more.
//!
//! The count takes the same form as a look-up: running instances, `history_lag`, history. An instance that ends between two
//! reads at once would be in neither.

use std::sync::Arc;
use std::time::Duration;

use event_model::{Offset, Partition};

use crate::call::{Call, Scope};
use crate::input::{Answer, Copy, TopicId};

/// A contest ends without a result after so many failed calls; the audit sweeps for what it missed.
const MAX_FAILURES: u32 = 50;

/// One start that is counted.
#[derive(Debug)]
pub(crate) struct Contest<W> {
    pub work: W,
    pub at: (TopicId, Partition, Offset),
    pub next: Call,
    /// Whether the call is under way, or in the ready queue.
    pub busy: bool,
    pub failures: u32,
    copies: Vec<Copy>,
}

/// What comes next in a contest.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Call again after a delay; `None`: at once.
    Again(Option<Duration>, Call),
    /// More than one: the survivor, the others, and the call that ends the first of them, if that is wanted.
    Double {
        survivor: Arc<str>,
        surplus: Vec<Arc<str>>,
        delete: Option<Call>,
    },
    /// One or none: as it should be.
    Over,
    GivenUp(String),
}

impl<W> Contest<W> {
    pub(crate) fn new(work: W, at: (TopicId, Partition, Offset)) -> Contest<W> {
        Contest { work, at, next: Call::Count(Scope::Running), busy: false, failures: 0, copies: Vec::new() }
    }

    /// Takes an answer that is no failure.
    pub(crate) fn answered<O>(&mut self, answer: Answer<O>, history_lag: Duration, delete: bool) -> Verdict {
        match (&self.next, answer) {
            (Call::Count(Scope::Running), Answer::Copies(copies)) => {
                self.copies = copies;
                Verdict::Again(Some(history_lag), Call::Count(Scope::History))
            }
            (Call::Count(_), Answer::Copies(copies)) => {
                for copy in copies {
                    if self.copies.iter().all(|known| known.id != copy.id) {
                        self.copies.push(copy);
                    }
                }
                self.judge(delete)
            }
            (Call::Delete(id), _) => {
                let id = id.clone();
                self.copies.retain(|copy| copy.id != id);
                self.copies.sort();
                match self.surplus_running().first() {
                    Some(next) => Verdict::Again(None, Call::Delete(next.clone())),
                    None => Verdict::Over,
                }
            }
            _ => self.failed("the handler's answer does not belong to the count".into()),
        }
    }

    pub(crate) fn failed(&mut self, detail: String) -> Verdict {
        self.failures += 1;
        if self.failures >= MAX_FAILURES { Verdict::GivenUp(detail) } else { Verdict::Again(None, self.next.clone()) }
    }

    fn judge(&mut self, delete: bool) -> Verdict {
        self.copies.sort();
        let Some((survivor, surplus)) = self.copies.split_first() else { return Verdict::Over };
        if surplus.is_empty() {
            return Verdict::Over;
        }
        let first = self.surplus_running().first().cloned();
        Verdict::Double {
            survivor: survivor.id.clone(),
            surplus: surplus.iter().map(|copy| copy.id.clone()).collect(),
            delete: first.filter(|_| delete).map(Call::Delete),
        }
    }

    /// The surplus instances that still run; one that ended by itself cannot be undone.
    fn surplus_running(&self) -> Vec<Arc<str>> {
        self.copies.iter().skip(1).filter(|copy| copy.running).map(|copy| copy.id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(started_ms: i64, id: &str) -> Copy {
        Copy { started_ms, id: id.into(), running: true }
    }

    fn contest() -> Contest<()> {
        Contest::new((), (TopicId(0), Partition::new(0), Offset::new(0)))
    }

    fn counted(running: Vec<Copy>, ended: Vec<Copy>, delete: bool) -> Verdict {
        let mut contest = contest();
        let next = contest.answered::<()>(Answer::Copies(running), Duration::from_secs(5), delete);
        let Verdict::Again(Some(lag), call @ Call::Count(Scope::History)) = next else { panic!("{next:?}") };
        assert_eq!(lag, Duration::from_secs(5), "history is read a lag later");
        contest.next = call;
        contest.answered::<()>(Answer::Copies(ended), Duration::from_secs(5), delete)
    }

    #[test]
    fn one_instance_seen_in_both_reads_is_one() {
        let verdict = counted(vec![copy(1, "a")], vec![copy(1, "a")], true);
        assert!(matches!(verdict, Verdict::Over), "{verdict:?}");
    }

    #[test]
    fn the_older_of_two_stays_and_is_named() {
        let verdict = counted(vec![copy(2, "a")], vec![copy(1, "z")], true);
        let Verdict::Double { survivor, surplus, delete } = verdict else { panic!("{verdict:?}") };
        assert_eq!((&*survivor, &*surplus[0]), ("z", "a"));
        assert_eq!(delete, Some(Call::Delete("a".into())));
    }

    #[test]
    fn nothing_is_deleted_unless_it_was_opted_into() {
        let verdict = counted(vec![copy(2, "a"), copy(1, "b")], vec![], false);
        assert!(matches!(verdict, Verdict::Double { delete: None, .. }), "{verdict:?}");
    }
}
