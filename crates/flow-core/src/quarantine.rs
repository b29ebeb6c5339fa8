//! Keys in quarantine: a record of each was given up, and what came after it waits behind it among the dead letters.
//!
//! Every dead letter of such a key has a number, which it keeps when it comes back and becomes one again. When they are replayed, only
//! the lowest number that is not done may act, in whatever order they come; with the last of them the quarantine ends.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use event_model::Offset;
use xxhash_rust::xxh3::Xxh3;

use crate::guards::{Guard, holds};
use crate::input::{Letter, TopicId};

/// The hash of an ordering key, 128 bits. It is kept in Kafka, so it must never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 16]);

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &[u8]) -> KeyHash {
        let mut hasher = Xxh3::new();
        hasher.update(b"key");
        hasher.update(key);
        KeyHash(hasher.digest128().to_be_bytes())
    }

    /// What its `Display` form says: 32 hexadecimal digits. `None` for any other text.
    pub fn parse(hex: &str) -> Option<KeyHash> {
        let hash = Some(hex).filter(|hex| hex.len() == 32).and_then(|hex| u128::from_str_radix(hex, 16).ok())?;
        Some(KeyHash(hash.to_be_bytes()))
    }
}

/// As it stands in the keys of Kafka's records.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What becomes of a key when one of its records is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExhausted {
    /// It goes on with its next record.
    Next,
    /// Its later records follow into the dead letters.
    QuarantineKey,
}

/// Where a record stood in its source when it came first.
pub type Place = (TopicId, Offset);

/// What is known of a key in quarantine; the state topic keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The record that was given up first: whatever stands behind it in the source follows it.
    pub first: Place,
    /// The dead letter that may act next; those before it are done.
    pub next: u64,
    /// How many dead letters there are in all, done ones included.
    pub total: u64,
    /// Those behind the next that are done all the same: they were known, discarded, or refused for good.
    pub ahead: BTreeSet<u64>,
}

impl Quarantined {
    /// Dead letters that are not done.
    pub fn waiting(&self) -> u64 {
        (self.total - self.next).saturating_sub(self.ahead.len() as u64)
    }

    fn done(&mut self, number: u64) {
        if number > self.next {
            // Beyond the bound it is forgotten: it has to be replayed once more.
            if self.ahead.len() < MOST_AHEAD {
                self.ahead.insert(number);
            }
            return;
        }
        self.next += 1;
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
    }

    /// The number of a letter, if it is of this quarantine and not done.
    fn number(&self, letter: Option<Letter>) -> Option<u64> {
        let letter = letter.filter(|letter| !is_before(letter.place, self.first))?;
        letter.number.filter(|number| (self.next..self.total).contains(number) && !self.ahead.contains(number))
    }
}

/// Dead letters of a key that may be done out of turn.
const MOST_AHEAD: usize = 1_000;

/// What a resolution does to the quarantine of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which key.
    pub key: KeyHash,
    /// Its entry from now on; `None` when its quarantine is over.
    pub entry: Option<Quarantined>,
    /// The number of the dead letter that the record becomes.
    pub number: Option<u64>,
}

/// How a record of a key ended, as far as its quarantine is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Given up: the key is in quarantine from now on.
    GivenUp,
    /// It followed one that was given up.
    Followed,
    /// Done, known, or refused for good.
    Done,
}

/// The quarantined keys of one partition.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    keys: HashMap<KeyHash, Quarantined>,
}

impl Quarantine {
    pub(crate) fn restored(entries: Vec<(KeyHash, Quarantined)>) -> Quarantine {
        let kept = holds(Guard::QuarantineRestored);
        Quarantine { keys: entries.into_iter().filter(|_| kept).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn has(&self, key: KeyHash) -> bool {
        self.keys.contains_key(&key)
    }

    /// Whether a record of the key has to follow: `at` is its place in the source, `letter` what it was as a dead letter, if it comes
    /// back as one.
    pub(crate) fn bars(&self, key: KeyHash, at: Place, letter: Option<Letter>) -> bool {
        let Some(quarantined) = self.keys.get(&key).filter(|_| holds(Guard::QuarantineFollows)) else { return false };
        match quarantined.number(letter) {
            Some(number) => number > quarantined.next && holds(Guard::LettersInTurn),
            // Also when it comes again after a reset: what stands before the first had its turn before it.
            None => at != quarantined.first && !is_before(at, quarantined.first),
        }
    }

    /// Takes note of how a record ended; what that changes, if anything.
    pub(crate) fn ended(&mut self, key: KeyHash, at: Place, letter: Option<Letter>, how: Ended) -> Option<Change> {
        if how == Ended::GivenUp && !self.has(key) {
            let (next, total, ahead) = (0, 1, BTreeSet::new());
            self.keys.insert(key, Quarantined { first: at, next, total, ahead });
            return Some(Change { key, entry: self.keys.get(&key).cloned(), number: Some(0) });
        }
        let quarantined = self.keys.get_mut(&key)?;
        let known = quarantined.number(letter);
        if how == Ended::Done {
            quarantined.done(known?);
            if quarantined.next == quarantined.total {
                self.keys.remove(&key);
            }
            return Some(Change { key, entry: self.keys.get(&key).cloned(), number: None });
        }
        if is_before(at, quarantined.first) {
            quarantined.first = at;
        }
        let number = known.unwrap_or(quarantined.total);
        quarantined.total = quarantined.total.max(number + 1);
        Some(Change { key, entry: Some(quarantined.clone()), number: Some(number) })
    }
}

/// Whether `at` stands before `other`. Between topics there is no order but that of arrival: there it does not.
fn is_before((topic, offset): Place, (other_topic, other): Place) -> bool {
    topic == other_topic && offset < other
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyHash = KeyHash([7; 16]);

    fn at(offset: i64) -> Place {
        (TopicId(0), Offset::new(offset))
    }

    fn letter(offset: i64, number: u64) -> Option<Letter> {
        Some(Letter { place: at(offset), number: Some(number) })
    }

    fn waiting(quarantine: &Quarantine) -> u64 {
        quarantine.keys.values().map(Quarantined::waiting).sum()
    }

    /// 10 was given up, 11 and 15 followed it.
    fn with_followers() -> Quarantine {
        let mut quarantine = Quarantine::default();
        let mut number = |offset, how| quarantine.ended(KEY, at(offset), None, how).and_then(|change| change.number);
        assert_eq!(number(10, Ended::GivenUp), Some(0));
        assert_eq!(number(11, Ended::Followed), Some(1));
        assert_eq!(number(15, Ended::Followed), Some(2));
        quarantine
    }

    #[test]
    fn what_stands_behind_the_first_follows_and_what_stands_before_it_does_not() {
        let quarantine = with_followers();
        assert!(quarantine.bars(KEY, at(16), None));
        assert!(!quarantine.bars(KEY, at(10), None), "the first itself, read again");
        assert!(!quarantine.bars(KEY, at(9), None));
        assert!(!quarantine.bars(KeyHash([8; 16]), at(16), None), "another key");
        assert!(quarantine.bars(KEY, (TopicId(1), Offset::new(2)), None), "another topic, later on");
    }

    #[test]
    fn letters_come_back_in_turn_and_the_last_ends_it() {
        let mut quarantine = with_followers();
        assert!(quarantine.bars(KEY, at(11), letter(11, 1)), "not before the first");
        assert!(!quarantine.bars(KEY, at(10), letter(10, 0)));
        quarantine.ended(KEY, at(10), letter(10, 0), Ended::Done);
        assert!(!quarantine.bars(KEY, at(11), letter(11, 1)));
        assert!(quarantine.bars(KEY, at(15), letter(15, 2)), "whatever order they are replayed in");
        assert!(quarantine.bars(KEY, at(16), None), "new ones still follow");
        quarantine.ended(KEY, at(11), letter(11, 1), Ended::Done);
        let over = Change { key: KEY, entry: None, number: None };
        assert_eq!(quarantine.ended(KEY, at(15), letter(15, 2), Ended::Done), Some(over));
        assert!(!quarantine.bars(KEY, at(16), None));
        assert_eq!(quarantine.len(), 0);
    }

    #[test]
    fn one_that_becomes_a_letter_again_keeps_its_number() {
        let mut quarantine = with_followers();
        quarantine.ended(KEY, at(10), letter(10, 0), Ended::Done);
        for how in [Ended::GivenUp, Ended::Followed] {
            let change = quarantine.ended(KEY, at(11), letter(11, 1), how);
            assert_eq!(change.and_then(|change| change.number), Some(1));
        }
        assert_eq!(waiting(&quarantine), 2);
        assert!(quarantine.bars(KEY, at(15), letter(15, 2)));
        assert!(quarantine.bars(KEY, at(12), None), "what the source has behind the first follows all the same");
    }

    #[test]
    fn one_that_is_done_out_of_turn_is_passed_over_later() {
        let mut quarantine = with_followers();
        quarantine.ended(KEY, at(11), letter(11, 1), Ended::Done);
        assert_eq!(quarantine.ended(KEY, at(11), letter(11, 1), Ended::Done), None, "once");
        assert_eq!(waiting(&quarantine), 2);
        quarantine.ended(KEY, at(10), letter(10, 0), Ended::Done);
        assert!(!quarantine.bars(KEY, at(15), letter(15, 2)));
    }

    #[test]
    fn a_letter_that_is_no_part_of_it_changes_nothing() {
        let mut quarantine = with_followers();
        let refused = Some(Letter { place: at(12), number: None });
        assert_eq!(quarantine.ended(KEY, at(12), refused, Ended::Done), None);
        assert!(quarantine.bars(KEY, at(12), refused), "it follows too, if it would be done");
        assert_eq!(quarantine.ended(KEY, at(4), letter(4, 1), Ended::Done), None, "of a quarantine that is over");
        assert!(!quarantine.bars(KEY, at(4), letter(4, 1)));
        assert_eq!(quarantine.ended(KEY, at(16), None, Ended::Done), None, "a filtered record");
        assert_eq!(quarantine.ended(KeyHash([8; 16]), at(4), letter(4, 0), Ended::Done), None);
        assert_eq!(waiting(&quarantine), 3);
    }

    #[test]
    fn the_hash_is_what_older_versions_wrote() {
        let hash = KeyHash::of(b"T-1001");
        assert_eq!(hash.to_string(), "4a8e8652eb0729dc5aa9a83023f11363");
        assert_eq!(KeyHash::parse(&hash.to_string()), Some(hash));
        assert_eq!(KeyHash::parse("4a8e"), None);
    }
}
