use serde_json::{Value, json};

use super::compare::{Copy, Double, State};
use super::report::Report;
use super::*;

const FLOW: &str = "tickets";

fn instance(id: &str, mark: Option<&str>, second: i64, more: Value) -> Instance {
    let start = Timestamp::from_second(1_800_000_000 + second).unwrap();
    let marks: Vec<Value> = mark.iter().map(|mark| json!({"name": "xcEventId", "value": mark})).collect();
    let mut row = json!({"id": id, "startTime": start.to_string(), "variables": marks});
    for (name, value) in more.as_object().unwrap() {
        row[name] = value.clone();
    }
    serde_json::from_value(row).unwrap()
}

fn running(id: &str, mark: &str, second: i64) -> Instance {
    instance(id, Some(mark), second, json!({}))
}

fn ended(id: &str, mark: &str, second: i64, reason: &str) -> Instance {
    let more = json!({"endTime": "2027-02-01T00:00:00Z", "deleteReason": reason});
    instance(id, Some(mark), second, more)
}

fn compared<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Result<Compared, String> {
    let mut comparison = Comparison::of(FLOW);
    for instance in instances {
        comparison.add(instance)?;
    }
    comparison.finish()
}

fn doubles(instances: &[Instance]) -> Vec<(String, Vec<(String, State)>)> {
    let shown = |copy: &Copy| (copy.id.to_string(), copy.state);
    let of = |double: &Double| {
        let copies = [&double.survivor].into_iter().chain(&double.surplus).map(shown).collect();
        (double.event.clone(), copies)
    };
    let forwards = compared(instances).unwrap();
    let backwards = compared(instances.iter().rev()).unwrap();
    assert_eq!(forwards, backwards, "the order of reading decides nothing");
    forwards.doubles.iter().map(of).collect()
}

#[test]
fn the_survivor_is_the_smallest_start_and_id() {
    let found = doubles(&[
        running("c", "tickets/1", 5),
        running("z", "tickets/1", 3),
        running("b", "tickets/1", 5),
        running("a", "tickets/2", 1),
    ]);
    let (z, b, c) = (("z".into(), State::Running), ("b".into(), State::Running), ("c".into(), State::Running));
    assert_eq!(found, [("tickets/1".to_owned(), vec![z, b, c])]);
}

#[test]
fn an_instance_that_two_lists_show_is_one_and_the_later_word_counts() {
    let once = [running("a", "tickets/1", 1), ended("a", "tickets/1", 1, "")];
    assert_eq!(doubles(&once), []);
    assert_eq!(compared(&once).unwrap().compared, 1);
    let twice = [
        running("a", "tickets/1", 1),
        running("b", "tickets/1", 2),
        ended("b", "tickets/1", 2, ""),
        ended("a", "tickets/1", 1, "withdrawn"),
    ];
    let copies = vec![("a".to_owned(), State::Deleted), ("b".to_owned(), State::Ended)];
    assert_eq!(doubles(&twice), [("tickets/1".to_owned(), copies)]);
    assert_eq!(compared(&twice).unwrap().compared, 2);
}

#[test]
fn what_was_ended_as_surplus_counts_no_more() {
    let three = [
        running("a", "tickets/1", 1),
        ended("b", "tickets/1", 2, "xc:duplicate"),
        running("b", "tickets/1", 2),
        running("c", "tickets/1", 3),
    ];
    let copies = vec![("a".to_owned(), State::Running), ("c".to_owned(), State::Running)];
    assert_eq!(doubles(&three), [("tickets/1".to_owned(), copies)]);
    assert_eq!(doubles(&three[..3]), []);
}

#[test]
fn only_marks_of_this_flow_are_compared() {
    let others = [
        running("a", "tickets/1", 1),
        running("b", "tickets2/1", 1),
        running("c", "tickets2/1", 1),
        instance("d", None, 1, json!({})),
        instance("e", None, 1, json!({})),
        instance("e", None, 1, json!({})),
    ];
    let found = compared(&others).unwrap();
    assert_eq!((found.compared, found.unmarked, found.doubles), (1, 4, vec![]));
}

#[test]
fn what_shows_no_variables_is_unknown() {
    let mut hidden = running("a", "tickets/1", 1);
    hidden.variables = None;
    assert!(compared(&[hidden]).unwrap_err().contains("instance a could not be read"));
    let bare = [instance("a", None, 1, json!({})), instance("b", None, 2, json!({}))];
    assert!(compared(&bare).unwrap_err().contains("none of 2 instances shows a variable"));
    assert_eq!(compared(&[]), Ok(Compared::default()));
}

#[test]
fn more_than_memory_allows_is_unknown() {
    let mut comparison = Comparison::of(FLOW).at_most(2);
    let rows = ["a", "b", "c"].map(|id| running(id, &format!("tickets/{id}"), 1));
    assert_eq!(rows.iter().map(|row| comparison.add(row).is_ok()).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn people_and_machines_are_told_the_same() {
    let subject = Subject { flow: FLOW.into(), definitions: vec![], compensate: Compensate::Report };
    let copies = [running("a", "tickets/1\n", 1), running("b", "tickets/1\n", 2), ended("c", "tickets/1\n", 3, "")];
    let mut report = Report::default();
    report.add(&subject, "triage", compared(&copies));
    report.add(&subject, "refund", Err("history is down".to_owned()));
    report.doubles[0].surplus[0].left = Some("somebody ended the survivor".to_owned());
    insta::assert_snapshot!(format!("{report}\n\n{}", report.json().unwrap()));
}
