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

use super::connections::{Connections, Open, VisitService};
use super::h2::Upload;
use super::limits::{ConnLimits, Full};
use super::listener::Opening;
pub use super::listener::{Listener, Scheme, bind};
use super::plain::Plain;
pub use super::settings::{ProxiedListener, Settings};
use super::shutdown::Shutdown;
use crate::http::counts::HttpCounts;

/// Pause after a failed `accept`: at the limit of file descriptors an immediate retry would use up a core.
/// Doubles up to [`PAUSE_MAX`], so that a lasting shortage costs nothing.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connections that are accepted between two polls of the stop while one waits behind the other: such a poll takes 700
/// instructions, and a stream of new connections must not delay the stop.
const BURST: u32 = 16;

/// Shortest time between two warnings about rejected connections.
const SURPLUS_WARNED_EVERY: Duration = Duration::from_mins(1);

/// How long a drain waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTime {
    /// For started requests. Afterwards their connections are cut.
    pub within: Duration,
    /// For the first request of a connection, counted from its acceptance. Without it, a visitor whose connection was
    /// accepted right before the drain is refused.
    pub first_request: Duration,
}

/// Waits for started requests alone.
impl From<Duration> for DrainTime {
    fn from(within: Duration) -> DrainTime {
        DrainTime { within, first_request: Duration::ZERO }
    }
}

/// The result of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut at the deadline.
    pub aborted: usize,
}

/// Serves all listeners, in turn, until `stop` completes. Then it drains: it closes the listeners, then idle
/// connections. Busy connections finish their response with `connection: close`, within the time that `stop` returns.
///
/// `connect` creates the service of each connection.
pub async fn serve<C, S, B>(
    listeners: Vec<Listener>,
    settings: &Settings,
    counts: Arc<HttpCounts>,
    connect: C,
    stop: impl Future<Output = DrainTime>,
) -> Drained
where
    C: Fn(SocketAddr, Scheme) -> S + Send + Sync + 'static,
    S: VisitService<Incoming, Content = B> + VisitService<Upload<Incoming>, Content = B>,
    B: Body<Data = Bytes> + Default + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let proxies = settings.proxies().expect("the configuration was checked");
    let most = settings.connections();
    // A limit below the configured one must not apply silently.
    if let Some(asked) = settings.max_connections.filter(|asked| *asked > most) {
        tracing::warn!(
            asked,
            used = most,
            "http.max_connections exceeds the limit of open files, which applies; raise it (`ulimit -n`, or \
             LimitNOFILE= of a service)"
        );
    }
    let limits = ConnLimits::new(most, settings.max_connections_per_address, proxies);
    let shutdown = Shutdown::default();
    let connections = Arc::new(Connections::new(settings, Arc::clone(&counts), shutdown.watch(), connect));
    let mut backoff = AcceptBackoff::default();
    let mut surplus = Surplus::default();
    let mut stop = std::pin::pin!(stop);
    let (mut first, mut burst) = (0, 0);
    let time = loop {
        if burst == BURST
            && let Poll::Ready(time) = poll_fn(|cx| Poll::Ready(stop.as_mut().poll(cx))).await
        {
            break time;
        }
        burst = burst % BURST + 1;
        let accepted = tokio::select! {
            biased;
            accepted = accept(&listeners, &mut first, &mut backoff, &counts) => accepted,
            time = &mut stop => break time,
        };
        let (stream, peer, opening) = accepted;
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
        connections.serve(stream, opening, Open::new(peer, permit, &counts));
    };
    // Before the drain: the system rejects new connections, and another server may bind the address.
    drop(listeners);
    drain(&shutdown, &limits, time, &counts).await
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
) -> (Plain, SocketAddr, &'a Opening) {
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
                return (stream, peer, &listeners[at].opening);
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

async fn drain(shutdown: &Shutdown, limits: &ConnLimits, time: DrainTime, counts: &HttpCounts) -> Drained {
    shutdown.drain(time.first_request);
    if tokio::time::timeout(time.within, limits.emptied()).await.is_ok() {
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
            let (stream, _, opening) = accept(&listeners, &mut first, &mut backoff, &counts).await;
            assert!(opening.tls.is_none());
            let Plain::Tcp(stream) = stream else { panic!("a socket of TCP") };
            of_busy.push(stream.local_addr().expect("open") == busy);
        }
        // The quiet listener is served every second time, until its two connections are accepted.
        assert_eq!(of_busy, [true, false, true, false, true, true, true, true]);
    }
}
