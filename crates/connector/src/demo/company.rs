//! What was seen of the scenes that are played, and whether each came out as it had to. No I/O; times are since the start of the
//! demonstration.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use emulator::demo::{InstanceFacts, Received, differences};
use event_model::{Outcome, Receipt, ReceiptStatus};
use serde_json::Value;

use super::play::{Decision, Playing};
use super::reckoning::Reckoning;
use super::screen::{Line, Step};

/// A scene, and everything that was seen of it.
#[derive(Debug)]
pub(super) struct Run {
    /// What is played.
    pub playing: Playing,
    /// When its first event was published.
    pub published: Duration,
    /// When nothing more was to come.
    pub settled: Option<Duration>,
    /// Its outcomes.
    pub outcomes: Vec<Value>,
    events: usize,
    accepted: usize,
    rejected: Vec<String>,
    dead_letters: usize,
    instance: Option<String>,
    /// How many decisions somebody has begun to make.
    decided: usize,
    /// Whether somebody is about to make one.
    deciding: bool,
}

/// All scenes, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// The scenes.
    pub runs: Vec<Run>,
    by_case: HashMap<(String, String), usize>,
    repeated: u64,
    reply_ids: BTreeSet<String>,
    strange: Vec<String>,
}

impl Company {
    /// A scene begins; gives its number.
    pub(super) fn begins(&mut self, playing: Playing, at: Duration) -> usize {
        let number = self.runs.len();
        self.by_case.insert((playing.flow.clone(), playing.object.clone()), number);
        self.runs.push(Run {
            playing,
            published: at,
            settled: None,
            outcomes: Vec::new(),
            events: 0,
            accepted: 0,
            rejected: Vec::new(),
            dead_letters: 0,
            instance: None,
            decided: 0,
            deciding: false,
        });
        number
    }

    /// An event of a scene is on its topic.
    pub(super) fn published(&mut self, number: usize, at: Duration) -> Option<Line> {
        let run = self.runs.get_mut(number)?;
        run.events += 1;
        let text = if run.events == 1 { run.playing.title.clone() } else { "a further event".to_owned() };
        Some(Line::new(at, &run.playing.object, Step::Published, text))
    }

    /// A task was seen. The number of its scene and what is to be decided, where it is that scene's turn.
    pub(super) fn task_seen(&mut self, instance: &str, task: &str) -> Option<(usize, Decision)> {
        let of = |run: &Run| run.instance.as_deref() == Some(instance);
        let (number, run) = self.runs.iter_mut().enumerate().find(|(_, run)| of(run))?;
        let next = run.playing.decisions.get(run.decided).filter(|next| next.task == task)?;
        if run.deciding || run.accepted < run.playing.events.len() {
            return None;
        }
        run.deciding = true;
        Some((number, next.clone()))
    }

    /// Somebody has decided.
    pub(super) fn decided(&mut self, number: usize, by: &str, at: Duration) -> Option<Line> {
        let run = self.runs.get_mut(number)?;
        let decision = run.playing.decisions.get(run.decided)?;
        let words: Vec<String> = decision.variables.values().map(plain).collect();
        let line = Line::new(
            at,
            &run.playing.object,
            Step::Decided,
            format!("{}: {} by {by}", decision.task, words.join(", ")),
        );
        (run.decided, run.deciding) = (run.decided + 1, false);
        Some(line)
    }

    /// A record came from the reply topic or from the dead letters of a flow.
    pub(super) fn received(&mut self, flow: &str, record: &Received, at: Duration) -> Option<Line> {
        let object = String::from_utf8_lossy(&record.key).into_owned();
        let Some(run) = self.by_case.get(&(flow.to_owned(), object.clone())).and_then(|of| self.runs.get_mut(*of))
        else {
            self.strange.push(format!("a record on {} has the key {object:?}, which no scene has", record.topic));
            return None;
        };
        if let Some(reason) = record.header("xc-reason") {
            run.dead_letters += 1;
            let text = format!("{reason}: {}", record.header("xc-detail").unwrap_or_default());
            return Some(Line::new(at, &object, Step::DeadLetter, text));
        }
        if record.header("ce_id").is_some_and(|id| !self.reply_ids.insert(id.to_owned())) {
            self.repeated += 1;
        }
        let line = if record.header("ce_type") == Some(Outcome::EVENT_TYPE) {
            serde_json::from_slice(&record.value).ok().map(|outcome| run.outcome(outcome, at))
        } else {
            serde_json::from_slice(&record.value).ok().map(|receipt| run.receipt(&receipt, at))
        };
        if line.is_none() {
            self.strange.push(format!("a record on {} about {object} cannot be read", record.topic));
        }
        line
    }

    /// Scenes that are not over yet.
    pub(super) fn unsettled(&self) -> usize {
        self.runs.iter().filter(|run| run.settled.is_none()).count()
    }

    /// Adds the scenes to what the tickets came to. `complete` says that everything should have come by now; `instances` are those that
    /// no ticket started.
    pub(super) fn reckon(&self, instances: &[&InstanceFacts], complete: bool, sums: &mut Reckoning) {
        let started: usize = self.runs.iter().filter(|run| run.instance.is_some()).count();
        sums.duplicates += self.repeated + instances.len().saturating_sub(started) as u64;
        sums.instances += instances.len();
        sums.unsettled += self.unsettled();
        sums.problems.extend(self.strange.iter().cloned());
        if self.repeated > 0 {
            sums.problems.push(format!("{} replies of scenes came again under their id", self.repeated));
        }
        if instances.len() > started {
            sums.problems.push(format!("{} processes for {started} scenes", instances.len()));
        }
        for run in &self.runs {
            sums.published += run.events;
            sums.accepted += run.accepted;
            sums.outcomes += run.outcomes.len();
            sums.rejected += run.rejected.len();
            sums.dead_letters += run.dead_letters;
            let ended = instances.iter().any(|of| Some(&of.id) == run.instance.as_ref() && of.end_time.is_some());
            let wrong = run.wrong(complete, ended);
            sums.problems.extend(
                wrong.into_iter().map(|wrong| format!("{} of {}: {wrong}", run.playing.object, run.playing.flow)),
            );
        }
    }
}

impl Run {
    fn receipt(&mut self, receipt: &Receipt, at: Duration) -> Line {
        let object = self.playing.object.clone();
        match receipt.status {
            ReceiptStatus::Accepted | ReceiptStatus::Duplicate => {
                self.accepted += 1;
                let first = self.accepted == 1;
                if let (true, Some(process)) = (first, &receipt.process) {
                    self.instance = Some(process.instance_id.clone());
                }
                self.settle(at);
                match (first, self.settled) {
                    (true, _) => {
                        let process = receipt.process.as_ref().map(|process| process.instance_id.as_str());
                        Line::new(at, &object, Step::Started, format!("process {}", process.unwrap_or_default()))
                    }
                    (false, Some(_)) => Line::new(at, &object, Step::Ended, "withdrawn, process ended".to_owned()),
                    (false, None) => Line::new(at, &object, Step::Informed, "the process knows".to_owned()),
                }
            }
            ReceiptStatus::Rejected => {
                let detail = receipt.detail.clone().unwrap_or_default();
                self.rejected.push(detail.clone());
                Line::new(at, &object, Step::Rejected, detail)
            }
        }
    }

    fn outcome(&mut self, outcome: Value, at: Duration) -> Line {
        let decision = outcome["decision"].as_str().unwrap_or("-").to_owned();
        let tasks = outcome["audit"].as_array().map_or(0, Vec::len);
        self.outcomes.push(outcome);
        self.settle(at);
        let tasks = if tasks == 1 { "1 task".to_owned() } else { format!("{tasks} tasks") };
        Line::new(at, &self.playing.object, Step::Outcome, format!("{decision}, {tasks}"))
    }

    fn settle(&mut self, at: Duration) {
        let answered = self.accepted >= self.playing.events.len();
        if answered && (self.playing.expected.is_none() || !self.outcomes.is_empty()) {
            self.settled.get_or_insert(at);
        }
    }

    /// What is not as it has to be.
    fn wrong(&self, complete: bool, ended: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut exactly = |what: &str, count: usize, wanted: usize| {
            if count > wanted || (complete && count < wanted) {
                wrong.push(format!("{count} {what} instead of {wanted}"));
            }
        };
        exactly("accepted replies", self.accepted, self.playing.events.len());
        exactly("outcomes", self.outcomes.len(), usize::from(self.playing.expected.is_some()));
        exactly("rejected replies", self.rejected.len(), 0);
        exactly("dead letters", self.dead_letters, 0);
        if complete && !ended {
            wrong.push("its process has not ended".to_owned());
        }
        if let (Some(expected), Some(outcome)) = (&self.playing.expected, self.outcomes.first()) {
            wrong.extend(differences(expected, outcome).into_iter().map(|wrong| format!("outcome{wrong}")));
        }
        wrong
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
