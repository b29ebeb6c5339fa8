//! What an outside observer knows of the storm guard: it bounds the dead letters in a row, and no time passes while it is tripped.

use flow_core::{Batch, Notice, Reason, Resolution, Storm};

use crate::checks::Promise;
use crate::world::{Event, Item, Work, World};

/// Of one process, as far as it lives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watched {
    /// Bad records in a row, committed.
    run: u32,
    /// How many may be: what trips the guard and what is in flight then, anew each time that it let go, and one for each trial.
    allowed: u32,
    /// It waits for room in the quarantine.
    full: bool,
    /// Since when it is tripped while the gate is open, and for how long it was before.
    stands: (Option<u64>, u64),
}

impl Watched {
    /// What was accepted and not committed went with the partitions: the guard has seen it, an observer will not.
    pub(crate) fn lost(&mut self) {
        self.run = 0;
    }
}

impl World<'_> {
    fn row(&self) -> u32 {
        // Those in flight when it trips; and what is held may have been counted while it failed, before a good one began the row anew.
        let config = &self.scenario.config;
        config.failing.storm_run + (config.max_in_flight + config.max_held) as u32
    }

    pub(crate) fn storm_notice(&mut self, worker: usize, notice: &Notice) {
        let row = self.row();
        let watched = &mut self.workers[worker].storm;
        if let Notice::Storm { why, .. } = notice {
            watched.full = *why == Storm::QuarantineFull;
            *self.checks.faults.entry("storm guard: tripped").or_default() += 1;
            // Sooner than a trial, or long after.
            let after = if self.rng.chance(40) { self.rng.between(200, 3000) } else { self.rng.between(8000, 16_000) };
            let life = self.workers[worker].life;
            self.schedule(self.now + after, Event::GuardReset(worker, life));
        } else if let Notice::StormTrial { .. } = notice {
            watched.allowed += 1;
            *self.checks.faults.entry("storm guard: one record tried").or_default() += 1;
        } else if let Notice::StormOver { .. } = notice {
            watched.allowed += row;
        }
    }

    /// BOUNDED: a storm does not drain the topic into the dead letters.
    pub(crate) fn storm_bounded(&mut self, worker: usize, batch: &Batch<Work, ()>) {
        let (row, jobs) = (self.row(), &self.scenario.jobs);
        let watched = &mut self.workers[worker].storm;
        let mut longest = 0;
        for resolved in &batch.resolved {
            let of_source = match resolved.work.item {
                Item::Source(_) => true,
                // What was asked of a system and done is a good record, too.
                Item::Job { job, .. } if jobs[job].asks => false,
                Item::Job { .. } => continue,
            };
            match &resolved.resolution {
                Resolution::Accepted(()) => watched.run = 0,
                Resolution::DeadLettered { .. } if !of_source => {}
                Resolution::DeadLettered { reason, .. } if *reason != Reason::QUARANTINED => watched.run += 1,
                Resolution::DeadLettered { .. }
                | Resolution::Repeated
                | Resolution::Duplicate
                | Resolution::Filtered => {}
            }
            longest = longest.max(watched.run);
        }
        let allowed = row + watched.allowed;
        self.checks.compared(Promise::Bounded);
        if longest > allowed {
            let text = format!("w{worker} wrote {longest} dead letters in a row, {allowed} may be");
            self.violated(Promise::Bounded, text);
        }
    }

    /// Observes the guard after each step of its process or of one that shares the endpoint.
    pub(crate) fn watch_storm(&mut self, worker: usize, gate_is_open: bool) {
        let now = self.now;
        let process = &mut self.workers[worker];
        let held = process.core.storm_guard_is_tripped() || process.heard.holds_flow();
        let stands = held && gate_is_open;
        process.storm.stands = match (stands, process.storm.stands) {
            (true, (None, before)) => (Some(now), before),
            (false, (Some(since), before)) => (None, before + now - since),
            (true, (Some(_), _)) | (false, (None, _)) => process.storm.stands,
        };
    }

    pub(crate) fn stood_for(&self, worker: usize) -> u64 {
        let (since, before) = self.workers[worker].storm.stands;
        before + since.map_or(0, |since| self.now - since)
    }

    /// An operator has looked, and lets everything go.
    pub(crate) fn guard_reset(&mut self, worker: usize, life: u32) {
        let process = &self.workers[worker];
        if process.life != life || !process.up || !process.core.storm_guard_is_tripped() {
            return;
        }
        if process.frozen_until > self.now {
            return self.schedule(process.frozen_until, Event::GuardReset(worker, life));
        }
        if process.storm.full && self.rng.chance(50) {
            *self.checks.faults.entry("operator: more keys may be quarantined").or_default() += 1;
            self.roomy = true;
            self.crash(worker);
            return self.schedule(self.now + 300, Event::Boot(worker));
        }
        *self.checks.faults.entry("operator: storm guard reset").or_default() += 1;
        self.step(worker, flow_core::Input::GuardReset);
    }
}
