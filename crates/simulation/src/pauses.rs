//! Operators hold back a flow, or one key of it, and let it go on; what an outside observer knows of it.

use std::collections::BTreeMap;

use flow_core::{Call, Input, KeyHash, Paused};

use crate::checks::Promise;
use crate::rng::Rng;
use crate::scenario::{Config, Fault, FaultKind};
use crate::worker::Wake;
use crate::world::{Event, Item, Work, World};

/// What the control topic says of one flow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// How many pauses of the whole flow are not over.
    flow: u32,
    /// The same by key.
    keys: BTreeMap<u8, u32>,
}

/// What a process has heard of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    flow: bool,
    /// By key: since when it is held back, and for how long it was before, in time in which its process could have called.
    keys: BTreeMap<u8, (Option<u64>, u64)>,
}

impl Heard {
    pub(crate) fn holds_flow(&self) -> bool {
        self.flow
    }
}

pub(crate) fn faults(rng: &mut Rng, config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !rng.chance(15) {
        return faults;
    }
    for _ in 0..rng.between(1, 3) {
        let (flow, key) = (rng.below(config.flows as u64) as usize, rng.below(4) as u8);
        let key = rng.chance(60).then_some(key);
        let length = rng.pick(&[100, 2_000, 12_000]) + rng.below(500);
        faults.push(Fault { at: rng.below(6_000), kind: FaultKind::Pause { flow, key, length } });
    }
    faults
}

impl World<'_> {
    pub(crate) fn pause(&mut self, flow: usize, key: Option<u8>, length: u64) {
        self.said(flow, key, true);
        self.schedule(self.now + length, Event::PauseOver { flow, key });
    }

    pub(crate) fn pause_over(&mut self, flow: usize, key: Option<u8>) {
        self.said(flow, key, false);
    }

    fn said(&mut self, flow: usize, key: Option<u8>, holds: bool) {
        let said = &mut self.said[flow];
        let count = match key {
            Some(key) => said.keys.entry(key).or_default(),
            None => &mut said.flow,
        };
        *count = if holds { *count + 1 } else { count.saturating_sub(1) };
        said.keys.retain(|_, count| *count > 0);
        for worker in self.members(flow) {
            let after = self.rng.pick(&[1, 1, 20, 200]);
            self.wake(worker, after, Wake::Control);
        }
    }

    /// The process reads the control topic to its end.
    pub(crate) fn hear_control(&mut self, worker: usize) {
        let process = &self.workers[worker];
        let said = self.said[process.flow].clone();
        let (now, paused) = (self.now, said.flow > 0);
        let could_call = now - self.held_back_for(worker);
        let heard = &mut self.workers[worker].heard;
        heard.flow = paused;
        for key in said.keys.keys() {
            heard.keys.entry(*key).or_default().0.get_or_insert(could_call);
        }
        for (key, (since, before)) in &mut heard.keys {
            if let Some(began) = since.filter(|_| !said.keys.contains_key(key)) {
                (*since, *before) = (None, *before + could_call - began);
            }
        }
        let keys = said.keys.keys().map(|key| KeyHash::of(&[*key])).collect();
        self.tell(|| format!("w{worker}      hears what is paused: {said:?}"));
        self.step(worker, Input::Control(Paused { flow: paused, keys }));
    }

    /// For how long the process held the key back while it could have called.
    pub(crate) fn paused_for(&self, worker: usize, key: u8) -> u64 {
        let Some((since, before)) = self.workers[worker].heard.keys.get(&key) else { return 0 };
        before + since.map_or(0, |since| self.now - self.held_back_for(worker) - since)
    }

    pub(crate) fn key_of(&self, item: Item) -> u8 {
        if let Item::Source(index) = item { self.scenario.records[index].key } else { u8::MAX }
    }

    /// BOUNDED: what an operator holds back sends nothing but what ends a job, or settles a double.
    pub(crate) fn pause_kept(&mut self, worker: usize, work: Work, call: &Call) {
        if matches!(call, Call::CompleteJob | Call::FailJob | Call::Count(_) | Call::Delete(_)) {
            return;
        }
        let heard = &self.workers[worker].heard;
        let of_key = heard.keys.get(&self.key_of(work.item)).is_some_and(|(since, _)| since.is_some());
        let held = heard.flow || of_key;
        self.checks.compared(Promise::Bounded);
        if held {
            self.violated(Promise::Bounded, format!("w{worker} calls for {work}, which is paused"));
        }
    }
}
