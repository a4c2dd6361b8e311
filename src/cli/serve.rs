//! `waypost [serve]`: starts the program, says how to use it, and stops it when told to.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Common, Failure, load, runtime, say};
use crate::app::App;
use crate::clock::Clock;
use crate::config::memory::keep_to_few_arenas;
use crate::config::{self, Config};
use crate::core::{self, Bootstrap};
use crate::webhooks;

/// Threads for reads of the table, beside those that look-ups of receivers' names and password
/// hashing may hold for longer: neither may keep a visitor from a link that is not in memory. Each
/// read takes microseconds, so a few suffice; many would only queue inside sled.
const READING_THREADS: usize = 32;

/// How long tasks may take to notice that the runtime is going away, after everything that
/// matters was stopped in order.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// Arguments of `serve`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Check the configuration and exit.
    #[arg(long)]
    check: bool,
    /// Start although a damaged log has lost links, with what can still be read.
    #[arg(long)]
    accept_loss: bool,
}

/// Runs until told to stop.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut config = load(&arguments.common)?;
    if arguments.check {
        say("waypost: the configuration is right");
        return Ok(());
    }
    config.log.accept_loss = arguments.accept_loss;
    start_logging(&config.log_filter);
    keep_to_few_arenas();
    config.fit_memory();
    let runtime = runtime()?;
    let done = runtime.block_on(serve(config));
    runtime.shutdown_timeout(RUNTIME_END);
    done
}

fn runtime() -> Result<Runtime, Failure> {
    let held = webhooks::LOOKUPS_MAX + core::heavy_threads();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    runtime::build(builder.enable_all().max_blocking_threads(READING_THREADS + held))
}

fn start_logging(filter: &str) {
    let filter = config::log_targets(filter).expect("the configuration was checked");
    let lines = tracing_subscriber::fmt::layer().with_writer(Lines::default).with_ansi(false);
    tracing_subscriber::registry().with(lines).with(filter).init();
}

/// stderr, of which a closed end is no error.
#[derive(Default)]
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn serve(config: Config) -> Result<(), Failure> {
    // Before the start, so that a signal during it is not lost.
    let mut signals = Signals::new().map_err(Failure::from)?;
    let shown = config.clone();
    let app = App::start(config, Clock::system()).await.map_err(Failure::from)?;
    let ready = tokio::select! {
        ready = app.ready() => Some(ready),
        () = signals.next() => None,
    };
    if let Some(ready) = ready {
        tell(&shown, &app, &ready.map_err(Failure::from)?);
        signals.next().await;
    }
    tracing::info!("stopping: started requests may finish; a second signal ends at once");
    tokio::select! {
        () = app.stop() => tracing::info!("stopped"),
        () = signals.next() => {
            say("waypost: ended at once; the next start replays what is missing");
            std::process::exit(1);
        }
    }
    Ok(())
}

/// Where it listens, where its data is, where the key is, and a first command.
fn tell(config: &Config, app: &App, bootstrap: &Bootstrap) {
    let data = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let address = app.address();
    let (key, shown) = match &bootstrap.key_file {
        Some(file) => {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            (format!("$(cat {})", file.display()), file.display().to_string())
        }
        None if config.admin_key.is_some() => {
            ("$WAYPOST_ADMIN_KEY".to_owned(), "WAYPOST_ADMIN_KEY".to_owned())
        }
        None => (
            "YOUR_KEY".to_owned(),
            "not here any more: use the one you kept, or start once with WAYPOST_ADMIN_KEY".to_owned(),
        ),
    };
    // stdout may be closed: whoever started us without one does not want the text.
    let _ = writeln!(
        io::stdout(),
        "Waypost is listening on http://{address}\n  \
           short URLs  {public_url}/...\n  \
           data        {data}\n  \
           admin key   {shown}\n\n\
         Create a link:\n\n  \
           curl -X POST http://{address}/api/v1/links \\\n    \
             -H \"Authorization: Bearer {key}\" \\\n    \
             -d '{{\"url\": \"https://example.com/\"}}'\n",
        public_url = config.public_url.trim_end_matches('/'),
        data = data.display(),
    );
    let _ = io::stdout().flush();
}

/// SIGTERM and SIGINT, as one. SIGHUP, SIGUSR1 and SIGUSR2 mean nothing here, and are taken so
/// that they do not end the program, as they would by default: a terminal closes, a log rotation
/// tells everybody.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    ignored: [Signal; 3],
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            ignored: [
                signal(SignalKind::hangup())?,
                signal(SignalKind::user_defined1())?,
                signal(SignalKind::user_defined2())?,
            ],
        })
    }

    async fn next(&mut self) {
        let [hangup, first, second] = &mut self.ignored;
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = hangup.recv() => "SIGHUP",
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            tracing::info!("{name} means nothing here; SIGTERM stops");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn reads_find_a_thread_whatever_hangs_in_look_ups_and_heavy_work() {
        let runtime = runtime().expect("threads can be started");
        let (release, hanging) = mpsc::channel::<()>();
        let hanging = std::sync::Arc::new(parking_lot::Mutex::new(hanging));
        for _ in 0..webhooks::LOOKUPS_MAX + core::heavy_threads() {
            let hanging = std::sync::Arc::clone(&hanging);
            runtime.spawn_blocking(move || hanging.lock().recv());
        }
        let (done, read) = mpsc::channel();
        runtime.spawn_blocking(move || done.send(()));
        let read = read.recv_timeout(Duration::from_mins(1));
        drop(release);
        assert_eq!(read, Ok(()));
    }
}
