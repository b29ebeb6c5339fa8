//! `xconnector demo`: tickets on their way through the real connector, with an embedded broker and an emulated engine.
//!
//! `stage` starts the parts, `plan` says what is to happen to every ticket, `book` keeps what was seen, `reckoning` holds
//! one against the other.

mod book;
mod folder;
mod log;
mod plan;
mod reckoning;
#[cfg(test)]
mod sample;
mod screen;
mod stage;
mod wire;

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use emulator::demo::{Desk, DeskError, Received, Totals};
use jiff::Timestamp;
use rand::Rng;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use book::Book;
use plan::{Decision, PEOPLE, Plan, Ticket};
use reckoning::{Reckoning, reckon};
use screen::Screen;
use stage::Stage;

/// How often people look for tasks.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for the last outcome after the last ticket.
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
    /// End by itself; exit code 0 only if every ticket got exactly what it had to get.
    ///
    /// Without it, tickets are published until Ctrl-C.
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
}

/// Runs the demonstration.
///
/// # Errors
/// A part does not start, or a ticket did not get exactly what it had to get.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let screen = Screen::of_process();
    let folder = folder::Folder::create()?;
    let warnings = log::start(&folder.log())?;
    screen.print(&screen.heading("xConnector demo: tickets become processes, decisions become replies"));
    screen.print("  broker     embedded (librdkafka's mock cluster)\n  engine     emulated, in the OpenText dialect");
    screen.print("  connector  the real one, as `xconnector run` starts it");
    let mut stage = Stage::start(&folder).await?;
    screen.print(&format!("  metrics    {}\n  log        {}\n", stage.metrics_url(), folder.log().display()));
    screen.print("The connector joins its consumer group, which takes about three seconds …");
    stage.wait_until_ready().await?;
    if !options.once {
        screen.print("Tickets come until you press Ctrl-C.");
    }
    screen.print("");
    let mut show = Show {
        screen,
        book: Book::default(),
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
        Ok(End::TooLate) => Some(format!("not everything came within {PATIENCE:?} of the last ticket")),
        Err(error) => Some(format!("{error:#}")),
    };
    let mut sums = show.finish(stage, complete).await?;
    sums.problems.extend(failure);
    if options.once && !complete && sums.problems.is_empty() {
        sums.problems.push("it was stopped before every ticket had its outcome".to_owned());
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

/// The tickets, on their way.
struct Show {
    screen: Screen,
    book: Book,
    plan: Plan,
    started: Instant,
    decisions: JoinSet<Result<(String, Decision), DeskError>>,
    warnings: tokio::sync::mpsc::UnboundedReceiver<String>,
    warned: usize,
}

impl Show {
    /// Publishes up to `limit` tickets and lets people decide, until all is settled or somebody stops it.
    async fn play(&mut self, stage: &mut Stage, pace: Duration, limit: Option<usize>) -> anyhow::Result<End> {
        let mut publish = interval(pace.max(Duration::from_millis(1)));
        publish.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_ticket = Instant::now();
        let mut interrupt = signal(SignalKind::interrupt()).context("Ctrl-C cannot be heard")?;
        let mut stopped: Option<Instant> = None;
        loop {
            if let Some(since) = stopped
                && (self.book.unsettled() == 0 || since.elapsed() > FAREWELL)
            {
                return Ok(End::Stopped);
            }
            let published_all = stopped.is_some() || limit.is_some_and(|limit| self.book.entries.len() >= limit);
            if published_all && self.book.unsettled() == 0 {
                return Ok(End::Settled);
            }
            if published_all && last_ticket.elapsed() > PATIENCE {
                return Ok(End::TooLate);
            }
            tokio::select! {
                _ = publish.tick(), if !published_all => {
                    let ticket = self.plan.next();
                    self.publish(stage, ticket).await?;
                    last_ticket = Instant::now();
                }
                _ = look.tick() => self.look_for_tasks(stage).await?,
                Some(decided) = self.decisions.join_next() => {
                    let (id, decision) = decided.context("a person left in panic")??;
                    let line = self.book.decided(&id, decision, self.started.elapsed());
                    line.iter().for_each(|line| self.screen.line(line));
                }
                record = stage.answers.recv() => self.received(&record.context("nobody reads the replies any more")??),
                Some(warning) = self.warnings.recv() => self.warn(&warning),
                ended = &mut stage.connector => {
                    ended.context("the connector panicked")?.context("the connector ended")?;
                    bail!("the connector ended before anybody told it to");
                }
                _ = interrupt.recv() => {
                    if stopped.replace(Instant::now()).is_some() {
                        return Ok(End::Stopped);
                    }
                    self.screen.print("\nNo more tickets; waiting a little for those under way (Ctrl-C again: no waiting)\n");
                }
            }
        }
    }

    async fn publish(&mut self, stage: &Stage, ticket: Ticket) -> anyhow::Result<()> {
        let id = ticket.id.clone();
        self.book.open(ticket.clone(), self.started.elapsed());
        for (number, kind) in ticket.events().into_iter().enumerate() {
            let wire = wire::write(&ticket, number, kind, &stage.schema, Timestamp::now())?;
            let place = stage.source.publish(&id, &wire.value, &wire.headers).await?;
            let line = self.book.published(&id, kind, place, wire.value, self.started.elapsed());
            line.iter().for_each(|line| self.screen.line(line));
        }
        Ok(())
    }

    /// What a person may decide now is decided by them after a little thought.
    async fn look_for_tasks(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let Some(anybody) = stage.desks.first() else { return Ok(()) };
        for task in anybody.open_tasks().await? {
            let id = task.variables.get("ticketId").cloned().unwrap_or_default();
            let Some(decision) = self.book.task_seen(&id, task.variables.get("team")) else { continue };
            let position = PEOPLE.iter().position(|name| *name == decision.by).unwrap_or_default();
            let Some(desk) = stage.desks.get(position).cloned() else { continue };
            let thought = Duration::from_millis(rand::rng().random_range(200..900));
            self.decisions.spawn(async move {
                sleep(thought).await;
                decide(&desk, &task.id, decision).await?;
                Ok((id, decision))
            });
        }
        Ok(())
    }

    fn received(&mut self, record: &Received) {
        let line = self.book.received(record, self.started.elapsed());
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
        let Stage { emulator, connector, stop, tail, mut answers, broker, .. } = stage;
        stop.send_replace(true);
        if !connector.is_finished()
            && let Err(error) = connector.await.context("the connector panicked").and_then(|ended| ended)
        {
            problems.push(format!("the connector did not stop in good order: {error:#}"));
        }
        tail.finish();
        while let Some(record) = answers.recv().await {
            self.received(&record?);
        }
        let mut sums = reckon(&self.book, &Totals::of(&emulator).await?, complete);
        sums.problems.extend(problems);
        drop(broker);
        Ok(sums)
    }

    /// The table, the sums, what was wrong, and how to go on from here.
    fn epilogue(&self, sums: &Reckoning, folder: &folder::Folder, once: bool) -> anyhow::Result<()> {
        let screen = self.screen;
        screen.print(&format!("\n{}\n\n{}", screen.table(&self.book), screen.totals(sums)));
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
            screen.print("\nEvery ticket got exactly what it had to get.");
        }
        screen.print(&screen::way_on(screen, folder.path()));
        Ok(())
    }
}

async fn decide(desk: &Desk, task: &str, decision: Decision) -> Result<(), DeskError> {
    desk.claim(task).await?;
    desk.comment(task, decision.comment).await?;
    desk.decide(task, decision.outcome).await
}
