//! What each system holds, and what can be done to it.

use super::System;

/// A kind of thing that a system holds.
#[derive(Debug)]
pub(super) struct Collection {
    /// The path, without slashes.
    pub name: &'static str,
    /// Begins the ids that are given out.
    pub prefix: &'static str,
    /// Fields that a new one must have; texts must not be empty, amounts not negative.
    pub required: &'static [&'static str],
    /// Fields that together name one of them: a second one is a conflict.
    pub unique: &'static [&'static str],
    /// The status of a new one; empty where it has none.
    pub begins: &'static str,
    /// Whether a change must say by `If-Match` which version it means.
    pub locks: bool,
    /// What can be done to one: `POST /<name>/<id>/<action>`.
    pub actions: &'static [Action],
}

/// A step from one status to another.
#[derive(Debug)]
pub(super) struct Action {
    pub name: &'static str,
    /// In which status it is allowed; none at all: in each.
    pub from: &'static [&'static str],
    /// The status after it; empty: as before.
    pub to: &'static str,
    /// Fields that its body must have. What the body has becomes part of the thing.
    pub required: &'static [&'static str],
}

const fn action(
    name: &'static str,
    from: &'static [&'static str],
    to: &'static str,
    required: &'static [&'static str],
) -> Action {
    Action { name, from, to, required }
}

const PLAIN: Collection =
    Collection { name: "", prefix: "", required: &[], unique: &[], begins: "", locks: false, actions: &[] };

const ERP: &[Collection] = &[
    Collection {
        name: "invoices",
        prefix: "INV",
        required: &["number", "supplier", "amount"],
        unique: &["supplier", "number"],
        begins: "blocked",
        locks: true,
        actions: &[
            action("release", &["blocked", "corrected"], "released", &[]),
            action("correct", &["blocked"], "corrected", &["amount"]),
        ],
    },
    Collection {
        name: "purchase-orders",
        prefix: "PO",
        required: &["supplier", "amount", "costCentre"],
        begins: "open",
        locks: true,
        actions: &[action("close", &["open"], "closed", &[])],
        ..PLAIN
    },
    Collection {
        name: "expenses",
        prefix: "EXP",
        required: &["employee", "amount"],
        begins: "blocked",
        locks: true,
        actions: &[action("release", &["blocked"], "released", &[])],
        ..PLAIN
    },
    Collection { name: "cost-centres", prefix: "CC", required: &["code"], unique: &["code"], ..PLAIN },
];

const PROCUREMENT: &[Collection] = &[Collection {
    name: "purchase-requests",
    prefix: "PR",
    required: &["title", "amount", "costCentre"],
    begins: "booked",
    actions: &[action("cancel", &["booked"], "cancelled", &[])],
    ..PLAIN
}];

const CRM: &[Collection] = &[
    Collection {
        name: "cases",
        prefix: "CASE",
        required: &["subject"],
        begins: "open",
        actions: &[action("owner", &["open"], "", &["owner"]), action("close", &["open"], "closed", &["resolution"])],
        ..PLAIN
    },
    Collection { name: "customers", prefix: "CU", required: &["name"], unique: &["name"], locks: true, ..PLAIN },
];

const ECM: &[Collection] = &[Collection {
    name: "documents",
    prefix: "DOC",
    required: &["name"],
    begins: "draft",
    locks: true,
    actions: &[
        action("submit", &["draft", "rejected"], "in-review", &[]),
        action("approve", &["in-review"], "approved", &[]),
        action("reject", &["in-review"], "rejected", &["comment"]),
        // Only what was approved is ever released.
        action("release", &["approved"], "released", &[]),
    ],
    ..PLAIN
}];

const HRIS: &[Collection] = &[Collection {
    name: "employees",
    prefix: "EMP",
    required: &["number", "name"],
    unique: &["number"],
    begins: "hired",
    actions: &[action("activate", &["hired"], "active", &[]), action("leave", &["hired", "active"], "left", &[])],
    ..PLAIN
}];

const PAYROLL: &[Collection] = &[Collection {
    name: "entries",
    prefix: "PAY",
    required: &["employee"],
    unique: &["employee"],
    begins: "active",
    actions: &[action("end", &["active"], "ended", &[])],
    ..PLAIN
}];

const ASSETS: &[Collection] = &[Collection {
    name: "equipment",
    prefix: "EQ",
    required: &["kind"],
    begins: "free",
    actions: &[action("assign", &["free"], "assigned", &["employee"]), action("return", &["assigned"], "free", &[])],
    ..PLAIN
}];

const MDM: &[Collection] = &[
    Collection { name: "vendors", prefix: "V", required: &["key", "name"], unique: &["key"], locks: true, ..PLAIN },
    Collection { name: "customers", prefix: "C", required: &["key", "name"], unique: &["key"], locks: true, ..PLAIN },
    Collection { name: "products", prefix: "P", required: &["key", "name"], unique: &["key"], locks: true, ..PLAIN },
];

const CONTACT_CENTRE: &[Collection] = &[
    Collection {
        name: "complaints",
        prefix: "CO",
        required: &["customer", "text"],
        begins: "open",
        actions: &[action("close", &["open"], "closed", &[])],
        ..PLAIN
    },
    Collection { name: "answers", prefix: "AN", required: &["complaint", "channel", "text"], ..PLAIN },
];

/// Accounts: `scim` speaks for it.
const IDENTITY: &[Collection] =
    &[Collection { name: "Users", prefix: "U", required: &["userName"], unique: &["userName"], ..PLAIN }];

pub(super) fn of(system: System) -> &'static [Collection] {
    match system {
        System::Erp => ERP,
        System::Procurement => PROCUREMENT,
        System::Crm => CRM,
        System::Ecm => ECM,
        System::Hris => HRIS,
        System::Identity => IDENTITY,
        System::Payroll => PAYROLL,
        System::Assets => ASSETS,
        System::Mdm => MDM,
        System::ContactCentre => CONTACT_CENTRE,
    }
}
