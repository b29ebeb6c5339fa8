//! `xconnector check` as a person meets it: what it prints, and the exit code that scripts see

#![expect(
    clippy::expect_used,
    reason = "a failed expectation is how a test fails; clippy.toml covers functions marked #[test] alone"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// `EX_CONFIG` of sysexits.h
const BAD_CONFIGURATION: i32 = 78;

const GOOD_ENGINE: &str = r#"
[kafka]
bootstrap_servers = "127.0.0.1:9092"
[engine]
dialect = "flowable"
urls = "http://127.0.0.1:8080"
username = "rest"
password = { env = "CHECK_TEST_PASSWORD" }
"#;

/// What the command did
struct Checked {
    code: Option<i32>,
    /// stdout, then stderr, with the places of this machine replaced by words
    text: String,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Runs the command on settings in a folder of their own.
fn check(settings: &str) -> Checked {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("xconnector.toml");
    std::fs::write(&config, settings).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_xconnector"))
        .arg("check")
        .arg("--config")
        .arg(&config)
        .env("CHECK_TEST_PASSWORD", "geheim")
        .env_remove("RUST_LOG")
        .output()
        .expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(!text.contains("geheim"), "a secret was shown: {text}");
    let places = [(folder.path().to_owned(), "FOLDER"), (repository(), "REPOSITORY")];
    let text = places.iter().fold(text, |text, (place, word)| text.replace(&place.display().to_string(), word));
    Checked { code: output.status.code(), text }
}

/// The systems that the flows of this repository ask
const SYSTEMS: [&str; 9] =
    ["ecm", "procurement", "identity", "assets", "payroll", "hris", "erp", "contact-centre", "mdm"];

/// Good settings over a folder of flows, with these systems and the CRM
fn with_systems(flows: &Path, systems: &[&str]) -> String {
    let schemas = repository().join("schemas");
    let system =
        |name: &&str| format!("[[system]]\nname = {name:?}\nurl = \"https://{name}.example\"\nauth = \"none\"\n");
    let systems: String = systems.iter().chain(&["crm"]).map(system).collect();
    format!("deployment = \"check\"\nflows = {flows:?}\nschemas = {schemas:?}\n{GOOD_ENGINE}{systems}")
}

/// Good settings over a folder of flows
fn with_flows(flows: &Path) -> String {
    with_systems(flows, &SYSTEMS)
}

#[test]
fn the_flows_of_this_repository_are_all_good() {
    let checked = check(&with_flows(&repository().join("flows")));
    assert_eq!(checked.code, Some(0), "{}", checked.text);
    insta::assert_snapshot!("good", checked.text);
}

#[test]
fn every_mistake_of_every_broken_flow_is_told_with_the_way_out() {
    let checked = check(&with_flows(&repository().join("crates/flow-config/tests/broken")));
    assert_eq!(checked.code, Some(BAD_CONFIGURATION), "{}", checked.text);
    insta::assert_snapshot!("broken_flows", checked.text);
}

#[test]
fn every_mistake_of_the_settings_is_told_with_the_way_out() {
    let checked = check(
        r#"deployment = "crm production"
flow = "flows"
[kafka]
bootstrap_servers = "localhost"
delivery = "at-most-once"
[kafka.properties]
"enable.auto.commit" = "true"
"sasl.password" = "geheim"
[engine]
dialect = "opentext"
urls = "https://us.api.opentext.com"
username = "rest"
client_id = "xconnector"
client_secret = { env = "CHECK_TEST_ABSENT" }
request_timeout = "30"
[metrics]
listen = "9464"
[jobs]
batch = 0
"#,
    );
    assert_eq!(checked.code, Some(BAD_CONFIGURATION), "{}", checked.text);
    insta::assert_snapshot!("broken_settings", checked.text);
}

#[test]
fn a_schema_id_of_no_schema_is_told_with_its_line() {
    let settings = format!("{}[schema_ids]\n17 = \"tickets/v1\"\n", with_flows(&repository().join("flows")));
    let checked = check(&settings);
    assert_eq!(checked.code, Some(BAD_CONFIGURATION), "{}", checked.text);
    insta::assert_snapshot!("unknown_schema_id", checked.text);
}

#[test]
fn a_system_that_the_settings_lack_is_told_with_the_line_of_its_call() {
    let checked =
        check(&with_systems(&repository().join("flows"), &["ecm", "procurment", "erp", "contact-centre", "mdm"]));
    assert_eq!(checked.code, Some(BAD_CONFIGURATION), "{}", checked.text);
    insta::assert_snapshot!("unknown_system", checked.text);
}

#[test]
fn every_mistake_of_a_system_is_told_with_the_way_out() {
    let systems = r#"
[[system]]
name = "engine"
url = "ftp://crm"
[[system]]
name = "mdm"
url = "https://mdm"
bearer = "gehe1m"
password = { env = "CHECK_TEST_PASSWORD" }
probe = "health"
[[system]]
name = "mdm"
url = "https://mdm"
client_secret = { env = "CHECK_TEST_PASSWORD" }
[[system]]
name = "erp"
url = "https://erp"
auth = "none"
[system.kafka]
commands = "erp.commands.v1"
keep_replies = "0s"
"#;
    let checked = check(&format!("{}{systems}", with_flows(&repository().join("flows"))));
    assert_eq!(checked.code, Some(BAD_CONFIGURATION), "{}", checked.text);
    insta::assert_snapshot!("broken_systems", checked.text);
}

#[test]
fn a_document_that_kafka_would_have_to_carry_is_told_with_the_line_of_its_call() {
    let systems = with_systems(&repository().join("flows"), &["procurement"]);
    let by_kafka = "[[system]]\nname = \"ecm\"\n[system.kafka]\ncommands = \"ecm.c\"\nreplies = \"ecm.r\"\n";
    let checked = check(&format!("{systems}{by_kafka}"));
    assert!(checked.text.contains("ecm is reached by Kafka, which carries no documents"), "{}", checked.text);
}

#[test]
fn settings_that_are_not_there_are_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_xconnector"))
        .args(["check", "--config", "no-such-folder/xconnector.toml"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(BAD_CONFIGURATION));
    insta::assert_snapshot!("no_settings", String::from_utf8_lossy(&output.stderr));
}
