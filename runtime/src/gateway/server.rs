//! Connections: how many, how long a head may take and how large it may be, TLS, and a clean end.
//!
//! HTTP/1.1. Knows nothing of what is asked.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::intake::Intake;
use super::tls::Tls;
use crate::config::GatewayLimits;
use crate::log::Log;

/// Of a request's head, in bytes.
const HEAD_BYTES: usize = 32 << 10;
/// Headers of a request.
const HEADERS: usize = 100;
/// How often secrets and certificates are read again.
const AGAIN: Duration = Duration::from_secs(60);
/// What a connection in the middle of a request gets at the end.
const GRACE: Duration = Duration::from_secs(10);
/// Before accepting again when that failed: out of file descriptors, usually.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until told to stop, then until all connections have ended or had their grace.
pub async fn serve<L: Log>(
    intake: Arc<Intake<L>>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: GatewayLimits,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut again = interval(AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    again.reset();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            // Whoever finds no place waits in the system's queue.
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            _ = again.tick() => {
                read_again(&intake, tls.as_deref());
                continue;
            }
            () = told(&mut stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection cannot be accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (intake, tls, stop) = (intake.clone(), tls.clone(), stop.clone());
        connections.spawn(async move {
            let _place = place;
            connection(intake, stream, tls, limits, stop).await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Waits until told to stop, or until nobody is left to tell.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn read_again<L: Log>(intake: &Intake<L>, tls: Option<&Tls>) {
    intake.secrets_again();
    match tls.map(Tls::again) {
        Some(Ok(true)) => tracing::info!("the gateway has another certificate now"),
        Some(Err(why)) => tracing::warn!("the known certificate goes on: {why}"),
        Some(Ok(false)) | None => {}
    }
}

async fn connection<L: Log>(
    intake: Arc<Intake<L>>,
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    limits: GatewayLimits,
    stop: watch::Receiver<bool>,
) {
    // An answer is small and wanted at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("a connection without TCP_NODELAY: {error}");
    }
    match tls {
        None => requests(intake, stream, limits, stop).await,
        Some(tls) => match timeout(limits.head_time, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => requests(intake, stream, limits, stop).await,
            Ok(Err(error)) => tracing::debug!("no TLS with a client: {error}"),
            Err(_) => tracing::debug!("no TLS with a client: it takes too long"),
        },
    }
}

async fn requests<L, S>(intake: Arc<Intake<L>>, stream: S, limits: GatewayLimits, mut stop: watch::Receiver<bool>)
where
    L: Log,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = service_fn(move |request| {
        let intake = intake.clone();
        async move { Ok::<_, std::convert::Infallible>(intake.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            match timeout(GRACE, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}
