use std::time::Duration;

use super::super::plan::Plan;
use super::super::reckoning::reckon;
use super::super::sample::good_run;
use super::*;

const PLAIN: Screen = Screen { colours: false };
const COLOURED: Screen = Screen { colours: true };

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or_default()
}

#[test]
fn the_table_and_the_sums_stand_in_columns_within_the_width() {
    let (mut book, totals) = good_run(7);
    let mut plan = Plan::new(1);
    let last = (0..8).map(|_| plan.next()).last().unwrap();
    book.open(last, Duration::from_secs(2));
    let text = format!("{}\n\n{}", PLAIN.table(&book), PLAIN.totals(&reckon(&book, &totals, false)));
    assert!(widest(&text) <= WIDTH, "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_change_is_one_line_that_is_cut_at_the_width() {
    let at = Duration::from_millis(98_765);
    let lines = [
        Line::new(at, "T-1001", Step::Published, "created, json: Łódź ".repeat(9)),
        Line::new(at, "T-1001", Step::DeadLetter, "schema-violation".to_owned()),
    ];
    let text = lines.map(|line| PLAIN.render_line(&line)).join("\n");
    assert_eq!(widest(&text), WIDTH);
    insta::assert_snapshot!(text);
}

#[test]
fn colours_surround_the_same_text() {
    let line = Line::new(Duration::ZERO, "T-1", Step::Outcome, "resolved".to_owned());
    let coloured = COLOURED.render_line(&line);
    assert_eq!(coloured, "   0.00 s  T-1      \u{1b}[32moutcome      \u{1b}[0mresolved");
    assert_eq!(coloured.replace("\u{1b}[32m", "").replace("\u{1b}[0m", ""), PLAIN.render_line(&line));
}

#[test]
fn a_long_run_shows_its_last_tickets() {
    let (book, _) = good_run(MOST_ROWS + 2);
    let table = PLAIN.table(&book);
    assert!(table.contains("(2 earlier tickets are not shown)"), "{table}");
    assert!(!table.contains("T-1002") && table.contains("T-1003"), "{table}");
}

#[test]
fn the_way_on_names_every_command_and_fits_the_width() {
    let text = way_on(PLAIN, Path::new("folder"));
    for command in ["xconnector check", "xconnector topics create", "xconnector models deploy", "xconnector run"] {
        assert!(text.contains(command), "{command} is missing in:\n{text}");
    }
    assert!(widest(&text) <= WIDTH, "{text}");
}
