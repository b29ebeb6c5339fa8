//! A model of an engine without idempotency keys: a request takes effect up to `settle` after its sending, or never; answers get lost;
//! instances end at any time and appear in history with a lag; nothing is unique.

use std::time::Duration;

use flow_core::{Answer, Call, Copy, Failure, Fault as CallFailure, Scope};

use crate::checks::Promise;
use crate::kafka::REPLAY;
use crate::mutants::Switch;
use crate::scenario::{CallFault, DEADLINE, Outage, What};
use crate::system::SYSTEM;
use crate::worker::Wake;
use crate::world::{Event, Item, Work, World};

#[derive(Debug)]
pub(crate) struct Instance {
    pub flow: usize,
    pub business: u8,
    /// Its `xcEventId`; a child inherits it.
    pub event: u32,
    pub root: bool,
    /// Of the record that started it.
    pub partition: i32,
    pub offset: i64,
    pub replayed: bool,
    pub started: u64,
    pub ended: Option<u64>,
    /// When history shows its end.
    pub visible: u64,
    pub ended_by: Option<u32>,
    pub seen: Vec<u32>,
    /// From when on it waits for a message.
    pub waits_from: u64,
    pub child: Option<usize>,
    /// Started by a request that left after its lease was over.
    pub late: bool,
    /// The worker that asked for it, and in which life.
    pub sender: (usize, u32),
}

pub(crate) struct Engine {
    pub instances: Vec<Instance>,
    pub outage: Option<(Outage, u64)>,
    pub armed: Vec<CallFault>,
}

impl Engine {
    pub(crate) fn new() -> Engine {
        Engine { instances: Vec::new(), outage: None, armed: Vec::new() }
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// It takes effect; the answer goes back where `answers`, with the failure where there is one.
    Effect { answers: bool, instead: Option<CallFailure> },
    /// The second read of a look everywhere.
    History,
}

pub(crate) fn failure(fault: CallFailure, retry_after: Option<u64>) -> Answer<()> {
    let retry_after = retry_after.map(Duration::from_millis);
    Answer::Failed(Failure { fault, detail: format!("{fault:?}"), retry_after })
}

impl World<'_> {
    /// A request left its sender.
    pub(crate) fn sent(&mut self, index: usize) {
        let request = &self.requests[index];
        if request.call.endpoint() == SYSTEM {
            return self.sent_to_system(index);
        }
        let (worker, settle, effect) = (request.worker, request.settle, request.call.has_effect());
        self.wake(worker, DEADLINE, Wake::TimedOut(index));
        if let Some((outage, until)) = self.engine.outage {
            return self.meets_outage(index, outage, until);
        }
        let slow = self.rng.chance(self.scenario.config.slow);
        let quick = self.net() + self.rng.between(1, 20);
        let late = self.rng.between(quick, settle.saturating_sub(1));
        let takes = if slow { late } else { quick };
        let late = self.rng.between(quick.max(settle * 2 / 3), settle.saturating_sub(1));
        // What is about an effect waits for a call that has one.
        let meets =
            |fault: &CallFault| effect || !matches!(fault, CallFault::LateEffect | CallFault::UnavailableLateEffect);
        let Some(at) = self.engine.armed.iter().rposition(meets) else {
            return self.effect_at(index, takes, true, None);
        };
        let fault = self.engine.armed.remove(at);
        *self.checks.faults.entry(call_fault_name(fault)).or_default() += 1;
        self.tell(|| format!("engine  the next call meets {fault:?}"));
        match fault {
            CallFault::LostAnswer => self.effect_at(index, quick, false, None),
            CallFault::LateEffect => self.effect_at(index, late, false, None),
            CallFault::NeverArrives => {}
            CallFault::UnavailableAfterEffect => self.effect_at(index, quick, true, Some(CallFailure::Unavailable)),
            CallFault::UnavailableLateEffect => {
                self.answer(index, quick, failure(CallFailure::Unavailable, None));
                if effect {
                    self.effect_at(index, late, false, None);
                }
            }
            CallFault::Unavailable => self.answer(index, quick, failure(CallFailure::Unavailable, Some(100))),
            CallFault::Unsent => self.answer(index, 0, failure(CallFailure::Unsent, None)),
            CallFault::EngineError => self.answer(index, quick, failure(CallFailure::EngineError, None)),
            CallFault::ServerErrorAfterEffect => self.effect_at(index, quick, true, Some(CallFailure::ServerError)),
            CallFault::RateLimited => self.answer(index, quick, failure(CallFailure::RateLimited, Some(200))),
        }
    }

    fn meets_outage(&mut self, index: usize, outage: Outage, until: u64) {
        let quick = self.net() + 1;
        match outage {
            Outage::ConnectFailure => self.answer(index, 0, failure(CallFailure::Unsent, None)),
            Outage::Unavailable => self.answer(index, quick, failure(CallFailure::Unavailable, None)),
            Outage::Forbidden => self.answer(index, quick, failure(CallFailure::Forbidden, None)),
            Outage::RateLimited => {
                let wait = (until - self.now).min(400);
                self.answer(index, quick, failure(CallFailure::RateLimited, Some(wait)));
            }
            Outage::Silent => {
                if self.requests[index].call.has_effect() && self.rng.chance(30) {
                    let takes = self.rng.between(quick, self.requests[index].settle - 1);
                    self.effect_at(index, takes, false, None);
                }
            }
        }
    }

    fn effect_at(&mut self, index: usize, after: u64, answers: bool, instead: Option<CallFailure>) {
        self.schedule(self.now + after, Event::Engine(index, Stage::Effect { answers, instead }));
    }

    pub(crate) fn answer(&mut self, index: usize, after: u64, answer: Answer<()>) {
        let (worker, life) = (self.requests[index].worker, self.requests[index].life);
        self.requests[index].answer = Some(answer);
        self.schedule(self.now + after, Event::Worker(worker, life, Wake::Answered(index)));
    }

    pub(crate) fn engine_stage(&mut self, index: usize, stage: Stage) {
        let Stage::Effect { answers, instead } = stage else { return self.second_read(index) };
        let request = &self.requests[index];
        let (call, work) = (request.call.clone(), request.work);
        if let Call::Look(Scope::Everywhere) = call {
            if let Some(fault) = instead {
                return self.answer(index, 1, failure(fault, None));
            }
            if !answers {
                return;
            }
            return if self.found(work, Scope::Running) {
                self.answer(index, 2, Answer::Done(()))
            } else {
                let later = self.now + self.rng.between(1, 8);
                self.schedule(later, Event::Engine(index, Stage::History))
            };
        }
        let answer = self.perform_call(index, &call, work);
        let answer = instead.map_or(answer, |fault| failure(fault, None));
        if answers {
            let net = self.net();
            self.answer(index, net, answer);
        }
    }

    fn second_read(&mut self, index: usize) {
        let found = self.found(self.requests[index].work, Scope::History);
        self.answer(index, 2, if found { Answer::Done(()) } else { Answer::Absent });
    }

    fn perform_call(&mut self, index: usize, call: &Call, work: Work) -> Answer<()> {
        match call {
            Call::Act => self.start_instance(index, work),
            Call::Locate { spare_later } => self.locate(work, *spare_later),
            Call::ActOn(target) => self.act_on(index, work, target),
            Call::Look(scope) => {
                if self.found(work, *scope) {
                    Answer::Done(())
                } else {
                    Answer::Absent
                }
            }
            Call::Gather => self.gather(work),
            Call::Request(_) => self.ask_system(work),
            Call::GiveResult => self.give_result(work),
            Call::IsOpen => self.is_open(work),
            Call::CompleteJob => self.complete_job(work),
            Call::FailJob => self.fail_job(work),
            Call::Count(scope) => Answer::Copies(self.copies(work, *scope)),
            Call::Delete(id) => self.delete(id),
        }
    }

    fn start_instance(&mut self, index: usize, work: Work) -> Answer<()> {
        let Item::Source(item) = work.item else { return failure(CallFailure::Refused, None) };
        let planned = &self.scenario.records[item];
        if planned.refused {
            return failure(CallFailure::Refused, None);
        }
        let failing = &self.scenario.config.failing;
        if planned.key >= 100 && self.now < failing.bad_until {
            return failure(if failing.bad_refuses { CallFailure::Refused } else { CallFailure::EngineError }, None);
        }
        // It fails nearly always; when it does not, nobody hears of it.
        if planned.failing && !self.rng.chance(15) {
            return failure(CallFailure::EngineError, None);
        }
        let unheard = planned.failing;
        let late = self.requests[index].late;
        self.effect_in_order(index, work);
        let sender = (self.requests[index].worker, self.requests[index].life);
        let id = self.add_instance(work, item, true, late, sender);
        if self.rng.chance(self.scenario.config.children) {
            let child = self.add_instance(work, item, false, late, sender);
            self.engine.instances[id].child = Some(child);
        }
        self.tell(|| {
            format!("engine  {work} started i{id} (event {}){}", planned.event, if late { ", a late send" } else { "" })
        });
        self.one_start(work.flow, planned.event, id, late);
        if unheard { failure(CallFailure::ServerError, None) } else { Answer::Done(()) }
    }

    fn add_instance(&mut self, work: Work, item: usize, root: bool, late: bool, sender: (usize, u32)) -> usize {
        let planned = &self.scenario.records[item];
        let waits_from = if self.rng.chance(10) { u64::MAX } else { self.now + self.rng.below(800) };
        let instance = Instance {
            flow: work.flow,
            business: planned.business,
            event: planned.event,
            root,
            partition: work.partition,
            offset: work.place(),
            replayed: work.topic == REPLAY,
            started: self.now,
            ended: None,
            visible: u64::MAX,
            ended_by: None,
            seen: Vec::new(),
            waits_from,
            child: None,
            late,
            sender,
        };
        self.engine.instances.push(instance);
        let id = self.engine.instances.len() - 1;
        if self.rng.chance(70) {
            let longest = self.rng.pick(&[40, 1500, 6000]);
            let life = self.rng.between(5, longest);
            self.schedule(self.now + life, Event::InstanceEnds(id));
        }
        id
    }

    pub(crate) fn instance_ends(&mut self, id: usize) {
        self.end_instance(id, None);
    }

    fn end_instance(&mut self, id: usize, by: Option<u32>) {
        if self.engine.instances[id].ended.is_some() {
            return;
        }
        let lag = self.rng.between(0, self.scenario.config.history_lag);
        let now = self.now;
        let instance = &mut self.engine.instances[id];
        (instance.ended, instance.visible, instance.ended_by) = (Some(now), now + lag, by);
        self.tell(|| format!("engine  i{id} ended, in history from {} on", now + lag));
        if let Some(child) = self.engine.instances[id].child {
            self.end_instance(child, by);
        }
    }

    /// Instances of the flow's definition (of every definition, where the look-up does not ask) with the record's business key.
    fn candidates(&self, work: Work, item: usize) -> impl Iterator<Item = (usize, &Instance)> {
        let business = self.scenario.records[item].business;
        let any_flow = !self.switches.holds(Switch::FlowInMarker);
        let children = !self.switches.holds(Switch::RootOnly);
        let of_flow = move |instance: &Instance| any_flow || instance.flow == work.flow;
        self.engine.instances.iter().enumerate().filter(move |(_, instance)| {
            instance.business == business && of_flow(instance) && (instance.root || children)
        })
    }

    fn in_scope(&self, instance: &Instance, scope: Scope) -> bool {
        let running = instance.ended.is_none();
        match scope {
            Scope::Running => running,
            Scope::History => !running && instance.visible <= self.now,
            Scope::Everywhere => running || instance.visible <= self.now,
        }
    }

    fn found(&self, work: Work, scope: Scope) -> bool {
        let Item::Source(item) = work.item else { return false };
        let planned = &self.scenario.records[item];
        self.candidates(work, item).filter(|(_, instance)| self.in_scope(instance, scope)).any(|(_, instance)| {
            match planned.what {
                What::Start => instance.event == planned.event,
                What::Message => self.switches.holds(Switch::MessageMarker) && instance.seen.contains(&planned.event),
                What::Terminate => instance.ended_by == Some(planned.event),
                What::Filter | What::Reject => false,
            }
        })
    }

    fn locate(&self, work: Work, spare_later: bool) -> Answer<()> {
        let Item::Source(item) = work.item else { return failure(CallFailure::Refused, None) };
        let running = self.candidates(work, item).filter(|(_, instance)| instance.ended.is_none() && instance.root);
        // What a later offset of the partition started is not meant.
        let later =
            |instance: &Instance| (instance.partition, 1) == (work.partition, 1) && instance.offset > work.offset;
        let meant: Vec<_> = running.filter(|(_, instance)| !(spare_later && later(instance))).collect();
        match (meant.as_slice(), self.scenario.records[item].what) {
            ([], _) => Answer::NoInstance(()),
            ([(id, _)], What::Terminate) => Answer::Located(format!("i{id}").into()),
            ([(id, instance)], _) if instance.waits_from <= self.now => Answer::Located(format!("i{id}").into()),
            ([_], _) => Answer::NotWaiting,
            (several, _) => Answer::Several(several.len() as u32),
        }
    }

    fn act_on(&mut self, index: usize, work: Work, target: &str) -> Answer<()> {
        let Item::Source(item) = work.item else { return failure(CallFailure::Refused, None) };
        let planned = self.scenario.records[item].clone();
        let Some(id) = number(target) else { return failure(CallFailure::NotFound, None) };
        if self.engine.instances[id].ended.is_some() {
            return failure(CallFailure::NotFound, None);
        }
        if planned.failing {
            return failure(CallFailure::EngineError, None);
        }
        let later = self.engine.instances[id].offset > work.offset;
        if later && work.topic != REPLAY && self.engine.instances[id].partition == work.partition {
            let text = format!("{work} ({:?}) took effect on i{id}, which a later record had started", planned.what);
            self.violated(Promise::KeyOrder, text);
        }
        match planned.what {
            What::Terminate => {
                self.effect_in_order(index, work);
                self.tell(|| format!("engine  {work} terminates i{id}"));
                self.end_instance(id, Some(planned.event));
            }
            What::Message => {
                if self.engine.instances[id].waits_from > self.now {
                    return failure(CallFailure::Conflict, None);
                }
                self.effect_in_order(index, work);
                self.tell(|| format!("engine  {work} is delivered to i{id} (event {})", planned.event));
                let again = if self.rng.chance(20) { u64::MAX } else { self.now + self.rng.below(400) };
                let instance = &mut self.engine.instances[id];
                instance.seen.push(planned.event);
                instance.waits_from = again;
                let late = self.requests[index].late;
                self.delivered_once(work.flow, planned.event, late);
            }
            What::Start | What::Filter | What::Reject => return failure(CallFailure::Refused, None),
        }
        Answer::Done(())
    }

    fn copies(&self, work: Work, scope: Scope) -> Vec<Copy> {
        let Item::Source(item) = work.item else { return Vec::new() };
        let event = self.scenario.records[item].event;
        let marked = self.candidates(work, item).filter(|(_, instance)| instance.event == event);
        let seen = marked.filter(|(_, instance)| self.in_scope(instance, scope));
        let copy = |(id, instance): (usize, &Instance)| Copy {
            started_ms: instance.started as i64,
            id: format!("i{id}").into(),
            running: instance.ended.is_none(),
        };
        seen.map(copy).collect()
    }

    fn delete(&mut self, id: &str) -> Answer<()> {
        match number(id) {
            Some(id) if self.engine.instances[id].ended.is_none() => {
                self.tell(|| format!("engine  i{id} is deleted as a duplicate"));
                self.end_instance(id, None);
                Answer::Done(())
            }
            _ => failure(CallFailure::NotFound, None),
        }
    }
}

fn number(id: &str) -> Option<usize> {
    id.strip_prefix('i')?.parse().ok()
}

fn call_fault_name(fault: CallFault) -> &'static str {
    match fault {
        CallFault::LostAnswer => "call: lost answer",
        CallFault::LateEffect => "call: effect after the deadline",
        CallFault::NeverArrives => "call: lost request",
        CallFault::UnavailableAfterEffect => "call: 503 after the effect",
        CallFault::UnavailableLateEffect => "call: 503, the effect comes later",
        CallFault::Unavailable => "call: 503 without effect",
        CallFault::Unsent => "call: not sent",
        CallFault::EngineError => "call: engine error",
        CallFault::ServerErrorAfterEffect => "call: 500 after the effect",
        CallFault::RateLimited => "call: 429",
    }
}
