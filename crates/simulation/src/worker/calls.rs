//! The performer: checks the lease, sends one request, waits for its answer no longer than the deadline.

use flow_core::{Answer, Call, Failure, Fault, Input, Moment, RecordId};

use crate::checks::Promise;
use crate::mutants::Switch;
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
        let freeze = process.freeze_next_sender.filter(|_| call == Call::Act);
        let answer = None;
        self.requests.push(Request {
            worker,
            life,
            id,
            work,
            call,
            sent: 0,
            settle,
            late: false,
            answered: false,
            answer,
        });
        let index = self.requests.len() - 1;
        let Some(length) = freeze else { return self.leave_now(index, until) };
        self.workers[worker].freeze_next_sender = None;
        self.tell(|| format!("fault   w{worker} freezes between the lease check and the sending of {work}"));
        self.requests[index].late = until.is_some_and(|until| until <= Moment::after_origin(std::time::Duration::from_millis(self.now + length)));
        self.wake(worker, 0, Wake::Leaves(index));
        self.freeze(worker, length);
    }

    fn leave_now(&mut self, index: usize, until: Option<Moment>) {
        // Only without the guard: then it is no residue but a fault of ours.
        debug_assert!(until.is_none_or(|until| until > self.moment()) || !self.switches.holds(Switch::UntilHonoured));
        self.leaves(index);
    }

    pub(super) fn leaves(&mut self, index: usize) {
        let now = self.now;
        let request = &mut self.requests[index];
        request.sent = now;
        let (worker, id, work, late) = (request.worker, request.id, request.work, request.late);
        let (name, effect) = (request.call.name(), request.call.has_effect());
        if late {
            self.checks.late_sends += 1;
        }
        self.checks.calls += 1;
        self.tell(|| format!("w{worker}      {work} sends {name}{}", if late { " late" } else { "" }));
        self.first_call(worker, work);
        let acts = effect && matches!(self.requests[index].call, Call::Act | Call::ActOn(_));
        if let (true, Item::Source(item)) = (acts, work.item) {
            let key = self.scenario.records[item].key;
            let out = &mut self.workers[worker].effects_out;
            let busy = out.iter().any(|(_, partition, other)| (*partition, *other) == (work.partition, key));
            out.push((id, work.partition, key));
            self.checks.compared(Promise::KeyOrder);
            if busy && !late {
                self.violated(Promise::KeyOrder, format!("w{worker}: two effects of key {key} under way, the second for {work}"));
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

    pub(super) fn probed(&mut self, worker: usize) {
        let result = match self.engine.outage {
            None => Ok(()),
            Some(_) => Err(Failure { fault: Fault::Unavailable, detail: "still down".into(), retry_after: None }),
        };
        self.step(worker, Input::Probed(result));
    }
}
