//! A worker: one `Flow`, and a small model of its driver, the consumer engine.

mod calls;
pub(crate) mod commit;
pub(crate) mod reader;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use event_model::Partition;
use flow_core::{
    Answer, Batch, Call, CommitFault, Effect, Flow, GatePolicy, Input, Moment, RecordId, RetryPolicy, Settings, TopicId,
};

use crate::kafka::TOPICS;
use crate::kafka::group::{Assignment, GroupEvent};
use crate::kafka::log::Restoring;
use crate::mutants::{Mutant, Switch, Switches};
use crate::scenario::{DRAIN_WITHIN, GIVE_UP_AFTER, LEASE_TERM, SESSION, SETTLE, Scenario};
use crate::world::{Event, Work, World};

pub(crate) struct Worker {
    pub flow: usize,
    /// Counts its processes: what was meant for an earlier one is void.
    pub life: u32,
    pub up: bool,
    pub core: Flow<Work, ()>,
    pub frozen_until: u64,
    /// The coordinator is out of reach until then.
    pub cut_until: u64,
    /// Leaders are out of reach too.
    pub leaders_cut_until: u64,
    silent: Option<u64>,
    pub member: Option<u64>,
    pub epoch: u64,
    /// What its consumer believes to hold.
    pub assigned: BTreeSet<(u16, i32)>,
    revoking: Option<Assignment>,
    /// What the coordinator said and the consumer has not heard yet, in order.
    messages: VecDeque<Wake>,
    leaving: bool,
    /// Where reading goes on, by topic and partition; and up to where an end was reported.
    positions: BTreeMap<(u16, i32), (i64, i64)>,
    paused: BTreeSet<i32>,
    poll_planned: bool,
    tick_at: Option<u64>,
    pub restoring: BTreeMap<i32, Restoring>,
    batch: Option<Batch<Work, ()>>,
    /// A partition of the batch was given up since it was closed; that it may be held again does not mend it.
    spoilt: bool,
    /// When `send_offsets` was called last.
    offsets_sent_at: u64,
    settle: u64,
    pub freeze_next_sender: Option<u64>,
    /// Calls with an effect that were sent and not answered: their lanes.
    effects_out: Vec<(RecordId, i32, u8)>,
    settings: Settings,
    /// Ticks in a row that moved nothing.
    idle_ticks: u32,
}

/// What wakes a process.
#[derive(Debug)]
pub(crate) enum Wake {
    Tick,
    Poll,
    Assigned(u64, Assignment),
    Revoked(u64, Assignment),
    Fenced(u64),
    /// The consumer hears on.
    Hear,
    Epoch(u64, u64),
    Restore(i32, RestoreStep),
    LogEnds(i32),
    Started(i32, Vec<(u16, i64)>),
    /// The sender checks the lease.
    Send(RecordId, Work, Call, Option<Moment>),
    /// The first byte leaves.
    Leaves(usize),
    Answered(usize),
    TimedOut(usize),
    Probed,
    Begin,
    SendOffsets(usize),
    OffsetsAnswered(usize, bool),
    Outcome(usize, Outcome),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum RestoreStep {
    Offsets,
    Ends,
    Ledger,
}

/// What became of a transaction.
#[derive(Debug)]
pub(crate) enum Outcome {
    Committed,
    Failed(CommitFault),
    ProducerOut,
}

impl Worker {
    pub(crate) fn new(scenario: &Scenario, switches: &Switches, index: usize) -> Worker {
        let settings = settings(scenario, switches, index);
        Worker {
            flow: index / scenario.config.workers,
            life: 0,
            up: false,
            core: Flow::new(settings.clone()),
            frozen_until: 0,
            cut_until: 0,
            leaders_cut_until: 0,
            silent: None,
            member: None,
            epoch: 0,
            assigned: BTreeSet::new(),
            revoking: None,
            messages: VecDeque::new(),
            leaving: false,
            positions: BTreeMap::new(),
            paused: BTreeSet::new(),
            poll_planned: false,
            tick_at: None,
            restoring: BTreeMap::new(),
            batch: None,
            spoilt: false,
            offsets_sent_at: 0,
            settle: settings.settle.as_millis() as u64,
            freeze_next_sender: None,
            effects_out: Vec::new(),
            settings,
            idle_ticks: 0,
        }
    }

    pub(crate) fn reaches_coordinator(&self) -> bool {
        self.cut_until == 0
    }

    pub(crate) fn reaches_leaders(&self) -> bool {
        self.leaders_cut_until == 0
    }

    /// Since when the coordinator hears nothing of that life.
    pub(crate) fn silent_since(&self, life: u32) -> Option<u64> {
        if self.life == life { self.silent } else { Some(0) }
    }

    pub(crate) fn limits(&self) -> (usize, usize, usize) {
        (self.settings.max_in_flight, self.settings.max_held, self.settings.max_batch)
    }
}

fn settings(scenario: &Scenario, switches: &Switches, index: usize) -> Settings {
    let ms = Duration::from_millis;
    let config = &scenario.config;
    let short = config.mixed_settle && index % 2 == 1;
    let settle = if short { SETTLE / 4 } else { SETTLE };
    let lease = if switches.mutant == Some(Mutant::Switch(Switch::LeaseInSession)) { SESSION * 4 } else { LEASE_TERM };
    let settle = if switches.mutant == Some(Mutant::Switch(Switch::SettleLongEnough)) { settle / 4 } else { settle };
    Settings {
        topics: TOPICS,
        max_in_flight: config.max_in_flight,
        max_held: config.max_held,
        max_span: 1000,
        max_batch: 8,
        linger: ms(5),
        retry: RetryPolicy { initial: ms(20), max: ms(400) },
        hold: RetryPolicy { initial: ms(20), max: ms(200) },
        settle: ms(settle),
        history_lag: ms(config.history_lag),
        give_up_after: ms(GIVE_UP_AFTER),
        lease_term: ms(lease),
        ledger_entries: 1000,
        delete_doubles: config.delete_doubles,
        gate: GatePolicy { trip_after: 3, probe: RetryPolicy { initial: ms(50), max: ms(400) } },
        seed: scenario.seed ^ index as u64,
    }
}

fn places(assignment: &[(u16, i32)]) -> Vec<(TopicId, Partition)> {
    assignment.iter().map(|(topic, partition)| (TopicId(*topic), Partition::new(*partition))).collect()
}

impl World<'_> {
    pub(crate) fn woken(&mut self, index: usize, life: u32, wake: Wake) {
        let worker = &mut self.workers[index];
        if worker.life != life || !worker.up {
            return;
        }
        if worker.frozen_until > self.now {
            let until = worker.frozen_until;
            return self.schedule(until, Event::Worker(index, life, wake));
        }
        match wake {
            Wake::Tick => self.tick(index),
            Wake::Poll => self.poll(index),
            Wake::Assigned(..) | Wake::Revoked(..) | Wake::Fenced(_) => {
                worker.messages.push_back(wake);
                self.hear_messages(index);
            }
            Wake::Hear => self.hear_messages(index),
            Wake::Epoch(member, epoch) => {
                if worker.member == Some(member) {
                    worker.epoch = worker.epoch.max(epoch);
                }
            }
            Wake::Restore(partition, step) => {
                if self.workers[index].holds_all_of(partition) {
                    self.restore_step(index, partition, step);
                }
            }
            Wake::LogEnds(partition) => self.log_ends(index, partition),
            Wake::Started(partition, positions) => self.started(index, partition, positions),
            Wake::Send(id, work, call, until) => self.send(index, id, work, call, until),
            Wake::Leaves(request) => self.leaves(request),
            Wake::Answered(request) => {
                let answer = self.requests[request].answer.take();
                if let Some(answer) = answer {
                    self.answered(index, request, answer);
                }
            }
            Wake::TimedOut(request) => {
                self.answered(index, request, crate::engine::failure(flow_core::Fault::TimedOut, None));
            }
            Wake::Probed => self.probed(index),
            Wake::Begin => self.begin(index),
            Wake::SendOffsets(transaction) => self.send_offsets(index, transaction),
            Wake::OffsetsAnswered(transaction, accepted) => self.offsets_answered(index, transaction, accepted),
            Wake::Outcome(transaction, outcome) => self.outcome(index, transaction, outcome),
        }
    }

    /// Hands an input to the core and does what it asks for.
    pub(crate) fn step(&mut self, index: usize, input: Input<Work, ()>) {
        let mut effects = Vec::new();
        let now = self.moment();
        self.workers[index].core.step(now, input, &mut effects);
        self.bounded(index);
        let moved = !effects.is_empty();
        for effect in effects {
            self.perform(index, effect);
        }
        self.plan_tick(index, moved);
    }

    fn tick(&mut self, index: usize) {
        if self.workers[index].tick_at.is_some_and(|at| at <= self.now) {
            self.workers[index].tick_at = None;
            self.step(index, Input::Tick);
        }
    }

    fn plan_tick(&mut self, index: usize, moved: bool) {
        let worker = &mut self.workers[index];
        let Some(deadline) = worker.core.deadline() else { return };
        let at = deadline.since(Moment::ORIGIN).as_micros().div_ceil(1000) as u64;
        worker.idle_ticks = if at <= self.now && !moved { worker.idle_ticks + 1 } else { 0 };
        if worker.idle_ticks == 50 {
            let text = format!("w{index} asks to be woken in the past again and again: the loop spins");
            return self.violated(crate::checks::Promise::Bounded, text);
        }
        let at = at.max(self.now + u64::from(at <= self.now));
        let worker = &mut self.workers[index];
        if worker.tick_at.is_none_or(|planned| at < planned) {
            worker.tick_at = Some(at);
            let life = worker.life;
            self.schedule(at, Event::Worker(index, life, Wake::Tick));
        }
    }

    fn perform(&mut self, index: usize, effect: Effect<Work, ()>) {
        match effect {
            Effect::Call { id, work, call, until } => {
                let after = self.rng.pick(&[0, 0, 0, 1, 3]);
                self.wake(index, after, Wake::Send(id, work, call, until));
            }
            Effect::Probe => {
                let after = self.net() * 2;
                self.wake(index, after, Wake::Probed);
            }
            Effect::Commit(batch) => self.commit(index, batch),
            Effect::Restore(partition) => {
                let net = self.net();
                self.wake(index, net, Wake::Restore(partition.get(), RestoreStep::Offsets));
            }
            Effect::LogEnds(partition) => {
                let net = self.net();
                self.wake(index, net, Wake::LogEnds(partition.get()));
            }
            Effect::Start(partition, positions) => {
                let positions = positions.into_iter().map(|(topic, next)| (topic.0, next.get())).collect();
                let net = self.net();
                self.wake(index, net, Wake::Started(partition.get(), positions));
            }
            Effect::Pause(partition) => {
                self.workers[index].paused.insert(partition.get());
            }
            Effect::Resume(partition) => {
                self.workers[index].paused.remove(&partition.get());
                self.wake_reader(index, 1);
            }
            Effect::Released(_) => self.released(index),
            Effect::Notice(notice) => self.notice(index, notice),
        }
    }

    fn hear_messages(&mut self, index: usize) {
        // The callback of a revoke stands inside poll: nothing else is heard until it ends.
        while self.workers[index].up && self.workers[index].revoking.is_none() {
            if !self.workers[index].reaches_coordinator() && !self.workers[index].messages.is_empty() {
                return self.wake(index, 20, Wake::Hear);
            }
            let Some(message) = self.workers[index].messages.pop_front() else { return };
            self.told_by_coordinator(index, message);
        }
    }

    fn told_by_coordinator(&mut self, index: usize, wake: Wake) {
        let worker = &self.workers[index];
        let known = |member: u64| worker.member == Some(member);
        let in_group = |member: u64| self.kafka.groups[worker.flow].members.contains_key(&member);
        match wake {
            Wake::Assigned(member, _) | Wake::Revoked(member, _) if !known(member) || !in_group(member) => {}
            Wake::Assigned(_, assigned) => {
                self.tell(|| format!("w{index}      assigned {assigned:?}"));
                self.workers[index].assigned.extend(assigned.iter().copied());
                self.step(index, Input::Assigned(places(&assigned)));
            }
            Wake::Revoked(_, revoked) => {
                self.tell(|| format!("w{index}      revoked {revoked:?}"));
                self.workers[index].revoking = Some(revoked.clone());
                let within = Duration::from_millis(DRAIN_WITHIN);
                self.step(index, Input::Revoked { partitions: places(&revoked), within });
            }
            Wake::Fenced(member) if known(member) => {
                let worker = &mut self.workers[index];
                let lost: Assignment = std::mem::take(&mut worker.assigned).into_iter().collect();
                (worker.member, worker.epoch) = (None, 0);
                self.workers[index].spoil_batch(&lost);
                self.tell(|| format!("w{index}      lost {lost:?}"));
                self.step(index, Input::Lost(places(&lost)));
                self.join(index);
            }
            _ => {}
        }
    }

    fn released(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        let (flow, member) = (worker.flow, worker.member);
        let revoked = worker.revoking.take();
        self.tell(|| format!("w{index}      released {revoked:?}"));
        if self.workers[index].leaving {
            self.workers[index].up = false;
            if let Some(member) = member {
                let net = self.net();
                self.schedule(self.now + net, Event::Group(flow, GroupEvent::Leave { member }));
            }
            return;
        }
        let Some(revoked) = revoked else { return };
        self.workers[index].assigned.retain(|place| !revoked.contains(place));
        self.workers[index].spoil_batch(&revoked);
        if let Some(member) = member {
            let net = self.net();
            self.schedule(self.now + net, Event::Group(flow, GroupEvent::Revoked { member, revoked }));
        }
        self.wake_reader(index, 1);
        self.wake(index, 1, Wake::Hear);
    }

    pub(crate) fn boot(&mut self, index: usize) {
        if self.workers[index].up {
            return;
        }
        let life = self.workers[index].life + 1;
        self.workers[index] = Worker { life, up: true, ..Worker::new(self.scenario, &self.switches, index) };
        self.tell(|| format!("w{index}      starts, life {life}"));
        self.init_transactions(index);
        self.join(index);
    }

    fn join(&mut self, index: usize) {
        let (flow, life) = (self.workers[index].flow, self.workers[index].life);
        let net = self.net();
        self.schedule(self.now + net, Event::Group(flow, GroupEvent::Join { worker: index, life }));
    }

    pub(crate) fn crash(&mut self, index: usize) {
        self.goes_silent(index);
        let worker = &mut self.workers[index];
        worker.up = false;
        worker.life += 1;
        self.tell(|| format!("fault   w{index} is killed"));
    }

    /// Finish, give back, leave.
    pub(crate) fn leave(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        if worker.leaving {
            return;
        }
        worker.leaving = true;
        self.tell(|| format!("fault   w{index} is asked to end"));
        self.step(index, Input::Shutdown { within: Duration::from_millis(DRAIN_WITHIN) });
    }

    /// Whether the coordinator hears of a process: it goes silent, or is heard again.
    pub(crate) fn hear(&mut self, index: usize) {
        let now = self.now;
        let worker = &mut self.workers[index];
        let silent = worker.frozen_until > now || worker.cut_until > now;
        if silent && worker.silent.is_none() {
            worker.silent = Some(now);
            self.goes_silent(index);
        } else if !silent && worker.silent.take().is_some() {
            self.hears_of_removal(index);
            self.wake_reader(index, 1);
        }
    }

    pub(crate) fn heal(&mut self, index: usize) {
        let now = self.now;
        let worker = &mut self.workers[index];
        if worker.cut_until <= now {
            worker.cut_until = 0;
        }
        if worker.leaders_cut_until <= now {
            worker.leaders_cut_until = 0;
        }
        self.hear(index);
    }
}

impl Worker {
    fn spoil_batch(&mut self, gone: &[(u16, i32)]) {
        let lines = self.batch.iter().flat_map(|batch| &batch.offsets);
        self.spoilt |= lines.into_iter().any(|line| gone.contains(&(line.topic.0, line.partition.get())));
    }

    fn holds_all_of(&self, partition: i32) -> bool {
        (0..TOPICS).all(|topic| self.assigned.contains(&(topic, partition)))
    }
}

/// How a call ended, for the trace.
pub(crate) fn brief(answer: &Answer<()>) -> String {
    match answer {
        Answer::Failed(failure) => format!("{:?}", failure.fault),
        other => format!("{other:?}"),
    }
}
