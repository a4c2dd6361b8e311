//! `waypost [serve]`: starts the server, prints how to use it, and stops it at a signal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;

use super::allocator::restart_with_few_arenas;
use super::arguments::ServerFile;
use super::error::CommandError;
use super::notify::{self, Watchdog};
use super::output::{end_in_json, print_line, print_note};
use super::restart::{self, ProgramFile, VALID};
use super::signals::{self, SignalRequest, Signals};
use super::{banner, log_lines, runtime};
use crate::app::{App, StartError, files};
use crate::certificates;
use crate::checks;
use crate::clock::Clock;
use crate::config::{self, Config, LogFormat};
use crate::core;
use crate::descriptors;
use crate::http::conn::handover::{HandedOver, KeptSocket};
use crate::webhooks;

/// Blocking threads for reads of the table, beside the threads that look-ups of receivers' names and heavy work
/// may occupy for longer: neither may delay a visit of a link that is not in memory. A read takes microseconds, so
/// a few threads suffice, and more would only queue inside sled.
const READING_THREADS: usize = 32;

/// The variable of `log_format`.
const FORMAT_VARIABLE: &str = "WAYPOST_LOG_FORMAT";

/// How long a second signal after the first does nothing: programs such as `timeout` send SIGTERM to the server and to
/// its process group at once. A person needs longer for a second Ctrl-C.
const REPEATED: Duration = Duration::from_secs(1);

/// Most domains that the line of the start names.
const DOMAINS_SHOWN: usize = 20;

/// How long remaining tasks may run after everything that matters was stopped in order.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// Arguments of `serve`.
#[derive(Clone, Debug, Args)]
pub(super) struct ServeArguments {
    #[command(flatten)]
    config_file: ServerFile,
    /// Check the configuration and exit.
    #[arg(long)]
    check: bool,
    /// Start although a damaged log has lost links, with the links that can still be read.
    #[arg(long)]
    accept_loss: bool,
}

/// Runs the server until a signal stops it. The error of a failed start ends by naming the command that checks
/// everything.
pub(super) fn run(arguments: &ServeArguments) -> Result<(), CommandError> {
    let doctor =
        || format!("`{}` checks everything that a start needs", arguments.config_file.command("doctor"));
    start(arguments).map_err(|error| error.with_line(&doctor()))
}

fn start(arguments: &ServeArguments) -> Result<(), CommandError> {
    // Before the file is read: an error in it should have the format as well.
    if std::env::var(FORMAT_VARIABLE).is_ok_and(|format| config::unquoted(&format) == "json") {
        end_in_json();
    }
    let mut config = arguments.config_file.load()?;
    if matches!(config.log_format, LogFormat::Json) {
        end_in_json();
    }
    if arguments.check {
        files::check(&config).map_err(|error| CommandError::Usage(error.to_string()))?;
        let (needed, others): (Vec<_>, Vec<_>) =
            files::closed_to_owner(&config).into_iter().partition(|(is_needed, _)| *is_needed);
        if let Some((_, why)) = needed.into_iter().next() {
            return Err(CommandError::Usage(why));
        }
        let answer = restart::answer(&config)?;
        // A server that asks has no reader for warnings, and waits for the answer.
        if answer.is_empty() {
            let others = others.into_iter().map(|(_, why)| why);
            for text in config.origin.warnings.iter().cloned().chain(files::warnings(&config)).chain(others) {
                print_note(&format!("warning: {text}"));
            }
        }
        print_line(VALID);
        for line in &answer {
            print_line(line);
        }
        return Ok(());
    }
    signals::block_others();
    // An argument and no setting of the file: loss must be accepted for one start at a time.
    config.log.accept_loss = arguments.accept_loss;
    log_lines::start(&config);
    // Before an upgrade can replace it.
    let program = ProgramFile::find();
    // Before it is read: with the usual soft limit of 1,024, only 768 visitors could be connected.
    descriptors::raise();
    // Before the runtime exists: an exec keeps no threads.
    restart_with_few_arenas();
    // After the exec, which would repeat them.
    if let Some(text) = config.origin.passed_over_text() {
        tracing::info!("{text}");
    }
    for text in &config.origin.warnings {
        tracing::warn!("{text}");
    }
    // After the logging starts: each change of a cache is logged.
    config.fit_memory();
    // Before threads are started, since it removes variables.
    let handed = HandedOver::from_environment().map_err(|error| CommandError::Usage(error.to_string()))?;
    // Before other threads exist: they would get signals that this thread has blocked.
    signals::block_all();
    let runtime = runtime()?;
    let done = runtime.block_on(serve(config, arguments, handed, &program));
    if let Ok(ServeEnd::Restart(kept)) = &done {
        // Nothing of the runtime outlives an exec.
        return Err(program.execute(kept));
    }
    runtime.shutdown_timeout(RUNTIME_END);
    done.map(drop)
}

/// How the server ended.
enum ServeEnd {
    Stopped,
    /// The program must be executed again, with these sockets.
    Restart(Vec<KeptSocket>),
}

/// Returns how many blocking threads look-ups that hang and heavy work occupy at most.
fn occupied_threads() -> usize {
    let lookups = webhooks::LOOKUPS_MAX + checks::LOOKUPS_MAX;
    lookups as usize + certificates::LOOKUPS_MAX + core::heavy_threads()
}

fn runtime() -> Result<Runtime, CommandError> {
    let occupied = occupied_threads();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    runtime::build(builder.enable_all().max_blocking_threads(READING_THREADS + occupied))
}

async fn serve(
    config: Config,
    arguments: &ServeArguments,
    handed: HandedOver,
    program: &ProgramFile,
) -> Result<ServeEnd, CommandError> {
    // Before the start, so that a signal during the start is not lost.
    let mut signals = Signals::new().map_err(CommandError::from)?;
    let watchdog = Watchdog::default();
    tokio::spawn(watchdog.clone().report());
    let mut shown = config.clone();
    let mut app =
        App::start_over(config, Clock::system(), handed, |log| log).await.map_err(|error| match error {
            // As every other error of the configuration: a supervisor must not repeat the start.
            StartError::DenyList(_)
            | StartError::Certificate(_)
            | StartError::Setting(_)
            | StartError::Handover(_) => CommandError::Usage(error.to_string()),
            error => CommandError::from(error),
        })?;
    let ready = tokio::select! {
        ready = app.ready() => Some(ready),
        () = signals.stop("the start is not finished") => None,
    };
    let mut next = SignalRequest::Stop;
    if let Some(ready) = ready {
        let bootstrap = ready.map_err(CommandError::from)?;
        shown.follow_ports(app.listen(), app.https());
        // On a terminal, the banner has it all.
        if !(io::stderr().is_terminal() && io::stdout().is_terminal()) {
            log_start(&shown, &app);
        }
        let client = |command: &str| arguments.config_file.client_command(command);
        banner::print(&shown, &app, &bootstrap, client);
        // Before the supervisor begins to count.
        watchdog.watch(Some(app.liveness()));
        notify::ready(app.core().clock().now());
        next = until_the_end(&mut app, &mut signals, program).await;
    }
    watchdog.watch(None);
    match next {
        SignalRequest::Restart => restart(app, &mut signals).await,
        _ => stop(app, &mut signals).await,
    }
}

/// Returns at the signal that ends this program: a stop, or a restart that the file to be started has accepted.
async fn until_the_end(app: &mut App, signals: &mut Signals, program: &ProgramFile) -> SignalRequest {
    loop {
        match signals.next().await {
            SignalRequest::Stop => return SignalRequest::Stop,
            SignalRequest::Reload => {
                tracing::info!(
                    "SIGHUP: certificate files that have changed are read; SIGUSR2 reads all settings"
                );
                app.reload();
            }
            SignalRequest::Restart => {
                notify::reloading();
                match prepare_restart(app, program).await {
                    Ok(()) => return SignalRequest::Restart,
                    Err(why) => {
                        tracing::error!("{}: {why}", notify::REFUSED);
                        notify::refused(&why, app.core().clock().now());
                    }
                }
            }
        }
    }
}

/// Checks the next program, and binds what it will listen on: once this one has stopped, a failure would end the server.
async fn prepare_restart(app: &mut App, program: &ProgramFile) -> Result<(), String> {
    let listen = program.check(app.data_dir()).await?;
    if listen.is_empty() {
        // Of an older version: it binds its addresses itself, as it always did.
        return Ok(());
    }
    app.prepare_restart(&listen).map_err(|error| error.to_string())
}

async fn stop(app: App, signals: &mut Signals) -> Result<ServeEnd, CommandError> {
    notify::stopping();
    tracing::info!("stopping: requests in progress may finish; another signal after a second ends at once");
    tokio::select! {
        () = app.stop() => tracing::info!("stopped"),
        () = signals.stop_after(REPEATED) => end_at_once(),
    }
    Ok(ServeEnd::Stopped)
}

/// Stops the parts of the program for a restart. Ends as a stop if a signal asks for one.
async fn restart(app: App, signals: &mut Signals) -> Result<ServeEnd, CommandError> {
    tracing::info!("starting again: new connections wait in the meantime");
    let mut stopping = std::pin::pin!(app.stop_for_restart());
    tokio::select! {
        kept = &mut stopping => {
            if !signals.block().await {
                return Ok(ServeEnd::Restart(kept));
            }
            tracing::info!("stopped instead");
            return Ok(ServeEnd::Stopped);
        }
        () = signals.stop("the server starts again already") => {}
    }
    notify::stopping();
    tracing::info!("stopping instead; another signal after a second ends at once");
    tokio::select! {
        kept = &mut stopping => drop(kept),
        () = signals.stop_after(REPEATED) => end_at_once(),
    }
    tracing::info!("stopped");
    Ok(ServeEnd::Stopped)
}

/// Ends the program like a crash: nothing acknowledged is lost, but clicks of the last interval are.
fn end_at_once() {
    tracing::warn!("ended at once; the next start replays the log");
    std::process::exit(1);
}

/// Logs one line with everything that a report about this server needs.
fn log_start(config: &Config, app: &App) {
    let domains = app.core().domain_names();
    let shown = domains.iter().take(DOMAINS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(",");
    let more = domains.len().saturating_sub(DOMAINS_SHOWN);
    tracing::info!(
        version = %env!("CARGO_PKG_VERSION"),
        listen = %app.listen(),
        public_url = %config.public_url,
        data_dir = %config.data_dir.display(),
        // Absent without a file.
        config = config.origin.file.as_ref().map(|file| tracing::field::display(file.display())),
        domains = %if more > 0 { format!("{shown} and {more} more") } else { shown },
        connections = config.http.connections(),
        "Waypost started"
    );
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
        for _ in 0..occupied_threads() {
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
