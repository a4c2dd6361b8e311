//! The command line: parses a command, runs it, and returns its exit code.
//!
//! 0: the command succeeded. 1: it failed. 2: bad usage or configuration, found before anything was opened.

mod allocator;
mod arguments;
mod backup;
mod doctor;
mod error;
mod export;
mod import;
mod log_reader;
mod output;
mod progress;
mod restore;
mod runtime;
mod serve;
mod staging;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::error::CommandError;
use self::output::print_error;
use crate::private_files;

/// A link redirector in one binary.
#[derive(Debug, Parser)]
#[command(name = "waypost", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<CliCommand>,
    #[command(flatten)]
    serve: serve::ServeArguments,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Serve redirects and the API. This is the default command.
    Serve(serve::ServeArguments),
    /// Write all links as JSON Lines. The server may run.
    Export(export::ExportArguments),
    /// Read links from JSON Lines. The server must be stopped.
    Import(import::ImportArguments),
    /// Read the whole log and report whether it is sound. The server may run.
    Verify(verify::VerifyArguments),
    /// Copy the log to a folder. The server may run.
    Backup(backup::BackupArguments),
    /// Check everything that a server depends on, and suggest remedies. The server may run.
    Doctor(doctor::DoctorArguments),
    /// Replace the log by a backup. The server must be stopped.
    Restore(restore::RestoreArguments),
}

/// Runs the program and returns its exit code.
pub fn run() -> ExitCode {
    // Before any file is created: the umask applies to new files only.
    private_files::restrict_new_files();
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve::run(&cli.serve),
        Some(CliCommand::Serve(arguments)) => serve::run(&arguments),
        Some(CliCommand::Export(arguments)) => export::run(&arguments),
        Some(CliCommand::Import(arguments)) => import::run(&arguments),
        Some(CliCommand::Verify(arguments)) => verify::run(&arguments),
        Some(CliCommand::Backup(arguments)) => backup::run(&arguments),
        Some(CliCommand::Doctor(arguments)) => doctor::run(&arguments),
        Some(CliCommand::Restore(arguments)) => restore::run(&arguments),
    };
    // Two codes, so that scripts can distinguish a mistake in a call from a failure.
    let (why, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(CommandError::Usage(why)) => (why, ExitCode::from(2)),
        Err(CommandError::Failed(why)) => (why, ExitCode::FAILURE),
    };
    print_error(&format!("waypost: {why}"));
    code
}
