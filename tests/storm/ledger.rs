//! The account from outside: the engine's own instances, and what a `read_committed` consumer read, against what was published.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use emulator::System;
use promises::{read_all, systems};
use tokio::task::JoinSet;
use workflow_client::{Engine, Instance, TaskFilter};

use crate::books::Books;
use crate::cases::{Case, Examples, owners};
use crate::source::SOURCE;
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

pub(crate) async fn reckon(stage: &Stage, examples: &Examples, books: &Books, published: &[Case]) -> Result<Report> {
    let mut report = Report { cases: published.len(), ..Report::default() };
    for flow in stage.flows.values() {
        let letters = read_all(&stage.kafka, &flow.dead_letters).await?;
        let events = if letters.is_empty() { Vec::new() } else { read_all(&stage.kafka, &flow.source).await? };
        for letter in letters {
            let header = |name| letter.header(name).unwrap_or("?");
            let of_key = events.iter().filter(|event| event.key == letter.key);
            let lie: Vec<String> = of_key
                .map(|event| {
                    format!("{} at {}@{}", event.header("ce_id").unwrap_or("?"), event.partition, event.offset)
                })
                .collect();
            report.violations.push(format!(
                "{}: dead letter that nobody deserved ({}: {}); its events: {}",
                letter.key_text(),
                header("xc-reason"),
                header("xc-detail"),
                lie.join(", ")
            ));
        }
    }
    effects(published, &mut report)?;
    instances(stage, examples, published, &mut report).await?;
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
    let keys: BTreeSet<&str> = published.iter().map(|case| case.key.as_str()).collect();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for system in System::ALL {
        let mut used = BTreeSet::new();
        for effect in systems.effects(system) {
            report.effects += 1;
            let Some(case) = owners(systems, system, &effect).find(|owner| keys.contains(owner.as_str())) else {
                report
                    .violations
                    .push(format!("{} took effect on {}, which no case is about", effect.operation, effect.id));
                continue;
            };
            if let Some(key) = effect.key.filter(|key| !used.insert(key.clone())) {
                report.violations.push(format!("{case}: a second {} under the key {key}", effect.operation));
            }
            found.entry(case).or_default().push(effect.operation);
        }
    }
    for case in published {
        let mut done = found.remove(&case.key).unwrap_or_default();
        done.sort();
        let mut due = case.effects().to_vec();
        due.sort_unstable();
        if done != due {
            report.violations.push(format!("{}: {done:?} took effect instead of {due:?}", case.business_key()));
        }
    }
    Ok(())
}

/// One instance for each case, started by its first event, with what its last update said, and ended.
async fn instances(stage: &Stage, examples: &Examples, published: &[Case], report: &mut Report) -> Result<()> {
    let patience = Instant::now() + ENDED_WITHIN;
    let mut readers: JoinSet<Result<(usize, Vec<String>)>> = JoinSet::new();
    for share in published.chunks(published.len().div_ceil(READERS).max(1)) {
        let (engine, examples) = (stage.engine.client.clone(), examples.clone());
        let mut looks = Vec::new();
        for case in share {
            let flow = stage.flows.get(case.kind.flow).context("no such flow")?;
            let definition = flow.definitions.get(case.kind.definition).context("no such process")?;
            looks.push((case.clone(), definition.clone(), format!("{}/{SOURCE}/{}-0", flow.name, case.key)));
        }
        readers.spawn(async move {
            let (mut count, mut violations) = (0, Vec::new());
            for (case, definition, mark) in looks {
                let found = ended(&engine, &definition, &case.business_key(), patience).await?;
                count += found.len();
                wrong(&engine, &examples, &case, &mark, &found, &mut violations).await;
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

/// The instances of a case. The last job is completed after its outcome is read, or comes again when its lock ends.
async fn ended(engine: &Engine, definition: &str, business_key: &str, patience: Instant) -> Result<Vec<Instance>> {
    let mut found = engine.historic(definition, business_key).await?;
    while !found.iter().all(Instance::is_ended) && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(500)).await;
        found = engine.historic(definition, business_key).await?;
    }
    Ok(found)
}

/// What is wrong with the instances of a case.
async fn wrong(
    engine: &Engine,
    examples: &Examples,
    case: &Case,
    mark: &str,
    found: &[Instance],
    violations: &mut Vec<String>,
) {
    let name = case.business_key();
    if found.len() != 1 {
        let ids: BTreeSet<&str> = found.iter().map(|instance| instance.id.as_str()).collect();
        violations.push(format!("{name}: {} instances {ids:?}", found.len()));
    }
    let Some(instance) = found.first() else { return };
    if !instance.is_ended() {
        let tasks = engine.tasks(TaskFilter::Instance(&instance.id)).await.unwrap_or_default();
        let tasks: Vec<String> = tasks.into_iter().filter_map(|task| task.task_definition_key).collect();
        let waits = if tasks.is_empty() { "its job is orphaned".to_owned() } else { format!("people have {tasks:?}") };
        violations.push(format!("{name}: instance {} still runs: {waits}", instance.id));
    }
    let variable = |name: &str| instance.variable(name).map(|value| value.clone().into_json()).unwrap_or_default();
    if variable("xcEventId") != mark {
        violations.push(format!("{name}: started by {} instead of {mark}", variable("xcEventId")));
    }
    if let Some((told, said)) = case.told(examples).filter(|(told, said)| variable(told) != *said) {
        violations.push(format!("{name}: {told} is {} instead of {said}", variable(told)));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in self.violations.iter().take(50) {
            writeln!(f, "VIOLATION {violation}")?;
        }
        writeln!(f, "published        {} cases of all flows, {} events", self.cases, self.events)?;
        writeln!(f, "engine           {} instances", self.instances)?;
        writeln!(f, "replies          {} outcomes, {} events known already", self.outcomes, self.known_already)?;
        writeln!(f, "systems          {} effects", self.effects)?;
        write!(f, "violations       {}", self.violations.len())
    }
}
