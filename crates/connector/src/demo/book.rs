//! What was seen of every ticket, in the order of publishing. No I/O; times are since the start of the demonstration.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use emulator::demo::Received;
use event_model::{Outcome, Receipt, ReceiptStatus};

use super::plan::{Decision, Fate, Ticket};
use super::screen::{Line, Step};

/// Partition and offset on the source topic.
pub(super) type Place = (i32, i64);

/// One ticket with everything that was seen of it.
#[derive(Debug)]
pub(super) struct Entry {
    /// What was planned.
    pub ticket: Ticket,
    /// When its first event was published.
    pub published: Duration,
    /// Where its events are.
    pub places: Vec<Place>,
    /// The bytes of an event that is to be refused.
    pub bytes: Vec<u8>,
    /// Events with an *accepted* reply, once per reply.
    pub accepted: Vec<Place>,
    /// Events with a *rejected* reply, once per reply.
    pub rejected: Vec<Place>,
    /// The values of its dead letters.
    pub dead_letters: Vec<Vec<u8>>,
    /// Its outcomes.
    pub outcomes: Vec<Outcome>,
    /// Who looks after it, as the process says.
    pub team: Option<String>,
    /// Somebody has taken it.
    pub taken: bool,
    /// When it was over.
    pub settled: Option<Duration>,
}

/// All tickets.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// In the order of publishing.
    pub entries: Vec<Entry>,
    /// Replies that came again under their id.
    pub repeated: u64,
    /// Records on our topics that belong to no ticket, or cannot be read.
    pub strange: Vec<String>,
    by_id: HashMap<String, usize>,
    reply_ids: BTreeSet<String>,
}

impl Book {
    /// A ticket is about to be published.
    pub(super) fn open(&mut self, ticket: Ticket, at: Duration) {
        self.by_id.insert(ticket.id.clone(), self.entries.len());
        self.entries.push(Entry {
            ticket,
            published: at,
            places: Vec::new(),
            bytes: Vec::new(),
            accepted: Vec::new(),
            rejected: Vec::new(),
            dead_letters: Vec::new(),
            outcomes: Vec::new(),
            team: None,
            taken: false,
            settled: None,
        });
    }

    /// An event of a ticket is on the source topic.
    pub(super) fn published(
        &mut self,
        id: &str,
        kind: &str,
        place: Place,
        bytes: Vec<u8>,
        at: Duration,
    ) -> Option<Line> {
        let entry = self.entry(id)?;
        entry.places.push(place);
        if matches!(entry.ticket.fate, Fate::Refused(_)) {
            entry.bytes = bytes;
        }
        let text = format!("{kind}, {}: {}", entry.ticket.encoding.label(), entry.ticket.title());
        Some(Line::new(at, id, Step::Published, text))
    }

    /// A task of a ticket was seen. What its person is to decide, once everything that was published about it arrived.
    pub(super) fn task_seen(&mut self, id: &str, team: Option<&String>) -> Option<Decision> {
        let entry = self.entry(id)?;
        entry.team = entry.team.take().or_else(|| team.cloned());
        let Fate::Decided { decision, .. } = entry.ticket.fate else { return None };
        let everything = entry.ticket.events().len();
        if entry.taken || entry.accepted.len() < everything {
            return None;
        }
        entry.taken = true;
        Some(decision)
    }

    /// Somebody has decided.
    pub(super) fn decided(&mut self, id: &str, by: Decision, at: Duration) -> Option<Line> {
        let entry = self.entry(id)?;
        let team = entry.team.clone().unwrap_or_default();
        Some(Line::new(at, id, Step::Decided, format!("{} by {}, {team}", by.outcome, by.by)))
    }

    /// A record came from the reply topic or from the dead letters.
    pub(super) fn received(&mut self, record: &Received, at: Duration) -> Option<Line> {
        let id = String::from_utf8_lossy(&record.key).into_owned();
        if !self.by_id.contains_key(&id) {
            self.strange.push(format!("a record on {} has the key {id:?}, which is no ticket's", record.topic));
            return None;
        }
        if let Some(reason) = record.header("xc-reason") {
            let entry = self.entry(&id)?;
            entry.dead_letters.push(record.value.clone());
            entry.settle(at);
            return Some(Line::new(at, &id, Step::DeadLetter, reason.to_owned()));
        }
        if let Some(reply_id) = record.header("ce_id")
            && !self.reply_ids.insert(reply_id.to_owned())
        {
            self.repeated += 1;
        }
        let line = match record.header("ce_type") {
            Some(Outcome::EVENT_TYPE) => {
                serde_json::from_slice(&record.value).ok().and_then(|outcome| self.outcome(&id, outcome, at))
            }
            Some(_) | None => {
                serde_json::from_slice(&record.value).ok().and_then(|receipt| self.receipt(&id, &receipt, at))
            }
        };
        if line.is_none() {
            self.strange.push(format!("a record on {} about {id} cannot be read", record.topic));
        }
        line
    }

    /// Tickets that are not over yet.
    pub(super) fn unsettled(&self) -> usize {
        self.entries.iter().filter(|entry| entry.settled.is_none()).count()
    }

    fn receipt(&mut self, id: &str, receipt: &Receipt, at: Duration) -> Option<Line> {
        let entry = self.entry(id)?;
        let place = (receipt.source.partition.get(), receipt.source.offset.get());
        let (step, text) = match receipt.status {
            ReceiptStatus::Accepted | ReceiptStatus::Duplicate => {
                let first = entry.accepted.is_empty();
                entry.accepted.push(place);
                let process = receipt.process.as_ref().map(|process| process.instance_id.as_str()).unwrap_or_default();
                if first {
                    (Step::Started, format!("process {process}"))
                } else if entry.ticket.fate == Fate::Withdrawn {
                    (Step::Ended, "withdrawn by the customer, process ended".to_owned())
                } else {
                    (Step::Informed, "the process knows of the update".to_owned())
                }
            }
            ReceiptStatus::Rejected => {
                entry.rejected.push(place);
                (Step::Rejected, receipt.detail.clone().unwrap_or_default())
            }
        };
        entry.settle(at);
        Some(Line::new(at, id, step, text))
    }

    fn outcome(&mut self, id: &str, outcome: Outcome, at: Duration) -> Option<Line> {
        let entry = self.entry(id)?;
        let (decision, audit) = (outcome.decision.clone().unwrap_or_default(), outcome.audit.len());
        let words = outcome.comments.first().map(|comment| format!("“{}”", comment.text)).unwrap_or_default();
        let team = outcome.variables.get("team").and_then(|team| team.as_str());
        entry.team = team.map(str::to_owned).or_else(|| entry.team.take());
        entry.outcomes.push(outcome);
        entry.settle(at);
        let tasks = if audit == 1 { "1 task".to_owned() } else { format!("{audit} tasks") };
        Some(Line::new(at, id, Step::Outcome, format!("{decision}, {tasks}: {words}")))
    }

    fn entry(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.get_mut(*self.by_id.get(id)?)
    }
}

impl Entry {
    /// Whether nothing more is to come, and since when.
    fn settle(&mut self, at: Duration) {
        let over = match self.ticket.fate {
            Fate::Decided { .. } => !self.outcomes.is_empty(),
            Fate::Withdrawn => self.accepted.len() >= self.ticket.events().len(),
            Fate::Refused(_) => !self.rejected.is_empty() && !self.dead_letters.is_empty(),
        };
        if over && self.settled.is_none() {
            self.settled = Some(at);
        }
    }

    /// Who decided, as the outcome's audit says.
    pub(super) fn decided_by(&self) -> Option<&str> {
        self.outcomes.first()?.audit.iter().rev().find_map(|task| task.assignee.as_deref())
    }
}
