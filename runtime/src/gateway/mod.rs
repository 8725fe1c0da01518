//! Webhooks: deliveries over HTTP, each answered when it is durable in the log.
//!
//! ```text
//! connection (server, tls) -> head (auth) -> body -> signature (auth) -> rate -> unpack, split (desk) -> append -> document (reply)
//! ```
//!
//! One path per source. Knows HTTP, how senders show who they are and what they want to hear. Does not know formats of
//! messages, beyond the documents that answer them, nor what becomes of records. A redelivery does no harm: the record has the
//! sender's delivery id, or its content's hash.

mod auth;
mod counts;
mod intake;
mod metrics;
mod rate;
mod reply;
mod server;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use counts::Counts;
pub use tls::TlsError;

use crate::config::Gateway as Settings;
use crate::connect::{Pulse, SecretError};
use crate::log::Log;
use crate::plugin::Host;
use crate::worker::InForce;
use intake::Intake;
use tls::Tls;

/// Why the gateway cannot open, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("source {name}: {why}")]
    Secret { name: Arc<str>, why: SecretError },
    #[error("gateway: {0}")]
    Tls(#[from] TlsError),
    #[error("{setting}: nobody can listen at {address}: {why}")]
    Listen { setting: &'static str, address: SocketAddr, why: std::io::Error },
}

/// An open gateway; dropping it ends it at once.
pub struct Gateway<L> {
    intake: Arc<Intake<L>>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    /// Where it says what became of deliveries, and the task that does.
    metrics: Option<(SocketAddr, JoinHandle<()>)>,
}

impl<L: Log> Gateway<L> {
    /// Reads secrets and certificate, listens, and serves. Deliveries are taken as soon as a configuration is in force.
    ///
    /// # Errors
    /// Whatever keeps it from serving any of its sources.
    pub async fn open(
        settings: &Settings,
        log: Arc<L>,
        host: &Host,
        in_force: watch::Receiver<Option<Arc<InForce>>>,
    ) -> Result<Gateway<L>, OpenError> {
        let intake =
            Intake::new(settings, log, host, &in_force).map_err(|(name, why)| OpenError::Secret { name, why })?;
        let intake = Arc::new(intake);
        let tls = settings.tls.as_ref().map(Tls::read).transpose()?.map(Arc::new);
        let (listener, address) = listen(settings.listen, "gateway.listen").await?;
        let metrics = match settings.metrics {
            None => None,
            Some(address) => {
                let (listener, address) = listen(address, "gateway.metrics").await?;
                Some((address, tokio::spawn(metrics::serve(intake.clone(), listener))))
            }
        };
        let (stop, stopped) = watch::channel(false);
        intake.pulses().iter().for_each(|pulse| pulse.alive(true));
        let serving = tokio::spawn(server::serve(intake.clone(), listener, tls, settings.limits, stopped));
        Ok(Gateway { intake, address, stop, serving, metrics })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers `/metrics`.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(address, _)| *address)
    }

    /// Of each source's door.
    pub fn pulses(&self) -> Vec<Arc<Pulse>> {
        self.intake.pulses()
    }

    /// What became of deliveries, by source.
    pub fn counts(&self) -> impl Iterator<Item = (&str, &Counts)> {
        self.intake.counts()
    }

    /// Takes no more requests, and waits for those that are being answered.
    pub async fn close(mut self) {
        // Nobody listens any more only if it has ended by itself.
        let _ = self.stop.send(true);
        if let Err(error) = (&mut self.serving).await {
            tracing::error!("the gateway ended before its time: {error}");
        }
    }
}

impl<L> Drop for Gateway<L> {
    fn drop(&mut self) {
        self.serving.abort();
        if let Some((_, serving)) = &self.metrics {
            serving.abort();
        }
    }
}

async fn listen(address: SocketAddr, setting: &'static str) -> Result<(TcpListener, SocketAddr), OpenError> {
    let failed = |why| OpenError::Listen { setting, address, why };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
