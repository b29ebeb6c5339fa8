//! From files to checked values: settings, schemas, flows, and the clients that they describe.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use event_model::{SchemaIds, Schemas};
use flow_config::{
    Credentials, Dialect, EngineSettings, Flow, KafkaSettings, Problem, PropertyValue, Settings, SystemAuth,
    SystemHttp, SystemReach, SystemSettings,
};
use secrecy::ExposeSecret;
use system_client::System;
use workflow_client::{Auth, Engine};

use crate::models;

/// Everything that the files say, checked.
pub(crate) struct Setup {
    /// The settings file.
    pub settings: Settings,
    /// The flows, in the order of their folders.
    pub flows: Vec<Flow>,
    /// Confluent schema ids.
    pub schema_ids: SchemaIds,
}

/// What is wrong with the files; every problem, not the first.
#[derive(Debug)]
pub(crate) struct BadConfiguration(String);

impl std::error::Error for BadConfiguration {}

impl fmt::Display for BadConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl BadConfiguration {
    pub(crate) fn of(problems: &[Problem]) -> BadConfiguration {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        BadConfiguration(format!("the configuration is wrong\n{}", lines.join("\n")))
    }

    fn unless_none(problems: &[Problem]) -> Result<(), BadConfiguration> {
        if problems.is_empty() { Ok(()) } else { Err(BadConfiguration::of(problems)) }
    }
}

/// Reads and checks the settings file and all that it names.
///
/// # Errors
/// [`BadConfiguration`] with every problem found.
pub(crate) fn load(config: &Path) -> Result<Setup, BadConfiguration> {
    let settings = Settings::load(config).map_err(|problems| BadConfiguration::of(&problems))?;
    let schemas = Schemas::load(&settings.schemas).map_err(|error| BadConfiguration(error.to_string()))?;
    let report = flow_config::check(&settings.flows, &schemas);
    if !report.is_ok() {
        return Err(BadConfiguration::of(&report.problems));
    }
    BadConfiguration::unless_none(&settings.door_problems(&report.flows))?;
    BadConfiguration::unless_none(&settings.system_problems(&report.flows))?;
    let schema_ids = settings.schema_ids(&schemas).map_err(|problems| BadConfiguration::of(&problems))?;
    Ok(Setup { settings, flows: report.flows, schema_ids })
}

/// `xconnector check`: says what is good, or everything that is wrong.
///
/// # Errors
/// [`BadConfiguration`] with every problem found.
#[allow(clippy::print_stdout, reason = "the command's answer")]
pub(crate) fn check(config: &Path) -> anyhow::Result<()> {
    let setup = load(config)?;
    engine(&setup.settings.engine)?;
    systems(&setup.settings)?;
    BadConfiguration::unless_none(&models::problems(&setup.flows, setup.settings.engine.dialect)?)?;
    for flow in &setup.flows {
        println!(
            "{}: {} steps, {} jobs, reads {}",
            flow.name,
            flow.steps.len(),
            flow.jobs.len(),
            flow.source.topics.join(", ")
        );
    }
    println!("{}: all good", config.display());
    Ok(())
}

/// The flow of that name, or all of them.
///
/// # Errors
/// There is none; the text lists those that there are.
pub(crate) fn chosen<'a>(flows: &'a [Flow], only: Option<&str>) -> anyhow::Result<Vec<&'a Flow>> {
    let chosen: Vec<&Flow> = flows.iter().filter(|flow| only.is_none_or(|name| name == &*flow.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = flows.iter().map(|flow| &*flow.name).collect();
        anyhow::bail!("there is no such flow; the flows are {}", names.join(", "));
    }
    Ok(chosen)
}

/// How Kafka is reached by what is no flow's engine.
pub(crate) fn cluster(kafka: &KafkaSettings) -> intake::Cluster {
    intake::Cluster { bootstrap_servers: kafka.bootstrap_servers.clone(), properties: properties(kafka) }
}

/// The workflow engine's client.
///
/// # Errors
/// [`BadConfiguration`] when the settings make no client.
pub(crate) fn engine(settings: &EngineSettings) -> Result<Engine, BadConfiguration> {
    let auth = match &settings.credentials {
        Credentials::None => Auth::None,
        Credentials::Basic { username, password } => {
            Auth::Basic { username: username.clone(), password: password.clone() }
        }
        Credentials::ClientCredentials { token_url, client_id, client_secret } => Auth::ClientCredentials {
            token_url: token_url.clone(),
            client_id: client_id.clone(),
            client_secret: client_secret.clone(),
        },
    };
    let mut client = workflow_client::Settings::opentext("http://unused.invalid", auth);
    client.dialect = match settings.dialect {
        Dialect::OpenText => workflow_client::Dialect::OpenText,
        Dialect::Flowable => workflow_client::Dialect::Flowable,
    };
    client.runtime.clone_from(&settings.urls.runtime);
    client.history.clone_from(&settings.urls.history);
    client.jobs.clone_from(&settings.urls.jobs);
    client.request_timeout = settings.request_timeout;
    client.connect_timeout = settings.connect_timeout;
    client.max_connections = settings.max_connections;
    client.job_paths = workflow_client::JobPaths {
        acquire: settings.job_paths.acquire.clone(),
        complete: settings.job_paths.complete.clone(),
        fail: settings.job_paths.fail.clone(),
        bpmn_error: settings.job_paths.bpmn_error.clone(),
    };
    Engine::new(client).map_err(|error| BadConfiguration(format!("[engine]: {error}")))
}

/// The clients of the business systems, in the order of the settings.
///
/// # Errors
/// [`BadConfiguration`] when the settings of one make no client.
pub(crate) fn systems(settings: &Settings) -> Result<Vec<Arc<System>>, BadConfiguration> {
    let client = |system: &SystemSettings| {
        let reach = match &system.reach {
            SystemReach::Http(http) => system_client::Reach::Http(http_client(http)),
            SystemReach::Kafka { commands, replies, keep_replies } => {
                let mut properties = properties(&settings.kafka);
                properties.insert("bootstrap.servers".to_owned(), settings.kafka.bootstrap_servers.clone());
                system_client::Reach::Kafka(system_client::Kafka {
                    properties,
                    commands: commands.clone(),
                    replies: replies.clone(),
                    source: settings.deployment.to_string(),
                    keep_replies: *keep_replies,
                })
            }
        };
        let (name, request_timeout, max_answer) = (system.name.clone(), system.request_timeout, system.max_answer);
        let settings = system_client::Settings { name, request_timeout, max_answer, reach };
        System::new(&settings).map(Arc::new).map_err(|error| BadConfiguration(error.to_string()))
    };
    settings.systems.iter().map(client).collect()
}

fn http_client(http: &SystemHttp) -> system_client::Http {
    let auth = match http.auth.clone() {
        SystemAuth::None => system_client::Auth::None,
        SystemAuth::Bearer(token) => system_client::Auth::Bearer(token),
        SystemAuth::Basic { username, password } => system_client::Auth::Basic { username, password },
        SystemAuth::ApiKey { header, key } => system_client::Auth::ApiKey { header, key },
        SystemAuth::ClientCredentials { token_url, client_id, client_secret, scope } => {
            system_client::Auth::ClientCredentials { token_url, client_id, client_secret, scope }
        }
    };
    system_client::Http {
        url: http.url.clone(),
        auth,
        idempotency_header: http.idempotency_header.clone(),
        connect_timeout: http.connect_timeout,
        max_document: http.max_document,
        probe: http.probe.clone(),
        identity: http.identity.clone(),
        authorities: http.authorities.as_ref().map(|pem| pem.expose_secret().to_owned()),
    }
}

/// The librdkafka properties, secrets included: for clients only, never for a log.
pub(crate) fn properties(kafka: &KafkaSettings) -> BTreeMap<String, String> {
    let plain = |value: &PropertyValue| match value {
        PropertyValue::Plain(text) => text.clone(),
        PropertyValue::Secret(secret) => secret.expose_secret().to_owned(),
    };
    // Clients of librdkafka 2.12 have crashed when their only broker restarted. Beginning anew from the bootstrap list is what is young in
    // that path, and what 2.16 corrects; an address list that changes as a whole is the rarer case.
    let ours = ("metadata.recovery.strategy".to_owned(), "none".to_owned());
    let theirs = kafka.properties.iter().map(|(name, value)| (name.clone(), plain(value)));
    std::iter::once(ours).chain(theirs).collect()
}
