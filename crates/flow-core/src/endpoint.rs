//! An endpoint that the flows of a process share: its gate, its limit of calls in flight, its rate, and whose turn it is.
//!
//! It is a state machine of its own, handed to [`Flow::step`](crate::Flow::step) for the moment of the step. Each flow has a
//! [`Seat`]; a call leaves with a [`Permit`], which comes back with the call's answer. Where permits are scarce they go to the flow
//! that has the fewest in flight for its weight; a flow that wants none leaves its share to the others.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::call::Call;
use crate::fate::{Health, health};
use crate::gate::{Closed, Gate, GatePolicy, Polled};
use crate::guards::{Guard, holds};
use crate::input::{Answer, Failure};
use crate::limiter::{Limiter, Pressure, Sample};
use crate::rate::Rate;
use crate::retry::Dice;
use crate::time::Moment;

/// What an endpoint is asked to bear.
#[derive(Clone, Copy, Debug)]
pub struct EndpointPolicy {
    /// Calls in flight that are always allowed.
    pub min_in_flight: usize,
    /// Calls in flight that are never exceeded, over all flows.
    pub max_in_flight: usize,
    /// Requests per second, over all flows.
    pub max_per_second: Option<NonZeroU32>,
    /// When the gate closes.
    pub gate: GatePolicy,
}

/// A flow's place at an endpoint; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(u32);

/// One call in flight. It is given back with the answer.
#[derive(Debug)]
pub(crate) struct Permit {
    sent: Moment,
}

/// One endpoint with one set of credentials, as the flows of this process found it.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) gate: Gate,
    limiter: Limiter,
    rate: Option<Rate>,
    members: BTreeMap<Seat, Member>,
    in_flight: usize,
    /// The member whose probe is under way.
    prober: Option<Seat>,
    /// The turn of the last call that left.
    turn: u64,
    seats: u32,
    now: Moment,
}

#[derive(Debug)]
struct Member {
    weight: u64,
    in_flight: usize,
    /// Calls that would leave at once if there were permits.
    wants: usize,
    /// When the gate was due at its last step: its driver wakes it then.
    due: Option<Moment>,
    /// Grows with every call, the slower the greater the weight: among equals the one who is behind comes first.
    turn: u64,
}

/// By how much a call moves the turn of a member with weight 1; the greatest weight.
const TURN: u64 = 1_000;

/// What an endpoint looks like from outside, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Calls that may be in flight now.
    pub limit: usize,
    /// Calls in flight.
    pub in_flight: usize,
    /// What a round of calls takes at its quickest; `None` as long as nobody knows.
    pub floor: Option<Duration>,
    /// Why no call leaves.
    pub closed: Option<Closed>,
}

impl Endpoint {
    /// An endpoint that nobody uses yet.
    pub fn new(policy: EndpointPolicy) -> Endpoint {
        Endpoint {
            gate: Gate::new(policy.gate),
            limiter: Limiter::new(policy.min_in_flight, policy.max_in_flight),
            rate: policy.max_per_second.map(Rate::new),
            members: BTreeMap::new(),
            in_flight: 0,
            prober: None,
            turn: 0,
            seats: 0,
            now: Moment::ORIGIN,
        }
    }

    /// Takes a flow in. `weight` is its share where permits are scarce, from 1 to 1,000.
    pub fn join(&mut self, weight: u32) -> Seat {
        let seat = Seat(self.seats);
        self.seats += 1;
        let weight = u64::from(weight).clamp(1, TURN);
        self.members.insert(seat, Member { weight, in_flight: 0, wants: 0, due: None, turn: self.turn });
        seat
    }

    /// Lets a flow go, with the permits that it has not given back. Whoever is left is to be woken: see [`Endpoint::wakes`].
    pub fn leave(&mut self, seat: Seat) {
        self.rest(seat);
        let Some(member) = self.members.remove(&seat) else { return };
        if holds(Guard::PermitsComeBack) {
            self.in_flight -= member.in_flight;
        }
    }

    /// The flow makes no call any more and hears no answer of a probe: others need not wait for it. What it has in flight counts
    /// until it leaves.
    pub fn rest(&mut self, seat: Seat) {
        if let Some(member) = self.members.get_mut(&seat) {
            member.wants = 0;
        }
        if self.prober == Some(seat) {
            self.prober = None;
            self.gate.probe_abandoned();
        }
    }

    /// The others who wait and may call now, or do not know yet when the gate is due: their drivers give them a `Tick`.
    pub fn wakes(&self, but: Seat) -> impl Iterator<Item = Seat> {
        let due = self.gate.deadline();
        let waiting = self.members.iter().filter(move |(seat, member)| **seat != but && member.wants > 0);
        waiting.filter(move |(seat, member)| member.due != due || self.may_call(**seat)).map(|(seat, _)| *seat)
    }

    /// What it looks like now.
    pub fn view(&self) -> EndpointView {
        EndpointView {
            limit: self.limiter.limit(),
            in_flight: self.in_flight,
            floor: self.limiter.floor(),
            closed: self.gate.closed(),
        }
    }

    /// Whether calls may leave.
    pub fn gate_is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// Whether calls of the flow wait for a permit.
    pub fn waits(&self, seat: Seat) -> bool {
        self.members.get(&seat).is_some_and(|member| member.wants > 0)
    }

    /// The time of the step that begins.
    pub(crate) fn advance(&mut self, now: Moment) {
        self.now = self.now.max(now);
        self.gate.advance(self.now);
    }

    /// Whether a probe is due, and this flow is to make it; or the gate opened by itself.
    pub(crate) fn poll(&mut self, seat: Seat) -> Polled {
        let polled = self.gate.poll(self.now);
        if polled == Polled::ProbeDue {
            self.prober = Some(seat);
        }
        polled
    }

    /// The answer of the probe. After an outage the calls do not all come back at once.
    pub(crate) fn probed(&mut self, result: &Result<(), Failure>, dice: &mut Dice) -> Probed {
        self.prober = None;
        match result {
            Ok(()) => {
                let was_down = self.gate.closed() == Some(Closed::Failing);
                let opened = self.gate.probe_succeeded(self.now);
                if was_down && opened.is_some() {
                    self.limiter.restart(self.now);
                }
                opened.map_or(Probed::Nothing, Probed::Opened)
            }
            Err(failure) => {
                self.gate.probe_failed(self.now, failure.retry_after, dice).map_or(Probed::Nothing, Probed::Failed)
            }
        }
    }

    /// Whether the flow may make a call now.
    pub(crate) fn may_call(&self, seat: Seat) -> bool {
        if !self.gate.is_open() && holds(Guard::ClosedGate) {
            return false;
        }
        let limit = if holds(Guard::SharedLimit) { self.limiter.limit() } else { usize::MAX };
        let free = limit.saturating_sub(self.in_flight);
        let free = self.rate.map_or(free, |rate| free.min(rate.available(self.now)));
        free > 0 && free > self.reserved(seat)
    }

    /// What is free, but for others who have less in flight for their weight.
    fn reserved(&self, seat: Seat) -> usize {
        let Some(own) = self.members.get(&seat).filter(|_| holds(Guard::FairShare)) else { return 0 };
        let others = self.members.iter().filter(|(other, member)| **other != seat && member.wants > 0);
        others.map(|(other, member)| member.wants.min(member.before(*other, own, seat))).sum()
    }

    /// The flow makes a call.
    pub(crate) fn call(&mut self, seat: Seat, call: &Call) -> Permit {
        if let Some(rate) = &mut self.rate {
            rate.take(self.now, call.requests());
        }
        self.in_flight += 1;
        self.limiter.left(self.in_flight);
        if let Some(member) = self.members.get_mut(&seat) {
            member.catch_up(self.turn);
            self.turn = self.turn.max(member.turn);
            member.turn += TURN / member.weight;
            member.in_flight += 1;
        }
        Permit { sent: self.now }
    }

    /// So many calls of the flow wait for a permit.
    pub(crate) fn wants(&mut self, seat: Seat, wants: usize) {
        if let Some(member) = self.members.get_mut(&seat) {
            if wants > 0 {
                member.catch_up(self.turn);
            }
            (member.wants, member.due) = (wants, self.gate.deadline());
        }
        if wants > 0 && self.in_flight >= self.limiter.limit() {
            self.limiter.is_short();
        }
    }

    /// The call was answered. The answer is why the limit was cut just now, and to what.
    pub(crate) fn answered<O>(&mut self, seat: Seat, permit: Permit, answer: &Answer<O>) -> Option<(Pressure, usize)> {
        if let Some(member) = self.members.get_mut(&seat) {
            member.in_flight -= 1;
            self.in_flight -= 1;
        }
        let sample = match answer {
            Answer::Failed(failure) => match health(failure.fault) {
                Health::Failing => Sample::Failed,
                Health::RateLimited => Sample::RateLimited,
                Health::RefusesUs | Health::Well => Sample::Other,
            },
            Answer::Done(_)
            | Answer::Incomplete(_)
            | Answer::NotYet(_)
            | Answer::Absent
            | Answer::Copies(_)
            | Answer::Located(_)
            | Answer::NotWaiting
            | Answer::NoInstance(_)
            | Answer::Several(_)
            | Answer::NotHeld
            | Answer::Open(_) => Sample::Served,
        };
        let pressure = self.limiter.answered(self.now, permit.sent, sample)?;
        Some((pressure, self.limiter.limit()))
    }

    /// When the flow is to be stepped again for the sake of the gate or the rate.
    pub(crate) fn deadline(&self, seat: Seat) -> Option<Moment> {
        if !self.gate.is_open() {
            return self.gate.deadline();
        }
        let rate = self.rate.filter(|_| self.members.get(&seat).is_some_and(|member| member.wants > 0))?;
        // What is kept for others counts as taken: they are awake already, or their own deadline wakes them.
        Some(rate.next(self.now, self.reserved(seat))).filter(|next| *next > self.now)
    }
}

impl Member {
    /// Nobody saves up turns: who was away comes in where the others are, and who used few while there were plenty is at most one
    /// round behind.
    fn catch_up(&mut self, turn: u64) {
        let idle = self.in_flight == 0 && self.wants == 0;
        self.turn = self.turn.max(if idle { turn } else { turn.saturating_sub(TURN) });
    }

    /// How many permits this member may take before `other` takes its next one.
    fn before(&self, seat: Seat, other: &Member, other_seat: Seat) -> usize {
        // With n in flight it comes before `other` as long as n / weight < other.in_flight / other.weight.
        let (of_other, other_weight) = (other.in_flight as u64 * self.weight, other.weight);
        let level = of_other.div_ceil(other_weight);
        let first_at_par = (self.turn, seat) < (other.turn, other_seat);
        let par = u64::from(of_other.is_multiple_of(other_weight) && first_at_par);
        (level + par).saturating_sub(self.in_flight as u64) as usize
    }
}

/// What the answer of a probe changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Probed {
    Nothing,
    /// Open again, after so long.
    Opened(Duration),
    /// Still closed, and probed again after so long.
    Failed(Duration),
}

#[cfg(test)]
#[path = "endpoint/tests.rs"]
mod tests;
