//! The signals of a server. SIGUSR1 is caught and ignored: by default it would end the program, such as when a log
//! rotation signals all programs.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalRequest {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGUSR2: start again in the same process.
    Restart,
    /// SIGHUP, which a terminal also sends when it closes.
    Reload,
}

/// The signals of this process, caught since [`Signals::new`].
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    ignored: Signal,
    restart: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            ignored: signal(SignalKind::user_defined1())?,
            // From here on: before, this signal ends the program, so it is caught as early as the others.
            restart: signal(SignalKind::user_defined2())?,
        })
    }

    /// Returns at the next signal that asks for something.
    pub(super) async fn next(&mut self) -> SignalRequest {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return SignalRequest::Stop,
                _ = self.interrupt.recv() => return SignalRequest::Stop,
                _ = self.restart.recv() => return SignalRequest::Restart,
                _ = self.hangup.recv() => return SignalRequest::Reload,
                _ = self.ignored.recv() => {
                    tracing::info!("SIGUSR1 is ignored; SIGTERM stops the server");
                }
            }
        }
    }

    /// Returns at the next signal that stops the server. `why` is the reason why the others are ignored.
    pub(super) async fn stop(&mut self, why: &str) {
        loop {
            match self.next().await {
                SignalRequest::Stop => return,
                SignalRequest::Restart => tracing::info!("SIGUSR2 is ignored: {why}"),
                SignalRequest::Reload => tracing::info!("SIGHUP is ignored: {why}"),
            }
        }
    }

    /// Returns at the first signal that comes later than `quiet` from now and stops the server.
    pub(super) async fn stop_after(&mut self, quiet: Duration) {
        let from = Instant::now() + quiet;
        loop {
            self.stop("the server stops already").await;
            if Instant::now() >= from {
                return;
            }
            tracing::info!("stopping already; another signal after a second ends at once");
        }
    }
}
