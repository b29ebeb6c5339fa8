//! The loop of one flow: everything that happens becomes an input, everything that is to be done is an effect.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event_model::Partition;
use flow_core::{Effect, Flow, Input, Moment, TopicId};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clients;
use crate::committer::{Committer, Outcome};
use crate::context::Membership;
use crate::control;
use crate::effects::{Done, Performer};
use crate::endpoint::{Endpoint, Places};
use crate::error::EngineError;
use crate::handler::Handler;
use crate::layout::Layout;
use crate::reader::{Command, Read, Reader};
use crate::restore::Restorer;
use crate::settings::Settings;
use crate::status::{LogEnds, PartitionStatus, Status};
use crate::telemetry::Telemetry;

/// Inputs from the reader that may wait; each holds up to a chunk of records, and a full channel slows the reader down.
const READER_CHANNEL: usize = 16;
const STATUS_EVERY: Duration = Duration::from_secs(1);
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// What the end of an engine may take beyond the drain.
const END_MARGIN: Duration = Duration::from_secs(15);

/// Runs a flow until `shutdown` turns true, with a new consumer and producer whenever the old ones are out (fenced, fatal).
/// `endpoints`: the engine, then the systems that the flow's jobs call, in an order that is the same for all flows of the process.
///
/// # Errors
/// What keeps the flow from its first start: settings that make no client, a cluster that refuses. Once it ran, whatever comes is
/// tried again, so that an outage of Kafka ends nothing.
pub async fn run<H: Handler>(
    settings: Settings,
    endpoints: Vec<Arc<Endpoint>>,
    handler: Arc<H>,
    telemetry: Arc<Telemetry>,
    status: watch::Sender<Status>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), EngineError> {
    let settings = Arc::new(settings);
    let mut has_run = false;
    loop {
        let start = Engine::start(settings.clone(), &endpoints, handler.clone(), telemetry.clone(), &status);
        let started = tokio::select! {
            started = start => started,
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
        };
        match started {
            Ok(engine) => {
                has_run = true;
                match engine.run(&mut shutdown).await {
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        tracing::error!(flow = %settings.flow, %error, "starting again with a new consumer and producer");
                    }
                }
            }
            Err(error) if has_run => tracing::error!(flow = %settings.flow, %error, "the flow cannot start again yet"),
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART_AFTER) => {}
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

struct Engine<'a, H: Handler> {
    settings: Arc<Settings>,
    flow: Flow<H::Work, H::Output>,
    places: Places,
    effects: Vec<Effect<H::Work, H::Output>>,
    performer: Performer<H>,
    reads: mpsc::Receiver<Read<H::Work>>,
    done: mpsc::UnboundedReceiver<Done<H::Output>>,
    outcomes: mpsc::UnboundedReceiver<Outcome<H::Work, H::Output>>,
    threads: Vec<JoinHandle<()>>,
    log_ends: LogEnds,
    layout: Arc<Layout>,
    /// Tells the committer to ask the broker nothing again.
    stop: Arc<AtomicBool>,
    status: &'a watch::Sender<Status>,
    origin: Instant,
    stopping: bool,
}

impl<'a, H: Handler> Engine<'a, H> {
    async fn start(
        settings: Arc<Settings>,
        endpoints: &[Arc<Endpoint>],
        handler: Arc<H>,
        telemetry: Arc<Telemetry>,
        status: &'a watch::Sender<Status>,
    ) -> Result<Engine<'a, H>, EngineError> {
        let flow = settings.flow.clone();
        let client = |source| EngineError::Client { flow: flow.to_string(), source };
        let topics: Vec<Arc<str>> = settings.topics.iter().map(|topic| topic.name.clone()).collect();
        let by_name = topics.iter().enumerate().map(|(index, name)| (name.to_string(), TopicId(index as u16)));
        let by_name: HashMap<String, TopicId> = by_name.collect();
        let (inputs, reads) = mpsc::channel(READER_CHANNEL);
        let (done, done_receiver) = mpsc::unbounded_channel();
        let (outcomes, outcome_receiver) = mpsc::unbounded_channel();
        let (commands, command_receiver) = std_mpsc::channel();
        let (batches, batch_receiver) = std_mpsc::channel();
        let log_ends = LogEnds::default();
        let places = Places::take(endpoints, settings.weight);
        let origin = Places::origin();
        let membership = Membership {
            flow: flow.clone(),
            topics: by_name,
            inputs: inputs.clone(),
            drain_within: settings.drain_within,
            log_ends: log_ends.clone(),
            given_up: Arc::default(),
        };
        let consumer: Arc<BaseConsumer<Membership<H::Work>>> =
            Arc::new(clients::reader(&settings).create_with_context(membership).map_err(client)?);
        let layout = Arc::new(Layout::default());
        let restorer = Restorer::new(settings.clone(), layout.clone(), telemetry.clone()).map_err(client)?;
        let control = listen(control::Watch { settings: settings.clone() }, done.clone());
        let watch = restorer.watch();
        let told = done.clone();
        // Ends with the loop that it tells. Nothing is worked on before it is known what operators hold back.
        tokio::spawn(async move {
            if control.await.is_ok() {
                watch.run(move |fits| told.send(Done::Fits(fits)).is_ok()).await;
            }
        });
        let stop = Arc::new(AtomicBool::new(false));
        let (s, h, c, t) = ((*settings).clone(), handler.clone(), consumer.clone(), telemetry.clone());
        let stopping = stop.clone();
        // Making the producer waits for the broker.
        let committer = tokio::task::spawn_blocking(move || Committer::new(s, h, c, t, stopping))
            .await
            .map_err(|_| EngineError::ThreadGone { flow: flow.to_string(), thread: "committer" })??;
        let names: Vec<&str> = topics.iter().map(|name| &**name).collect();
        consumer.subscribe(&names).map_err(client)?;
        let reader = Reader {
            settings: (*settings).clone(),
            handler: handler.clone(),
            consumer: consumer.clone(),
            commands: command_receiver,
            inputs,
            names: topics.clone(),
            telemetry: telemetry.clone(),
            again: VecDeque::new(),
            told_to: HashMap::new(),
        };
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let name = format!("{name}-{flow}");
            std::thread::Builder::new().name(name).spawn(work)
        };
        let mut threads = Vec::new();
        for (name, work) in [
            ("reader", Box::new(move || reader.run()) as Box<dyn FnOnce() + Send>),
            ("committer", Box::new(move || committer.run(batch_receiver, outcomes))),
        ] {
            let thread = spawn(name, work).map_err(|error| {
                tracing::error!(%flow, %error, "the operating system gives no thread");
                EngineError::ThreadGone { flow: flow.to_string(), thread: "reader or committer" }
            })?;
            threads.push(thread);
        }
        let performer = Performer {
            flow: flow.clone(),
            handler,
            topics,
            done,
            commands,
            batches,
            consumer,
            origin,
            restorer,
            telemetry,
            endpoints: endpoints.iter().map(|endpoint| endpoint.name().clone()).collect(),
            waiting: Vec::new(),
            epochs: HashMap::new(),
            released: false,
            given_up: 0,
        };
        Ok(Engine {
            flow: Flow::new(settings.flow_core.clone(), places.seats()),
            places,
            effects: Vec::new(),
            performer,
            reads,
            done: done_receiver,
            outcomes: outcome_receiver,
            threads,
            log_ends,
            layout,
            stop,
            status,
            origin,
            stopping: false,
            settings,
        })
    }

    async fn run(mut self, shutdown: &mut watch::Receiver<bool>) -> Result<(), EngineError> {
        tracing::info!(flow = %self.settings.flow, topics = ?self.performer.topics, group = self.settings.group_id, "the flow runs");
        let result = self.turn(shutdown).await;
        self.end().await;
        result
    }

    async fn turn(&mut self, shutdown: &mut watch::Receiver<bool>) -> Result<(), EngineError> {
        // Until the topics were looked at, nobody knows whether they fit.
        self.step(Input::Fits(false))?;
        let mut tick = tokio::time::interval(STATUS_EVERY);
        let mut done = Vec::new();
        loop {
            let deadline = self.places.deadline(&self.flow).map(|moment| self.origin + moment.since(Moment::ORIGIN));
            tokio::select! {
                _ = shutdown.wait_for(|stop| *stop), if !self.stopping => {
                    tracing::info!(flow = %self.settings.flow, "shutting down: finishing what is in flight");
                    self.stopping = true;
                    self.performer.released = false;
                    self.step(Input::Shutdown { within: self.settings.drain_within })?;
                }
                outcome = self.outcomes.recv() => match outcome {
                    Some(outcome) => self.outcome(outcome)?,
                    None => return Err(EngineError::ThreadGone { flow: self.settings.flow.to_string(), thread: "committer" }),
                },
                count = self.done.recv_many(&mut done, 256) => {
                    debug_assert!(count > 0, "the performer keeps a sender");
                    for done in done.drain(..) {
                        if let Some(input) = self.performer.input(done) {
                            self.step(input)?;
                        }
                    }
                }
                read = self.reads.recv() => match read {
                    Some(read) => self.read(read)?,
                    None => return Err(EngineError::ThreadGone { flow: self.settings.flow.to_string(), thread: "reader" }),
                },
                () = until(deadline) => self.step(Input::Tick)?,
                () = self.places.woken() => self.step(Input::Tick)?,
                _ = tick.tick() => self.show(),
            }
            if self.stopping && self.performer.released {
                return Ok(());
            }
        }
    }

    fn read(&mut self, read: Read<H::Work>) -> Result<(), EngineError> {
        match read {
            Read::Records(records) => self.step(Input::Records(records)),
            Read::Out(detail) => Err(EngineError::ConsumerOut { flow: self.settings.flow.to_string(), detail }),
            Read::Ended(ends) => {
                for (topic, partition, position) in ends {
                    self.step(Input::ReachedEnd(topic, partition, position))?;
                }
                Ok(())
            }
            Read::OutOfRange => self.step(Input::OutOfRange),
            Read::Started(partition) => self.step(Input::Started(partition)),
            Read::Assigned(partitions) => {
                tracing::info!(flow = %self.settings.flow, partitions = self.names(&partitions), "partitions assigned");
                self.performer.moved(&partitions);
                partitions.iter().for_each(|(_, partition)| self.layout.assigned(partition.get()));
                self.step(Input::Assigned(partitions))
            }
            Read::Revoked(partitions, callback) => {
                tracing::info!(flow = %self.settings.flow, partitions = self.names(&partitions), "partitions revoked");
                self.performer.moved(&partitions);
                self.performer.waiting.push(callback);
                self.step(Input::Revoked { partitions, within: self.settings.drain_within })
            }
            Read::Lost(partitions) => {
                let partitions_lost = self.names(&partitions);
                tracing::warn!(flow = %self.settings.flow, partitions_lost, "another worker may own these already");
                self.performer.moved(&partitions);
                self.performer.given_up += 1;
                self.step(Input::Lost(partitions))
            }
        }
    }

    /// `topic/partition`, for people.
    fn names(&self, partitions: &[(TopicId, Partition)]) -> String {
        let name = |(topic, partition): &(TopicId, Partition)| {
            let topic = self.performer.topics.get(usize::from(topic.0)).map_or("?", |name| name);
            format!("{topic}/{partition}")
        };
        partitions.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    fn outcome(&mut self, outcome: Outcome<H::Work, H::Output>) -> Result<(), EngineError> {
        match outcome {
            Outcome::Committed(batch, offsets_sent_at) => {
                self.performer.count(&batch);
                let offsets_sent_at = Moment::after_origin(offsets_sent_at.saturating_duration_since(self.origin));
                self.step(Input::Committed(batch, offsets_sent_at))
            }
            Outcome::Failed(batch, fault) => self.step(Input::CommitFailed(batch, fault)),
            Outcome::Out(detail) => Err(EngineError::ProducerOut { flow: self.settings.flow.to_string(), detail }),
        }
    }

    fn step(&mut self, input: Input<H::Work, H::Output>) -> Result<(), EngineError> {
        self.places.step(|now, endpoints| self.flow.step(now, input, endpoints, &mut self.effects));
        for effect in self.effects.drain(..) {
            self.performer.perform(effect)?;
        }
        Ok(())
    }

    fn show(&mut self) {
        let partitions = self.flow.partitions().into_iter().map(|view| {
            let lag = self.log_ends.lag(&view);
            PartitionStatus { view, lag }
        });
        let endpoints: Vec<_> = self.places.endpoints().map(|endpoint| (endpoint.name(), endpoint.view())).collect();
        let status = Status {
            partitions: partitions.collect(),
            in_flight: self.flow.in_flight(),
            open: endpoints.iter().map(|(_, view)| view.closed.is_none()).collect(),
            misfit: self.layout.misfit(),
            awaiting_word: self.flow.awaiting_word(),
            storm: self.flow.storm_guard_is_tripped(),
            paused: self.flow.flow_is_paused(),
            paused_keys: self.flow.paused_keys(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self.performer.telemetry.show(&self.settings.flow, &self.performer.topics, &status, now_ms);
        for (name, view) in endpoints {
            self.performer.telemetry.show_endpoint(name, view);
        }
        self.status.send_replace(status);
    }

    /// Leaves the group and joins the threads, bounded. Records that the loop does not take any more are the next owner's.
    async fn end(self) {
        let Engine { flow, places, performer, mut done, mut reads, threads, settings, stop, status, .. } = self;
        stop.store(true, Ordering::Relaxed);
        places.rest();
        for view in flow.partitions() {
            performer.telemetry.gone(&settings.flow, &performer.topics, view.partition.get());
        }
        status.send_replace(Status::default());
        let _ = performer.commands.send(Command::Close);
        let mut in_flight = flow.in_flight();
        drop(performer);
        let flow = settings.flow.clone();
        let ended = tokio::time::timeout(settings.drain_within + END_MARGIN, async {
            // What is under way takes effect under our name: a new engine of this process must not begin it again meanwhile.
            while in_flight > 0 && done.recv().await.is_some() {
                in_flight -= 1;
            }
            drop(places);
            // The leave runs a revoke callback that waits for its answer.
            while let Some(read) = reads.recv().await {
                if let Read::Revoked(_, callback) = read {
                    let _ = callback.try_send(());
                }
            }
            let joined = tokio::task::spawn_blocking(move || {
                for thread in threads {
                    if thread.join().is_err() {
                        tracing::error!(flow = %settings.flow, "a thread of the engine panicked");
                    }
                }
            });
            let _ = joined.await;
        });
        if ended.await.is_err() {
            tracing::warn!(%flow, "the engine's threads did not end in time; leaving them behind");
        }
    }
}

/// Listens to the control topic as long as the loop is there; answers when it was read for the first time.
fn listen<O: Send + 'static>(watch: control::Watch, told: mpsc::UnboundedSender<Done<O>>) -> oneshot::Receiver<()> {
    let (heard, known) = oneshot::channel();
    let first = Mutex::new(Some(heard));
    tokio::task::spawn_blocking(move || {
        let tell = |heard| {
            let _ = told.send(Done::Heard(heard));
            if let Some(first) = first.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = first.send(());
            }
        };
        watch.run(tell, || told.is_closed());
    });
    known
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
