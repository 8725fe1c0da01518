//! One partition's stream from its broker.
//!
//! Each has a connection and a task of its own, so a slow reader slows nobody, and dropping a read in
//! the middle breaks nothing. It tells the broker the offset after the last whole record, not the one
//! after the last batch, as the client's own stream does: that one skips what was cut off. Does not
//! know what a reader expects: see `follow`.

use std::sync::Arc;

use fluvio::Isolation;
use fluvio::dataplane::link::ErrorCode;
use fluvio_spu_schema::server::fetch_offset::FetchOffsetsRequest;
use fluvio_spu_schema::server::stream_fetch::{DefaultStreamFetchRequest, DefaultStreamFetchResponse};
use fluvio_spu_schema::server::update_offset::{OffsetUpdate, UpdateOffsetsRequest};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::broker::{ANSWER, Broker};
use super::cluster::{Cluster, Lane, refusal};
use super::follow::{Chunk, Source, Stream, Trouble};
use super::wire;
use crate::log::{LogError, Offset, Partition};

/// Chunks that wait for a slow reader; one more is on its way.
const WAITING: usize = 1;

/// A partition of the topic.
pub(super) struct PartitionSource<'a> {
    pub cluster: &'a Arc<Cluster>,
    pub partition: Partition,
}

/// Chunks as they come. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct BrokerStream(mpsc::Receiver<Result<Chunk, Trouble>>);

impl Stream for BrokerStream {
    async fn next(&mut self) -> Option<Result<Chunk, Trouble>> {
        self.0.recv().await
    }
}

impl Source for PartitionSource<'_> {
    type Stream = BrokerStream;

    async fn bounds(&self) -> Result<(Offset, Offset), Trouble> {
        let (topic, partition) = (&self.cluster.topic, self.partition);
        let broker = self.cluster.lane(partition, Lane::Ask).await?;
        let question = FetchOffsetsRequest::new(topic.clone(), partition);
        let answer = match broker.ask(question, ANSWER).await {
            Ok(answer) => answer,
            Err(no_answer) => {
                self.cluster.give_up(&broker).await;
                return Err(Trouble::Away(no_answer.why()));
            }
        };
        let found = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
        match found {
            Some(found) if found.error_code == ErrorCode::None => {
                let number = |n: i64| Offset::try_from(n).unwrap_or(0);
                Ok((number(found.start_offset), number(found.last_stable_offset)))
            }
            other => {
                self.cluster.forget_leaders().await;
                let code = other.map_or(ErrorCode::UnknownServerError, |found| found.error_code);
                Err(refusal(topic, partition, &code))
            }
        }
    }

    async fn open(&self, from: Offset, fetch: u32) -> Result<BrokerStream, Trouble> {
        let broker = self.cluster.connect(self.partition).await?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let cluster = Arc::clone(self.cluster);
        let pump = Pump { cluster, partition: self.partition, broker, fetch };
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                ended = pump.run(from, &sender) => if let Err(trouble) = ended {
                    // The reader may have gone away in this moment.
                    let _ = sender.send(Err(trouble)).await;
                }
            }
        });
        Ok(BrokerStream(receiver))
    }
}

/// Takes from the broker, hands to the reader.
struct Pump {
    cluster: Arc<Cluster>,
    partition: Partition,
    broker: Broker,
    fetch: u32,
}

impl Pump {
    async fn run(&self, from: Offset, chunks: &mpsc::Sender<Result<Chunk, Trouble>>) -> Result<(), Trouble> {
        let too_far = || Trouble::Final(LogError::Failed(format!("offset {from} is none that Fluvio has")));
        let request = DefaultStreamFetchRequest::builder()
            .topic(self.cluster.topic.clone())
            .partition(self.partition)
            .fetch_offset(i64::try_from(from).map_err(|_| too_far())?)
            .max_bytes(i32::try_from(self.fetch).unwrap_or(i32::MAX))
            .isolation(Isolation::ReadCommitted)
            .build()
            .map_err(|error| Trouble::Final(LogError::Failed(error.to_string())))?;
        let socket = self.broker.socket();
        let away = |why: String| Trouble::Away(format!("the broker at {}: {why}", self.broker.address));
        let version = socket.lookup_version::<DefaultStreamFetchRequest>();
        let message = socket.new_request(request, version);
        let mut answers = socket.create_stream(message, WAITING).await.map_err(|error| away(error.to_string()))?;
        while let Some(answer) = answers.next().await {
            let answer: DefaultStreamFetchResponse = answer.map_err(|error| away(error.to_string()))?;
            let code = answer.partition.error_code;
            let chunk = wire::decode(self.partition, answer.partition.records, self.fetch).map_err(Trouble::Final)?;
            let next = chunk.records.last().and_then(|record| i64::try_from(record.offset + 1).ok());
            if chunks.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
            if code != ErrorCode::None {
                self.cluster.forget_leaders().await;
                return Err(refusal(&self.cluster.topic, self.partition, &code));
            }
            // Without a whole record the reader opens a stream with larger fetches.
            if let Some(offset) = next {
                let taken =
                    UpdateOffsetsRequest { offsets: vec![OffsetUpdate { offset, session_id: answer.stream_id }] };
                // Its answer says nothing.
                drop(socket.send_async(taken).await.map_err(|error| away(error.to_string()))?);
            }
        }
        Ok(())
    }
}
