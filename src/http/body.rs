//! Bodies of requests, which are read whole within a limit of length and an absolute deadline, and bodies of
//! responses, which are in memory or streamed.
//!
//! A request whose declared body is too long is rejected before a byte of the body is read. A client that
//! waits for `100 Continue` gets the error instead.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use hyper::{HeaderMap, Response};
use tokio::sync::mpsc;

use crate::fair::FairPermit;

/// Every response.
pub(crate) type HttpResponse = Response<Content>;

/// The body of a response.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Whole(Full<Bytes>),
    /// In memory, and long. Passed to hyper in slices, since hyper copies each: otherwise each of thousands
    /// of clients that read nothing would hold a copy of the longest page. Boxed, so that short bodies are no
    /// larger for it.
    Sliced(Box<Sliced>),
    /// Too long for memory. Boxed, since nearly no response is.
    Streamed(Box<Streamed>),
}

impl Default for Content {
    /// Creates an empty body.
    fn default() -> Content {
        Content::Whole(Full::default())
    }
}

/// A long body.
#[derive(Debug)]
pub struct Sliced {
    rest: Bytes,
    /// Its share of the response budget. Held until the last slice is taken, since slices share the memory.
    room: Option<FairPermit>,
}

/// A body that is sent while it is produced. Only its last chunk completes it: if the task that produces it
/// fails or panics, the connection is cut, so that no client takes a part for the whole.
#[derive(Debug)]
pub struct Streamed {
    receiver: mpsc::Receiver<BodyChunk>,
    /// The rest of the last chunk, which is passed to hyper in slices like [`Content::Sliced`].
    rest: Bytes,
    is_over: bool,
    /// Its share of the response budget: for the chunks that are being sent and produced.
    room: Option<FairPermit>,
}

/// A part of a streamed body.
#[derive(Debug)]
pub struct BodyChunk {
    #[allow(missing_docs)] // The type has the doc.
    pub bytes: Bytes,
    /// Whether the body is complete with this chunk.
    pub is_last: bool,
}

/// A streamed body failed before its last chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rest of the body could not be produced")]
pub struct BodyCut;

impl Content {
    /// Creates a streamed body, and the sender for its chunks. One chunk waits in the channel: a client that
    /// reads slowly holds this one and the one that is being sent. The sender is closed when the client is
    /// gone.
    pub fn streamed() -> (mpsc::Sender<BodyChunk>, Content) {
        let (sender, receiver) = mpsc::channel(1);
        (
            sender,
            Content::Streamed(Box::new(Streamed {
                receiver,
                rest: Bytes::new(),
                is_over: false,
                room: None,
            })),
        )
    }

    /// Returns the length of a long body in memory, or `None` for a short or streamed one.
    pub(super) fn long(&self) -> Option<usize> {
        match self {
            Content::Sliced(long) => Some(long.rest.len()),
            Content::Whole(_) | Content::Streamed(_) => None,
        }
    }

    /// Returns whether the body is sent while it is produced.
    pub(super) fn is_streamed(&self) -> bool {
        matches!(self, Content::Streamed(_))
    }

    /// Makes a long or streamed body hold its room until its drop. A short body needs none and drops it.
    pub(super) fn hold(&mut self, room: FairPermit) {
        match self {
            Content::Whole(_) => drop(room),
            Content::Sliced(long) => long.room = Some(room),
            Content::Streamed(streamed) => streamed.room = Some(room),
        }
    }
}

/// Longest slice of a long body. hyper holds one slice of a response and its own buffer.
const SLICE: usize = 16 * 1024;

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Content {
        if bytes.len() > SLICE {
            Content::Sliced(Box::new(Sliced { rest: bytes, room: None }))
        } else {
            Content::Whole(Full::new(bytes))
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        match self.get_mut() {
            Content::Whole(whole) => Pin::new(whole)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Content::Sliced(long) if long.rest.is_empty() => Poll::Ready(None),
            Content::Sliced(long) => {
                let rest = &mut long.rest;
                // Shares the memory of the body: only hyper's copy of a slice takes more.
                let slice = rest.split_to(rest.len().min(SLICE));
                Poll::Ready(Some(Ok(Frame::data(slice))))
            }
            Content::Streamed(streamed) => {
                if streamed.rest.is_empty() {
                    // A closed channel does not show the end: its producer may have failed.
                    if streamed.is_over {
                        return Poll::Ready(None);
                    }
                    let chunk = ready!(streamed.receiver.poll_recv(cx));
                    streamed.is_over = chunk.as_ref().is_none_or(|chunk| chunk.is_last);
                    // The sender was dropped without a last chunk: an error makes hyper cut the connection.
                    let Some(chunk) = chunk else { return Poll::Ready(Some(Err(BodyCut))) };
                    streamed.rest = chunk.bytes;
                }
                let slice = streamed.rest.split_to(streamed.rest.len().min(SLICE));
                Poll::Ready(Some(Ok(Frame::data(slice))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Content::Whole(whole) => whole.is_end_stream(),
            Content::Sliced(long) => long.rest.is_empty(),
            Content::Streamed(streamed) => streamed.is_over && streamed.rest.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(whole) => whole.size_hint(),
            Content::Sliced(long) => SizeHint::with_exact(long.rest.len() as u64),
            // Unknown, so hyper sends chunks.
            Content::Streamed(_) => SizeHint::new(),
        }
    }
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Longer than the limit.
    #[error("the body must be at most {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// Incomplete at the deadline.
    #[error("the body did not arrive in time")]
    Slow,
    /// Compressed. There is no decoder, so that no small body becomes a large one.
    #[error("the body must not have a Content-Encoding")]
    Encoded,
    /// Too many bodies are being received.
    #[error("too many bodies are being received")]
    Busy,
    /// The framing is broken, or the client is gone.
    #[error("the body ended early or is malformed")]
    Broken,
}

/// Reads a body of at most `max` bytes. Fails with [`BodyError::Slow`] unless it is complete `within` this
/// time.
pub async fn read<B>(headers: &HeaderMap, body: B, max: usize, within: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    check(headers, &body, max)?;
    read_on(body, max, within, || true).await
}

/// Returns the length that a head declares for its body.
pub fn declared(headers: &HeaderMap) -> Option<u64> {
    // hyper has rejected a malformed length, and bounds the body by it. Here it only rejects early.
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
}

/// Fails if the head already shows that the body cannot be read: it is compressed, or longer than `max`.
pub fn check<B: Body>(headers: &HeaderMap, body: &B, max: usize) -> Result<(), BodyError> {
    // Any value, also `identity`: nothing here reads it.
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(BodyError::Encoded);
    }
    // Before a byte is read. `collect` checks the length again: a chunked body declares none.
    if declared(headers).unwrap_or(0).max(body.size_hint().lower()) > max as u64 {
        return Err(BodyError::TooLarge { max });
    }
    Ok(())
}

/// Reads a body whose head was [`check`]ed. If the body is not complete at once, calls `late` once, and fails
/// with [`BodyError::Busy`] if that returns false.
///
/// Thousands of bodies may be incomplete at once, so each holds little: the parts of a body are copied, since
/// a part is a slice of hyper's whole buffer, and hyper would allocate another one.
pub(crate) async fn read_on<B>(
    body: B,
    max: usize,
    within: Duration,
    late: impl FnOnce() -> bool,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    // Outside of `collect`, which is dropped while the body is incomplete and then called again.
    let mut all = BytesMut::new();
    // Polled once: most bodies arrive with their head, and need neither timer nor `late`.
    let polled = poll_fn(|cx| Poll::Ready(pin!(collect(body.as_mut(), &mut all, max)).poll(cx))).await;
    if let Poll::Ready(read) = polled {
        return read;
    }
    if !late() {
        return Err(BodyError::Busy);
    }
    // Absolute: a client that sends a byte now and then would extend a deadline that restarts.
    tokio::time::timeout(within, collect(body, &mut all, max)).await.unwrap_or(Err(BodyError::Slow))
}

/// Returns the whole body, which begins with `all`. Cancel safe: `all` has everything that was read, so a
/// call after a drop continues.
async fn collect<B>(mut body: Pin<&mut B>, all: &mut BytesMut, max: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    while let Some(frame) = body.frame().await {
        // A frame that is no data has trailers, which no API reads.
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        // Before the copy, so that no more than `max` bytes are held.
        if all.len() + data.len() > max {
            return Err(BodyError::TooLarge { max });
        }
        // Most bodies are one part, which needs no copy: the buffer is free again once the body is parsed.
        if all.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        all.extend_from_slice(&data);
    }
    Ok(std::mem::take(all).freeze())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::header::HeaderValue;

    use super::*;

    /// Chunks, then the end or silence.
    struct Chunks(Vec<Bytes>, bool);

    fn chunks(texts: &[&'static str], then_silence: bool) -> Chunks {
        Chunks(texts.iter().copied().map(Bytes::from).collect(), then_silence)
    }

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0.is_empty() {
                return if self.1 { Poll::Pending } else { Poll::Ready(None) };
            }
            Poll::Ready(Some(Ok(Frame::data(self.0.remove(0)))))
        }
    }

    #[tokio::test]
    async fn caps_and_joins() {
        let none = HeaderMap::new();
        let ten = Duration::from_secs(10);
        let check = async |texts: &[&'static str], want: Result<&'static str, BodyError>| {
            let got = read(&none, chunks(texts, false), 5, ten).await;
            assert_eq!(got, want.map(Bytes::from), "{texts:?}");
        };
        check(&[], Ok("")).await;
        check(&["abc"], Ok("abc")).await;
        // An empty part is not the end of a body.
        check(&["", "abc", "", "de"], Ok("abcde")).await;
        check(&["abc", "def"], Err(BodyError::TooLarge { max: 5 })).await;
    }

    #[tokio::test]
    async fn a_head_that_shows_a_bad_body_is_rejected_without_reading() {
        let rows = [
            (CONTENT_LENGTH, "6", BodyError::TooLarge { max: 5 }),
            (CONTENT_ENCODING, "gzip", BodyError::Encoded),
            (CONTENT_ENCODING, "identity", BodyError::Encoded),
        ];
        for (name, value, want) in rows {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            // This body never arrives: reading it would end with `Slow`.
            let got = read(&headers, chunks(&[], true), 5, Duration::from_secs(10)).await;
            assert_eq!(got, Err(want), "{value}");
        }
    }

    #[tokio::test]
    async fn a_stalled_body_ends_at_the_deadline() {
        let got = read(&HeaderMap::new(), chunks(&["ab"], true), 5, Duration::from_millis(20)).await;
        assert_eq!(got, Err(BodyError::Slow));
    }

    /// `late` is called before the wait, when no buffer of the first parts is in use any more.
    #[tokio::test]
    async fn t27_a_body_that_is_waited_for_holds_no_buffers() {
        for count in [0, 1, 2] {
            let buffers: Vec<_> = (0..count).map(|_| Bytes::from(vec![b'x'; 9])).collect();
            let mut late = 0;
            let within = Duration::from_millis(20);
            let read = read_on(Chunks(buffers.clone(), true), 99, within, || {
                late += 1;
                assert!(buffers.iter().all(Bytes::is_unique), "{count}");
                true
            });
            assert_eq!(read.await, Err(BodyError::Slow), "{count}");
            assert_eq!(late, 1, "{count}");
        }
        let read = read_on(chunks(&["ab", "c"], false), 99, Duration::ZERO, || panic!("it is there"));
        assert_eq!(read.await, Ok(Bytes::from("abc")));
    }

    #[test]
    fn a_redirect_is_no_larger_because_of_long_bodies() {
        // Every redirect moves a `Content`. One word is for the tag of the enum.
        assert!(size_of::<Content>() <= size_of::<Full<Bytes>>() + size_of::<usize>());
    }

    #[tokio::test]
    async fn a_long_body_comes_in_slices() {
        // Around the length past which a body is sliced.
        for length in [0, 1, SLICE, SLICE + 1, 5 * SLICE] {
            let bytes = Bytes::from(vec![b'x'; length]);
            let mut content = Content::from(bytes.clone());
            assert_eq!(content.size_hint().exact(), Some(length as u64));
            let mut all = Vec::new();
            while let Some(frame) = content.frame().await {
                let slice = frame.expect("whole").into_data().expect("data");
                assert!(slice.len() <= SLICE, "{}", slice.len());
                all.extend_from_slice(&slice);
            }
            assert!(content.is_end_stream() && all == bytes, "{length}");
        }
    }

    #[tokio::test]
    async fn a_streamed_body_is_complete_only_with_its_last_chunk() {
        for is_last in [true, false] {
            let (sender, mut content) = Content::streamed();
            sender.try_send(BodyChunk { bytes: Bytes::from_static(b"a"), is_last }).expect("room for one");
            let second = BodyChunk { bytes: Bytes::from_static(b"b"), is_last };
            assert!(sender.try_send(second).is_err(), "one waits, no more");
            drop(sender);
            let frame = content.frame().await.expect("a chunk").expect("whole").into_data();
            assert_eq!(frame.ok().as_deref(), Some(&b"a"[..]));
            assert_eq!(content.is_end_stream(), is_last);
            let end = content.frame().await.map(|frame| frame.map(|_| ()));
            assert_eq!(end, if is_last { None } else { Some(Err(BodyCut)) });
            assert!(content.frame().await.is_none());
        }
    }

    #[tokio::test]
    async fn the_sender_of_chunks_is_closed_when_the_body_is_dropped() {
        let (sender, content) = Content::streamed();
        let _held = sender.reserve().await.expect("the body exists");
        drop(content);
        assert!(sender.reserve().await.is_err());
    }
}
