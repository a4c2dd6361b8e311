//! The files beside the configuration that a start must be able to use.

use super::click_details::country_candidates;
use super::data_folder;
use super::start_error::StartError;
use crate::analytics::country::{CountryError, Source};
use crate::certificates::{Authority, Certificates, FileError};
use crate::config::Config;
use crate::core::deny_list::DenyFile;

/// Reads every file that a setting names, as a start does, and keeps nothing. Fails with the first one that a start could
/// not use. Blocks.
pub fn check(config: &Config) -> Result<(), StartError> {
    certificates(config)?;
    if let Some(path) = &config.links.denied_hosts {
        DenyFile::read(path)?;
    }
    Ok(())
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

/// Returns what a start could not use, and would go on without.
pub fn warnings(config: &Config) -> Option<String> {
    data_folder::unusable_clicks(&config.data_dir).filter(|_| config.clicks.details)
}

/// Reads the certificates of the owner, and the roots of the authority that certifies the other names. Blocks.
pub(super) fn certificates(config: &Config) -> Result<(Certificates, Option<Authority>), FileError> {
    let (names, settings) = (&config.domain, &config.https);
    // Without `domain` the owner has agreed to no authority's terms.
    let has_authority = names.first().is_some() && config.https_listen().is_some();
    let authority = if has_authority { Some(Authority::open(names, settings)?) } else { None };
    Ok((Certificates::open(names, settings)?, authority))
}
