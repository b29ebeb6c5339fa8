//! The loops: one per engine topic, each asks, hands over, waits, and asks again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use workflow_client::{Acquire, Engine};

use crate::error::IntakeError;
use crate::pace::{Pace, Round};
use crate::producer::JobsTopic;
use crate::settings::Settings;
use crate::telemetry::{Report, Telemetry};

/// How long a shutdown waits for requests under way and for Kafka's acknowledgements.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(10);

/// Locks external-worker jobs of the engine and writes them to `xc.<flow>.jobs`, until `shutdown` is true.
///
/// While the `may_acquire` of a topic is false, or there is none, nothing of it is asked of the engine; what is locked already is
/// still written. A dropped sender of `may_acquire` counts as false, a dropped sender of `shutdown` as true. After `shutdown` no job is asked
/// for; a request under way is waited for and its jobs are written, for 10 s at most. A job that is cut off then
/// comes again when its lock expires.
///
/// Dropping the future ends everything at once.
///
/// # Errors
/// [`IntakeError`] when the settings cannot work, or on a bug. Faults of the engine or of Kafka end nothing.
pub async fn acquire_jobs(
    settings: Settings,
    engine: Engine,
    may_acquire: HashMap<Arc<str>, watch::Receiver<bool>>,
    telemetry: Arc<Telemetry>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), IntakeError> {
    settings.check()?;
    let settings = Arc::new(settings);
    let jobs_topic = Arc::new(JobsTopic::new(&settings)?);
    let mut loops = JoinSet::new();
    for topic in settings.distinct_topics() {
        let Some(permission) = may_acquire.get(&topic) else { continue };
        let acquirer = Acquirer {
            engine: engine.clone(),
            jobs_topic: Arc::clone(&jobs_topic),
            pace: Pace::new(settings.batch, settings.poll_interval),
            not_before: Instant::now(),
            may_acquire: permission.clone(),
            report: Report::new(Arc::clone(&telemetry), Arc::clone(&settings.flow), Arc::clone(&topic)),
            shutdown: shutdown.clone(),
            settings: Arc::clone(&settings),
            topic,
        };
        loops.spawn(acquirer.run());
    }
    let gone = |source| IntakeError::LoopGone { flow: settings.flow.to_string(), source };
    tokio::select! {
        biased;
        () = stopped(&mut shutdown) => {}
        ended = all_ended(&mut loops), if !loops.is_empty() => return ended.map_err(gone),
    }
    timeout(SHUTDOWN_WITHIN, all_ended(&mut loops)).await.map_or_else(
        |_| {
            tracing::warn!(
                flow = %settings.flow,
                within = ?SHUTDOWN_WITHIN,
                "stopped before every locked job was written; the engine hands the rest out again when their lock expires"
            );
            Ok(())
        },
        |ended| ended.map_err(gone),
    )
}

/// Waits for every loop, or for the first that panicked.
async fn all_ended(loops: &mut JoinSet<()>) -> Result<(), JoinError> {
    while let Some(ended) = loops.join_next().await {
        ended?;
    }
    Ok(())
}

/// The loop of one engine topic.
struct Acquirer {
    settings: Arc<Settings>,
    topic: Arc<str>,
    engine: Engine,
    jobs_topic: Arc<JobsTopic>,
    pace: Pace,
    /// When the pace, or the engine, lets us ask again. Outlives a time in which nothing may be acquired.
    not_before: Instant,
    may_acquire: watch::Receiver<bool>,
    shutdown: watch::Receiver<bool>,
    report: Report,
}

/// What a wait ended with.
pub(crate) enum Next {
    Ask,
    LookAgain,
    Stop,
}

impl Acquirer {
    async fn run(mut self) {
        loop {
            match next(&mut self.may_acquire, &mut self.shutdown, self.not_before, &mut self.report).await {
                Next::Ask => {
                    let pause = self.round().await;
                    self.not_before = Instant::now() + pause;
                }
                Next::LookAgain => {}
                Next::Stop => {
                    self.report.acquiring(false);
                    return;
                }
            }
        }
    }

    /// Asks once and hands over what came. Never cancelled half-way by a change of permission: a job whose answer
    /// nobody waits for stays locked until its lock expires.
    async fn round(&mut self) -> Duration {
        let acquire = Acquire {
            topic: &self.topic,
            worker: &self.settings.worker,
            lock: self.settings.lock,
            max: self.pace.ask(),
        };
        let jobs = match self.engine.acquire(&acquire).await {
            Ok(jobs) => jobs,
            Err(error) => {
                let pause = self.pace.after(Round::EngineFault { retry_after: error.retry_after });
                self.report.engine_fault(&error, pause);
                return pause;
            }
        };
        let count = jobs.len();
        self.report.acquired(count);
        let refusals = self.jobs_topic.hand_over(&self.topic, jobs).await;
        if refusals.is_empty() {
            self.report.well();
            return self.pace.after(Round::HandedOver(count));
        }
        let pause = self.pace.after(Round::NotAcknowledged);
        self.report.refused(&refusals, pause);
        pause
    }
}

/// Waits for the permission first, then for the time, and lets go of either as soon as it is withdrawn.
pub(crate) async fn next(
    may_acquire: &mut watch::Receiver<bool>,
    shutdown: &mut watch::Receiver<bool>,
    not_before: Instant,
    report: &mut Report,
) -> Next {
    let permitted = may_acquire.has_changed().is_ok() && *may_acquire.borrow();
    report.acquiring(permitted);
    if !permitted {
        return tokio::select! {
            biased;
            () = stopped(shutdown) => Next::Stop,
            () = given(may_acquire) => Next::LookAgain,
        };
    }
    tokio::select! {
        biased;
        () = stopped(shutdown) => Next::Stop,
        () = withdrawn(may_acquire) => Next::LookAgain,
        () = sleep_until(not_before) => Next::Ask,
    }
}

/// Waits for the shutdown. A dropped sender means that nobody could ask for it any more.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Waits for the permission, for ever when nobody is left to give it. The last value of a dropped sender is none.
async fn given(may_acquire: &mut watch::Receiver<bool>) {
    loop {
        if may_acquire.changed().await.is_err() {
            return std::future::pending().await;
        }
        if *may_acquire.borrow_and_update() {
            return;
        }
    }
}

/// Waits until the permission is false or nobody can vouch for it any more.
async fn withdrawn(may_acquire: &mut watch::Receiver<bool>) {
    while *may_acquire.borrow_and_update() {
        if may_acquire.changed().await.is_err() {
            return;
        }
    }
}
