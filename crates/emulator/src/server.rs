//! The listener: serves connections, closes them without an answer where a fault says so, and can be down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::StreamExt;
use futures::stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::fate::{CutAnswer, DropConnection};

/// Longest request body; the real engine showed no limit below this.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Wait before the port is tried again when something else holds it.
const REBIND_PAUSE: Duration = Duration::from_millis(20);

/// Whether connections are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// Connections are served.
    Up,
    /// Connections are taken and closed at once.
    Closing,
    /// Nothing listens: connections are refused.
    Refusing,
}

/// Opens and closes the door.
#[derive(Debug, Clone)]
pub(crate) struct Gatekeeper {
    wanted: Arc<watch::Sender<Availability>>,
    /// What the listener has carried out.
    reached: Arc<watch::Sender<Availability>>,
}

impl Gatekeeper {
    pub(crate) fn new() -> Self {
        Self {
            wanted: Arc::new(watch::Sender::new(Availability::Up)),
            reached: Arc::new(watch::Sender::new(Availability::Up)),
        }
    }

    pub(crate) fn set(&self, availability: Availability) {
        self.wanted.send_replace(availability);
    }

    pub(crate) fn current(&self) -> Availability {
        *self.wanted.borrow()
    }

    /// Returns once this is wanted.
    pub(crate) async fn until(&self, availability: Availability) {
        // An error means that nobody will want anything any more.
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted == availability).await;
    }

    /// Returns once the listener is in this state.
    pub(crate) async fn reached(&self, availability: Availability) {
        // An error means that the listener is gone, and then there is nothing to wait for.
        let _ = self.reached.subscribe().wait_for(|reached| *reached == availability).await;
    }
}

/// Serves until the task is ended.
pub(crate) async fn serve(
    mut listener: Option<TcpListener>,
    address: SocketAddr,
    router: Router,
    gatekeeper: Gatekeeper,
) {
    let mut wanted = gatekeeper.wanted.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let availability = *wanted.borrow_and_update();
        match availability {
            Availability::Up => listener = bound(listener, address).await,
            Availability::Closing => {
                connections.abort_all();
                listener = bound(listener, address).await;
            }
            Availability::Refusing => {
                connections.abort_all();
                listener = None;
            }
        }
        gatekeeper.reached.send_replace(availability);
        let changed = loop {
            tokio::select! {
                changed = wanted.changed() => break changed,
                stream = accept(listener.as_ref()) => {
                    if availability == Availability::Up {
                        connections.spawn(connection(stream, router.clone()));
                    }
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        };
        if changed.is_err() {
            return;
        }
    }
}

async fn bound(listener: Option<TcpListener>, address: SocketAddr) -> Option<TcpListener> {
    if listener.is_some() {
        return listener;
    }
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Some(listener),
            Err(error) => {
                tracing::warn!(%address, %error, "the emulator cannot open its port again yet");
                tokio::time::sleep(REBIND_PAUSE).await;
            }
        }
    }
}

/// The next connection; never, while nothing listens.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client was gone before it was accepted, or descriptors ran out; both pass.
            Err(error) => {
                tracing::debug!(%error, "accepting a connection failed");
                tokio::time::sleep(REBIND_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let service = service_fn(move |request| respond(request, router.clone()));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Why a connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("a fault asks for no answer")]
    Dropped,
    #[error("the request did not arrive whole")]
    Incomplete,
    #[error("the request's task ended early")]
    Lost,
}

/// A request that arrived whole takes effect even when its client is gone, as in the real engine: it runs in a task of
/// its own, which the end of the connection does not touch.
async fn respond(request: Request<Incoming>, router: Router) -> Result<Response<Body>, Closed> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let mut response = Response::new(Body::from("request entity too large"));
            *response.status_mut() = hyper::StatusCode::PAYLOAD_TOO_LARGE;
            return Ok(response);
        }
        Err(_) => return Err(Closed::Incomplete),
    };
    let request = Request::from_parts(parts, Body::from(body));
    let response = tokio::spawn(router.oneshot(request)).await.map_err(|_| Closed::Lost)?;
    let response = response.unwrap_or_else(|never| match never {});
    if response.extensions().get::<DropConnection>().is_some() {
        return Err(Closed::Dropped);
    }
    if response.extensions().get::<CutAnswer>().is_some() {
        return Ok(cut(response).await);
    }
    Ok(response)
}

/// Promises the whole body, gives half of it, and fails: the connection closes.
async fn cut(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    parts.headers.insert(CONTENT_LENGTH, whole.len().into());
    let half = whole.slice(..whole.len() / 2);
    let end = async {
        // While the body waits, what is written so far is sent.
        tokio::task::yield_now().await;
        Err(Closed::Dropped)
    };
    let rest = stream::iter([Ok(half)]).chain(stream::once(end));
    Response::from_parts(parts, Body::from_stream(rest))
}
