//! `waypost export`: writes each link as a line of JSON, as the API shows it, or the details of clicks
//! ([`export_clicks`]). It only reads, so the server may run. Clicks of the last second may be missing.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::arguments::{ConfigFile, created_path};
use super::error::CommandError;
use super::export_clicks::{self, ClickFormat};
use super::export_output::ExportOutput;
use super::output::{counted, print_note};
use super::{log_reader, progress};
use crate::core::{AliasView, LinkView, Site};
use crate::formats::{self, Extras};
use crate::log::{LogError, Record};
use crate::model::campaign::Campaign;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::id::{ForeignId, Id};
use crate::model::key::ApiKey;
use crate::model::link::{Alias, Link};
use crate::model::tag::Tag;
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::table::keys::{self, Kind};
use crate::table::record::{Corrupt, Staged, Stored, decode_clicks};

/// Arguments of `export`.
#[derive(Clone, Debug, Args)]
// Accepted, as by all commands, and without an effect here.
#[command(mut_arg("listen", |argument| argument.hide(true)))]
pub(super) struct ExportArguments {
    #[command(flatten)]
    config_file: ConfigFile,
    /// The file to write, readable by its owner only. It replaces a file of this name once it is complete.
    /// Without it, lines go to stdout.
    #[arg(long, value_name = "FILE", value_parser = created_path)]
    output: Option<PathBuf>,
    /// Include password hashes, which `import` needs for protected links.
    #[arg(long)]
    with_password_hashes: bool,
    /// Write the details of clicks instead of links: a line for all clicks that agree in everything that is kept.
    #[arg(long, conflicts_with = "with_password_hashes")]
    clicks: bool,
    /// How the details of clicks are written. Links are JSON Lines.
    #[arg(long, value_enum, requires = "clicks")]
    format: Option<ClickFormat>,
}

/// The objects that links refer to, all in memory. Click totals take some 40 bytes per clicked link.
#[derive(Default)]
struct Referenced {
    domains: HashMap<DomainNumber, Arc<Domain>>,
    workspaces: HashMap<WorkspaceNumber, Arc<Workspace>>,
    tags: HashMap<Id, Tag>,
    /// Names of campaigns.
    campaigns: HashMap<(WorkspaceNumber, ForeignId), Box<str>>,
    keys: HashMap<Id, Arc<ApiKey>>,
    clicks: HashMap<Id, u64>,
    links: u64,
    /// Unfinished imports: their links are not visible yet.
    staging: HashSet<(WorkspaceNumber, Id)>,
}

/// Runs the command.
pub(super) fn run(arguments: &ExportArguments) -> Result<(), CommandError> {
    let config = arguments.config_file.load()?;
    arguments.config_file.check_data_folder(&config)?;
    let output = arguments.output.as_deref();
    if arguments.clicks {
        return export_clicks::run(&config, arguments.format.unwrap_or_default(), output);
    }
    let site = Site::parse(&config.public_url).expect("the configuration was checked");
    let archive = log_reader::open(&config.data_dir)?;
    let mut referenced = Referenced::default();
    // Two passes, since a link may precede its domain in the log.
    let read =
        archive.each_record(&mut |record| referenced.add(&record).map_err(|error| misread(&record, &error)));
    read.map_err(CommandError::from)?;

    // After the first pass: a damaged log creates no file.
    let mut out = ExportOutput::open(output)?;
    let bar = progress::count("exporting");
    progress::set_items(&bar, referenced.links);
    let mut written: io::Result<()> = Ok(());
    let (mut count, mut protected) = (0_u64, 0_u64);
    let each = archive.each_record(&mut |record| {
        // After an error of the output, the rest of the pass writes nothing.
        if written.is_ok()
            && let Some((domain, code)) = keys::parse_link(&record.key)
        {
            let Staged { link, import } =
                Staged::decode(domain, code, &record.value).map_err(|error| misread(&record, &error))?;
            bar.inc(1);
            // A link of an unfinished import is not visible in the API either.
            if import.is_some_and(|import| referenced.staging.contains(&(link.workspace, import))) {
                return Ok(());
            }
            count += 1;
            let view = referenced.view(&site, link).ok_or_else(|| {
                LogError::Damaged(format!(
                    "the link {code:?} refers to a domain or workspace that does not exist"
                ))
            })?;
            protected += u64::from(view.link.options.password.is_some());
            let extras = Extras {
                with_password_hash: arguments.with_password_hashes,
                campaign_name: referenced.campaign_name(&view.link),
            };
            let mut line = (formats::own().write)(&view, extras);
            line.push(b'\n');
            // An error of the output is no damage of the log: it is returned after the pass.
            written = out.write_all(&line);
        }
        Ok(())
    });
    bar.finish_and_clear();
    each.map_err(CommandError::from)?;
    written.map_err(|error| CommandError::Failed(format!("cannot write: {error}")))?;
    out.finish()?;
    print_note(&format!("exported {} at position {}", counted(count, "link"), archive.position()));
    if protected > 0 && !arguments.with_password_hashes {
        print_note(&format!(
            "{protected} of them with a password: import needs an export with --with-password-hashes"
        ));
    }
    Ok(())
}

fn misread(record: &Record, error: &Corrupt) -> LogError {
    LogError::Damaged(format!("the record of revision {}: {error}", record.revision))
}

impl Referenced {
    fn add(&mut self, record: &Record) -> Result<(), Corrupt> {
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
            Some(Kind::Campaign) => {
                let campaign = Campaign::decode(&record.value)?;
                self.campaigns.insert((campaign.workspace, campaign.id), campaign.name);
            }
            Some(Kind::ApiKey) => {
                let key = ApiKey::decode(&record.value)?;
                self.keys.insert(key.id, Arc::new(key));
            }
            Some(Kind::Clicks) => {
                if let Some((id, _)) = keys::parse_clicks(&record.key) {
                    // Each node of a cluster has its own total (docs/decisions.md 19).
                    *self.clicks.entry(id).or_default() += decode_clicks(&record.value)?;
                }
            }
            Some(Kind::Link) => self.links += 1,
            Some(Kind::Staging) => self.staging.extend(keys::parse_staging(&record.key)),
            _ => {}
        }
        Ok(())
    }

    fn campaign_name(&self, link: &Link) -> Option<&str> {
        let id = link.options.campaign.clone()?;
        self.campaigns.get(&(link.workspace, id)).map(|name| &**name)
    }

    fn view(&self, site: &Site, link: Link) -> Option<LinkView> {
        let domain = Arc::clone(self.domains.get(&link.domain)?);
        let workspace = Arc::clone(self.workspaces.get(&link.workspace)?);
        // A deleted tag may still be in the record of a link.
        let tags = link.options.tags.iter().filter_map(|tag| self.tags.get(tag).cloned()).collect();
        let alias = |alias: &Alias| Some(AliasView::of(site, self.domains.get(&alias.domain)?, alias));
        let aliases = link.aliases.iter().filter_map(alias).collect();
        Some(LinkView {
            clicks: self.clicks.get(&link.id).copied().unwrap_or(0),
            short_url: site.short_url(&domain, link.shown_code()),
            qr_url: site.qr_url(&domain, &link),
            domain_name: site.name_of(&domain),
            domain,
            workspace,
            tags,
            creator: link.created_by.and_then(|id| self.keys.get(&id).cloned()),
            aliases,
            // Not in a file: no import could bring the details of clicks.
            recent: None,
            health: None,
            link,
        })
    }
}
