//! `waypost import`: creates links from JSON Lines. Each line is a link as `export` writes it, or the body of a
//! `POST /api/v1/links`. It works on the data folder, so the server must be stopped. A running server accepts up to
//! 1,000 links per request at `POST /api/v1/links/bulk`.

mod idle;
mod input;
mod placeless;
mod unknown;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use self::idle::IdleRules;
use self::input::LINE_MAX;
use self::placeless::PlacelessRules;
use self::unknown::IgnoredFields;
use super::arguments::ConfigFile;
use super::error::CommandError;
use super::output::{counted, form, print_line, print_note};
use super::{progress, runtime};
use crate::app::data_folder::{FolderError, LOG_FOLDER, quoted};
use crate::app::{StartError, Store};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::{Caller, Context, Core, Error, Import, Imported, OnConflict, Site};
use crate::formats;
use crate::json::BYTE_ORDER_MARK;
use crate::log::local::archive;
use crate::model::link::DomainChoice;
use crate::private_files;
use crate::readiness::Readiness;

/// Fewest links of an import that prints its times: those of a short one are noise.
const TIMED_FROM: u64 = 10_000;

/// Arguments of `import`.
#[derive(Clone, Debug, Args)]
pub(super) struct ImportArguments {
    #[command(flatten)]
    config_file: ConfigFile,
    /// The file to read, or - for stdin.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check every line and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// What to do with a line whose short code is in use.
    #[arg(long, value_enum, default_value_t = Conflict::Fail)]
    on_conflict: Conflict,
    /// The id of a workspace for all links, in place of the one that each line names.
    #[arg(long, value_name = "ID")]
    workspace: Option<String>,
    /// The name of a domain for all links, in place of the one that each line names. Aliases on the same domain, and on
    /// domains that this server lacks, move as well.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Conflict {
    /// Stop at this line.
    Fail,
    /// Skip the line.
    Skip,
}

/// Runs the command.
pub(super) fn run(arguments: &ImportArguments) -> Result<(), CommandError> {
    let mut config = arguments.config_file.load()?;
    let target = ImportTarget::of(&config);
    // A dry run without a data folder must not create one.
    let mut scratch = None;
    if arguments.dry_run && !config.data_dir.join(LOG_FOLDER).is_dir() {
        // A new name: another user may have created a folder of a known name.
        let folder = private_files::temporary_folder("waypost-dry-run-").map_err(CommandError::from)?;
        folder.path().clone_into(&mut config.data_dir);
        scratch = Some(folder);
    }
    let done = on_store(arguments, &config, &target);
    if let Some(folder) = scratch
        && let Err(error) = folder.close()
    {
        print_note(&format!("waypost: cannot remove {}: {error}", config.data_dir.display()));
    }
    done
}

/// The data folder of an import.
struct ImportTarget {
    /// The absolute path, for messages: a forgotten `--config` means another folder.
    dir: PathBuf,
    /// Whether the folder contains no log, so that the import creates an instance.
    is_new: bool,
}

impl ImportTarget {
    fn of(config: &Config) -> ImportTarget {
        // An unreadable folder is not new: `Store::open` reports the error.
        let has_log = archive::holds_log(&config.data_dir.join(LOG_FOLDER)).unwrap_or(true);
        let dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
        ImportTarget { dir, is_new: !has_log }
    }

    fn shown(&self) -> String {
        let kind = if self.is_new { "the new data folder " } else { "" };
        format!("{kind}{}", self.dir.display())
    }
}

fn on_store(arguments: &ImportArguments, config: &Config, target: &ImportTarget) -> Result<(), CommandError> {
    let runtime = runtime::build(tokio::runtime::Builder::new_multi_thread().enable_all())?;
    runtime.block_on(import(arguments, config, target))
}

/// Fails if the import would create an instance and then stop at the options or at the first line, which `start` ends
/// with: a mistake must not leave a data folder behind.
fn check_before_creation(
    arguments: &ImportArguments,
    config: &Config,
    target: &ImportTarget,
    start: &[u8],
) -> Result<(), CommandError> {
    let fail = |why: String| {
        let dir = target.dir.display();
        Err(CommandError::Failed(format!(
            "{why}\nnothing was imported: {dir} contains no log, and none was created. Name the configuration of your \
             server by --config if you meant another folder.{}",
            arguments.config_file.hint()
        )))
    };
    if let Some(id) = &arguments.workspace {
        return fail(format!("--workspace {id}: a new instance has no workspace of this id"));
    }
    let is_default = |name: &String| Site::parse(&config.public_url).is_ok_and(|site| site.is_named(name));
    if let Some(name) = arguments.domain.as_ref().filter(|name| !is_default(name)) {
        return fail(format!("--domain {name}: a new instance has only the domain of `public_url`"));
    }
    let mut lines = start.split_inclusive(|byte| *byte == b'\n');
    let first = lines.clone().position(|line| !line.iter().all(u8::is_ascii_whitespace));
    let Some((at, line)) = first.and_then(|at| Some((at, lines.nth(at)?))) else { return Ok(()) };
    let number = at + 1;
    if line.len() as u64 == LINE_MAX {
        return fail(format!("line {number}: is longer than 1 MB"));
    }
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let read = (formats::own().read)(line);
    read.map_or_else(|why| fail(format!("line {number}: {}", of_line(&why))), |_| Ok(()))
}

/// Fails if an option names a workspace or a domain that does not exist. Without this check, the error would blame the
/// first line.
fn check_options(arguments: &ImportArguments, core: &Core) -> Result<(), CommandError> {
    if let Some(id) = &arguments.workspace
        && core.tenants().acting(&Caller::Environment, Some(id)).is_none()
    {
        return Err(CommandError::Failed(format!("--workspace {id}: this server has no such workspace")));
    }
    if let Some(name) = &arguments.domain
        && !core.has_domain(name)
    {
        return Err(CommandError::Failed(format!("--domain {name}: this server has no such domain")));
    }
    Ok(())
}

async fn import(
    arguments: &ImportArguments,
    config: &Config,
    target: &ImportTarget,
) -> Result<(), CommandError> {
    let (mut reader, length) = input::open(&arguments.file)?;
    if let Some(what) = input::foreign_format(reader.buffer(), &shown_file(arguments)) {
        let file = shown_file(arguments);
        return Err(CommandError::Failed(format!("{file}, line 1: {what}. Nothing was imported")));
    }
    if target.is_new && !arguments.dry_run {
        // The buffer may have a part of the line alone.
        let (start, whole) = input::first_line(reader).map_err(|error| {
            CommandError::Failed(format!("cannot read {}: {error}", shown_file(arguments)))
        })?;
        check_before_creation(arguments, config, target, &start)?;
        reader = whole;
    }
    let store = Store::open(config, Clock::system(), &Readiness::default()).map_err(|error| match error {
        StartError::Folder(FolderError::InUse { .. }) => CommandError::Failed(format!(
            "{error}; or, while it runs, POST up to 1000 links at a time to /api/v1/links/bulk"
        )),
        other => CommandError::from(other),
    })?;
    store.ready(&config.data_dir).await.map_err(CommandError::from)?;
    if !arguments.dry_run {
        // An import that was cut by a crash reserves codes that no list shows.
        store.core.snapshots().sweep_unfinished().await.map_err(CommandError::from)?;
    }
    let bar = progress::bytes(if arguments.dry_run { "checking" } else { "importing" });
    progress::set_length(&bar, length);
    let began = Instant::now();
    let done = match check_options(arguments, &store.core) {
        Ok(()) => lines(arguments, (config, &store.core), target, reader, &bar).await,
        Err(error) => Err(error),
    };
    let logged = began.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let caught_up = store.core.catch_up().await;
    let whole = began.elapsed().as_secs_f64();
    store.close().await;
    // After the close: an early return would leave the log without its clean close.
    let (imported, skipped) = done?;
    caught_up.map_err(CommandError::from)?;
    let what = if arguments.dry_run { "would import" } else { "imported" };
    let links = counted(imported, "link");
    print_line(&format!(
        "{what} {links} into {}, skipped {skipped} whose short {} in use",
        target.shown(),
        form(skipped, "code is", "codes are")
    ));
    if target.is_new && !arguments.dry_run && !arguments.config_file.hint().is_empty() {
        print_note(&format!("warning:{}", arguments.config_file.hint()));
    }
    if !arguments.dry_run && imported >= TIMED_FROM {
        // The log is the truth: a stop between the two costs only time at the next start.
        print_line(&format!("durable in the log after {logged:.2} s, in the table after {whole:.2} s"));
    }
    Ok(())
}

async fn lines(
    arguments: &ImportArguments,
    (config, core): (&Config, &Core),
    target: &ImportTarget,
    mut reader: BufReader<Box<dyn Read>>,
    bar: &ProgressBar,
) -> Result<(u64, u64), CommandError> {
    let on_conflict = match arguments.on_conflict {
        Conflict::Fail => OnConflict::Fail,
        Conflict::Skip => OnConflict::Skip,
    };
    let links = core.links();
    let import = links.import(on_conflict, arguments.dry_run);
    let mut run = ImportLines {
        arguments,
        core,
        import,
        contexts: HashMap::new(),
        unknown: IgnoredFields::default(),
        places: PlacelessRules::new(config),
        idle: IdleRules::default(),
    };
    let mut bytes = Vec::new();
    let mut number = 0_u64;
    let mut wrong = 0_u64;
    let failure = loop {
        bytes.clear();
        let read = match reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes) {
            Ok(0) => break None,
            Ok(read) => read as u64,
            Err(error) => {
                break Some(format!("cannot read {} further: {error}", arguments.file.display()));
            }
        };
        number += 1;
        bar.inc(read);
        // `take` has cut the line at the bound.
        if read == LINE_MAX {
            break Some(format!("line {number}: is longer than 1 MB"));
        }
        // Windows tools begin a file with it, and files may be joined.
        if bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        // Editors leave an empty line at the end.
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let Err(why) = run.line(number, &bytes, bar).await else { continue };
        if !arguments.dry_run {
            break Some(format!("line {number}: {why}"));
        }
        // A dry run reports all bad lines.
        wrong += 1;
        bar.suspend(|| print_note(&format!("line {number}: {why}")));
    };
    let finished = run.import.finish().await;
    let created = run.import.created();
    for summary in [run.unknown.summary(), run.places.summary(), run.idle.summary()].into_iter().flatten() {
        bar.suspend(|| print_note(&summary));
    }
    let failure = failure.or_else(|| finished.as_ref().err().map(ToString::to_string));
    match (failure, finished) {
        (None, Ok(_)) if wrong > 0 => {
            let wrong = counted(wrong, "line");
            Err(CommandError::Failed(format!("{wrong} cannot be imported; {created} can")))
        }
        (None, done) => done.map_err(CommandError::from),
        (Some(why), _) if arguments.dry_run => Err(CommandError::Failed(why)),
        (Some(why), _) => {
            // The log has all links of the lines before this one, and no link of this or a later line.
            let next = run.import.lost_from().unwrap_or(number);
            let dir = target.dir.display();
            let rest = if next == 1 {
                format!("nothing was imported into {dir}: correct the cause, and run the command again")
            } else {
                format!(
                    "imported {} of the lines before line {next} into {dir}. Correct the cause, and continue with line {next}: \
                     a second import of the lines before it would create links without a code again\n  {}",
                    counted(created, "link"),
                    rest_of(arguments, next)
                )
            };
            Err(CommandError::Failed(format!("{why}\n{rest}")))
        }
    }
}

/// Returns the name of the input as a word of a shell.
fn shown_file(arguments: &ImportArguments) -> String {
    quoted(&arguments.file.display().to_string())
}

/// Returns the command line that imports the rest of the input, from this line on.
fn rest_of(arguments: &ImportArguments, line: u64) -> String {
    let import = arguments.config_file.command("import");
    let skip = matches!(arguments.on_conflict, Conflict::Skip).then(|| "skip".to_owned());
    let options =
        [("--workspace", &arguments.workspace), ("--domain", &arguments.domain), ("--on-conflict", &skip)];
    let options = options.map(|(option, value)| {
        value.as_ref().map_or_else(String::new, |value| format!(" {option} {}", quoted(value)))
    });
    let file = match arguments.file.as_os_str() {
        // Its lines are gone.
        stdin if stdin == "-" => String::new(),
        _ => format!(" {}", shown_file(arguments)),
    };
    format!("tail -n +{line}{file} | {import}{} -", options.concat())
}

/// Returns the error of a line without what fits a request alone.
fn of_line(why: &str) -> String {
    why.replace("the body ", "it ").replace(" at line 1 column ", " at column ")
}

/// Moves a link to the domain of this name, with its aliases on the same domain and on domains that this server lacks.
fn move_to(domain: &str, core: &Core, link: &mut Imported) {
    let before = std::mem::replace(&mut link.draft.domain, DomainChoice::Name(domain.into()));
    for alias in &mut link.aliases {
        let is_beside = match (&before, &alias.domain) {
            (DomainChoice::Name(before), Some(name)) => before == name,
            _ => alias.domain.is_none(),
        };
        if is_beside || !alias.domain.as_ref().is_some_and(|name| core.has_domain(name)) {
            alias.domain = Some(domain.into());
        }
    }
}

/// An import in progress, and what it has found so far.
struct ImportLines<'a> {
    arguments: &'a ImportArguments,
    core: &'a Core,
    import: Import<'a>,
    contexts: HashMap<String, Context>,
    unknown: IgnoredFields,
    places: PlacelessRules,
    idle: IdleRules,
}

impl ImportLines<'_> {
    /// Adds the link of one line. The error is a sentence.
    async fn line(&mut self, number: u64, bytes: &[u8], bar: &ProgressBar) -> Result<(), String> {
        let mut line = (formats::own().read)(bytes).map_err(|why| of_line(&why))?;
        for warning in self.unknown.note(number, &line.unknown) {
            bar.suspend(|| print_note(&warning));
        }
        if let Some(domain) = &self.arguments.domain {
            move_to(domain, self.core, &mut line.link);
        }
        let named = self.arguments.workspace.as_deref().or(line.workspace.as_deref()).unwrap_or("");
        // Looked up once for each name: a million lines name the same few workspaces.
        if !self.contexts.contains_key(named) {
            let found = context(self.core, named, self.arguments.workspace.is_some())?;
            self.contexts.insert(named.to_owned(), found);
        }
        let context = &self.contexts[named];
        self.import.set_line(number);
        self.places.note(number, &line.link.draft.edits);
        let added = self.import.add(context, line.link).await.map_err(|error| {
            let text = error.to_string();
            match error {
                Error::CodeTaken { .. } => format!("{text}; to leave out such lines, add --on-conflict skip"),
                _ => text,
            }
        })?;
        self.idle.note(number, &added.idle);
        if !added.left_out.is_empty() {
            let codes: Vec<_> =
                added.left_out.iter().map(|alias| format!("{:?}", alias.shown_code().as_str())).collect();
            let are = form(codes.len() as u64, "is", "are");
            let note =
                format!("line {number}: aliases: {} {are} already in use, and left out", codes.join(", "));
            bar.suspend(|| print_note(&note));
        }
        Ok(())
    }
}

/// Returns a context in the named workspace. An unknown name means the only workspace, as when links move to a
/// new server. With several workspaces an unknown name is an error: links must not get into a foreign one.
fn context(core: &Core, named: &str, must_exist: bool) -> Result<Context, String> {
    // The owner of the data folder may do everything: there is no key to check.
    let caller = Caller::Environment;
    let workspace = core.tenants().acting(&caller, Some(named).filter(|id| !id.is_empty()));
    let is_only = core.directory().has_one_workspace();
    let workspace = match workspace {
        None if must_exist => return Err(format!("there is no workspace {named}")),
        None if is_only => core.tenants().acting(&caller, None),
        None => {
            return Err(format!(
                "workspaceId: {named:?} is not a workspace of this server, which has several; \
                 create it first, or name one workspace for all lines by --workspace"
            ));
        }
        found => found,
    };
    Ok(Context::of_program(workspace.ok_or("there is no workspace")?, core.clock().now()))
}
