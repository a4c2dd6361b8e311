//! The command line: which command, with which configuration, ending in which exit code.
//!
//! 0: done. 1: failed. 2: bad usage or configuration, before anything was opened.

pub mod backup;
pub mod doctor;
pub mod export;
pub mod import;
mod progress;
pub mod restore;
pub mod serve;
pub mod verify;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;

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
            say(&format!("waypost: {why}"));
            ExitCode::from(2)
        }
        Err(Failure::Failed(why)) => {
            say(&format!("waypost: {why}"));
            ExitCode::FAILURE
        }
    }
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

/// Writes a line to stderr. A closed stderr is no reason to fail.
pub fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
