//! A process as a member of its group: what the coordinator says, joining, leaving, dying, and being out of reach.

use std::time::Duration;

use event_model::Partition;
use flow_core::{Input, TopicId};

use super::{Told, Wake, Worker};
use crate::kafka::group::{Assignment, GroupEvent};
use crate::scenario::DRAIN_WITHIN;
use crate::world::{Event, World};

fn places(assignment: &[(u16, i32)]) -> Vec<(TopicId, Partition)> {
    assignment.iter().map(|(topic, partition)| (TopicId(*topic), Partition::new(*partition))).collect()
}

impl World<'_> {
    pub(super) fn hear_messages(&mut self, index: usize) {
        // The callback of a revoke stands inside poll: nothing else is heard until it ends.
        while self.workers[index].up && self.workers[index].revoking.is_none() && self.workers[index].loss.is_none() {
            if !self.workers[index].reaches_coordinator() && !self.workers[index].messages.is_empty() {
                return self.wake(index, 20, Wake::Hear);
            }
            let Some((member, told)) = self.workers[index].messages.pop_front() else { return };
            self.told_by_coordinator(index, member, told);
        }
    }

    fn told_by_coordinator(&mut self, index: usize, member: u64, told: Told) {
        let worker = &self.workers[index];
        let member_still = self.kafka.groups[worker.flow].members.contains_key(&member);
        if worker.member != Some(member) {
            return;
        }
        match told {
            Told::Assigned(_) | Told::Revoked(_) if !member_still => {}
            Told::Assigned(assigned) => {
                self.tell(|| format!("w{index}      assigned {assigned:?}"));
                self.workers[index].assigned.extend(assigned.iter().copied());
                self.step(index, Input::Assigned(places(&assigned)));
            }
            Told::Revoked(revoked) => {
                self.tell(|| format!("w{index}      revoked {revoked:?}"));
                self.workers[index].revoking = Some(revoked.clone());
                let within = Duration::from_millis(DRAIN_WITHIN);
                self.step(index, Input::Revoked { partitions: places(&revoked), within });
            }
            Told::Fenced => {
                let worker = &mut self.workers[index];
                let lost: Assignment = std::mem::take(&mut worker.assigned).into_iter().collect();
                (worker.member, worker.epoch) = (None, 0);
                self.workers[index].given_up += 1;
                self.workers[index].storm.lost();
                self.tell(|| format!("w{index}      lost {lost:?}"));
                // The callback has heard it; the loop hears it after what stands before it in its queue.
                self.workers[index].loss = Some(lost);
                let after = self.rng.pick(&[0, 0, 1, 5, 30]);
                self.wake(index, after, Wake::HearLoss);
                self.join(index);
            }
        }
    }

    pub(super) fn hear_loss(&mut self, index: usize) {
        let Some(lost) = self.workers[index].loss.take() else { return };
        self.workers[index].known_given_up += 1;
        self.step(index, Input::Lost(places(&lost)));
        self.wake(index, 0, Wake::Hear);
    }

    pub(super) fn released(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        let (flow, member) = (worker.flow, worker.member);
        let revoked = worker.revoking.take();
        self.tell(|| format!("w{index}      released {revoked:?}"));
        if self.workers[index].leaving {
            self.workers[index].up = false;
            self.leave_endpoints(index);
            if let Some(member) = member {
                let net = self.net();
                self.schedule(self.now + net, Event::Group(flow, GroupEvent::Leave { member }));
            }
            return;
        }
        let Some(revoked) = revoked else { return };
        self.workers[index].assigned.retain(|place| !revoked.contains(place));
        let worker = &mut self.workers[index];
        (worker.given_up, worker.known_given_up) = (worker.given_up + 1, worker.known_given_up + 1);
        if let Some(member) = member {
            let net = self.net();
            self.schedule(self.now + net, Event::Group(flow, GroupEvent::Revoked { member, revoked }));
        }
        self.wake_reader(index, 1);
        self.wake(index, 1, Wake::Hear);
    }

    pub(crate) fn boot(&mut self, index: usize) {
        if self.workers[index].up {
            return;
        }
        let life = self.workers[index].life + 1;
        let seats = self.join_endpoints(index);
        let new = Worker::new(self.scenario, &self.switches, index, seats, self.roomy);
        self.workers[index] = Worker { life, up: true, ..new };
        self.tell(|| format!("w{index}      starts, life {life}"));
        self.init_transactions(index);
        self.hear_control(index);
        if self.scenario.config.growth.is_some() {
            self.step(index, flow_core::Input::Fits(false));
            self.wake(index, 2, Wake::Look);
        }
        self.join(index);
    }

    fn join(&mut self, index: usize) {
        let (flow, life) = (self.workers[index].flow, self.workers[index].life);
        let net = self.net();
        self.schedule(self.now + net, Event::Group(flow, GroupEvent::Join { worker: index, life }));
    }

    pub(crate) fn crash(&mut self, index: usize) {
        self.goes_silent(index);
        let worker = &mut self.workers[index];
        worker.up = false;
        worker.life += 1;
        self.tell(|| format!("fault   w{index} is killed"));
        self.leave_endpoints(index);
    }

    /// Finish, give back, leave.
    pub(crate) fn leave(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        if worker.leaving {
            return;
        }
        worker.leaving = true;
        self.tell(|| format!("fault   w{index} is asked to end"));
        self.step(index, Input::Shutdown { within: Duration::from_millis(DRAIN_WITHIN) });
    }

    /// Whether the coordinator hears of a process: it goes silent, or is heard again.
    pub(crate) fn hear(&mut self, index: usize) {
        let now = self.now;
        let worker = &mut self.workers[index];
        let silent = worker.frozen_until > now || worker.cut_until > now;
        if silent && worker.silent.is_none() {
            worker.silent = Some(now);
            self.goes_silent(index);
        } else if !silent && worker.silent.take().is_some() {
            self.hears_of_removal(index);
            self.wake_reader(index, 1);
        }
    }

    pub(crate) fn heal(&mut self, index: usize) {
        let now = self.now;
        let worker = &mut self.workers[index];
        if worker.cut_until <= now {
            worker.cut_until = 0;
        }
        if worker.leaders_cut_until <= now {
            worker.leaders_cut_until = 0;
        }
        self.hear(index);
    }
}
