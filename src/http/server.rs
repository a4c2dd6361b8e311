//! THE accept loop, for a listener that is bound already. What it promises: at most so many
//! connections, each with a deadline for its request heads and for what it is sent; a pause when
//! accepting fails; and at the end a drain that finishes started requests within a bound.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::http::counts::Counts;
use crate::http::stream::{Stream, WRITE_DEADLINE};
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

/// Connections without a setting or a lower limit of the system: enough for any one machine this
/// runs on, and at 16 KB each 320 MB when all of them attack.
const CONNECTIONS: usize = 20_000;

/// File descriptors left for the log, the table and webhooks.
pub const RESERVED_FDS: u64 = 256;

/// The `[http]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Open connections; a surplus one is closed at once. Unset: 20,000, or what the limit of
    /// file descriptors leaves.
    pub max_connections: Option<usize>,
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
                let shown = crate::settings::show_duration(value);
                return Err(BadSetting::new(key, format!("{shown:?}"), "must be from \"10ms\" to \"1h\""));
            }
        }
        if self.drain_timeout > hour {
            let shown = crate::settings::show_duration(self.drain_timeout);
            return Err(BadSetting::new("drain_timeout", format!("{shown:?}"), "must be at most \"1h\""));
        }
        if self.max_connections == Some(0) {
            return Err(BadSetting::new("max_connections", 0, "must be at least 1"));
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
        self.max_connections.unwrap_or_else(|| {
            let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
            // With very few descriptors, half of them.
            let left = descriptors.saturating_sub(RESERVED_FDS).max(descriptors / 2).max(1);
            usize::try_from(left).unwrap_or(CONNECTIONS).min(CONNECTIONS)
        })
    }
}

/// How the drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut at the deadline.
    pub aborted: usize,
}

/// Serves until `stop` completes, then drains: the listener closes first, idle connections are
/// closed, busy ones are told `connection: close` and finish within
/// [`Settings::drain_timeout`].
///
/// `connect` makes the service of each connection.
pub async fn serve<C, S, B>(
    listener: TcpListener,
    settings: &Settings,
    counts: Arc<Counts>,
    connect: C,
    stop: impl Future<Output = ()>,
) -> Drained
where
    C: Fn(SocketAddr) -> S,
    S: HttpService<Incoming, ResBody = B> + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let http = builder(settings);
    let places = Arc::new(Semaphore::new(settings.connections().min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    let mut trouble = Trouble::default();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            // Reaped as they end, so that the set holds open connections only.
            Some(_) = tasks.join_next() => continue,
            accepted = accept(&listener, &mut trouble, &counts) => accepted,
        };
        let (stream, peer) = accepted;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            counts.surplus.add();
            continue;
        };
        counts.connections.add();
        let stream = TokioIo::new(Stream::new(stream, WRITE_DEADLINE));
        let connection = graceful.watch(http.serve_connection(stream, connect(peer)));
        let counts = Closing(Arc::clone(&counts));
        tasks.spawn(async move {
            let _held = (place, counts);
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    drain(graceful, tasks, settings.drain_timeout, &counts).await
}

/// Counts a connection's end however it ends, a panic or an abort included.
struct Closing(Arc<Counts>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closed.add();
    }
}

fn builder(settings: &Settings) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Without a timer hyper has no deadline at all, and only says so in a log line. Its
    // `pipeline_flush` loses answers; `Stream` joins them instead.
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(true)
        .keep_alive(true);
    http
}

/// What `accept` went through lately.
#[derive(Default)]
struct Trouble {
    pause: Option<Duration>,
    logged: Option<Instant>,
}

/// The next connection. Cancel safe: nothing is taken from the listener before it returns.
async fn accept(listener: &TcpListener, trouble: &mut Trouble, counts: &Counts) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                trouble.pause = None;
                // Answers are written whole; waiting to join small packets only adds latency.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::trace!(%error, "cannot set TCP_NODELAY");
                }
                return (stream, peer);
            }
            // The peer was gone before it was accepted: its error, and it used up the event.
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                counts.accept_errors.add();
                if trouble.logged.is_none_or(|at| at.elapsed() >= PAUSE_MAX) {
                    trouble.logged = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept connections, trying again");
                }
                let pause = trouble.pause.map_or(PAUSE, |last| (last * 2).min(PAUSE_MAX));
                trouble.pause = Some(pause);
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

async fn drain(
    graceful: GracefulShutdown,
    mut tasks: JoinSet<()>,
    within: Duration,
    counts: &Counts,
) -> Drained {
    let all_ended = async {
        graceful.shutdown().await;
        while tasks.join_next().await.is_some() {}
    };
    if tokio::time::timeout(within, all_ended).await.is_ok() {
        return Drained { aborted: 0 };
    }
    while tasks.try_join_next().is_some() {}
    let aborted = tasks.len();
    for _ in 0..aborted {
        counts.aborted.add();
    }
    tasks.shutdown().await;
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
    fn the_section_reads_durations_and_refuses_strangers() {
        let settings: Settings = toml::from_str("body_timeout = \"500ms\"").expect("a known key");
        assert_eq!(settings.body_timeout, Duration::from_millis(500));
        assert_eq!(settings.header_timeout, Settings::default().header_timeout);
        let error = toml::from_str::<Settings>("max_conections = 5").expect_err("misspelt");
        assert!(error.to_string().contains("max_conections"), "{error}");
    }
}
