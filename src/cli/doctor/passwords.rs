//! Password hashes in the log that cannot be checked: an older version accepted any text from an import.

use super::finding::Finding;
use super::store::LogCheck;
use crate::cli::output::{counted, form};
use crate::log::LogError;
use crate::model::Invalid;
use crate::table::keys;
use crate::table::record::Staged;

const PASSWORDS: &str = "passwords";

/// Most links that the finding names.
const NAMED_MAX: usize = 3;

/// Checks that the password of each link can be checked.
pub(super) fn passwords(log: &LogCheck) -> Finding {
    let Some(archive) = log.archive.as_ref().filter(|_| log.is_read) else {
        return Finding::skipped(PASSWORDS, "the log was not read through");
    };
    let (mut protected, mut unusable, mut named) = (0_u64, 0_u64, Vec::new());
    let read = archive.each_record(&mut |record| {
        let Some((domain, code)) = keys::parse_link(&record.key) else { return Ok(()) };
        let Staged { link, .. } = Staged::decode(domain, code, &record.value)
            .map_err(|error| LogError::Damaged(error.to_string()))?;
        let Some(hash) = link.options.password else { return Ok(()) };
        protected += 1;
        // The check of a visit calls the same function, so both agree.
        if let Err(Invalid { why, .. }) = hash.parts() {
            unusable += 1;
            if named.len() < NAMED_MAX {
                named.push(format!("/{code} (its hash {why})"));
            }
        }
        Ok(())
    });
    if let Err(error) = read {
        return Finding::problem(PASSWORDS, format!("{error}. `waypost verify` reports more"));
    }
    if unusable > 0 {
        let text = format!(
            "no password opens {unusable} of {} with a password, such as {}. Set {} again",
            counted(protected, "link"),
            named.join(", "),
            form(unusable, "its password", "their passwords")
        );
        return Finding::warning(PASSWORDS, text);
    }
    Finding::ok(
        PASSWORDS,
        match protected {
            0 => "no link has a password".to_owned(),
            1 => "the only hash of a password can be checked".to_owned(),
            _ => format!("all {protected} hashes of passwords can be checked"),
        },
    )
}
