//! What brings deliveries in while `concord run` is up: webhooks, folders, endpoints; and the heartbeats of all of them and
//! of captured databases.
//!
//! Does not know what they do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;

use crate::config::PipelineFile;
use crate::connect::{Connectors, Place, Pulse, beat};
use crate::gateway::Gateway;
use crate::log::Log;
use crate::worker::Shared;
use crate::worker::share::Share;

/// How often connectors say that they are alive.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// All of them, open.
pub struct Inlets<L> {
    gateway: Option<Gateway<L>>,
    connectors: Connectors,
    heart: JoinHandle<()>,
}

impl<L: Log> Inlets<L> {
    /// Opens what the file names. A gateway may stand on every worker; folders and endpoints are one worker's, that of
    /// partition 0: two would take everything twice. `captures` are further connectors whose heartbeats go with theirs.
    pub async fn open(
        file: &PipelineFile,
        shared: &Arc<Shared<L>>,
        share: Share,
        captures: Vec<Arc<Pulse>>,
    ) -> Result<Inlets<L>> {
        let gateway = match &file.gateway {
            None => None,
            Some(settings) => {
                let gateway = Gateway::open(settings, shared.log.clone(), &shared.host, shared.in_force()).await?;
                let scheme = if settings.tls.is_some() { "https" } else { "http" };
                tracing::info!("webhooks at {scheme}://{}", gateway.address());
                Some(gateway)
            }
        };
        let place = Place {
            log: shared.log.clone(),
            host: &shared.host,
            in_force: shared.in_force(),
            data_dir: &file.data_dir,
        };
        let sources = if share.has(0) { file.sources.as_slice() } else { &[] };
        let connectors = Connectors::open(sources, &place)?;
        let mut pulses = captures;
        pulses.extend(connectors.pulses());
        pulses.extend(gateway.iter().flat_map(Gateway::pulses));
        let beating = beat(shared.log.clone(), shared.key.clone(), shared.instance.clone(), pulses, HEARTBEAT);
        Ok(Inlets { gateway, connectors, heart: tokio::spawn(beating) })
    }

    /// Takes nothing more, and waits for what was begun.
    pub async fn close(self) {
        self.connectors.close().await;
        if let Some(gateway) = self.gateway {
            gateway.close().await;
        }
        self.heart.abort();
    }
}
