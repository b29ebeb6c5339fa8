//! `xconnector audit`: sweeps the engine for second instances of one event.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};
use flow_config::{Action, Compensate, Flow};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use workflow_client::{Engine, Fault, Instance, VariableValue, Window};

use crate::handler::marker::EVENT_ID;
use crate::setup::{self, Setup};

/// One question to the engine; shortened where it has more rows than a list may have.
const SLICE: SignedDuration = SignedDuration::from_hours(1);
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// Why a surplus instance was ended; its outcome is never published.
const REASON: &str = "xc:duplicate";

/// What an audit is asked for.
pub(crate) struct Question<'a> {
    pub(crate) flow: Option<&'a str>,
    /// How far back instances are looked at, by their start.
    pub(crate) since: Duration,
    /// Whether surplus instances are ended.
    pub(crate) compensate: bool,
    pub(crate) json: bool,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// Root instances that were looked at.
    compared: usize,
    /// Instances of the definitions without a mark of the flow: somebody else started them.
    unmarked: usize,
    doubles: Vec<Double>,
}

/// An event with more than one root instance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Double {
    flow: String,
    definition: String,
    event_id: String,
    /// The one that stays: the smallest by start time, then id.
    survivor: Found,
    surplus: Vec<Found>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Found {
    started: Option<Timestamp>,
    id: String,
    running: bool,
}

/// Audits the flows, tells what it found, and says whether there are no doubles.
///
/// # Errors
/// The engine could not be read whole: nothing is known then.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn audit(setup: Setup, question: Question<'_>) -> anyhow::Result<bool> {
    let engine = setup::engine(&setup.settings.engine)?;
    let chosen: Vec<&Flow> =
        setup.flows.iter().filter(|flow| question.flow.is_none_or(|name| name == &*flow.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = setup.flows.iter().map(|flow| &*flow.name).collect();
        bail!("there is no such flow; the flows are {}", names.join(", "));
    }
    let since = SignedDuration::try_from(question.since).context("--since is too long")?;
    // What was sent just now may still be on its way into history.
    let now = Timestamp::now();
    let mut findings = Findings::default();
    for flow in &chosen {
        sweep(&engine, flow, Window { after: now - since, before: now }, &mut findings).await?;
    }
    if question.compensate {
        compensate(&engine, &chosen, &mut findings).await?;
    }
    if question.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        println!("{findings}");
    }
    Ok(findings.doubles.is_empty())
}

/// Every definition that the flow starts.
async fn sweep(engine: &Engine, flow: &Flow, whole: Window, findings: &mut Findings) -> anyhow::Result<()> {
    let mark = format!("{}/", flow.name);
    let starts = flow.steps.iter().filter_map(|step| match &step.action {
        Action::Start { definition } => Some(definition),
        Action::Message { .. } | Action::Terminate { .. } => None,
    });
    let definitions: std::collections::BTreeSet<&str> = starts.map(|definition| &**definition).collect();
    for definition in definitions {
        let mut of_event: BTreeMap<String, Vec<Found>> = BTreeMap::new();
        let (mut after, mut slice) = (whole.after, SLICE);
        while after <= whole.before {
            let before = (after + slice).min(whole.before);
            let instances = match engine.started(definition, Window { after, before }).await {
                Ok(instances) => instances,
                Err(error) if error.fault == Fault::BadAnswer && slice > SHORTEST => {
                    slice = SignedDuration::from_secs((slice.as_secs() / 4).max(1));
                    continue;
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("instances of {definition} cannot be listed"));
                }
            };
            for instance in instances {
                match event_of(&instance).filter(|event| event.starts_with(&mark)) {
                    Some(event) => take(of_event.entry(event.to_owned()).or_default(), &instance, findings),
                    None => findings.unmarked += 1,
                }
            }
            // Both ends belong to a window: one that started at this very moment is in both, and counted once.
            after = before + SignedDuration::from_nanos(1);
        }
        let doubles = of_event.into_iter().filter(|(_, found)| found.len() > 1);
        findings.doubles.extend(doubles.map(|(event_id, mut found)| {
            found.sort();
            let (flow, definition) = (flow.name.to_string(), definition.to_owned());
            Double { flow, definition, event_id, survivor: found.remove(0), surplus: found }
        }));
    }
    Ok(())
}

fn event_of(instance: &Instance) -> Option<&str> {
    instance.variable(EVENT_ID).and_then(VariableValue::as_str)
}

fn take(found: &mut Vec<Found>, instance: &Instance, findings: &mut Findings) {
    let row = Found { started: instance.start_time, id: instance.id.clone(), running: !instance.is_ended() };
    if !found.iter().any(|known| known.id == row.id) {
        found.push(row);
        findings.compared += 1;
    }
}

/// Ends the surplus of flows that allow it.
async fn compensate(engine: &Engine, flows: &[&Flow], findings: &mut Findings) -> anyhow::Result<()> {
    let allowed = |name: &str| flows.iter().any(|flow| &*flow.name == name && flow.compensate == Compensate::Delete);
    if let Some(double) = findings.doubles.iter().find(|double| !allowed(&double.flow)) {
        bail!(
            "flow {} only reports doubles: set compensate = \"delete\" in [flow] of its flow.toml first",
            double.flow
        );
    }
    for surplus in findings.doubles.iter_mut().flat_map(|double| &mut double.surplus).filter(|found| found.running) {
        match engine.terminate(&surplus.id, REASON).await {
            Ok(()) => surplus.running = false,
            // It ended by itself meanwhile.
            Err(error) if error.fault == Fault::NotFound => surplus.running = false,
            Err(error) => return Err(error).with_context(|| format!("instance {} cannot be ended", surplus.id)),
        }
    }
    Ok(())
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for double in &self.doubles {
            let Double { flow, definition, event_id, survivor, surplus } = double;
            writeln!(f, "DOUBLE {event_id} (flow {flow}, {definition}): {survivor} stays")?;
            for one in surplus {
                writeln!(f, "       {one} is surplus")?;
            }
        }
        let Findings { compared, unmarked, doubles } = self;
        write!(
            f,
            "{compared} instances compared, {unmarked} of others passed over, {} events with doubles",
            doubles.len()
        )
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.id, if self.running { "runs" } else { "ended" })?;
        if let Some(started) = self.started {
            write!(f, ", started {started}")?;
        }
        write!(f, ")")
    }
}
