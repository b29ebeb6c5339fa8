//! The tickets of the demonstration: what happens to each is decided beforehand, so that the end can be held against it.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// One ticket, from what the CRM publishes to what has to come back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ticket {
    /// The CRM's number.
    pub id: String,
    /// Service level.
    pub sla: &'static str,
    /// How the events are written.
    pub encoding: Encoding,
    /// What is to become of it.
    pub fate: Fate,
    /// The fields that all its events share.
    pub body: Value,
}

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// JSON, CloudEvents attributes in headers.
    Json,
    /// JSON, CloudEvents attributes around the data.
    StructuredJson,
    /// Avro with the schema's fingerprint in front.
    Avro,
    /// Avro as clients of a schema registry write it.
    ConfluentAvro,
}

impl Encoding {
    /// As the table shows it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Encoding::Json | Encoding::StructuredJson => "json",
            Encoding::Avro | Encoding::ConfluentAvro => "avro",
        }
    }
}

/// What is to become of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Somebody decides, after the ticket was changed this often.
    Decided { updates: usize, decision: Decision },
    /// The customer withdraws it before anybody has decided.
    Withdrawn,
    /// The record is unusable.
    Refused(Defect),
}

/// A person's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// Who.
    pub by: &'static str,
    /// One of the outcomes that the model offers.
    pub outcome: &'static str,
    /// With which words.
    pub comment: &'static str,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    /// A service level that the schema does not know.
    UnknownServiceLevel,
    /// Half of the bytes are missing.
    Truncated,
}

impl Ticket {
    /// The kinds of its events, in the order in which they are published.
    pub(super) fn events(&self) -> Vec<&'static str> {
        let mut kinds = vec!["created"];
        match &self.fate {
            Fate::Decided { updates, .. } => kinds.extend(std::iter::repeat_n("updated", *updates)),
            Fate::Withdrawn => kinds.push("withdrawn"),
            Fate::Refused(_) => {}
        }
        kinds
    }

    /// The title.
    pub(super) fn title(&self) -> &str {
        self.body["title"].as_str().unwrap_or_default()
    }
}

/// Who decides; every one is signed in to the workflow service.
pub(super) const PEOPLE: [&str; 4] = ["ada", "grace", "edsger", "barbara"];

const PROBLEMS: [(&str, &str); 10] = [
    ("Invoice 88120 charges the maintenance fee twice", "billing"),
    ("No dial tone since this morning", "outage"),
    ("Contract renewal lists the wrong number of seats", "contract"),
    ("VPN drops every ten minutes", "outage"),
    ("Credit note for the June delivery is missing", "billing"),
    ("Router reboots by itself after the update", "hardware"),
    ("Please move our line to the new office", "contract"),
    ("Portal login fails with the new phone", "access"),
    ("Direct debit was taken from a closed account", "billing"),
    ("Replacement card reader never arrived", "hardware"),
];
const CUSTOMERS: [(&str, &str, &str); 8] = [
    ("Nordwerk Maschinenbau GmbH", "business", "DE-NORTH"),
    ("Amélie Laurent", "private", "FR-EST"),
    ("Stadtbibliothek Ulm", "public", "DE-SOUTH"),
    ("Brightwater Dairy Ltd", "business", "UK"),
    ("Jonas Lindqvist", "private", "SE"),
    ("Clínica San Telmo", "business", "ES"),
    ("Gemeente Zwolle", "public", "NL"),
    ("Łódź Print S.A.", "business", "PL"),
];
const CHANNELS: [&str; 4] = ["phone", "email", "portal", "chat"];
const WORDS: [(&str, &str); 6] = [
    ("resolved", "Done; the customer confirms it."),
    ("resolved", "Checked against the contract and put right."),
    ("resolved", "Explained on the phone, nothing left to do."),
    ("assigned", "Needs a specialist, handed on."),
    ("assigned", "Has to be looked at on site."),
    ("rejected", "Not covered by this service level."),
];

/// An endless sequence of tickets; the same seed gives the same tickets.
pub(super) struct Plan {
    random: StdRng,
    next: usize,
}

impl Plan {
    /// Starts the sequence.
    pub(super) fn new(seed: u64) -> Plan {
        Plan { random: StdRng::seed_from_u64(seed), next: 0 }
    }

    /// The next ticket. Every tenth is unusable, every seventh withdrawn, every fourth changed: a short run shows all.
    pub(super) fn next(&mut self) -> Ticket {
        let number = self.next;
        self.next += 1;
        let random = &mut self.random;
        let (title, category) = pick(random, &PROBLEMS);
        let (name, kind, region) = pick(random, &CUSTOMERS);
        let sla = pick(random, &["gold", "silver", "silver", "bronze"]);
        let encoding = [Encoding::Json, Encoding::Avro, Encoding::StructuredJson, Encoding::ConfluentAvro][number % 4];
        let (outcome, comment) = pick(random, &WORDS);
        let decision = Decision { by: pick(random, &PEOPLE), outcome, comment };
        let fate = match number {
            n if n % 20 == 4 => Fate::Refused(Defect::UnknownServiceLevel),
            n if n % 20 == 13 => Fate::Refused(Defect::Truncated),
            n if n % 7 == 5 => Fate::Withdrawn,
            n => Fate::Decided { updates: usize::from(n % 4 == 2), decision },
        };
        let id = format!("T-{}", 1001 + number);
        let body = json!({
            "ticketId": id,
            "title": title,
            "description": "",
            "category": category,
            "sla": sla,
            "channel": pick(random, &CHANNELS),
            "customer": {
                "id": format!("C-{}", random.random_range(10_000..99_999)),
                "name": name,
                "type": kind,
                "region": region,
            },
        });
        Ticket { id, sla, encoding, fate, body }
    }
}

fn pick<T: Copy + Default>(random: &mut StdRng, from: &[T]) -> T {
    from.choose(random).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_tickets() {
        let tickets = |seed| -> Vec<Ticket> {
            let mut plan = Plan::new(seed);
            (0..30).map(|_| plan.next()).collect()
        };
        assert_eq!(tickets(3), tickets(3));
        assert_ne!(tickets(3), tickets(4));
    }

    #[test]
    fn twenty_tickets_show_every_fate_and_every_encoding() {
        let mut plan = Plan::new(1);
        let tickets: Vec<Ticket> = (0..20).map(|_| plan.next()).collect();
        let count = |wanted: fn(&Ticket) -> bool| tickets.iter().filter(|ticket| wanted(ticket)).count();
        assert_eq!(count(|t| matches!(t.fate, Fate::Refused(_))), 2);
        assert_eq!(count(|t| t.fate == Fate::Withdrawn), 3);
        assert!(count(|t| t.events() == ["created", "updated"]) >= 3);
        assert_eq!(count(|t| t.encoding.label() == "avro"), 10);
    }
}
