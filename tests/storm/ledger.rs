//! The account from outside: the engine's own instances, and what a `read_committed` consumer read, against what was published.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use emulator::System;
use promises::{read_all, systems};
use tokio::task::JoinSet;
use workflow_client::Instance;

use crate::books::Books;
use crate::source::{Case, SOURCE, Work};
use crate::stage::Stage;

/// How long the last jobs may take to be completed: their locks may have to run out first.
const ENDED_WITHIN: Duration = Duration::from_secs(60);
/// Readers of the engine's history at the same time.
const READERS: usize = 8;

#[derive(Default)]
pub(crate) struct Report {
    cases: usize,
    events: usize,
    instances: usize,
    outcomes: usize,
    effects: usize,
    known_already: u32,
    pub(crate) violations: Vec<String>,
}

pub(crate) async fn reckon(stage: &Stage, books: &Books, published: &[Case]) -> Result<Report> {
    let mut report = Report { cases: published.len(), ..Report::default() };
    for topic in [stage.deployment.dead_letters(), stage.reviews.dead_letters()] {
        for letter in read_all(&stage.kafka, &topic).await? {
            let reason = letter.header("xc-reason").unwrap_or("?").to_owned();
            report.violations.push(format!("{}: dead letter that nobody deserved ({reason})", letter.key_text()));
        }
    }
    effects(published, &mut report)?;
    instances(stage, published, &mut report).await?;
    let entries = books.lock();
    report.known_already = entries.duplicate.values().sum();
    report.outcomes = entries.outcomes.len();
    for (event, reason) in &entries.rejected {
        report.violations.push(format!("{event}: rejected ({reason})"));
    }
    for (instance, several) in entries.outcomes.iter().filter(|(_, outcomes)| outcomes.len() > 1) {
        report.violations.push(format!("instance {instance}: {} outcomes: {}", several.len(), several.join("; ")));
    }
    for (key, offsets) in &entries.order {
        if !offsets.is_sorted() {
            report.violations.push(format!("{key}: accepted out of order, at offsets {offsets:?}"));
        }
    }
    for case in published {
        for event in case.events() {
            report.events += 1;
            match entries.accepted.get(&event) {
                Some(1) => {}
                Some(count) => report.violations.push(format!("{event}: {count} accepted replies")),
                None => report.violations.push(format!("{event}: lost, no reply")),
            }
        }
        let outcome = entries.instances.get(&case.key).and_then(|instance| entries.outcomes.get(instance));
        if outcome.is_none() {
            report.violations.push(format!("{}: no outcome", case.key));
        }
    }
    Ok(report)
}

/// Each system did what the processes had to ask of it: that, once, and nothing else.
fn effects(published: &[Case], report: &mut Report) -> Result<()> {
    let systems = systems()?;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for system in System::ALL {
        let mut keys = BTreeSet::new();
        for effect in systems.effects(system) {
            report.effects += 1;
            if let Some(key) = effect.key.filter(|key| !keys.insert(key.clone())) {
                report.violations.push(format!("{system:?}: a second effect under the key {key}"));
            }
            found.entry(effect.id).or_default().push(effect.operation);
        }
    }
    for case in published {
        let done = found.remove(&case.key).unwrap_or_default();
        if done != case.effects() {
            report.violations.push(format!("{}: {done:?} took effect instead of {:?}", case.key, case.effects()));
        }
    }
    for (id, done) in found {
        report.violations.push(format!("{done:?} took effect on {id}, which no case is about"));
    }
    Ok(())
}

/// One instance for each case, started by its first event, with its last update as the last comment, and ended.
async fn instances(stage: &Stage, published: &[Case], report: &mut Report) -> Result<()> {
    let patience = Instant::now() + ENDED_WITHIN;
    let mut readers: JoinSet<Result<(usize, Vec<String>)>> = JoinSet::new();
    for share in published.chunks(published.len().div_ceil(READERS).max(1)) {
        let engine = stage.engine.client.clone();
        let tickets = (stage.deployment.definition(), stage.deployment.flow());
        let review = stage.reviews.definitions().first().map(|key| (*key).to_owned()).unwrap_or_default();
        let reviews = (review, stage.reviews.name().to_owned());
        let share = share.to_vec();
        readers.spawn(async move {
            let (mut count, mut violations) = (0, Vec::new());
            for case in share {
                let business_key = case.business_key();
                let (definition, flow) = if case.work == Work::Ticket { &tickets } else { &reviews };
                let mut found = engine.historic(definition, &business_key).await?;
                // Its job is completed after its outcome is read, or comes again when its lock ends.
                while !found.iter().all(Instance::is_ended) && Instant::now() < patience {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    found = engine.historic(definition, &business_key).await?;
                }
                count += found.len();
                if found.len() != 1 {
                    let ids: BTreeSet<&str> = found.iter().map(|instance| instance.id.as_str()).collect();
                    violations.push(format!("{}: {} instances {ids:?}", case.key, found.len()));
                }
                let Some(instance) = found.first() else { continue };
                if !instance.is_ended() {
                    violations.push(format!("{}: instance {} still runs, its job is orphaned", case.key, instance.id));
                }
                let text = |name: &str| {
                    let value = instance.variable(name).and_then(|value| value.as_str().map(str::to_owned));
                    value.unwrap_or_default()
                };
                let mark = text("xcEventId");
                if mark != format!("{flow}/{SOURCE}/{}-0", case.key) {
                    violations.push(format!("{}: started by {mark}", case.key));
                }
                if case.updates > 0 && text(case.told()) != format!("update {}", case.updates) {
                    violations.push(format!("{}: the last {} is {:?}", case.key, case.told(), text(case.told())));
                }
            }
            Ok((count, violations))
        });
    }
    while let Some(read) = readers.join_next().await {
        let (count, violations) = read??;
        report.instances += count;
        report.violations.extend(violations);
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in self.violations.iter().take(50) {
            writeln!(f, "VIOLATION {violation}")?;
        }
        writeln!(f, "published        {} cases of two flows, {} events", self.cases, self.events)?;
        writeln!(f, "engine           {} instances", self.instances)?;
        writeln!(f, "replies          {} outcomes, {} events known already", self.outcomes, self.known_already)?;
        writeln!(f, "systems          {} effects", self.effects)?;
        write!(f, "violations       {}", self.violations.len())
    }
}
