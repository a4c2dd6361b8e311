//! [`Connections`]: the tasks of accepted connections, from what comes before the first request to the end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::h2::{H2Connection, H2Limits, StreamBudget, Upload};
use super::head_guard::{HEAD_MAX, HEADERS_MAX};
use super::limits::Permit;
use super::listener::{Opening, Scheme};
use super::plain::Plain;
use super::proxy_protocol::{self, ProxiedClient};
use super::settings::Settings;
use super::shutdown::Watch;
use super::socket::Socket;
use super::state::ConnState;
use super::stream::Stream;
use super::tls::HandshakeError;
use crate::http::counts::{HandshakeCounts, HttpCounts};
use crate::model::network::Networks;

/// The address of visitors whose address a proxy does not know. It is no proxy's, so nothing that such a visitor sends
/// is trusted.
const UNKNOWN_PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A service of connections, for requests with a body `R`.
pub trait VisitService<R>:
    Service<
        Request<R>,
        Response = Response<Self::Content>,
        Future: Send + Unpin + 'static,
        Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    > + Send
    + 'static
{
    /// The body of its responses.
    type Content;
}

impl<S, R, B> VisitService<R> for S
where
    S: Service<
            Request<R>,
            Response = Response<B>,
            Future: Send + Unpin + 'static,
            Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        > + Send
        + 'static,
{
    type Content = B;
}

/// What the tasks of all connections share.
pub(super) struct Connections<C> {
    http1: http1::Builder,
    http2: H2Limits,
    head_timeout: Duration,
    counts: Arc<HttpCounts>,
    watch: Watch,
    proxies: Networks,
    connect: C,
}

/// An open connection. Its drop, also by a panic or an abort of the task, releases its permit and counts its end.
pub(super) struct Open {
    peer: SocketAddr,
    permit: Permit,
    _counts: Closing,
}

impl Open {
    pub(super) fn new(peer: SocketAddr, permit: Permit, counts: &Arc<HttpCounts>) -> Open {
        Open { peer, permit, _counts: Closing(Arc::clone(counts)) }
    }
}

impl<C, S, B> Connections<C>
where
    C: Fn(SocketAddr, Scheme) -> S + Send + Sync + 'static,
    S: VisitService<Incoming, Content = B> + VisitService<Upload<Incoming>, Content = B>,
    B: Body<Data = Bytes> + Default + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Creates the tasks' common part. `connect` creates the service of each connection.
    pub(super) fn new(
        settings: &Settings,
        counts: Arc<HttpCounts>,
        watch: Watch,
        connect: C,
    ) -> Connections<C> {
        Connections {
            http1: builder(),
            http2: H2Limits {
                idle: settings.header_timeout,
                max_body: settings.max_bulk_body,
                memory: StreamBudget::default(),
            },
            head_timeout: settings.header_timeout,
            counts,
            watch,
            proxies: settings.proxies().expect("the configuration was checked"),
            connect,
        }
    }

    /// Starts the task of an accepted connection.
    pub(super) fn serve(self: &Arc<Connections<C>>, stream: Plain, opening: &Opening, open: Open) {
        if opening.has_proxy_header || opening.tls.is_some() {
            self.open(stream, opening.clone(), open);
        } else {
            self.serve_http1(Stream::Plain(stream), Scheme::Http, open);
        }
    }

    /// Starts the task of a connection with HTTP/1.
    fn serve_http1(&self, stream: Stream, scheme: Scheme, open: Open) {
        let state = ConnState::default();
        let service = state.track((self.connect)(open.peer, scheme));
        let stream = TokioIo::new(Socket::new(stream, state.clone(), self.head_timeout));
        // Boxed: the future of a function has a copy of each argument that it passes on, and this value is
        // most of the memory of a connection.
        let connection = Box::pin(self.http1.serve_connection(stream, service));
        let watch = self.watch.clone();
        // Not in a `JoinSet`, which wakes the accept loop for each connection that ends.
        tokio::spawn(async move {
            let _until_the_end = open;
            let running =
                watch.run(connection, state, |connection| connection.as_deref_mut().graceful_shutdown());
            if let Some(Err(error)) = running.await {
                // Clients cause these errors at will, so no higher level may log them.
                tracing::trace!(%error, "connection ended");
            }
        });
    }

    /// Starts the task of a connection with HTTP/2.
    fn serve_http2(&self, stream: Stream, open: Open) {
        let service = (self.connect)(open.peer, Scheme::Https);
        // Boxed, for the same reason.
        let connection = Box::pin(H2Connection::new(stream, service, self.http2.clone()));
        let watch = self.watch.clone();
        tokio::spawn(async move {
            let _until_the_end = open;
            watch.run(connection, ConnState::default(), |connection| connection.get_mut().drain()).await;
        });
    }

    /// Starts the task that reads what comes before the first request, and then starts the task of the connection: the
    /// memory of a handshake is released with its task.
    fn open(self: &Arc<Connections<C>>, stream: Plain, opening: Opening, open: Open) {
        let server = Arc::clone(self);
        tokio::spawn(async move {
            let opened = Box::pin(server.opened(stream, &opening, open));
            // What has begun before a drain may end in it.
            let opened = server.watch.clone().run(opened, ConnState::default(), |_| {}).await;
            let Some(Some((stream, open))) = opened else { return };
            match stream {
                Stream::Tls(ref tls) if tls.is_http2() => server.serve_http2(stream, open),
                Stream::Tls(_) => server.serve_http1(stream, Scheme::Https, open),
                Stream::Plain(_) => server.serve_http1(stream, Scheme::Http, open),
            }
        });
    }

    /// Reads what comes before the first request. Returns `None` if the connection is to be closed.
    async fn opened(&self, mut stream: Plain, opening: &Opening, mut open: Open) -> Option<(Stream, Open)> {
        let deadline = Instant::now() + self.head_timeout;
        if opening.has_proxy_header {
            open = Box::pin(self.behind_proxy(&mut stream, open)).await?;
        }
        let Some(tls) = &opening.tls else { return Some((Stream::Plain(stream), open)) };
        let within = deadline.saturating_duration_since(Instant::now());
        match tls.handshake(stream, open.peer.ip(), within).await {
            Ok(stream) => {
                self.counts.handshakes.completed.add();
                Some((Stream::Tls(Box::new(stream)), open))
            }
            Err(error) => {
                count(&self.counts.handshakes, error);
                None
            }
        }
    }

    /// Reads the header of a proxy. The connection then counts as one of the visitor that the header names.
    async fn behind_proxy(&self, stream: &mut Plain, mut open: Open) -> Option<Open> {
        if !self.proxies.name(open.peer.ip()) {
            self.counts.untrusted.add();
            return None;
        }
        let header = tokio::time::timeout(self.head_timeout, proxy_protocol::read(stream)).await;
        let Ok(Ok(client)) = header else {
            self.counts.untrusted.add();
            return None;
        };
        match client {
            ProxiedClient::Proxy => {}
            // The permit stays that of the proxy: these are connections of many customers.
            ProxiedClient::Unknown => open.peer = UNKNOWN_PEER,
            ProxiedClient::Visitor(visitor) => {
                open.peer = visitor;
                open.permit =
                    open.permit.passed_to(visitor.ip()).map_err(|_| self.counts.surplus.add()).ok()?;
            }
        }
        Some(open)
    }
}

fn count(counts: &HandshakeCounts, error: HandshakeError) {
    match error {
        HandshakeError::TimedOut => counts.timed_out.add(),
        HandshakeError::UnknownName => counts.unknown_name.add(),
        HandshakeError::Challenge => counts.challenge.add(),
        HandshakeError::PlainHttp => counts.plain_http.add(),
        HandshakeError::Failed => counts.failed.add(),
    }
}

/// Counts the end of a connection in its drop, and so also after a panic or an abort.
struct Closing(Arc<HttpCounts>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closed.add();
    }
}

fn builder() -> http1::Builder {
    let mut http = http1::Builder::new();
    // `Socket` has the deadline for heads, and joins responses to pipelined requests: hyper's own
    // `pipeline_flush` loses some.
    http.header_read_timeout(None)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        // Some clients close their side after the request, and still read the response.
        .half_close(true)
        .keep_alive(true);
    http
}
