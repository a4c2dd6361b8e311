//! What `waypost doctor` reports of certificates, from the data folder and from the authority.

use std::collections::BTreeSet;

use super::Authority;
use super::authority_client::AuthorityPool;
use super::name::{CertificateName, CertificateNames};
use super::pair::PairError;
use super::reload::OwnPairs;
use super::schedule::{self, Remaining};
use super::settings::Settings;
use super::status::{clock_sentence, day, sentence};
use super::store::CertificateStore;
use crate::clock::{Clock, Timestamp};

/// The report of a data folder.
#[derive(Debug)]
pub struct FolderReport {
    /// A sentence for each file that is not used.
    pub unusable: Vec<String>,
    /// The names of the setting, and those with a certificate or a failed try.
    pub names: Vec<NameReport>,
}

/// The report of a name.
#[derive(Debug)]
pub struct NameReport {
    /// The state, the reason and the remedy.
    pub text: String,
    /// Whether visitors are not served.
    pub is_problem: bool,
    /// Whether they soon will not be.
    pub is_warning: bool,
}

/// The answer of the authority.
#[derive(Debug)]
pub struct AuthorityReport {
    /// The sentence about a clock that differs from the authority's.
    pub wrong_clock: Option<String>,
}

/// Reads the certificates of the owner and of the data folder. Fails if the owner's cannot be used. Blocks.
pub fn read(
    names: &CertificateNames,
    settings: &Settings,
    data_dir: &std::path::Path,
    now: Timestamp,
) -> Result<FolderReport, PairError> {
    // As a start does: it fails with the first pair that cannot be used.
    let own = OwnPairs::read(&settings.certificates)?;
    Authority::open(names, settings)?;
    let stored = CertificateStore::of(data_dir).read();
    let mut all: BTreeSet<String> = names.all().iter().map(CertificateName::to_string).collect();
    all.extend(
        stored
            .states
            .names
            .iter()
            .filter(|(_, state)| state.undesired_since.is_none())
            .map(|(name, _)| name.clone()),
    );
    let reports = all.iter().map(|name| {
        // The owner's certificate is served, whatever else there is.
        if let Some(end) = own.end_of(name) {
            let is_over = end <= now;
            let verb = if is_over { "ended" } else { "ends" };
            let text = format!("the owner's certificate for {name} {verb} on {}", day(end));
            return NameReport { text, is_problem: is_over, is_warning: false };
        }
        let pair = stored.pairs.iter().find(|(stored, _)| stored == name);
        let validity = pair.map(|(_, pair)| pair.fields.validity());
        let state = stored.states.names.get(name);
        let failure = state.and_then(|state| Some((state, state.failure.as_ref()?)));
        // The failure first: a certificate that is valid for a month is no reason to be silent about it.
        let text = match (failure, validity) {
            (Some((state, why)), _) => {
                let next = schedule::order_at(state, validity, false, now);
                sentence(name, validity, why, next.max(now), now)
            }
            (None, Some(validity)) => {
                let verb = if validity.remaining(now) == Remaining::Nothing { "ended" } else { "ends" };
                format!("the certificate for {name} {verb} on {}", day(validity.not_after))
            }
            (None, None) => format!("no certificate for {name} yet: no server has requested it"),
        };
        let remaining = validity.map_or(Remaining::Nothing, |validity| validity.remaining(now));
        NameReport {
            text,
            is_problem: remaining == Remaining::Nothing && (failure.is_some() || validity.is_some()),
            is_warning: remaining != Remaining::Enough,
        }
    });
    let names = reports.collect();
    Ok(FolderReport { unusable: stored.unusable, names })
}

/// Asks the authority for its directory. Fails with a clause that has the reason.
pub async fn ask_authority(settings: &Settings, clock: Clock) -> Result<AuthorityReport, String> {
    let authority =
        Authority::open(&CertificateNames::default(), settings).map_err(|error| error.to_string())?;
    // With the same roots and deadlines as a server: what works here works there.
    let pool = AuthorityPool::new(authority.roots, clock);
    let client = pool.client();
    client.clone().get(&settings.authority).await;
    let noted = client.noted();
    if let Some(why) = noted.unanswered {
        return Err(format!("{} does not answer ({why})", settings.authority));
    }
    match noted.status {
        Some((status, _)) if status.is_success() => {
            Ok(AuthorityReport { wrong_clock: pool.ahead().and_then(clock_sentence) })
        }
        Some((status, url)) => Err(format!("{url} answers {} and is no ACME directory", status.as_u16())),
        None => Err(format!("{} cannot be requested", settings.authority)),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::super::state::{NameState, States};
    use super::*;

    /// 2026-11-29.
    const NOW: i64 = 1_795_910_400_000;
    const DAY: i64 = 24 * 60 * 60 * 1_000;

    /// Returns a key and a certificate that ends in so many days, of 90.
    fn pem(name: &str, days: i64) -> String {
        let at = |days: i64| Timestamp::from_millis(NOW + days * DAY).as_system_time();
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_before = at(days - 90).into();
        params.not_after = at(days).into();
        let key = KeyPair::generate().expect("a key");
        key.serialize_pem() + &params.self_signed(&key).expect("signed").pem()
    }

    #[test]
    fn each_name_is_reported_with_its_severity() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = CertificateStore::of(folder.path());
        let now = Timestamp::from_millis(NOW);
        let failed = |why: &str| {
            let mut state = NameState::default();
            state.failed(now, why.to_owned());
            state
        };
        // A problem is what visitors see now, a warning what they will see if nothing is done.
        // The name, the days that its certificate has left, the failure, and what is reported.
        let rows = [
            (
                "fresh.test",
                None,
                None,
                "no certificate for fresh.test yet: no server has requested it",
                (false, true),
            ),
            (
                "failing.test",
                None,
                Some("no"),
                "no certificate for failing.test yet: no; next try 00:01 UTC",
                (true, true),
            ),
            ("good.test", Some(60), None, "the certificate for good.test ends on 2027-01-28", (false, false)),
            // Renewals have just begun to fail.
            (
                "late.test",
                Some(29),
                Some("no"),
                "the certificate for late.test ends on 2026-12-28 and is not renewed: no; next try 00:01 UTC",
                (false, false),
            ),
            (
                "ending.test",
                Some(10),
                Some("no"),
                "the certificate for ending.test ends on 2026-12-09 and is not renewed: no; next try 00:01 UTC",
                (false, true),
            ),
            (
                "ended.test",
                Some(-1),
                None,
                "the certificate for ended.test ended on 2026-11-28",
                (true, true),
            ),
        ];
        let mut states = States::default();
        for (name, days, why, ..) in rows {
            if let Some(days) = days {
                store.write_pair(name, &pem(name, days)).expect("written");
            }
            states.names.insert(name.to_owned(), why.map_or_else(NameState::default, failed));
        }
        store.write_states(&states).expect("written");
        let read =
            read(&CertificateNames::default(), &Settings::default(), folder.path(), now).expect("readable");
        assert_eq!(read.names.len(), rows.len());
        for (name, _, _, text, severity) in rows {
            let report = read.names.iter().find(|report| report.text.contains(name)).expect(name);
            assert_eq!((report.text.as_str(), (report.is_problem, report.is_warning)), (text, severity));
        }
    }
}
