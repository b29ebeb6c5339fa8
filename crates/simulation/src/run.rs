//! One run from its first event to its rest, and what is checked when everything lies still.

use std::collections::BTreeMap;

use crate::checks::{Promise, Violation};
use crate::kafka::TOPICS;
use crate::kafka::log::Entry;
use crate::mutants::{Mutant, Switches};
use crate::scenario::{SETTLE, Scenario, What};
use crate::worker::commit::Kind;
use crate::world::{Event, Item, World};

/// A run that is still busy after so long does not come to rest.
const LONGEST: u64 = 400_000;
const MOST_EVENTS: u64 = 200_000;

/// What a run left behind.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Promises that were not kept, in the order in which that showed.
    pub violations: Vec<Violation>,
    /// How much each promise's check compared, in the order of [`Promise::ALL`].
    pub compared: [u64; 9],
    /// How often each kind of fault struck.
    pub faults: BTreeMap<&'static str, u64>,
    /// Records that readers delivered, calls that left, calls that left after their lease was over.
    pub delivered: u64,
    /// Calls that left.
    pub calls: u64,
    /// Calls of frozen senders that left after their lease was over.
    pub late_sends: u64,
    /// Doubles after a late send that a contest found.
    pub doubles_found: u64,
    /// For each double that was found: how long after its last instance, in multiples of `settle`.
    pub found_after: Vec<f64>,
    /// Doubles after a late send whose sender died before it could look: the stated residue.
    pub residue: u64,
    /// What happened, where it was asked for.
    pub trace: Vec<String>,
    /// Events of the run.
    pub events: u64,
}

/// Runs a scenario; a pure function of its arguments.
pub fn run(scenario: &Scenario, mutant: Option<Mutant>, traced: bool) -> Outcome {
    let _guard = crate::mutants::take_away(mutant);
    let mut world = World::new(scenario, Switches { mutant }, traced);
    for index in 0..scenario.records.len() {
        world.schedule(scenario.records[index].at, Event::Append(index));
    }
    for (index, job) in scenario.jobs.iter().enumerate() {
        world.schedule(job.at, Event::Acquire(index));
    }
    for (index, fault) in scenario.faults.iter().enumerate() {
        world.schedule(fault.at, Event::Fault(index));
    }
    if let Some(growth) = scenario.config.growth {
        world.schedule(growth.at, Event::Grow { ours: false });
        world.schedule(growth.followed_at, Event::Grow { ours: true });
    }
    for worker in 0..world.workers.len() {
        world.schedule(worker as u64 * 7, Event::Boot(worker));
    }
    while world.checks.violations.is_empty() && world.turn() {
        if world.now > LONGEST || world.events > MOST_EVENTS {
            let text = format!("still busy after {} ms and {} events", world.now, world.events);
            world.violated(Promise::Rest, text);
        }
    }
    if world.checks.violations.is_empty() {
        at_rest(&mut world);
    }
    let checks = world.checks;
    Outcome {
        violations: checks.violations,
        compared: checks.compared,
        faults: checks.faults,
        delivered: checks.delivered,
        calls: checks.calls,
        late_sends: checks.late_sends,
        doubles_found: checks.doubles_found,
        residue: checks.residue,
        found_after: checks.found_after.iter().map(|ms| *ms as f64 / SETTLE as f64).collect(),
        trace: world.trace.unwrap_or_default(),
        events: world.events,
    }
}

/// Everything lies still: the books, the engine and the offsets must agree.
fn at_rest(world: &mut World<'_>) {
    for flow in 0..world.scenario.config.flows {
        world.checks.compared(Promise::Rest);
        for (topic, partition, next, end) in world.lag(flow) {
            world.violated(Promise::Rest, format!("f{flow} {topic}/{partition} rests at {next} of {end}"));
        }
        let counts = world.kafka.most_partitions();
        let places = (0..TOPICS).flat_map(|topic| (0..counts).map(move |p| (topic, p)));
        for (topic, partition) in places.collect::<Vec<_>>() {
            for (offset, item) in world.kafka.log(flow, topic, partition).records.clone() {
                world.checks.compared(Promise::Conserve);
                let place = (flow, topic, partition, offset);
                match world.checks.ever.get(&place).cloned() {
                    None if world.checks.written_off.contains(&place) => {}
                    None => {
                        let text = format!("f{flow} {topic}/{partition}@{offset} has no resolution");
                        world.violated(Promise::Conserve, text);
                    }
                    Some(kinds) => effect_as_booked(world, flow, item, &kinds),
                }
            }
            ledger_as_booked(world, flow, partition);
            if topic == 0 {
                world.quarantine_as_booked(flow, partition);
            }
        }
    }
    world.jobs_done();
    doubles_found(world);
}

/// An accepted event took effect once; one that was not accepted did not.
fn effect_as_booked(world: &mut World<'_>, flow: usize, item: Item, kinds: &[Kind]) {
    let Some((what, event)) = world.planned(item) else { return };
    let place = (flow, event);
    if world.checks.forgotten.contains(&place) || world.checks.doubles.contains_key(&place) {
        return;
    }
    let accepted = world.checks.accepted.contains_key(&place);
    world.checks.compared(Promise::OneStart);
    match what {
        What::Start => {
            let starts = world.checks.starts.get(&place).cloned().unwrap_or_default();
            let late = starts.iter().any(|id| world.engine.instances[*id].late);
            let starts = starts.len();
            if !late && starts != usize::from(accepted) {
                let text = format!("event {event} of f{flow}: accepted {accepted}, instances {starts} ({kinds:?})");
                world.violated(Promise::OneStart, text);
            }
        }
        What::Message => {
            let deliveries = world.checks.deliveries.get(&place).copied().unwrap_or(0);
            if deliveries != u32::from(accepted) {
                let text = format!("message {event} of f{flow}: accepted {accepted}, delivered {deliveries} times");
                world.violated(Promise::OneStart, text);
            }
        }
        What::Terminate | What::Filter | What::Reject => {}
    }
}

/// What the ledger remembers was accepted, with its reply.
fn ledger_as_booked(world: &mut World<'_>, flow: usize, partition: i32) {
    let mut unknown = Vec::new();
    let mut compared = 0;
    for (_, transaction, entry) in &world.kafka.ledgers[flow][partition as usize].entries {
        let seen = transaction.is_none_or(|index| world.kafka.transactions[index].seen_in(partition) == Some(true));
        let Entry::Remembered(entry) = entry else { continue };
        if !seen {
            continue;
        }
        compared += 1;
        let place = (flow, entry.topic.0, partition, entry.offset.get());
        if !world.checks.ever.get(&place).is_some_and(|kinds| kinds.contains(&Kind::Accepted)) {
            unknown.push(place);
        }
    }
    world.checks.compared[Promise::AtomicBooks as usize] += compared;
    for place in unknown {
        world.violated(Promise::AtomicBooks, format!("{place:?} is in the ledger and was never answered as accepted"));
    }
}

/// A double after a late send is found by a contest while its sender lives; else it is the stated residue.
fn doubles_found(world: &mut World<'_>) {
    for ((flow, event), found) in world.checks.doubles.clone() {
        world.checks.compared(Promise::OneStart);
        let starts = world.checks.starts.get(&(flow, event)).cloned().unwrap_or_default();
        let late = starts.iter().filter(|id| world.engine.instances[**id].late);
        // Whoever accepted it after a doubt looks again later: instances that were there by then are seen.
        let accepted = world.checks.accepted_by.get(&(flow, event)).copied();
        let places = world.checks.accepted.get(&(flow, event)).cloned().unwrap_or_default();
        // Only the record that was sent late is in doubt for its next owner; a repeat elsewhere is not.
        let mut late_ones = starts.iter().map(|id| &world.engine.instances[*id]).filter(|instance| instance.late);
        let same_record = late_ones.all(|instance| places.contains(&(instance.partition, instance.offset)));
        let looked = same_record
            && accepted.is_some_and(|(at, worker, life)| {
                let all_there = starts.iter().all(|id| world.engine.instances[*id].started <= at);
                all_there && world.workers[worker].life == life
            });
        let sender_lives = late.clone().all(|id| {
            let (worker, life) = world.engine.instances[*id].sender;
            // One that came after the late one may come after the count too; its own second look, if any, is above.
            let last = starts
                .iter()
                .all(|other| world.engine.instances[*other].started <= world.engine.instances[*id].started);
            last && world.workers[worker].life == life
        });
        // An id that was used for two business keys is looked for under one of them.
        let businesses: std::collections::BTreeSet<u8> =
            starts.iter().map(|id| world.engine.instances[*id].business).collect();
        if found {
            world.checks.doubles_found += 1;
        } else if (sender_lives || looked) && businesses.len() < 2 {
            let text = format!("event {event} of f{flow} has the instances {starts:?}, and nobody found out");
            world.violated(Promise::OneStart, text);
        } else {
            world.checks.residue += 1;
        }
    }
}
