//! What the terminal shows: one line per change, and the table at the end. Nothing is wider than 80 columns.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::time::Duration;

use super::book::{Book, Entry};
use super::company::Company;
use super::effects::Effects;
use super::folder::{FLOWABLE_ENGINE, REAL_SETTINGS};
use super::plan::Fate;
use super::reckoning::Reckoning;

const WIDTH: usize = 80;
/// Most tickets in the table; a long run has more than anybody reads.
const MOST_ROWS: usize = 40;

/// Where a ticket is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// On the source topic.
    Published,
    /// Accepted: its process runs.
    Started,
    /// Accepted: its process was told of a change.
    Informed,
    /// Somebody has decided.
    Decided,
    /// The outcome is on the reply topic.
    Outcome,
    /// Its process was ended.
    Ended,
    /// Refused, on the reply topic.
    Rejected,
    /// Refused, in the dead letters.
    DeadLetter,
}

impl Step {
    fn label(self) -> &'static str {
        match self {
            Step::Published => "published",
            Step::Started => "started",
            Step::Informed => "informed",
            Step::Decided => "decided",
            Step::Outcome => "outcome",
            Step::Ended => "ended",
            Step::Rejected => "rejected",
            Step::DeadLetter => "dead letter",
        }
    }

    fn colour(self) -> Colour {
        match self {
            Step::Published => Colour::Faint,
            Step::Started | Step::Informed => Colour::Blue,
            Step::Decided => Colour::Yellow,
            Step::Outcome | Step::Ended => Colour::Green,
            Step::Rejected | Step::DeadLetter => Colour::Red,
        }
    }
}

#[derive(Clone, Copy)]
enum Colour {
    Faint,
    Bold,
    Red,
    Green,
    Yellow,
    Blue,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    at: Duration,
    ticket: String,
    step: Step,
    text: String,
}

impl Line {
    /// A change of a ticket.
    pub(super) fn new(at: Duration, ticket: &str, step: Step, text: String) -> Line {
        Line { at, ticket: ticket.to_owned(), step, text }
    }
}

/// Standard output.
#[derive(Clone, Copy)]
pub(super) struct Screen {
    colours: bool,
}

impl Screen {
    /// Colours on a terminal, unless `NO_COLOR` is set or the terminal is a dumb one.
    pub(super) fn of_process() -> Screen {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Screen { colours: std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb }
    }

    /// Shows one change.
    pub(super) fn line(self, line: &Line) {
        self.print(&self.render_line(line));
    }

    /// Shows text as it is.
    pub(super) fn print(self, text: &str) {
        // A reader who has gone away, as `head` does, is no reason to stop.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// A heading.
    pub(super) fn heading(self, text: &str) -> String {
        self.paint(Colour::Bold, text)
    }

    /// Something to worry about, on one line.
    pub(super) fn alarm(self, text: &str) -> String {
        self.paint(Colour::Red, &shortened(text, WIDTH))
    }

    fn render_line(self, line: &Line) -> String {
        let head = format!("{:7.2} s  {:<8} ", line.at.as_secs_f64(), line.ticket);
        let step = format!("{:<11}  ", line.step.label());
        let left = WIDTH.saturating_sub(head.chars().count() + step.chars().count());
        let text = shortened(&line.text, left);
        format!("{head}{}{text}", self.paint(line.step.colour(), &step)).trim_end().to_owned()
    }

    /// The tickets, one row each.
    pub(super) fn table(self, book: &Book) -> String {
        let columns = ["TICKET", "KIND", "BODY", "SLA", "TEAM", "DECISION", "BY", "TIME"].map(str::to_owned);
        let mut text = self.heading(&row(&columns));
        let hidden = book.entries.len().saturating_sub(MOST_ROWS);
        if hidden > 0 {
            let _ = write!(text, "\n({hidden} earlier tickets are not shown)");
        }
        for entry in book.entries.iter().skip(hidden) {
            let colour = match (&entry.ticket.fate, entry.settled) {
                (Fate::Refused(_), _) => Some(Colour::Red),
                (_, None) => Some(Colour::Faint),
                (Fate::Decided { .. } | Fate::Withdrawn, Some(_)) => None,
            };
            let line = row(&cells(entry));
            let _ = write!(text, "\n{}", colour.map_or_else(|| line.clone(), |colour| self.paint(colour, &line)));
        }
        text
    }

    /// The scenes of the other flows, one row each.
    pub(super) fn scenes(self, company: &Company) -> String {
        let mut text = self.heading(&scene_row("FLOW", "CASE", "WHAT HAPPENS", "DECISION", "TIME"));
        let hidden = company.runs.len().saturating_sub(MOST_ROWS);
        for run in company.runs.iter().skip(hidden) {
            let decision = match (run.outcomes.first(), &run.playing.expected, run.settled) {
                (Some(outcome), ..) => outcome["decision"].as_str().unwrap_or("-"),
                (None, None, Some(_)) => "ended",
                (None, ..) => "under way",
            };
            let took = |settled: Duration| format!("{:.2} s", settled.saturating_sub(run.published).as_secs_f64());
            let time = run.settled.map_or_else(|| "-".to_owned(), took);
            let line = scene_row(&run.playing.flow, &run.playing.object, &run.playing.title, decision, &time);
            let faint = run.settled.is_none();
            let _ = write!(text, "\n{}", if faint { self.paint(Colour::Faint, &line) } else { line });
        }
        text
    }

    /// What took effect in the systems.
    pub(super) fn effects(self, effects: &[Effects]) -> String {
        let row = |effects: &[Effects]| -> String {
            effects.iter().map(|of| format!("{:>5} {:<14}", of.count, of.system)).collect()
        };
        let rows: Vec<String> = effects.chunks(4).map(|four| row(four).trim_end().to_owned()).collect();
        format!("{}\n{}", self.heading("EFFECTS IN THE SYSTEMS, NEVER TWO UNDER ONE KEY"), rows.join("\n"))
    }

    /// The sums below the tables.
    pub(super) fn totals(self, sums: &Reckoning) -> String {
        let per_start = match sums.instances {
            0 => String::new(),
            instances => format!(" = {:.2} per process", sums.start_calls as f64 / instances as f64),
        };
        let mut text = format!(
            "{:>5} events published      {:>5} processes started     {:>5} rejected replies\n\
             {:>5} accepted replies      {:>5} outcomes              {:>5} dead letters\n\
             {:>5} duplicates            {:>5} start calls{per_start}",
            sums.published,
            sums.instances,
            sums.rejected,
            sums.accepted,
            sums.outcomes,
            sums.dead_letters,
            sums.duplicates,
            sums.start_calls,
        );
        if sums.unsettled > 0 {
            let _ = write!(text, "\n{:>5} cases still under way", sums.unsettled);
        }
        text
    }

    fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Faint => 2,
            Colour::Bold => 1,
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Blue => 34,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

fn scene_row(flow: &str, case: &str, title: &str, decision: &str, time: &str) -> String {
    let (title, decision) = (shortened(title, 30), shortened(decision, 14));
    format!("{:<18} {case:<8} {title:<30} {decision:<14} {time:>6}", shortened(flow, 18))
}

fn cells(entry: &Entry) -> [String; 8] {
    let kind = match &entry.ticket.fate {
        Fate::Decided { updates: 0, .. } => "created",
        Fate::Decided { .. } => "updated",
        Fate::Withdrawn => "withdrawn",
        Fate::Refused(_) => "unusable",
    };
    let (decision, by) = match (&entry.ticket.fate, entry.settled) {
        (_, None) => ("under way", "-"),
        (Fate::Withdrawn, Some(_)) => ("ended", "customer"),
        (Fate::Refused(_), Some(_)) => ("dead letter", "-"),
        (Fate::Decided { .. }, Some(_)) => {
            let decision = entry.outcomes.first().and_then(|outcome| outcome.decision.as_deref());
            (decision.unwrap_or("-"), entry.decided_by().unwrap_or("-"))
        }
    };
    let time = entry.settled.map(|settled| format!("{:.2} s", settled.saturating_sub(entry.published).as_secs_f64()));
    [
        entry.ticket.id.clone(),
        kind.to_owned(),
        entry.ticket.encoding.label().to_owned(),
        entry.ticket.sla.to_owned(),
        entry.team.clone().unwrap_or_else(|| "-".to_owned()),
        decision.to_owned(),
        by.to_owned(),
        time.unwrap_or_else(|| "-".to_owned()),
    ]
}

fn row(cells: &[String; 8]) -> String {
    let [ticket, kind, encoding, sla, team, decision, by, time] = cells;
    let team = shortened(team, 16);
    format!("{ticket:<7} {kind:<9} {encoding:<4} {sla:<6} {team:<16} {decision:<11} {by:<8} {time:>9}")
}

/// How to run the same flow for real.
pub(super) fn way_on(screen: Screen, folder: &Path) -> String {
    let indented = |text: &str| -> String {
        text.lines().map(|line| format!("{}\n", format!("     {line}").trim_end())).collect()
    };
    let commands = "xconnector check                 # reads the files, contacts nothing\n\
                    xconnector topics create --all   # makes the topics that are missing\n\
                    xconnector models deploy         # gives the process models to the engine\n\
                    xconnector run";
    format!(
        "\n{}\n\n  1. Write xconnector.toml beside the folders flows and schemas:\n\n{}\n     \
         or, for open-source Flowable:\n\n{}\n  2. Then:\n\n{}\n  \
         Flows, schemas and the settings of this demo are in\n  {}",
        screen.heading("The same flows on your Kafka and your engine"),
        indented(REAL_SETTINGS),
        indented(FLOWABLE_ENGINE),
        indented(commands),
        folder.display(),
    )
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
