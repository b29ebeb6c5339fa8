//! `xconnector.toml`: where Kafka and the engine are, and how this deployment runs.

mod bounds;
mod engine;
mod intake;
mod kafka;
mod system;
mod value;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use event_model::{SchemaIds, Schemas};

use crate::document::{Document, Section, Zero};
use crate::environment::Environment;
use crate::flow::{Flow, SystemCall};
use crate::problem::{Problem, suggestion};

pub use bounds::LEASE_TERM;
pub use engine::{Credentials, Dialect, EngineSettings, EngineUrls, JobPaths};
pub use intake::{DoorLock, DoorSettings, IntakeSettings};
pub use kafka::{Delivery, GroupProtocol, KafkaSettings, PropertyValue};
pub use system::{SystemAuth, SystemHttp, SystemReach, SystemSettings};

/// The settings of one deployment. Its `Debug` form holds no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Name of the deployment: first part of consumer groups and transactional ids, and the worker id toward the engine.
    pub deployment: String,
    /// Folder of the flows.
    pub flows: PathBuf,
    /// Folder of the schemas.
    pub schemas: PathBuf,
    /// The broker.
    pub kafka: KafkaSettings,
    /// The workflow service.
    pub engine: EngineSettings,
    /// Where metrics and health are served.
    pub metrics_listen: SocketAddr,
    /// How external-worker jobs are fetched.
    pub jobs: JobSettings,
    /// How long a stop waits for what is under way.
    pub drain_timeout: Duration,
    /// When doubles are looked for without being asked; `None`: never.
    pub audit: Option<AuditSettings>,
    /// Where events come in by HTTP; `None`: nowhere.
    pub intake: Option<IntakeSettings>,
    /// The business systems that jobs call, in the order of the file.
    pub systems: Vec<SystemSettings>,
    schema_ids: BTreeMap<u32, NamedSchema>,
    file: PathBuf,
}

/// A schema that an id stands for, and where the settings say so.
#[derive(Debug, Clone)]
struct NamedSchema {
    name: String,
    line: usize,
    column: usize,
}

/// How external-worker jobs are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobSettings {
    /// How long the engine keeps a job for us; must exceed the time from fetching to completing it.
    pub lock_duration: Duration,
    /// Most jobs in one call.
    pub batch: usize,
    /// Pause after a call that brought no job.
    pub poll_interval: Duration,
}

/// When a running connector looks for doubles by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditSettings {
    /// Time from one audit to the next.
    pub every: Duration,
    /// How far back each looks: longer than `every`, because the second instance of an event may start long after the first.
    pub since: Duration,
}

const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9464);

impl Settings {
    /// Reads and checks the settings file. Secrets and `{ env = "…" }` values come from the process environment or
    /// from files; relative paths are relative to the settings file.
    ///
    /// # Errors
    /// Every mistake found, in the order of the file.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        Self::load_with(path, &Environment::of_process())
    }

    /// As [`Settings::load`], with a given environment.
    ///
    /// # Errors
    /// Every mistake found, in the order of the file.
    pub fn load_with(path: &Path, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let document = Document::read(path).map_err(|mut problem| {
            problem.help = "name the settings file, or write one; every field is described in the README".to_owned();
            vec![problem]
        })?;
        let settings = read(&document, path.parent().unwrap_or(Path::new("")), environment);
        match (settings, document.into_problems()) {
            (Some(settings), problems) if problems.is_empty() => Ok(settings),
            (_, problems) if !problems.is_empty() => Err(problems),
            // Every absent part has been reported; this line keeps a failure from being silent if one is not.
            _ => Err(vec![Problem::of_file(path, "cannot be used, for a reason that was not found", "")]),
        }
    }

    /// What is wrong with the doors of the HTTP intake, given the flows that there are.
    pub fn door_problems(&self, flows: &[Flow]) -> Vec<Problem> {
        let doors = self.intake.iter().flat_map(|intake| &intake.doors);
        let problem = |door: &DoorSettings, field: &str, message: String, help: String| Problem {
            file: self.file.clone(),
            line: door.line,
            column: 1,
            field: format!("intake.door.{field}"),
            message,
            help,
        };
        let wrong = doors.filter_map(|door| {
            let Some(flow) = flows.iter().find(|flow| *flow.name == *door.flow) else {
                let help = suggestion(&door.flow, flows.iter().map(|flow| &*flow.name));
                return Some(problem(door, "flow", format!("there is no flow `{}`", door.flow), help));
            };
            let topic = door.topic.as_ref()?;
            let read = flow.source.topics.iter().any(|known| **known == **topic);
            (!read).then(|| {
                let help = suggestion(topic, flow.source.topics.iter().map(|topic| &**topic));
                problem(door, "topic", format!("`{topic}` is no source topic of flow {}", flow.name), help)
            })
        });
        let closed = |flow: &&Flow| {
            let mut doors = self.intake.iter().flat_map(|intake| &intake.doors);
            flow.posted().next().is_some() && !doors.any(|door| *door.flow == *flow.name)
        };
        let without = flows.iter().filter(closed).map(|flow| {
            let message = format!("{} has no [[intake.door]] with flow = \"{}\"", self.file.display(), flow.name);
            let help = format!("open one: its POST /intake/{}/outcomes is where the HTTP task posts to", flow.name);
            Problem { field: "job.posted".to_owned(), ..Problem::of_file(&flow.file, message, help) }
        });
        wrong.chain(without).collect()
    }

    /// What is wrong with the systems that jobs call: those that the settings do not have, and documents that Kafka cannot carry.
    pub fn system_problems(&self, flows: &[Flow]) -> Vec<Problem> {
        let calls = flows.iter().flat_map(|flow| flow.calls().map(move |call| (flow, call)));
        let problem = |(flow, call): (&Flow, &SystemCall)| {
            let (field, message, help) = match self.systems.iter().find(|system| *system.name == *call.system) {
                None => (
                    "job.call.system",
                    format!("{} has no [[system]] with name = \"{}\"", self.file.display(), call.system),
                    suggestion(&call.system, self.systems.iter().map(|system| system.name.as_str())),
                ),
                Some(SystemSettings { reach: SystemReach::Kafka { .. }, .. }) if call.document => (
                    "job.call.answer",
                    format!("{} is reached by Kafka, which carries no documents", call.system),
                    "let it answer with a reference, or reach it by HTTP".to_owned(),
                ),
                Some(_) => return None,
            };
            let (file, field) = (flow.file.clone(), field.to_owned());
            Some(Problem { file, line: call.line, column: 1, field, message, help })
        };
        calls.filter_map(problem).collect()
    }

    /// The schemas that Confluent schema ids stand for.
    ///
    /// # Errors
    /// Every id whose schema does not exist.
    pub fn schema_ids(&self, schemas: &Schemas) -> Result<SchemaIds, Vec<Problem>> {
        let mut ids = HashMap::new();
        let mut problems = Vec::new();
        for (id, named) in &self.schema_ids {
            match schemas.get(&named.name) {
                Some(schema) => {
                    ids.insert(*id, schema);
                }
                None => problems.push(Problem {
                    file: self.file.clone(),
                    line: named.line,
                    column: named.column,
                    field: format!("schema_ids.{id}"),
                    message: format!("there is no schema `{}`", named.name),
                    help: suggestion(&named.name, schemas.names().collect::<Vec<_>>()),
                }),
            }
        }
        if problems.is_empty() { Ok(SchemaIds::new(ids)) } else { Err(problems) }
    }
}

fn read(document: &Document, dir: &Path, environment: &Environment) -> Option<Settings> {
    let parsed = document.parse();
    let root = Section::root(document, &parsed);
    let sources = value::Sources { environment, dir };
    let deployment = deployment(&root);
    let folder = |name, default: &str| {
        let given = root.string(name).map(|text| text.get_ref().clone());
        dir.join(given.unwrap_or_else(|| default.to_owned()))
    };
    let (flows, schemas) = (folder("flows", "flows"), folder("schemas", "schemas"));
    let kafka =
        root.require("kafka", "write [kafka] and bootstrap_servers = \"…\"").then(|| root.table("kafka")).flatten();
    let kafka = kafka.and_then(|section| kafka::read(&section, &sources));
    let engine = root
        .require("engine", "write [engine] with dialect, urls and credentials")
        .then(|| root.table("engine"))
        .flatten();
    let engine = engine.and_then(|section| engine::read(&section, &sources));
    let schema_ids = root.table("schema_ids").map(|section| schema_ids(&section)).unwrap_or_default();
    let metrics_listen = root.table("metrics").and_then(|section| listen(&section)).unwrap_or(DEFAULT_LISTEN.into());
    let jobs = jobs(root.table("jobs").as_ref(), engine.as_ref());
    let drain_timeout = root.table("shutdown").and_then(|section| {
        let timeout = section.duration("drain_timeout", Zero::Refused);
        section.finish_as(|_| timeout)
    });
    let drain_timeout = drain_timeout.unwrap_or(Duration::from_secs(40));
    if let (Some(kafka), Some(engine)) = (&kafka, &engine) {
        bounds::check(&root, kafka, engine, drain_timeout);
    }
    let audit = root.table("audit").and_then(|section| audit(&section));
    let intake = root.table("intake").map(|section| intake::read(&section, &sources));
    let systems = system::read_all(&root.tables("system"), &sources);
    root.finish();
    Some(Settings {
        deployment: deployment?,
        flows,
        schemas,
        kafka: kafka?,
        engine: engine?,
        schema_ids,
        metrics_listen,
        jobs,
        file: document.file().to_owned(),
        drain_timeout,
        audit,
        intake,
        systems,
    })
}

fn deployment(root: &Section<'_>) -> Option<String> {
    let name = root.required_string(
        "deployment",
        "for instance deployment = \"crm-production\"; consumer groups are named after it",
    )?;
    let text = name.get_ref();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.is_empty() || text.len() > 100 || !text.chars().all(allowed) {
        root.report(
            name.span().start,
            "deployment",
            format!("`{text}` cannot be part of a group id"),
            "use 1 to 100 letters, digits, - and _",
        );
    }
    Some(text.clone())
}

fn schema_ids(section: &Section<'_>) -> BTreeMap<u32, NamedSchema> {
    let mut ids = BTreeMap::new();
    for (id, at, schema) in section.entries() {
        match (id.parse::<u32>(), schema.get_ref().as_str()) {
            (Ok(id), Some(name)) => {
                let (line, column) = section.document.position(schema.span().start);
                ids.insert(id, NamedSchema { name: name.to_owned(), line, column });
            }
            (Err(_), _) => section.report(at, id, format!("`{id}` is no schema id"), "write 17 = \"ticket/v1\""),
            (Ok(_), None) => {
                section.wrong_type::<()>(id, schema, "the name of a schema, \"ticket/v1\"");
            }
        }
    }
    ids
}

fn listen(section: &Section<'_>) -> Option<SocketAddr> {
    let address = address(section);
    section.finish();
    address
}

fn address(section: &Section<'_>) -> Option<SocketAddr> {
    let text = section.string("listen")?;
    let address = text.get_ref().parse();
    if address.is_err() {
        let message = format!("`{}` is no address and port", text.get_ref());
        section.report(
            text.span().start,
            "listen",
            message,
            "for instance \"127.0.0.1:9464\", or \"0.0.0.0:9464\" for every interface",
        );
    }
    address.ok()
}

fn audit(section: &Section<'_>) -> Option<AuditSettings> {
    let every = section.require("every", "for instance every = \"1h\"; without [audit] there is no audit by itself");
    let every = every.then(|| section.duration("every", Zero::Refused)).flatten();
    let since = section.duration("since", Zero::Refused).unwrap_or(Duration::from_secs(24 * 3600));
    section.finish();
    let audit = AuditSettings { every: every?, since };
    if audit.every >= audit.since {
        let help = "make since several times as long: both instances of an event must have started within it";
        section.report(section.at(), "since", "is not longer than every", help);
    }
    Some(audit)
}

fn jobs(section: Option<&Section<'_>>, engine: Option<&EngineSettings>) -> JobSettings {
    let mut jobs =
        JobSettings { lock_duration: Duration::from_secs(600), batch: 32, poll_interval: Duration::from_secs(1) };
    let Some(section) = section else { return jobs };
    jobs.lock_duration = section.duration("lock_duration", Zero::Refused).unwrap_or(jobs.lock_duration);
    jobs.poll_interval = section.duration("poll_interval", Zero::Refused).unwrap_or(jobs.poll_interval);
    let batch = section.integer("batch", 1..=1000).and_then(|batch| usize::try_from(batch).ok());
    jobs.batch = batch.unwrap_or(jobs.batch);
    section.finish();
    if let Some(engine) = engine
        && jobs.lock_duration <= engine.request_timeout
    {
        let help = "a job must stay ours until its outcome is published and it is completed; 10m is usual";
        section.report(section.at(), "lock_duration", "is not longer than the engine's request_timeout", help);
    }
    jobs
}
