//! The command line: parses a command, runs it, and returns its exit code.
//!
//! 0: the command succeeded. 1: it failed, or the server refused it. 2: bad usage or configuration, found before
//! anything was opened or sent. 3: no server of Waypost answered.

mod allocator;
mod api_client;
mod api_server;
mod arguments;
mod authority;
mod backup;
mod banner;
mod click_reader;
mod client_arguments;
mod columns;
mod demo;
mod doctor;
mod domain;
mod error;
mod export;
mod export_clicks;
mod export_output;
mod import;
mod instant;
mod key;
mod key_source;
mod link;
mod log_lines;
mod log_reader;
mod manual;
mod notify;
mod output;
mod print;
mod progress;
mod restart;
mod restore;
mod runtime;
mod sections;
mod serve;
mod setup;
mod share;
mod signals;
mod staging;
mod stats;
mod suggestions;
mod terminal;
mod verify;
mod verify_details;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::error::CommandError;
use self::output::{print_error, print_line};
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
    /// Serve a demo: links and a month of visits in a folder that is removed at the end.
    Demo(demo::DemoArguments),
    /// Create, list, show, change, delete and open links on a running server.
    Link(link::LinkArguments),
    /// Create, list and revoke API keys on a running server.
    Key(key::KeyArguments),
    /// Show the clicks of a link, or of all links, of a running server.
    Stats(stats::StatsArguments),
    /// Share the clicks of links and tags with people who have no key, on a running server.
    Share(share::ShareArguments),
    /// Add and list domains on a running server.
    Domain(domain::DomainArguments),
    /// Write all links, or the details of clicks, as lines. The server may run.
    Export(export::ExportArguments),
    /// Read links from JSON Lines. The server must be stopped.
    Import(import::ImportArguments),
    /// Read the whole log and all details of clicks, and report whether they are sound. The server may run.
    Verify(verify::VerifyArguments),
    /// Copy all links and details of clicks to a folder. The server may run.
    Backup(backup::BackupArguments),
    /// Check everything that a server depends on, and suggest remedies. The server may run.
    Doctor(doctor::DoctorArguments),
    /// Replace links and details of clicks by a backup. The server must be stopped.
    Restore(restore::RestoreArguments),
    /// Print the completions for a shell.
    Completions(manual::CompletionsArguments),
    /// Print a manual page, for `man`.
    Man(manual::ManArguments),
    /// Install this program as a service of systemd, and start it.
    Setup(setup::SetupArguments),
    /// Print the configuration of a program that works with this server: a proxy, Prometheus, a container.
    Print(print::PrintArguments),
    /// Print the version.
    Version,
}

/// Runs the program and returns its exit code.
pub fn run() -> ExitCode {
    // Before any file is created: the umask applies to new files only.
    private_files::restrict_new_files();
    let typed: Vec<_> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&suggestions::improve(error, &Cli::command(), &typed)),
    };
    let done = match cli.command {
        None => serve::run(&cli.serve),
        Some(CliCommand::Serve(arguments)) => serve::run(&arguments),
        Some(CliCommand::Demo(arguments)) => demo::run(&arguments),
        Some(CliCommand::Export(arguments)) => export::run(&arguments),
        Some(CliCommand::Import(arguments)) => import::run(&arguments),
        Some(CliCommand::Verify(arguments)) => verify::run(&arguments),
        Some(CliCommand::Backup(arguments)) => backup::run(&arguments),
        Some(CliCommand::Doctor(arguments)) => doctor::run(&arguments),
        Some(CliCommand::Restore(arguments)) => restore::run(&arguments),
        Some(CliCommand::Link(arguments)) => link::run(&arguments),
        Some(CliCommand::Key(arguments)) => key::run(&arguments),
        Some(CliCommand::Stats(arguments)) => stats::run(&arguments),
        Some(CliCommand::Share(arguments)) => share::run(&arguments),
        Some(CliCommand::Domain(arguments)) => domain::run(&arguments),
        Some(CliCommand::Completions(arguments)) => {
            manual::completions(&arguments, Cli::command());
            Ok(())
        }
        Some(CliCommand::Man(arguments)) => manual::man(&arguments, Cli::command()),
        Some(CliCommand::Setup(arguments)) => setup::run(&arguments, &Cli::command()),
        Some(CliCommand::Print(arguments)) => print::run(&arguments),
        Some(CliCommand::Version) => {
            print_line(concat!("waypost ", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
    };
    // So that scripts can distinguish a mistake in a call, a failure, and a server that does not run.
    let (why, code) = match done.and_then(|()| output::finish()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(CommandError::Usage(why)) => (why, ExitCode::from(2)),
        Err(CommandError::Failed(why) | CommandError::NotFound(why) | CommandError::Changed(why)) => {
            (why, ExitCode::FAILURE)
        }
        Err(CommandError::Unreachable(why)) => (why, ExitCode::from(3)),
    };
    print_error(&format!("waypost: {why}"));
    code
}

/// Prints a mistake in the arguments, or the help or version that they ask for. Returns the exit code.
fn explain(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if !error.use_stderr() {
        output::keep(printed);
        if let Err(CommandError::Failed(why)) = output::finish() {
            print_error(&format!("waypost: {why}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
