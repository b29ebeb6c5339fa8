//! The reader: polls what the leaders have, for partitions that were started and are not paused.

use std::sync::Arc;
use std::time::Duration;

use event_model::{NextOffset, Offset, Partition};
use flow_core::{Command, Delivered, EventHash, Input, Plan, Reason, TopicId};

use crate::kafka::TOPICS;
use crate::scenario::{HOLD_FOR, What};
use crate::system::SYSTEM;
use crate::worker::Wake;
use crate::world::{Item, Work, World};

/// Records of a partition in one poll.
const CHUNK: usize = 3;

impl World<'_> {
    pub(crate) fn wake_reader(&mut self, worker: usize, after: u64) {
        let process = &mut self.workers[worker];
        if process.up && !process.poll_planned && !process.positions.is_empty() {
            process.poll_planned = true;
            self.wake(worker, after, Wake::Poll);
        }
    }

    pub(super) fn started(&mut self, worker: usize, partition: i32, positions: Vec<(u16, i64)>) {
        let process = &mut self.workers[worker];
        if !process.holds_all_of(partition) {
            return;
        }
        process.paused.remove(&partition);
        for (topic, next) in positions {
            process.positions.insert((topic, partition), (next, -1));
        }
        self.step(worker, Input::Started(Partition::new(partition)));
        self.wake_reader(worker, 1);
    }

    pub(super) fn poll(&mut self, worker: usize) {
        let process = &mut self.workers[worker];
        process.poll_planned = false;
        if process.revoking.is_some() || !process.reaches_leaders() {
            return;
        }
        process.positions.retain(|(topic, partition), _| process.assigned.contains(&(*topic, *partition)));
        let places: Vec<(u16, i32)> = process.positions.keys().copied().collect();
        let mut more = false;
        for (topic, partition) in places {
            let process = &self.workers[worker];
            if process.paused.contains(&partition) {
                continue;
            }
            let Some(&(position, reported)) = process.positions.get(&(topic, partition)) else { continue };
            let flow = process.flow;
            let log = self.kafka.log(flow, topic, partition);
            if position < log.start {
                // The client stops there, and does not say where.
                self.workers[worker].positions.remove(&(topic, partition));
                self.step(worker, Input::OutOfRange);
                continue;
            }
            let chunk: Vec<(i64, Item)> = log.from(position).iter().take(CHUNK).copied().collect();
            let end = log.end;
            if let Some((last, _)) = chunk.last() {
                more = true;
                self.workers[worker].positions.insert((topic, partition), (last + 1, reported));
                let record = |(offset, item): &(i64, Item)| {
                    self.delivered(Work { flow, topic, partition, offset: *offset, item: *item })
                };
                let records = chunk.iter().map(record).collect();
                self.checks.delivered += chunk.len() as u64;
                self.step(worker, Input::Records(records));
            } else if reported < end {
                self.workers[worker].positions.insert((topic, partition), (position.max(end), end));
                self.step(worker, Input::ReachedEnd(TopicId(topic), Partition::new(partition), NextOffset::new(end)));
            }
        }
        if more {
            let after = self.rng.between(1, 15);
            self.wake_reader(worker, after);
        }
    }

    /// What decoding makes of a record.
    fn delivered(&self, work: Work) -> Delivered<Work> {
        let (key, identity, business, plan) = match work.item {
            Item::Source(index) => {
                let planned = &self.scenario.records[index];
                let plan = match planned.what {
                    What::Start => Plan::Command(Command::Start),
                    What::Message => Plan::Command(Command::Message { hold_for: Duration::from_millis(HOLD_FOR) }),
                    What::Terminate => Plan::Command(Command::Terminate),
                    What::Filter => Plan::Filter,
                    What::Reject => Plan::Reject(Reason::LIMIT, "too long".into()),
                };
                let business = u64::from(planned.business) + 1000 * work.flow as u64;
                (planned.key, (event_hash(planned.event), planned.payload), Some(business), plan)
            }
            Item::Job { job, .. } => {
                let planned = &self.scenario.jobs[job];
                // Jobs that ask wait for no other job.
                let (key, command) = if planned.asks {
                    (200 + job as u8, Command::Request { system: SYSTEM })
                } else {
                    (100 + planned.key, Command::Publish)
                };
                (key, (job_hash(job), 0), None, Plan::Command(command))
            }
        };
        let letter = self.letters.of(work);
        let (identity, business, plan) = match letter {
            Some((_, true)) => (None, None, Plan::Discard),
            Some((_, false)) | None => (Some(identity), business, plan),
        };
        Delivered {
            topic: TopicId(work.topic),
            partition: Partition::new(work.partition),
            offset: Offset::new(work.offset),
            timestamp_ms: None,
            lane: Arc::from([key].as_slice()),
            keyed: true,
            letter: letter.map(|(letter, _)| letter),
            identity,
            business,
            plan,
            work,
        }
    }

    /// Whether somebody would read further.
    pub(crate) fn lag(&self, flow: usize) -> Vec<(u16, i32, i64, i64)> {
        let counts = self.kafka.most_partitions();
        let places = (0..TOPICS).flat_map(|topic| (0..counts).map(move |p| (topic, p)));
        let lag = places.map(|(topic, partition)| {
            let next = self.kafka.offsets.get(&(flow, topic, partition)).map_or(0, |committed| committed.next);
            (topic, partition, next, self.kafka.log(flow, topic, partition).end)
        });
        lag.filter(|(_, _, next, end)| next < end).collect()
    }
}

fn event_hash(event: u32) -> EventHash {
    let mut hash = [1; 16];
    hash[..4].copy_from_slice(&event.to_be_bytes());
    EventHash(hash)
}

fn job_hash(job: usize) -> EventHash {
    EventHash([200 + job as u8; 16])
}

/// Which event a hash of the source stands for.
pub(crate) fn event_of(hash: &EventHash) -> Option<u32> {
    let EventHash([a, b, c, d, rest @ ..]) = hash;
    rest.iter().all(|byte| *byte == 1).then_some(u32::from_be_bytes([*a, *b, *c, *d]))
}
