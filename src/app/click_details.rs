//! The details of clicks in the program: opened with the data folder, and started with the server.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::start_error::StartError;
use crate::analytics::Analytics;
use crate::analytics::aggregate::Aggregator;
use crate::analytics::country::{self, Countries, CountryError};
use crate::analytics::store::{ClickStore, FOLDER as CLICKS_FOLDER};
use crate::analytics::tick::parse_link_row;
use crate::analytics::visitors::{self, VisitorSettings, Visitors};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::clicks::VisitorKey;
use crate::log::Log;
use crate::log::local::disk::FsDisk;
use crate::log::local::disk_guard::DiskGuard;
use crate::table::Table;

/// Name of the file with the countries of addresses, in the data folder.
const COUNTRY_FILE: &str = "country.mmdb";

/// The details of clicks, and what they need at the start.
#[derive(Debug)]
pub(super) struct ClickDetails {
    pub(super) analytics: Arc<Analytics>,
    countries: Option<CountrySource>,
}

/// Where the countries of addresses come from.
#[derive(Clone, Debug)]
struct CountrySource {
    path: PathBuf,
    with_places: bool,
}

impl CountrySource {
    /// Returns the file of the configuration, or else the one in the data folder or that of Debian; `None` if there is
    /// none.
    fn of(config: &Config) -> Option<CountrySource> {
        // First, since its operator chose it; Debian's may be there for other programs.
        let own = config.data_dir.join(COUNTRY_FILE);
        let found = [own, PathBuf::from(country::DEBIAN_FILE)].into_iter().find(|path| path.exists());
        // Also if it is missing: a wrong path must be reported, and not replaced by another file.
        let path = config.clicks.country_file.clone().or(found)?;
        Some(CountrySource { path, with_places: config.clicks.places })
    }

    fn open(&self) -> Result<Countries, CountryError> {
        if self.with_places { Countries::open_with_places(&self.path) } else { Countries::open(&self.path) }
    }
}

impl ClickDetails {
    /// Opens the details of clicks. Returns `None` if the operator keeps none, and if the folder cannot be used: links and
    /// totals need no details, also on a full disk.
    pub(super) fn open(
        config: &Config,
        log: &Arc<dyn Log>,
        clock: &Clock,
        guard: &Arc<DiskGuard>,
    ) -> Option<ClickDetails> {
        let folder = config.data_dir.join(CLICKS_FOLDER);
        if !config.clicks.details {
            // Visitors are not told apart any more, so their key must not stay.
            visitors::forget(&folder);
            return None;
        }
        let opened = try_open(config, &folder, log, clock, guard);
        let failed = |error: &std::io::Error| {
            tracing::error!(
                %error,
                "no details of clicks are kept until the next start, since {} cannot be used; totals are not affected",
                folder.display()
            );
        };
        // No error of the start: redirects must work without this folder.
        let analytics = opened.inspect_err(failed).ok()?;
        Some(ClickDetails { analytics, countries: CountrySource::of(config) })
    }

    /// Starts the threads that store the details of clicks.
    pub(super) fn start(&self, table: &Table) -> Result<(), StartError> {
        let ClickDetails { analytics, countries } = self;
        let table = table.clone();
        let is_kept = move |row: &[u8]| {
            // What cannot be read is kept: the next merge asks again.
            parse_link_row(row)
                .is_none_or(|(_, link)| !table.owner_of(link).is_ok_and(|owner| owner.is_none()))
        };
        analytics.store.start(Arc::new(is_kept)).map_err(|error| StartError::Threads { error })?;
        let Some(source) = countries.clone() else { return Ok(()) };
        let countries = Arc::clone(&analytics.countries);
        // On a thread of its own: a large file takes a second, for which no visitor should wait.
        let read = move || match source.open() {
            Ok(found) => {
                let ranges = found.source().ranges;
                tracing::info!(file = %source.path.display(), ranges, "visitors have countries from this file");
                countries.store(Some(Arc::new(found)));
            }
            // Not tried again: a file that is damaged stays damaged until its operator replaces it.
            Err(error) => tracing::error!(%error, "visitors have no countries until the next start"),
        };
        let thread = std::thread::Builder::new().name("countries".to_owned()).spawn(read);
        thread.map(drop).map_err(|error| StartError::Threads { error })
    }
}

fn try_open(
    config: &Config,
    folder: &Path,
    log: &Arc<dyn Log>,
    clock: &Clock,
    guard: &Arc<DiskGuard>,
) -> std::io::Result<Arc<Analytics>> {
    let disk = Arc::new(FsDisk::open(folder)?);
    let guard = Arc::clone(guard);
    // The guard of the log: details must not use the space that it reserves.
    let has_room = Arc::new(move |bytes| guard.leaves_room(bytes));
    // Before the visitors: if this fails, the key of today stays as it is.
    let store = ClickStore::open(disk, Arc::clone(log), clock.clone(), config.clicks.keep(), has_room)?;
    let files = config.clicks.visitor_key == VisitorKey::File;
    let settings = VisitorSettings { folder: folder.to_owned(), files, memory: config.clicks.visitor_memory };
    let visitors = Visitors::open(settings, clock.now().as_millis())?;
    // More threads than cores cannot capture at once, so more buffers would save no wait.
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    Ok(Analytics::new(threads, Aggregator::new(visitors), store))
}
