//! Broken flows, each with the message that a person gets. What the snapshots say is what an integrator reads.

#![expect(
    clippy::expect_used,
    reason = "a failed expectation is how a test fails; clippy.toml covers functions marked #[test] alone"
)]

use std::path::Path;

use event_model::Schemas;
use flow_config::{Flow, SystemCall, check};

fn schemas() -> Schemas {
    Schemas::load(Path::new("../../schemas")).expect("the schemas of this repository")
}

fn report(what: &str) -> String {
    let dir = Path::new("tests/broken").join(what);
    let problems = Flow::load(&dir, &schemas()).expect_err("this flow is broken");
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

macro_rules! broken {
    ($($test:ident: $what:literal;)+) => {
        $(
            #[test]
            fn $test() {
                insta::assert_snapshot!($what, report($what));
            }
        )+

        #[test]
        fn every_broken_flow_has_its_test() {
            let mut tested = vec![$($what.to_owned()),+];
            tested.sort();
            let mut found: Vec<String> = std::fs::read_dir("tests/broken")
                .expect("listed")
                .map(|entry| entry.expect("listed").file_name().into_string().expect("UTF-8"))
                .collect();
            found.sort();
            assert_eq!(tested, found);
        }
    };
}

broken! {
    a_field_that_the_schema_lacks_is_named_with_the_nearest: "unknown-event-field";
    a_setting_that_does_not_exist_is_named_with_the_nearest: "misspelt-setting";
    a_symbol_that_the_enum_lacks_is_named_with_all_symbols: "unknown-enum-symbol";
    a_start_position_must_be_given: "no-start-position";
    a_syntax_error_has_its_line: "broken-toml";
    an_assignment_is_no_comparison: "assignment-in-condition";
    a_business_key_is_text: "number-as-business-key";
    a_step_does_one_thing: "two-actions-in-one-step";
    a_key_is_never_null: "key-may-be-null";
    a_schema_that_does_not_exist_is_named_with_the_nearest: "unknown-schema";
    names_must_stand_in_the_model: "not-in-the-model";
    what_a_job_asks_of_a_system_is_checked: "wrong-call";
    a_body_that_its_schema_would_refuse_is_told_field_by_field: "wrong-body";
    a_field_that_the_answer_does_not_have_is_told_with_the_nearest: "wrong-answer";
    all_mistakes_are_reported_at_once: "many-mistakes";
}

#[test]
fn the_check_of_a_folder_reports_the_mistakes_of_all_flows() {
    let report = check(Path::new("tests/broken"), &schemas());
    assert!(report.flows.is_empty());
    let files: std::collections::BTreeSet<_> = report.problems.iter().map(|problem| &problem.file).collect();
    assert_eq!(files.len(), 15, "{report}");
    assert!(report.problems.iter().all(|problem| problem.line > 0), "{report}");
}

#[test]
fn the_flows_of_this_repository_are_good() {
    let report = check(Path::new("../../flows"), &schemas());
    assert!(report.is_ok(), "{report}");
    assert!(report.flows.iter().any(|flow| &*flow.name == "tickets"));
}

#[test]
fn every_command_and_answer_of_the_flows_of_this_repository_has_a_schema() {
    let flows = check(Path::new("../../flows"), &schemas()).flows;
    let calls: Vec<_> = flows.iter().flat_map(Flow::calls).collect();
    for call in &calls {
        assert!(call.undescribed().is_empty(), "{} {}: {:?}", call.system, call.path(), call.undescribed());
    }
    let described = |call: &&&SystemCall| call.body_schema().is_some();
    assert_eq!((calls.len(), calls.iter().filter(described).count()), (31, 10), "calls, and commands among them");
}
