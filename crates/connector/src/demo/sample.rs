//! For tests: a run in which all went well, made of the records and facts that such a run leaves.

use std::time::Duration;

use emulator::demo::{InstanceFacts, Received, Totals};
use event_model::{AuditEntry, Comment, Offset, Outcome, Partition, ProcessRef, Receipt, ReceiptStatus, SourceRef};
use jiff::Timestamp;
use serde::Serialize;

use super::book::Book;
use super::plan::{Decision, Fate, Plan, Ticket};

/// A book and the service's facts, as a good run of so many tickets leaves them.
pub(super) fn good_run(tickets: usize) -> (Book, Totals) {
    let mut plan = Plan::new(1);
    let (mut book, mut totals) = (Book::default(), Totals::default());
    for number in 0..tickets {
        let ticket = plan.next();
        let start = Duration::from_millis(150 * number as u64);
        book.open(ticket.clone(), start);
        for (event, kind) in ticket.events().into_iter().enumerate() {
            let place = (0, offset(number, event));
            book.published(&ticket.id, kind, place, b"bytes".to_vec(), start).unwrap();
        }
        for record in answers(number, &ticket) {
            book.received(&record, start + Duration::from_millis(1_234)).unwrap();
        }
        if !matches!(ticket.fate, Fate::Refused(_)) {
            totals.instances.push(InstanceFacts {
                id: format!("instance-{number}"),
                business_key: Some(format!("ticket/{}", ticket.id)),
                end_time: Some("2026-11-24T10:00:00Z".to_owned()),
                delete_reason: (ticket.fate == Fate::Withdrawn).then(|| "xc:withdrawn".to_owned()),
            });
            *totals.calls.entry("start".to_owned()).or_default() += 1;
        }
    }
    (book, totals)
}

/// Everything that comes back for a ticket.
fn answers(number: usize, ticket: &Ticket) -> Vec<Received> {
    let refused = matches!(ticket.fate, Fate::Refused(_));
    let status = if refused { ReceiptStatus::Rejected } else { ReceiptStatus::Accepted };
    let events = 0..ticket.events().len();
    let mut records: Vec<Received> = events.map(|event| receipt(ticket, offset(number, event), status)).collect();
    match ticket.fate {
        Fate::Decided { decision, .. } => records.push(outcome(ticket, decision)),
        Fate::Withdrawn => {}
        Fate::Refused(_) => records.push(dead_letter(ticket, b"bytes")),
    }
    records
}

/// The offset of an event in these runs.
pub(super) fn offset(number: usize, event: usize) -> i64 {
    (number * 10 + event) as i64
}

/// A dead letter.
pub(super) fn dead_letter(ticket: &Ticket, bytes: &[u8]) -> Received {
    Received {
        topic: "xc.tickets.dlq".to_owned(),
        key: ticket.id.clone().into_bytes(),
        value: bytes.to_vec(),
        headers: vec![("xc-reason".to_owned(), "schema-violation".to_owned())],
    }
}

/// A receipt for the event at this offset.
pub(super) fn receipt(ticket: &Ticket, offset: i64, status: ReceiptStatus) -> Received {
    let refused = status == ReceiptStatus::Rejected;
    let receipt = Receipt {
        status,
        reason: refused.then(|| "schema-violation".to_owned()),
        detail: refused.then(|| "the event does not obey the schema".to_owned()),
        is_final: !refused,
        source: SourceRef {
            event_id: None,
            event_source: None,
            topic: "crm.tickets.v1".to_owned(),
            partition: Partition::new(0),
            offset: Offset::new(offset),
            correlation_id: None,
            traceparent: None,
        },
        process: (!refused).then(|| process(ticket)),
        attempts: 1,
        time: Timestamp::UNIX_EPOCH,
    };
    reply(ticket, &format!("receipt-{offset}-{status:?}"), status.event_type(), &receipt)
}

/// An outcome.
pub(super) fn outcome(ticket: &Ticket, decision: Decision) -> Received {
    let outcome = Outcome {
        decision: Some(decision.outcome.to_owned()),
        comments: vec![Comment { author: Some(decision.by.to_owned()), time: None, text: decision.comment.to_owned() }],
        audit: vec![AuditEntry {
            task: "triage".to_owned(),
            assignee: Some(decision.by.to_owned()),
            created: None,
            claimed: None,
            completed: None,
            outcome: None,
        }],
        audit_complete: true,
        variables: [("team".to_owned(), "back-office".into())].into(),
        source: None,
        process: process(ticket),
        started: None,
        ended: None,
    };
    reply(ticket, &format!("outcome-{}", ticket.id), Outcome::EVENT_TYPE, &outcome)
}

fn process(ticket: &Ticket) -> ProcessRef {
    ProcessRef { instance_id: format!("instance-of-{}", ticket.id), definition: None, business_key: None }
}

fn reply(ticket: &Ticket, id: &str, kind: &str, body: &impl Serialize) -> Received {
    Received {
        topic: "crm.tickets.replies.v1".to_owned(),
        key: ticket.id.clone().into_bytes(),
        value: serde_json::to_vec(body).unwrap(),
        headers: vec![("ce_id".to_owned(), id.to_owned()), ("ce_type".to_owned(), kind.to_owned())],
    }
}
