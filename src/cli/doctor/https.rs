//! HTTPS: the certificates of the data folder, what the last server noted of each name, and the authority.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::{Access, access};

use super::finding::{Case, Finding};
use super::network;
use super::store::LogCheck;
use crate::certificates::report::{self, Hosts, NameReport};
use crate::certificates::store::FOLDER;
use crate::cli::authority;
use crate::core::Site;
use crate::private_files;

const HTTPS: &str = "HTTPS";
const AUTHORITY: &str = "certificate authority";

/// The result of the check, as the check of addresses needs it.
#[derive(Default)]
pub(super) struct HttpsCheck {
    pub(super) findings: Vec<Finding>,
    /// The names with HTTPS, with the certificate in DER that visitors should get.
    pub(super) served: BTreeMap<String, Option<Vec<u8>>>,
}

/// Checks certificates and their authority, on a server with HTTPS.
pub(super) fn https(case: &Case, log: &LogCheck) -> HttpsCheck {
    let config = &case.config;
    let mut check = HttpsCheck::default();
    if config.https_listen().is_none() {
        return check;
    }
    let found = &mut check.findings;
    let tls = config.data_dir.join(FOLDER);
    found.extend(folder(&tls));
    if tls.exists() && !tls.is_dir() {
        // Nothing can be read: the rest would repeat it.
        return check;
    }
    let site = Site::parse(&config.public_url).expect("the configuration was checked");
    // A log that exists and was not read may have more domains.
    let is_known = log.is_read || log.archive.is_none();
    let hosts = Hosts { of_links: site.host().to_owned(), all: is_known.then(|| network::names(case, log)) };
    let read = match report::read(&config.domain, &config.https, &config.data_dir, &hosts, case.clock.now()) {
        Ok(read) => read,
        Err(error) => {
            found.push(Finding::problem(HTTPS, format!("{error}. The next start fails")));
            return check;
        }
    };
    // Each has a remedy by itself: the next start asks again.
    found.extend(read.unusable.iter().map(|text| Finding::warning(HTTPS, text.clone())));
    found.extend(read.names.iter().map(of_name));
    // Where the files of the owner are for all names, no authority is needed.
    if read.needs_authority {
        found.extend(of_authority(case));
    }
    check.served = read.served;
    check
}

/// Checks the folder of the certificates.
fn folder(folder: &Path) -> Option<Finding> {
    let shown = folder.display();
    if private_files::is_open_to_others(folder) {
        let text = format!(
            "other users can read {shown}, which contains the keys of certificates. Run: chmod -R go= {shown}"
        );
        return Some(Finding::problem(HTTPS, text));
    }
    // Before the first certificate there is no folder, and nothing to check.
    let metadata = std::fs::metadata(folder).ok()?;
    let why = if !metadata.is_dir() {
        format!("it is no folder. Move the file away: mv {shown} {shown}.old")
    } else if access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        format!("this user has no right to. Run this as the user of the server, or: chown -R USER {shown}")
    } else {
        return None;
    };
    let text =
        format!("certificates cannot be written to {shown}, and are lost with the next restart: {why}");
    Some(Finding::problem(HTTPS, text))
}

fn of_name(report: &NameReport) -> Finding {
    let text = report.text.clone();
    if report.is_problem {
        Finding::problem(HTTPS, text)
    } else if report.is_warning {
        Finding::warning(HTTPS, text)
    } else {
        Finding::ok(HTTPS, text)
    }
}

/// Asks the authority for its directory and its time.
fn of_authority(case: &Case) -> Vec<Finding> {
    let url = &case.config.https.authority;
    match authority::ask(&case.config.https, &case.clock) {
        Ok(answer) => {
            let mut found = vec![Finding::ok(AUTHORITY, format!("{url} answers"))];
            found.extend(answer.wrong_clock.map(|text| Finding::problem(AUTHORITY, text)));
            found
        }
        Err(why) => {
            let text = format!(
                "{why}. Certificates that exist go on being served; others cannot be requested. Check the network, or \
                 `https.authority`"
            );
            vec![Finding::warning(AUTHORITY, text)]
        }
    }
}
