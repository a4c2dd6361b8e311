//! The files beside the configuration that a start must be able to use.

use super::click_details::country_candidates;
use super::data_folder;
use super::start_error::StartError;
use crate::analytics::country::{CountryError, Source};
use crate::certificates::{Authority, Certificates, FileError};
use crate::config::Config;
use crate::core::deny_list::DenyFile;
use crate::model::link::branch::KnownPlaces;
use crate::users::User;

/// Reads every file that a setting names, as a start does, and keeps nothing. Fails with the first one that a start could
/// not use. Blocks.
pub fn check(config: &Config) -> Result<(), StartError> {
    certificates(config)?;
    if let Some(path) = &config.links.denied_hosts {
        DenyFile::read(path)?;
    }
    Ok(())
}

/// Returns the files of settings that the user of the data folder could not read, as sentences, for a check by root: root
/// reads everything, and a server of root is refused there. The flag is true for a file that a start needs. Runs programs.
pub fn closed_to_owner(config: &Config) -> Vec<(bool, String)> {
    let owner = User::owner_of(&config.data_dir);
    let Some(owner) = owner.filter(|owner| User::this().is_root() && !owner.is_root()) else {
        return Vec::new();
    };
    let (https, countries) = (&config.https, config.clicks.country_file.as_deref());
    let pairs = https.certificates.iter().flat_map(|files| [files.chain.as_path(), files.key.as_path()]);
    let has_authority = config.domain.first().is_some();
    let of_a_start = config.origin.file.as_deref().into_iter();
    let of_a_start = of_a_start.chain(pairs.filter(|_| config.https_listen().is_some()));
    let of_a_start = of_a_start.chain(https.authority_roots.as_deref().filter(|_| has_authority));
    let of_a_start = of_a_start.chain(config.links.denied_hosts.as_deref()).map(|path| (true, path));
    let all = of_a_start.chain(countries.filter(|_| config.clicks.details).map(|path| (false, path)));
    all.filter(|(_, path)| path.exists() && !owner.may_read(path))
        .map(|(is_needed, path)| (is_needed, format!("{}: the user {}", path.display(), owner.reading(path))))
        .collect()
}

/// Reads the file with the countries of visitors, as a server does, and returns what it is: its path, kind, date and number
/// of ranges, and the line that its licence asks for. Returns `None` without a file, and if no details are kept. A server
/// starts also if this fails: it logs the error, and visitors have no countries. Blocks for up to some seconds.
pub fn country_source(config: &Config) -> Result<Option<Source>, CountryError> {
    if !config.clicks.details {
        return Ok(None);
    }
    let countries = country_candidates(config).open()?;
    Ok(countries.map(|countries| countries.source().clone()))
}

/// Where a server gets the places of visitors from, for messages.
pub const SOURCES: &str = "Install the package tor-geoipdb for countries, or set `clicks.country_file`; for regions and cities \
     also `clicks.places = true`";

/// Returns what a server with this configuration can know of the places of visitors. Blocks for up to some seconds.
pub fn known_places(config: &Config) -> KnownPlaces {
    let clicks = &config.clicks;
    // A file that cannot be read knows nothing; `warnings` has its error.
    let source = country_source(config).ok().flatten();
    KnownPlaces {
        countries: clicks.details && (clicks.country_header.is_some() || source.is_some()),
        cities: source.is_some_and(|source| source.has_places),
    }
}

/// Returns what a start could not use, and would go on without. Blocks for up to some seconds.
pub fn warnings(config: &Config) -> Vec<String> {
    let clicks = data_folder::unusable_clicks(&config.data_dir).filter(|_| config.clicks.details);
    let countries = country_source(config).err();
    let countries = countries
        .map(|error| format!("{error}. A start continues without this file: visitors have no countries"));
    clicks.into_iter().chain(countries).collect()
}

/// Reads the certificates of the owner, and the roots of the authority that certifies the other names. Blocks.
pub(super) fn certificates(config: &Config) -> Result<(Certificates, Option<Authority>), FileError> {
    let (names, settings) = (&config.domain, &config.https);
    // Without `domain` the owner has agreed to no authority's terms.
    let has_authority = names.first().is_some() && config.https_listen().is_some();
    let authority = if has_authority { Some(Authority::open(names, settings)?) } else { None };
    Ok((Certificates::open(names, settings)?, authority))
}
