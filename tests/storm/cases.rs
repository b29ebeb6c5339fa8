//! What the flows are given to do, and what has to come of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use emulator::{Effect, System, Systems};
use promises::repository;
use rand::Rng;
use serde_json::{Value, json};

/// One kind of case: its flow, its events, and the ways that people may take it.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The folder below `flows`.
    pub(crate) flow: &'static str,
    /// Which of the flow's processes it starts, in the order of the steps.
    pub(crate) definition: usize,
    /// How many of a hundred cases are of it.
    share: u32,
    /// What its business key begins with.
    prefix: &'static str,
    /// Its first event, below the repository.
    example: &'static str,
    /// The fields of the event that hold its key, the first of them orders its events.
    named: &'static [&'static str],
    /// The kind of its later events, and the field of theirs that becomes the variable of the same name.
    update: Option<(&'static str, &'static str)>,
    /// What the systems hold of it before.
    there: &'static [Thing],
    ways: &'static [Way],
}

/// Something that a system holds under the key of the case, in a collection; its fields are JSON, where `KEY` stands for the key.
type Thing = (System, &'static str, &'static str);

/// A way that people take.
#[derive(Debug)]
struct Way {
    /// The tasks of the model that it comes to.
    tasks: &'static [Decision],
    /// What takes effect in the systems, each once.
    effects: &'static [&'static str],
    /// What the systems hold besides.
    there: &'static [Thing],
}

/// A task, and the variables that whoever completes it sets.
type Decision = (&'static str, &'static [(&'static str, &'static str)]);

const fn way(tasks: &'static [Decision], effects: &'static [&'static str]) -> Way {
    Way { tasks, effects, there: &[] }
}

const DOCUMENT: Thing = (System::Ecm, "/documents", r#"{ "id": "KEY", "name": "storm" }"#);
const EMPLOYEE: Thing = (System::Hris, "/employees", r#"{ "id": "KEY", "number": "KEY", "name": "storm" }"#);

const APPROVED: Decision = ("managerApproval", &[("decision", "approved")]);

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        flow: "tickets",
        definition: 0,
        share: 40,
        prefix: "ticket/",
        example: "schemas/ticket/examples/created",
        named: &["ticketId"],
        update: Some(("updated", "comment")),
        there: &[(System::Crm, "/cases", r#"{ "id": "KEY", "subject": "storm" }"#)],
        ways: &[
            way(&[("urgentTriage", &[("decision", "resolved")])], &[]),
            way(&[("urgentTriage", &[("decision", "assigned")])], &["cases.owner"]),
        ],
    },
    Kind {
        flow: "content-review",
        definition: 0,
        share: 12,
        prefix: "review/",
        example: "flows/content-review/examples/article",
        named: &["reviewId", "documentId"],
        update: Some(("changed", "title")),
        there: &[DOCUMENT],
        ways: &[way(
            &[("review", &[("decision", "approved")])],
            &["documents.submit", "documents.approve", "documents.release"],
        )],
    },
    Kind {
        flow: "document-approval",
        definition: 0,
        share: 6,
        prefix: "approval/",
        example: "flows/document-approval/examples/purchase",
        named: &["requestId", "documentId"],
        update: Some(("corrected", "title")),
        there: &[DOCUMENT],
        ways: &[
            way(&[APPROVED], &["purchase-requests.create"]),
            way(&[("managerApproval", &[("decision", "rejected")])], &[]),
        ],
    },
    Kind {
        flow: "document-approval",
        definition: 0,
        share: 5,
        prefix: "approval/",
        example: "flows/document-approval/examples/contract",
        named: &["requestId", "documentId"],
        update: Some(("corrected", "title")),
        there: &[DOCUMENT],
        ways: &[way(
            &[
                APPROVED,
                ("legalApproval", &[("decision", "approved")]),
                ("directorApproval", &[("decision", "approved")]),
            ],
            &[],
        )],
    },
    Kind {
        flow: "people",
        definition: 0,
        share: 8,
        prefix: "onboarding/",
        example: "flows/people/examples/begins",
        named: &["employeeNumber", "userName", "equipmentId"],
        update: Some(("changed", "name")),
        there: &[EMPLOYEE, (System::Assets, "/equipment", r#"{ "id": "KEY", "kind": "laptop" }"#)],
        ways: &[
            way(
                &[("acknowledgePolicies", &[("acknowledged", "yes")])],
                &["Users.create", "employees.activate", "entries.create", "equipment.assign"],
            ),
            Way {
                tasks: &[
                    ("clarifyPayroll", &[("payrollDecision", "undo")]),
                    ("acknowledgePolicies", &[("acknowledged", "yes")]),
                ],
                effects: &["Users.create", "Users.delete", "equipment.assign", "equipment.return"],
                there: &[(System::Payroll, "/entries", r#"{ "employee": "KEY" }"#)],
            },
        ],
    },
    Kind {
        flow: "people",
        definition: 1,
        share: 5,
        prefix: "offboarding/",
        example: "flows/people/examples/leaves",
        named: &["employeeNumber", "userName", "equipmentId"],
        update: None,
        there: &[
            EMPLOYEE,
            (System::Assets, "/equipment", r#"{ "id": "KEY", "kind": "laptop", "status": "assigned" }"#),
            (System::Identity, "/Users", r#"{ "id": "KEY", "userName": "KEY" }"#),
            (System::Payroll, "/entries", r#"{ "id": "KEY", "employee": "KEY" }"#),
        ],
        ways: &[way(
            &[("finalApproval", &[("decision", "approved")])],
            &["Users.delete", "employees.leave", "entries.end", "equipment.return"],
        )],
    },
    Kind {
        flow: "finance-exceptions",
        definition: 0,
        share: 8,
        prefix: "exception/",
        example: "flows/finance-exceptions/examples/invoice",
        named: &["exceptionId", "recordId"],
        update: Some(("changed", "amount")),
        there: &[(
            System::Erp,
            "/invoices",
            r#"{ "id": "KEY", "number": "KEY", "supplier": "Northwind", "amount": 1210.0 }"#,
        )],
        ways: &[
            way(&[("review", &[("decision", "correct")])], &["invoices.correct", "invoices.release"]),
            way(&[("review", &[("decision", "release")])], &["invoices.release"]),
        ],
    },
    Kind {
        flow: "complaints",
        definition: 0,
        share: 8,
        prefix: "complaint/",
        example: "flows/complaints/examples/late-parcel",
        named: &["complaintId"],
        update: Some(("added", "text")),
        there: &[(System::ContactCentre, "/complaints", r#"{ "id": "KEY", "customer": "Jo", "text": "Late" }"#)],
        ways: &[way(
            &[
                ("legalStatement", &[("legalStatement", "none")]),
                ("qualityStatement", &[("qualityStatement", "none")]),
                ("operationsStatement", &[("operationsStatement", "a strike")]),
                ("finalAnswer", &[("decision", "answered"), ("answer", "We are sorry.")]),
            ],
            &["answers.create", "complaints.close"],
        )],
    },
    Kind {
        flow: "master-data",
        definition: 0,
        share: 4,
        prefix: "master-data/",
        example: "flows/master-data/examples/new-vendor",
        named: &["requestId", "key"],
        update: Some(("changed", "name")),
        there: &[],
        ways: &[
            way(&[("approve", &[("decision", "approved")])], &["vendors.create"]),
            way(&[("approve", &[("decision", "rejected")])], &[]),
        ],
    },
    Kind {
        flow: "master-data",
        definition: 0,
        share: 4,
        prefix: "master-data/",
        example: "flows/master-data/examples/changed-customer",
        named: &["requestId", "key", "mdmId"],
        update: Some(("changed", "name")),
        there: &[(System::Mdm, "/customers", r#"{ "id": "KEY", "key": "KEY", "name": "storm" }"#)],
        ways: &[way(&[("approve", &[("decision", "approved")])], &["customers.update"])],
    },
];

/// Fields by which a thing of a system refers to what it was made for.
const REFERENCES: [&str; 2] = ["reference", "complaint"];

/// A case that was published whole: created, then changed so many times.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) kind: &'static Kind,
    way: &'static Way,
    pub(crate) key: String,
    pub(crate) updates: usize,
}

impl Case {
    /// Any, as the dice fall.
    pub(crate) fn drawn(dice: &mut impl Rng, key: String) -> Option<Case> {
        let mut drawn = dice.random_range(0..KINDS.iter().map(|kind| kind.share).sum());
        let kind = KINDS.iter().find(|kind| {
            let is = drawn < kind.share;
            drawn = drawn.saturating_sub(kind.share);
            is
        })?;
        let way = kind.ways.get(dice.random_range(0..kind.ways.len()))?;
        let updates = dice.random_range(0..3);
        Some(Case { kind, way, key, updates: kind.update.map_or(0, |_| updates) })
    }

    /// By which the engine knows its process.
    pub(crate) fn business_key(&self) -> String {
        format!("{}{}", self.kind.prefix, self.key)
    }

    /// Gives the systems what they hold of it before.
    pub(crate) fn prepare(&self, systems: &Systems) -> Result<()> {
        for (system, collection, fields) in self.kind.there.iter().chain(self.way.there) {
            let fields = serde_json::from_str(&fields.replace("KEY", &self.key))?;
            systems.put_there(*system, collection, fields).context("no such collection")?;
        }
        Ok(())
    }

    /// The ids of its events, in order.
    pub(crate) fn events(&self) -> impl Iterator<Item = String> + '_ {
        (0..=self.updates).map(|number| format!("{}-{number}", self.key))
    }

    /// Its event of that number, made of the first one.
    pub(crate) fn event(&self, first: &Value, number: usize) -> Value {
        let mut event = first.clone();
        for field in self.kind.named {
            event[*field] = json!(self.key);
        }
        if let Some((kind, field)) = self.kind.update.filter(|_| number > 0) {
            (event["kind"], event[field]) = (json!(kind), said(first, field, number));
        }
        event
    }

    /// The variable of its process that holds what its last event said, and what that is.
    pub(crate) fn told(&self, examples: &Examples) -> Option<(&'static str, Value)> {
        let (_, field) = self.kind.update.filter(|_| self.updates > 0)?;
        Some((field, said(examples.first(self.kind), field, self.updates)))
    }

    /// What whoever completes a task sets; none where the case should never come to it.
    pub(crate) fn decision(&self, task: &str) -> Option<&'static [(&'static str, &'static str)]> {
        self.way.tasks.iter().find(|(of, _)| *of == task).map(|(_, variables)| *variables)
    }

    /// What has to take effect in the systems, each once, sorted.
    pub(crate) fn effects(&self) -> &'static [&'static str] {
        self.way.effects
    }
}

/// What an event of that number says in a field.
fn said(first: &Value, field: &str, number: usize) -> Value {
    match first[field].as_f64() {
        Some(amount) => json!(amount + number as f64),
        None => json!(format!("update {number}")),
    }
}

/// The first event of each kind.
#[derive(Clone, Debug)]
pub(crate) struct Examples(BTreeMap<&'static str, Value>);

impl Examples {
    pub(crate) fn read() -> Result<Examples> {
        let mut examples = BTreeMap::new();
        for Kind { example, .. } in KINDS {
            let file = repository().join(format!("{example}.json"));
            let mut first: Value = serde_json::from_slice(&std::fs::read(file)?)?;
            if first.get("reportedAt").is_some() {
                first["reportedAt"] = json!(1_795_514_564_518_i64);
            }
            examples.insert(*example, first);
        }
        Ok(Examples(examples))
    }

    pub(crate) fn first(&self, kind: &Kind) -> &Value {
        &self.0[kind.example]
    }
}

/// What may be the key of the case that an effect belongs to: the id or the name of the thing, or what it refers to.
pub(crate) fn owners(systems: &Systems, system: System, effect: &Effect) -> impl Iterator<Item = String> {
    let collection = effect.operation.split_once('.').map_or("", |(collection, _)| collection);
    let thing = systems.look(system, &format!("/{collection}/{}", effect.id)).unwrap_or_default();
    let refers = REFERENCES.iter().filter_map(move |field| thing[*field].as_str().map(str::to_owned));
    [Some(effect.id.clone()), effect.named.clone()].into_iter().flatten().chain(refers)
}
