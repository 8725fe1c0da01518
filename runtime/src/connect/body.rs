//! Bodies within bounds: how large, how long they may take, how much memory all of them may hold together.
//!
//! Knows gzip. Does not know what a body says.

use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Memory is counted in pieces of this many bytes.
const PIECE: usize = 4 << 10;

/// Memory for bodies, shared by all connections.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    pub fn new(bytes: usize) -> Budget {
        Budget(Arc::new(Semaphore::new(bytes.div_ceil(PIECE).min(Semaphore::MAX_PERMITS))))
    }

    /// A share of nothing yet.
    pub fn share(&self) -> Share {
        Share { budget: self.clone(), held: None, bytes: 0 }
    }
}

/// What one delivery holds; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Share {
    /// Holds this many bytes more, if there are any left.
    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let before = self.bytes.div_ceil(PIECE);
        let more = (self.bytes + bytes).div_ceil(PIECE) - before;
        let more = u32::try_from(more).map_err(|_| BodyError::Busy)?;
        if more > 0 {
            let taken = self.budget.0.clone().try_acquire_many_owned(more).map_err(|_| BodyError::Busy)?;
            match &mut self.held {
                Some(held) => held.merge(taken),
                none => *none = Some(taken),
            }
        }
        self.bytes += bytes;
        Ok(())
    }
}

/// Why a body is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    #[error("unpacked, the body has more than {0} bytes")]
    Inflated(usize),
    #[error("the body took longer than {} s", .0.as_secs_f64())]
    Slow(Duration),
    #[error("too many bodies are in memory")]
    Busy,
    #[error("the connection broke within the body, or its chunks are malformed")]
    Broken,
    #[error("the body is no gzip, though its head says so")]
    NoGzip,
}

/// Reads a whole body. After an error the rest of it may still be on its way.
pub async fn read<B>(body: &mut B, limit: usize, time: Duration, share: &mut Share) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    // What it says of itself is believed only when it speaks against it.
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge(limit));
    }
    let deadline = Instant::now() + time;
    let mut whole = BytesMut::new();
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        let frame = match timeout_at(deadline, frame).await.map_err(|_| BodyError::Slow(time))? {
            None => return Ok(whole.freeze()),
            Some(frame) => frame.map_err(|_| BodyError::Broken)?,
        };
        // Trailers are of no interest.
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        share.grow(data.len())?;
        whole.extend_from_slice(&data);
    }
}

/// Reads on for a while, so that a sender who is still writing hears the answer before the connection ends.
pub async fn pass_over<B>(body: B, limit: usize, time: Duration)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = body;
    if body.size_hint().lower() > limit as u64 {
        return;
    }
    let passing = async {
        let mut passed = 0;
        while passed <= limit {
            let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
            let Some(Ok(frame)) = frame else { return };
            passed += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Whoever takes longer has been waited for long enough.
    let _ = timeout_at(Instant::now() + time, passing).await;
}

/// Unpacks gzip (RFC 1952), of one member or several.
pub fn inflate(packed: &[u8], limit: usize, share: &mut Share) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    let mut decoder = MultiGzDecoder::new(packed);
    let mut piece = [0; 16 << 10];
    loop {
        let read = decoder.read(&mut piece).map_err(|_| BodyError::NoGzip)?;
        if read == 0 {
            return Ok(whole.freeze());
        }
        if whole.len() + read > limit {
            return Err(BodyError::Inflated(limit));
        }
        share.grow(read)?;
        whole.extend_from_slice(&piece[..read]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::Full;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("packed");
        encoder.finish().expect("packed")
    }

    #[test]
    fn a_bomb_is_stopped_at_the_bound() {
        let bomb = packed(&vec![b'0'; 50 << 20]);
        assert!(bomb.len() < 64 << 10);
        let budget = Budget::new(64 << 20);
        assert_eq!(inflate(&bomb, 1 << 20, &mut budget.share()), Err(BodyError::Inflated(1 << 20)));
        let small = Budget::new(64 << 10);
        assert_eq!(inflate(&bomb, 64 << 20, &mut small.share()), Err(BodyError::Busy));
        // What it held is free again.
        small.share().grow(64 << 10).expect("all of it");
    }

    #[test]
    fn gzip_of_one_member_or_two_and_nothing_else() {
        let budget = Budget::new(1 << 20);
        let mut share = budget.share();
        let two = [packed(b"one "), packed(b"two")].concat();
        assert_eq!(inflate(&two, 100, &mut share).as_deref(), Ok(&b"one two"[..]));
        let one = packed(b"text");
        for broken in [&one[..one.len() - 1], b"text", b"\x1f\x8b"] {
            assert_eq!(inflate(broken, 100, &mut share), Err(BodyError::NoGzip));
        }
        let mut wrong = one.clone();
        let last = wrong.len() - 6;
        wrong[last] ^= 1;
        assert_eq!(inflate(&wrong, 100, &mut share), Err(BodyError::NoGzip));
    }

    #[tokio::test]
    async fn bodies_are_bounded_one_by_one_and_together() {
        let body = || Full::new(Bytes::from(vec![b'x'; 10_000]));
        let (time, budget) = (Duration::from_secs(60), Budget::new(16 << 10));
        let mut first = budget.share();
        assert_eq!(read(&mut body(), 10_000, time, &mut first).await.map(|b| b.len()), Ok(10_000));
        assert_eq!(read(&mut body(), 9_999, time, &mut budget.share()).await, Err(BodyError::TooLarge(9_999)));
        assert_eq!(read(&mut body(), 10_000, time, &mut budget.share()).await, Err(BodyError::Busy));
        drop(first);
        assert!(read(&mut body(), 10_000, time, &mut budget.share()).await.is_ok());
    }
}
