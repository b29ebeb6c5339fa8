//! `[[system]]`: a business system that jobs of flows call.

use std::num::NonZeroU32;
use std::time::Duration;

use secrecy::SecretString;

use super::engine::checked_url;
use super::value::Sources;
use crate::document::{Section, Zero};

/// How to reach one system.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SystemSettings {
    /// What flows call it.
    pub name: String,
    /// How it is reached.
    pub reach: SystemReach,
    /// Longest wait for an answer.
    pub request_timeout: Duration,
    /// Calls under way at the same time, over all flows of a process.
    pub max_in_flight: usize,
    /// Requests per second, over all flows of a process.
    pub max_requests_per_second: Option<NonZeroU32>,
    /// Largest answer, in bytes.
    pub max_answer: usize,
}

/// How a system is reached.
#[derive(Debug, Clone)]
pub enum SystemReach {
    /// By HTTP.
    Http(Box<SystemHttp>),
    /// By topics of the cluster that the connector uses.
    Kafka {
        /// The topic that commands go to.
        commands: String,
        /// The topic that replies come from.
        replies: String,
        /// How long replies are remembered that nobody waited for.
        keep_replies: Duration,
    },
}

/// A system that speaks HTTP.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SystemHttp {
    /// Base URL without a slash at the end.
    pub url: String,
    /// How we prove who we are.
    pub auth: SystemAuth,
    /// The header that carries a job's idempotency key.
    pub idempotency_header: String,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Largest document, in bytes.
    pub max_document: u64,
    /// Path that is read to see whether the system is well.
    pub probe: String,
    /// Our certificate and key for mutual TLS, as PEM.
    pub identity: Option<SecretString>,
    /// Authorities that are trusted beside the usual ones, as PEM.
    pub authorities: Option<SecretString>,
}

/// How we prove who we are to a system.
#[derive(Debug, Clone)]
pub enum SystemAuth {
    /// Not at all, or by the certificate.
    None,
    /// `Authorization: Bearer`.
    Bearer(SecretString),
    /// HTTP Basic.
    Basic {
        /// The user.
        username: String,
        /// Their password.
        password: SecretString,
    },
    /// A key in a header of its own.
    ApiKey {
        /// The header.
        header: String,
        /// The key.
        key: SecretString,
    },
    /// OAuth2 client credentials.
    ClientCredentials {
        /// Where tokens come from.
        token_url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
        /// The scope that is asked for.
        scope: Option<String>,
    },
}

const MAX_IN_FLIGHT: usize = 32;
const KEEP_REPLIES: Duration = Duration::from_secs(600);

/// The ways to prove who we are, by the field that tells each.
const WAYS: [&str; 5] = ["auth", "bearer", "password", "api_key", "client_secret"];

pub(super) fn read_all(sections: &[Section<'_>], sources: &Sources<'_>) -> Vec<SystemSettings> {
    let mut systems: Vec<SystemSettings> = Vec::new();
    for section in sections {
        let Some(system) = read(section, sources) else { continue };
        if systems.iter().any(|other| other.name == system.name) {
            section.report(section.at(), "name", format!("`{}` is there twice", system.name), "remove one of them");
        }
        if system.name == "engine" {
            section.report(section.at(), "name", "is what metrics call the workflow engine", "choose another name");
        }
        systems.push(system);
    }
    systems
}

fn read(section: &Section<'_>, sources: &Sources<'_>) -> Option<SystemSettings> {
    let name = section.required_string("name", "what flows call it: name = \"crm\"");
    let reach = match section.table("kafka") {
        Some(topics) => kafka(&topics),
        None => http(section, sources),
    };
    let request_timeout = section.duration("request_timeout", Zero::Refused).unwrap_or(Duration::from_secs(30));
    let max_in_flight = section.integer("max_in_flight", 1..=10_000).and_then(|count| usize::try_from(count).ok());
    let per_second = section.integer("max_requests_per_second", 1..=1_000_000);
    let max_answer = size(section, "max_answer", 1 << 20);
    section.finish();
    Some(SystemSettings {
        name: name?.into_inner(),
        reach: reach?,
        request_timeout,
        max_in_flight: max_in_flight.unwrap_or(MAX_IN_FLIGHT),
        max_requests_per_second: per_second.and_then(|most| NonZeroU32::new(u32::try_from(most).ok()?)),
        max_answer: usize::try_from(max_answer).unwrap_or(usize::MAX),
    })
}

fn size(section: &Section<'_>, name: &'static str, default: u64) -> u64 {
    section.integer(name, 1..=1 << 40).unwrap_or(default)
}

fn kafka(topics: &Section<'_>) -> Option<SystemReach> {
    let commands = topics.required_string("commands", "the topic that it reads: commands = \"erp.commands.v1\"");
    let replies = topics.required_string("replies", "the topic that it answers on: replies = \"erp.replies.v1\"");
    let keep_replies = topics.duration("keep_replies", Zero::Refused).unwrap_or(KEEP_REPLIES);
    topics.finish();
    Some(SystemReach::Kafka { commands: commands?.into_inner(), replies: replies?.into_inner(), keep_replies })
}

fn http(section: &Section<'_>, sources: &Sources<'_>) -> Option<SystemReach> {
    let url = sources.required_text(section, "url", "the base URL: url = \"https://crm.example.com/api\"");
    let url = url.and_then(|url| checked_url(section, "url", &url));
    let auth = auth(section, sources);
    let connect_timeout = section.duration("connect_timeout", Zero::Refused).unwrap_or(Duration::from_secs(5));
    let header = section.string("idempotency_header").map(toml::Spanned::into_inner);
    let probe = section.string("probe").map(|probe| {
        if !probe.get_ref().starts_with('/') {
            section.report(probe.span().start, "probe", "must begin with a slash", "for instance \"/health\"");
        }
        probe.into_inner()
    });
    let max_document = size(section, "max_document", 1 << 30);
    let (identity, authorities) = (sources.secret(section, "identity"), sources.secret(section, "authorities"));
    Some(SystemReach::Http(Box::new(SystemHttp {
        url: url?,
        auth: auth?,
        idempotency_header: header.unwrap_or_else(|| "Idempotency-Key".to_owned()),
        connect_timeout,
        max_document,
        probe: probe.unwrap_or_else(|| "/".to_owned()),
        identity,
        authorities,
    })))
}

fn auth(section: &Section<'_>, sources: &Sources<'_>) -> Option<SystemAuth> {
    let text = |name| sources.text(section, name).map(toml::Spanned::into_inner);
    let (none, bearer) = (section.one_of("auth", &[("none", ())]), sources.secret(section, "bearer"));
    let (username, password) = (text("username"), sources.secret(section, "password"));
    let (header, key) = (text("api_key_header"), sources.secret(section, "api_key"));
    let token_url = sources.text(section, "token_url").and_then(|url| checked_url(section, "token_url", &url));
    let (client_id, client_secret, scope) =
        (text("client_id"), sources.secret(section, "client_secret"), text("scope"));
    let given: Vec<&str> = WAYS.into_iter().filter(|name| section.has(name)).collect();
    let [way] = given.as_slice() else {
        let help = "give exactly one: auth = \"none\", bearer, username and password, api_key (and api_key_header), or token_url, client_id and client_secret; secrets as { env = \"…\" } or { file = \"…\" }";
        section.report(section.at(), "", "does not say who we are to it", help);
        return None;
    };
    let needs = |name: &'static str| section.require(name, "it belongs to the other credentials here");
    match *way {
        "auth" => none.map(|()| SystemAuth::None),
        "bearer" => bearer.map(SystemAuth::Bearer),
        "password" => {
            needs("username");
            Some(SystemAuth::Basic { username: username?, password: password? })
        }
        "api_key" => {
            let header = header.unwrap_or_else(|| "X-API-Key".to_owned());
            Some(SystemAuth::ApiKey { header, key: key? })
        }
        _ => {
            needs("token_url");
            needs("client_id");
            let (token_url, client_id, client_secret) = (token_url?, client_id?, client_secret?);
            Some(SystemAuth::ClientCredentials { token_url, client_id, client_secret, scope })
        }
    }
}
