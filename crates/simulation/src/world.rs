//! One run's world: the clock, the queue of what is to happen, and the parties. What each party does is in its own file.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use flow_core::{Answer, Call, Moment, RecordId};

use crate::checks::Checks;
use crate::engine::Engine;
use crate::jobs::Job;
use crate::kafka::{Kafka, REPLAY};
use crate::letters::Letters;
use crate::mutants::Switches;
use crate::pauses::Said;
use crate::positions::Touch;
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::system::System;
use crate::worker::endpoint::Shared;
use crate::worker::{Wake, Worker};

/// What a record is about: an entry of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Source(usize),
    Job {
        job: usize,
        /// How often the variables that it carries had changed.
        variables: u32,
    },
}

/// What a flow's driver knows of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub flow: usize,
    pub topic: u16,
    pub partition: i32,
    pub offset: i64,
    pub item: Item,
}

impl Work {
    /// Its place among the offsets of the source; what is put back in has none, and stands before all of them.
    pub(crate) fn place(&self) -> i64 {
        if self.topic == REPLAY { -1 - self.offset } else { self.offset }
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let topic = match self.topic {
            0 => "source",
            REPLAY => "replay",
            _ => "jobs",
        };
        write!(f, "f{} {topic}/{}@{}", self.flow, self.partition, self.offset)
    }
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Event {
    Append(usize),
    /// The engine hands the job out, unless it is completed.
    Acquire(usize),
    Fault(usize),
    Boot(usize),
    /// A freeze or a cut may be over.
    Heal(usize),
    /// The operator finds the group empty and touches its offsets.
    Touch {
        flow: usize,
        touch: Touch,
    },
    AcceptLoss {
        flow: usize,
        topic: u16,
        partition: i32,
        committed: i64,
    },
    /// The source grows, or ours do.
    Grow {
        ours: bool,
    },
    OutageEnds,
    /// For a process: void when that life is over, late when it is frozen.
    Worker(usize, u32, Wake),
    Group(usize, crate::kafka::group::GroupEvent),
    Transaction(usize, crate::kafka::transactions::Step),
    Engine(usize, crate::engine::Stage),
    InstanceEnds(usize),
    /// Somebody looks at the dead letters of a flow.
    Operator(usize),
    /// Somebody looks at a storm, of that life of a process.
    PauseOver {
        flow: usize,
        key: Option<u8>,
    },
    GuardReset(usize, u32),
}

struct Queued {
    at: u64,
    seq: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Queued) -> bool {
        self.seq == other.seq
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Queued) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Queued) -> Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// A call on its way to the engine.
#[derive(Debug)]
pub(crate) struct Request {
    pub worker: usize,
    pub life: u32,
    pub id: RecordId,
    pub work: Work,
    pub call: Call,
    pub sent: u64,
    /// Within so long after its sending it takes effect or never.
    pub settle: u64,
    /// The end of its lease, when its sender froze after the check.
    pub until: Option<Moment>,
    /// It left after its lease was over: the frozen sender, the stated residue.
    pub late: bool,
    pub answered: bool,
    /// The answer that is known and on its way.
    pub answer: Option<Answer<()>>,
}

pub(crate) struct World<'a> {
    pub scenario: &'a Scenario,
    pub switches: Switches,
    pub now: u64,
    pub events: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    seq: u64,
    pub rng: Rng,
    pub kafka: Kafka,
    pub engine: Engine,
    pub jobs: Vec<Job>,
    pub system: System,
    /// By slot: the workers of a slot, one of each flow, are one process.
    pub endpoints: Vec<Shared>,
    pub workers: Vec<Worker>,
    pub requests: Vec<Request>,
    pub checks: Checks,
    pub letters: Letters,
    /// By flow: what the control topic says.
    pub said: Vec<Said>,
    /// Whether processes that start may quarantine as many keys as there are.
    pub roomy: bool,
    /// What happened, when somebody wants to read it.
    pub trace: Option<Vec<String>>,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, switches: Switches, traced: bool) -> World<'a> {
        let config = &scenario.config;
        let mut endpoints: Vec<Shared> = (0..config.workers).map(|_| Shared::new(config)).collect();
        let worker = |index: usize| {
            let seats = endpoints[index % config.workers].join(index / config.workers);
            Worker::new(scenario, &switches, index, seats, false)
        };
        let workers = (0..config.flows * config.workers).map(worker).collect();
        World {
            scenario,
            now: 0,
            events: 0,
            queue: BinaryHeap::new(),
            seq: 0,
            rng: Rng::new(scenario.seed, 5),
            kafka: Kafka::new(config),
            engine: Engine::new(),
            jobs: vec![Job::default(); scenario.jobs.len()],
            system: System::new(scenario.jobs.len()),
            endpoints,
            workers,
            requests: Vec::new(),
            checks: Checks::default(),
            letters: Letters::default(),
            said: vec![Said::default(); config.flows],
            roomy: false,
            switches,
            trace: traced.then(Vec::new),
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment::after_origin(std::time::Duration::from_millis(self.now))
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.seq += 1;
        self.queue.push(Reverse(Queued { at: at.max(self.now), seq: self.seq, event }));
    }

    pub(crate) fn wake(&mut self, worker: usize, after: u64, wake: Wake) {
        let life = self.workers[worker].life;
        self.schedule(self.now + after, Event::Worker(worker, life, wake));
    }

    /// The time that one message takes.
    pub(crate) fn net(&mut self) -> u64 {
        self.rng.between(1, 5)
    }

    /// Takes the next event; false when nothing is left to happen.
    pub(crate) fn turn(&mut self) -> bool {
        let Some(Reverse(Queued { at, event, .. })) = self.queue.pop() else { return false };
        self.now = at;
        self.events += 1;
        match event {
            Event::Append(index) => self.append(index),
            Event::Acquire(job) => self.acquire(job),
            Event::Fault(index) => self.fault(index),
            Event::Boot(worker) => self.boot(worker),
            Event::Heal(worker) => self.heal(worker),
            Event::Touch { flow, touch } => self.touch_offsets(flow, touch),
            Event::AcceptLoss { flow, topic, partition, committed } => {
                self.accept_loss(flow, topic, partition, committed);
            }
            Event::Grow { ours } => self.grow(ours),
            Event::OutageEnds => self.outage_ends(),
            Event::Worker(worker, life, wake) => self.woken(worker, life, wake),
            Event::Group(flow, event) => self.group_event(flow, event),
            Event::Transaction(index, step) => self.transaction_step(index, step),
            Event::Engine(request, stage) => self.engine_stage(request, stage),
            Event::InstanceEnds(instance) => self.instance_ends(instance),
            Event::PauseOver { flow, key } => self.pause_over(flow, key),
            Event::Operator(flow) => self.operator(flow),
            Event::GuardReset(worker, life) => self.guard_reset(worker, life),
        }
        true
    }

    /// Adds a line to the trace; `text` is only made when somebody reads it.
    pub(crate) fn tell(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>6} {}", self.now, text()));
        }
    }
}
