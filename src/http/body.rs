//! Request bodies, read whole under a cap and an absolute deadline; and the one type of response,
//! whose body is in memory or comes in pieces.
//!
//! A body that declares itself too large is refused before a byte of it is read, so that a client
//! that waits for `100 Continue` is told no instead.

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

/// Every answer.
pub type HttpResponse = Response<Content>;

/// The body of an answer.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Whole(Full<Bytes>),
    /// In memory, and long: handed over in slices, since hyper copies what it is given. Else each of
    /// thousands of clients that read nothing would hold a copy of the longest page.
    /// Boxed, so that what is short is no larger for it.
    Sliced(Box<Sliced>),
    /// Too long to be held; boxed, since nearly no answer is.
    Pieces(Box<Pieces>),
}

impl Default for Content {
    /// Nothing.
    fn default() -> Content {
        Content::Whole(Full::default())
    }
}

/// A long body.
#[derive(Debug)]
pub struct Sliced {
    rest: Bytes,
    /// Its room among all long ones, for as long as any of it is here: slices share its memory.
    room: Option<FairPermit>,
}

/// A body that comes piece by piece. Only the last piece ends it well: when whoever makes it gives
/// up or panics, the connection is cut, so that no client takes a part for the whole.
#[derive(Debug)]
pub struct Pieces {
    receiver: mpsc::Receiver<Piece>,
    /// What is left of the last piece: handed over in slices, as [`Content::Sliced`] is.
    rest: Bytes,
    is_over: bool,
    /// Room for the pieces on their way and for the one that is being produced.
    room: Option<FairPermit>,
}

/// Part of a body.
#[derive(Debug)]
pub struct Piece {
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether nothing follows.
    pub is_last: bool,
}

/// The rest of the body will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rest of the body could not be made")]
pub struct Cut;

impl Content {
    /// A body, and where its pieces are to be sent: one waits there, so that a client that reads
    /// slowly holds one piece besides the one being sent to it. When the sender is closed, nobody
    /// reads any more.
    pub fn pieces() -> (mpsc::Sender<Piece>, Content) {
        let (sender, receiver) = mpsc::channel(1);
        (
            sender,
            Content::Pieces(Box::new(Pieces { receiver, rest: Bytes::new(), is_over: false, room: None })),
        )
    }

    /// The length of a long body that is in memory.
    pub(super) fn long(&self) -> Option<usize> {
        match self {
            Content::Sliced(long) => Some(long.rest.len()),
            Content::Whole(_) | Content::Pieces(_) => None,
        }
    }

    /// Returns whether the body comes in pieces.
    pub(super) fn is_streamed(&self) -> bool {
        matches!(self, Content::Pieces(_))
    }

    /// Has a body that is long or comes in pieces hold its room until it is gone.
    pub(super) fn hold(&mut self, room: FairPermit) {
        match self {
            Content::Whole(_) => drop(room),
            Content::Sliced(long) => long.room = Some(room),
            Content::Pieces(pieces) => pieces.room = Some(room),
        }
    }
}

/// Longest slice of a long body: what hyper holds of an answer is this and its own buffer.
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
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Content::Whole(whole) => Pin::new(whole)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Content::Sliced(long) if long.rest.is_empty() => Poll::Ready(None),
            Content::Sliced(long) => {
                let rest = &mut long.rest;
                let slice = rest.split_to(rest.len().min(SLICE));
                Poll::Ready(Some(Ok(Frame::data(slice))))
            }
            Content::Pieces(pieces) => {
                if pieces.rest.is_empty() {
                    if pieces.is_over {
                        return Poll::Ready(None);
                    }
                    let piece = ready!(pieces.receiver.poll_recv(cx));
                    pieces.is_over = piece.as_ref().is_none_or(|piece| piece.is_last);
                    let Some(piece) = piece else { return Poll::Ready(Some(Err(Cut))) };
                    pieces.rest = piece.bytes;
                }
                let slice = pieces.rest.split_to(pieces.rest.len().min(SLICE));
                Poll::Ready(Some(Ok(Frame::data(slice))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Content::Whole(whole) => whole.is_end_stream(),
            Content::Sliced(long) => long.rest.is_empty(),
            Content::Pieces(pieces) => pieces.is_over && pieces.rest.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(whole) => whole.size_hint(),
            Content::Sliced(long) => SizeHint::with_exact(long.rest.len() as u64),
            Content::Pieces(_) => SizeHint::new(),
        }
    }
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Longer than so many bytes.
    #[error("the body must be at most {max} bytes")]
    TooLarge {
        /// The cap.
        max: usize,
    },
    /// Not complete at the deadline.
    #[error("the body did not arrive in time")]
    Slow,
    /// Compressed. There is no decoder, so that no small body unfolds into a large one.
    #[error("the body must not have a Content-Encoding")]
    Encoded,
    /// Too many bodies are waited for.
    #[error("too many bodies are under way")]
    Busy,
    /// Framing broken, or the client is gone.
    #[error("the body ended early or is malformed")]
    Broken,
}

/// Reads a body of at most `max` bytes that is complete `within` this time.
pub async fn read<B>(headers: &HeaderMap, body: B, max: usize, within: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    check(headers, &body, max)?;
    read_on(body, max, within, || true).await
}

/// Returns the length that a head declares for its body.
pub fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
}

/// What a head says of its body: whether it may be read at all.
pub fn check<B: Body>(headers: &HeaderMap, body: &B, max: usize) -> Result<(), BodyError> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(BodyError::Encoded);
    }
    if declared(headers).unwrap_or(0).max(body.size_hint().lower()) > max as u64 {
        return Err(BodyError::TooLarge { max });
    }
    Ok(())
}

/// Reads a body whose head was [`check`]ed. Calls `late` once when it is not there at once, and fails
/// with [`BodyError::Busy`] if that returns false: thousands may be waited for, and each should hold
/// little. So does this: of a body that comes in
/// parts it holds copies, since a part as it came would keep hyper's whole buffer, and have it take
/// another.
pub async fn read_on<B>(
    body: B,
    max: usize,
    within: Duration,
    late: impl FnOnce() -> bool,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut all = BytesMut::new();
    let there = poll_fn(|cx| Poll::Ready(pin!(collect(body.as_mut(), &mut all, max)).poll(cx))).await;
    if let Poll::Ready(ended) = there {
        return ended;
    }
    if !late() {
        return Err(BodyError::Busy);
    }
    // Absolute: a deadline that restarts at each byte is no deadline against a trickle.
    tokio::time::timeout(within, collect(body, &mut all, max)).await.unwrap_or(Err(BodyError::Slow))
}

/// The whole body, behind what has come of it already. Nothing is lost when it is dropped and begun
/// anew.
async fn collect<B>(mut body: Pin<&mut B>, all: &mut BytesMut, max: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if all.len() + data.len() > max {
            return Err(BodyError::TooLarge { max });
        }
        // Most bodies are one part, which is kept as it came.
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
        check(&["", "abc", "", "de"], Ok("abcde")).await;
        check(&["abc", "def"], Err(BodyError::TooLarge { max: 5 })).await;
    }

    #[tokio::test]
    async fn refuses_by_the_head() {
        let rows = [
            (CONTENT_LENGTH, "6", BodyError::TooLarge { max: 5 }),
            (CONTENT_ENCODING, "gzip", BodyError::Encoded),
            (CONTENT_ENCODING, "identity", BodyError::Encoded),
        ];
        for (name, value, want) in rows {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            let got = read(&headers, chunks(&[], true), 5, Duration::from_secs(10)).await;
            assert_eq!(got, Err(want), "{value}");
        }
    }

    #[tokio::test]
    async fn a_stalled_body_ends_at_the_deadline() {
        let got = read(&HeaderMap::new(), chunks(&["ab"], true), 5, Duration::from_millis(20)).await;
        assert_eq!(got, Err(BodyError::Slow));
    }

    /// Who waits for the rest of a body is told so, and keeps nothing of the buffers that its
    /// beginning lay in.
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
    fn a_redirect_is_no_larger_for_long_bodies() {
        assert!(size_of::<Content>() <= size_of::<Full<Bytes>>() + size_of::<usize>());
    }

    #[tokio::test]
    async fn a_long_body_comes_in_slices() {
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
    async fn pieces_end_well_only_with_the_last() {
        for is_last in [true, false] {
            let (sender, mut content) = Content::pieces();
            sender.try_send(Piece { bytes: Bytes::from_static(b"a"), is_last }).expect("room for one");
            let second = Piece { bytes: Bytes::from_static(b"b"), is_last };
            assert!(sender.try_send(second).is_err(), "one waits, no more");
            drop(sender);
            let frame = content.frame().await.expect("a piece").expect("whole").into_data();
            assert_eq!(frame.ok().as_deref(), Some(&b"a"[..]));
            assert_eq!(content.is_end_stream(), is_last);
            let end = content.frame().await.map(|frame| frame.map(|_| ()));
            assert_eq!(end, if is_last { None } else { Some(Err(Cut)) });
            assert!(content.frame().await.is_none());
        }
    }

    #[tokio::test]
    async fn whoever_makes_pieces_learns_that_nobody_reads_them() {
        let (sender, content) = Content::pieces();
        let _held = sender.reserve().await.expect("somebody reads");
        drop(content);
        assert!(sender.reserve().await.is_err());
    }
}
