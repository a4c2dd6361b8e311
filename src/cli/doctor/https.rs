//! HTTPS: the certificates of the data folder, what the last server noted of each name, and the authority.

use std::time::Duration;

use super::finding::{Case, Finding};
use crate::certificates::report::{self, NameReport};
use crate::certificates::store::FOLDER;
use crate::private_files;
use crate::settings::listen::Listen;

const HTTPS: &str = "HTTPS";
const AUTHORITY: &str = "certificate authority";

/// Time for the authority to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Checks certificates and their authority, on a server with `domain`.
pub(super) fn https(case: &Case) -> Vec<Finding> {
    let config = &case.config;
    if config.https_listen().is_none_or(|listen| listen == Listen::Off) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let folder = config.data_dir.join(FOLDER);
    if private_files::is_open_to_others(&folder) {
        let shown = folder.display();
        let text = format!(
            "other users can read {shown}, which contains the keys of certificates. Run: chmod -R go= {shown}"
        );
        found.push(Finding::problem(HTTPS, text));
    }
    let read = match report::read(&config.domain, &config.https, &config.data_dir, case.clock.now()) {
        Ok(read) => read,
        Err(error) => {
            found.push(Finding::problem(HTTPS, format!("{error}. The next start fails")));
            return found;
        }
    };
    // Each has a remedy by itself: the next start asks again.
    found.extend(read.unusable.iter().map(|text| Finding::warning(HTTPS, text.clone())));
    found.extend(read.names.iter().map(of_name));
    if config.domain.first().is_some() {
        found.extend(authority(case));
    }
    found
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
fn authority(case: &Case) -> Vec<Finding> {
    let url = &case.config.https.authority;
    // Of its own: the command has none, and one thread is enough for one request.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let asked = report::ask_authority(&case.config.https, case.clock.clone());
        let answer = runtime.block_on(async { tokio::time::timeout(ANSWER_WITHIN, asked).await });
        // A look-up that hangs must not keep the command from ending.
        runtime.shutdown_background();
        answer.unwrap_or_else(|_| Err("timed out".to_owned()))
    });
    match asked {
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
