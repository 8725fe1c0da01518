//! Following a partition without a gap, whatever its stream does.
//!
//! A stream may skip records, repeat them, stand still or break off; only offsets are believed. What is
//! missing is asked for again at the first missing offset. Knows offsets and time, not the network: a
//! [`Source`] opens streams, and tests put one in between that misbehaves on purpose.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::log::{LogError, Offset, Partition, Record};

/// How long a stream may be silent before the partition's end is looked at.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// How long a partition that was longer before may look shorter: a broker that has just started may not know its end yet.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two openings of a stream that brought nothing: from here to there.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Openings without a record after which it is said, and again each time the number has doubled.
const SAID_AFTER: u32 = 4;

/// What a stream delivered at once.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// With the offsets that the stream gives them.
    pub records: Vec<Record>,
    /// The last batch was cut off: bytes that a stream needs per fetch to deliver it whole.
    pub needs: Option<u32>,
}

/// Why a stream, or the way to it, is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may work again later.
    Away(String),
    /// No retry repairs it.
    Final(LogError),
}

/// A stream of one partition's records.
pub(super) trait Stream: Send {
    /// What comes next; `None` when nothing more will. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = Option<Result<Chunk, Trouble>>> + Send;
}

/// One partition, as its broker shows it.
pub(super) trait Source: Send + Sync {
    type Stream: Stream;
    /// First kept offset and the one after the last.
    fn bounds(&self) -> impl Future<Output = Result<(Offset, Offset), Trouble>> + Send;
    /// A stream from `from` on; at the end it waits for more. `fetch` is in bytes.
    fn open(&self, from: Offset, fetch: u32) -> impl Future<Output = Result<Self::Stream, Trouble>> + Send;
}

/// A place in a partition, and the stream that goes on from there.
#[derive(Debug)]
pub(super) struct Cursor<S> {
    partition: Partition,
    /// Delivered and not yet handed out; consecutive.
    ready: VecDeque<Record>,
    /// The offset that the stream has to deliver next.
    expected: Offset,
    /// The last record delivered: by it a stream that is opened again proves to be of the same log.
    last: Option<(Offset, u64)>,
    stream: Option<S>,
    /// The next record has to be `last` again.
    proving: bool,
    /// Bytes per fetch: grows while a batch does not fit.
    fetch: u32,
    usual_fetch: u32,
    /// Openings since the last new record.
    fruitless: u32,
    /// No opening before this.
    pause_until: Option<Instant>,
    /// Since when the partition has looked shorter than it was.
    short_since: Option<Instant>,
    /// Openings beyond the first: for tests and for people.
    pub reopened: u64,
}

impl<S: Stream> Cursor<S> {
    /// At `from`; nothing is opened before it is read.
    pub fn new(partition: Partition, from: Offset, fetch: u32) -> Cursor<S> {
        Cursor {
            partition,
            ready: VecDeque::new(),
            expected: from,
            last: None,
            stream: None,
            proving: false,
            fetch,
            usual_fetch: fetch,
            fruitless: 0,
            pause_until: None,
            short_since: None,
            reopened: 0,
        }
    }

    /// The offset that the next read begins at.
    pub fn at(&self) -> Offset {
        self.ready.front().map_or(self.expected, |record| record.offset)
    }

    /// As [`crate::log::Log::read`] from [`Cursor::at`] on. Waits while the broker is away. Cancel-safe: what was
    /// delivered stays here until it is handed out.
    pub async fn read<O: Source<Stream = S>>(
        &mut self,
        source: &O,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, LogError> {
        while self.ready.is_empty() {
            self.go_on(source).await?;
        }
        Ok(self.hand_out(max_records, max_bytes))
    }

    fn hand_out(&mut self, max_records: usize, max_bytes: usize) -> Vec<Record> {
        let mut bytes = 0;
        let size = |record: &Record| record.key.as_ref().map_or(0, bytes::Bytes::len) + record.value.len();
        let fits = self.ready.iter().take_while(|record| {
            bytes += size(record);
            bytes <= max_bytes
        });
        let count = fits.count().min(max_records).max(1);
        self.ready.drain(..count.min(self.ready.len())).collect()
    }

    /// One step: opens a stream, takes what it delivers, or looks why it delivers nothing.
    async fn go_on<O: Source<Stream = S>>(&mut self, source: &O) -> Result<(), LogError> {
        let Some(stream) = &mut self.stream else { return self.open(source).await };
        match timeout(QUIET, stream.next()).await {
            Ok(Some(Ok(chunk))) => self.take(chunk),
            Ok(Some(Err(trouble))) => self.troubled(trouble),
            Ok(None) => {
                self.close("its stream has ended");
                Ok(())
            }
            Err(_) => self.look(source).await,
        }
    }

    async fn open<O: Source<Stream = S>>(&mut self, source: &O) -> Result<(), LogError> {
        if let Some(until) = self.pause_until {
            sleep_until(until).await;
        }
        let Some((first, _)) = self.bounds(source).await? else { return Ok(()) };
        // From the last record on, where it is still there.
        let proof = self.last.map(|(offset, _)| offset).filter(|offset| *offset >= first);
        match source.open(proof.unwrap_or(self.expected), self.fetch).await {
            Ok(stream) => {
                self.stream = Some(stream);
                self.proving = proof.is_some();
                Ok(())
            }
            Err(trouble) => self.troubled(trouble),
        }
    }

    /// The stream is silent: has it anything to say?
    async fn look<O: Source<Stream = S>>(&mut self, source: &O) -> Result<(), LogError> {
        if let Some((_, end)) = self.bounds(source).await?
            && end > self.expected
        {
            self.close("its stream stands still although there are records");
        }
        Ok(())
    }

    /// The partition's bounds, if this place lies within them; `None` if that has to be asked again.
    async fn bounds<O: Source<Stream = S>>(&mut self, source: &O) -> Result<Option<(Offset, Offset)>, LogError> {
        let (first, end) = match source.bounds().await {
            Ok(bounds) => bounds,
            Err(trouble) => return self.troubled(trouble).map(|()| None),
        };
        let (partition, wanted) = (self.partition, self.expected);
        if wanted < first {
            return Err(LogError::Gone { partition, wanted, first });
        }
        if wanted <= end {
            self.short_since = None;
            return Ok(Some((first, end)));
        }
        let since = *self.short_since.get_or_insert_with(Instant::now);
        if self.last.is_none() || since.elapsed() >= PATIENCE {
            return Err(LogError::Beyond { partition, wanted, end });
        }
        self.close("it ends before what was read from it");
        Ok(None)
    }

    fn take(&mut self, chunk: Chunk) -> Result<(), LogError> {
        let before = self.expected;
        for record in chunk.records {
            if std::mem::take(&mut self.proving) && !self.proves(&record)? {
                break;
            }
            if record.offset > self.expected {
                tracing::debug!(partition = self.partition, missing = self.expected, got = record.offset, "a hole");
                self.close("its stream leaves records out");
                break;
            }
            if record.offset == self.expected {
                self.last = Some((record.offset, record.fingerprint()));
                self.expected += 1;
                self.ready.push_back(record);
            }
        }
        if self.expected > before {
            (self.fruitless, self.pause_until) = (0, None);
        } else if let Some(needs) = chunk.needs {
            // The stream may begin with a batch before the large one, so what that one needs may not be enough.
            let larger = needs.max(self.fetch.saturating_mul(2));
            self.close("a batch is larger than a fetch");
            self.fetch = larger;
        }
        Ok(())
    }

    /// Whether the first record of a stream opened again is the one that was read last. Another one in its
    /// place means another log; one from further on is a hole.
    fn proves(&mut self, record: &Record) -> Result<bool, LogError> {
        let Some((offset, print)) = self.last else { return Ok(true) };
        match record.offset {
            o if o < offset => self.proving = true,
            o if o == offset && record.fingerprint() != print => {
                return Err(LogError::Replaced { partition: self.partition, offset });
            }
            o if o > offset => {
                self.close("its stream leaves records out");
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    fn troubled(&mut self, trouble: Trouble) -> Result<(), LogError> {
        match trouble {
            Trouble::Away(why) => {
                self.close(&why);
                Ok(())
            }
            Trouble::Final(error) => Err(error),
        }
    }

    /// Gives the stream up; the next one is opened at once, later ones after ever longer pauses until a record comes.
    fn close(&mut self, why: &str) {
        self.stream = None;
        self.proving = false;
        self.reopened += 1;
        if self.fruitless == 0 {
            self.fetch = self.usual_fetch;
        }
        self.fruitless = self.fruitless.saturating_add(1);
        let (partition, offset) = (self.partition, self.expected);
        if self.fruitless >= SAID_AFTER && self.fruitless.is_power_of_two() {
            tracing::warn!(partition, offset, "waiting for the log: {why}");
        } else {
            tracing::debug!(partition, offset, "opening the partition again: {why}");
        }
        let pause = PAUSES.0.saturating_mul(1 << self.fruitless.saturating_sub(2).min(16)).min(PAUSES.1);
        self.pause_until = (self.fruitless > 1).then(|| Instant::now() + pause);
    }
}
