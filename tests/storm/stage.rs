//! The parts of a storm, and the blows that they take.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use emulator::{Availability, Rule, System};
use promises::{DEADLINE, Deployment, Instance, Kafka, Signal, systems};

use crate::books::Books;
use crate::cases::{KINDS, Kind};
use crate::engine::Engine;
use crate::plan::Blow;
use crate::tally::{Readings, Tally};

pub(crate) const PARTITIONS: u32 = 8;
/// The flow that the take-over is measured by: it has the most events.
pub(crate) const TICKETS: &str = "tickets";
/// Longer than a lost request of the plan takes to have its effect, and the client gives up earlier than those come.
const READ_EVERY: Duration = Duration::from_secs(1);
const ENGINE_LINES: &str = "request_timeout = \"2s\"\nsettle = \"6s\"\nhistory_lag = \"1s\"\n[jobs]\npoll_interval = \"200ms\"\nlock_duration = \"20s\"";

pub(crate) struct Stage {
    pub(crate) kafka: Kafka,
    pub(crate) engine: Engine,
    deployment: Deployment,
    /// By its folder: every flow of this repository, all of them in each process.
    pub(crate) flows: BTreeMap<&'static str, Flow>,
    processes: Vec<Place>,
    /// When a fault of the systems ends.
    systems_well_at: Option<Instant>,
    /// When a fault of the engine ends.
    engine_well_at: Option<Instant>,
    kills: Vec<Instant>,
    /// Processes that ended though nothing had struck them.
    fallen: usize,
    /// Transactions that the broker had forgotten and somebody ended.
    pub(crate) forgotten: usize,
    /// Blows by kind, as they fell.
    struck: BTreeMap<&'static str, usize>,
    readings: Readings,
    read_at: Instant,
    last_words: String,
}

/// What a flow is called here.
pub(crate) struct Flow {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) replies: String,
    pub(crate) dead_letters: String,
    pub(crate) definitions: Vec<String>,
}

/// One place among the processes.
enum Place {
    Runs(Box<Instance>),
    Frozen(Box<Instance>, Instant),
    /// It was told to go, and finishes what is in flight.
    Leaving(Box<Instance>, Instant),
    Empty(Instant),
}

impl Stage {
    pub(crate) async fn set(kafka: Kafka, engine: Engine, processes: usize) -> Result<Stage> {
        let mut deployment = Deployment::of_tickets(&kafka, &engine.settings, ENGINE_LINES)?;
        let mut flows = BTreeMap::new();
        for Kind { flow, .. } in KINDS {
            if *flow == TICKETS || flows.contains_key(flow) {
                continue;
            }
            let copied = deployment.beside(flow)?;
            let definitions = copied.definitions().into_iter().map(str::to_owned).collect();
            let (name, source) = (copied.name().to_owned(), copied.source().to_owned());
            let (replies, dead_letters) = (copied.replies().to_owned(), copied.dead_letters());
            flows.insert(*flow, Flow { name, source, replies, dead_letters, definitions });
        }
        let tickets = Flow {
            name: deployment.flow(),
            source: deployment.source(),
            replies: deployment.replies(),
            dead_letters: deployment.dead_letters(),
            definitions: vec![deployment.definition()],
        };
        flows.insert(TICKETS, tickets);
        deployment.set_up(PARTITIONS).await?;
        let mut places = Vec::new();
        for _ in 0..processes {
            places.push(Place::Runs(Box::new(deployment.instance().await?)));
        }
        Ok(Stage {
            kafka,
            engine,
            deployment,
            flows,
            processes: places,
            systems_well_at: None,
            engine_well_at: None,
            kills: Vec::new(),
            fallen: 0,
            forgotten: 0,
            struck: BTreeMap::new(),
            readings: Readings::default(),
            read_at: Instant::now(),
            last_words: String::new(),
        })
    }

    /// kill -9 of a running process; another takes its place at `back_at`.
    pub(crate) async fn kill(&mut self, process: usize, back_at: Instant) -> Result<bool> {
        let Some(mut instance) = self.take(process, Place::Empty(back_at)) else { return Ok(false) };
        instance.connector.signal(Signal::Kill);
        instance.connector.wait(DEADLINE).await?;
        Ok(true)
    }

    /// Lets a blow fall; says whether it did. A place that is empty, frozen or leaving already is spared.
    pub(crate) async fn strike(&mut self, blow: Blow) -> Result<bool> {
        let (now, kind) = (Instant::now(), blow.kind());
        let fell = match blow {
            Blow::Kill { process, back_after } => {
                let fell = self.kill(process, now + back_after).await?;
                self.kills.extend(fell.then_some(now));
                fell
            }
            Blow::Freeze { process, lasts } => {
                if let Some(mut instance) = self.take(process, Place::Empty(now)) {
                    instance.connector.signal(Signal::Stop);
                    self.put(process, Place::Frozen(instance, now + lasts));
                    true
                } else {
                    false
                }
            }
            Blow::Leave { process } => {
                if let Some(mut instance) = self.take(process, Place::Empty(now)) {
                    instance.connector.signal(Signal::Terminate);
                    self.put(process, Place::Leaving(instance, now));
                    true
                } else {
                    false
                }
            }
            Blow::Broker => {
                self.kafka.stop().await?;
                self.kafka.start_again().await?;
                true
            }
            Blow::Refuse { lasts } => {
                self.engine.faults.faults().set_availability(Availability::Refusing).await;
                self.engine_well_at = Some(now + lasts);
                true
            }
            Blow::Systems { fault, lasts } => {
                for system in System::ALL {
                    match &fault {
                        Some(fault) => {
                            let rule = Rule::everywhere(fault.clone()).percent(30.0);
                            systems()?.disturb(system, rule);
                        }
                        None => systems()?.set_availability(system, Availability::Refusing).await,
                    }
                }
                self.systems_well_at = Some(now + lasts);
                true
            }
            Blow::Engine { rules, lasts, name } => {
                for rule in rules {
                    self.engine.faults.faults().add(rule).map_err(anyhow::Error::msg).context(name)?;
                }
                self.engine_well_at = Some(now + lasts);
                true
            }
        };
        *self.struck.entry(kind).or_default() += usize::from(fell);
        Ok(fell)
    }

    /// What the connectors counted so far.
    pub(crate) async fn tally(&mut self) -> Tally {
        for place in &self.processes {
            if let Place::Runs(instance) = place {
                self.readings.take(instance.metrics).await;
            }
        }
        self.read_at = Instant::now();
        self.readings.total()
    }

    /// Ends what has lasted long enough.
    pub(crate) async fn mend(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.engine_well_at.is_some_and(|at| at <= now) {
            self.engine_is_well().await;
        }
        if self.systems_well_at.is_some_and(|at| at <= now) {
            self.systems_are_well().await?;
        }
        for process in 0..self.processes.len() {
            self.restore(process, |at| at <= now).await?;
        }
        if self.read_at.elapsed() > READ_EVERY {
            self.tally().await;
        }
        Ok(())
    }

    /// Ends everything that goes on: from here on nothing goes wrong any more.
    pub(crate) async fn calm(&mut self) -> Result<()> {
        self.engine_is_well().await;
        self.systems_are_well().await?;
        for process in 0..self.processes.len() {
            self.restore(process, |_| true).await?;
        }
        Ok(())
    }

    /// What an operator does about a topic whose stable offset stands still. Where it cannot be done, the account shows what is missing.
    pub(crate) async fn end_hanging_transactions(&mut self) {
        match self.kafka.end_hanging_transactions().await {
            Ok(ended) => {
                self.forgotten += ended.len();
                ended
                    .iter()
                    .for_each(|ended| println!("a transaction that the broker had forgotten is ended: {ended}"));
            }
            Err(error) => println!("nobody can tell whether the broker has forgotten a transaction: {error:#}"),
        }
    }

    async fn restore(&mut self, process: usize, due: impl Fn(Instant) -> bool) -> Result<()> {
        match self.processes.get_mut(process) {
            Some(Place::Empty(at)) if due(*at) => {
                let instance = self.deployment.instance().await?;
                self.put(process, Place::Runs(Box::new(instance)));
            }
            Some(Place::Frozen(_, at)) if due(*at) => {
                let Some(Place::Frozen(mut instance, _)) = self.replace(process, Place::Empty(Instant::now())) else {
                    return Ok(());
                };
                instance.connector.signal(Signal::Continue);
                self.put(process, Place::Runs(instance));
            }
            Some(Place::Leaving(instance, told)) => {
                if instance.connector.has_ended()? {
                    self.put(process, Place::Empty(Instant::now()));
                } else {
                    ensure!(told.elapsed() < DEADLINE, "a process does not leave:\n{}", instance.connector.log());
                }
            }
            Some(Place::Runs(instance)) => {
                if instance.connector.has_ended()? {
                    self.fallen += 1;
                    let _ = writeln!(self.last_words, "process {process} ended by itself");
                    self.take(process, Place::Empty(Instant::now()));
                }
            }
            Some(Place::Empty(_) | Place::Frozen(..)) | None => {}
        }
        Ok(())
    }

    async fn systems_are_well(&mut self) -> Result<()> {
        self.systems_well_at = None;
        for system in System::ALL {
            systems()?.calm(system);
            systems()?.set_availability(system, Availability::Up).await;
        }
        Ok(())
    }

    async fn engine_is_well(&mut self) {
        self.engine_well_at = None;
        self.engine.faults.faults().clear();
        self.engine.faults.faults().set_availability(Availability::Up).await;
    }

    /// The running process of a place, which `instead` takes.
    fn take(&mut self, process: usize, instead: Place) -> Option<Box<Instance>> {
        if !matches!(self.processes.get(process), Some(Place::Runs(_))) {
            return None;
        }
        match self.replace(process, instead) {
            Some(Place::Runs(instance)) => {
                self.remember(&instance);
                Some(instance)
            }
            Some(Place::Frozen(..) | Place::Leaving(..) | Place::Empty(_)) | None => None,
        }
    }

    fn replace(&mut self, process: usize, place: Place) -> Option<Place> {
        self.processes.get_mut(process).map(|current| std::mem::replace(current, place))
    }

    fn put(&mut self, process: usize, place: Place) {
        self.replace(process, place);
    }

    /// What a process that is about to go logged, but for calls that failed: those are the storm's own doing.
    fn remember(&mut self, instance: &Instance) {
        for line in instance.connector.log().lines().filter(|line| {
            line.contains("ERROR")
                || line.contains(" WARN ") && !line.contains("call failed")
                || line.contains("ended it")
                || line.contains("partitions ")
                || line.contains("taken over")
                || line.contains("panicked")
        }) {
            let _ = writeln!(self.last_words, "{line}");
        }
    }

    /// What the processes logged as errors.
    pub(crate) fn last_words(&mut self) -> String {
        for place in std::mem::take(&mut self.processes) {
            if let Place::Runs(instance) | Place::Frozen(instance, _) | Place::Leaving(instance, _) = place {
                self.remember(&instance);
            }
        }
        std::mem::take(&mut self.last_words)
    }

    /// What happened, for the report.
    pub(crate) async fn account(&mut self, books: &Books) -> Result<String> {
        let kinds: Vec<String> = self.struck.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let mut text = format!("blows            {} ({})\n", self.struck.values().sum::<usize>(), kinds.join(", "));
        let counts = self.engine.counts().await?;
        let bad: u64 = counts.values().map(|count| count.bad).sum();
        if let Some(starts) = counts.get("start") {
            let _ = writeln!(text, "engine           {bad} requests failed or lost, {} start requests", starts.calls);
        }
        let _ = writeln!(text, "{}", self.tally().await);
        let _ = writeln!(text, "processes        {} ended by themselves", self.fallen);
        let _ =
            writeln!(text, "broker           {} transactions forgotten at its restarts, ended by hand", self.forgotten);
        let mut takeovers: Vec<Duration> = self.kills.iter().filter_map(|at| books.all_flow_after(*at)).collect();
        takeovers.sort();
        if let (Some(middle), Some(longest)) = (takeovers.get(takeovers.len() / 2), takeovers.last()) {
            let _ = writeln!(
                text,
                "after others     every partition flows again after {:.1} s (median), {:.1} s (longest; other blows fall meanwhile)",
                middle.as_secs_f64(),
                longest.as_secs_f64()
            );
        }
        Ok(text)
    }
}
