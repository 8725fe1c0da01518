//! The log on Fluvio: one topic, its partitions, any number of processes.
//!
//! Knows how appends become durable, how readers share connections, and what to say when the cluster
//! is not as expected. What Fluvio promises less of than Concord needs is made good in `follow` (no gap, no
//! standing still), `stream` (no skipping), `connect` (no waiting). Does not know what a record means.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fluvio::config::{TlsPaths, TlsPolicy};
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::{RawRecords, RecordSet};
use fluvio::{FluvioClusterConfig, Isolation};
use fluvio_spu_schema::produce::{DefaultPartitionRequest, DefaultProduceRequest, DefaultTopicRequest};

use self::broker::NoAnswer;
use self::cluster::{Cluster, Lane};
use self::connect::Connector;
use self::follow::{Cursor, Source, Trouble};
use self::stream::{BrokerStream, PartitionSource};
use super::{Identity, Log, LogError, NewRecord, Offset, Partition, Record};
use crate::config::{FluvioPlace as Place, FluvioTls as Tls};

mod admin;
mod broker;
mod cluster;
mod connect;
mod follow;
mod stream;
mod wire;

#[cfg(test)]
mod tests;

pub use admin::{Description, NewTopic, PartitionDescription, create, describe};

/// Bytes per fetch. Batches that are larger are fetched with more.
const FETCH: u32 = 1 << 20;
/// Bytes per request to append; an append within it stands together.
const REQUEST: usize = 16 << 20;
/// What the broker takes as one record, its batch included: see [`OpenOptions::max_record_bytes`].
const LARGEST: usize = 33_000_000;
/// For the replicas to have what was appended, as the broker waits for them.
const REPLICATED: Duration = Duration::from_secs(5);
/// For the broker's answer to an append.
const APPENDED: Duration = Duration::from_secs(10);
/// Places per partition that are kept open for the next read to go on from.
const OPEN_PLACES: usize = 3;
/// Attempts at the bounds before the log counts as away.
const ATTEMPTS: u32 = 3;

/// How to open the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    pub place: Place,
    pub topic: String,
    /// What the topic has to have; `None` takes what it has.
    pub partitions: Option<u32>,
    /// The limit of a record's key and value together; with room for copies of the largest record
    /// (see [`crate::event::wrapped_bytes`]). At most about 33 MB, which is what brokers take.
    pub max_record_bytes: usize,
}

/// Why a log on Fluvio could not be opened, made or described, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "Fluvio at {endpoint} cannot be reached: {why}; check log.endpoint (or the profile) and that the cluster is up"
    )]
    Unreachable { endpoint: String, why: String },
    #[error("Fluvio at {endpoint} refuses: {why}; check the rights of this client on the cluster")]
    Refused { endpoint: String, why: String },
    #[error(
        "there is no topic {topic} on Fluvio at {endpoint}, or this client may not see it: \
         `concord log create -c FILE` makes it; else check log.topic and the client's rights"
    )]
    NoTopic { topic: String, endpoint: String },
    #[error("topic {topic} exists already; `concord log describe -c FILE` shows it")]
    Exists { topic: String },
    #[error(
        "topic {topic} has {ready} of {wanted} partitions so far; try again, and look whether enough brokers (SPUs) are up"
    )]
    NotReady { topic: String, ready: usize, wanted: u32 },
    #[error("{0}")]
    OtherPartitionCount(String),
    #[error("Fluvio's profile {}: {why}; set log.endpoint, or write the profile with `fluvio profile`", name.as_deref().unwrap_or("(current)"))]
    Profile { name: Option<String>, why: String },
    #[error("TLS for Fluvio: {why}; check the files that log.tls or the profile names")]
    Tls { why: String },
    #[error("{0}")]
    Unfit(String),
}

/// What is wrong with a topic that has another number of partitions, and what to do.
fn other_count(topic: &str, wanted: u32, has: u32) -> String {
    format!(
        "topic {topic} has {has} partitions, expected are {wanted}. Properties live on partitions by their number, so \
         it cannot change under a pipeline: set log.partitions = {has} if that is right for a new pipeline, else point \
         log.topic to a topic with {wanted} partitions"
    )
}

/// Finds the cluster.
fn cluster_config(place: &Place) -> Result<FluvioClusterConfig, OpenError> {
    match place {
        Place::Endpoint { address, tls } => {
            let config = FluvioClusterConfig::new(address);
            Ok(match tls {
                None => config,
                Some(Tls { domain, ca_cert, cert, key }) => config.with_tls(TlsPolicy::from(TlsPaths {
                    domain: domain.clone(),
                    ca_cert: ca_cert.clone(),
                    cert: cert.clone(),
                    key: key.clone(),
                })),
            })
        }
        Place::Profile(name) => {
            let bad = |why: String| OpenError::Profile { name: name.clone(), why };
            match name {
                None => FluvioClusterConfig::load().map_err(|error| bad(error.to_string())),
                Some(wanted) => FluvioClusterConfig::load_with_profile(wanted)
                    .map_err(|error| bad(error.to_string()))?
                    .ok_or_else(|| bad("there is none of this name".into())),
            }
        }
    }
}

/// A topic on a Fluvio cluster.
pub struct FluvioLog {
    identity: Identity,
    limit: usize,
    cluster: Arc<Cluster>,
    partitions: Vec<PartitionState>,
}

#[derive(Default)]
struct PartitionState {
    /// Places that nobody reads from at the moment; the last one was used last.
    places: Mutex<Vec<Cursor<BrokerStream>>>,
    /// Held while an append is under way: the next one waits for its answer, so order is kept.
    appending: tokio::sync::Mutex<()>,
}

impl FluvioLog {
    /// Opens the topic; needs the controller, not the brokers. Takes some milliseconds; gives up after
    /// 10 seconds.
    pub async fn open(options: &OpenOptions) -> Result<FluvioLog, OpenError> {
        let config = cluster_config(&options.place)?;
        let connector = Connector::new(&config)?;
        let topic = cluster::topic(&config, &connector, &options.topic).await?;
        admin::fits(&options.topic, &topic.spec)?;
        let partitions = topic.spec.partitions();
        if options.partitions.is_some_and(|wanted| wanted != partitions) {
            let wanted = options.partitions.unwrap_or(0);
            return Err(OpenError::OtherPartitionCount(other_count(&options.topic, wanted, partitions)));
        }
        let cluster = Cluster::new(config, connector, options.topic.clone(), &topic);
        Ok(FluvioLog {
            // Fluvio gives a topic no identity of its own: see `Record::fingerprint` for how another one is noticed.
            identity: Identity { id: format!("fluvio topic {}", options.topic), partitions },
            limit: options.max_record_bytes.min(LARGEST),
            cluster: Arc::new(cluster),
            partitions: (0..partitions).map(|_| PartitionState::default()).collect(),
        })
    }

    fn partition(&self, partition: Partition) -> Result<&PartitionState, LogError> {
        self.partitions.get(partition as usize).ok_or(LogError::NoPartition(partition))
    }

    /// One request; the first record's offset.
    async fn produce(&self, partition: Partition, records: RecordSet<RawRecords>) -> Result<Offset, LogError> {
        let topic = &self.cluster.topic;
        let broker = self.cluster.lane(partition, Lane::append(partition)).await.map_err(nothing_appended)?;
        let mut request = DefaultProduceRequest {
            isolation: Isolation::ReadCommitted,
            timeout: REPLICATED,
            ..DefaultProduceRequest::default()
        };
        let mut of_topic = DefaultTopicRequest { name: topic.clone(), ..Default::default() };
        of_topic.partitions.push(DefaultPartitionRequest { partition_index: partition, records });
        request.topics.push(of_topic);
        let answer = match broker.ask(request, APPENDED).await {
            Ok(answer) => answer,
            Err(no_answer) => {
                self.cluster.give_up(&broker).await;
                return Err(match no_answer {
                    NoAnswer::NotSent(why) => LogError::Unavailable(why),
                    NoAnswer::Unknown(why) => LogError::Unknown { partition, why },
                });
            }
        };
        let answer = answer.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let Some(answer) = answer else {
            let why = format!("the broker at {} answered without the partition", broker.address);
            return Err(LogError::Unknown { partition, why });
        };
        match answer.error_code {
            ErrorCode::None => Offset::try_from(answer.base_offset).map_err(|_| {
                let why = format!("the broker at {} gave the offset {}", broker.address, answer.base_offset);
                LogError::Unknown { partition, why }
            }),
            // The leader has it; whether it stays depends on the replicas.
            code @ ErrorCode::RequestTimedOut { .. } => {
                Err(LogError::Unknown { partition, why: format!("its replicas are behind: {code}") })
            }
            ErrorCode::MessageTooLarge => Err(LogError::Failed(format!(
                "topic {topic} takes no records of this size: raise its segment size, or lower log.max_record_bytes"
            ))),
            ErrorCode::StorageError => {
                Err(LogError::Unknown { partition, why: format!("the broker at {} failed to write", broker.address) })
            }
            code => {
                self.cluster.forget_leaders().await;
                Err(nothing_appended(cluster::refusal(topic, partition, &code)))
            }
        }
    }

    /// A place at `from`: one that is open there already, or a new one.
    fn take_place(&self, state: &PartitionState, partition: Partition, from: Offset) -> Cursor<BrokerStream> {
        let mut places = state.places.lock().unwrap_or_else(PoisonError::into_inner);
        match places.iter().position(|place| place.at() == from) {
            Some(index) => places.remove(index),
            None => Cursor::new(partition, from, FETCH),
        }
    }
}

fn nothing_appended(trouble: Trouble) -> LogError {
    match trouble {
        Trouble::Away(why) => LogError::Unavailable(why),
        Trouble::Final(error) => error,
    }
}

/// A place in use; goes back however the read ends.
struct InUse<'a> {
    place: Option<Cursor<BrokerStream>>,
    state: &'a PartitionState,
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let mut places = self.state.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.push(place);
        if places.len() > OPEN_PLACES {
            places.remove(0);
        }
    }
}

impl Log for FluvioLog {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// As promised, with one restriction: an append of more than 16 MiB takes several requests, and another producer's
    /// records may come in between.
    async fn append(&self, partition: Partition, records: Vec<NewRecord>) -> Result<Offset, LogError> {
        let state = self.partition(partition)?;
        if let Some(size) = records.iter().map(wire::size).find(|size| *size > self.limit) {
            return Err(LogError::TooLarge { size, limit: self.limit });
        }
        if records.is_empty() {
            return Ok(self.bounds(partition).await?.1);
        }
        let _turn = state.appending.lock().await;
        let (mut first, mut rest) = (None, records.into_iter().peekable());
        while rest.peek().is_some() {
            let (mut request, mut bytes) = (Vec::new(), 0);
            while let Some(record) = rest.next_if(|record| request.is_empty() || bytes + wire::size(record) <= REQUEST)
            {
                bytes += wire::size(&record);
                request.push(record);
            }
            let offset = self.produce(partition, wire::encode(request)?).await?;
            first.get_or_insert(offset);
        }
        Ok(first.unwrap_or(0))
    }

    async fn bounds(&self, partition: Partition) -> Result<(Offset, Offset), LogError> {
        self.partition(partition)?;
        let source = PartitionSource { cluster: &self.cluster, partition };
        for _ in 1..ATTEMPTS {
            match source.bounds().await {
                Ok(bounds) => return Ok(bounds),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Away(why)) => tracing::debug!(partition, "asking for the bounds again: {why}"),
            }
        }
        source.bounds().await.map_err(nothing_appended)
    }

    /// As promised; while the broker is away it waits, and says so every now and then.
    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, LogError> {
        let state = self.partition(partition)?;
        let source = PartitionSource { cluster: &self.cluster, partition };
        let mut place = InUse { place: Some(self.take_place(state, partition, from)), state };
        let Some(cursor) = &mut place.place else { return Ok(Vec::new()) };
        let read = cursor.read(&source, max_records, max_bytes).await;
        if read.is_err() {
            // Whoever tries again begins anew.
            place.place = None;
        }
        read
    }

    /// The topic's own retention decides.
    async fn retain(&self, _partition: Partition, _first: Offset) -> Result<(), LogError> {
        Ok(())
    }
}
