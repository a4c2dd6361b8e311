//! The command line: which command, with which configuration, ending in which exit code.
//!
//! 0: done. 1: failed. 2: bad usage or configuration, before anything was opened.

pub mod backup;
pub mod doctor;
pub mod export;
pub mod import;
mod progress;
pub mod restore;
mod runtime;
pub mod serve;
pub mod verify;

use std::fmt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::private_files;

/// A link redirector in one binary.
#[derive(Debug, Parser)]
#[command(name = "waypost", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve redirects and the API (what `waypost` alone does).
    Serve(serve::Arguments),
    /// Write all links as JSON Lines; works beside a running server.
    Export(export::Arguments),
    /// Read links from JSON Lines; the server must be stopped.
    Import(import::Arguments),
    /// Read the whole log and say whether it is sound; works beside a running server.
    Verify(verify::Arguments),
    /// Copy the log to a folder; works beside a running server.
    Backup(backup::Arguments),
    /// Look at all that a server depends on, and say what to do; works beside a running server.
    Doctor(doctor::Arguments),
    /// Put a backup in the place of the log; the server must be stopped.
    Restore(restore::Arguments),
}

/// The socket of the system's log.
const SYSLOG: &str = "/dev/log";

/// What a line there begins with: facility `daemon`, severity `error`.
const SYSLOG_ERROR: &str = "<27>";

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The configuration file; none is needed.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What ended a command early, as its last line on stderr.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 2.
    Usage(String),
    /// Exit code 1.
    Failed(String),
}

impl Failure {
    /// A failure with its cause's words.
    pub fn from(error: impl fmt::Display) -> Failure {
        Failure::Failed(error.to_string())
    }
}

/// Runs the program. The result is its exit code.
pub fn run() -> ExitCode {
    private_files::restrict_new_files();
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(arguments)) => serve::run(&arguments),
        Some(Command::Export(arguments)) => export::run(&arguments),
        Some(Command::Import(arguments)) => import::run(&arguments),
        Some(Command::Verify(arguments)) => verify::run(&arguments),
        Some(Command::Backup(arguments)) => backup::run(&arguments),
        Some(Command::Doctor(arguments)) => doctor::run(&arguments),
        Some(Command::Restore(arguments)) => restore::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(why)) => {
            complain(&format!("waypost: {why}"));
            ExitCode::from(2)
        }
        Err(Failure::Failed(why)) => {
            complain(&format!("waypost: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// Parses the path of something that a command creates. Rejects a `~` at the start, which no shell replaced
/// and which would become the name of a folder.
fn created_path(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('~') {
        return Err(
            "no shell replaces `~` here: write the whole path, or ./~ for a file of that name".to_owned()
        );
    }
    Ok(PathBuf::from(text))
}

/// Reads the configuration.
pub fn load(common: &Common) -> Result<Config, Failure> {
    let mut variables = Vec::new();
    // `std::env::vars` panics at the first variable that is no text, whosever it is.
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) if name.starts_with("WAYPOST_") => {
                return Err(Failure::Usage(format!("environment variable {name}: must be UTF-8")));
            }
            Err(_) => {}
        }
    }
    Config::load(common.config.as_deref(), variables).map_err(|error| Failure::Usage(error.to_string()))
}

/// Writes a result to stdout.
pub fn tell(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes why the program ends, on stderr. A stderr that takes nothing, such as a file on the very disk
/// that is full, must not make the end a silent one: then the line goes to stdout, or to the system's log.
fn complain(line: &str) {
    use std::io::Write;
    let whole = format!("{line}\n");
    if std::io::stderr().write_all(whole.as_bytes()).is_ok() {
        return;
    }
    let mut stdout = std::io::stdout();
    if stdout.write_all(whole.as_bytes()).and_then(|()| stdout.flush()).is_ok() {
        return;
    }
    let _ = UnixDatagram::unbound()
        .and_then(|socket| socket.send_to(format!("{SYSLOG_ERROR}{line}").as_bytes(), SYSLOG));
}

/// Writes a line to stderr. A closed stderr is no reason to fail.
pub fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
