//! What may leave now: ready calls, under the endpoint's gate and limit, the flow's own limit and the lease.

use std::cmp::Reverse;

use super::{Flow, State, Timer};
use crate::effect::Effect;
use crate::endpoint::Endpoint;
use crate::guards::{Guard, holds};
use crate::input::RecordId;
use crate::ownership::Phase;
use crate::time::Moment;

impl<W: Clone, O> Flow<W, O> {
    pub(super) fn fire_timers(&mut self, now: Moment, effects: &mut Vec<Effect<W, O>>) {
        while let Some(&Reverse((at, timer))) = self.timers.peek() {
            if at > now {
                break;
            }
            self.timers.pop();
            match timer {
                Timer::Record(id) => {
                    if let Some(entry) = self.records.get_mut(&id)
                        && let State::Waiting(call) = &entry.state
                    {
                        entry.state = State::Ready(call.clone());
                        self.ready.push_back(id);
                    }
                }
                Timer::Contest(id) => {
                    if let Some(contest) = self.contests.get_mut(&id)
                        && !contest.busy
                    {
                        contest.busy = true;
                        self.ready.push_back(id);
                    }
                }
                Timer::Again(partition) => self.restore_again(now, partition, effects),
                Timer::Clamp(partition) => {
                    // The timer of an earlier ownership of the same partition asks too early: its answer would be believed.
                    let due = self.partitions.get(&partition).is_some_and(|owned| {
                        owned.phase == Phase::Active && owned.assigned_at + self.settings.lease_term <= now
                    });
                    if due {
                        effects.push(Effect::LogEnds(partition));
                    }
                }
            }
        }
    }

    pub(super) fn dispatch(&mut self, now: Moment, endpoint: &mut Endpoint, effects: &mut Vec<Effect<W, O>>) {
        self.hold_back();
        while self.calls.len() < self.settings.max_in_flight && endpoint.may_call(self.seat) {
            let Some(id) = self.ready.pop_front() else { break };
            if let Some(contest) = self.contests.get(&id) {
                self.calls.insert(id, endpoint.call(self.seat, &contest.next));
                effects.push(Effect::Call { id, work: contest.work.clone(), call: contest.next.clone(), until: None });
                continue;
            }
            if self.is_paused(id) {
                self.guarded.push_back(id);
                continue;
            }
            self.dispatch_record(now, id, endpoint, effects);
        }
        let own = self.settings.max_in_flight.saturating_sub(self.calls.len());
        endpoint.wants(self.seat, own.min(self.ready.len()));
    }

    fn dispatch_record(&mut self, now: Moment, id: RecordId, endpoint: &mut Endpoint, effects: &mut Vec<Effect<W, O>>) {
        let Some(entry) = self.records.get_mut(&id) else { return };
        let State::Ready(call) = &entry.state else { return };
        let Some(owned) = self.partitions.get_mut(&entry.partition) else { return };
        let mut until = None;
        if call.needs_lease() {
            let Some(horizon) = owned.horizons.get_mut(usize::from(entry.topic.0)) else { return };
            let behind = entry.offset.get() + 1;
            let beyond = behind > horizon.leased && holds(Guard::HorizonFirst);
            if beyond || now >= self.leased_until && holds(Guard::LeaseTerm) {
                if holds(Guard::LeaseReaches) {
                    horizon.wanted_to = horizon.wanted_to.max(behind);
                }
                owned.wants_lease = true;
                return self.unleased.push_back(id);
            }
            horizon.dispatched_to = horizon.dispatched_to.max(behind);
            horizon.dispatched += 1;
            until = Some(self.leased_until).filter(|_| holds(Guard::LeaseTerm));
        }
        owned.in_flight += 1;
        let call = call.clone();
        self.calls.insert(id, endpoint.call(self.seat, &call));
        entry.state = State::Calling(call.clone());
        effects.push(Effect::Call { id, work: entry.work.clone(), call, until });
    }
}
