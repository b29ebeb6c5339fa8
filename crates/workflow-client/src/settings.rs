//! Where the engine is, how to authenticate, and the bounds of a call.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Everything an [`crate::Engine`] needs to know. Checked once, by [`crate::Engine::new`].
#[derive(Clone)]
pub struct Settings {
    /// Which engine answers.
    pub dialect: Dialect,
    /// Base URL of instances, executions, tasks and models: OpenText `https://…/workflow/v1`, Flowable
    /// `http://…/process-api`.
    pub runtime: String,
    /// Base URL of history: OpenText `https://…/workflow-history/v1` (a service of its own), Flowable the same
    /// as `runtime`.
    pub history: String,
    /// Base URL of external-worker jobs: OpenText undocumented, `https://…/workflow-job/v1` by analogy; Flowable
    /// `http://…/external-job-api`.
    pub jobs: String,
    /// How to authenticate.
    pub auth: Auth,
    /// Longest time for one request, from connecting to the last byte of the answer. Default 30 s.
    pub request_timeout: Duration,
    /// Longest time to connect, and to wait for a free connection below `max_connections`. Default 2 s.
    pub connect_timeout: Duration,
    /// Requests under way at once, over all base URLs. Default 64.
    pub max_connections: usize,
    /// Paths of the job calls below `jobs`; only the OpenText dialect uses them.
    pub job_paths: JobPaths,
    /// Statuses of a gateway that is known to answer them before the engine sees the request. Such an answer
    /// counts as not sent. Default none: even a 503 may come after the request was forwarded.
    pub unsent_statuses: Vec<u16>,
    /// HTTP proxy for all requests. Default none; the environment's proxy variables are not read.
    pub proxy: Option<String>,
}

/// The engine's REST dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenText Workflow Service: three base URLs, HAL lists, bearer tokens.
    OpenText,
    /// Open-source Flowable, REST API of 7.x.
    Flowable,
}

/// Credentials for the engine.
#[derive(Clone)]
pub enum Auth {
    /// No credentials at all.
    None,
    /// HTTP Basic, on every request.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: SecretString,
    },
    /// OAuth2 client credentials with a JSON token request, as OpenText's samples send it.
    ClientCredentials {
        /// For example `https://{host}/tenants/{tenant}/oauth2/token`.
        token_url: String,
        /// Client id.
        client_id: String,
        /// Client secret.
        client_secret: SecretString,
    },
}

/// Paths of the external-worker job calls, relative to [`Settings::jobs`]; `{id}` stands for the job's id.
///
/// OpenText documents the path of acquiring and querying (`external-jobs`) but not of completing, failing and
/// throwing a BPMN error. The defaults follow Flowable's naming below the documented path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobPaths {
    /// POST to acquire, GET to query. Default `external-jobs`.
    pub acquire: String,
    /// POST. Default `external-jobs/{id}/complete`.
    pub complete: String,
    /// POST. Default `external-jobs/{id}/fail`.
    pub fail: String,
    /// POST. Default `external-jobs/{id}/bpmnError`.
    pub bpmn_error: String,
}

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not an absolute http or https URL.
    #[error("{field}: `{value}` is no http or https base URL ({reason}); write for example https://host/workflow/v1")]
    Url {
        /// The setting.
        field: &'static str,
        /// What was given, without credentials and query.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A job path that cannot address a job.
    #[error("job_paths.{field}: `{value}` must contain the segment {{id}} once")]
    JobPath {
        /// The path's name.
        field: &'static str,
        /// What was given.
        value: String,
    },
    /// A number or duration outside its range.
    #[error("{field}: {rule}")]
    Range {
        /// The setting.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// Credentials that cannot be written into a header.
    #[error("auth: the user name must not contain a colon")]
    UserName,
    /// The HTTP client could not be built.
    #[error("HTTP client: {0}")]
    Client(String),
}

impl Settings {
    /// OpenText Workflow Service below one host, for example `https://us.api.opentext.com`, with default bounds.
    pub fn opentext(host: &str, auth: Auth) -> Settings {
        let host = host.trim_end_matches('/');
        Settings::with_bases(
            Dialect::OpenText,
            [format!("{host}/workflow/v1"), format!("{host}/workflow-history/v1"), format!("{host}/workflow-job/v1")],
            auth,
        )
    }

    /// Flowable's REST starter at one root, for example `http://127.0.0.1:8080`, with default bounds.
    pub fn flowable(root: &str, auth: Auth) -> Settings {
        let root = root.trim_end_matches('/');
        let runtime = format!("{root}/process-api");
        Settings::with_bases(Dialect::Flowable, [runtime.clone(), runtime, format!("{root}/external-job-api")], auth)
    }

    fn with_bases(dialect: Dialect, [runtime, history, jobs]: [String; 3], auth: Auth) -> Settings {
        Settings {
            dialect,
            runtime,
            history,
            jobs,
            auth,
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(2),
            max_connections: 64,
            job_paths: JobPaths::default(),
            unsent_statuses: Vec::new(),
            proxy: None,
        }
    }

    /// Everything but the URLs, which are checked where they are parsed.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let range = |field, rule| Err(SettingsError::Range { field, rule });
        if self.request_timeout.is_zero() {
            return range("request_timeout", "must be longer than zero");
        }
        if self.connect_timeout.is_zero() {
            return range("connect_timeout", "must be longer than zero");
        }
        if !(1..=10_000).contains(&self.max_connections) {
            return range("max_connections", "must be between 1 and 10,000");
        }
        if !self.unsent_statuses.iter().all(|status| (400..=599).contains(status)) {
            return range("unsent_statuses", "must be error statuses, 400 to 599");
        }
        if matches!(&self.auth, Auth::Basic { username, .. } if username.contains(':')) {
            return Err(SettingsError::UserName);
        }
        let paths = &self.job_paths;
        for (field, path) in [("complete", &paths.complete), ("fail", &paths.fail), ("bpmn_error", &paths.bpmn_error)] {
            if path.split('/').filter(|segment| *segment == "{id}").count() != 1 {
                return Err(SettingsError::JobPath { field, value: path.clone() });
            }
        }
        Ok(())
    }
}

impl Default for JobPaths {
    fn default() -> Self {
        JobPaths {
            acquire: "external-jobs".to_owned(),
            complete: "external-jobs/{id}/complete".to_owned(),
            fail: "external-jobs/{id}/fail".to_owned(),
            bpmn_error: "external-jobs/{id}/bpmnError".to_owned(),
        }
    }
}

/// A base URL, checked: http or https, a host, and neither credentials (they belong into `auth`) nor a query.
pub(crate) fn base_url(field: &'static str, text: &str) -> Result<Url, SettingsError> {
    let wrong = |reason: &str| SettingsError::Url { field, value: without_secrets(text), reason: reason.to_owned() };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("the scheme is neither http nor https"));
    }
    if !url.has_host() {
        return Err(wrong("the host is missing"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("credentials belong into auth"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("a base URL has no query"));
    }
    Ok(url)
}

/// A URL as it may be shown: without user, password and query.
pub(crate) fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => match (text.get(..scheme + 3), text.get(at + 1..)) {
            (Some(scheme), Some(rest)) => format!("{scheme}{rest}"),
            (None, _) | (_, None) => "a URL".to_owned(),
        },
        (None, Some(at)) => text.get(at + 1..).unwrap_or_default().to_owned(),
        (Some(_) | None, _) => text.to_owned(),
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("dialect", &self.dialect)
            .field("runtime", &without_secrets(&self.runtime))
            .field("history", &without_secrets(&self.history))
            .field("jobs", &without_secrets(&self.jobs))
            .field("auth", &self.auth)
            .field("request_timeout", &self.request_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_connections", &self.max_connections)
            .field("job_paths", &self.job_paths)
            .field("unsent_statuses", &self.unsent_statuses)
            .field("proxy", &self.proxy.as_deref().map(without_secrets))
            .finish()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Auth::None => f.write_str("None"),
            Auth::Basic { username, .. } => f.debug_struct("Basic").field("username", username).finish_non_exhaustive(),
            Auth::ClientCredentials { token_url, client_id, .. } => f
                .debug_struct("ClientCredentials")
                .field("token_url", &without_secrets(token_url))
                .field("client_id", client_id)
                .finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::opentext("https://us.api.opentext.com/", Auth::None)
    }

    #[test]
    fn wrong_settings_are_named() {
        let named = |change: fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(named(|s| s.job_paths.fail = "external-jobs/fail".into()).starts_with("job_paths.fail"));
        assert!(named(|s| s.max_connections = 0).starts_with("max_connections"));
        assert!(named(|s| s.request_timeout = Duration::ZERO).starts_with("request_timeout"));
        assert!(named(|s| s.unsent_statuses = vec![201]).starts_with("unsent_statuses"));
        assert!(settings().check().is_ok());
    }

    #[test]
    fn a_base_url_is_http_without_credentials_and_query() {
        assert!(base_url("runtime", "https://host/workflow/v1").is_ok());
        for wrong in ["host/workflow", "ftp://host/", "https://u:geheim@host/", "https://host/?k=geheim", ""] {
            let error = base_url("runtime", wrong).unwrap_err().to_string();
            assert!(error.starts_with("runtime") && !error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut settings = settings();
        settings.proxy = Some("http://me:geheim@proxy:3128".into());
        for auth in [
            Auth::Basic { username: "rest".into(), password: "geheim".into() },
            Auth::ClientCredentials {
                token_url: "https://t/?x=geheim".into(),
                client_id: "id".into(),
                client_secret: "geheim".into(),
            },
        ] {
            settings.auth = auth;
            let shown = format!("{settings:?}");
            assert!(!shown.contains("geheim") && shown.contains("proxy:3128"), "{shown}");
        }
    }
}
