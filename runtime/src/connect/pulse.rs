//! Whether connectors are alive and what they hear: noted as it happens, appended as heartbeats now and then.
//!
//! Knows the clock and the log. What a heartbeat consists of, `heartbeat` knows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::event::ControlKey;
use crate::heartbeat::{Connector, Heard, records};
use crate::log::{Log, LogError};
use crate::worker::now_millis;

/// One connector of one source.
#[derive(Debug)]
pub struct Pulse {
    source: Arc<str>,
    /// `webhooks`, `folder`, ...
    kind: &'static str,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    alive: bool,
    heard: Heard,
}

impl Pulse {
    /// Of a connector that does not work yet.
    pub fn new(source: Arc<str>, kind: &'static str) -> Arc<Pulse> {
        Arc::new(Pulse { source, kind, noted: Mutex::default() })
    }

    /// The connector can hear its source from now on, or cannot: while it cannot, it vouches for nothing.
    pub fn alive(&self, alive: bool) {
        self.noted().alive = alive;
    }

    /// These properties' systems have been heard, and what they said is durable.
    pub fn hear(&self, properties: impl IntoIterator<Item = Arc<str>>) {
        let now = now_millis().saturating_mul(1000);
        let mut noted = self.noted();
        properties.into_iter().for_each(|property| noted.heard.note(property, now));
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is to say. `None` while the connector is not alive and has heard nothing.
    fn take(&self) -> Option<Heard> {
        let mut noted = self.noted();
        (noted.alive || !noted.heard.is_empty()).then(|| std::mem::take(&mut noted.heard))
    }

    /// It could not be said: next time, then.
    fn put_back(&self, heard: Heard) {
        self.noted().heard.merge(heard);
    }
}

/// Appends heartbeats of all these connectors, again and again; never returns.
pub async fn beat<L: Log>(log: Arc<L>, key: ControlKey, instance: String, pulses: Vec<Arc<Pulse>>, every: Duration) {
    let mut interval = interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, before anything could have been heard.
    interval.tick().await;
    loop {
        interval.tick().await;
        for pulse in &pulses {
            let Some(heard) = pulse.take() else { continue };
            if let Err(error) = once(&*log, &key, &instance, pulse, &heard).await {
                tracing::warn!(source = %pulse.source, "no heartbeat of {}: {error}", pulse.kind);
                pulse.put_back(heard);
            }
        }
    }
}

/// Why a heartbeat is not in the log.
#[derive(Debug, thiserror::Error)]
enum BeatError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("it cannot be written: {0}")]
    Invalid(#[from] crate::event::Invalid),
}

async fn once<L: Log>(
    log: &L,
    key: &ControlKey,
    instance: &str,
    pulse: &Pulse,
    heard: &Heard,
) -> Result<(), BeatError> {
    let name = format!("{}@{instance}", pulse.kind);
    let partitions = log.identity().partitions;
    let connector = Connector { source: &pulse.source, name: &name, key, partitions };
    let mut gathered = super::Gathered::default();
    for (partition, record) in records(connector, heard, now_millis().saturating_mul(1000))? {
        gathered.add(partition, record);
    }
    Ok(gathered.append(log).await?)
}
