use std::time::Duration;

use event_model::{Outcome, ReceiptStatus};

use super::super::plan::{Decision, Fate, Ticket};
use super::super::sample::{dead_letter, good_run, offset, outcome, receipt};
use super::*;

const LATER: Duration = Duration::from_secs(60);

fn number_of(book: &Book, wanted: impl Fn(&Ticket) -> bool) -> usize {
    book.entries.iter().position(|entry| wanted(&entry.ticket)).unwrap()
}

fn decided(ticket: &Ticket) -> bool {
    matches!(ticket.fate, Fate::Decided { updates: 0, .. })
}

fn refused(ticket: &Ticket) -> bool {
    matches!(ticket.fate, Fate::Refused(_))
}

/// The one problem that `spoil` makes of a good run.
fn spoilt(spoil: impl FnOnce(&mut Book, &mut Totals)) -> String {
    let (mut book, mut totals) = good_run(20);
    spoil(&mut book, &mut totals);
    reckon(&book, &totals, true).problems.join("; ")
}

#[test]
fn a_run_in_which_every_ticket_got_what_it_had_to_get_has_no_problem() {
    let (book, totals) = good_run(20);
    let sums = reckon(&book, &totals, true);
    assert_eq!(
        sums,
        Reckoning {
            published: 28,
            instances: 18,
            accepted: 26,
            outcomes: 15,
            rejected: 2,
            dead_letters: 2,
            duplicates: 0,
            start_calls: 18,
            unsettled: 0,
            problems: Vec::new(),
        }
    );
}

#[test]
fn a_missing_outcome_is_a_problem_only_when_everything_should_have_come() {
    let (mut book, totals) = good_run(20);
    let number = number_of(&book, decided);
    book.entries[number].outcomes.clear();
    assert_eq!(reckon(&book, &totals, true).problems, ["T-1001: 0 outcomes instead of 1"]);
    assert_eq!(reckon(&book, &totals, false).problems, [""; 0]);
}

#[test]
fn a_missing_reply_is_a_problem() {
    let problems = spoilt(|book, _| {
        book.entries[0].accepted.clear();
    });
    assert_eq!(
        problems,
        "T-1001: 0 accepted replies to event 0 instead of 1; T-1001: 0 replies to all events instead of 1"
    );
}

#[test]
fn a_second_outcome_is_a_problem_at_any_time() {
    let (mut book, totals) = good_run(20);
    let ticket = book.entries[0].ticket.clone();
    let Fate::Decided { decision, .. } = ticket.fate else { panic!("the first ticket is decided") };
    book.received(&outcome(&ticket, decision), LATER).unwrap();
    let sums = reckon(&book, &totals, false);
    assert_eq!(sums.problems, ["T-1001: 2 outcomes instead of 1", "1 replies came again under their id"]);
    assert_eq!(sums.duplicates, 1);
}

#[test]
fn a_second_accepted_reply_is_a_problem() {
    let problems = spoilt(|book, _| {
        let ticket = book.entries[0].ticket.clone();
        book.received(&receipt(&ticket, offset(0, 0), ReceiptStatus::Accepted), LATER).unwrap();
    });
    assert!(problems.starts_with("T-1001: 2 accepted replies to event 0 instead of 1"), "{problems}");
}

#[test]
fn a_second_instance_is_a_problem_at_any_time() {
    let (book, mut totals) = good_run(20);
    totals.instances.push(totals.instances[0].clone());
    let sums = reckon(&book, &totals, false);
    assert_eq!(sums.problems, ["T-1001: 2 process instances instead of 1"]);
    assert_eq!(sums.duplicates, 1);
}

#[test]
fn an_instance_without_a_ticket_is_a_problem() {
    let problems = spoilt(|_, totals| totals.instances[0].business_key = Some("ticket/T-1".to_owned()));
    assert_eq!(problems, "T-1001: 0 process instances instead of 1; 1 instances of \"ticket/T-1\", which is no ticket");
}

#[test]
fn an_instance_of_an_unusable_ticket_is_a_problem() {
    let problems = spoilt(|book, totals| {
        let id = book.entries[number_of(book, refused)].ticket.id.clone();
        totals.instances[0].business_key = Some(format!("ticket/{id}"));
    });
    assert!(problems.contains("T-1005: 1 process instances instead of 0"), "{problems}");
}

#[test]
fn a_process_that_goes_on_is_a_problem() {
    assert_eq!(spoilt(|_, totals| totals.instances[0].end_time = None), "T-1001: 1 process instances have not ended");
    assert_eq!(
        spoilt(|book, totals| {
            let number = number_of(book, |ticket| ticket.fate == Fate::Withdrawn);
            let key = format!("ticket/{}", book.entries[number].ticket.id);
            for instance in totals.instances.iter_mut().filter(|i| i.business_key.as_ref() == Some(&key)) {
                instance.delete_reason = None;
            }
        }),
        "T-1006: it was withdrawn, and its process went on"
    );
}

#[test]
fn a_dead_letter_has_to_come_once_with_the_bytes_that_were_published() {
    let of_refused = |bytes: Option<&'static [u8]>| {
        spoilt(move |book, _| {
            let number = number_of(book, refused);
            let ticket = book.entries[number].ticket.clone();
            match bytes {
                None => book.entries[number].dead_letters.clear(),
                Some(bytes) => drop(book.received(&dead_letter(&ticket, bytes), LATER)),
            }
        })
    };
    assert_eq!(of_refused(None), "T-1005: 0 dead letters instead of 1");
    assert_eq!(of_refused(Some(b"bytes")), "T-1005: 2 dead letters instead of 1");
    assert_eq!(
        of_refused(Some(b"byte")),
        "T-1005: 2 dead letters instead of 1; T-1005: the dead letter holds other bytes than were published"
    );
}

#[test]
fn an_outcome_that_says_something_else_than_the_person_is_a_problem() {
    let with = |change: fn(&mut Outcome)| spoilt(move |book, _| change(&mut book.entries[0].outcomes[0]));
    assert!(with(|outcome| outcome.decision = None).contains("decision is None"));
    assert!(with(|outcome| outcome.audit.clear()).contains("assignee is None"));
    assert!(with(|outcome| outcome.comments.clear()).contains("comment is None"));
    assert_eq!(with(|outcome| outcome.audit_complete = false), "T-1001: the outcome's audit is not complete");
}

#[test]
fn a_record_about_no_ticket_is_a_problem() {
    let problems = spoilt(|book, _| {
        let stranger = Ticket { id: "X-1".to_owned(), ..book.entries[0].ticket.clone() };
        let decision = Decision { by: "ada", outcome: "resolved", comment: "" };
        assert_eq!(book.received(&outcome(&stranger, decision), LATER), None);
    });
    assert_eq!(problems, "a record on crm.tickets.replies.v1 has the key \"X-1\", which is no ticket's");
}
