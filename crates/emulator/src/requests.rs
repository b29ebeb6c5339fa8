//! Sends what HTTP tasks want to be sent. One connection for each, plain HTTP; a redirect is an answer like any other.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::engine::Outgoing;
use crate::http::Service;

/// Sends requests as long as it lives; those under way end with it.
pub(crate) async fn make_requests(service: Arc<Service>) {
    let bell = service.engine().0.bell();
    let mut under_way = JoinSet::new();
    loop {
        let wait = {
            let (mut engine, now) = service.engine();
            let (outgoing, next) = engine.take_outgoing();
            for request in outgoing {
                under_way.spawn(make(service.clone(), request));
            }
            next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default())
        };
        // Nobody is interested in those that are over.
        while under_way.try_join_next().is_some() {}
        match wait {
            Some(wait) => {
                // Either way there may be something to send.
                let _ = tokio::time::timeout(wait, bell.notified()).await;
            }
            None => bell.notified().await,
        }
    }
}

async fn make(service: Arc<Service>, request: Outgoing) {
    let (instance, id) = (request.instance, request.request.clone());
    let answer = match tokio::time::timeout(request.timeout, send(request)).await {
        Ok(answer) => answer,
        Err(_) => Err("no answer in time".to_owned()),
    };
    let (mut engine, now) = service.engine();
    engine.answered(instance, &id, answer, now);
}

/// The status of the answer.
async fn send(request: Outgoing) -> Result<u16, String> {
    let Outgoing { method, url, headers, body, .. } = request;
    let rest = url.strip_prefix("http://").ok_or("only http:// is spoken here")?;
    let (host, path) = rest.find(['/', '?']).map_or((rest, "/"), |end| rest.split_at(end));
    let mut wanted = hyper::Request::builder().method(method.as_str()).uri(path).header(HOST, host);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str())) && !body.is_empty() {
        wanted = wanted.header(CONTENT_TYPE, "text/plain; charset=UTF-8");
    }
    for (name, value) in &headers {
        wanted = wanted.header(name, value);
    }
    let wanted = wanted.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    // It ends with the answer; what goes wrong on the way is told by `send_request`.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = sender.send_request(wanted).await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await.map_err(|error| error.to_string())?;
    Ok(status)
}
