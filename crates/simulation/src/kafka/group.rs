//! The group coordinator: members with a generation, partitions that move only when their owner gave them back or lost its session.

use std::collections::BTreeMap;

use super::TOPICS;
use crate::scenario::{REVOKE_TIMEOUT, SESSION};
use crate::worker::{Told, Wake};
use crate::world::{Event, World};

pub(crate) type Assignment = Vec<(u16, i32)>;

#[derive(Debug, Default)]
pub(crate) struct Group {
    pub members: BTreeMap<u64, Member>,
    pub owners: BTreeMap<(u16, i32), u64>,
    joined: u64,
    pub rotation: usize,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub worker: usize,
    pub life: u32,
    /// What `send_offsets` is checked against.
    pub epoch: u64,
    revoking: Assignment,
    /// When the last message to it arrives: messages do not overtake each other.
    told_at: u64,
}

#[derive(Debug)]
pub(crate) enum GroupEvent {
    Join {
        worker: usize,
        life: u32,
    },
    Leave {
        member: u64,
    },
    /// The session of a member is over unless it is heard again.
    SessionOver {
        member: u64,
    },
    RevokeTimedOut {
        member: u64,
        revoked: Assignment,
    },
    Revoked {
        member: u64,
        revoked: Assignment,
    },
}

impl World<'_> {
    pub(crate) fn group_event(&mut self, flow: usize, event: GroupEvent) {
        match event {
            GroupEvent::Join { worker, life } => self.joins(flow, worker, life),
            GroupEvent::Leave { member } => self.remove_member(flow, member, "left"),
            GroupEvent::SessionOver { member } => {
                let Some(found) = self.kafka.groups[flow].members.get(&member) else { return };
                let silent = self.workers[found.worker].silent_since(found.life);
                if silent.is_some_and(|since| self.now >= since + SESSION - crate::scenario::HEARTBEAT) {
                    self.remove_member(flow, member, "lost its session");
                }
            }
            GroupEvent::RevokeTimedOut { member, revoked } => {
                let Some(found) = self.kafka.groups[flow].members.get(&member) else { return };
                if revoked.iter().any(|place| found.revoking.contains(place)) {
                    self.remove_member(flow, member, "gave nothing back in time");
                }
            }
            GroupEvent::Revoked { member, revoked } => self.gave_back(flow, member, revoked),
        }
    }

    fn joins(&mut self, flow: usize, worker: usize, life: u32) {
        let process = &self.workers[worker];
        if process.life != life || !process.up || process.member.is_some() {
            return;
        }
        if !process.reaches_coordinator() || process.frozen_until > self.now {
            return self.schedule(self.now + 40, Event::Group(flow, GroupEvent::Join { worker, life }));
        }
        let group = &mut self.kafka.groups[flow];
        group.joined += 1;
        let member = group.joined;
        group.members.insert(member, Member { worker, life, epoch: 1, revoking: Vec::new(), told_at: 0 });
        (self.workers[worker].member, self.workers[worker].epoch) = (Some(member), 1);
        self.tell(|| format!("group   f{flow}: w{worker} joined as member {member}"));
        self.rebalance(flow);
    }

    /// A process of the group went silent: its session ends, unless it is heard again.
    pub(crate) fn goes_silent(&mut self, worker: usize) {
        let process = &self.workers[worker];
        let Some(member) = process.member else { return };
        let flow = process.flow;
        let over = SESSION - self.rng.below(crate::scenario::HEARTBEAT);
        self.schedule(self.now + over, Event::Group(flow, GroupEvent::SessionOver { member }));
    }

    fn remove_member(&mut self, flow: usize, member: u64, why: &str) {
        let Some(removed) = self.kafka.groups[flow].members.remove(&member) else { return };
        self.kafka.groups[flow].owners.retain(|_, owner| *owner != member);
        self.tell(|| format!("group   f{flow}: member {member} (w{}) {why}", removed.worker));
        self.hears_of_removal(removed.worker);
        self.rebalance(flow);
    }

    /// A process hears with its next heartbeat that it is no member any more.
    pub(crate) fn hears_of_removal(&mut self, worker: usize) {
        let process = &self.workers[worker];
        let Some(member) = process.member else { return };
        if process.up && process.reaches_coordinator() && !self.kafka.groups[process.flow].members.contains_key(&member)
        {
            let after = self.rng.between(1, crate::scenario::HEARTBEAT);
            self.wake(worker, after, Wake::Told(member, Told::Fenced));
        }
    }

    fn gave_back(&mut self, flow: usize, member: u64, revoked: Assignment) {
        let group = &mut self.kafka.groups[flow];
        let Some(found) = group.members.get_mut(&member) else { return };
        let (worker, life) = (found.worker, found.life);
        if self.workers[worker].life == life && !self.workers[worker].reaches_coordinator() {
            return self.schedule(self.now + 20, Event::Group(flow, GroupEvent::Revoked { member, revoked }));
        }
        found.epoch += 1;
        let epoch = found.epoch;
        found.revoking.retain(|place| !revoked.contains(place));
        group.owners.retain(|place, owner| *owner != member || !revoked.contains(place));
        let net = self.net();
        self.schedule(self.now + net, Event::Worker(worker, life, Wake::Epoch(member, epoch)));
        self.rebalance(flow);
    }

    /// Partition p of every topic goes to one member; what moves is asked for first.
    pub(crate) fn rebalance(&mut self, flow: usize) {
        let partitions = self.kafka.most_partitions();
        let counts = [0, 1, 2].map(|topic| self.kafka.partitions(topic));
        let group = &self.kafka.groups[flow];
        let members: Vec<u64> = group.members.keys().copied().collect();
        if members.is_empty() {
            return;
        }
        let rotation = group.rotation;
        let (mut assign, mut revoke) = (BTreeMap::<u64, Assignment>::new(), BTreeMap::<u64, Assignment>::new());
        for partition in 0..partitions {
            let wanted = members[(partition as usize + rotation) % members.len()];
            for topic in (0..TOPICS).filter(|topic| partition < counts[usize::from(*topic)]) {
                let place = (topic, partition);
                match group.owners.get(&place) {
                    None => assign.entry(wanted).or_default().push(place),
                    Some(owner) if *owner != wanted => {
                        if group.members.get(owner).is_some_and(|member| !member.revoking.contains(&place)) {
                            revoke.entry(*owner).or_default().push(place);
                        }
                    }
                    Some(_) => {}
                }
            }
        }
        for (member, places) in revoke {
            if let Some(found) = self.kafka.groups[flow].members.get_mut(&member) {
                found.revoking.extend(&places);
            }
            let timed_out = GroupEvent::RevokeTimedOut { member, revoked: places.clone() };
            self.schedule(self.now + REVOKE_TIMEOUT, Event::Group(flow, timed_out));
            self.tell_member(flow, member, places, false);
        }
        for (member, places) in assign {
            for place in &places {
                self.kafka.groups[flow].owners.insert(*place, member);
            }
            self.tell_member(flow, member, places, true);
        }
    }

    fn tell_member(&mut self, flow: usize, member: u64, places: Assignment, gets: bool) {
        let parts: Vec<Assignment> = if self.scenario.config.split_topics {
            places.into_iter().map(|place| vec![place]).collect()
        } else {
            vec![places]
        };
        for part in parts {
            let after = if self.scenario.config.split_topics { self.rng.between(1, 40) } else { self.net() };
            let now = self.now;
            let Some(found) = self.kafka.groups[flow].members.get_mut(&member) else { return };
            found.told_at = found.told_at.max(now + after);
            let (at, worker, life) = (found.told_at, found.worker, found.life);
            let told = if gets { Told::Assigned(part) } else { Told::Revoked(part) };
            self.schedule(at, Event::Worker(worker, life, Wake::Told(member, told)));
        }
    }
}
