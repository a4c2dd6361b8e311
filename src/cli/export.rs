//! `waypost export`: every link as a line of JSON, as the API shows it. Reads the log alone, so it
//! works beside a running server; what was clicked in the last second may be missing.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::{Common, Failure, load, progress, say, verify};
use crate::core::{LinkView, Site};
use crate::formats::Format;
use crate::log::{LogError, Record};
use crate::model::domain::{Domain, DomainNumber};
use crate::model::id::Id;
use crate::model::key::ApiKey;
use crate::model::link::Link;
use crate::model::tag::Tag;
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::private_files::Replacement;
use crate::table::keys::{self, Kind};
use crate::table::record::{Corrupt, Staged, Stored, decode_clicks};

/// Arguments of `export`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// A file to write, readable by its owner only. It replaces what has this name once it is whole;
    /// without it, lines go to stdout.
    #[arg(long, value_name = "FILE", value_parser = super::created_path)]
    output: Option<PathBuf>,
    /// Write the passwords' hashes as well, which `import` needs for protected links.
    #[arg(long)]
    with_password_hashes: bool,
}

/// What links refer to. Held whole; click totals take some 40 bytes per clicked link.
#[derive(Default)]
struct Surroundings {
    domains: HashMap<DomainNumber, Arc<Domain>>,
    workspaces: HashMap<WorkspaceNumber, Arc<Workspace>>,
    tags: HashMap<Id, Tag>,
    keys: HashMap<Id, Arc<ApiKey>>,
    clicks: HashMap<Id, u64>,
    links: u64,
    /// Imports under way: their links do not exist yet.
    staging: HashSet<(WorkspaceNumber, Id)>,
}

/// Runs to its end.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = load(&arguments.common)?;
    let site = Site::parse(&config.public_url).expect("the configuration was checked");
    let archive = verify::open(&config.data_dir)?;
    let mut around = Surroundings::default();
    let read =
        archive.each_record(&mut |record| around.take(&record).map_err(|error| misread(&record, &error)));
    read.map_err(Failure::from)?;

    let mut out = Output::open(arguments.output.as_deref())?;
    let bar = progress::count("exporting");
    bar.set_length(around.links);
    let mut written: io::Result<()> = Ok(());
    let (mut count, mut protected) = (0_u64, 0_u64);
    let each = archive.each_record(&mut |record| {
        if written.is_ok()
            && let Some((domain, code)) = keys::parse_link(&record.key)
        {
            let Staged { link, import } =
                Staged::decode(domain, code, &record.value).map_err(|error| misread(&record, &error))?;
            bar.inc(1);
            if import.is_some_and(|import| around.staging.contains(&(link.workspace, import))) {
                return Ok(());
            }
            count += 1;
            let view = around.view(&site, link).ok_or_else(|| {
                LogError::Damaged(format!(
                    "the link {code:?} refers to a domain or workspace that is not there"
                ))
            })?;
            protected += u64::from(view.link.options.password.is_some());
            let mut line = (Format::own().write)(&view, arguments.with_password_hashes);
            line.push(b'\n');
            written = out.write_all(&line);
        }
        Ok(())
    });
    bar.finish_and_clear();
    each.map_err(Failure::from)?;
    written.map_err(|error| Failure::Failed(format!("cannot write: {error}")))?;
    out.finish()?;
    say(&format!("exported {count} links at position {}", archive.position()));
    if protected > 0 && !arguments.with_password_hashes {
        say(&format!("{protected} of them have a password, and import only with --with-password-hashes"));
    }
    Ok(())
}

/// Where the lines go. A file appears once it is whole.
enum Output<'a> {
    Stdout(BufWriter<io::Stdout>),
    File(&'a Path, BufWriter<Replacement>),
}

impl Output<'_> {
    fn open(file: Option<&Path>) -> Result<Output<'_>, Failure> {
        let Some(path) = file else { return Ok(Output::Stdout(BufWriter::new(io::stdout()))) };
        let created = Replacement::create(path).map_err(|error| cannot_write(path, &error))?;
        Ok(Output::File(path, BufWriter::new(created)))
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Output::Stdout(out) => out.write_all(line),
            Output::File(_, out) => out.write_all(line),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Output::Stdout(mut out) => {
                out.flush().map_err(|error| Failure::Failed(format!("cannot write: {error}")))
            }
            Output::File(path, out) => {
                let whole = out.into_inner().map_err(|error| cannot_write(path, error.error()))?;
                whole.publish().map_err(|error| cannot_write(path, &error))
            }
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let mut text = format!("cannot write {}: {error}", path.display());
    if error.kind() == io::ErrorKind::InvalidInput {
        text.push_str("; to write elsewhere, leave out --output and redirect stdout");
    }
    Failure::Failed(text)
}

fn misread(record: &Record, error: &Corrupt) -> LogError {
    LogError::Damaged(format!("the record of revision {}: {error}", record.revision))
}

impl Surroundings {
    fn take(&mut self, record: &Record) -> Result<(), Corrupt> {
        match Kind::of(&record.key) {
            Some(Kind::Domain) => {
                let domain = Domain::decode(&record.value)?;
                self.domains.insert(domain.number, Arc::new(domain));
            }
            Some(Kind::Workspace) => {
                let workspace = Workspace::decode(&record.value)?;
                self.workspaces.insert(workspace.number, Arc::new(workspace));
            }
            Some(Kind::Tag) => {
                let tag = Tag::decode(&record.value)?;
                self.tags.insert(tag.id, tag);
            }
            Some(Kind::ApiKey) => {
                let key = ApiKey::decode(&record.value)?;
                self.keys.insert(key.id, Arc::new(key));
            }
            Some(Kind::Clicks) => {
                if let Some((id, _)) = keys::parse_clicks(&record.key) {
                    *self.clicks.entry(id).or_default() += decode_clicks(&record.value)?;
                }
            }
            Some(Kind::Link) => self.links += 1,
            Some(Kind::Staging) => self.staging.extend(keys::parse_staging(&record.key)),
            _ => {}
        }
        Ok(())
    }

    fn view(&self, site: &Site, link: Link) -> Option<LinkView> {
        let domain = Arc::clone(self.domains.get(&link.domain)?);
        let workspace = Arc::clone(self.workspaces.get(&link.workspace)?);
        let tags = link.options.tags.iter().filter_map(|tag| self.tags.get(tag).cloned()).collect();
        Some(LinkView {
            clicks: self.clicks.get(&link.id).copied().unwrap_or(0),
            short_url: site.short_url(&domain, &link.code),
            domain_name: site.name_of(&domain),
            domain,
            workspace,
            tags,
            creator: link.created_by.and_then(|id| self.keys.get(&id).cloned()),
            link,
        })
    }
}
