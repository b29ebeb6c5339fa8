//! The engine and the system as endpoints: the workers of one slot are flows of one process and share them.

use std::num::NonZeroU32;
use std::time::Duration;

use flow_core::{Effect, Endpoint, EndpointId, EndpointPolicy, GatePolicy, RetryPolicy, Seat};

use super::Wake;
use crate::checks::Promise;
use crate::scenario::Config;
use crate::world::{Event, Work, World};

/// Steps with which others may take the last permits while a flow waits and has none in flight: by their weight.
const PASSED_OVER: u32 = 6;

/// The engine, and the system that jobs ask.
pub(crate) const ENDPOINTS: usize = 2;

pub(crate) struct Shared {
    cores: [Endpoint; ENDPOINTS],
    /// Since when its gate is closed, and for how long it was closed before.
    closed: (Option<u64>, u64),
}

impl Shared {
    pub(crate) fn new(config: &Config) -> Shared {
        let ms = Duration::from_millis;
        let gate = GatePolicy { trip_after: 3, probe: RetryPolicy { initial: ms(50), max: ms(400) } };
        let policy = EndpointPolicy {
            min_in_flight: 1,
            max_in_flight: config.max_in_flight,
            max_per_second: NonZeroU32::new(config.max_per_second),
            gate,
        };
        Shared { cores: [Endpoint::new(policy), Endpoint::new(policy)], closed: (None, 0) }
    }

    pub(crate) fn cores(&self) -> &[Endpoint] {
        &self.cores
    }

    pub(crate) fn cores_mut(&mut self) -> [&mut Endpoint; ENDPOINTS] {
        self.cores.each_mut()
    }

    fn engine(&self) -> &Endpoint {
        &self.cores[usize::from(EndpointId::ENGINE.0)]
    }

    /// The flows have different weights.
    pub(crate) fn join(&mut self, flow: usize) -> [Seat; ENDPOINTS] {
        self.cores.each_mut().map(|core| core.join(flow as u32 + 1))
    }
}

impl World<'_> {
    fn slot(&self, worker: usize) -> usize {
        worker % self.scenario.config.workers
    }

    /// The workers that share the endpoint and run, but this one.
    fn mates(&self, worker: usize) -> impl Iterator<Item = usize> {
        let (slot, slots) = (self.slot(worker), self.scenario.config.workers);
        let all = (slot..self.workers.len()).step_by(slots);
        all.filter(move |mate| *mate != worker && self.workers[*mate].up)
    }

    fn endpoint(&self, worker: usize, endpoint: usize) -> &Endpoint {
        &self.endpoints[self.slot(worker)].cores[endpoint]
    }

    /// The places of a worker that starts. What a process knew of the endpoints ends with its last flow.
    pub(super) fn join_endpoints(&mut self, worker: usize) -> [Seat; ENDPOINTS] {
        let (slot, flow) = (self.slot(worker), self.workers[worker].flow);
        if self.mates(worker).next().is_none() {
            self.endpoints[slot] = Shared::new(&self.scenario.config);
        }
        self.endpoints[slot].join(flow)
    }

    pub(super) fn leave_endpoints(&mut self, worker: usize) {
        let (slot, seats) = (self.slot(worker), self.workers[worker].seats);
        for (core, seat) in self.endpoints[slot].cores.iter_mut().zip(seats) {
            core.leave(seat);
        }
        self.wake_mates(worker);
    }

    /// A step is over: whoever waits and may go now is woken, and the endpoints' rules were kept.
    pub(super) fn stepped(&mut self, worker: usize, effects: &[Effect<Work, ()>]) {
        self.watch_gate(worker);
        for endpoint in 0..ENDPOINTS {
            let is = |id: EndpointId| usize::from(id.0) == endpoint;
            let probes = effects.iter().filter(|effect| matches!(effect, Effect::Probe(id) if is(*id)));
            self.workers[worker].probes[endpoint] += probes.count();
            let calls = |effect: &&Effect<Work, ()>| matches!(effect, Effect::Call { call, .. } if is(call.endpoint()));
            let calls = effects.iter().filter(calls).count() as u32;
            self.bears(worker, endpoint, calls);
            self.passes_nobody_over(worker, endpoint, calls);
        }
        self.wake_mates(worker);
    }

    fn wake_mates(&mut self, worker: usize) {
        let (slot, now) = (self.slot(worker), self.now);
        let cores = self.endpoints[slot].cores.iter().zip(self.workers[worker].seats);
        let woken: Vec<Vec<Seat>> = cores.map(|(core, seat)| core.wakes(seat).collect()).collect();
        for mate in self.mates(worker).collect::<Vec<_>>() {
            let process = &mut self.workers[mate];
            let rings = woken.iter().zip(process.seats).any(|(woken, seat)| woken.contains(&seat));
            if rings && process.tick_at.is_none_or(|at| at > now) {
                process.tick_at = Some(now);
                let life = process.life;
                self.schedule(now, Event::Worker(mate, life, Wake::Tick));
            }
        }
    }

    /// BOUNDED, NO_BLAME: a closed gate lets no call through and is probed once at a time; the limit holds for all flows together.
    fn bears(&mut self, worker: usize, endpoint: usize, calls: u32) {
        let in_flight = |mate: usize| self.workers[mate].core.in_flight_to(EndpointId(endpoint as u8));
        let in_flight = in_flight(worker) + self.mates(worker).map(in_flight).sum::<usize>();
        let probes = |mate: usize| self.workers[mate].probes[endpoint];
        let probes = probes(worker) + self.mates(worker).map(probes).sum::<usize>();
        let view = self.endpoint(worker, endpoint).view();
        self.checks.compared(Promise::Bounded);
        if calls > 0 && view.closed.is_some() {
            self.violated(Promise::NoBlame, format!("w{worker} calls while the gate is closed: {:?}", view.closed));
        }
        if probes > 1 {
            self.violated(Promise::Bounded, format!("w{worker}: {probes} probes are under way"));
        }
        if view.in_flight != in_flight || calls > 0 && in_flight > view.limit {
            let text = format!("w{worker}: {in_flight} calls in flight, the endpoint knows of {view:?}");
            self.violated(Promise::Bounded, text);
        }
    }

    /// BOUNDED: a flow that wants much stops no other.
    fn passes_nobody_over(&mut self, worker: usize, endpoint: usize, calls: u32) {
        self.workers[worker].passed_over[endpoint] = 0;
        for mate in self.mates(worker).collect::<Vec<_>>() {
            let (seat, now) = (self.workers[mate].seats[endpoint], self.now);
            let core = self.endpoint(mate, endpoint);
            let view = core.view();
            let waits = core.waits(seat) && view.in_flight >= view.limit;
            let process = &mut self.workers[mate];
            let in_flight = process.core.in_flight_to(EndpointId(endpoint as u8));
            let starves = waits && in_flight == 0 && process.frozen_until <= now;
            let passed_over = &mut process.passed_over[endpoint];
            *passed_over = if starves { *passed_over + calls.min(1) } else { 0 };
            if *passed_over > PASSED_OVER {
                let text = format!("w{mate} waits for its first call while w{worker} takes every permit");
                return self.violated(Promise::Bounded, text);
            }
        }
    }

    /// Observes the gate in front of the engine: a closed one stops the clock of retries and holds.
    fn watch_gate(&mut self, worker: usize) {
        let (slot, now) = (self.slot(worker), self.now);
        let shared = &mut self.endpoints[slot];
        match (shared.engine().gate_is_open(), shared.closed) {
            (false, (None, before)) => shared.closed = (Some(now), before),
            (true, (Some(since), before)) => shared.closed = (None, before + now - since),
            (true, (None, _)) | (false, (Some(_), _)) => {}
        }
        let open = shared.engine().gate_is_open();
        for mate in self.mates(worker).chain([worker]).collect::<Vec<_>>() {
            self.watch_storm(mate, open);
        }
    }

    /// For how long calls of the process had to wait: the gate was closed, or its storm guard tripped.
    pub(crate) fn held_back_for(&self, worker: usize) -> u64 {
        let (since, before) = self.endpoints[self.slot(worker)].closed;
        before + since.map_or(0, |since| self.now - since) + self.stood_for(worker)
    }
}
