//! [`CountryCandidates`]: which file has the countries of addresses.

use std::io;
use std::path::{Path, PathBuf};

use super::Countries;
use super::error::CountryError;
use super::reading::with_siblings;
use crate::private_files::FileStamp;

/// Name of the file with the countries of addresses, in the data folder.
const OWN_FILE: &str = "country.mmdb";

/// The file of Debian's package `tor-geoipdb`.
const DEBIAN_FILE: &str = "/usr/share/tor/geoip";

/// The files that may have the countries of addresses. The first one that exists is used.
#[derive(Clone, Debug)]
pub struct CountryCandidates {
    paths: Vec<PathBuf>,
    with_places: bool,
}

/// The files of a source, and their states.
pub(super) type FileStates = Vec<(PathBuf, FileStamp)>;

impl CountryCandidates {
    /// Returns the file of the configuration alone, or else the one in the data folder and that of Debian.
    pub fn new(configured: Option<&Path>, data_dir: &Path, with_places: bool) -> CountryCandidates {
        let paths = match configured {
            // No other one, also if it is missing: a wrong path must be reported.
            Some(path) => vec![path.to_owned()],
            // First the one that the operator chose: Debian's may be there for other programs.
            None => vec![data_dir.join(OWN_FILE), PathBuf::from(DEBIAN_FILE)],
        };
        CountryCandidates { paths, with_places }
    }

    /// Returns candidates at other paths.
    #[cfg(test)]
    pub(super) fn of(paths: Vec<PathBuf>) -> CountryCandidates {
        CountryCandidates { paths, with_places: false }
    }

    /// Returns the file that is used, `None` if no candidate exists.
    pub fn find(&self) -> Option<&Path> {
        match &self.paths[..] {
            [only] => Some(only),
            paths => paths.iter().find(|path| path.exists()).map(PathBuf::as_path),
        }
    }

    /// Reads the countries, as the server does. Returns `None` if no candidate exists. Blocks for up to some seconds.
    pub fn open(&self) -> Result<Option<Countries>, CountryError> {
        self.find().map(|path| self.read(path)).transpose()
    }

    /// Reads the countries of one of the files.
    pub(super) fn read(&self, path: &Path) -> Result<Countries, CountryError> {
        if self.with_places { Countries::open_with_places(path) } else { Countries::open(path) }
    }
}

/// Returns the states of a file and of those that belong to it.
pub(super) fn states(path: &Path) -> io::Result<FileStates> {
    let states = with_siblings(path).into_iter().map(|path| {
        let stamp = FileStamp::of(&path)?;
        Ok((path, stamp))
    });
    states.collect()
}
