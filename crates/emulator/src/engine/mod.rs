//! The engine as a plain state machine: every call takes the time as an argument, nothing here waits or does I/O.
//!
//! A request copies the instance it is about, changes the copy and commits it whole; a failure drops the copy. That is
//! how the real engine behaves towards its clients, and it makes a half-done step impossible.

mod agenda;
mod commit;
mod definitions;
mod error;
mod instance;
mod interpret;
mod jobs;
mod messages;
mod requests;
mod start;
mod store;
mod tasks;
mod terminate;
mod variables;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::switches::Switches;

pub(crate) use definitions::Definition;
pub(crate) use error::EngineError;
pub(crate) use instance::{ArmedTimer, Comment, Execution, Instance, Job, JobState, Task, Wait};
pub(crate) use jobs::{Acquire, Failure};
pub(crate) use requests::Outgoing;
pub(crate) use start::StartRequest;
pub(crate) use store::Store;
pub(crate) use tasks::TaskAction;
pub(crate) use variables::{Variable, VariableInput};

/// The whole state of the emulated service.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) switches: Switches,
    ids: Ids,
    started: Timestamp,
    definitions: definitions::Definitions,
    /// Every instance as it is now, running or ended.
    all: Store,
    running: Store,
    /// What readers of history see; behind `all` by the history lag.
    history: Store,
    /// Executions, boundary timers, open tasks and jobs of running instances, by id, with the instance's number.
    owner_of: HashMap<Arc<str>, u64>,
    /// Jobs that may be handed out now, by topic, oldest first.
    acquirable: HashMap<Arc<str>, Queue>,
    agenda: agenda::Agenda,
    requests: requests::Requests,
}

impl Engine {
    /// An empty engine; `seed` makes its ids different from those of other runs.
    pub(crate) fn new(switches: Switches, seed: u64, now: Timestamp) -> Self {
        Self {
            switches,
            ids: Ids { run: seed, next: Arc::new(AtomicU64::new(1)) },
            started: now,
            definitions: definitions::Definitions::default(),
            all: Store::default(),
            running: Store::default(),
            history: Store::default(),
            owner_of: HashMap::new(),
            acquirable: HashMap::new(),
            agenda: agenda::Agenda::default(),
            requests: requests::Requests::default(),
        }
    }

    /// Forgets every instance; deployed models stay.
    pub(crate) fn reset(&mut self) {
        self.all = Store::default();
        self.running = Store::default();
        self.history = Store::default();
        self.owner_of.clear();
        self.acquirable.clear();
        self.agenda = agenda::Agenda::default();
        self.requests.forget();
    }

    /// Every instance as it is now, running or ended, whatever history shows.
    pub(crate) fn all(&self) -> &Store {
        &self.all
    }

    /// Running instances.
    pub(crate) fn running(&self) -> &Store {
        &self.running
    }

    /// Instances as history shows them.
    pub(crate) fn history(&self) -> &Store {
        &self.history
    }

    /// The running instance of this id.
    pub(crate) fn running_instance(&self, id: &str) -> Result<&Arc<Instance>, EngineError> {
        self.running
            .get(id)
            .ok_or_else(|| EngineError::NotFound(format!("Could not find a process instance with id '{id}'.")))
    }

    /// The running instance that owns this execution, open task or job.
    fn owner(&self, id: &str) -> Option<&Arc<Instance>> {
        self.running.by_number(*self.owner_of.get(id)?)
    }
}

/// Jobs of one topic by their numbers, each with its instance's number and its id.
type Queue = BTreeMap<u64, (u64, Arc<str>)>;

/// Ids that look like the service's: unique, and ascending in the order of creation. Copies count on together.
#[derive(Debug, Clone)]
struct Ids {
    run: u64,
    next: Arc<AtomicU64>,
}

impl Ids {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn id(&self) -> Arc<str> {
        let mut bytes = [0; 16];
        // 48 bits of it: the version of a UUID is written over a part of the seventh byte
        bytes[..6].copy_from_slice(&self.number().to_be_bytes()[2..]);
        bytes[8..].copy_from_slice(&self.run.to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string().into()
    }
}

#[cfg(test)]
mod tests;
