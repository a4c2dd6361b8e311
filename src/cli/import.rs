//! `waypost import`: links from JSON Lines, each line a link as `export` writes it or the body of
//! a `POST /api/v1/links`. Works on the data folder, so the server must be stopped; a running one
//! takes up to 1,000 links a request at `POST /api/v1/links/bulk`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::{Common, Failure, load, progress, runtime, say, tell};
use crate::app::data_folder::{FolderError, LOG_FOLDER};
use crate::app::{StartError, Store};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::{Caller, Context, Core, Import, OnConflict};
use crate::formats::Format;
use crate::model::link::DomainChoice;
use crate::private_files;
use crate::readiness::Readiness;

/// Longest line: a link with every field at its bound is a tenth of it.
const LINE_MAX: u64 = 1024 * 1024;

/// Arguments of `import`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The file to read; - for stdin.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check every line and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// What becomes of a line whose short code is taken.
    #[arg(long, value_enum, default_value_t = Conflict::Fail)]
    on_conflict: Conflict,
    /// The id of the workspace that gets all links, whatever the lines say.
    #[arg(long, value_name = "ID")]
    workspace: Option<String>,
    /// The domain that gets all links, whatever the lines say.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Conflict {
    /// Stop there.
    Fail,
    /// Leave the line out.
    Skip,
}

/// Runs to its end.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut config = load(&arguments.common)?;
    // A check of lines for a store that is not there yet must not make one.
    let mut scratch = None;
    if arguments.dry_run && !config.data_dir.join(LOG_FOLDER).is_dir() {
        // A name that nobody else can have taken.
        let folder = private_files::temporary_folder("waypost-dry-run-").map_err(Failure::from)?;
        folder.path().clone_into(&mut config.data_dir);
        scratch = Some(folder);
    }
    let done = on_store(arguments, &config);
    if let Some(folder) = scratch
        && let Err(error) = folder.close()
    {
        say(&format!("waypost: cannot remove {}: {error}", config.data_dir.display()));
    }
    done
}

fn on_store(arguments: &Arguments, config: &Config) -> Result<(), Failure> {
    let runtime = runtime::build(tokio::runtime::Builder::new_multi_thread().enable_all())?;
    runtime.block_on(import(arguments, config))
}

async fn import(arguments: &Arguments, config: &Config) -> Result<(), Failure> {
    let (input, length): (Box<dyn Read>, u64) = if arguments.file.as_os_str() == "-" {
        (Box::new(io::stdin()), 0)
    } else {
        let cannot = |error| Failure::Failed(format!("cannot read {}: {error}", arguments.file.display()));
        let file = File::open(&arguments.file).map_err(cannot)?;
        let length = file.metadata().map_err(cannot)?.len();
        (Box::new(file), length)
    };
    let store = Store::open(config, Clock::system(), &Readiness::default()).map_err(|error| match error {
        StartError::Folder(FolderError::InUse { .. }) => Failure::Failed(format!(
            "{error}; or, while it runs, POST up to 1000 links at a time to /api/v1/links/bulk"
        )),
        other => Failure::from(other),
    })?;
    store.ready(&config.data_dir).await.map_err(Failure::from)?;
    if !arguments.dry_run {
        // An import that a crash cut holds codes that nobody can see.
        store.core.snapshots().sweep_unfinished().await.map_err(Failure::from)?;
    }
    let bar = progress::bytes(if arguments.dry_run { "checking" } else { "importing" });
    bar.set_length(length);
    let began = Instant::now();
    let done = lines(arguments, &store.core, input, &bar).await;
    let logged = began.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let caught_up = store.core.catch_up().await;
    let whole = began.elapsed().as_secs_f64();
    store.close().await;
    let (made, skipped) = done?;
    caught_up.map_err(Failure::from)?;
    let what = if arguments.dry_run { "would import" } else { "imported" };
    tell(&format!("{what} {made} links, left out {skipped} whose short codes are taken"));
    if !arguments.dry_run {
        // The log is the truth: who stops it in between loses nothing but time at the next start.
        tell(&format!("durable in the log after {logged:.2} s, in the table after {whole:.2} s"));
    }
    Ok(())
}

async fn lines(
    arguments: &Arguments,
    core: &Core,
    input: Box<dyn Read>,
    bar: &ProgressBar,
) -> Result<(u64, u64), Failure> {
    let on_conflict = match arguments.on_conflict {
        Conflict::Fail => OnConflict::Fail,
        Conflict::Skip => OnConflict::Skip,
    };
    let mut contexts: HashMap<String, Context> = HashMap::new();
    let links = core.links();
    let mut import = links.import(on_conflict, arguments.dry_run);
    let mut reader = BufReader::with_capacity(1 << 20, input);
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut wrong = 0_u64;
    let failure = loop {
        line.clear();
        let read = match reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) => break None,
            Ok(read) => read as u64,
            Err(error) => break Some(format!("cannot read on: {error}")),
        };
        number += 1;
        bar.inc(read);
        if read == LINE_MAX {
            break Some(format!("line {number}: is longer than 1 MB"));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let Err(why) = take(arguments, core, &mut import, &mut contexts, &line).await else { continue };
        if !arguments.dry_run {
            break Some(format!("line {number}: {why}"));
        }
        // A check tells of all bad lines at once.
        wrong += 1;
        bar.suspend(|| say(&format!("line {number}: {why}")));
    };
    // What was taken in before a bad line is kept: the caller mends the line and skips the rest.
    let (made, skipped) = import.finish().await.map_err(Failure::from)?;
    match failure {
        None if wrong > 0 => Err(Failure::Failed(format!("{wrong} lines cannot be imported; {made} can"))),
        None => Ok((made, skipped)),
        Some(why) if arguments.dry_run => Err(Failure::Failed(why)),
        Some(why) => Err(Failure::Failed(format!(
            "{why}\n{made} links before it were imported; mend the line and run again with --on-conflict skip"
        ))),
    }
}

async fn take(
    arguments: &Arguments,
    core: &Core,
    import: &mut Import<'_>,
    contexts: &mut HashMap<String, Context>,
    line: &[u8],
) -> Result<(), String> {
    let mut read = (Format::own().read)(line)?;
    if let Some(domain) = &arguments.domain {
        read.link.draft.domain = DomainChoice::Name(domain.as_str().into());
    }
    let named = arguments.workspace.as_deref().or(read.workspace.as_deref()).unwrap_or("");
    if !contexts.contains_key(named) {
        contexts.insert(named.to_owned(), context(core, named, arguments.workspace.is_some())?);
    }
    import.add(&contexts[named], read.link).await.map_err(|error| error.to_string())
}

/// Acts in the named workspace. One that is not here stands for the only one that is, as when links
/// move to a new server; where there are several, nobody's links become those of another.
fn context(core: &Core, named: &str, must_exist: bool) -> Result<Context, String> {
    let caller = Caller::Environment;
    let workspace = core.tenants().acting(&caller, Some(named).filter(|id| !id.is_empty()));
    let is_only = core.directory().has_one_workspace();
    let workspace = match workspace {
        None if must_exist => return Err(format!("there is no workspace {named}")),
        None if is_only => core.tenants().acting(&caller, None),
        None => {
            return Err(format!(
                "workspaceId: {named:?} is not a workspace of this server, which has several; \
                 make it first, or say by --workspace which one gets all lines"
            ));
        }
        found => found,
    };
    Ok(Context::of_program(workspace.ok_or("there is no workspace")?, core.clock().now()))
}
