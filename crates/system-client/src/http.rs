//! One request, one answer: a system that speaks HTTP.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::{Certificate, Client, Identity, Url, redirect, retry};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::document::{self, Seen};
use crate::request::{CallError, Fault, Method, Request, Response};
use crate::settings::{Auth, Http, Settings, SettingsError};
use crate::token::{Token, TokenSource};

/// Below the usual 60 s of servers, so that we close first.
const POOL_IDLE: Duration = Duration::from_secs(45);
/// No server is believed that asks for a longer pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// A system that speaks HTTP.
pub(crate) struct HttpSystem {
    name: String,
    base: String,
    client: Client,
    credentials: Credentials,
    idempotency: HeaderName,
    max_answer: usize,
    max_document: u64,
    probe: String,
}

enum Credentials {
    None,
    /// A finished header, marked sensitive.
    Header(HeaderName, HeaderValue),
    Token(Box<TokenSource>),
}

impl HttpSystem {
    /// Makes the client; nothing is sent.
    ///
    /// # Errors
    /// Settings that make no client.
    pub(crate) fn new(settings: &Settings, http: &Http) -> Result<HttpSystem, SettingsError> {
        let system = || settings.name.clone();
        let pem = |field, error: reqwest::Error| SettingsError::Pem { system: system(), field, reason: cause(&error) };
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never().max_retries_per_request(0))
            .referer(false)
            .no_proxy()
            .connect_timeout(http.connect_timeout)
            .timeout(settings.request_timeout)
            .pool_idle_timeout(POOL_IDLE);
        if let Some(identity) = &http.identity {
            let identity = Identity::from_pem(identity.expose_secret().as_bytes());
            builder = builder.identity(identity.map_err(|error| pem("identity", error))?);
        }
        if let Some(authorities) = &http.authorities {
            let bundle = Certificate::from_pem_bundle(authorities.as_bytes());
            for authority in bundle.map_err(|error| pem("authorities", error))? {
                builder = builder.add_root_certificate(authority);
            }
        }
        url(settings, "url", &http.url)?;
        let header = |field| SettingsError::Header { system: system(), field };
        let idempotency = HeaderName::try_from(&http.idempotency_header).map_err(|_| header("idempotency_header"))?;
        Ok(HttpSystem {
            name: system(),
            base: http.url.trim_end_matches('/').to_owned(),
            client: builder
                .build()
                .map_err(|error| SettingsError::Client { system: system(), reason: cause(&error) })?,
            credentials: credentials(settings, http)?,
            idempotency,
            max_answer: settings.max_answer,
            max_document: http.max_document,
            probe: http.probe.clone(),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends the request, and once more with a fresh token where a token was answered 401.
    ///
    /// # Errors
    /// There is no answer that could be used. A refusal is an answer.
    pub(crate) async fn call(&self, request: &Request) -> Result<Response, CallError> {
        let Credentials::Token(source) = &self.credentials else { return self.send(request, None).await };
        let token = |refused| async move {
            source.token(&self.client, refused).await.map_err(|(fault, message)| self.error(fault, message))
        };
        let first = token(None).await?;
        let answer = self.send(request, Some(&first)).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.send(request, Some(&token(Some(&first)).await?)).await
    }

    /// Reads the probe's path. Any answer but 5xx, 429 and refused credentials shows that the system is well.
    ///
    /// # Errors
    /// As [`HttpSystem::call`].
    pub(crate) async fn probe(&self) -> Result<Response, CallError> {
        let (path, method) = (self.probe.clone(), Method::Get);
        let idempotency_key = String::new();
        self.call(&Request { method, path, body: None, schema: None, if_match: None, idempotency_key, document: false })
            .await
    }

    async fn send(&self, request: &Request, token: Option<&Token>) -> Result<Response, CallError> {
        let limit = |what: &str| self.error(Fault::Limit, format!("{what} cannot be sent: HTTP does not take it"));
        let url = Url::parse(&format!("{}{}", self.base, request.path)).map_err(|_| limit("the path"))?;
        let mut builder = self.client.request(request.method.into(), url);
        builder = match &self.credentials {
            Credentials::Header(name, value) => builder.header(name, value),
            Credentials::None | Credentials::Token(_) => builder,
        };
        if let Some(token) = token {
            builder = builder.header(AUTHORIZATION, &token.header);
        }
        if !request.idempotency_key.is_empty() {
            let key = HeaderValue::try_from(&request.idempotency_key).map_err(|_| limit("the idempotency key"))?;
            builder = builder.header(&self.idempotency, key);
        }
        if let Some(version) = &request.if_match {
            builder = builder.header(IF_MATCH, HeaderValue::try_from(version).map_err(|_| limit("if_match"))?);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = builder.send().await.map_err(|error| self.lost(&error))?;
        self.read(request, response).await
    }

    async fn read(&self, request: &Request, response: reqwest::Response) -> Result<Response, CallError> {
        let status = response.status().as_u16();
        if response.status().is_redirection() {
            return Err(self.error(Fault::BadAnswer, "a redirect, which is not followed: correct the URL"));
        }
        let (retry_after, headers) = (retry_after(response.headers()), texts(response.headers()));
        let body = if request.document && response.status().is_success() {
            match document::see(response, self.max_document).await.map_err(|error| self.lost(&error))? {
                Seen::Whole(reference) => reference,
                Seen::TooLarge => {
                    let message = format!("the document is larger than max_document, {} bytes", self.max_document);
                    return Err(self.error(Fault::BadAnswer, message));
                }
            }
        } else {
            self.body(response).await?
        };
        tracing::debug!(system = self.name, status, "system call");
        Ok(Response { status, headers, body, retry_after })
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Value, CallError> {
        let is_json = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_json = is_json.is_some_and(|kind| kind.contains("json"));
        let succeeded = response.status().is_success();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(&error))? {
            if bytes.len() + chunk.len() > self.max_answer {
                let message = format!("the answer is larger than max_answer, {} bytes", self.max_answer);
                return Err(self.error(Fault::BadAnswer, message));
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        match serde_json::from_slice(&bytes) {
            Ok(json) => Ok(json),
            Err(error) if is_json && succeeded => {
                let place = format!("line {} column {}", error.line(), error.column());
                Err(self.error(Fault::BadAnswer, format!("the answer says that it is JSON, and is not ({place})")))
            }
            Err(_) => Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }

    fn lost(&self, error: &reqwest::Error) -> CallError {
        self.error(transport_fault(error), cause(error))
    }

    fn error(&self, fault: Fault, message: impl Into<String>) -> CallError {
        CallError { fault, system: self.name.clone(), message: message.into(), retry_after: None }
    }
}

fn url(settings: &Settings, field: &'static str, text: &str) -> Result<Url, SettingsError> {
    let wrong = |reason: String| SettingsError::Url { system: settings.name.clone(), field, reason };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(wrong("neither http nor https".to_owned())),
    }
}

fn credentials(settings: &Settings, http: &Http) -> Result<Credentials, SettingsError> {
    let wrong = |field| SettingsError::Header { system: settings.name.clone(), field };
    let header = |name: HeaderName, text: String, field| {
        let mut value = HeaderValue::try_from(text).map_err(|_| wrong(field))?;
        value.set_sensitive(true);
        Ok(Credentials::Header(name, value))
    };
    match &http.auth {
        Auth::None => Ok(Credentials::None),
        Auth::Bearer(token) => header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()), "bearer"),
        Auth::Basic { username, password } => {
            let pair = format!("{username}:{}", password.expose_secret());
            let pair = base64::engine::general_purpose::STANDARD.encode(pair);
            header(AUTHORIZATION, format!("Basic {pair}"), "password")
        }
        Auth::ApiKey { header: name, key } => {
            let name = HeaderName::try_from(name).map_err(|_| wrong("api_key_header"))?;
            header(name, key.expose_secret().to_owned(), "api_key")
        }
        Auth::ClientCredentials { token_url, client_id, client_secret, scope } => {
            Ok(Credentials::Token(Box::new(TokenSource {
                url: url(settings, "token_url", token_url)?,
                client_id: client_id.clone(),
                client_secret: client_secret.clone(),
                scope: scope.clone(),
                current: Mutex::new(None),
            })))
        }
    }
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> reqwest::Method {
        match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        }
    }
}

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
    headers.iter().filter_map(text).collect()
}

/// `Retry-After` in seconds or as a date, which is compared with the server's own clock where it tells it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let now = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
            let until = httpdate::parse_http_date(text).ok()?;
            until.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default()
        }
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// Connecting comes first: a connection that timed out while being made has sent nothing.
pub(crate) fn transport_fault(error: &reqwest::Error) -> Fault {
    if error.is_connect() {
        Fault::Unsent
    } else if error.is_timeout() {
        Fault::TimedOut
    } else if error.is_builder() {
        Fault::Limit
    } else {
        Fault::Broken
    }
}

/// The innermost cause: it names the reason, and has no URL in it.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else { return "the request failed without a stated cause".to_owned() };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
