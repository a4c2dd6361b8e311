//! A connection with HTTP/2 (RFC 9113): its limits, its end, and the one task that runs all of its streams.
//!
//! | limit | value |
//! |---|---|
//! | streams at once | 100 |
//! | head of a request | 16 KB, 64 lines |
//! | time without an open stream, from the start or the last response | `http.header_timeout`; PING and SETTINGS extend nothing |
//! | time for a client to accept 64 KB, of the connection or of one stream | 30 s; the last 16 KB of a response count as sent |
//! | bytes beside bodies | 64 KB, 16 KB for each request, and an eighth of what is sent ([`io`]) |
//! | open streams of all connections | four for each connection, and 8 MB for all others; then 503 ([`budget`]) |
//! | rest of a body after its response | discarded for 5 s ([`upload`]) |
//! | windows | 64 KB for a stream, 256 KB for the connection |
//! | age | an hour or 1,000 requests; then GOAWAY, after which clients open another connection |
//!
//! Server push, extended CONNECT and HTTP/2 without TLS are not supported.

mod budget;
mod frames;
mod io;
mod service;
mod settings;
mod shared;
mod streams;
mod upload;
mod waker;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

pub(super) use self::budget::StreamBudget;
use self::io::H2Io;
use self::service::H2Service;
use self::settings::{CONNECTION_WINDOW, STREAM_WINDOW, STREAMS_MAX};
use self::shared::H2Shared;
use self::streams::{Spawner, Streams};
pub(super) use self::upload::Upload;
use self::waker::QuietWaker;
use super::deadline::{AGE_MAX, Alarm};
use super::head_guard::{HEAD_MAX, REQUESTS_MAX};
use super::stream::Stream;

/// Bytes of a response that are buffered for a stream.
const SEND_BUFFER: usize = 16 * 1024;

/// Streams that a client has reset and that hyper has not seen yet. Past it: GOAWAY (CVE-2023-44487).
const RESETS_PENDING: usize = 20;

/// Time between GOAWAY and the end of an idle connection, in which the client can close it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Rounds of a task before others run.
const ROUNDS: usize = 8;

/// The limits of connections that the configuration sets.
#[derive(Clone, Debug)]
pub(super) struct H2Limits {
    pub(super) idle: Duration,
    /// The largest body of a request.
    pub(super) max_body: usize,
    /// The memory that the streams of all connections share.
    pub(super) memory: StreamBudget,
}

/// The connection as hyper has it.
type HyperConnection<S> = http2::Connection<TokioIo<H2Io<Stream>>, H2Service<S>, Spawner>;

/// A connection with HTTP/2. Completes at its end.
pub(super) struct H2Connection<S>
where
    S: Service<Request<Upload<Incoming>>>,
    H2Service<S>: hyper::service::HttpService<Incoming>,
{
    inner: Pin<Box<HyperConnection<S>>>,
    streams: Streams,
    shared: H2Shared,
    waker: QuietWaker,
    idle: Duration,
    /// When the connection ends if it is idle until then. `None` while a stream is open.
    idle_until: Option<Instant>,
    old_at: Instant,
    /// Whether GOAWAY was sent.
    is_draining: bool,
    alarm: Alarm,
}

impl<S, B> H2Connection<S>
where
    S: Service<Request<Upload<Incoming>>, Response = Response<B>> + Send + 'static,
    S::Future: Send + Unpin + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data = Bytes> + Default + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(stream: Stream, service: S, limits: H2Limits) -> H2Connection<S> {
        let shared = H2Shared::new(limits.memory);
        let spawner = Spawner::new(shared.clone());
        let stream = TokioIo::new(H2Io::new(stream, shared.clone(), limits.max_body));
        let inner =
            builder(spawner.clone()).serve_connection(stream, H2Service::new(service, shared.clone()));
        let now = Instant::now();
        H2Connection {
            inner: Box::pin(inner),
            streams: Streams::new(spawner),
            shared,
            waker: QuietWaker::default(),
            idle: limits.idle,
            idle_until: Some(now + limits.idle),
            old_at: now + AGE_MAX,
            is_draining: false,
            alarm: Alarm::default(),
        }
    }

    /// Accepts no further requests, and ends after the last response.
    pub(super) fn drain(&mut self) {
        if !std::mem::replace(&mut self.is_draining, true) {
            self.inner.as_mut().graceful_shutdown();
        }
        if self.idle_until.is_some() {
            self.idle_until = Some(Instant::now() + GOODBYE);
        }
    }

    /// Runs the connection and its streams until nothing can go on. Returns whether the connection has ended.
    fn run(&mut self, cx: &Context<'_>) -> bool {
        let H2Connection { inner, streams, waker, .. } = self;
        let mut has_ended = false;
        waker.run(cx, ROUNDS, |cx| {
            if has_ended {
                return true;
            }
            if let Poll::Ready(ended) = inner.as_mut().poll(cx) {
                if let Err(error) = ended {
                    // Clients cause these errors at will, so no higher level may log them.
                    tracing::trace!(%error, "connection ended");
                }
                has_ended = true;
                return true;
            }
            // What the streams have passed on leaves in the next round, in one write.
            !streams.run(cx)
        });
        has_ended
    }

    /// Ends the connection at its deadlines. Completes once an idle connection has had its time.
    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_idle = self.streams.is_empty() && !self.shared.is_slow();
        if !is_idle {
            self.idle_until = None;
        } else if self.idle_until.is_none() {
            let within = if self.is_draining { GOODBYE } else { self.idle };
            self.idle_until = Some(Instant::now() + within);
        }
        if !self.is_draining && self.shared.requests() >= REQUESTS_MAX {
            self.drain_now(cx);
        }
        loop {
            let deadline = match self.idle_until {
                Some(idle) => idle,
                None if self.is_draining => return Poll::Pending,
                None => self.old_at,
            };
            if self.alarm.poll_until(deadline, cx).is_pending() {
                return Poll::Pending;
            }
            if self.is_draining {
                return Poll::Ready(());
            }
            self.drain_now(cx);
        }
    }

    fn drain_now(&mut self, cx: &Context<'_>) {
        self.drain();
        // GOAWAY is sent by the next poll.
        cx.waker().wake_by_ref();
    }
}

impl<S, B> Future for H2Connection<S>
where
    S: Service<Request<Upload<Incoming>>, Response = Response<B>> + Send + 'static,
    S::Future: Send + Unpin + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data = Bytes> + Default + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let connection = self.get_mut();
        if connection.run(cx) {
            return Poll::Ready(());
        }
        connection.poll_deadlines(cx)
    }
}

fn builder(spawner: Spawner) -> http2::Builder<Spawner> {
    let mut http = http2::Builder::new(spawner);
    http.max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_MAX).expect("16 KB"))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_PENDING);
    http
}
