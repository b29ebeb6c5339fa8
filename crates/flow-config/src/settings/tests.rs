//! Defaults, sources of values, and that no secret is shown.

use std::num::NonZeroU32;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

const FLOWABLE: &str = r#"
deployment = "crm-test"
[kafka]
bootstrap_servers = { env = "KAFKA_BOOTSTRAP_SERVERS" }
[kafka.properties]
"security.protocol" = "SASL_SSL"
"socket.keepalive.enable" = true
"sasl.password" = { file = "kafka-password" }
[engine]
dialect  = { env = "DIALECT" }
urls     = "http://127.0.0.1:8080/"
username = "rest-admin"
password = { env = "ENGINE_PASSWORD" }
[schema_ids]
17 = "ticket/v1"
"#;

const OPENTEXT: &str = r#"
deployment = "crm-prod"
flows = "../flows"
[kafka]
bootstrap_servers = "kafka-1:9092,kafka-2:9092"
delivery = "at-least-once"
group_protocol = "classic"
[engine]
dialect       = "opentext"
urls          = { runtime = "https://eu.example.com/workflow/v1", history = "https://eu.example.com/workflow-history/v1", jobs = { env = "JOBS_URL" } }
token_url     = "https://eu.example.com/tenants/t/oauth2/token"
client_id     = { env = "CLIENT_ID" }
client_secret = { env = "CLIENT_SECRET" }
settle        = "90s"
max_connections = 32
min_in_flight = 2
max_requests_per_second = 50
[engine.job_paths]
complete = "/jobs/{id}/done"
[jobs]
batch = 5
[metrics]
listen = "0.0.0.0:9000"
[shutdown]
drain_timeout = "50s"
"#;

fn environment() -> Environment {
    Environment::of([
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        ("ENGINE_PASSWORD", "engine-s3cret"),
        ("DIALECT", "flowable"),
        ("JOBS_URL", "https://eu.example.com/jobs"),
        ("CLIENT_ID", "connector"),
        ("CLIENT_SECRET", "client-s3cret"),
    ])
}

fn load(text: &str) -> (TempDir, Result<Settings, Vec<Problem>>) {
    let dir = TempDir::new().expect("a folder");
    std::fs::write(dir.path().join("xconnector.toml"), text).expect("written");
    std::fs::write(dir.path().join("kafka-password"), "kafka-s3cret\n").expect("written");
    let settings = Settings::load_with(&dir.path().join("xconnector.toml"), &environment());
    (dir, settings)
}

fn refusal(text: &str, edits: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let problems = load(&text).1.expect_err("refused");
    problems.iter().map(|p| format!("{}: {}: {}; {}\n", p.line, p.field, p.message, p.help)).collect()
}

#[test]
fn flowable_settings_take_one_base_url_and_have_their_defaults() {
    let (dir, settings) = load(FLOWABLE);
    let settings = settings.expect("good settings");
    assert_eq!(settings.kafka.bootstrap_servers, "localhost:9092");
    assert_eq!(settings.kafka.delivery, Delivery::ExactlyOnce);
    assert_eq!(settings.kafka.group_protocol, GroupProtocol::Consumer);
    assert_eq!(settings.engine.urls.runtime, "http://127.0.0.1:8080/process-api");
    assert_eq!(settings.engine.urls.history, settings.engine.urls.runtime);
    assert_eq!(settings.engine.urls.jobs, "http://127.0.0.1:8080/external-job-api");
    assert_eq!(settings.engine.request_timeout.as_secs(), 30);
    let engine = &settings.engine;
    assert_eq!((engine.min_in_flight, engine.max_connections, engine.max_requests_per_second), (4, 256, None));
    assert_eq!((settings.engine.settle.as_secs(), settings.engine.history_lag), (60, Duration::ZERO));
    assert_eq!(settings.metrics_listen.to_string(), "127.0.0.1:9464");
    assert_eq!((settings.jobs.lock_duration.as_secs(), settings.drain_timeout.as_secs()), (600, 40));
    let schemas = Schemas::load(Path::new("../../schemas")).expect("the schemas of this repository");
    assert!(settings.schema_ids(&schemas).is_ok());
    assert_eq!(settings.flows, dir.path().join("flows"));
}

#[test]
fn opentext_settings_take_three_urls_and_client_credentials() {
    let (dir, settings) = load(OPENTEXT);
    let settings = settings.expect("good settings");
    assert_eq!(settings.engine.dialect, Dialect::OpenText);
    assert_eq!(settings.engine.urls.jobs, "https://eu.example.com/jobs");
    assert_eq!((settings.engine.settle.as_secs(), settings.engine.history_lag.as_secs()), (90, 5));
    let engine = &settings.engine;
    let rate = engine.max_requests_per_second.map(std::num::NonZeroU32::get);
    assert_eq!((engine.min_in_flight, engine.max_connections, rate), (2, 32, Some(50)));
    assert_eq!(settings.engine.job_paths.complete, "jobs/{id}/done");
    assert_eq!(settings.engine.job_paths.acquire, "external-jobs");
    let Credentials::ClientCredentials { client_id, client_secret, .. } = &settings.engine.credentials else {
        panic!("client credentials");
    };
    assert_eq!((client_id.as_str(), client_secret.expose_secret()), ("connector", "client-s3cret"));
    assert_eq!(
        (settings.kafka.delivery, settings.kafka.group_protocol),
        (Delivery::AtLeastOnce, GroupProtocol::Classic)
    );
    assert_eq!((settings.jobs.batch, settings.drain_timeout.as_secs()), (5, 50));
    assert_eq!(settings.flows, dir.path().join("../flows"));
}

#[test]
fn a_secret_is_readable_where_it_is_needed_and_never_shown() {
    let (_dir, settings) = load(FLOWABLE);
    let settings = settings.expect("good settings");
    let PropertyValue::Secret(password) = &settings.kafka.properties["sasl.password"] else { panic!("a secret") };
    assert_eq!(password.expose_secret(), "kafka-s3cret", "without the newline of the file");
    let Credentials::Basic { password, .. } = &settings.engine.credentials else { panic!("basic") };
    assert_eq!(password.expose_secret(), "engine-s3cret");
    let shown = format!("{settings:?} {:?}", environment());
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("SASL_SSL"), "{shown}");
}

#[test]
fn a_literal_secret_is_refused_without_being_repeated() {
    let engine = refusal(FLOWABLE, &[("{ env = \"ENGINE_PASSWORD\" }", "\"hunter2\"")]);
    let kafka = refusal(FLOWABLE, &[("{ file = \"kafka-password\" }", "\"hunter2\"")]);
    for text in [engine, kafka] {
        assert!(text.contains("a secret must not stand in the settings file"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_schema_id_must_stand_for_a_schema_that_exists() {
    let (_dir, settings) = load(&FLOWABLE.replace("ticket/v1", "tickets/v1"));
    let schemas = Schemas::load(Path::new("../../schemas")).expect("the schemas of this repository");
    let problems = settings.expect("good settings").schema_ids(&schemas).expect_err("no such schema");
    let text = problems[0].to_string();
    let expected = "xconnector.toml:15: schema_ids.17: there is no schema `tickets/v1`; did you mean `ticket/v1`?";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn what_cannot_work_is_refused_with_the_way_out() {
    let cases: [(&str, &[(&str, &str)]); 18] = [
        (FLOWABLE, &[("\"crm-test\"", "\"crm test\"")]),
        (FLOWABLE, &[("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SERVERS")]),
        (OPENTEXT, &[("kafka-2:9092", "kafka-2")]),
        (FLOWABLE, &[("\"socket.keepalive.enable\"", "\"group.id\"")]),
        (FLOWABLE, &[("\"security.protocol\"", "security.protocol")]),
        (FLOWABLE, &[("kafka-password", "no-such-file")]),
        (FLOWABLE, &[("{ env = \"DIALECT\" }", "\"flowabel\"")]),
        (FLOWABLE, &[("http://", "http://admin:pw@")]),
        (FLOWABLE, &[("http://", "")]),
        (OPENTEXT, &[("client_secret = { env = \"CLIENT_SECRET\" }", "password = { env = \"CLIENT_SECRET\" }")]),
        (OPENTEXT, &[("/jobs/{id}/done", "/jobs/done")]),
        (OPENTEXT, &[("settle        = \"90s\"", "setle = \"90s\"")]),
        (OPENTEXT, &[("batch = 5", "batch = 0\nlock_duration = \"20s\"")]),
        (OPENTEXT, &[("0.0.0.0:9000", "9000")]),
        (OPENTEXT, &[("min_in_flight = 2", "min_in_flight = 33")]),
        (OPENTEXT, &[("per_second = 50", "per_second = 0")]),
        (OPENTEXT, &[("[metrics]", "[audit]\nsince = \"1h\"\n[metrics]")]),
        (OPENTEXT, &[("[metrics]", "[audit]\nevery = \"2d\"\n[metrics]")]),
    ];
    let reports: Vec<String> = cases.into_iter().map(|(text, edits)| refusal(text, edits)).collect();
    insta::assert_snapshot!(reports.join("\n"));
}

#[test]
fn times_in_the_wrong_order_are_refused_where_they_stand() {
    let session = |value: &str| format!("[kafka.properties]\n\"session.timeout.ms\" = {value}\n[engine]");
    let poll = |value: u32| format!("[kafka.properties]\n\"max.poll.interval.ms\" = {value}\n[engine]");
    let (short, word, long_poll, short_poll) = (session("10000"), session("\"soon\""), poll(150_000), poll(80_000));
    let cases: [(&str, &[(&str, &str)]); 8] = [
        (OPENTEXT, &[("[engine]", &short)]),
        (OPENTEXT, &[("[engine]", &word)]),
        (FLOWABLE, &[("\"socket.keepalive.enable\"", "\"session.timeout.ms\""), ("true", "45000")]),
        (OPENTEXT, &[("\"50s\"", "\"30s\"")]),
        (FLOWABLE, &[("[schema_ids]", "request_timeout = \"40s\"\n[schema_ids]")]),
        (OPENTEXT, &[("\"50s\"", "\"150s\"")]),
        (OPENTEXT, &[("\"50s\"", "\"75s\""), ("[engine]", &long_poll)]),
        (OPENTEXT, &[("[shutdown]\ndrain_timeout = \"50s\"", ""), ("[engine]", &short_poll)]),
    ];
    let reports: Vec<String> = cases.into_iter().map(|(text, edits)| refusal(text, edits)).collect();
    insta::assert_snapshot!(reports.join("\n"));

    // the last values that are good
    let (session, poll) = (session("10001"), poll(150_000));
    for edits in [[("[engine]", session.as_str()), ("50s", "31s")], [("[engine]", poll.as_str()), ("50s", "74s")]] {
        let text = edits.iter().fold(OPENTEXT.to_owned(), |text, (from, to)| text.replace(from, to));
        assert!(load(&text).1.is_ok(), "{text}");
    }
}

#[test]
fn a_connector_audits_by_itself_only_where_it_is_told_to() {
    let plain = load(FLOWABLE).1.expect("good settings");
    assert_eq!(plain.audit, None);
    let text = FLOWABLE.replace("[schema_ids]", "[audit]\nevery = \"1h\"\n[schema_ids]");
    let set = load(&text).1.expect("good settings");
    let (every, since) = (Duration::from_secs(3600), Duration::from_secs(86_400));
    assert_eq!(set.audit, Some(AuditSettings { every, since }));
}

const DOOR: &str = "[intake]\nlisten = \"127.0.0.1:0\"\n[[intake.door]]\nflow = \"tickets\"\nbearer = { file = \"kafka-password\" }\nmax_per_second = 9\n";

#[test]
fn a_door_says_who_may_come_in() {
    let (_dir, settings) = load(&format!("{FLOWABLE}{DOOR}"));
    let intake = settings.expect("good").intake.expect("an intake");
    let [door] = &intake.doors[..] else { panic!("{intake:?}") };
    assert!(matches!(&door.lock, DoorLock::Bearer(token) if token.expose_secret() == "kafka-s3cret"));
    assert_eq!((door.flow.as_str(), door.topic.as_deref()), ("tickets", None));
    assert_eq!(door.max_per_second.map(NonZeroU32::get), Some(9));
    assert!(!format!("{intake:?}").contains("kafka-s3cret"));
    assert!(load(FLOWABLE).1.expect("good").intake.is_none());

    let refused = |from: &str, to: &str| refusal(&format!("{FLOWABLE}{DOOR}"), &[(from, to)]);
    let bearer = "bearer = { file = \"kafka-password\" }\n";
    assert!(refused(bearer, "").contains("does not say who may come in"));
    assert!(refused(bearer, &format!("{bearer}auth = \"none\"\n")).contains("give exactly one"));
    assert!(refused(bearer, "bearer = \"in the file\"\n").contains("a secret must not stand in the settings file"));
    assert!(refused("flow = \"tickets\"\n", "").contains("flow: is missing"));
    let two = format!("{DOOR}[[intake.door]]\nflow = \"tickets\"\nauth = \"none\"\n");
    assert!(refused(DOOR, &two).contains("has two doors"));
}

#[test]
fn a_door_leads_to_a_flow_and_a_topic_that_there_are() {
    let flows = ["../../flows"].map(|flows| {
        let schemas = Schemas::load(Path::new("../../schemas")).expect("the schemas of this repository");
        crate::check(Path::new(flows), &schemas).flows
    });
    let problems = |from: &str, to: &str| {
        let text = format!("{FLOWABLE}{DOOR}").replace(from, to);
        load(&text).1.expect("good").door_problems(&flows[0])
    };
    assert_eq!(problems("", ""), []);
    assert!(problems("\"tickets\"\nb", "\"tikets\"\nb")[0].message.contains("there is no flow `tikets`"));
    let topic = |name: &str| format!("max_per_second = 9\ntopic = {name:?}");
    assert_eq!(problems("max_per_second = 9", &topic("crm.tickets.v1")), []);
    let wrong = problems("max_per_second = 9", &topic("crm.ticket.v1"));
    assert!(wrong[0].to_string().contains("is no source topic of flow tickets"), "{wrong:?}");

    let dir = tempfile::TempDir::new().expect("a folder");
    let text = std::fs::read_to_string("../../flows/tickets/flow.toml").expect("the flow");
    let posted = text.replace("topic    = \"tickets.outcome\"", "posted   = \"ticket_triage\"");
    std::fs::write(dir.path().join("flow.toml"), posted).expect("written");
    let schemas = Schemas::load(Path::new("../../schemas")).expect("the schemas");
    let posted = [crate::Flow::load(dir.path(), &schemas).expect("a good flow")];
    assert_eq!(load(&format!("{FLOWABLE}{DOOR}")).1.expect("good").door_problems(&posted), []);
    let without = load(FLOWABLE).1.expect("good").door_problems(&posted);
    assert!(without[0].to_string().contains("has no [[intake.door]] with flow = \"tickets\"; open one"), "{without:?}");
}
