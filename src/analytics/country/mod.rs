//! [`Countries`]: the country of an address, from a file that the operator has.
//!
//! Nothing is embedded: all free data goes stale within months, and most of it has conditions (`docs/decisions.md`).
//! Sources disagree for 2 to 9 % of all addresses, so a country is a guess.

mod address;
mod candidates;
mod code;
mod error;
mod gathered;
mod mmdb;
mod ranges;
mod reading;
mod rows;
mod source;
mod span;
mod text;
mod watch;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use self::gathered::CountryTable;
use self::mmdb::Mmdb;
use self::reading::{Reading, with_siblings};

pub use self::candidates::CountryCandidates;
pub use self::code::{CountryCode, CountrySet, ProxyCountry, header};
pub use self::error::{CountryError, FileRule, LineRule};
pub use self::mmdb::Place;
pub use self::source::{Attribution, Source, SourceKind};
pub use self::watch::{CountryStatus, CountryWatch, LoadedCountries};

/// The countries of addresses, in memory.
#[derive(Debug)]
pub struct Countries {
    table: CountryTable,
    /// Kept only if places are wanted.
    places: Option<Mmdb>,
    source: Source,
}

impl Countries {
    /// Reads the countries of a file: an `.mmdb`, ranges as text, or one of Tor's. The kind is found by the content.
    /// Beside Tor's `geoip`, reads `geoip6` as well. Blocks.
    pub fn open(path: &Path) -> Result<Countries, CountryError> {
        Countries::open_all(&with_siblings(path))
    }

    /// Reads the countries of several files, such as one of IPv4 and one of IPv6. Ranges that overlap must agree.
    /// Blocks.
    pub fn open_all(paths: &[PathBuf]) -> Result<Countries, CountryError> {
        Countries::read(paths, false)
    }

    /// Like [`Countries::open`], for regions and cities too. If the file has them, all of it stays in memory. Blocks.
    pub fn open_with_places(path: &Path) -> Result<Countries, CountryError> {
        Countries::read(&with_siblings(path), true)
    }

    /// Reads the content of a file from memory. For fuzzing.
    pub fn parse(content: &[u8]) -> Result<Countries, CountryError> {
        let mut reading = Reading::default();
        reading.read_memory(content)?;
        // With places, so that fuzzing reaches the records as well.
        Countries::finish(reading, true)
    }

    fn read(paths: &[PathBuf], with_places: bool) -> Result<Countries, CountryError> {
        let mut reading = Reading::default();
        for path in paths {
            reading.read(path)?;
        }
        Countries::finish(reading, with_places)
    }

    fn finish(reading: Reading, with_places: bool) -> Result<Countries, CountryError> {
        let (table, mut source, mmdb) = reading.finish()?;
        // Otherwise frees the file, of which the table has a copy.
        let places = mmdb.filter(|_| with_places);
        source.has_places = places.is_some();
        Ok(Countries { table, places, source })
    }

    /// Returns the country of an address. An IPv6 address that stands for IPv4 is that one.
    pub fn of(&self, address: IpAddr) -> Option<CountryCode> {
        self.table.of(address)
    }

    /// Returns the region and the city of an address, `None` if neither is known or places were not wanted.
    pub fn place(&self, address: IpAddr) -> Option<Place> {
        self.places.as_ref()?.place(address)
    }

    /// Returns where the countries come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the bytes of memory of the countries, without places.
    pub fn memory(&self) -> usize {
        self.table.bytes()
    }
}

#[cfg(test)]
mod mmdb_writer;
#[cfg(test)]
mod tests;
