//! The details of clicks in the program: opened with the data folder, and started with the server.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use super::data_folder;
use super::start_error::StartError;
use crate::analytics::Analytics;
use crate::analytics::aggregate::Aggregator;
use crate::analytics::capture::CaptureSettings;
use crate::analytics::country::{CountryCandidates, CountryWatch};
use crate::analytics::query::cache::SumsCache;
use crate::analytics::store::{ClickStore, FOLDER as CLICKS_FOLDER};
use crate::analytics::tick::{domain_of_row, parse_link_row};
use crate::analytics::visitors::{self, VisitorSettings, Visitors};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::clicks::VisitorKey;
use crate::log::Log;
use crate::log::local::disk::FsDisk;
use crate::log::local::disk_guard::DiskGuard;
use crate::model::domain::Domain;
use crate::table::{Table, keys};

/// The details of clicks, and what they need at the start.
#[derive(Debug)]
pub(super) struct ClickDetails {
    pub(super) analytics: Arc<Analytics>,
    countries: CountryCandidates,
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
        Some(ClickDetails { analytics, countries: country_candidates(config) })
    }

    /// Starts the threads that store the details of clicks.
    pub(super) fn start(&self, table: &Table) -> Result<(), StartError> {
        let analytics = &self.analytics;
        let table = table.clone();
        let is_kept = move |row: &[u8]| {
            // What cannot be read is kept: the next merge asks again.
            if let Some(domain) = domain_of_row(row) {
                return !table.get::<Domain>(&keys::domain(domain)).is_ok_and(|found| found.is_none());
            }
            parse_link_row(row)
                .is_none_or(|(_, link)| !table.owner_of(link).is_ok_and(|owner| owner.is_none()))
        };
        analytics.store.start(Arc::new(is_kept)).map_err(|error| StartError::Threads { error })
    }

    /// Returns the watch that loads the countries of visitors.
    pub(super) fn country_watch(&self) -> CountryWatch {
        CountryWatch::new(self.countries.clone(), Arc::clone(&self.analytics.countries))
    }
}

/// Returns the files that may have the countries of visitors.
pub(super) fn country_candidates(config: &Config) -> CountryCandidates {
    let clicks = &config.clicks;
    CountryCandidates::new(clicks.country_file.as_deref(), &config.data_dir, clicks.places)
}

fn try_open(
    config: &Config,
    folder: &Path,
    log: &Arc<dyn Log>,
    clock: &Clock,
    guard: &Arc<DiskGuard>,
) -> std::io::Result<Arc<Analytics>> {
    // Left by a restore that was interrupted after its log was in place.
    data_folder::place_restored_clicks(&config.data_dir, clock.now())?;
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
    let sums = SumsCache::new(config.clicks.answer_memory);
    let country_header = config.clicks.country_header.clone();
    let settings = CaptureSettings { country_header, respects_gpc: config.clicks.respect_gpc };
    Ok(Analytics::new(threads, settings, Aggregator::new(visitors), store, sums))
}
