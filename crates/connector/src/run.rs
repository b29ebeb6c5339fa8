//! `xconnector run`: puts the parts together, one engine per flow, and takes them down in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use consumer_engine::{Delivery, GroupProtocol, StartFrom, Status, Telemetry, TopicRole};
use event_model::{JobRecord, Partition, replay_topic_of};
use flow_config::{Compensate, Flow, Job, JobOrigin, JobWork};
use flow_core::{EndpointId, EndpointPolicy, GatePolicy, OnExhausted, OnLost, RetryPolicy, StormPolicy, TopicId};
use prometheus_client::registry::Registry;
use system_client::System;
use tokio::sync::watch;
use tokio::task::JoinSet;
use workflow_client::Engine;

use crate::audit;
use crate::doors;
use crate::handler::{FlowHandler, Parts};
use crate::monitoring::{self, Monitoring};
use crate::process::Process;
use crate::setup::{self, Setup};
use crate::topics;

/// The acquirer takes no more jobs while this many wait on the jobs topic.
const JOBS_BACKLOG: u64 = 1_000;
/// Answers that wait for their job to be handed out again may have filled the partition: without more jobs they would wait in vain.
const JOBS_BACKLOG_BEHIND_ANSWERS: u64 = 4 * JOBS_BACKLOG;
const LINGER: Duration = Duration::from_millis(20);
const MAX_SPAN: u64 = 1_000_000;
const MAX_BATCH: usize = 5_000;

/// Runs every flow until SIGTERM or SIGINT, then finishes what is in flight, bounded by `[shutdown] drain_timeout`.
///
/// # Errors
/// What keeps the flows from running.
pub(crate) async fn run(setup: Setup) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        stop_signal().await;
        stop.send_replace(true);
    });
    run_until(setup, stopping).await
}

/// Runs every flow until `stopping` turns true.
///
/// # Errors
/// What keeps the flows from running.
pub(crate) async fn run_until(setup: Setup, stopping: watch::Receiver<bool>) -> anyhow::Result<()> {
    let Setup { settings, flows, schema_ids } = setup;
    let engine = setup::engine(&settings.engine)?;
    let listener = monitoring::listen("metrics", settings.metrics_listen).await?;
    let address = listener.local_addr().context("the monitoring page has no address")?;
    let properties = setup::properties(&settings.kafka);
    check_topics(&settings.kafka.bootstrap_servers, &properties, &flows).await?;

    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    let telemetry = Telemetry::register(&mut registry);
    let intake_telemetry = intake::Telemetry::register(&mut registry);
    let audit_telemetry = audit::Telemetry::register(&mut registry);
    let http_telemetry = intake::HttpTelemetry::register(&mut registry);
    let mut doors = Vec::new();
    let instance = format!("{:08x}", rand::random::<u32>());
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let (stop_all, stopping) = follow(stopping);
    let endpoint = consumer_engine::Endpoint::new("engine", endpoint_policy(&settings.engine));
    let systems: Vec<Called> = called(&settings)?;
    let mut statuses = Vec::new();
    for flow in flows {
        let (status, status_of) = watch::channel(Status::default());
        statuses.push((flow.name.clone(), status_of.clone()));
        let jobs_topic = (!flow.jobs.is_empty()).then_some(TopicId(flow.source.topics.len() as u16));
        if let Some(jobs_topic) = jobs_topic {
            let acquirer = intake::Settings {
                flow: flow.name.clone(),
                topics: tasks_of(&flow),
                worker: settings.deployment.clone(),
                lock: settings.jobs.lock_duration,
                batch: u32::try_from(settings.jobs.batch).unwrap_or(u32::MAX),
                poll_interval: settings.jobs.poll_interval,
                bootstrap_servers: settings.kafka.bootstrap_servers.clone(),
                properties: properties.clone(),
            };
            let may_acquire: HashMap<Arc<str>, _> = flow
                .jobs
                .iter()
                .map(|job| (job.topic.clone(), permission(status_of.clone(), jobs_topic, asks(&flow, &systems, job))))
                .collect();
            for job in &flow.jobs {
                let JobOrigin::Ended(process) = &job.origin else { continue };
                let ended = intake::Ended {
                    process: process.clone(),
                    topic: job.topic.clone(),
                    mark: crate::handler::marker::EVENT_ID,
                    history_lag: settings.engine.history_lag,
                    state_topic: consumer_engine::state_topic(&flow.name),
                };
                let may_watch = permission(status_of.clone(), jobs_topic, None);
                let (telemetry, stopping) = (intake_telemetry.clone(), stopping.clone());
                let watch =
                    intake::watch_ended(acquirer.clone(), ended, engine.clone(), may_watch, telemetry, stopping);
                tasks.spawn(async move { Ok(watch.await?) });
            }
            let acquire =
                intake::acquire_jobs(acquirer, engine.clone(), may_acquire, intake_telemetry.clone(), stopping.clone());
            tasks.spawn(async move { Ok(acquire.await?) });
        }
        if let Some(schedule) = settings.audit {
            let audits = audit::keep_auditing(
                audit::Subject::of(&flow),
                schedule,
                settings.engine.history_lag,
                engine.clone(),
                status.subscribe(),
                audit_telemetry.clone(),
                stopping.clone(),
            );
            tasks.spawn(async move {
                audits.await;
                Ok(())
            });
        }
        let name = flow.name.clone();
        let engine_settings = engine_settings(&settings, &flow, &properties, &instance);
        let replay_topic = TopicId(engine_settings.topics.len() as u16 - 1);
        let of_flow: Vec<&Called> = systems_of(&flow, &systems).collect();
        let endpoints = [&endpoint].into_iter().chain(of_flow.iter().map(|called| &called.endpoint)).cloned().collect();
        let clients = of_flow.iter().map(|called| called.client.clone()).collect();
        let handler = handler(&settings, flow, jobs_topic, replay_topic, schema_ids.clone(), engine.clone(), clients)?;
        let of_flow = settings.intake.iter().flat_map(|intake| &intake.doors).find(|door| *door.flow == *name);
        if let Some(of_flow) = of_flow {
            doors.push(doors::door(of_flow, handler.clone())?);
        }
        let run =
            consumer_engine::run(engine_settings, endpoints, handler, telemetry.clone(), status, stopping.clone());
        tasks.spawn(async move { Ok(run.await?) });
    }
    if let Some(intake) = &settings.intake {
        let listener = monitoring::listen("intake", intake.listen).await?;
        let (cluster, stopping) = (setup::cluster(&settings.kafka), stopping.clone());
        tracing::info!(address = %listener.local_addr()?, "the HTTP intake listens: POST /intake/<flow>");
        tasks
            .spawn(async move { Ok(intake::serve_intake(listener, doors, &cluster, http_telemetry, stopping).await?) });
    }
    tracing::info!(deployment = settings.deployment, instance, %address, "xconnector runs; metrics at /metrics");
    let page = tokio::spawn(monitoring::serve(listener, Monitoring { registry, flows: statuses }));
    let result = join(tasks, &stop_all).await;
    page.abort();
    result
}

/// A stop that follows the given one and can also be given from here.
fn follow(mut stopping: watch::Receiver<bool>) -> (watch::Sender<bool>, watch::Receiver<bool>) {
    let (stop, follows) = watch::channel(false);
    let also = stop.clone();
    tokio::spawn(async move {
        // A sender that is gone stops everything too.
        let _ = stopping.wait_for(|stop| *stop).await;
        also.send_replace(true);
    });
    (stop, follows)
}

/// The first failure ends the process, once the other flows have finished what they had in flight: an orchestrator starts it
/// again, and the other instances take over meanwhile.
async fn join(mut tasks: JoinSet<anyhow::Result<()>>, stop: &watch::Sender<bool>) -> anyhow::Result<()> {
    let mut first = Ok(());
    while let Some(task) = tasks.join_next().await {
        let ended =
            task.context("a part of xconnector panicked; this is a bug, its cause is in the log above").flatten();
        if let Err(error) = ended {
            tracing::error!("a part ended: {error:#}; stopping the others");
            stop.send_replace(true);
            if first.is_ok() {
                first = Err(error);
            }
        }
    }
    if first.is_ok() {
        tracing::info!("everything is finished");
    }
    first
}

async fn check_topics(servers: &str, properties: &BTreeMap<String, String>, flows: &[Flow]) -> anyhow::Result<()> {
    let (s, p) = (servers.to_owned(), properties.clone());
    let existing = tokio::task::spawn_blocking(move || consumer_engine::partition_counts(&s, &p))
        .await?
        .with_context(|| format!("Kafka at {servers} cannot be asked for its topics"))?;
    let problems: Vec<String> = flows
        .iter()
        .filter_map(|flow| topics::problem(flow, &existing).map(|what| format!("flow {}: {what}", flow.name)))
        .collect();
    if !problems.is_empty() {
        bail!(
            "{}\n`xconnector topics create` makes what is missing (with --all: source and reply topics too)",
            problems.join("\n")
        );
    }
    Ok(())
}

fn handler(
    settings: &flow_config::Settings,
    flow: Flow,
    jobs_topic: Option<TopicId>,
    replay_topic: TopicId,
    schema_ids: event_model::SchemaIds,
    engine: Engine,
    systems: Vec<Arc<System>>,
) -> anyhow::Result<Arc<FlowHandler>> {
    let parts = Parts {
        flow,
        jobs_topic,
        replay_topic,
        schema_ids,
        engine,
        systems,
        worker: settings.deployment.clone(),
        settle: settings.engine.settle,
        history_lag: settings.engine.history_lag,
        lock: settings.jobs.lock_duration,
    };
    Ok(Arc::new(FlowHandler::new(parts)?))
}

fn engine_settings(
    settings: &flow_config::Settings,
    flow: &Flow,
    properties: &BTreeMap<String, String>,
    instance: &str,
) -> consumer_engine::Settings {
    let start_from = match flow.source.start_from {
        flow_config::StartFrom::Earliest => StartFrom::Earliest,
        flow_config::StartFrom::Latest => StartFrom::Latest,
        flow_config::StartFrom::At(time) => StartFrom::Timestamp(time.as_millisecond()),
    };
    let mut topics: Vec<TopicRole> =
        flow.source.topics.iter().map(|name| TopicRole { name: name.clone(), start_from }).collect();
    if !flow.jobs.is_empty() {
        topics.push(TopicRole { name: JobRecord::topic_of(&flow.name).into(), start_from: StartFrom::Earliest });
    }
    // The last one: a flow that gets its first job keeps the places of its source topics.
    topics.push(TopicRole { name: replay_topic_of(&flow.name).into(), start_from: StartFrom::Earliest });
    let group_id = format!("{}.{}", settings.deployment, flow.name);
    consumer_engine::Settings {
        flow: flow.name.clone(),
        transactional_id: format!("{group_id}.{instance}.0"),
        group_id,
        bootstrap_servers: settings.kafka.bootstrap_servers.clone(),
        properties: properties.clone(),
        delivery: match settings.kafka.delivery {
            flow_config::Delivery::ExactlyOnce => Delivery::ExactlyOnce,
            flow_config::Delivery::AtLeastOnce => Delivery::AtLeastOnce,
        },
        group_protocol: match settings.kafka.group_protocol {
            flow_config::GroupProtocol::Consumer => GroupProtocol::Consumer,
            flow_config::GroupProtocol::Classic => GroupProtocol::Classic,
        },
        ledger_window: topics::LEDGER_WINDOW,
        drain_within: settings.drain_timeout,
        weight: flow.limits.weight,
        flow_core: core_settings(settings, flow, topics.len()),
        topics,
    }
}

/// What the engine is asked to bear from all flows of this process together: they use one set of credentials.
fn endpoint_policy(engine: &flow_config::EngineSettings) -> EndpointPolicy {
    EndpointPolicy {
        min_in_flight: engine.min_in_flight,
        max_in_flight: engine.max_connections,
        max_per_second: engine.max_requests_per_second,
        gate: gate_policy(),
    }
}

fn gate_policy() -> GatePolicy {
    let probe = RetryPolicy { initial: Duration::from_millis(500), max: Duration::from_secs(10) };
    GatePolicy { trip_after: 10, probe }
}

/// A system as all flows of this process call it.
struct Called {
    client: Arc<System>,
    endpoint: Arc<consumer_engine::Endpoint>,
}

/// The systems of the settings, in their order: flows lock their endpoints in it.
fn called(settings: &flow_config::Settings) -> anyhow::Result<Vec<Called>> {
    let clients = setup::systems(settings)?;
    let called = |(client, of): (Arc<System>, &flow_config::SystemSettings)| {
        let policy = EndpointPolicy {
            min_in_flight: 1,
            max_in_flight: of.max_in_flight,
            max_per_second: of.max_requests_per_second,
            gate: gate_policy(),
        };
        Called { endpoint: consumer_engine::Endpoint::new(&of.name, policy), client }
    };
    Ok(clients.into_iter().zip(&settings.systems).map(called).collect())
}

/// The systems that a flow's jobs ask.
fn systems_of<'a>(flow: &Flow, systems: &'a [Called]) -> impl Iterator<Item = &'a Called> {
    systems.iter().filter(|called| flow.calls().any(|call| *call.system == *called.client.name()))
}

/// The external-worker topics of the flow's models.
fn tasks_of(flow: &Flow) -> Vec<Arc<str>> {
    flow.jobs.iter().filter(|job| job.origin == JobOrigin::Task).map(|job| job.topic.clone()).collect()
}

/// Which of the flow's endpoints a job asks, if it asks one beside the engine.
fn asks(flow: &Flow, systems: &[Called], job: &Job) -> Option<EndpointId> {
    let JobWork::Call(call) = &job.work else { return None };
    let place = systems_of(flow, systems).position(|called| *called.client.name() == *call.system)?;
    Some(EndpointId(u8::try_from(place + 1).ok()?))
}

fn core_settings(settings: &flow_config::Settings, flow: &Flow, topics: usize) -> flow_core::Settings {
    flow_core::Settings {
        topics: topics as u16,
        replay: Some(TopicId(topics as u16 - 1)),
        max_in_flight: flow.limits.max_in_flight.min(settings.engine.max_connections),
        max_held: flow.limits.max_held,
        max_span: MAX_SPAN,
        max_batch: MAX_BATCH,
        linger: LINGER,
        retry: RetryPolicy { initial: flow.limits.retry_initial, max: flow.limits.retry_max },
        hold: RetryPolicy { initial: Duration::from_millis(250), max: Duration::from_secs(5) },
        settle: settings.engine.settle,
        history_lag: settings.engine.history_lag,
        give_up_after: flow.limits.give_up_after,
        lease_term: flow_config::LEASE_TERM,
        on_exhausted: match flow.limits.on_exhausted {
            flow_config::OnExhausted::Next => OnExhausted::Next,
            flow_config::OnExhausted::QuarantineKey => OnExhausted::QuarantineKey,
        },
        max_quarantined: flow.limits.max_quarantined,
        storm: storm_policy(flow.storm_guard),
        ledger_entries: flow.limits.ledger_entries,
        on_lost: match flow.source.on_lost {
            flow_config::OnLost::Pause => OnLost::Pause,
            flow_config::OnLost::Continue => OnLost::Continue,
        },
        delete_doubles: flow.compensate == Compensate::Delete,
        seed: rand::random(),
    }
}

fn storm_policy(guard: flow_config::StormGuard) -> StormPolicy {
    StormPolicy {
        run: guard.run,
        window: guard.window,
        percent: guard.percent,
        failing_after: guard.failing_after,
        trial_after: guard.trial_after,
    }
}

/// Whether this worker acquires jobs of a topic: it owns partition 0, what it acquired before is not piling up, and the system that
/// the jobs ask is well. While it is not, they stay in the engine and hold up nobody.
fn permission(mut status: watch::Receiver<Status>, jobs: TopicId, asks: Option<EndpointId>) -> watch::Receiver<bool> {
    let (permission, may_acquire) = watch::channel(false);
    tokio::spawn(async move {
        while status.changed().await.is_ok() {
            let may = {
                let status = status.borrow_and_update();
                let backlog = if status.answers_kept() > 0 { JOBS_BACKLOG_BEHIND_ANSWERS } else { JOBS_BACKLOG };
                status.holds(Partition::new(0))
                    && status.is_open(EndpointId::ENGINE)
                    && asks.is_none_or(|system| status.is_open(system))
                    && !status.storm
                    && !status.paused
                    && status.unfinished(jobs) < backlog
            };
            permission.send_if_modified(|current| std::mem::replace(current, may) != may);
        }
        permission.send_replace(false);
    });
    may_acquire
}

async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be heard; only SIGINT stops the process gracefully");
            if interrupt.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
