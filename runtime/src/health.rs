//! `/healthz` and `/readyz` for whoever looks after the process from outside: an orchestrator, a load balancer.
//!
//! Says nothing else and takes nothing, so that it may listen where others can reach it. Knows how far the workers are;
//! does not know why.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::log::{Log, Partition};
use crate::worker::Shared;

/// Serves until the future is dropped. Alive is whoever answers: a process whose work has failed ends by itself. Ready
/// is a process all of whose partitions have started: checkpoint read, configuration loaded, owner record written.
pub async fn serve<L: Log>(
    shared: Arc<Shared<L>>,
    partitions: Vec<Partition>,
    address: SocketAddr,
) -> std::io::Result<(SocketAddr, impl Future<Output = ()>)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let ready = move || async move {
        let waits = partitions.iter().filter(|partition| shared.progress(**partition).next().is_none());
        match waits.map(ToString::to_string).collect::<Vec<_>>().join(", ") {
            waits if waits.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
            waits => (StatusCode::SERVICE_UNAVAILABLE, format!("partitions that have not started yet: {waits}\n")),
        }
    };
    let router = Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready));
    let server = async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("nobody can ask for the health any more: {error}");
        }
    };
    Ok((address, server))
}
