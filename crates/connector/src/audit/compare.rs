//! Which instances belong to one event, and which of them is to stay. No I/O: rows in, doubles out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use workflow_client::Instance;

use crate::handler::marker;

/// Instances of one definition that one audit compares, about 100 bytes each; more are a reason to look back less far.
const MOST_INSTANCES: usize = 2_000_000;

/// What became of an instance; a later word replaces an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Running,
    /// By itself.
    Ended,
    /// By a terminate, from whomever.
    Deleted,
    /// As the surplus of a double: it does not count any more.
    Compensated,
}

/// One instance of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Copy {
    /// Milliseconds since 1970.
    pub started_ms: i64,
    pub id: Box<str>,
    pub state: State,
}

/// One event that has more than one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Double {
    /// The mark, `<flow>/<event id>`.
    pub event: String,
    /// The one to stay: the smallest (start, id), so that all observers agree.
    pub survivor: Copy,
    /// The others.
    pub surplus: Vec<Copy>,
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Instances that carry a mark of this flow.
    pub compared: usize,
    /// Instances without one: somebody else started them.
    pub unmarked: usize,
    /// Events with more than one instance.
    pub doubles: Vec<Double>,
}

/// The instances of one definition, as they come.
pub(crate) struct Comparison {
    prefix: String,
    /// The first instance of each event, by a hash that nobody outside can compute, of 128 bits.
    first: HashMap<(u64, u64), Copy>,
    /// Every instance of the events that have more than one, by mark.
    several: BTreeMap<String, Vec<Copy>>,
    /// Hashes of the ids of instances that do not carry a mark of this flow.
    unmarked: HashSet<u64>,
    hashes: (RandomState, RandomState),
    variables_seen: bool,
    most: usize,
}

impl Comparison {
    /// Compares the instances that `flow` started.
    pub(crate) fn of(flow: &str) -> Comparison {
        Comparison {
            prefix: marker::of(flow, ""),
            first: HashMap::new(),
            several: BTreeMap::new(),
            unmarked: HashSet::new(),
            hashes: Default::default(),
            variables_seen: false,
            most: MOST_INSTANCES,
        }
    }

    #[cfg(test)]
    pub(crate) fn at_most(self, most: usize) -> Comparison {
        Comparison { most, ..self }
    }

    /// Takes one instance; the same may come again, from another list.
    ///
    /// # Errors
    /// Why nothing can be said of the definition.
    pub(crate) fn add(&mut self, instance: &Instance) -> Result<(), String> {
        let Some(variables) = &instance.variables else {
            return Err(format!("the variables of instance {} could not be read", instance.id));
        };
        self.variables_seen |= !variables.is_empty();
        match instance.variable(marker::EVENT_ID).and_then(|value| value.as_str()) {
            Some(mark) if mark.starts_with(&self.prefix) => self.marked(mark, copy_of(instance)),
            Some(_) | None => {
                self.unmarked.insert(self.hashes.0.hash_one(&instance.id));
            }
        }
        if self.first.len() + self.unmarked.len() > self.most {
            return Err(format!("more than {} instances; look back less far, by --since", self.most));
        }
        Ok(())
    }

    fn marked(&mut self, mark: &str, copy: Copy) {
        let hash = (self.hashes.0.hash_one(mark), self.hashes.1.hash_one(mark));
        let Some(first) = self.first.get_mut(&hash) else {
            self.first.insert(hash, copy);
            return;
        };
        if let Some(copies) = self.several.get_mut(mark) {
            return match copies.iter_mut().find(|known| known.id == copy.id) {
                Some(known) => known.state = known.state.max(copy.state),
                None => copies.push(copy),
            };
        }
        if first.id == copy.id {
            first.state = first.state.max(copy.state);
        } else {
            self.several.insert(mark.to_owned(), vec![first.clone(), copy]);
        }
    }

    /// The doubles.
    ///
    /// # Errors
    /// Why nothing can be said of the definition.
    pub(crate) fn finish(self) -> Result<Compared, String> {
        if !self.unmarked.is_empty() && !self.variables_seen {
            return Err(format!(
                "none of {} instances shows a variable: either no event started them, or the engine hides variables from us",
                self.unmarked.len()
            ));
        }
        let in_doubt: usize = self.several.values().map(|copies| copies.len() - 1).sum();
        Ok(Compared {
            compared: self.first.len() + in_doubt,
            unmarked: self.unmarked.len(),
            doubles: self.several.into_iter().filter_map(|(event, copies)| double(event, copies)).collect(),
        })
    }
}

fn double(event: String, mut copies: Vec<Copy>) -> Option<Double> {
    copies.retain(|copy| copy.state != State::Compensated);
    copies.sort();
    let mut copies = copies.into_iter();
    let survivor = copies.next()?;
    let surplus: Vec<Copy> = copies.collect();
    (!surplus.is_empty()).then_some(Double { event, survivor, surplus })
}

fn copy_of(instance: &Instance) -> Copy {
    let state = match instance.delete_reason.as_deref() {
        Some(marker::DUPLICATE) => State::Compensated,
        Some(reason) if !reason.is_empty() => State::Deleted,
        Some(_) | None if instance.is_ended() => State::Ended,
        Some(_) | None => State::Running,
    };
    // A sweep gives no instance without a start time.
    let started_ms = instance.start_time.map_or(i64::MAX, |time| time.as_millisecond());
    Copy { started_ms, id: instance.id.as_str().into(), state }
}
