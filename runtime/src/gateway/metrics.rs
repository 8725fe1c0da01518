//! What became of deliveries, for Prometheus and its like: on an address of its own, never the one that senders know.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use tokio::net::TcpListener;

use super::intake::Intake;
use crate::log::Log;

/// Prometheus' text format, version 0.0.4.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// Serves `/metrics` until the future is dropped.
pub async fn serve<L: Log>(intake: Arc<Intake<L>>, listener: TcpListener) {
    let metrics = move || async move { ([(header::CONTENT_TYPE, CONTENT_TYPE)], text(&intake)) };
    if let Err(error) = axum::serve(listener, Router::new().route("/metrics", get(metrics))).await {
        tracing::error!("nobody can ask for metrics any more: {error}");
    }
}

/// Names of sources need no escaping: lower-case letters, digits and `-`.
fn text<L: Log>(intake: &Intake<L>) -> String {
    let mut out = String::from("# TYPE concord_gateway_total counter\n");
    for (source, counts) in intake.counts() {
        for (what, number) in counts.all() {
            // Writing into a string does not fail.
            let _ = writeln!(out, "concord_gateway_total{{source=\"{source}\",what=\"{what}\"}} {number}");
        }
    }
    out
}
