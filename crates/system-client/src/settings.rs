//! Where a system is, how we prove who we are, and what a call may take.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use secrecy::SecretString;

/// Everything that a [`crate::System`] needs to know. Its `Debug` form holds no secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The system's name, for log lines and messages.
    pub name: String,
    /// Longest time for one request: from connecting to the last byte of the answer, or from the command to its reply.
    pub request_timeout: Duration,
    /// Largest answer that is kept, in bytes.
    pub max_answer: usize,
    /// How it is reached.
    pub reach: Reach,
}

/// How a system is reached.
#[derive(Clone, Debug)]
pub enum Reach {
    /// By HTTP.
    Http(Http),
    /// By a topic of commands and one of replies.
    Kafka(Kafka),
}

/// A system that speaks HTTP.
#[derive(Clone, Debug)]
pub struct Http {
    /// Base URL, without a slash at the end.
    pub url: String,
    /// How to authenticate.
    pub auth: Auth,
    /// The header that carries the idempotency key.
    pub idempotency_header: String,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Largest document that is read, in bytes; it is never kept.
    pub max_document: u64,
    /// Path below `url` that is read to see whether the system is well.
    pub probe: String,
    /// Certificate and key for mutual TLS, as PEM.
    pub identity: Option<SecretString>,
    /// Certificates of authorities that are trusted beside the usual ones, as PEM.
    pub authorities: Option<String>,
}

/// A system that speaks Kafka.
#[derive(Clone)]
pub struct Kafka {
    /// What librdkafka needs to reach the cluster, credentials included.
    pub properties: BTreeMap<String, String>,
    /// The topic that commands go to.
    pub commands: String,
    /// The topic that replies come from.
    pub replies: String,
    /// Names us as the source of commands.
    pub source: String,
    /// Replies are remembered so long: what was answered while nobody waited is found by whoever asks again.
    pub keep_replies: Duration,
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("commands", &self.commands)
            .field("replies", &self.replies)
            .finish_non_exhaustive()
    }
}

/// How we prove who we are.
#[derive(Clone)]
pub enum Auth {
    /// Not at all, or by the TLS certificate.
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
    /// OAuth2 client credentials (RFC 6749, section 4.4), the credentials in HTTP Basic.
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

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Auth::None => "None",
            Auth::Bearer(_) => "Bearer",
            Auth::Basic { .. } => "Basic",
            Auth::ApiKey { .. } => "ApiKey",
            Auth::ClientCredentials { .. } => "ClientCredentials",
        })
    }
}

/// Settings that make no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A URL that is none.
    #[error("system {system}: `{field}` is no URL: {reason}")]
    Url {
        /// The system.
        system: String,
        /// The setting.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A credential or header name that cannot stand in a header.
    #[error(
        "system {system}: `{field}` cannot be written into a header: it has a character that headers must not hold"
    )]
    Header {
        /// The system.
        system: String,
        /// The setting.
        field: &'static str,
    },
    /// Certificates that cannot be read.
    #[error("system {system}: `{field}` holds no usable PEM: {reason}")]
    Pem {
        /// The system.
        system: String,
        /// The setting.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The client could not be built.
    #[error("system {system}: no client can be made: {reason}")]
    Client {
        /// The system.
        system: String,
        /// Why.
        reason: String,
    },
}
