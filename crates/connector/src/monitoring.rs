//! The page that Prometheus and the orchestrator read: `/metrics`, `/healthz`, `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use consumer_engine::Status;
use flow_core::EndpointId;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What the page shows.
pub(crate) struct Monitoring {
    /// Every metric of the process.
    pub registry: Registry,
    /// Each flow's state.
    pub flows: Vec<(Arc<str>, watch::Receiver<Status>)>,
}

/// Opens the port, so that a taken port stops the start and not the running.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn listen(table: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("[{table}] listen: {address} cannot be bound; choose another port, or 0 for a free one")
    })
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, monitoring: Monitoring) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Arc::new(monitoring));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the monitoring page ended");
    }
}

async fn metrics(State(monitoring): State<Arc<Monitoring>>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &monitoring.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            Ok(([(header::CONTENT_TYPE, kind)], text))
        }
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics cannot be written: {error}\n"))),
    }
}

/// Ready: every flow holds partitions, or is at least up to be given some, its gate is open, and it waits for no operator.
async fn ready(State(monitoring): State<Arc<Monitoring>>) -> impl IntoResponse {
    let mut lines = String::new();
    let mut all = true;
    for (flow, status) in &monitoring.flows {
        let status = status.borrow();
        let open = status.is_open(EndpointId::ENGINE);
        all &= open && status.misfit.is_none() && status.awaiting_word == 0;
        let gate = match (open, status.storm) {
            (false, _) => "paused: the engine is not well, see the log",
            // Ready all the same: what mends it may be the next version, which must not wait for this one.
            (true, true) => "paused by the storm guard: bad records pile up, see the log",
            (true, false) => "the engine is well",
        };
        lines.push_str(&format!("{flow}: {} partitions, {gate}", status.partitions.len()));
        if let Some(counts) = &status.misfit {
            lines.push_str(&format!("; halted: its topics differ in partition count, {counts}"));
        }
        if status.paused {
            lines.push_str("; paused by an operator");
        }
        if status.paused_keys > 0 {
            lines.push_str(&format!("; {} keys paused by an operator", status.paused_keys));
        }
        if status.awaiting_word > 0 {
            lines.push_str(&format!("; {} partitions wait for a loss to be accepted", status.awaiting_word));
        }
        lines.push('\n');
    }
    (if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, lines)
}
