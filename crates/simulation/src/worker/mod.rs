//! A worker: one `Flow`, and a small model of its driver, the consumer engine.

mod calls;
pub(crate) mod commit;
pub(crate) mod endpoint;
mod membership;
pub(crate) mod reader;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use flow_core::{
    Answer, Batch, Call, CommitFault, Effect, EndpointId, Flow, Input, Moment, OnExhausted, RecordId, RetryPolicy,
    Seat, Settings, StormPolicy,
};

use crate::kafka::group::Assignment;
use crate::kafka::log::Restoring;
use crate::kafka::{REPLAY, TOPICS};
use crate::mutants::{Mutant, Switch, Switches};
use crate::pauses::Heard;
use crate::scenario::{GIVE_UP_AFTER, SESSION, SETTLE, Scenario};
use crate::storms::Watched;
use crate::worker::endpoint::ENDPOINTS;
use crate::world::{Event, Work, World};

pub(crate) struct Worker {
    pub flow: usize,
    /// Counts its processes: what was meant for an earlier one is void.
    pub life: u32,
    pub up: bool,
    pub core: Flow<Work, ()>,
    /// Its places at the endpoints.
    pub seats: [Seat; ENDPOINTS],
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
    messages: VecDeque<(u64, Told)>,
    leaving: bool,
    /// Where reading goes on, by topic and partition; and up to where an end was reported.
    positions: BTreeMap<(u16, i32), (i64, i64)>,
    paused: BTreeSet<i32>,
    poll_planned: bool,
    tick_at: Option<u64>,
    pub restoring: BTreeMap<i32, Restoring>,
    /// How many restores of a partition were begun.
    restores: BTreeMap<i32, u64>,
    batch: Option<Batch<Work, ()>>,
    /// How often partitions were given up, as the callbacks of the consumer know it.
    given_up: u64,
    /// As the loop knows it.
    known_given_up: u64,
    /// As the loop knew it when it closed the batch on its way.
    sealed: u64,
    pub heard: Heard,
    /// A loss that the loop has yet to hear of.
    loss: Option<Assignment>,
    /// When `send_offsets` was called last.
    pub(crate) offsets_sent_at: u64,
    settle: u64,
    pub freeze_next_sender: Option<(u64, bool)>,
    /// Calls with an effect that were sent and not answered: their lanes, and which ownership sent them.
    effects_out: Vec<(RecordId, i32, u8, u64)>,
    /// Killed soon after a late send.
    pub dies_after_late_send: bool,
    settings: Settings,
    pub storm: Watched,
    /// Ticks in a row that moved nothing.
    idle_ticks: u32,
    /// Probes of the endpoint that are under way.
    probes: [usize; ENDPOINTS],
    /// Calls of others since it waits for its first.
    passed_over: [u32; ENDPOINTS],
    /// The topics' partition count as it last saw it; zero while they differ.
    pub partitions_seen: i32,
}

/// What a coordinator says.
#[derive(Debug)]
pub(crate) enum Told {
    Assigned(Assignment),
    Revoked(Assignment),
    /// It is no member any more.
    Fenced,
}

/// What wakes a process.
#[derive(Debug)]
pub(crate) enum Wake {
    Tick,
    Dies,
    Poll,
    /// The coordinator says something to a member.
    Told(u64, Told),
    /// The consumer hears on.
    Hear,
    /// It reads what operators say.
    Control,
    /// The loop hears of a loss.
    HearLoss,
    Epoch(u64, u64),
    /// With the number of the restore: a later one voids it.
    Restore(i32, RestoreStep, u64),
    LogEnds(i32, u64),
    Ranges(i32, u64),
    /// It looks at the partition counts.
    Look,
    Started(i32, Vec<(u16, i64)>),
    /// The sender checks the lease.
    Send(RecordId, Work, Call, Option<Moment>),
    /// The first byte leaves.
    Leaves(usize),
    Answered(usize),
    TimedOut(usize),
    Probed(EndpointId),
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
    pub(crate) fn new(
        scenario: &Scenario,
        switches: &Switches,
        index: usize,
        seats: [Seat; ENDPOINTS],
        roomy: bool,
    ) -> Worker {
        let mut settings = settings(scenario, switches, index);
        if roomy {
            settings.max_quarantined = 100;
        }
        let config = &scenario.config;
        Worker {
            flow: index / scenario.config.workers,
            life: 0,
            up: false,
            core: Flow::new(settings.clone(), seats),
            seats,
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
            restores: BTreeMap::new(),
            batch: None,
            given_up: 0,
            known_given_up: 0,
            sealed: 0,
            heard: Heard::default(),
            loss: None,
            offsets_sent_at: 0,
            settle: settings.settle.as_millis() as u64,
            freeze_next_sender: None,
            effects_out: Vec::new(),
            dies_after_late_send: false,
            settings,
            storm: Watched::default(),
            idle_ticks: 0,
            probes: [0; ENDPOINTS],
            passed_over: [0; ENDPOINTS],
            partitions_seen: if config.growth.is_none() { config.partitions } else { 0 },
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
    let settle = if short { SETTLE / 8 } else { SETTLE };
    let longer = switches.mutant == Some(Mutant::Switch(Switch::OneLeaseTerm)) && index.is_multiple_of(2);
    let lease = if longer { config.lease_term + SESSION * 3 } else { config.lease_term };
    let settle = if switches.mutant == Some(Mutant::Switch(Switch::SettleLongEnough)) { settle / 4 } else { settle };
    Settings {
        topics: TOPICS,
        replay: Some(flow_core::TopicId(REPLAY)),
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
        on_lost: config.on_lost,
        delete_doubles: config.delete_doubles,
        on_exhausted: if config.failing.quarantine { OnExhausted::QuarantineKey } else { OnExhausted::Next },
        max_quarantined: config.failing.max_quarantined,
        storm: StormPolicy {
            run: config.failing.storm_run,
            window: 10_000,
            percent: 100,
            failing_after: ms(GIVE_UP_AFTER / 4),
            trial_after: Some(ms(1000)),
        },
        seed: scenario.seed ^ index as u64,
    }
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
            Wake::Dies => {
                self.crash(index);
                self.schedule(self.now + 700, Event::Boot(index));
            }
            Wake::Poll => self.poll(index),
            Wake::Told(member, told) => {
                worker.messages.push_back((member, told));
                self.hear_messages(index);
            }
            Wake::Hear => self.hear_messages(index),
            Wake::Control => self.hear_control(index),
            Wake::HearLoss => self.hear_loss(index),
            Wake::Epoch(member, epoch) => {
                if worker.member == Some(member) {
                    worker.epoch = worker.epoch.max(epoch);
                }
            }
            Wake::Restore(partition, step, number) => {
                if worker.is_current(partition, number) {
                    self.restore_step(index, partition, step, number);
                }
            }
            Wake::LogEnds(partition, number) => {
                if worker.is_current(partition, number) {
                    self.log_ends(index, partition, number);
                }
            }
            Wake::Ranges(partition, number) => {
                if worker.is_current(partition, number) {
                    self.ranges(index, partition, number);
                }
            }
            Wake::Look => self.look(index),
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
            Wake::Probed(endpoint) => self.probed(index, endpoint),
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
        let slot = index % self.scenario.config.workers;
        self.workers[index].core.step(now, input, &mut self.endpoints[slot].cores_mut(), &mut effects);
        self.stepped(index, &effects);
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
        let slot = index % self.scenario.config.workers;
        let worker = &mut self.workers[index];
        let Some(deadline) = worker.core.deadline(self.endpoints[slot].cores()) else { return };
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
                self.pause_kept(index, work, &call);
                let after = self.rng.pick(&[0, 0, 0, 1, 3]);
                let freeze =
                    self.workers[index].freeze_next_sender.filter(|(_, checked)| call == Call::Act && !checked);
                self.wake(index, after, Wake::Send(id, work, call, until));
                if let Some((length, _)) = freeze {
                    self.workers[index].freeze_next_sender = None;
                    self.tell(|| format!("fault   w{index} freezes before the lease check of {work}"));
                    self.freeze(index, length);
                }
            }
            Effect::Probe(endpoint) => {
                let after = self.net() * 2;
                self.wake(index, after, Wake::Probed(endpoint));
            }
            Effect::Commit(batch) => self.commit(index, batch),
            Effect::Restore(partition) => {
                let net = self.net();
                let number = self.workers[index].restores.entry(partition.get()).or_default();
                *number += 1;
                let number = *number;
                self.wake(index, net, Wake::Restore(partition.get(), RestoreStep::Offsets, number));
            }
            Effect::LogEnds(partition) => {
                let net = self.net();
                let number = self.workers[index].restores.get(&partition.get()).copied().unwrap_or_default();
                self.wake(index, net, Wake::LogEnds(partition.get(), number));
            }
            Effect::Ranges(partition) => {
                let net = self.net();
                let number = self.workers[index].restores.get(&partition.get()).copied().unwrap_or_default();
                self.wake(index, net, Wake::Ranges(partition.get(), number));
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
}

impl Worker {
    fn is_current(&self, partition: i32, number: u64) -> bool {
        self.holds_all_of(partition) && self.restores.get(&partition) == Some(&number)
    }

    fn holds_all_of(&self, partition: i32) -> bool {
        (0..TOPICS).all(|topic| self.assigned.contains(&(topic, partition)))
    }
}

/// How a call ended, for the trace.
pub(crate) fn brief(answer: &Answer<()>) -> String {
    if let Answer::Failed(failure) = answer { format!("{:?}", failure.fault) } else { format!("{answer:?}") }
}
