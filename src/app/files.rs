//! The files beside the configuration that a start must be able to use.

use super::start_error::StartError;
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

/// Reads the certificates of the owner, and the roots of the authority that certifies the other names. Blocks.
pub(super) fn certificates(config: &Config) -> Result<(Certificates, Option<Authority>), FileError> {
    let (names, settings) = (&config.domain, &config.https);
    // Without `domain` the owner has agreed to no authority's terms.
    let has_authority = names.first().is_some() && config.https_listen().is_some();
    let authority = if has_authority { Some(Authority::open(names, settings)?) } else { None };
    Ok((Certificates::open(names, settings)?, authority))
}
