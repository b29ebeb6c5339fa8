//! In front of a real engine: requests go on to it, and faults meet them on the way there and back.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::gate::{self, Operation};
use super::{Service, control_routes};
use crate::faults::Mount;

/// Below the context path of open-source Flowable: method, path, and the operation's name. `*` is one segment.
const OPERATIONS: [(&str, &str, &str, Mount); 9] = [
    ("POST", "runtime/process-instances", "start", Mount::Runtime),
    ("GET", "runtime/process-instances", "list-instances", Mount::Runtime),
    ("DELETE", "runtime/process-instances/*", "terminate", Mount::Runtime),
    ("GET", "runtime/executions", "list-executions", Mount::Runtime),
    ("PUT", "runtime/executions/*", "deliver", Mount::Runtime),
    ("GET", "history/historic-process-instances", "list-history", Mount::History),
    ("GET", "history/historic-task-instances", "list-task-history", Mount::History),
    ("POST", "acquire/jobs", "acquire", Mount::Jobs),
    ("POST", "acquire/jobs/*/complete", "complete-job", Mount::Jobs),
];
/// Everything else; rules that name no operation meet it.
const OTHER: (&str, Mount) = ("other", Mount::Runtime);

/// Sends everything on, and answers the test controls itself.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    let names = OPERATIONS.iter().map(|(_, _, name, _)| *name).chain([OTHER.0]).collect();
    let _ = service.operations.set(names);
    let onward = any(forward).layer(from_fn_with_state(service.clone(), pass));
    Router::new().merge(control_routes()).route("/{*path}", onward).with_state(service.clone())
}

async fn pass(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let (name, mount) = named(request.method(), request.uri().path());
    gate::pass(State(Operation { name, mount, service }), request, next).await
}

fn named(method: &Method, path: &str) -> (&'static str, Mount) {
    // The first segment is the context path.
    let segments: Vec<&str> = path.split('/').skip(2).collect();
    let meant = |pattern: &str| {
        let pattern: Vec<&str> = pattern.split('/').collect();
        pattern.len() == segments.len() && pattern.iter().zip(&segments).all(|(own, seen)| *own == "*" || own == seen)
    };
    let found = OPERATIONS.iter().find(|(verb, pattern, ..)| *verb == method.as_str() && meant(pattern));
    found.map_or(OTHER, |(_, _, name, mount)| (name, *mount))
}

async fn forward(State(service): State<Arc<Service>>, request: Request) -> Response {
    let Some(upstream) = &service.upstream else { return StatusCode::BAD_GATEWAY.into_response() };
    send(upstream, request).await.unwrap_or_else(|problem| {
        tracing::debug!(%upstream, problem, "the engine behind did not answer");
        (StatusCode::BAD_GATEWAY, problem).into_response()
    })
}

/// One connection per request: what happens to it concerns no other.
async fn send(upstream: &str, request: Request) -> Result<Response, String> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut onward = hyper::Request::builder().method(parts.method).uri(path);
    if let Some(headers) = onward.headers_mut() {
        *headers = end_to_end(parts.headers);
        let host = upstream.parse().map_err(|_| format!("{upstream} is no host"))?;
        headers.insert(header::HOST, host);
    }
    let onward = onward.body(Full::new(body)).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect(upstream).await.map_err(|error| error.to_string())?;
    let shake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shake.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(onward).await.map_err(|error| error.to_string())?;
    let (parts, body) = answer.into_parts();
    let body: Bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    driver.abort();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = parts.status;
    *response.headers_mut() = end_to_end(parts.headers);
    Ok(response)
}

/// Without what concerns one connection only.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::HOST, header::EXPECT] {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_known_by_method_and_path() {
        let named = |method: Method, path| named(&method, path).0;
        assert_eq!(named(Method::POST, "/process-api/runtime/process-instances"), "start");
        assert_eq!(named(Method::GET, "/flowable-rest/runtime/process-instances"), "list-instances");
        assert_eq!(named(Method::PUT, "/process-api/runtime/executions/17"), "deliver");
        assert_eq!(named(Method::POST, "/external-job-api/acquire/jobs/17/complete"), "complete-job");
        assert_eq!(named(Method::POST, "/process-api/runtime/process-instances/17"), "other");
    }
}
