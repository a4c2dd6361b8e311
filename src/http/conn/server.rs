//! THE accept loop, for listeners that are bound already. What it promises: at most so many
//! connections in all and of one address, each with a deadline for its request heads and for what it is sent; a pause when
//! accepting fails; and at the end a drain that finishes started requests within a bound.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::limits::{ConnLimits, Full};
use super::shutdown::Shutdown;
use super::socket::Socket;
use super::state::ConnState;
use crate::descriptors;
use crate::http::counts::Counts;
use crate::model::network::Networks;
use crate::settings::BadSetting;

/// Read buffer of a connection, and so the longest request head. hyper's own default lets a
/// half-sent head hold 400 KB; with this, 10,000 of them hold 160 MB at worst. Past it: 431.
const HEAD_MAX: usize = 16 * 1024;

/// Most header lines of a request; browsers send some 20. Past it: 431.
const HEADERS_MAX: usize = 64;

/// Pause after a failed `accept`: at the limit of file descriptors an immediate retry would burn
/// a core. Doubles up to the second number, so that a lasting shortage costs nothing.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often surplus connections are told of in the log at most.
const SURPLUS_TOLD_EVERY: Duration = Duration::from_mins(1);

/// Connections without a setting or a lower limit of the system: enough for any one machine this
/// runs on, and at 16 KB each 320 MB when all of them attack.
const CONNECTIONS: usize = 20_000;

/// Connections that wait to be accepted; the system may allow fewer. Beyond it a visitor's first packet
/// is dropped, and comes again a second later: with 1,024, thousands who came at once kept one who
/// came among them waiting for that second.
const BACKLOG: u32 = 4_096;

/// The `[http]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Open connections; a surplus one is closed at once. Unset: 20,000. Never more than the limit
    /// of file descriptors leaves beside those for the log, the table and webhooks.
    pub max_connections: Option<usize>,
    /// Open connections of one address (of a v6 address: of its /64); a surplus one is closed at
    /// once. Trusted proxies have no such bound. A browser opens six; behind one address of a large
    /// office or a mobile carrier there are hundreds of people, few of whom click at the same time.
    pub max_connections_per_address: usize,
    /// Time for a complete request head, counted from the connection's last answer: also how long
    /// an idle connection is kept.
    #[serde(with = "crate::settings::duration")]
    pub header_timeout: Duration,
    /// Time for a complete request body.
    #[serde(with = "crate::settings::duration")]
    pub body_timeout: Duration,
    /// Time for started requests to finish when stopping.
    #[serde(with = "crate::settings::duration")]
    pub drain_timeout: Duration,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// Largest body of a bulk request in bytes.
    pub max_bulk_body: usize,
    /// Proxies whose `X-Forwarded-For` is believed: addresses, or networks such as `10.0.0.0/8`.
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
    /// Every rule about a value that has the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        let hour = Duration::from_hours(1);
        let timeouts = [("header_timeout", self.header_timeout), ("body_timeout", self.body_timeout)];
        for (key, value) in timeouts {
            if value < Duration::from_millis(10) || value > hour {
                let shown = crate::settings::duration::show(value);
                return Err(BadSetting::new(key, format!("{shown:?}"), "must be from \"10ms\" to \"1h\""));
            }
        }
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
        if !(self.max_body..=64 * 1024 * 1024).contains(&bulk) {
            let rule = "must be at least `max_body` and at most 67108864";
            return Err(BadSetting::new("max_bulk_body", bulk, rule));
        }
        self.proxies()?;
        Ok(())
    }

    /// The proxies that are believed.
    pub fn proxies(&self) -> Result<Networks, BadSetting> {
        Networks::parse(self.trusted_proxies.iter().map(String::as_str)).map_err(|_| {
            let rule = "must be at most 100 addresses or networks such as \"10.0.0.0/8\"";
            BadSetting::new("trusted_proxies", format!("{:?}", self.trusted_proxies), rule)
        })
    }

    /// The cap that [`serve`] keeps.
    pub fn connections(&self) -> usize {
        self.connections_within(descriptors::limit())
    }

    /// The same with so many file descriptors. What is set is no exception: past the limit the log
    /// would find none for its next file.
    fn connections_within(&self, limit: u64) -> usize {
        // With very few descriptors, half of them.
        let left = limit.saturating_sub(descriptors::RESERVED).max(limit / 2).max(1);
        self.max_connections.unwrap_or(CONNECTIONS).min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

/// What connections of a listener speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1 in clear.
    Http1,
}

/// A bound socket, and what its connections speak.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    protocol: Protocol,
}

/// A listener for HTTP/1.
impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Listener {
        Listener { socket, protocol: Protocol::Http1 }
    }
}

/// How the drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut at the deadline.
    pub aborted: usize,
}

/// Listens. Accepted connections inherit `TCP_NODELAY`, without a system call for each: answers are
/// written whole, and waiting to join small packets would only add latency.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the last connections' minute.
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves all listeners, in turn, until `stop` completes. Then it drains: the listeners close first, idle connections are
/// closed, busy ones are told `connection: close` and finish within
/// [`Settings::drain_timeout`].
///
/// `connect` makes the service of each connection.
pub async fn serve<C, S, B>(
    listeners: Vec<Listener>,
    settings: &Settings,
    counts: Arc<Counts>,
    connect: C,
    stop: impl Future<Output = ()>,
) -> Drained
where
    C: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + Default + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let http = builder();
    let proxies = settings.proxies().expect("the configuration was checked");
    let connections = settings.connections();
    if let Some(asked) = settings.max_connections.filter(|asked| *asked > connections) {
        tracing::warn!(
            asked,
            used = connections,
            "http.max_connections is made to fit the limit of open files; raise that (`ulimit -n`, or \
             LimitNOFILE= of a service) to have more"
        );
    }
    let limits = ConnLimits::new(connections, settings.max_connections_per_address, proxies);
    let shutdown = Shutdown::default();
    let mut backoff = AcceptBackoff::default();
    let mut surplus = Surplus::default();
    let mut stop = std::pin::pin!(stop);
    let mut first = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listeners, &mut first, &mut backoff, &counts) => accepted,
        };
        let (stream, peer, protocol) = accepted;
        let permit = match limits.take(peer.ip()) {
            Ok(permit) => permit,
            Err(full) => {
                counts.surplus.add();
                surplus.tell(full, settings);
                continue;
            }
        };
        counts.connections.add();
        let state = ConnState::default();
        let stream = TokioIo::new(Socket::new(stream, state.clone(), settings.header_timeout));
        // Boxed: a future holds a copy for each function that it hands what it captured, and this is
        // most of what a connection takes.
        let connection = match protocol {
            Protocol::Http1 => Box::pin(http.serve_connection(stream, state.track(connect(peer)))),
        };
        let (watch, counts) = (shutdown.watch(), Closing(Arc::clone(&counts)));
        tokio::spawn(async move {
            let _held = (permit, counts);
            let over =
                watch.over(connection, state, |connection| connection.as_deref_mut().graceful_shutdown());
            if let Some(Err(error)) = over.await {
                tracing::trace!(%error, "connection ended");
            }
        });
    }
    drop(listeners);
    drain(&shutdown, &limits, settings.drain_timeout, &counts).await
}

/// Says that connections are closed for want of a place: now and then, never for each.
#[derive(Default)]
struct Surplus {
    told: Option<Instant>,
}

impl Surplus {
    fn tell(&mut self, full: Full, settings: &Settings) {
        if self.told.is_some_and(|at| at.elapsed() < SURPLUS_TOLD_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        match full {
            Full::All => tracing::warn!(
                max_connections = settings.connections(),
                "connections are closed at once: all places are taken"
            ),
            // Without the address, which may be a visitor's.
            Full::Address => tracing::warn!(
                max_connections_per_address = settings.max_connections_per_address,
                "connections are closed at once: one address has as many as it may; \
                 if that is your reverse proxy, name it in http.trusted_proxies"
            ),
        }
    }
}

/// Counts a connection's end however it ends, a panic or an abort included.
struct Closing(Arc<Counts>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closed.add();
    }
}

fn builder() -> http1::Builder {
    let mut http = http1::Builder::new();
    // `Socket` has the deadline for heads, and joins pipelined answers, which hyper's
    // `pipeline_flush` loses.
    http.header_read_timeout(None)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(true)
        .keep_alive(true);
    http
}

/// What `accept` went through lately.
#[derive(Default)]
struct AcceptBackoff {
    pause: Option<Duration>,
    logged: Option<Instant>,
}

/// Returns the next connection of any listener. The listener at `first` is polled first, and the one behind
/// it the next time, so that no listener keeps the others waiting. Cancel safe: nothing is accepted before it
/// returns.
async fn accept(
    listeners: &[Listener],
    first: &mut usize,
    backoff: &mut AcceptBackoff,
    counts: &Counts,
) -> (TcpStream, SocketAddr, Protocol) {
    loop {
        let (at, accepted) = poll_fn(|cx| {
            let in_turn = (0..listeners.len()).map(|step| (*first + step) % listeners.len());
            for at in in_turn {
                if let Poll::Ready(accepted) = listeners[at].socket.poll_accept(cx) {
                    return Poll::Ready((at, accepted));
                }
            }
            Poll::Pending
        })
        .await;
        *first = at + 1;
        match accepted {
            Ok((stream, peer)) => {
                backoff.pause = None;
                return (stream, peer, listeners[at].protocol);
            }
            // The peer was gone before it was accepted: its error, and it used up the event.
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                counts.accept_errors.add();
                if backoff.logged.is_none_or(|at| at.elapsed() >= PAUSE_MAX) {
                    backoff.logged = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept connections, trying again");
                }
                let pause = backoff.pause.map_or(PAUSE, |last| (last * 2).min(PAUSE_MAX));
                backoff.pause = Some(pause);
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn is_of_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

async fn drain(shutdown: &Shutdown, limits: &ConnLimits, within: Duration, counts: &Counts) -> Drained {
    shutdown.drain();
    if tokio::time::timeout(within, limits.emptied()).await.is_ok() {
        return Drained { aborted: 0 };
    }
    let aborted = limits.taken();
    for _ in 0..aborted {
        counts.aborted.add();
    }
    shutdown.cut();
    limits.emptied().await;
    Drained { aborted }
}

#[cfg(test)]
mod tests {
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
            "`trusted_proxies` = [\"10.0.0.0/33\"]: must be at most 100 addresses or networks such as \"10.0.0.0/8\"",
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
            (None, 1_024, 768),
            (Some(30_000), 1_000_000, 30_000),
            (Some(500), 1_024, 500),
            (Some(5_000), 1_024, 768),
            (Some(5_000), 300, 150),
            (Some(usize::MAX), u64::MAX, usize::MAX - 256),
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

    /// While one listener always has a connection, the other one has its turn.
    #[tokio::test]
    async fn listeners_are_served_in_turn() {
        let mut listeners = Vec::new();
        let mut clients = Vec::new();
        for connections in [6, 2] {
            let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("bound");
            let address = socket.local_addr().expect("bound");
            for _ in 0..connections {
                clients.push(TcpStream::connect(address).await.expect("accepted"));
            }
            listeners.push(Listener::from(socket));
        }
        let busy = listeners[0].socket.local_addr().expect("bound");
        let (mut first, mut backoff, counts) = (0, AcceptBackoff::default(), Counts::default());
        let mut of_busy = Vec::new();
        for _ in 0..clients.len() {
            let (stream, _, protocol) = accept(&listeners, &mut first, &mut backoff, &counts).await;
            assert_eq!(protocol, Protocol::Http1);
            of_busy.push(stream.local_addr().expect("open") == busy);
        }
        assert_eq!(of_busy, [true, false, true, false, true, true, true, true]);
    }

    #[test]
    fn the_section_reads_durations_and_refuses_strangers() {
        let settings: Settings = toml::from_str("body_timeout = \"500ms\"").expect("a known key");
        assert_eq!(settings.body_timeout, Duration::from_millis(500));
        assert_eq!(settings.header_timeout, Settings::default().header_timeout);
        let error = toml::from_str::<Settings>("max_conections = 5").expect_err("misspelt");
        assert!(error.to_string().contains("max_conections"), "{error}");
    }
}
