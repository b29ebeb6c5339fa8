//! Audits of a running connector: the worker that owns partition 0 of a flow looks for its doubles.

use std::sync::Arc;
use std::time::Duration;

use consumer_engine::Status;
use event_model::Partition;
use flow_config::AuditSettings;
use flow_core::EndpointId;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use workflow_client::Engine;

use super::telemetry::Telemetry;
use super::{Subject, audit};

/// Audits until `stopping` turns true. It reports and never ends anything.
pub(crate) async fn keep_auditing(
    subject: Subject,
    settings: AuditSettings,
    history_lag: Duration,
    engine: Engine,
    status: watch::Receiver<Status>,
    telemetry: Arc<Telemetry>,
    mut stopping: watch::Receiver<bool>,
) {
    let work = async {
        let mut ticks = tokio::time::interval(settings.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once, when nobody owns anything yet.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let (ours, well) = {
                let status = status.borrow();
                (status.holds(Partition::new(0)), status.is_open(EndpointId::ENGINE))
            };
            let since = SignedDuration::try_from(settings.since).ok();
            let since = since.and_then(|back| Timestamp::now().checked_sub(back).ok()).unwrap_or(Timestamp::MIN);
            for definition in &subject.definitions {
                if !ours {
                    telemetry.handed_over(&subject.flow, definition);
                } else if well {
                    let found = audit(&engine, &subject.flow, definition, since, history_lag).await;
                    telemetry.audited(&subject.flow, definition, &found);
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        // A sender that is gone stops everything too.
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}
