//! Where a system is, how we prove who we are, and what a call may take.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;

/// Everything that a [`crate::System`] needs to know. Its `Debug` form holds no secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The system's name, for log lines and messages.
    pub name: String,
    /// Base URL, without a slash at the end.
    pub url: String,
    /// How to authenticate.
    pub auth: Auth,
    /// The header that carries the idempotency key.
    pub idempotency_header: String,
    /// Longest time for one request, from connecting to the last byte of the answer.
    pub request_timeout: Duration,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Largest answer that is kept, in bytes.
    pub max_answer: usize,
    /// Largest document that is read, in bytes; it is never kept.
    pub max_document: u64,
    /// Path below `url` that is read to see whether the system is well.
    pub probe: String,
    /// Certificate and key for mutual TLS, as PEM.
    pub identity: Option<SecretString>,
    /// Certificates of authorities that are trusted beside the usual ones, as PEM.
    pub authorities: Option<String>,
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
    /// The HTTP client could not be built.
    #[error("system {system}: no HTTP client: {reason}")]
    Client {
        /// The system.
        system: String,
        /// Why.
        reason: String,
    },
}
