//! Sending: one pooled HTTP/1.1 client, credentials, bounds, and the fault of what goes wrong.
//!
//! What the layers below do by themselves, checked in reqwest 0.12.28 and hyper-util 0.1: reqwest would follow
//! redirects and repeat a request after an HTTP/2 refusal (both off); hyper's pool repeats a request on another
//! connection only when the chosen kept-alive one closed before the request was taken from its queue, so that
//! no byte of it was written. A request that was begun is never repeated. The pool drops idle connections
//! before the engine does (60 s), which makes even that rare.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Proxy, RequestBuilder, Response, StatusCode, Url, redirect, retry};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::calls::{Calls, Operation};
use crate::error_body::{ErrorBody, cut};
use crate::fault::{CallError, Endpoint, Fault};
use crate::pages::bad_answer;
use crate::request::{Body, Request};
use crate::settings::{Auth, Settings, SettingsError, base_url};
use crate::time::retry_after;
use crate::token::{Bearer, TokenSource};

/// Below Tomcat's and the engine's 60 s, so that we close first.
const POOL_IDLE: Duration = Duration::from_secs(45);
/// Largest answer that is read; the engine echoes variables, one of which may have 20 MB.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// Of an error answer only the text is wanted.
const ERROR_ANSWER_LIMIT: usize = 256 * 1024;

/// The client, the base URLs and the credentials.
pub(crate) struct Transport {
    client: Client,
    runtime: Url,
    history: Url,
    jobs: Url,
    credentials: Credentials,
    permits: Semaphore,
    permit_wait: Duration,
    unsent_statuses: Vec<u16>,
    pub(crate) calls: Calls,
}

enum Credentials {
    None,
    /// The finished header, marked sensitive.
    Basic(HeaderValue),
    Token(Box<TokenSource>),
}

impl Transport {
    pub(crate) fn new(settings: &Settings) -> Result<Transport, SettingsError> {
        settings.check()?;
        let mut builder = Client::builder()
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never().max_retries_per_request(0))
            .referer(false)
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(settings.max_connections)
            .user_agent(concat!("xconnector/", env!("CARGO_PKG_VERSION")));
        builder = match &settings.proxy {
            None => builder.no_proxy(),
            Some(proxy) => builder.proxy(Proxy::all(proxy.as_str()).map_err(|_| SettingsError::Url {
                field: "proxy",
                value: crate::settings::without_secrets(proxy),
                reason: "a proxy URL like http://proxy:3128 is wanted".to_owned(),
            })?),
        };
        Ok(Transport {
            client: builder.build().map_err(|error| SettingsError::Client(cause(&error)))?,
            runtime: base_url("runtime", &settings.runtime)?,
            history: base_url("history", &settings.history)?,
            jobs: base_url("jobs", &settings.jobs)?,
            credentials: Credentials::new(&settings.auth)?,
            permits: Semaphore::new(settings.max_connections),
            permit_wait: settings.connect_timeout,
            unsent_statuses: settings.unsent_statuses.clone(),
            calls: Calls::default(),
        })
    }

    /// Sends and reads the answer as JSON. Only for lists and small answers: a start is parsed into less.
    pub(crate) async fn json(&self, request: &Request<'_>, before: Option<Instant>) -> Result<Value, CallError> {
        parse(request, &self.send(request, before).await?)
    }

    /// Sends once; once more with a fresh token when a token was answered 401. `before`: the moment from which
    /// the request must no longer be sent.
    pub(crate) async fn send(&self, request: &Request<'_>, before: Option<Instant>) -> Result<Vec<u8>, CallError> {
        let (endpoint, operation) = (request.endpoint, request.operation);
        let _permit = self.permit(endpoint, operation).await?;
        match &self.credentials {
            Credentials::None => self.send_with(request, None, before).await,
            Credentials::Basic(header) => self.send_with(request, Some(header), before).await,
            Credentials::Token(source) => {
                let mut refused: Option<Bearer> = None;
                loop {
                    let token = source.bearer(&self.client, &self.calls, refused.as_ref()).await;
                    let token = token.map_err(|error| CallError { operation: operation.name(), ..error })?;
                    match self.send_with(request, Some(&token.header), before).await {
                        // A 401 proves that nothing was done, so that even a start may be repeated.
                        Err(error) if error.status == Some(401) && refused.is_none() => refused = Some(token),
                        result => return result,
                    }
                }
            }
        }
    }

    async fn permit(&self, endpoint: Endpoint, operation: Operation) -> Result<SemaphorePermit<'_>, CallError> {
        // Free permits are handed to waiters first, so whoever gets one here has jumped no queue.
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        match timeout(self.permit_wait, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                let message = "no free connection in time: the engine is slow, or raise max_connections";
                Err(CallError::new(Fault::Unsent, endpoint, operation, message))
            }
        }
    }

    async fn send_with(
        &self,
        request: &Request<'_>,
        authorization: Option<&HeaderValue>,
        before: Option<Instant>,
    ) -> Result<Vec<u8>, CallError> {
        let (endpoint, operation) = (request.endpoint, request.operation);
        let refused = |message: &str| CallError::new(Fault::Limit, endpoint, operation, message);
        let mut builder = self.client.request(request.method.clone(), self.url(request));
        if let Some(header) = authorization {
            builder = builder.header(AUTHORIZATION, header);
        }
        builder = match &request.body {
            Body::Empty => builder,
            Body::Json(bytes) => {
                builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(bytes.clone())
            }
            Body::File { name, content } => {
                let part = Part::stream(content.clone()).file_name(name.clone()).mime_str("application/xml");
                let part = part.map_err(|error| refused(&cause(&error)))?;
                builder.multipart(Form::new().part("file", part))
            }
            Body::Unwritable(reason) => return Err(refused(reason)),
        };
        if before.is_some_and(|before| Instant::now() >= before) {
            let message = "the time to send it ran out while it waited for a connection or a token";
            return Err(CallError::new(Fault::Unsent, endpoint, operation, message));
        }
        self.calls.count(operation);
        let sent = Instant::now();
        let result = exchange(builder, endpoint, operation, &self.unsent_statuses).await;
        tracing::debug!(
            operation = operation.name(),
            endpoint = %endpoint,
            fault = result.as_ref().err().map(|error| tracing::field::display(error.fault)),
            elapsed_us = sent.elapsed().as_micros(),
            "engine call"
        );
        result
    }

    fn url(&self, request: &Request<'_>) -> Url {
        let mut url = match request.endpoint {
            Endpoint::Runtime | Endpoint::Token => self.runtime.clone(),
            Endpoint::History => self.history.clone(),
            Endpoint::Jobs => self.jobs.clone(),
        };
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&request.path);
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        url
    }
}

impl Credentials {
    fn new(auth: &Auth) -> Result<Credentials, SettingsError> {
        match auth {
            Auth::None => Ok(Credentials::None),
            Auth::Basic { username, password } => {
                use base64::Engine as _;
                let pair = format!("{username}:{}", password.expose_secret());
                let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
                let mut header = HeaderValue::try_from(text).map_err(|_| SettingsError::UserName)?;
                header.set_sensitive(true);
                Ok(Credentials::Basic(header))
            }
            Auth::ClientCredentials { token_url, client_id, client_secret } => {
                let url = base_url("auth.token_url", token_url)?;
                let source = TokenSource::new(url, client_id.clone(), client_secret.clone());
                Ok(Credentials::Token(Box::new(source)))
            }
        }
    }
}

/// A good answer's body as `T`; what cannot be understood is a bad answer, not a missing one.
pub(crate) fn parse<T: DeserializeOwned>(request: &Request<'_>, answer: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(answer)
        .map_err(|error| bad_answer(request, format!("the answer cannot be read: {}", error_place(&error))))
}

/// Where and how, without the words of the answer, which may be somebody's data.
fn error_place(error: &serde_json::Error) -> String {
    format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column())
}

/// One request and its whole answer, or the fault. Token requests go through here as well.
pub(crate) async fn exchange(
    request: RequestBuilder,
    endpoint: Endpoint,
    operation: Operation,
    unsent_statuses: &[u16],
) -> Result<Vec<u8>, CallError> {
    let lost = |error: &reqwest::Error| CallError::new(transport_fault(error), endpoint, operation, cause(error));
    let response = request.send().await.map_err(|error| lost(&error))?;
    let status = response.status();
    if status.is_success() {
        return match read(response, ANSWER_LIMIT).await {
            Ok(Read::Whole(answer)) => Ok(answer),
            Ok(Read::Cut(_)) => Err(CallError {
                status: Some(status.as_u16()),
                ..CallError::new(Fault::BadAnswer, endpoint, operation, "the answer is larger than 64 MiB")
            }),
            Err(error) => Err(CallError { status: Some(status.as_u16()), ..lost(&error) }),
        };
    }
    Err(refusal(response, status, endpoint, operation, unsent_statuses).await)
}

async fn refusal(
    response: Response,
    status: StatusCode,
    endpoint: Endpoint,
    operation: Operation,
    unsent_statuses: &[u16],
) -> CallError {
    let retry_after = retry_after(response.headers());
    let body = match read(response, ERROR_ANSWER_LIMIT).await {
        Ok(Read::Whole(body) | Read::Cut(body)) => ErrorBody::read(&body),
        // The status has been heard; a lost text changes nothing.
        Err(_) => ErrorBody { text: "the error text was lost".to_owned(), from_engine: false },
    };
    let fault = if unsent_statuses.contains(&status.as_u16()) {
        Fault::Unsent
    } else {
        Fault::of_status(status.as_u16(), body.from_engine)
    };
    let mut error = CallError::new(fault, endpoint, operation, body.text);
    if status.is_redirection() {
        error.message = "a redirect, which is not followed: correct the base URL".to_owned();
    }
    CallError { status: Some(status.as_u16()), retry_after, ..error }
}

enum Read {
    Whole(Vec<u8>),
    /// The body is longer; the rest is dropped with the connection.
    Cut(Vec<u8>),
}

async fn read(mut response: Response, limit: usize) -> Result<Read, reqwest::Error> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut body = Vec::with_capacity(announced.min(limit).min(1024 * 1024));
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            body.extend(chunk.iter().take(limit - body.len()));
            return Ok(Read::Cut(body));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Read::Whole(body))
}

/// Connecting comes first: a connection that timed out while being made has sent nothing. Whatever is not
/// known to have happened before sending counts as lost after it.
fn transport_fault(error: &reqwest::Error) -> Fault {
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
fn cause(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else {
        return "the request failed without a stated cause".to_owned();
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cut(&cause.to_string())
}
