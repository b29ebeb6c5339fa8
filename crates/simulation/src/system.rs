//! A model of a business system that knows a repeated request by its key, and may be down while the engine is well.

use flow_core::{Answer, EndpointId, Fault as CallFailure};

use crate::engine::{Stage, failure};
use crate::rng::Rng;
use crate::worker::Wake;
use crate::world::{Event, Item, Work, World};

/// Its place among a flow's endpoints.
pub(crate) const SYSTEM: EndpointId = EndpointId(1);

pub(crate) struct System {
    /// By job: the variables of the request that took effect.
    pub done: Vec<Option<u32>>,
    /// The answers to the calls that its outages and losses spared.
    pub asked: u64,
}

impl System {
    pub(crate) fn new(jobs: usize) -> System {
        System { done: vec![None; jobs], asked: 0 }
    }
}

/// When it is down: nothing connects.
pub(crate) fn outages(rng: &mut Rng) -> Vec<(u64, u64)> {
    let outage = |rng: &mut Rng| {
        let from = rng.below(6000);
        (from, from + rng.between(100, 3000))
    };
    (0..rng.below(3)).map(|_| outage(rng)).collect()
}

impl World<'_> {
    pub(crate) fn system_is_down(&self) -> bool {
        self.scenario.system_outages.iter().any(|(from, until)| (*from..*until).contains(&self.now))
    }

    /// A request to the system left its sender.
    pub(crate) fn sent_to_system(&mut self, index: usize) {
        let worker = self.requests[index].worker;
        self.wake(worker, crate::scenario::DEADLINE, Wake::TimedOut(index));
        if self.system_is_down() {
            return self.answer(index, 0, failure(CallFailure::Unsent, None));
        }
        let (quick, late) = (self.net() + self.rng.between(1, 20), self.rng.between(50, 2000));
        let (after, answers, instead) = match self.rng.below(20) {
            0 => (quick, false, None),
            1 => (late, false, None),
            2 => (quick, true, Some(CallFailure::ServerError)),
            3 => return self.answer(index, quick, failure(CallFailure::Unavailable, Some(100))),
            _ => (quick, true, None),
        };
        self.schedule(self.now + after, Event::Engine(index, Stage::Effect { answers, instead }));
    }

    /// The request takes effect, unless it did before. Another request under a key that is known is refused.
    pub(crate) fn ask_system(&mut self, work: Work) -> Answer<()> {
        let Item::Job { job, variables } = work.item else { return failure(CallFailure::Refused, None) };
        self.system.asked += 1;
        let planned = &self.scenario.jobs[job];
        if planned.refused {
            return failure(CallFailure::Refused, None);
        }
        let first = *self.system.done[job].get_or_insert(variables);
        let known = first == variables;
        self.tell(|| format!("system  job {job} with variables {variables}: done with {first}"));
        if known {
            return Answer::Done(());
        }
        failure(if planned.conflicts { CallFailure::Conflict } else { CallFailure::Refused }, None)
    }
}
