//! `xconnector demo`: all flows on their way through the real connector, with an embedded broker, an emulated engine and emulated systems.
//!
//! `stage` starts the parts. `plan` says what is to happen to every ticket, `book` keeps what was seen, `reckoning` holds
//! one against the other; of the other flows `play` is the plan, and `company` does the rest.

mod book;
mod company;
mod effects;
mod folder;
mod log;
mod plan;
mod play;
mod reckoning;
#[cfg(test)]
mod sample;
mod screen;
mod stage;
mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use emulator::System;
use emulator::demo::{DeskError, InstanceFacts, Received, Totals};
use jiff::Timestamp;
use rand::Rng;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use book::Book;
use company::Company;
use effects::Effects;
use plan::{PEOPLE, Plan, Ticket};
use play::Script;
use reckoning::{Reckoning, is_of_ticket, reckon};
use screen::Screen;
use stage::Stage;

/// How often people look for tasks.
const LOOK: Duration = Duration::from_millis(100);
/// Time between two scenes of the other flows, where each is played once, and where they are played without end.
const SCENE_PACE: Duration = Duration::from_millis(200);
const ENDLESS_PACE: Duration = Duration::from_secs(2);
/// The number of the first scene, as part of its object's name.
const FIRST_SCENE: usize = 1001;
/// The flow whose events come from `plan`.
const TICKETS: &str = "tickets";
/// Longest wait for the last outcome after the last event.
const PATIENCE: Duration = Duration::from_secs(45);
/// Longest wait for what is under way after Ctrl-C; a second one ends it at once.
const FAREWELL: Duration = Duration::from_secs(5);
/// More problems than this are counted, not told.
const MOST_PROBLEMS: usize = 20;
/// More warnings than this are in the log alone.
const MOST_WARNINGS: usize = 5;

/// How the demonstration runs.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// End by itself; exit code 0 only if every ticket and every scene got exactly what it had to get.
    ///
    /// Without it, events are published until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// How many tickets, with --once.
    #[arg(long, requires = "once", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tickets: u32,
    /// Other seeds give other tickets, the same seed the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Time between two tickets, such as 50ms [default: 150ms with --once, else 1s].
    #[arg(long, value_parser = humantime::parse_duration)]
    pace: Option<Duration>,
    /// A folder with further folders `flows` and `schemas`: what their `play.toml` says is played too.
    #[arg(long, value_name = "FOLDER")]
    with: Option<PathBuf>,
}

/// Runs the demonstration.
///
/// # Errors
/// A part does not start, or a ticket or scene did not get exactly what it had to get.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let screen = Screen::of_process();
    let folder = folder::Folder::create(options.with.as_deref())?;
    let warnings = log::start(&folder.log())?;
    screen.print(&screen.heading("xConnector demo: events become processes, decisions become replies"));
    screen.print(
        "  broker     embedded (librdkafka's mock cluster)\n  engine     emulated, in the OpenText dialect\n  \
         systems    ten, emulated: ERP, procurement, CRM, ECM, HRIS, identity …",
    );
    screen.print("  connector  the real one, as `xconnector run` starts it");
    let mut stage = Stage::start(&folder).await?;
    screen.print(&format!("  metrics    {}\n  log        {}\n", stage.metrics_url(), folder.log().display()));
    screen.print("The connector joins its consumer group, which takes about three seconds …");
    stage.wait_until_ready().await?;
    if !options.once {
        screen.print("Events come until you press Ctrl-C.");
    }
    screen.print("");
    let mut show = Show {
        screen,
        book: Book::default(),
        company: Company::default(),
        next_scene: 0,
        effects: Vec::new(),
        plan: Plan::new(options.seed),
        started: Instant::now(),
        decisions: JoinSet::new(),
        warnings,
        warned: 0,
    };
    let pace = options.pace.unwrap_or(Duration::from_millis(if options.once { 150 } else { 1_000 }));
    let end = show.play(&mut stage, pace, options.once.then_some(options.tickets as usize)).await;
    let complete = options.once && matches!(end, Ok(End::Settled | End::TooLate));
    let failure = match end {
        Ok(End::Settled | End::Stopped) => None,
        Ok(End::TooLate) => Some(format!("not everything came within {PATIENCE:?} of the last event")),
        Err(error) => Some(format!("{error:#}")),
    };
    let mut sums = show.finish(stage, complete).await?;
    sums.problems.extend(failure);
    if options.once && !complete && sums.problems.is_empty() {
        sums.problems.push("it was stopped before everything had its outcome".to_owned());
    }
    show.epilogue(&sums, &folder, options.once)
}

/// How the play ended.
enum End {
    /// Everything that was expected has come.
    Settled,
    /// Something has not.
    TooLate,
    /// Somebody pressed Ctrl-C, and what was under way had a little time.
    Stopped,
}

/// Everything on its way.
struct Show {
    screen: Screen,
    book: Book,
    company: Company,
    next_scene: usize,
    effects: Vec<Effects>,
    plan: Plan,
    started: Instant,
    decisions: JoinSet<Result<Decided, DeskError>>,
    warnings: tokio::sync::mpsc::UnboundedReceiver<String>,
    warned: usize,
}

/// What somebody has decided.
enum Decided {
    Ticket(String, plan::Decision),
    /// The number of the scene, and who.
    Scene(usize, String),
}

impl Show {
    /// Publishes up to `limit` tickets, then each scene once, or both without end, and lets people decide, until all is settled or
    /// somebody stops it.
    async fn play(&mut self, stage: &mut Stage, pace: Duration, limit: Option<usize>) -> anyhow::Result<End> {
        let mut publish = interval(pace.max(Duration::from_millis(1)));
        publish.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut raise = interval(if limit.is_some() { SCENE_PACE } else { ENDLESS_PACE });
        raise.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_event = Instant::now();
        let mut interrupt = signal(SignalKind::interrupt()).context("Ctrl-C cannot be heard")?;
        let mut stopped: Option<Instant> = None;
        loop {
            if let Some(since) = stopped
                && (self.unsettled() == 0 || since.elapsed() > FAREWELL)
            {
                return Ok(End::Stopped);
            }
            let no_more_tickets = stopped.is_some() || limit.is_some_and(|limit| self.book.entries.len() >= limit);
            let scenes = stage.scripts.len();
            let no_more_scenes = stopped.is_some() || scenes == 0 || (limit.is_some() && self.next_scene >= scenes);
            let published_all = no_more_tickets && no_more_scenes;
            if published_all && self.unsettled() == 0 {
                return Ok(End::Settled);
            }
            if published_all && last_event.elapsed() > PATIENCE {
                return Ok(End::TooLate);
            }
            tokio::select! {
                _ = publish.tick(), if !no_more_tickets => {
                    let ticket = self.plan.next();
                    self.publish(stage, ticket).await?;
                    last_event = Instant::now();
                }
                _ = raise.tick(), if !no_more_scenes => {
                    let scene = self.next_scene;
                    self.next_scene += 1;
                    self.raise(stage, &stage.scripts[scene % scenes], FIRST_SCENE + scene).await?;
                    last_event = Instant::now();
                }
                _ = look.tick() => self.look_for_tasks(stage).await?,
                Some(decided) = self.decisions.join_next() => {
                    let now = self.started.elapsed();
                    let line = match decided.context("a person left in panic")?? {
                        Decided::Ticket(id, decision) => self.book.decided(&id, decision, now),
                        Decided::Scene(number, by) => self.company.decided(number, &by, now),
                    };
                    line.iter().for_each(|line| self.screen.line(line));
                }
                record = stage.answers.recv() => {
                    let record = record.context("nobody reads the replies any more")??;
                    self.received(&stage.flow_of, &record);
                }
                Some(warning) = self.warnings.recv() => self.warn(&warning),
                ended = &mut stage.connector => {
                    ended.context("the connector panicked")?.context("the connector ended")?;
                    bail!("the connector ended before anybody told it to");
                }
                _ = interrupt.recv() => {
                    if stopped.replace(Instant::now()).is_some() {
                        return Ok(End::Stopped);
                    }
                    self.screen.print("\nNo more events; waiting a little for those under way (Ctrl-C again: no waiting)\n");
                }
            }
        }
    }

    fn unsettled(&self) -> usize {
        self.book.unsettled() + self.company.unsettled()
    }

    async fn publish(&mut self, stage: &Stage, ticket: Ticket) -> anyhow::Result<()> {
        let id = ticket.id.clone();
        let source = stage.sources.get(TICKETS).context("nobody publishes tickets")?;
        stage.systems.put_there(System::Crm, "/cases", json!({ "id": id, "subject": ticket.title() }));
        self.book.open(ticket.clone(), self.started.elapsed());
        for (number, kind) in ticket.events().into_iter().enumerate() {
            let wire = wire::write(&ticket, number, kind, &stage.schema, Timestamp::now())?;
            let place = source.publish(&id, &wire.value, &wire.headers).await?;
            let line = self.book.published(&id, kind, place, wire.value, self.started.elapsed());
            line.iter().for_each(|line| self.screen.line(line));
        }
        Ok(())
    }

    /// Begins a scene.
    async fn raise(&mut self, stage: &Stage, script: &Script, number: usize) -> anyhow::Result<()> {
        let playing = script.prepare(number, &stage.systems)?;
        let source = stage.sources.get(&playing.flow).context("nobody publishes the scene")?;
        let (flow, object, events) = (playing.flow.clone(), playing.object.clone(), playing.events.clone());
        let scene = self.company.begins(playing, self.started.elapsed());
        for (number, event) in events.iter().enumerate() {
            let wire = wire::write_scene(&flow, &object, number, event)?;
            source.publish(&object, &wire.value, &wire.headers).await?;
            let line = self.company.published(scene, self.started.elapsed());
            line.iter().for_each(|line| self.screen.line(line));
        }
        Ok(())
    }

    /// What a person may decide now is decided by them after a little thought.
    async fn look_for_tasks(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let Some(anybody) = stage.desks.first() else { return Ok(()) };
        for task in anybody.open_tasks().await? {
            let thought = Duration::from_millis(rand::rng().random_range(200..900));
            if let Some((scene, decision)) = self.company.task_seen(&task.instance, &task.key) {
                let Some(desk) = stage.desks.get(scene % stage.desks.len()).cloned() else { continue };
                self.decisions.spawn(async move {
                    sleep(thought).await;
                    desk.claim(&task.id).await?;
                    desk.comment(&task.id, &format!("{}: seen", decision.task)).await?;
                    desk.complete(&task.id, &decision.variables).await?;
                    Ok(Decided::Scene(scene, desk.user().to_owned()))
                });
                continue;
            }
            let id = task.variables.get("ticketId").cloned().unwrap_or_default();
            let Some(decision) = self.book.task_seen(&id, task.variables.get("team")) else { continue };
            let position = PEOPLE.iter().position(|name| *name == decision.by).unwrap_or_default();
            let Some(desk) = stage.desks.get(position).cloned() else { continue };
            self.decisions.spawn(async move {
                sleep(thought).await;
                desk.claim(&task.id).await?;
                desk.comment(&task.id, decision.comment).await?;
                desk.decide(&task.id, decision.outcome).await?;
                Ok(Decided::Ticket(id, decision))
            });
        }
        Ok(())
    }

    fn received(&mut self, flow_of: &BTreeMap<String, String>, record: &Received) {
        let now = self.started.elapsed();
        let line = match flow_of.get(&record.topic).map(String::as_str) {
            Some(TICKETS) | None => self.book.received(record, now),
            Some(flow) => self.company.received(flow, record, now),
        };
        line.iter().for_each(|line| self.screen.line(line));
    }

    fn warn(&mut self, warning: &str) {
        self.warned += 1;
        if self.warned <= MOST_WARNINGS {
            self.screen.print(&self.screen.alarm(&format!("  warning: {warning}")));
        }
    }

    /// Stops the connector, reads what it still wrote, and reckons up.
    async fn finish(&mut self, stage: Stage, complete: bool) -> anyhow::Result<Reckoning> {
        let mut problems = Vec::new();
        if complete {
            stage.wait_until_idle(PATIENCE).await?;
        }
        let Stage { emulator, systems, connector, stop, tail, mut answers, flow_of, broker, .. } = stage;
        stop.send_replace(true);
        if !connector.is_finished()
            && let Err(error) = connector.await.context("the connector panicked").and_then(|ended| ended)
        {
            problems.push(format!("the connector did not stop in good order: {error:#}"));
        }
        tail.finish();
        while let Some(record) = answers.recv().await {
            self.received(&flow_of, &record?);
        }
        let totals = Totals::of(&emulator).await?;
        let mut sums = reckon(&self.book, &totals, complete);
        let of_scenes: Vec<&InstanceFacts> = totals.instances.iter().filter(|of| !is_of_ticket(of)).collect();
        self.company.reckon(&of_scenes, complete, &mut sums);
        self.effects = effects::of(&systems);
        problems.extend(effects::wrong(&self.effects, &self.book, &systems, complete));
        sums.problems.extend(problems);
        drop(broker);
        Ok(sums)
    }

    /// The table, the sums, what was wrong, and how to go on from here.
    fn epilogue(&self, sums: &Reckoning, folder: &folder::Folder, once: bool) -> anyhow::Result<()> {
        let screen = self.screen;
        screen.print(&format!("\n{}\n\n{}", screen.table(&self.book), screen.scenes(&self.company)));
        screen.print(&format!("\n{}\n\n{}", screen.totals(sums), screen.effects(&self.effects)));
        if self.warned > MOST_WARNINGS {
            screen.print(&screen.alarm(&format!("\n{} warnings in all; see the log", self.warned)));
        }
        if !sums.problems.is_empty() {
            let mut list: Vec<String> =
                sums.problems.iter().take(MOST_PROBLEMS).map(|problem| format!("  {problem}")).collect();
            let more = sums.problems.len().saturating_sub(MOST_PROBLEMS);
            list.extend((more > 0).then(|| format!("  and {more} more")));
            bail!("the demo did not end as it should:\n{}\nThe log is {}", list.join("\n"), folder.log().display());
        }
        if once {
            screen.print("\nEvery ticket and every scene got exactly what it had to get.");
        }
        screen.print(&screen::way_on(screen, folder.path()));
        Ok(())
    }
}
