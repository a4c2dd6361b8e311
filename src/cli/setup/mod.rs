//! `waypost setup`: installs this program as a service of systemd. It creates the user, writes the settings and the unit,
//! and starts the service. A second run changes only what differs.
//!
//! `--dry-run` prints everything instead. `--root` lays out the files of a package and runs nothing.

mod first_visit;
mod layout;
mod machine;
mod obstacles;
mod plan;
mod steps;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Command};

use self::layout::{CONFIG, PlannedFile, Prefix};
use self::machine::{Machine, SERVICE};
use self::plan::{FileContents, Plan, Wanted};
use self::steps::{Step, output_of};
use super::arguments::created_path;
use super::error::CommandError;
use super::notify::REFUSED;
use super::output::{counted, print_line, print_note, print_text};
use crate::certificates::CertificateName;
use crate::clock::Clock;
use crate::config::Config;
use crate::settings::listen::Listen;

/// Longest wait for a service that starts again.
const RELOAD_WAIT: Duration = Duration::from_mins(1);

/// The interval at which its state is looked at.
const RELOAD_POLL: Duration = Duration::from_millis(100);

/// Arguments of `setup`.
#[derive(Clone, Debug, Args)]
pub(super) struct SetupArguments {
    /// A name under which visitors reach this server, such as go.example.com. Several names are repeated, or separated by
    /// commas.
    #[arg(long = "domain", value_name = "NAME", value_parser = domain, value_delimiter = ',')]
    domains: Vec<String>,
    /// Let systemd bind the ports, so that also `systemctl restart` fails no visit.
    #[arg(long)]
    socket: bool,
    /// Print each file and command, and what would stop the installation. Changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write the files of a package below this folder, and run no command.
    #[arg(long, value_name = "FOLDER", value_parser = created_path)]
    root: Option<PathBuf>,
}

fn domain(text: &str) -> Result<String, String> {
    CertificateName::parse(text).map(|name| name.to_string())
}

/// Installs the service. `command` is the whole command line, for the manual pages of `--root`.
pub(super) fn run(arguments: &SetupArguments, command: &Command) -> Result<(), CommandError> {
    let wanted = Wanted { domains: arguments.domains.clone(), has_sockets: arguments.socket };
    if let Some(root) = &arguments.root {
        let files = tree(&wanted, command).map_err(CommandError::Failed)?;
        return lay_out(root, files, arguments.dry_run).map_err(CommandError::Failed);
    }
    let machine = Machine::this().map_err(CommandError::Failed)?;
    if !arguments.dry_run
        && let Some(obstacle) = obstacles::find(&machine, &[]).into_iter().next()
    {
        return Err(CommandError::Usage(obstacle));
    }
    let settings = plan::settings(&machine, &wanted).map_err(CommandError::Failed)?;
    let config = loaded(&settings).map_err(CommandError::Usage)?;
    let listens = listens(&config);
    let program = read(&machine.program).map_err(CommandError::Failed)?;
    let manual = layout::manual(machine.prefix(), command).map_err(CommandError::from)?;
    let content = FileContents { settings, program, manual };
    let plan = plan::plan(&machine, &wanted, content, &listens).map_err(CommandError::Failed)?;
    for text in &config.origin.warnings {
        print_note(&format!("warning: {text}"));
    }
    let obstacles = obstacles::find(&machine, &listens);
    if arguments.dry_run {
        plan.files.iter().chain(&plan.start).for_each(Step::show);
        for text in &obstacles {
            // No error: the files are shown, and another machine may be meant.
            print_note(&format!("without --dry-run, this stops: {text}"));
        }
        return Ok(());
    }
    // Before anything is written.
    if let Some(obstacle) = obstacles.into_iter().next() {
        return Err(CommandError::Failed(obstacle));
    }
    if plan == Plan::default() {
        print_line("nothing to change: the service waypost runs with these settings");
        // The names may have been corrected since the first run.
        print_text(first_visit::report(&config, &Clock::system()).as_bytes());
        return Ok(());
    }
    execute(&plan).map_err(CommandError::Failed)?;
    print_line(&next(&config, &first_visit::report(&config, &Clock::system())));
    Ok(())
}

/// Reads settings as the service will.
fn loaded(settings: &PlannedFile) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    file.write_all(&settings.bytes).map_err(|error| error.to_string())?;
    // Errors name the file that the reader can edit.
    let shown = file.path().display().to_string();
    Config::load(Some(file.path()), []).map_err(|error| error.to_string().replace(&shown, CONFIG))
}

/// Returns the addresses and sockets of a server with these settings.
fn listens(config: &Config) -> Vec<Listen> {
    let all = [Some(config.listen.clone()), config.https_listen()];
    all.into_iter().flatten().filter(|listen| *listen != Listen::Off).collect()
}

fn read(program: &Path) -> Result<Vec<u8>, String> {
    fs::read(program).map_err(|error| format!("cannot read this program, {}: {error}", program.display()))
}

fn execute(plan: &Plan) -> Result<(), String> {
    for step in &plan.files {
        step.execute()?;
    }
    // Before a reload: its server answers by another status, since a signal has no answer.
    let is_reload = plan.start.contains(&Step::run(&["systemctl", "reload", SERVICE]));
    let before = if is_reload { Some(property("StatusText")?) } else { None };
    for step in &plan.start {
        step.execute().map_err(|why| format!("{why}{}", journal()))?;
    }
    wait_until_ready(before.as_deref()).map_err(|why| format!("{why}{}", journal()))
}

/// Returns once the service is ready. `systemctl start` has waited for it. `systemctl reload` has not: then `before` is the
/// status before it. Fails if the server has refused to start again.
fn wait_until_ready(before: Option<&str>) -> Result<(), String> {
    let end = Instant::now() + RELOAD_WAIT;
    loop {
        let (state, status) = (property("ActiveState")?, property("StatusText")?);
        let has_answered = before.is_none_or(|before| before != status);
        match &*state {
            "active" if has_answered && status.starts_with(REFUSED) => return Err(status),
            // Versions before this one have no status.
            "active" if has_answered || Instant::now() >= end => return Ok(()),
            "active" => std::thread::sleep(RELOAD_POLL),
            // A large log may take a while to repair.
            "reloading" | "activating" if Instant::now() < end => std::thread::sleep(RELOAD_POLL),
            state => return Err(format!("the service is {state}")),
        }
    }
}

/// Returns what systemd knows of the service.
fn property(name: &str) -> Result<String, String> {
    let words = ["systemctl", "show", "--property", name, "--value", SERVICE].map(str::to_owned);
    Ok(output_of(&words)?.trim().to_owned())
}

/// Returns the last lines of the service, which have the cause.
fn journal() -> String {
    let words = ["journalctl", "--unit=waypost", "--lines=10", "--no-pager", "--output=cat"];
    output_of(&words.map(str::to_owned))
        .map_or_else(|_| String::new(), |lines| format!("\n{}", lines.trim_end()))
}

/// Returns what to do next. `https` has the lines about HTTPS.
fn next(config: &Config, https: &str) -> String {
    format!(
        "\nWaypost runs as the service waypost and starts with this machine.\n  \
           short URLs  {}/...\n{https}  \
           settings    {CONFIG}; apply a change with: sudo systemctl reload waypost\n  \
           admin key   sudo cat {}/admin.key\n  \
           log         sudo journalctl --unit waypost\n  \
           check       sudo -u waypost waypost doctor --config {CONFIG}\n\n\
         Create a link:\n\n  \
           sudo -u waypost waypost link create https://example.com/ --config {CONFIG}\n",
        config.public_url.trim_end_matches('/'),
        config.data_dir.display(),
    )
}

/// Returns the files of a package.
fn tree(wanted: &Wanted, command: &Command) -> Result<Vec<PlannedFile>, String> {
    let prefix = Prefix::Package;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let settings = layout::settings(&wanted.domains);
    let listens = listens(&loaded(&settings)?);
    let mut files = vec![
        PlannedFile::new(prefix.binary(), 0o755, read(&program)?),
        settings,
        layout::service(prefix, &prefix.binary()),
        layout::user(prefix),
    ];
    if wanted.has_sockets {
        files.extend(layout::sockets(prefix, &listens));
    }
    files.extend(layout::manuals(prefix, command).map_err(|error| error.to_string())?);
    Ok(files)
}

/// Writes files below a folder, or prints them.
fn lay_out(root: &Path, files: Vec<PlannedFile>, is_dry: bool) -> Result<(), String> {
    let number = files.len() as u64;
    for file in files {
        let below = file.path.strip_prefix("/").unwrap_or(&file.path).to_owned();
        let step = Step::Write(PlannedFile { path: root.join(below), ..file });
        if is_dry {
            step.show();
        } else {
            step.execute()?;
        }
    }
    if is_dry {
        print_line(&format!(
            "without --dry-run, these {} are written below {}, and no command is run",
            counted(number, "file"),
            root.display()
        ));
    }
    Ok(())
}
