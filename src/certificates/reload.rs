//! The owner's certificate files: read at the start, and again when they change.
//!
//! A program that renews certificates replaces files by renaming, or by changing a link to a folder. Both change
//! the inode of the path, so a look at the files every ten seconds finds each change, on every file system.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::pair::{CertificatePair, PairError};
use super::resolver::ByName;
use super::settings::CertificateFiles;
use super::status::{self, CertificateSummary, day};
use crate::clock::Timestamp;

/// The time between two looks at the files.
pub(super) const EVERY: Duration = Duration::from_secs(10);

/// The pairs of the owner.
#[derive(Clone, Debug)]
pub(super) struct OwnPairs(Vec<OwnPair>);

#[derive(Clone, Debug)]
struct OwnPair {
    files: CertificateFiles,
    /// The state of the files at the last read, whether it succeeded or not: a failure is logged once.
    stamp: [Option<Stamp>; 2],
    /// When the certificate of the files begins, if that is why it is not used yet.
    begins: Option<Timestamp>,
    /// Whether the files have changed and cannot be used: the next start would fail.
    has_bad_files: bool,
    pair: CertificatePair,
}

/// Device, inode, time of change in nanoseconds, and size.
type Stamp = (u64, u64, i128, u64);

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    let changed = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
    Some((found.dev(), found.ino(), changed, found.size()))
}

fn stamps(files: &CertificateFiles) -> [Option<Stamp>; 2] {
    [stamp(&files.chain), stamp(&files.key)]
}

impl OwnPairs {
    /// Reads all pairs. Fails with the first one that cannot be used. Blocks.
    pub(super) fn read(files: &[CertificateFiles]) -> Result<OwnPairs, PairError> {
        let pairs = files.iter().map(|files| {
            // Before the read: a change during it is found by the next look.
            let stamp = stamps(files);
            let pair = CertificatePair::read(files)?;
            Ok(OwnPair { files: files.clone(), stamp, begins: None, has_bad_files: false, pair })
        });
        pairs.collect::<Result<_, _>>().map(OwnPairs)
    }

    /// Reads the pairs whose files have changed, and returns whether one was replaced. A pair that cannot be used, and a
    /// certificate that is not valid now while the one in use is, are logged and not taken. Blocks.
    pub(super) fn reload(&mut self, now: Timestamp) -> bool {
        let mut is_changed = false;
        for own in &mut self.0 {
            let stamp = stamps(&own.files);
            let has_begun = own.begins.is_some_and(|begins| begins <= now);
            if stamp == own.stamp && !has_begun {
                continue;
            }
            own.stamp = stamp;
            own.begins = None;
            own.has_bad_files = false;
            is_changed |= own.replace(now);
        }
        is_changed
    }

    /// Returns the certificate that is used for a name.
    pub(super) fn find(&self, name: &str) -> Option<&CertificatePair> {
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let is_for = |own: &&OwnPair, name: &str| own.pair.fields.names.iter().any(|own| own == name);
        let found = self.0.iter().find(|own| is_for(own, name));
        let found =
            found.or_else(|| self.0.iter().find(|own| is_for(own, wildcard.as_deref().unwrap_or(name))));
        found.map(|own| &own.pair)
    }

    /// Returns all certificates with their files.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Path, &CertificatePair)> {
        self.0.iter().map(|own| (own.files.chain.as_path(), &own.pair))
    }

    /// Returns the states of all certificates.
    pub(super) fn summaries(&self, now: Timestamp) -> impl Iterator<Item = CertificateSummary> {
        self.0.iter().map(move |own| CertificateSummary {
            has_bad_files: own.has_bad_files,
            ..status::of_own(&own.pair, now)
        })
    }

    /// Returns the certificates by their names. The first pair with a name wins.
    pub(super) fn by_name(&self) -> ByName {
        let mut by_name = ByName::default();
        for own in &self.0 {
            for name in &own.pair.fields.names {
                by_name.entry(name.as_str().into()).or_insert_with(|| own.pair.key.clone());
            }
        }
        by_name
    }
}

impl OwnPair {
    fn replace(&mut self, now: Timestamp) -> bool {
        let file = self.files.chain.display();
        let pair = match CertificatePair::read(&self.files) {
            Ok(pair) => pair,
            Err(error) => {
                self.has_bad_files = true;
                tracing::warn!(%error, "changed certificate files are not used; the certificate before stays in use");
                return false;
            }
        };
        let validity = pair.fields.validity();
        // The owner decides which of two valid certificates is used, also for one that ends earlier, such as of another
        // authority.
        if self.pair.fields.validity().contains(now) && !validity.contains(now) {
            self.begins = Some(validity.not_before).filter(|begins| *begins > now);
            tracing::warn!(
                %file,
                "a certificate for {} to {} is not valid now and not used; the certificate before stays in use",
                day(validity.not_before), day(validity.not_after)
            );
            return false;
        }
        tracing::info!(%file, names = pair.fields.names.join(","), "a changed certificate is in use");
        self.pair = pair;
        true
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::certificates::pair::tests::write;

    /// Writes a certificate for these years.
    fn write_for(files: &CertificateFiles, years: std::ops::Range<i32>) {
        let mut params = CertificateParams::new(vec!["b.test".to_owned()]).expect("valid names");
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().expect("a key");
        // As renewal programs do: beside the file, then renamed.
        for (path, text) in [
            (&files.key, key.serialize_pem()),
            (&files.chain, params.self_signed(&key).expect("signed").pem()),
        ] {
            let beside = path.with_extension("new");
            fs::write(&beside, text).expect("a small file");
            fs::rename(&beside, path).expect("the same folder");
        }
    }

    #[test]
    fn changed_files_are_read_again_and_worse_ones_are_not_used() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let files = write(&folder, &["a.test"]);
        let in_year = |year: i32| format!("{year}-06-01T00:00:00Z").parse::<Timestamp>().expect("a time");
        let now = in_year(2026);
        let mut own = OwnPairs::read(std::slice::from_ref(&files)).expect("usable");
        assert!(own.by_name().contains_key("a.test"));
        assert!(!own.reload(now), "nothing changed");
        // The certificate before ends in the year 4096: the owner has replaced it by one for a shorter time.
        write_for(&files, 2026..2027);
        assert!(own.reload(now));
        assert!(own.by_name().contains_key("b.test") && !own.by_name().contains_key("a.test"));
        let key = own.by_name()["b.test"].clone();
        write_for(&files, 2020..2025);
        assert!(!own.reload(now), "it has ended");
        fs::write(&files.key, "nonsense").expect("a small file");
        assert!(!own.reload(now));
        fs::remove_file(&files.chain).expect("it exists");
        assert!(!own.reload(now));
        write_for(&files, 2028..2030);
        assert!(!own.reload(now), "it has not begun");
        assert!(std::sync::Arc::ptr_eq(&own.by_name()["b.test"], &key));
        assert!(!own.reload(now), "nothing changed");
        assert!(own.reload(in_year(2029)), "it has begun");
        // The one in use is not valid either.
        write_for(&files, 2020..2025);
        assert!(own.reload(now));
    }

    #[test]
    fn the_first_bad_pair_stops_a_start() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let good = write(&folder, &["a.test"]);
        let bad = CertificateFiles { chain: folder.path().join("no.pem"), key: good.key.clone() };
        let error = OwnPairs::read(&[good, bad]).expect_err("a missing file").to_string();
        assert!(error.contains("no.pem"), "{error}");
    }
}
