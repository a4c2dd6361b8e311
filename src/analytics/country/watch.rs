//! [`CountryWatch`]: loads the countries of addresses at the start, and again whenever their file changes.
//!
//! 1. Countries in memory are replaced as a whole, by a file that was read to its end without an error.
//! 2. A file that cannot be used leaves those in memory in use, and is logged once, with what to do. So does a file that
//!    is gone.
//! 3. Files are read on a thread that may block. An aggregation in progress keeps the countries that it has.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwapOption, Guard};

use super::Countries;
use super::candidates::{CountryCandidates, FileStates, states};
use super::error::CountryError;

/// The pause between two checks of the files: one look at the state of each.
const CHECKED_EVERY: Duration = Duration::from_secs(10);

/// The pause after a check that finds a change. The file is read once it stays the same for so long: a copy in progress
/// may be a shorter file that is whole in itself.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// The countries in memory.
#[derive(Debug, Default)]
pub struct LoadedCountries {
    countries: ArcSwapOption<Countries>,
    is_stale: AtomicBool,
    /// Whether a check has ended that found no file, or one that it could read.
    is_checked: AtomicBool,
}

/// The state of the countries for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountryStatus {
    /// Ranges of addresses with a country; 0 without a file.
    pub ranges: usize,
    /// When the countries were made; without a date in the file, when it was written.
    pub built: Option<SystemTime>,
    /// Whether the present file cannot be used, or is gone.
    pub is_stale: bool,
}

impl LoadedCountries {
    /// Returns the countries, `None` without a file.
    pub fn load(&self) -> Guard<Option<Arc<Countries>>> {
        self.countries.load()
    }

    /// Returns whether the server looked for a file and there is none. False before it has looked, and while there is one
    /// that it cannot read.
    pub fn is_absent(&self) -> bool {
        let has_looked = self.is_checked.load(Ordering::Relaxed);
        has_looked && !self.is_stale.load(Ordering::Relaxed) && self.countries.load().is_none()
    }

    /// Returns the state of the countries.
    pub fn status(&self) -> CountryStatus {
        let is_stale = self.is_stale.load(Ordering::Relaxed);
        let countries = self.countries.load();
        let Some(source) = countries.as_ref().map(|countries| countries.source()) else {
            return CountryStatus { is_stale, ..CountryStatus::default() };
        };
        CountryStatus { ranges: source.ranges, built: source.made(), is_stale }
    }
}

/// Loads the countries of addresses, and loads them again when their file changes.
#[derive(Debug)]
pub struct CountryWatch {
    candidates: CountryCandidates,
    loaded: Arc<LoadedCountries>,
    /// The files of the countries in memory.
    in_use: Option<FileStates>,
    /// The files whose content was refused. They are not read again before they change.
    refused: Option<FileStates>,
    /// The changed files of the check before.
    changed: Option<FileStates>,
    /// The error that was logged last, while the file cannot be used.
    logged: Option<String>,
    is_started: bool,
}

impl CountryWatch {
    /// Creates the watch of these files. Reads nothing yet.
    pub fn new(candidates: CountryCandidates, loaded: Arc<LoadedCountries>) -> CountryWatch {
        let (in_use, refused, changed, logged) = (None, None, None, None);
        CountryWatch { candidates, loaded, in_use, refused, changed, logged, is_started: false }
    }

    /// Loads the countries now and after each change of their file. Never returns, unless a check panics.
    pub async fn run(mut self) {
        loop {
            let check = move || {
                let pause = self.check();
                self.loaded.is_checked.store(true, Ordering::Relaxed);
                (self, pause)
            };
            // A large file takes a second, for which no visitor should wait.
            let Ok((watch, pause)) = tokio::task::spawn_blocking(check).await else {
                tracing::error!("the file of countries is not read any more: a check of it panicked");
                return;
            };
            self = watch;
            tokio::time::sleep(pause).await;
        }
    }

    /// Loads the countries if their file differs from the one in use. Returns the pause before the next check.
    fn check(&mut self) -> Duration {
        let is_first = !std::mem::replace(&mut self.is_started, true);
        let found = self.candidates.find().map(Path::to_owned);
        let Some(path) = found else {
            // Nothing was ever found: the usual case, and no error.
            if let Some((path, _)) = self.in_use.as_ref().and_then(|files| files.first()) {
                let text = format!("the country file {} is gone", path.display());
                self.report(&text, "Put it back, or put country.mmdb into the data folder");
            }
            return CHECKED_EVERY;
        };
        let files = match states(&path) {
            Ok(files) => files,
            Err(source) => {
                let error = CountryError::Io { path, source };
                self.report(&error.to_string(), "Create the file, or correct `clicks.country_file`");
                return CHECKED_EVERY;
            }
        };
        if self.in_use.as_ref() == Some(&files) {
            self.settle(&path);
            return CHECKED_EVERY;
        }
        if self.refused.as_ref() == Some(&files) {
            return CHECKED_EVERY;
        }
        // At the start, the file is most likely whole, and visitors are coming.
        let is_settled = self.changed.replace(files.clone()).as_ref() == Some(&files);
        if is_first || is_settled { self.read(&path, files) } else { SETTLES_WITHIN }
    }

    /// Reads a file that differs from the one in use.
    fn read(&mut self, path: &Path, files: FileStates) -> Duration {
        match self.candidates.read(path) {
            // It may have changed while it was read, so that its content is of two files.
            _ if states(path).ok().as_ref() != Some(&files) => SETTLES_WITHIN,
            Ok(countries) => {
                let source = countries.source();
                tracing::info!(
                    file = %path.display(),
                    kind = source.kind.name(),
                    ranges = source.ranges,
                    built = %source.made().map_or_else(|| "unknown".to_owned(), date),
                    "visitors have countries from this file"
                );
                self.loaded.countries.store(Some(Arc::new(countries)));
                self.in_use = Some(files);
                self.forget_errors();
                CHECKED_EVERY
            }
            Err(error) => {
                // A file that cannot be read is tried again: its disk or its permissions may be back.
                self.refused = Some(files).filter(|_| !matches!(error, CountryError::Io { .. }));
                let remedy = "Let a whole file replace it by renaming: it is read within 15 seconds";
                self.report(&error.to_string(), remedy);
                CHECKED_EVERY
            }
        }
    }

    /// Notes that the file in use is the present one.
    fn settle(&mut self, path: &Path) {
        if self.logged.is_some() {
            tracing::info!(file = %path.display(), "the country file in use is back");
        }
        self.forget_errors();
    }

    fn forget_errors(&mut self) {
        (self.refused, self.changed, self.logged) = (None, None, None);
        self.loaded.is_stale.store(false, Ordering::Relaxed);
    }

    /// Logs why the present file is not used, unless that was the last line about it.
    fn report(&mut self, error: &str, remedy: &str) {
        self.loaded.is_stale.store(true, Ordering::Relaxed);
        if self.logged.as_deref() == Some(error) {
            return;
        }
        let until = if self.in_use.is_some() {
            "Until then, visitors have the countries of the file before"
        } else {
            "Until then, visitors have no countries"
        };
        tracing::error!("{error}. {remedy}. {until}");
        self.logged = Some(error.to_owned());
    }
}

/// Returns the day of a time, for a log line.
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let instant = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    instant.map_or_else(|| "unknown".to_owned(), |instant| instant.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::IpAddr;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    const ADDRESS: &str = "192.0.2.1";

    struct Watched {
        folder: TempDir,
        watch: CountryWatch,
        files: u32,
    }

    impl Watched {
        fn new(configured: Option<&str>) -> Watched {
            let folder = TempDir::new().expect("a temporary folder");
            let configured = configured.map(|name| folder.path().join(name));
            let paths = match &configured {
                Some(_) => CountryCandidates::new(configured.as_deref(), folder.path(), false),
                // Without Debian's file, which this machine may have.
                None => CountryCandidates::of(vec![
                    folder.path().join("country.mmdb"),
                    folder.path().join("geoip"),
                ]),
            };
            let watch = CountryWatch::new(paths, Arc::default());
            Watched { folder, watch, files: 0 }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Replaces a file by renaming. The new one has another inode.
        fn put(&mut self, name: &str, content: &str) {
            self.files += 1;
            let new = self.path(&format!("new-{}", self.files));
            fs::write(&new, content).expect("room");
            fs::rename(new, self.path(name)).expect("a file");
        }

        /// Returns the country of an address after this number of checks.
        fn after(&mut self, checks: u32) -> Option<String> {
            for _ in 0..checks {
                self.watch.check();
            }
            let address: IpAddr = ADDRESS.parse().expect("an address");
            let countries = self.watch.loaded.load();
            let code = countries.as_ref()?.of(address)?;
            Some(String::from_utf8(code.to_vec()).expect("letters"))
        }

        fn is_stale(&self) -> bool {
            self.watch.loaded.status().is_stale
        }
    }

    fn of(code: &str) -> String {
        format!("192.0.2.0,192.0.2.255,{code}\n")
    }

    #[test]
    fn a_changed_file_is_loaded_and_a_bad_one_is_not() {
        let mut watched = Watched::new(Some("countries.csv"));
        watched.put("countries.csv", &of("DE"));
        // At once: visitors come from the first moment on.
        assert_eq!(watched.after(1).as_deref(), Some("DE"));
        assert_eq!(watched.watch.loaded.status().ranges, 1);
        assert!(watched.watch.loaded.status().built.is_some(), "the time of the file");
        watched.put("countries.csv", &of("FR"));
        assert_eq!(watched.after(1).as_deref(), Some("DE"), "it may be half written");
        assert_eq!(watched.after(1).as_deref(), Some("FR"));
        watched.put("countries.csv", &of("Germany"));
        assert_eq!((watched.after(3).as_deref(), watched.is_stale()), (Some("FR"), true));
        let logged = watched.watch.logged.clone().expect("an error");
        assert!(logged.ends_with("line 1: \"Germany\" is no country code of two letters"), "{logged}");
        watched.put("countries.csv", &of("AT"));
        assert_eq!((watched.after(2).as_deref(), watched.is_stale()), (Some("AT"), false));
        // Gone, and back as it was.
        fs::rename(watched.path("countries.csv"), watched.path("aside")).expect("a file");
        assert_eq!((watched.after(3).as_deref(), watched.is_stale()), (Some("AT"), true));
        fs::rename(watched.path("aside"), watched.path("countries.csv")).expect("a file");
        assert_eq!((watched.after(3).as_deref(), watched.is_stale()), (Some("AT"), false));
    }

    #[test]
    fn a_file_that_appears_later_is_found_and_a_better_one_replaces_it() {
        let mut watched = Watched::new(None);
        assert_eq!((watched.after(3), watched.is_stale()), (None, false));
        watched.put("geoip", &of("DE"));
        assert_eq!(watched.after(2).as_deref(), Some("DE"));
        watched.put("geoip6", "2001:db8::,2001:db8::ff,JP\n");
        assert_eq!(watched.after(2).as_deref(), Some("DE"));
        assert_eq!(watched.watch.loaded.status().ranges, 2);
        watched.put("country.mmdb", &of("FR"));
        assert_eq!(watched.after(2).as_deref(), Some("FR"));
        // The other one is used again, as after a restart.
        fs::remove_file(watched.path("country.mmdb")).expect("a file");
        assert_eq!((watched.after(2).as_deref(), watched.is_stale()), (Some("DE"), false));
        fs::remove_file(watched.path("geoip")).expect("a file");
        assert_eq!((watched.after(2).as_deref(), watched.is_stale()), (Some("DE"), true));
    }

    #[test]
    fn a_bad_first_file_gives_no_countries_until_it_is_replaced() {
        for bad in ["", "PK\u{3}\u{4}", "<!doctype html>\n", "192.0.2.0,192.0.2.255,ZZ\n"] {
            let mut watched = Watched::new(Some("x"));
            assert_eq!((watched.after(2), watched.is_stale()), (None, true), "a file that is missing");
            watched.put("x", bad);
            assert_eq!((watched.after(3), watched.is_stale()), (None, true), "{bad:?}");
            watched.put("x", &of("DE"));
            assert_eq!((watched.after(2).as_deref(), watched.is_stale()), (Some("DE"), false), "{bad:?}");
        }
    }

    /// A file that grows is read only once it stays the same.
    #[test]
    fn a_file_in_progress_is_not_read() {
        let mut watched = Watched::new(Some("x"));
        watched.put("x", &of("DE"));
        watched.after(1);
        for lines in 1..4 {
            // Each version is whole in itself.
            fs::write(watched.path("x"), of("FR").repeat(lines + 1)).expect("room");
            assert_eq!(watched.after(1).as_deref(), Some("DE"), "{lines}");
        }
        fs::write(watched.path("x"), of("CH")).expect("room");
        assert_eq!(watched.after(2).as_deref(), Some("CH"));
    }

    #[test]
    fn days_in_log_lines() {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(date(time(1_780_000_000)), "2026-05-28");
        // A file can state any time.
        assert_eq!(date(time(i64::MAX.unsigned_abs() / 2)), "unknown");
        assert_eq!(date(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), "1970-01-01");
    }
}
