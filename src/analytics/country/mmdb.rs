//! Files of the `MaxMind` DB format, `.mmdb`: a tree of networks with a record for each.
//!
//! Countries are copied out of the file, since packed ranges take a fifth of its memory and a look-up is faster. The file
//! itself is kept only for regions and cities.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions};

use super::code;
use super::error::{FileRule, LineRule};
use super::gathered::GatheredRanges;
use super::span::AddressSpan;

/// Where files have the code of a country: `MaxMind` and DB-IP; ip-location-db and `IPinfo`; older files of `IPinfo`.
const COUNTRIES: [&[PathElement<'static>]; 3] = [
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[PathElement::Key("country_code")],
    &[PathElement::Key("country")],
];

/// Where files have the name of a region.
const REGIONS: [&[PathElement<'static>]; 3] = [
    &[
        PathElement::Key("subdivisions"),
        PathElement::Index(0),
        PathElement::Key("names"),
        PathElement::Key("en"),
    ],
    &[PathElement::Key("region")],
    &[PathElement::Key("state1")],
];

/// Where files have the name of a city.
const CITIES: [&[PathElement<'static>]; 2] = [
    &[PathElement::Key("city"), PathElement::Key("names"), PathElement::Key("en")],
    &[PathElement::Key("city")],
];

/// Why an `.mmdb` cannot be used.
#[derive(Debug)]
pub(super) enum MmdbError {
    Damaged(MaxMindDbError),
    Rule(FileRule),
}

impl From<MaxMindDbError> for MmdbError {
    fn from(error: MaxMindDbError) -> MmdbError {
        MmdbError::Damaged(error)
    }
}

impl From<LineRule> for MmdbError {
    fn from(rule: LineRule) -> MmdbError {
        MmdbError::Rule(FileRule::Content(rule))
    }
}

/// How far from its end a file has its metadata at most: the specification of the format.
pub(super) const METADATA_MAX: u64 = 128 * 1024;

/// Returns whether the last bytes of a file have the metadata of an `.mmdb`.
pub(super) fn has_metadata(end: &[u8]) -> bool {
    const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
    end.windows(MARKER.len()).any(|window| window == MARKER)
}

/// An `.mmdb` in memory.
#[derive(Debug)]
pub(super) struct Mmdb {
    reader: Reader<Vec<u8>>,
}

impl Mmdb {
    /// Reads the metadata.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Mmdb, MmdbError> {
        Ok(Mmdb { reader: Reader::from_source(bytes)? })
    }

    /// Returns the type that the file states, such as `GeoLite2-Country`.
    pub(super) fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// Returns when the file was made, in seconds since 1970.
    pub(super) fn built(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// Adds the ranges of all networks with a country.
    pub(super) fn read(&self, gathered: &mut GatheredRanges) -> Result<(), MmdbError> {
        // Of a whole file, each node has two children, which are nodes or networks. A damaged tree may lead to a node in
        // many ways.
        let networks_max = self.reader.metadata().node_count as usize * 2;
        // Many networks share one record, so each record is decoded once.
        let mut known: HashMap<usize, u8> = HashMap::new();
        for (number, network) in self.reader.networks(WithinOptions::default())?.enumerate() {
            let network = network?;
            if number > networks_max {
                return Err(MmdbError::Rule(FileRule::Tree));
            }
            let Some(offset) = network.offset() else { continue };
            let country = if let Some(country) = known.get(&offset) {
                *country
            } else {
                let code = text(&network, &COUNTRIES)?.unwrap_or_default();
                // The name of a country is none, as a number is.
                *known.entry(offset).or_insert(code::in_file(code.as_bytes()).unwrap_or(0))
            };
            let network = network.network()?;
            add(gathered, network.ip(), network.prefix(), country)?;
        }
        // Databases of autonomous systems and of domains have the same format.
        if known.values().all(|country| *country == 0) {
            // Cut, since a file can state a type of any length.
            return Err(MmdbError::Rule(FileRule::NoCountry(self.kind().chars().take(50).collect())));
        }
        Ok(())
    }

    /// Returns the region and the city of an address. A record that is damaged has neither.
    pub(super) fn place(&self, address: IpAddr) -> Option<Place> {
        let record = self.reader.lookup(address.to_canonical()).ok()?;
        let name = |paths| text(&record, paths).ok().flatten().map(clean).unwrap_or_default();
        let place = Place { region: name(&REGIONS), city: name(&CITIES) };
        (place != Place::default()).then_some(place)
    }
}

fn add(gathered: &mut GatheredRanges, address: IpAddr, prefix: u8, country: u8) -> Result<(), LineRule> {
    let span = AddressSpan::of_network(address, prefix.into()).expect("a network of the tree");
    // A network around all of IPv4, which is `::/96` in a tree of IPv6, has its addresses as well.
    if address == Ipv6Addr::UNSPECIFIED && prefix <= 96 {
        gathered.add(AddressSpan::V4(0, u32::MAX), country)?;
    }
    gathered.add(span, country)
}

/// Returns the text at the first path that leads to one.
fn text<'a>(
    record: &maxminddb::LookupResult<'a, Vec<u8>>,
    paths: &[&[PathElement<'_>]],
) -> Result<Option<&'a str>, MaxMindDbError> {
    for path in paths {
        match record.decode_path::<&str>(path) {
            Ok(Some(text)) if !text.is_empty() => return Ok(Some(text)),
            // Another type, such as a map in place of a text.
            Ok(_) | Err(MaxMindDbError::Decoding { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// A region and a city, by their names in English. Either may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The region: a state or a province.
    pub region: String,
    /// The city.
    pub city: String,
}

/// Returns a text without control characters, and without white space at its ends.
fn clean(text: &str) -> String {
    // A tab separates the levels of a place, so no name may contain one.
    let mut text = text.replace(char::is_control, "");
    text.truncate(text.trim_end().len());
    let start = text.len() - text.trim_start().len();
    text.drain(..start);
    text
}
