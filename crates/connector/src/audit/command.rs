//! The command: what it is asked, what it does, what it says in the end.

use std::time::Duration;

use anyhow::bail;
use flow_config::Compensate;
use jiff::{SignedDuration, Timestamp};
use workflow_client::{Engine, Fault};

use super::report::{Found, Report, Told};
use super::{Subject, TRIES, audit, may_pass, pause};
use crate::handler::marker;
use crate::setup::{self, Setup};

/// What an audit is asked for.
pub(crate) struct Question<'a> {
    pub(crate) flow: Option<&'a str>,
    /// How far back instances are looked at, by their start.
    pub(crate) since: Duration,
    /// Whether surplus instances are ended.
    pub(crate) compensate: bool,
    pub(crate) json: bool,
}

/// Audits the flows, tells what it found, and says whether there are no doubles. Doubles outweigh what could not be seen: they
/// are there whatever else is.
///
/// # Errors
/// There is no such flow, a flow does not allow what was asked for, or part of the engine could not be seen and the rest is without
/// doubles.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) async fn run(setup: Setup, question: Question<'_>) -> anyhow::Result<bool> {
    let engine = setup::engine(&setup.settings.engine)?;
    let flows: Vec<Subject> = setup.flows.iter().map(Subject::of).collect();
    let wanted = |subject: &&Subject| question.flow.is_none_or(|name| name == &*subject.flow);
    let chosen: Vec<&Subject> = flows.iter().filter(wanted).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = flows.iter().map(|subject| &*subject.flow).collect();
        bail!("there is no such flow; the flows are {}", names.join(", "));
    }
    let since = SignedDuration::try_from(question.since).ok();
    let since = since.and_then(|back| Timestamp::now().checked_sub(back).ok()).unwrap_or(Timestamp::MIN);
    let mut report = Report::default();
    for subject in &chosen {
        for definition in &subject.definitions {
            let found = audit(&engine, &subject.flow, definition, since, setup.settings.engine.history_lag).await;
            report.add(subject, definition, found);
        }
    }
    if question.compensate {
        undo(&engine, &chosen, &mut report.doubles).await?;
    }
    println!("{}", if question.json { report.json()? } else { report.to_string() });
    if report.doubles.is_empty() && !report.unknown.is_empty() {
        bail!("it could not be seen whether there are doubles; the reasons stand above");
    }
    Ok(report.doubles.is_empty())
}

/// Ends the surplus that still runs, if every flow that has some allows it.
async fn undo(engine: &Engine, flows: &[&Subject], doubles: &mut [Told]) -> anyhow::Result<()> {
    let allowed = |name: &str| flows.iter().any(|flow| &*flow.flow == name && flow.compensate == Compensate::Delete);
    if let Some(double) = doubles.iter().find(|double| !allowed(&double.flow)) {
        bail!(
            "flow {} only reports doubles: set compensate = \"delete\" in [flow] of its flow.toml first",
            double.flow
        );
    }
    for Told { survivor, surplus, .. } in doubles {
        let refusal = survivor_is_gone(engine, survivor).await;
        for one in surplus.iter_mut().filter(|one| one.running) {
            let ended = match &refusal {
                Some(reason) => Err(reason.clone()),
                None => end(engine, &one.id).await,
            };
            match ended {
                Ok(()) => (one.running, one.deleted) = (false, true),
                Err(reason) => one.left = Some(reason),
            }
        }
    }
    Ok(())
}

/// Why nothing may be ended for this survivor. Somebody who ended it by hand has chosen another one to stay.
async fn survivor_is_gone(engine: &Engine, survivor: &Found) -> Option<String> {
    match engine.instance_history(&survivor.id).await {
        // Where history does not list what runs, what the audit has seen must do.
        Ok(None) => None,
        Ok(Some(instance)) if instance.delete_reason.as_deref().is_none_or(str::is_empty) => None,
        Ok(Some(_)) => Some("somebody ended the survivor".to_owned()),
        Err(error) => Some(format!("it cannot be seen whether the survivor is still there: {error}")),
    }
}

/// Ends a surplus instance. One that is not there any more has ended by itself.
async fn end(engine: &Engine, instance: &str) -> Result<(), String> {
    let mut tries = 1;
    loop {
        match engine.terminate(instance, marker::DUPLICATE).await {
            Ok(()) => return Ok(()),
            Err(error) if error.fault == Fault::NotFound => return Ok(()),
            Err(error) if tries < TRIES && may_pass(error.fault) => pause(tries, &error).await,
            Err(error) => return Err(error.to_string()),
        }
        tries += 1;
    }
}
