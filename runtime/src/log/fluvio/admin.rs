//! Making and describing topics.
//!
//! Knows what a topic has to be for Concord: uncompressed or any compression, no deduplication by somebody
//! else's rules, no mirror. Does not know records.

use std::time::Duration;

use fluvio_sc_schema::topic::{
    CleanupPolicy, CompressionAlgorithm, ReplicaSpec, SegmentBasedPolicy, TopicReplicaParam, TopicSpec,
};
use serde::Serialize;

use super::cluster::{self, Controller};
use super::connect::Connector;
use super::follow::Source;
use super::stream::PartitionSource;
use super::{OpenError, cluster_config};
use crate::config::FluvioPlace as Place;
use crate::log::{Offset, Partition};

/// How often, and how many times, is looked whether a new topic is ready. A controller that has missed the moment
/// looks again after a minute.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 900;

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// 1 to 1,024.
    pub partitions: u32,
    /// Copies of every record, on as many brokers; 1 to 16.
    pub replication: u32,
    /// Seconds that records are kept at least; `None` leaves it to the cluster (7 days).
    pub retention: Option<u32>,
}

/// A topic as it is.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    pub topic: String,
    pub endpoint: String,
    pub partitions: Vec<PartitionDescription>,
    pub compression: String,
    /// Seconds that records are kept.
    pub retention: u32,
}

/// One partition.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionDescription {
    pub partition: Partition,
    /// Number of the broker that leads it.
    pub leader: i32,
    /// Numbers of the brokers that have it.
    pub replicas: Vec<i32>,
    pub online: bool,
    /// Absent while its broker is away.
    pub first: Option<Offset>,
    pub end: Option<Offset>,
}

/// Whether Concord can use a topic like this.
pub(super) fn fits(name: &str, spec: &TopicSpec) -> Result<(), OpenError> {
    let unfit = |why: &str| Err(OpenError::Unfit(format!("topic {name} {why}")));
    if matches!(spec.replicas(), ReplicaSpec::Mirror(_)) {
        return unfit("is a mirror of another cluster's: use the topic that it mirrors");
    }
    if spec.get_deduplication().is_some() {
        return unfit(
            "drops records by a deduplication of its own: create one without; Concord recognizes duplicates itself",
        );
    }
    if !matches!(spec.get_compression_type(), CompressionAlgorithm::Any | CompressionAlgorithm::None) {
        return unfit("takes only compressed records: create one with compression `any` or `none`");
    }
    Ok(())
}

/// Makes a topic and waits until its partitions have leaders.
pub async fn create(place: &Place, new: &NewTopic) -> Result<(), OpenError> {
    let config = cluster_config(place)?;
    let connector = Connector::new(&config)?;
    match cluster::topic(&config, &connector, &new.name).await {
        Err(OpenError::NoTopic { .. }) => {}
        Ok(_) | Err(OpenError::NotReady { .. }) => return Err(OpenError::Exists { topic: new.name.clone() }),
        Err(error) => return Err(error),
    }
    let computed = TopicReplicaParam::new(new.partitions, new.replication, false);
    let mut spec = TopicSpec::from(ReplicaSpec::Computed(computed));
    if let Some(time_in_seconds) = new.retention {
        spec.set_cleanup_policy(CleanupPolicy::Segment(SegmentBasedPolicy { time_in_seconds }));
    }
    let said = Controller::connect(&config, &connector).await?.create(&new.name, spec).await?;
    if !said {
        tracing::debug!(topic = new.name, "the controller does not say whether the topic is made: looking");
    }
    let mut tried = 0;
    loop {
        let error = match cluster::topic(&config, &connector, &new.name).await {
            Ok(topic) if topic.online.iter().all(|online| *online) => return Ok(()),
            Ok(topic) => OpenError::NotReady {
                topic: new.name.clone(),
                ready: topic.online.iter().filter(|online| **online).count(),
                wanted: new.partitions,
            },
            Err(error) => error,
        };
        tried += 1;
        if tried == LOOKS {
            return Err(error);
        }
        if tried == LOOKS / 30 {
            tracing::info!(
                "waiting for the cluster to place the partitions; it may need a minute to look at them again"
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Looks at a topic.
pub async fn describe(place: &Place, name: &str) -> Result<Description, OpenError> {
    let config = cluster_config(place)?;
    let connector = Connector::new(&config)?;
    let topic = cluster::topic(&config, &connector, name).await?;
    let endpoint = config.endpoint.clone();
    let cluster = cluster::Cluster::new(config, connector, name.to_owned(), &topic);
    let cluster = std::sync::Arc::new(cluster);
    let mut partitions = Vec::new();
    for ((partition, spec), online) in (0..).zip(&topic.partitions).zip(&topic.online) {
        let bounds = if *online { PartitionSource { cluster: &cluster, partition }.bounds().await.ok() } else { None };
        partitions.push(PartitionDescription {
            partition,
            leader: spec.leader,
            replicas: spec.replicas.clone(),
            online: *online,
            first: bounds.map(|(first, _)| first),
            end: bounds.map(|(_, end)| end),
        });
    }
    Ok(Description {
        topic: name.to_owned(),
        endpoint,
        partitions,
        compression: topic.spec.get_compression_type().to_string(),
        retention: topic.spec.retention_secs(),
    })
}
