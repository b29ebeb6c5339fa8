//! `[engine]`: the workflow service.

use std::num::NonZeroU32;
use std::time::Duration;

use secrecy::SecretString;
use toml::Spanned;

use super::value::Sources;
use crate::document::{Section, Zero};

/// How to reach and use the workflow service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineSettings {
    /// Whose API it speaks.
    pub dialect: Dialect,
    /// Base URLs without a slash at the end.
    pub urls: EngineUrls,
    /// How we prove who we are.
    pub credentials: Credentials,
    /// Longest wait for an answer.
    pub request_timeout: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest time in which a request that was sent may still take effect in the engine.
    pub settle: Duration,
    /// How far history may be behind the running instances.
    pub history_lag: Duration,
    /// Most connections, and calls under way, at the same time.
    pub max_connections: usize,
    /// Calls under way that are allowed even when the engine is slow or fails.
    pub min_in_flight: usize,
    /// Requests per second, over all flows of a process.
    pub max_requests_per_second: Option<NonZeroU32>,
    /// Paths of the job calls; they count for the OpenText dialect alone.
    pub job_paths: JobPaths,
}

/// Whose API the engine speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenText Workflow Service.
    OpenText,
    /// Open-source Flowable.
    Flowable,
}

/// Base URLs of the engine's three services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineUrls {
    /// Instances, executions, tasks and models.
    pub runtime: String,
    /// History.
    pub history: String,
    /// External-worker jobs.
    pub jobs: String,
}

/// How we prove who we are.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// An engine that asks for nothing.
    None,
    /// HTTP Basic.
    Basic {
        /// The user.
        username: String,
        /// Their password.
        password: SecretString,
    },
    /// OAuth2 client credentials.
    ClientCredentials {
        /// Where tokens come from.
        token_url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
    },
}

/// Paths below [`EngineUrls::jobs`]; `{id}` stands for the job's id. Only the first is documented by OpenText, the
/// others follow Flowable's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPaths {
    /// Fetching and locking jobs.
    pub acquire: String,
    /// Completing one.
    pub complete: String,
    /// Reporting a failure.
    pub fail: String,
    /// Throwing a BPMN error.
    pub bpmn_error: String,
}

impl Default for JobPaths {
    fn default() -> Self {
        Self {
            acquire: "external-jobs".to_owned(),
            complete: "external-jobs/{id}/complete".to_owned(),
            fail: "external-jobs/{id}/fail".to_owned(),
            bpmn_error: "external-jobs/{id}/bpmnError".to_owned(),
        }
    }
}

const OPENTEXT_URLS: &str = "write urls = { runtime = \"https://…/workflow/v1\", history = \"https://…/workflow-history/v1\", jobs = \"https://…\" }";
const FLOWABLE_URLS: &str = "write urls = \"http://localhost:8080\", or { runtime = …, history = …, jobs = … }";

const MAX_CONNECTIONS: usize = 256;
const MIN_IN_FLIGHT: usize = 4;

pub(super) fn read(section: &Section<'_>, sources: &Sources<'_>) -> Option<EngineSettings> {
    let asked = section.require("dialect", "write dialect = \"opentext\" or dialect = \"flowable\"");
    let dialects = [("opentext", Dialect::OpenText), ("flowable", Dialect::Flowable)];
    let dialect = asked.then(|| sources.one_of(section, "dialect", &dialects)).flatten();
    let urls = dialect.and_then(|dialect| urls(section, sources, dialect));
    let credentials = dialect.and_then(|dialect| credentials(section, sources, dialect));
    let duration = |name, default| section.duration(name, Zero::Refused).unwrap_or(default);
    let lag = section.duration("history_lag", Zero::Allowed);
    let connections = section.integer("max_connections", 1..=10_000).and_then(|count| usize::try_from(count).ok());
    let connections = connections.unwrap_or(MAX_CONNECTIONS);
    let least = section.integer("min_in_flight", 1..=10_000).and_then(|count| usize::try_from(count).ok());
    if let Some(least) = least.filter(|least| *least > connections) {
        let at = section.key_at("min_in_flight").unwrap_or_else(|| section.at());
        let message = format!("is {least}, more than max_connections ({connections})");
        section.report(at, "min_in_flight", message, "make it smaller, or raise max_connections");
    }
    let per_second = section.integer("max_requests_per_second", 1..=1_000_000);
    let (request_timeout, connect_timeout, settle) = (
        duration("request_timeout", Duration::from_secs(30)),
        duration("connect_timeout", Duration::from_secs(5)),
        duration("settle", Duration::from_secs(60)),
    );
    if let (Some(Dialect::Flowable), Some(at)) = (dialect, section.key_at("job_paths")) {
        section.report(at, "job_paths", "belongs to the opentext dialect; Flowable's paths are known", "remove it");
    }
    let job_paths = section.table("job_paths").map(|table| job_paths(&table)).unwrap_or_default();
    if dialect.is_none() {
        for field in ["urls", "token_url", "client_id", "client_secret", "username", "password"] {
            section.get(field);
        }
    }
    section.finish();
    let usual_lag = match dialect? {
        Dialect::OpenText => Duration::from_secs(5),
        Dialect::Flowable => Duration::ZERO,
    };
    Some(EngineSettings {
        dialect: dialect?,
        urls: urls?,
        credentials: credentials?,
        request_timeout,
        connect_timeout,
        settle,
        history_lag: lag.unwrap_or(usual_lag),
        max_connections: connections,
        min_in_flight: least.unwrap_or(MIN_IN_FLIGHT.min(connections)),
        max_requests_per_second: per_second.and_then(|count| NonZeroU32::new(u32::try_from(count).ok()?)),
        job_paths,
    })
}

fn urls(section: &Section<'_>, sources: &Sources<'_>, dialect: Dialect) -> Option<EngineUrls> {
    let help = match dialect {
        Dialect::OpenText => OPENTEXT_URLS,
        Dialect::Flowable => FLOWABLE_URLS,
    };
    section.require("urls", help).then_some(())?;
    let value = section.get("urls")?;
    let three = value.get_ref().as_table().is_some_and(|table| !table.contains_key("env"));
    if three {
        let table = section.table("urls")?;
        let url = |name| {
            let text = sources.required_text(&table, name, help)?;
            checked_url(&table, name, &text)
        };
        let urls = (url("runtime"), url("history"), url("jobs"));
        table.finish();
        return Some(EngineUrls { runtime: urls.0?, history: urls.1?, jobs: urls.2? });
    }
    if dialect == Dialect::OpenText {
        section.report(value.span().start, "urls", "the opentext dialect has three base URLs", help);
        return None;
    }
    let base = checked_url(section, "urls", &sources.text(section, "urls")?)?;
    // As the REST starters of Flowable 7 mount them; another mounting takes the three URLs.
    let runtime = format!("{base}/process-api");
    Some(EngineUrls { history: runtime.clone(), runtime, jobs: format!("{base}/external-job-api") })
}

/// An http(s) URL without credentials and without a slash at the end.
pub(super) fn checked_url(section: &Section<'_>, name: &'static str, text: &Spanned<String>) -> Option<String> {
    let (at, url) = (text.span().start, text.get_ref().trim_end_matches('/'));
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let problem = match host {
        None => (
            "is no URL that starts with http:// or https://",
            "for instance \"https://us.api.opentext.com/workflow/v1\"",
        ),
        Some("") => ("names no host", "for instance \"https://us.api.opentext.com/workflow/v1\""),
        Some(host) if host.contains('@') => {
            ("must not hold credentials", "give them as username and password, from the environment or a file")
        }
        Some(_) if url.contains(['?', '#', ' ']) => ("must be a base URL, without `?`, `#` and spaces", ""),
        Some(_) => return Some(url.to_owned()),
    };
    section.report(at, name, problem.0, problem.1);
    None
}

fn credentials(section: &Section<'_>, sources: &Sources<'_>, dialect: Dialect) -> Option<Credentials> {
    let (ours, theirs, help) = match dialect {
        Dialect::OpenText => (
            ["token_url", "client_id", "client_secret"].as_slice(),
            ["username", "password"].as_slice(),
            "the opentext dialect takes token_url, client_id and client_secret",
        ),
        Dialect::Flowable => (
            ["username", "password"].as_slice(),
            ["token_url", "client_id", "client_secret"].as_slice(),
            "the flowable dialect takes username and password",
        ),
    };
    for field in theirs {
        if let Some(at) = section.key_at(field) {
            section.report(at, field, "does not belong to this dialect", help);
        }
    }
    let given = ours.iter().filter(|field| section.has(field)).count();
    if dialect == Dialect::Flowable && given == 0 {
        for field in ours {
            section.get(field);
        }
        return Some(Credentials::None);
    }
    for field in ours {
        section.require(field, help);
    }
    match dialect {
        Dialect::OpenText => {
            let token_url =
                sources.text(section, "token_url").and_then(|text| checked_url(section, "token_url", &text));
            let (client_id, client_secret) =
                (sources.text(section, "client_id"), sources.secret(section, "client_secret"));
            Some(Credentials::ClientCredentials {
                token_url: token_url?,
                client_id: client_id?.into_inner(),
                client_secret: client_secret?,
            })
        }
        Dialect::Flowable => {
            let (username, password) = (sources.text(section, "username"), sources.secret(section, "password"));
            Some(Credentials::Basic { username: username?.into_inner(), password: password? })
        }
    }
}

fn job_paths(section: &Section<'_>) -> JobPaths {
    let default = JobPaths::default();
    let path = |name, default: String, of_one_job: bool| {
        let Some(text) = section.string(name) else {
            return default;
        };
        if of_one_job && text.get_ref().split('/').filter(|part| *part == "{id}").count() != 1 {
            section.report(
                text.span().start,
                name,
                "must hold {id} once, the place of the job's id",
                format!("the default is \"{default}\""),
            );
        }
        text.into_inner().trim_start_matches('/').to_owned()
    };
    let paths = JobPaths {
        acquire: path("acquire", default.acquire, false),
        complete: path("complete", default.complete, true),
        fail: path("fail", default.fail, true),
        bpmn_error: path("bpmn_error", default.bpmn_error, true),
    };
    section.finish();
    paths
}
