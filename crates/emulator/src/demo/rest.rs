//! A small REST client: one connection per request, JSON both ways.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::DeskError;

/// Gets a page as text.
///
/// # Errors
/// There is no answer, or one that tells of a failure.
pub async fn fetch(url: &str) -> Result<String, DeskError> {
    let bytes = send(Method::GET, url, None, None).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One request, and its answer as JSON; null where the answer has no body.
pub(super) async fn call(
    method: Method,
    url: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Result<Value, DeskError> {
    let what = format!("{method} {url}");
    let bytes = send(method, url, token, body).await?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|error| DeskError { what, problem: format!("answered no JSON: {error}") })
}

async fn send(method: Method, url: &str, token: Option<&str>, body: Option<Value>) -> Result<Bytes, DeskError> {
    let what = format!("{method} {url}");
    let failed = |problem: String| DeskError { what: what.clone(), problem };
    let rest = url.strip_prefix("http://").ok_or_else(|| failed("is no http:// address".to_owned()))?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = request.body(Full::new(bytes)).map_err(|error| failed(error.to_string()))?;

    let stream = TcpStream::connect(host).await.map_err(|error| failed(error.to_string()))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(error.to_string()))?;
    // Ends with the sender; what goes wrong on the way is told by `send_request`.
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await.map_err(|error| failed(error.to_string()))?.to_bytes();
    driver.abort();
    if !status.is_success() {
        return Err(failed(format!("answered {status}: {}", String::from_utf8_lossy(&bytes))));
    }
    Ok(bytes)
}
