//! The accept loop, for listeners that are bound already. It limits connections in all and of one address,
//! gives each a deadline for its request heads and for what is written to it, pauses when `accept` fails,
//! and ends with a drain that lets started requests finish within a bound.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};

use super::h2::{H2Connection, H2Limits};
use super::head_guard::{HEAD_MAX, HEADERS_MAX};
use super::limits::{ConnLimits, Full, Permit};
pub use super::listener::{Listener, Scheme, bind};
use super::plain::Plain;
use super::shutdown::{Shutdown, Watch};
use super::socket::Socket;
use super::state::ConnState;
use super::stream::Stream;
use super::tls::{HandshakeError, Tls};
use crate::descriptors;
use crate::http::counts::{HandshakeCounts, HttpCounts};
use crate::model::network::Networks;
use crate::settings::BadSetting;

/// Pause after a failed `accept`: at the limit of file descriptors an immediate retry would use up a core.
/// Doubles up to [`PAUSE_MAX`], so that a lasting shortage costs nothing.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Shortest time between two warnings about rejected connections.
const SURPLUS_WARNED_EVERY: Duration = Duration::from_mins(1);

/// Default limit of connections, if the system has no lower one: enough for one machine, and at 16 KB each
/// 320 MB when all of them attack.
const CONNECTIONS: usize = 20_000;

/// The `[http]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Most open connections; a connection past the limit is closed at once. Default: 20,000. Never more
    /// than what the limit of file descriptors leaves after those for the log, the table and webhooks.
    pub max_connections: Option<usize>,
    /// Most open connections of one address (for IPv6: of its /64); a connection past the limit is closed
    /// at once. Trusted proxies have no such limit. A browser opens six; one address of a large office or a
    /// mobile carrier serves hundreds of people, few of whom click at the same time.
    pub max_connections_per_address: usize,
    /// Time for a complete request head, counted from the last response of the connection. Idle
    /// connections are closed after it.
    #[serde(with = "crate::settings::duration")]
    pub header_timeout: Duration,
    /// Time for a complete request body.
    #[serde(with = "crate::settings::duration")]
    pub body_timeout: Duration,
    /// Time for started requests to finish when the server stops.
    #[serde(with = "crate::settings::duration")]
    pub drain_timeout: Duration,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// Largest body of a bulk request in bytes.
    pub max_bulk_body: usize,
    /// Proxies whose `X-Forwarded-For` is trusted: addresses, or networks such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_connections: None,
            max_connections_per_address: 256,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            max_body: 64 * 1024,
            max_bulk_body: 8 * 1024 * 1024,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Settings {
    /// Checks every rule about a value of the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        let hour = Duration::from_hours(1);
        let timeouts = [("header_timeout", self.header_timeout), ("body_timeout", self.body_timeout)];
        for (key, value) in timeouts {
            // A shorter deadline would close working clients, a longer one would bound nothing.
            if value < Duration::from_millis(10) || value > hour {
                let shown = crate::settings::duration::show(value);
                return Err(BadSetting::new(key, format!("{shown:?}"), "must be from \"10ms\" to \"1h\""));
            }
        }
        // Zero is allowed: connections are then cut at once.
        if self.drain_timeout > hour {
            let shown = crate::settings::duration::show(self.drain_timeout);
            return Err(BadSetting::new("drain_timeout", format!("{shown:?}"), "must be at most \"1h\""));
        }
        if self.max_connections == Some(0) {
            return Err(BadSetting::new("max_connections", 0, "must be at least 1"));
        }
        if self.max_connections_per_address == 0 {
            return Err(BadSetting::new("max_connections_per_address", 0, "must be at least 1"));
        }
        if self.max_body < 1_024 {
            return Err(BadSetting::new("max_body", self.max_body, "must be at least 1024"));
        }
        let bulk = self.max_bulk_body;
        // Four bulks are in memory at once, and take several times their length when they are parsed.
        if !(self.max_body..=64 * 1024 * 1024).contains(&bulk) {
            let rule = "must be at least `max_body` and at most 67108864";
            return Err(BadSetting::new("max_bulk_body", bulk, rule));
        }
        self.proxies()?;
        Ok(())
    }

    /// Returns the trusted proxies.
    pub fn proxies(&self) -> Result<Networks, BadSetting> {
        // The error names the first bad entry: a host name, for example.
        Networks::parse(self.trusted_proxies.iter().map(String::as_str)).map_err(|invalid| {
            BadSetting::new("trusted_proxies", format!("{:?}", self.trusted_proxies), invalid.why)
        })
    }

    /// Returns the limit of connections that [`serve`] enforces.
    pub fn connections(&self) -> usize {
        self.connections_within(descriptors::limit())
    }

    /// Returns the limit of connections with this limit of file descriptors. The setting is bounded by it as
    /// well: past it the log would find no descriptor for its next file.
    fn connections_within(&self, limit: u64) -> usize {
        // With very few descriptors the reserve would be all of them: then half are for connections.
        let left = limit.saturating_sub(descriptors::RESERVED).max(limit / 2).max(1);
        self.max_connections.unwrap_or(CONNECTIONS).min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

/// The result of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut at the deadline.
    pub aborted: usize,
}

/// Serves all listeners, in turn, until `stop` completes. Then it drains: it closes the listeners, then idle
/// connections. Busy connections finish their response with `connection: close`, within
/// [`Settings::drain_timeout`].
///
/// `connect` creates the service of each connection.
pub async fn serve<C, S, B>(
    listeners: Vec<Listener>,
    settings: &Settings,
    counts: Arc<HttpCounts>,
    connect: C,
    stop: impl Future<Output = ()>,
) -> Drained
where
    C: Fn(SocketAddr, Scheme) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + Unpin + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data = Bytes> + Default + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let proxies = settings.proxies().expect("the configuration was checked");
    let connections = settings.connections();
    // A limit below the configured one must not apply silently.
    if let Some(asked) = settings.max_connections.filter(|asked| *asked > connections) {
        tracing::warn!(
            asked,
            used = connections,
            "http.max_connections exceeds the limit of open files, which applies; raise it (`ulimit -n`, or \
             LimitNOFILE= of a service)"
        );
    }
    let limits = ConnLimits::new(connections, settings.max_connections_per_address, proxies);
    let shutdown = Shutdown::default();
    let server = Arc::new(Server {
        http1: builder(),
        http2: H2Limits { idle: settings.header_timeout, max_body: settings.max_bulk_body },
        head_timeout: settings.header_timeout,
        counts: Arc::clone(&counts),
        watch: shutdown.watch(),
        connect,
    });
    let mut backoff = AcceptBackoff::default();
    let mut surplus = Surplus::default();
    let mut stop = std::pin::pin!(stop);
    let mut first = 0;
    loop {
        let accepted = tokio::select! {
            // In this order: a stream of new connections must not delay the stop.
            biased;
            () = &mut stop => break,
            accepted = accept(&listeners, &mut first, &mut backoff, &counts) => accepted,
        };
        let (stream, peer, tls) = accepted;
        let permit = match limits.acquire(peer.ip()) {
            Ok(permit) => permit,
            Err(full) => {
                counts.surplus.add();
                surplus.warn(full, settings);
                // The drop closes the connection. A response would need the task and the buffers that are
                // limited.
                continue;
            }
        };
        counts.connections.add();
        let open = Open { peer, _permit: permit, _counts: Closing(Arc::clone(&counts)) };
        match tls {
            None => server.serve_http1(Stream::Plain(stream), Scheme::Http, open),
            Some(tls) => server.shake_hands(stream, Arc::clone(tls), open),
        }
    }
    // Before the drain: the system rejects new connections, and another server may bind the address.
    drop(listeners);
    drain(&shutdown, &limits, settings.drain_timeout, &counts).await
}

/// What the tasks of all connections share.
struct Server<C> {
    http1: http1::Builder,
    http2: H2Limits,
    head_timeout: Duration,
    counts: Arc<HttpCounts>,
    watch: Watch,
    connect: C,
}

/// An open connection. Its drop, also by a panic or an abort of the task, releases its permit and counts its end.
struct Open {
    peer: SocketAddr,
    _permit: Permit,
    _counts: Closing,
}

impl<C, S, B> Server<C>
where
    C: Fn(SocketAddr, Scheme) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + Unpin + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data = Bytes> + Default + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
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
        let connection = Box::pin(H2Connection::new(stream, service, self.http2));
        let watch = self.watch.clone();
        tokio::spawn(async move {
            let _until_the_end = open;
            watch.run(connection, ConnState::default(), |connection| connection.get_mut().drain()).await;
        });
    }

    /// Starts the task of a handshake, which starts the task of the connection: the memory of a handshake is
    /// released with its task.
    fn shake_hands(self: &Arc<Server<C>>, stream: Plain, tls: Arc<Tls>, open: Open) {
        let server = Arc::clone(self);
        tokio::spawn(async move {
            let handshake = Box::pin(tls.handshake(stream, server.head_timeout));
            // A handshake that has begun before a drain may end in it.
            let shaken = server.watch.clone().run(handshake, ConnState::default(), |_| {}).await;
            match shaken {
                Some(Ok(stream)) => {
                    server.counts.handshakes.completed.add();
                    let is_http2 = stream.is_http2();
                    let stream = Stream::Tls(Box::new(stream));
                    if is_http2 {
                        server.serve_http2(stream, open);
                    } else {
                        server.serve_http1(stream, Scheme::Https, open);
                    }
                }
                Some(Err(error)) => count(&server.counts.handshakes, error),
                None => {}
            }
        });
    }
}

fn count(counts: &HandshakeCounts, error: HandshakeError) {
    match error {
        HandshakeError::TimedOut => counts.timed_out.add(),
        HandshakeError::UnknownName => counts.unknown_name.add(),
        HandshakeError::PlainHttp => counts.plain_http.add(),
        HandshakeError::Failed => counts.failed.add(),
    }
}

/// Rate-limits the warning about rejected connections.
#[derive(Default)]
struct Surplus {
    warned: Option<Instant>,
}

impl Surplus {
    fn warn(&mut self, full: Full, settings: &Settings) {
        if self.warned.is_some_and(|at| at.elapsed() < SURPLUS_WARNED_EVERY) {
            return;
        }
        self.warned = Some(Instant::now());
        match full {
            Full::All => tracing::warn!(
                max_connections = settings.connections(),
                "new connections are closed at once: the limit of open connections is reached"
            ),
            // Without the address, which may be a visitor's: no log contains those.
            Full::Address => tracing::warn!(
                max_connections_per_address = settings.max_connections_per_address,
                "new connections are closed at once: one address has reached its limit; \
                 if it is your reverse proxy, add it to http.trusted_proxies"
            ),
        }
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

/// The pause after failures of `accept`, and the rate limit of their warning.
#[derive(Default)]
struct AcceptBackoff {
    pause: Option<Duration>,
    logged: Option<Instant>,
}

/// Returns the next connection of any listener. The listener at `first` is polled first, and the one behind
/// it the next time, so that no listener keeps the others waiting. Cancel safe: nothing is accepted before it
/// returns.
async fn accept<'a>(
    listeners: &'a [Listener],
    first: &mut usize,
    backoff: &mut AcceptBackoff,
    counts: &HttpCounts,
) -> (Plain, SocketAddr, Option<&'a Arc<Tls>>) {
    loop {
        let (at, accepted) = poll_fn(|cx| {
            let in_turn = (0..listeners.len()).map(|step| (*first + step) % listeners.len());
            for at in in_turn {
                if let Poll::Ready(accepted) = listeners[at].poll_accept(cx) {
                    return Poll::Ready((at, accepted));
                }
            }
            Poll::Pending
        })
        .await;
        // May exceed the number of listeners: it is used modulo that number.
        *first = at + 1;
        match accepted {
            Ok((stream, peer)) => {
                // One success shows that the shortage is over.
                backoff.pause = None;
                return (stream, peer, listeners[at].tls.as_ref());
            }
            // The client was gone before its connection was accepted. Its error used up the event of the
            // listener, so the next poll is pending or returns another connection.
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                counts.accept_errors.add();
                // While descriptors are short, every retry fails: at most one line a second.
                if backoff.logged.is_none_or(|at| at.elapsed() >= PAUSE_MAX) {
                    backoff.logged = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept connections; retrying");
                }
                let pause = backoff.pause.map_or(PAUSE, |last| (last * 2).min(PAUSE_MAX));
                backoff.pause = Some(pause);
                // The caller drops this wait when the server stops.
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn is_of_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        // Linux returns pending errors of the new socket as errors of `accept` (accept(2)).
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

async fn drain(shutdown: &Shutdown, limits: &ConnLimits, within: Duration, counts: &HttpCounts) -> Drained {
    shutdown.drain();
    if tokio::time::timeout(within, limits.emptied()).await.is_ok() {
        return Drained { aborted: 0 };
    }
    // Read before the cut, which ends them.
    let aborted = limits.open();
    for _ in 0..aborted {
        counts.aborted.add();
    }
    shutdown.cut();
    // A cut connection ends at its next poll. No task of one is left when this returns, so the parts behind
    // the service may be stopped.
    limits.emptied().await;
    Drained { aborted }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn defaults_pass_and_each_rule_names_its_key() {
        assert_eq!(Settings::default().check(), Ok(()));
        let check = |change: fn(&mut Settings), want: &str| {
            let mut settings = Settings::default();
            change(&mut settings);
            assert_eq!(settings.check().map_err(|e| e.to_string()), Err(want.to_owned()));
        };
        check(|s| s.max_connections = Some(0), "`max_connections` = 0: must be at least 1");
        check(|s| s.max_connections_per_address = 0, "`max_connections_per_address` = 0: must be at least 1");
        check(
            |s| s.header_timeout = Duration::ZERO,
            "`header_timeout` = \"0s\": must be from \"10ms\" to \"1h\"",
        );
        check(
            |s| s.body_timeout = Duration::from_hours(2),
            "`body_timeout` = \"2h\": must be from \"10ms\" to \"1h\"",
        );
        check(
            |s| s.drain_timeout = Duration::from_hours(2),
            "`drain_timeout` = \"2h\": must be at most \"1h\"",
        );
        check(
            |s| s.trusted_proxies = vec!["10.0.0.0/33".to_owned()],
            "`trusted_proxies` = [\"10.0.0.0/33\"]: \"10.0.0.0/33\" is not an address or a network such as 10.0.0.0/8",
        );
        check(|s| s.max_body = 10, "`max_body` = 10: must be at least 1024");
        check(
            |s| s.max_bulk_body = 2_000,
            "`max_bulk_body` = 2000: must be at least `max_body` and at most 67108864",
        );
    }

    #[test]
    fn connections_leave_descriptors_to_the_rest() {
        let rows = [
            (None, 1_000_000, 20_000),
            // The usual limit of a shell, less the reserved 256.
            (None, 1_024, 768),
            (Some(30_000), 1_000_000, 30_000),
            (Some(500), 1_024, 500),
            (Some(5_000), 1_024, 768),
            // The reserve would leave 44 of 300, so half are for connections.
            (Some(5_000), 300, 150),
            (Some(usize::MAX), u64::MAX, usize::MAX - 256),
            // Never 0: no client could connect.
            (Some(5), 0, 1),
        ];
        for (max_connections, descriptors, want) in rows {
            let settings = Settings { max_connections, ..Settings::default() };
            assert_eq!(settings.connections_within(descriptors), want, "{max_connections:?} {descriptors}");
        }
    }

    #[tokio::test]
    async fn accepted_connections_do_not_wait_to_join_packets() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = match bind(address.parse().expect("an address")) {
                Ok(listener) => listener,
                // A machine without IPv6.
                Err(error) if address.starts_with('[') => {
                    return assert_ne!(error.kind(), io::ErrorKind::AddrInUse);
                }
                Err(error) => panic!("{error}"),
            };
            let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("accepted");
            let (accepted, _) = listener.accept().await.expect("a connection");
            assert!(accepted.nodelay().expect("an open socket"), "{address}");
            drop(client);
        }
    }

    /// While one listener always has a connection, the connections of the other one are accepted too.
    #[tokio::test]
    async fn listeners_are_served_in_turn() {
        let mut listeners = Vec::new();
        let mut clients = Vec::new();
        let mut busy = None;
        for connections in [6, 2] {
            let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("bound");
            let address = socket.local_addr().expect("bound");
            busy.get_or_insert(address);
            for _ in 0..connections {
                clients.push(TcpStream::connect(address).await.expect("accepted"));
            }
            listeners.push(Listener::from(socket));
        }
        let busy = busy.expect("two listeners");
        let (mut first, mut backoff, counts) = (0, AcceptBackoff::default(), HttpCounts::default());
        let mut of_busy = Vec::new();
        for _ in 0..clients.len() {
            let (stream, _, tls) = accept(&listeners, &mut first, &mut backoff, &counts).await;
            assert!(tls.is_none());
            let Plain::Tcp(stream) = stream else { panic!("a socket of TCP") };
            of_busy.push(stream.local_addr().expect("open") == busy);
        }
        // The quiet listener is served every second time, until its two connections are accepted.
        assert_eq!(of_busy, [true, false, true, false, true, true, true, true]);
    }

    #[test]
    fn the_section_reads_durations_and_rejects_unknown_keys() {
        let settings: Settings = toml::from_str("body_timeout = \"500ms\"").expect("a known key");
        assert_eq!(settings.body_timeout, Duration::from_millis(500));
        assert_eq!(settings.header_timeout, Settings::default().header_timeout);
        let error = toml::from_str::<Settings>("max_conections = 5").expect_err("misspelt");
        assert!(error.to_string().contains("max_conections"), "{error}");
    }
}
