//! `xconnector audit`, and the audits of a running connector: reads what each flow's definitions have started, and looks for
//! events with more than one process instance.

mod command;
mod compare;
mod report;
mod schedule;
mod telemetry;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use flow_config::{Action, Compensate, Flow};
use jiff::Timestamp;
use workflow_client::{CallError, Engine, Fault, Instance, Sweep, SweepSource};

use compare::{Compared, Comparison};

pub(crate) use command::{Question, run as audit_flows};
pub(crate) use schedule::keep_auditing;
pub(crate) use telemetry::Telemetry;

/// How often a page is asked for, and a termination.
const TRIES: u32 = 5;
/// The longest pause between two tries, whatever the engine asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What of a flow an audit needs.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub flow: Arc<str>,
    /// The definitions that its steps start, each once.
    pub definitions: Vec<Arc<str>>,
    pub compensate: Compensate,
}

impl Subject {
    pub(crate) fn of(flow: &Flow) -> Subject {
        let mut definitions: Vec<Arc<str>> = Vec::new();
        for step in &flow.steps {
            match &step.action {
                Action::Start { definition } if !definitions.contains(definition) => {
                    definitions.push(definition.clone())
                }
                Action::Start { .. } | Action::Message { .. } | Action::Terminate { .. } => {}
            }
        }
        Subject { flow: flow.name.clone(), definitions, compensate: flow.compensate }
    }
}

/// Reads a definition's instances and compares them.
///
/// # Errors
/// Why it could not be seen whether there are doubles: *unknown*, never *none*.
pub(crate) async fn audit(
    engine: &Engine,
    flow: &str,
    definition: &str,
    since: Timestamp,
    history_lag: Duration,
) -> Result<Compared, String> {
    let mut comparison = Comparison::of(flow);
    if !(engine.history_lists_running() && history_lag.is_zero()) {
        sweep(engine, definition, since, SweepSource::Running, &mut comparison).await?;
        // An instance that ends between two reads at once would be in neither.
        tokio::time::sleep(history_lag).await;
    }
    sweep(engine, definition, since, SweepSource::History, &mut comparison).await?;
    comparison.finish()
}

async fn sweep(
    engine: &Engine,
    definition: &str,
    since: Timestamp,
    source: SweepSource,
    comparison: &mut Comparison,
) -> Result<(), String> {
    let mut sweep = engine.sweep(definition, since, source).map_err(|error| error.to_string())?;
    while let Some(page) = page(&mut sweep).await.map_err(|error| error.to_string())? {
        for instance in &page {
            comparison.add(instance)?;
        }
    }
    Ok(())
}

async fn page(sweep: &mut Sweep) -> Result<Option<Vec<Instance>>, CallError> {
    let mut tries = 1;
    loop {
        match sweep.next_page().await {
            Err(error) if tries < TRIES && may_pass(error.fault) => pause(tries, &error).await,
            answer => return answer,
        }
        tries += 1;
    }
}

async fn pause(tries: u32, error: &CallError) {
    let usual = Duration::from_millis(500) * 2_u32.saturating_pow(tries);
    tokio::time::sleep(error.retry_after.unwrap_or(usual).min(LONGEST_PAUSE)).await;
}

fn may_pass(fault: Fault) -> bool {
    match fault {
        Fault::Unsent
        | Fault::TimedOut
        | Fault::Broken
        | Fault::RateLimited
        | Fault::Unavailable
        | Fault::Gateway
        | Fault::EngineError
        | Fault::ServerError
        | Fault::Conflict => true,
        Fault::BadRequest
        | Fault::NotFound
        | Fault::TooLarge
        | Fault::Unauthorized
        | Fault::Forbidden
        | Fault::BadAnswer
        | Fault::Limit => false,
    }
}
