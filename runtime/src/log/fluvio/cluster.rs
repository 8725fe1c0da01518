//! The cluster: which broker leads which partition, and connections to brokers.
//!
//! The controller (SC) is asked when something has to be known, and not kept: brokers (SPUs) are
//! talked to directly. A connection that once failed to answer is not used again. Does not know what a
//! reader has seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fluvio::FluvioClusterConfig;
use fluvio::dataplane::api::Request;
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::{Decoder, Encoder};
use fluvio_sc_schema::objects::{
    CommonCreateRequest, CreateRequest, ListFilter, ListRequest, ListResponse, Metadata, ObjectApiCreateRequest,
    ObjectApiListRequest,
};
use fluvio_sc_schema::partition::PartitionSpec;
use fluvio_sc_schema::spu::SpuSpec;
use fluvio_sc_schema::topic::TopicSpec;
use fluvio_sc_schema::{AdminSpec, TryEncodableFrom};
use tokio::time::Instant;

use super::OpenError;
use super::broker::Broker;
use super::connect::Connector;
use super::follow::Trouble;
use crate::log::{LogError, Partition};

/// For an answer of the controller.
const CONTROLLER: Duration = Duration::from_secs(10);
/// For the controller to say that a topic is made; after that it is looked for.
const CREATED: Duration = Duration::from_secs(2);
/// How long a topic may be unknown before it counts as deleted.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections per broker over which partitions share their appends.
const LANES: u32 = 8;

/// A topic on a cluster.
pub(super) struct Cluster {
    config: FluvioClusterConfig,
    connector: Connector,
    pub topic: String,
    pub partitions: u32,
    leaders: tokio::sync::Mutex<Known>,
    lanes: Mutex<HashMap<(String, Lane), Arc<Broker>>>,
}

/// What a connection is used for. Answers come in the order of the questions, so a slow append would keep a small
/// question waiting.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    Ask,
    Append(u32),
}

impl Lane {
    /// Everything about one partition goes the same way.
    pub fn append(partition: Partition) -> Lane {
        Lane::Append(partition % LANES)
    }
}

/// What the controller said last.
struct Known {
    leaders: Leaders,
    /// Something went wrong since: the controller is to be asked again.
    in_doubt: bool,
    /// Since when the controller has known no such topic.
    missing_since: Option<Instant>,
}

/// Where each partition's leader listens; `None` while a partition has none.
struct Leaders(Vec<Option<Leader>>);

#[derive(Clone)]
struct Leader {
    address: String,
    /// Goes in front of the domain where TLS is used.
    name: String,
}

/// A topic, as the controller knows it.
pub(super) struct Topic {
    pub spec: TopicSpec,
    /// Complete, in order.
    pub partitions: Vec<PartitionSpec>,
    pub online: Vec<bool>,
    pub brokers: HashMap<i32, (String, SpuSpec)>,
}

/// The controller, while something is asked.
pub(super) struct Controller {
    broker: Broker,
}

impl Controller {
    pub async fn connect(config: &FluvioClusterConfig, connector: &Connector) -> Result<Controller, OpenError> {
        let endpoint = &config.endpoint;
        match Broker::connect(connector, endpoint, None).await {
            Ok(broker) => Ok(Controller { broker }),
            Err(why) => Err(OpenError::Unreachable { endpoint: endpoint.clone(), why }),
        }
    }

    fn refused(&self, why: impl ToString) -> OpenError {
        OpenError::Refused { endpoint: self.broker.address.clone(), why: why.to_string() }
    }

    /// Asks with an object of the administration's interface.
    async fn ask<R, I>(&self, question: I) -> Result<R::Response, OpenError>
    where
        R: Request + TryEncodableFrom<I> + Send + Sync + 'static,
        R::Response: Send + 'static,
    {
        let version = self.broker.socket().lookup_version::<R>();
        let version = version.ok_or_else(|| self.refused("it is of a version that this client does not know"))?;
        let question = R::try_encode_from(question, version).map_err(|error| self.refused(error))?;
        self.broker.ask(question, CONTROLLER).await.map_err(|no_answer| {
            let endpoint = self.broker.address.clone();
            OpenError::Unreachable { endpoint, why: no_answer.why() }
        })
    }

    /// What there is of a kind; with `name`, those whose name has it.
    async fn list<S>(&self, name: Option<&str>) -> Result<Vec<Metadata<S>>, OpenError>
    where
        S: AdminSpec + Send + Sync + 'static,
        S::Status: Encoder + Decoder + std::fmt::Debug,
    {
        let filters: Vec<ListFilter> = name.map(|name| ListFilter { name: name.to_owned() }).into_iter().collect();
        let answer = self.ask::<ObjectApiListRequest, _>(ListRequest::<S>::new(filters, false)).await?;
        let listed: Option<ListResponse<S>> = answer.downcast().map_err(|error| self.refused(error))?;
        Ok(listed.ok_or_else(|| self.refused("it answered something else"))?.inner())
    }

    /// Makes a topic. `false` if there was no answer: the controller sometimes makes the topic and forgets to say so.
    pub async fn create(&self, name: &str, spec: TopicSpec) -> Result<bool, OpenError> {
        let common = CommonCreateRequest { name: name.to_owned(), ..CommonCreateRequest::default() };
        let asked = self.ask::<ObjectApiCreateRequest, _>(CreateRequest::new(common, spec));
        match tokio::time::timeout(CREATED, asked).await {
            Ok(status) => status?.as_result().map(|()| true).map_err(|error| self.refused(error)),
            Err(_) => Ok(false),
        }
    }
}

/// The topic; an error if it is not there.
pub(super) async fn topic(config: &FluvioClusterConfig, connector: &Connector, name: &str) -> Result<Topic, OpenError> {
    let controller = Controller::connect(config, connector).await?;
    let topics = controller.list::<TopicSpec>(Some(name)).await?;
    let partitions = controller.list::<PartitionSpec>(Some(name)).await?;
    let brokers = controller.list::<SpuSpec>(None).await?;
    let missing = || OpenError::NoTopic { topic: name.to_owned(), endpoint: config.endpoint.clone() };
    let spec = topics.into_iter().find(|topic| topic.name == name).ok_or_else(missing)?.spec;
    let mut numbered: Vec<(u32, PartitionSpec, bool)> = partitions
        .into_iter()
        .filter_map(|found| {
            let number = found.name.strip_prefix(name)?.strip_prefix('-')?.parse().ok()?;
            Some((number, found.spec, found.status.is_online()))
        })
        .collect();
    numbered.sort_by_key(|(number, ..)| *number);
    let count = spec.partitions();
    if !numbered.iter().map(|(number, ..)| *number).eq(0..count) {
        let (ready, topic) = (numbered.len(), name.to_owned());
        return Err(OpenError::NotReady { topic, ready, wanted: count });
    }
    let (partitions, online) = numbered.into_iter().map(|(_, spec, online)| (spec, online)).unzip();
    let brokers = brokers.into_iter().map(|broker| (broker.spec.id, (broker.name, broker.spec))).collect();
    Ok(Topic { spec, partitions, online, brokers })
}

impl Cluster {
    pub fn new(config: FluvioClusterConfig, connector: Connector, name: String, topic: &Topic) -> Cluster {
        let partitions = topic.spec.partitions();
        let leaders = tokio::sync::Mutex::new(Known::now(Leaders::of(topic, &config)));
        Cluster { config, connector, topic: name, partitions, leaders, lanes: Mutex::default() }
    }

    /// A connection for one use alone.
    pub async fn connect(&self, partition: Partition) -> Result<Broker, Trouble> {
        let leader = self.leader(partition).await?;
        self.connect_to(&leader).await
    }

    async fn connect_to(&self, leader: &Leader) -> Result<Broker, Trouble> {
        match Broker::connect(&self.connector, &leader.address, Some(&leader.name)).await {
            Ok(broker) => Ok(broker),
            Err(why) => {
                self.forget_leaders().await;
                Err(Trouble::Away(format!("the broker at {} cannot be reached: {why}", leader.address)))
            }
        }
    }

    /// The shared connection for this use.
    pub async fn lane(&self, partition: Partition, lane: Lane) -> Result<Arc<Broker>, Trouble> {
        let leader = self.leader(partition).await?;
        let key = (leader.address.clone(), lane);
        if let Some(broker) = self.lanes().get(&key).filter(|broker| !broker.has_ended()) {
            return Ok(Arc::clone(broker));
        }
        let fresh = Arc::new(self.connect_to(&leader).await?);
        let mut lanes = self.lanes();
        // Two may have connected at the same time: one way, so that order is kept.
        let kept = lanes.get(&key).filter(|broker| !broker.has_ended()).cloned();
        Ok(kept.unwrap_or_else(|| {
            lanes.insert(key, Arc::clone(&fresh));
            fresh
        }))
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, HashMap<(String, Lane), Arc<Broker>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After an answer that did not come or made no sense: the next use connects anew and asks who leads.
    pub async fn give_up(&self, broker: &Arc<Broker>) {
        broker.give_up();
        self.lanes().retain(|_, known| !Arc::ptr_eq(known, broker));
        self.forget_leaders().await;
    }

    /// The next use asks the controller who leads.
    pub async fn forget_leaders(&self) {
        self.leaders.lock().await.in_doubt = true;
    }

    async fn leader(&self, partition: Partition) -> Result<Leader, Trouble> {
        let mut known = self.leaders.lock().await;
        if known.in_doubt {
            match self.ask_for_leaders(&mut known.missing_since).await {
                Ok(leaders) => *known = Known::now(leaders),
                // A controller may be away while the brokers work.
                Err(Trouble::Away(why)) => tracing::debug!("trying the brokers that led before: {why}"),
                Err(trouble) => return Err(trouble),
            }
        }
        match known.leaders.0.get(partition as usize).cloned() {
            None => Err(Trouble::Final(LogError::NoPartition(partition))),
            Some(Some(leader)) => Ok(leader),
            Some(None) => {
                known.in_doubt = true;
                Err(Trouble::Away(format!("partition {partition} of topic {} has no leader", self.topic)))
            }
        }
    }

    async fn ask_for_leaders(&self, missing_since: &mut Option<Instant>) -> Result<Leaders, Trouble> {
        let topic = match topic(&self.config, &self.connector, &self.topic).await {
            Ok(topic) => topic,
            // A controller that has just started may not know its topics yet.
            Err(error @ OpenError::NoTopic { .. }) => {
                let since = *missing_since.get_or_insert_with(Instant::now);
                return Err(if since.elapsed() < PATIENCE {
                    Trouble::Away(error.to_string())
                } else {
                    Trouble::Final(LogError::Failed(error.to_string()))
                });
            }
            Err(error) => return Err(Trouble::Away(error.to_string())),
        };
        let now = topic.spec.partitions();
        if now != self.partitions {
            let (name, before) = (&self.topic, self.partitions);
            return Err(Trouble::Final(LogError::Failed(super::other_count(name, before, now))));
        }
        Ok(Leaders::of(&topic, &self.config))
    }
}

impl Known {
    fn now(leaders: Leaders) -> Known {
        Known { leaders, in_doubt: false, missing_since: None }
    }
}

impl Leaders {
    fn of(topic: &Topic, config: &FluvioClusterConfig) -> Leaders {
        let leader = |partition: &PartitionSpec| {
            let (name, broker) = topic.brokers.get(&partition.leader)?;
            let address = match &broker.public_endpoint_local {
                Some(local) if config.use_spu_local_address => format!("{}:{}", local.host, local.port),
                _ => broker.public_endpoint.addr(),
            };
            Some(Leader { address, name: name.clone() })
        };
        Leaders(topic.partitions.iter().map(leader).collect())
    }
}

/// What a broker's refusal means for whoever reads or asks.
pub(super) fn refusal(topic: &str, partition: Partition, code: &ErrorCode) -> Trouble {
    let failed = |why: String| Trouble::Final(LogError::Failed(why));
    match code {
        ErrorCode::OffsetEvicted { offset, next_available } => {
            let number = |n: i64| u64::try_from(n).unwrap_or(0);
            Trouble::Final(LogError::Gone { partition, wanted: number(*offset), first: number(*next_available) })
        }
        ErrorCode::TopicDeleted => failed(format!(
            "topic {topic} was deleted; create it again with `concord log create` and start with an empty database, or \
             restore it"
        )),
        ErrorCode::PermissionDenied => failed(format!(
            "this client may not read or write topic {topic}; give its certificate the rights on the cluster"
        )),
        ErrorCode::CompressionError => {
            failed(format!("topic {topic} takes only compressed records; create it with compression `any` or `none`"))
        }
        other => Trouble::Away(format!("partition {partition} of topic {topic}: {other}")),
    }
}
