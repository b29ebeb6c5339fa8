//! Dead letters, the operator who puts them back in, and what an outside observer knows of the quarantine of keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use event_model::Offset;
use flow_core::{KeyHash, Letter, Quarantined, Reason, TopicId};

use crate::checks::Promise;
use crate::kafka::REPLAY;
use crate::kafka::log::Entry;
use crate::worker::commit::{Kind, Written};
use crate::world::{Event, Item, Work, World};

/// A letter that was given up so often is put aside for good; later on, once is enough.
const ROUNDS: u32 = 3;
/// After so long the operator has seen it all.
const IMPATIENT: u64 = 40_000;

/// A record among the committed dead letters that the quarantine of its key counts.
#[derive(Clone, Copy, Debug)]
struct DeadLetter {
    flow: usize,
    partition: i32,
    item: usize,
    /// Its topic and offset when it came first.
    place: Place,
    /// How often it became one.
    round: u32,
    number: Option<u64>,
    put_back: bool,
}

/// Topic and offset.
type Place = (u16, i64);
/// Flow, partition and key.
type Key = (usize, i32, u8);

#[derive(Default)]
pub(crate) struct Letters {
    all: Vec<DeadLetter>,
    /// By flow, partition and offset of the replay topic: the letter, and whether it is put aside.
    returned: HashMap<(usize, i32, i64), (usize, bool)>,
    /// Letters that are not done yet, with how often each is among them.
    waiting: BTreeMap<Key, BTreeMap<Place, u32>>,
    /// Those of them that nobody has put back in.
    lying: BTreeMap<Key, BTreeSet<Place>>,
    /// Effects that came while a letter before them was on its way: it must not take effect any more.
    overtaken: BTreeMap<(Key, Place), Work>,
    /// By flow: letters that were put back in and are not booked yet.
    on_its_way: BTreeMap<usize, i64>,
    /// Letters that took effect.
    acted: BTreeSet<(Key, Place)>,
    /// Partitions whose books were opened again: letters are written twice there, and come back twice.
    reopened: BTreeSet<(usize, i32)>,
    operator_comes: BTreeSet<usize>,
}

impl Letters {
    /// The letter that a record of the replay topic was, and whether it is put aside.
    pub(crate) fn of(&self, work: Work) -> Option<(Letter, bool)> {
        if work.topic != REPLAY {
            return None;
        }
        let (index, aside) = self.returned.get(&(work.flow, work.partition, work.offset))?;
        let DeadLetter { place: (topic, offset), number, .. } = self.all[*index];
        Some((Letter { place: (TopicId(topic), Offset::new(offset)), number }, *aside))
    }

    fn place(&self, work: Work) -> Place {
        let back = self.of(work).map(|(letter, _)| (letter.place.0.0, letter.place.1.get()));
        back.unwrap_or((work.topic, work.offset))
    }

    pub(crate) fn reopen(&mut self, flow: usize, partition: i32) {
        self.reopened.insert((flow, partition));
    }
}

impl World<'_> {
    /// A resolution is committed.
    pub(crate) fn letter_booked(&mut self, written: &Written) {
        let work = written.work;
        let Item::Source(item) = work.item else { return };
        if !self.scenario.config.failing.quarantine {
            return;
        }
        let key = (work.flow, work.partition, self.scenario.records[item].key);
        let place = self.letters.place(work);
        let back =
            self.letters.returned.get(&(work.flow, work.partition, work.offset)).filter(|_| work.topic == REPLAY);
        let back = back.map(|(index, _)| self.letters.all[*index]);
        if back.is_some() {
            *self.letters.on_its_way.entry(work.flow).or_default() -= 1;
        }
        let waiting = self.letters.waiting.entry(key).or_default();
        if back.is_some()
            && let Some(times) = waiting.get_mut(&place)
        {
            *times -= 1;
            if *times == 0 {
                waiting.remove(&place);
            }
        }
        let counted = [Reason::EXHAUSTED, Reason::NO_SUBSCRIPTION, Reason::QUARANTINED];
        let Kind::DeadLettered(reason) = &written.resolution else { return };
        if !counted.iter().any(|code| code.as_str() == reason) {
            return;
        }
        *waiting.entry(place).or_default() += 1;
        self.letters.lying.entry(key).or_default().insert(place);
        *self.checks.faults.entry("dead letter: its key is in quarantine").or_default() += 1;
        let round = back.map_or(0, |letter| letter.round) + u32::from(*reason != Reason::QUARANTINED.as_str());
        let (flow, partition, number) = (work.flow, work.partition, written.number);
        self.letters.all.push(DeadLetter { flow, partition, item, place, round, number, put_back: false });
        self.call_operator(work.flow);
    }

    fn call_operator(&mut self, flow: usize) {
        if self.letters.operator_comes.insert(flow) {
            let after = self.rng.between(500, 5000);
            self.schedule(self.now + after, Event::Operator(flow));
        }
    }

    /// An operator puts the dead letters of a flow back in, some of them now and the others next time.
    pub(crate) fn operator(&mut self, flow: usize) {
        self.letters.operator_comes.remove(&flow);
        if self.letters.on_its_way.get(&flow).is_some_and(|count| *count > 0) && self.now > IMPATIENT {
            return self.call_operator(flow);
        }
        let most = if self.now > IMPATIENT { 100 } else { self.rng.pick(&[100, 100, 60]) };
        let mut order: Vec<usize> = (0..self.letters.all.len()).collect();
        order.sort_by_key(|index| self.letters.all[*index].place);
        for index in order {
            let letter = self.letters.all[index];
            if letter.flow != flow || letter.put_back {
                continue;
            }
            if !self.rng.chance(most) {
                self.call_operator(flow);
                continue;
            }
            self.letters.all[index].put_back = true;
            let key = (flow, letter.partition, self.scenario.records[letter.item].key);
            self.letters.lying.entry(key).or_default().remove(&letter.place);
            let aside = letter.round >= if self.now > IMPATIENT { 1 } else { ROUNDS };
            *self.letters.on_its_way.entry(flow).or_default() += 1;
            let what = if aside { "operator: dead letter put aside" } else { "operator: dead letter replayed" };
            *self.checks.faults.entry(what).or_default() += 1;
            let offset = self.append_letter(flow, letter.partition, letter.item);
            self.letters.returned.insert((flow, letter.partition, offset), (index, aside));
            self.tell(|| {
                format!("replay  f{flow} {}@{offset} is the letter of {:?}, {what}", letter.partition, letter.place)
            });
        }
        for worker in 0..self.workers.len() {
            self.wake_reader(worker, 1);
        }
    }

    /// KEY_ORDER: nothing takes effect while a letter before it lies among the dead letters; and one that is on its way back
    /// takes no effect after something behind it did.
    pub(crate) fn quarantine_kept(&mut self, work: Work, key: u8) {
        let (key, place) = ((work.flow, work.partition, key), self.letters.place(work));
        if self.letters.reopened.contains(&(work.flow, work.partition)) {
            return;
        }
        self.checks.compared(Promise::KeyOrder);
        self.letters.acted.insert((key, place));
        if let Some(other) = self.letters.overtaken.get(&(key, place)).copied() {
            self.violated(Promise::KeyOrder, format!("{work}, the letter of {place:?}, takes effect after {other}"));
        }
        let before = |other: &&Place| other.0 == place.0 && other.1 < place.1;
        let lying = self.letters.lying.get(&key).and_then(|lying| lying.iter().find(before));
        if let Some(first) = lying.copied() {
            self.violated(
                Promise::KeyOrder,
                format!("{work} takes effect while the dead letter of {first:?} lies there"),
            );
        }
        let waiting = self.letters.waiting.get(&key).into_iter().flatten().map(|(place, _)| place).filter(before);
        let overtaken: Vec<Place> =
            waiting.filter(|place| !self.letters.acted.contains(&(key, **place))).copied().collect();
        for place in overtaken {
            self.letters.overtaken.entry((key, place)).or_insert(work);
        }
    }

    /// ATOMIC_BOOKS: the state topic knows every key whose letters wait, and no other.
    pub(crate) fn quarantine_as_booked(&mut self, flow: usize, partition: i32) {
        if !self.scenario.config.failing.quarantine || self.letters.reopened.contains(&(flow, partition)) {
            return;
        }
        let mut known: BTreeMap<KeyHash, Quarantined> = BTreeMap::new();
        for (_, transaction, entry) in &self.kafka.ledgers[flow][partition as usize].entries {
            let seen = transaction.is_none_or(|index| self.kafka.transactions[index].seen_in(partition) == Some(true));
            match entry {
                Entry::Quarantine(key, Some(entry)) if seen => drop(known.insert(*key, entry.clone())),
                Entry::Quarantine(key, None) if seen => drop(known.remove(key)),
                Entry::Quarantine(..)
                | Entry::Remembered(_)
                | Entry::First(..)
                | Entry::Layout(_)
                | Entry::LossAccepted(..) => {}
            }
        }
        let of = |((f, p, key), waiting): (&Key, &BTreeMap<Place, u32>)| {
            let letters: u32 = waiting.values().sum();
            ((*f, *p) == (flow, partition) && letters > 0).then(|| (KeyHash::of(&[*key]), u64::from(letters)))
        };
        let waiting: BTreeMap<KeyHash, u64> = self.letters.waiting.iter().filter_map(of).collect();
        let known: BTreeMap<KeyHash, u64> = known.into_iter().map(|(key, entry)| (key, entry.waiting())).collect();
        self.checks.compared(Promise::AtomicBooks);
        if known != waiting {
            let text =
                format!("f{flow} {partition}: {waiting:?} wait among the dead letters, the state topic says {known:?}");
            self.violated(Promise::AtomicBooks, text);
        }
    }
}
