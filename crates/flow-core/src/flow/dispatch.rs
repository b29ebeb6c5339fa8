//! What may leave now: ready calls, under their endpoint's gate and limit, the flow's own limit and the lease.

use std::cmp::Reverse;

use super::{Flow, State, Timer};
use crate::call::Call;
use crate::effect::Effect;
use crate::endpoint::Endpoint;
use crate::guards::{Guard, holds};
use crate::input::{EndpointId, RecordId};
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
                        self.make_ready(id);
                    }
                }
                Timer::Contest(id) => {
                    if let Some(contest) = self.contests.get_mut(&id)
                        && !contest.busy
                    {
                        contest.busy = true;
                        self.make_ready(id);
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

    pub(super) fn dispatch(&mut self, now: Moment, endpoints: &mut [&mut Endpoint], effects: &mut Vec<Effect<W, O>>) {
        self.hold_back();
        for (index, endpoint) in endpoints.iter_mut().enumerate() {
            self.dispatch_to(now, EndpointId(index as u8), endpoint, effects);
        }
    }

    /// An endpoint that is slow or down holds back its own calls only: each has its own queue and its own places in flight.
    fn dispatch_to(&mut self, now: Moment, to: EndpointId, endpoint: &mut Endpoint, effects: &mut Vec<Effect<W, O>>) {
        let max = self.settings.max_in_flight;
        while let Some(own) = self.endpoints.get_mut(to.index())
            && own.in_flight < max
            && endpoint.may_call(own.seat)
            && let Some(id) = own.ready.pop_front()
        {
            if self.is_paused(id) {
                self.guarded.push_back(id);
            } else if let Some((work, call, until)) = self.leaves(now, id) {
                if let Some(own) = self.endpoints.get_mut(to.index()) {
                    own.in_flight += 1;
                    self.calls.insert(id, (to, endpoint.call(own.seat, &call)));
                }
                effects.push(Effect::Call { id, work, call, until });
            }
        }
        if let Some(own) = self.endpoints.get(to.index()) {
            endpoint.wants(own.seat, max.saturating_sub(own.in_flight).min(own.ready.len()));
        }
    }

    /// What leaves for the record, or the look for doubles, and until when it may; nothing while it has no lease.
    fn leaves(&mut self, now: Moment, id: RecordId) -> Option<(W, Call, Option<Moment>)> {
        if let Some(contest) = self.contests.get(&id) {
            return Some((contest.work.clone(), contest.next.clone(), None));
        }
        let entry = self.records.get_mut(&id)?;
        let State::Ready(call) = &entry.state else { return None };
        let owned = self.partitions.get_mut(&entry.partition)?;
        let mut until = None;
        if call.needs_lease() {
            let horizon = owned.horizons.get_mut(usize::from(entry.topic.0))?;
            let behind = entry.offset.get() + 1;
            let beyond = behind > horizon.leased && holds(Guard::HorizonFirst);
            if beyond || now >= self.leased_until && holds(Guard::LeaseTerm) {
                if holds(Guard::LeaseReaches) {
                    horizon.wanted_to = horizon.wanted_to.max(behind);
                }
                owned.wants_lease = true;
                self.unleased.push_back(id);
                return None;
            }
            horizon.dispatched_to = horizon.dispatched_to.max(behind);
            horizon.dispatched += 1;
            until = Some(self.leased_until).filter(|_| holds(Guard::LeaseTerm));
        }
        owned.in_flight += 1;
        let call = call.clone();
        entry.state = State::Calling(call.clone());
        Some((entry.work.clone(), call, until))
    }
}
