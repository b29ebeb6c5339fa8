//! The performer: checks the lease, sends one request, waits for its answer no longer than the deadline.

use flow_core::{Answer, Call, EndpointId, Failure, Fault, Input, Moment, RecordId};

use crate::checks::Promise;
use crate::mutants::Switch;
use crate::system::SYSTEM;
use crate::worker::{Wake, brief};
use crate::world::{Item, Request, Work, World};

impl World<'_> {
    pub(super) fn send(&mut self, worker: usize, id: RecordId, work: Work, call: Call, until: Option<Moment>) {
        let over = until.is_some_and(|until| until <= self.moment());
        if over && self.switches.holds(Switch::UntilHonoured) {
            self.tell(|| format!("w{worker}      {work} does not send {}: the lease is over", call.name()));
            return self.step(worker, Input::Finished(id, crate::engine::failure(Fault::Unsent, None)));
        }
        let process = &mut self.workers[worker];
        let (life, settle) = (process.life, process.settle);
        let settle = if self.switches.holds(Switch::SettleLongEnough) { settle } else { settle * 4 };
        let freeze = process.freeze_next_sender.filter(|(_, checked)| call == Call::Act && *checked);
        let answer = None;
        self.requests.push(Request {
            worker,
            life,
            id,
            work,
            call,
            sent: 0,
            settle,
            until: None,
            late: false,
            answered: false,
            answer,
        });
        let index = self.requests.len() - 1;
        let Some((length, _)) = freeze else { return self.leave_now(index, until) };
        self.workers[worker].freeze_next_sender = None;
        self.tell(|| format!("fault   w{worker} freezes between the lease check and the sending of {work}"));
        self.requests[index].until = until;
        self.wake(worker, 0, Wake::Leaves(index));
        self.freeze(worker, length);
    }

    fn leave_now(&mut self, index: usize, until: Option<Moment>) {
        // Only without the guard: then it is no residue but a fault of ours.
        debug_assert!(until.is_none_or(|until| until > self.moment()) || !self.switches.holds(Switch::UntilHonoured));
        self.leaves(index);
    }

    pub(super) fn leaves(&mut self, index: usize) {
        let (now, moment) = (self.now, self.moment());
        let request = &mut self.requests[index];
        request.sent = now;
        request.late = request.until.is_some_and(|until| until <= moment);
        let (worker, id, work, late) = (request.worker, request.id, request.work, request.late);
        let (name, effect) = (request.call.name(), request.call.has_effect());
        if late {
            self.checks.late_sends += 1;
            if std::mem::take(&mut self.workers[worker].dies_after_late_send) {
                let after = self.rng.between(1, 2000);
                self.wake(worker, after, Wake::Dies);
            }
        }
        self.checks.calls += 1;
        self.tell(|| format!("w{worker}      {work} sends {name}{}", if late { " late" } else { "" }));
        self.first_call(worker, work);
        let acts = effect && matches!(self.requests[index].call, Call::Act | Call::ActOn(_));
        if let (true, Item::Source(item)) = (acts, work.item) {
            let key = self.scenario.records[item].key;
            let process = &mut self.workers[worker];
            let number = process.restores.get(&work.partition).copied().unwrap_or_default();
            let lane = (work.partition, key, number);
            let busy = process.effects_out.iter().any(|(_, p, k, n)| (*p, *k, *n) == lane);
            process.effects_out.push((id, work.partition, key, number));
            self.checks.compared(Promise::KeyOrder);
            if busy && !late {
                self.violated(
                    Promise::KeyOrder,
                    format!("w{worker}: two effects of key {key} under way, the second for {work}"),
                );
            }
        }
        self.sent(index);
    }

    pub(super) fn answered(&mut self, worker: usize, index: usize, answer: Answer<()>) {
        let request = &mut self.requests[index];
        if std::mem::replace(&mut request.answered, true) {
            return;
        }
        let (id, work, name) = (request.id, request.work, request.call.name());
        self.tell(|| format!("w{worker}      {work} {name} ended: {}", brief(&answer)));
        self.workers[worker].effects_out.retain(|(other, ..)| *other != id);
        self.step(worker, Input::Finished(id, answer));
    }

    pub(super) fn probed(&mut self, worker: usize, endpoint: EndpointId) {
        let down = if endpoint == SYSTEM { self.system_is_down() } else { self.engine.outage.is_some() };
        let result = match down {
            false => Ok(()),
            true => Err(Failure { fault: Fault::Unavailable, detail: "still down".into(), retry_after: None }),
        };
        let probes = &mut self.workers[worker].probes[usize::from(endpoint.0)];
        *probes = probes.saturating_sub(1);
        self.step(worker, Input::Probed(endpoint, result));
    }
}
