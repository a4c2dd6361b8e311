//! The signals of a server. SIGUSR1 is caught and ignored: by default it would end the program, such as when a log
//! rotation signals all programs.
//!
//! An exec resets the handlers of signals, and keeps which signals are blocked and wait. So they are blocked while the
//! process has no handlers: from before the exec of a restart until the next program has its own.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that do not ask for an end.
const OTHERS: [Number; 3] = [Number::SIGHUP, Number::SIGUSR1, Number::SIGUSR2];

/// Signals that ask for an end.
const ENDS: [Number; 2] = [Number::SIGTERM, Number::SIGINT];

/// How long a signal that arrived before [`block`] may take to reach its receiver in [`Signals`].
const ON_ITS_WAY: Duration = Duration::from_millis(2);

/// Blocks the signals that do not ask for an end, in this thread and in those that it will start. A start must call it
/// first: without handlers, these signals end the process as well.
pub(super) fn block_others() {
    block(OTHERS);
}

/// Like [`block_others`], for all signals of a server. Until [`Signals::new`], only SIGKILL ends the process.
pub(super) fn block_all() {
    block(OTHERS.into_iter().chain(ENDS));
}

fn block(signals: impl IntoIterator<Item = Number>) {
    // An error would mean that the system knows no masks. Then the signals keep their default for some milliseconds.
    let _ = signals.into_iter().collect::<SigSet>().thread_block();
}

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
    /// Catches the signals, and unblocks them in this thread. One thread is enough: the system chooses it for each signal
    /// to the process.
    pub(super) fn new() -> io::Result<Signals> {
        let signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            ignored: signal(SignalKind::user_defined1())?,
            // From here on: before, this signal ends the program, so it is caught as early as the others.
            restart: signal(SignalKind::user_defined2())?,
        };
        // After the handlers, which those get that wait.
        OTHERS.into_iter().chain(ENDS).collect::<SigSet>().thread_unblock()?;
        Ok(signals)
    }

    /// Blocks all signals, so that the next program of this process gets them. Returns whether one has asked for an end
    /// before.
    pub(super) async fn block(&mut self) -> bool {
        block_all();
        tokio::time::timeout(ON_ITS_WAY, self.stop("the server starts again already")).await.is_ok()
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
