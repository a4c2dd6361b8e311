//! What `waypost doctor` reports of certificates, from the data folder and from the authority.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::authority_client::AuthorityPool;
use super::desired::is_certifiable;
use super::name::{CertificateName, CertificateNames};
use super::pair::CertificatePair;
use super::reload::OwnPairs;
use super::schedule::{self, Remaining, Validity};
use super::settings::Settings;
use super::state::NameState;
use super::status::{clock_sentence, day, sentence};
use super::store::CertificateStore;
use super::trust::{Distrust, TrustCheck};
use super::{Authority, Certificates, FileError};
use crate::authorities;
use crate::clock::{Clock, Timestamp};

/// The hosts of an instance.
#[derive(Debug)]
pub struct Hosts {
    /// The host of `public_url`.
    pub of_links: String,
    /// All of them, in lower case. `None` if the log was not read.
    pub all: Option<BTreeSet<String>>,
}

/// The report of a data folder.
#[derive(Debug)]
pub struct FolderReport {
    /// A sentence for each file that is not used.
    pub unusable: Vec<String>,
    /// The names of the setting, those with a certificate or a failed try, and what is wrong with certificates.
    pub names: Vec<NameReport>,
    /// The names that have HTTPS, with the certificate in DER that visitors should get.
    pub served: BTreeMap<String, Option<Vec<u8>>>,
    /// Whether a name has no certificate of the owner, so that the authority certifies it.
    pub needs_authority: bool,
}

/// The report of a name.
#[derive(Debug, PartialEq, Eq)]
pub struct NameReport {
    /// The state, the reason and the remedy.
    pub text: String,
    /// Whether visitors are not served.
    pub is_problem: bool,
    /// Whether they soon will not be.
    pub is_warning: bool,
}

impl NameReport {
    fn warning(text: String) -> NameReport {
        NameReport { text, is_problem: false, is_warning: true }
    }
}

/// The outcome of the first try to get the certificate of a name.
#[derive(Debug)]
pub struct FirstOutcome {
    /// The state, the reason and the remedy.
    pub report: NameReport,
    /// The certificate in DER that visitors get, if there is one.
    pub certificate: Option<Vec<u8>>,
    /// Whether it is in a file of the owner.
    pub is_own: bool,
}

/// The answer of the authority.
#[derive(Debug)]
pub struct AuthorityReport {
    /// The URL of its terms of service, if it names them.
    pub terms: Option<String>,
    /// The sentence about a clock that differs from the authority's.
    pub wrong_clock: Option<String>,
}

/// Reads the certificates of the owner and of the data folder. Fails if the owner's cannot be used. Blocks.
pub fn read(
    names: &CertificateNames,
    settings: &Settings,
    data_dir: &Path,
    hosts: &Hosts,
    now: Timestamp,
) -> Result<FolderReport, FileError> {
    // As a start does: it fails with the first pair that cannot be used.
    let own = OwnPairs::read(&settings.certificates)?;
    Authority::open(names, settings)?;
    let stored = CertificateStore::of(data_dir).read();
    let mut all: BTreeSet<String> = names.all().iter().map(CertificateName::to_string).collect();
    let desired = stored.states.names.iter().filter(|(_, state)| state.undesired_since.is_none());
    all.extend(desired.map(|(name, _)| name.clone()));
    // Of the hosts, those with a certificate of the owner: the authority certifies the others on its own terms.
    let known = hosts.all.iter().flatten();
    all.extend(known.filter(|host| own.find(host).is_some()).cloned());
    let needs_authority = names.first().is_some()
        && (all.iter().any(|name| own.find(name).is_none()) || has_others(&own, settings, hosts));
    let mut report =
        FolderReport { unusable: Vec::new(), names: Vec::new(), served: BTreeMap::new(), needs_authority };
    // Browsers trust the machine's list or their own, which are nearly the same.
    let trust = TrustCheck::new(authorities::of_machine());
    for name in all {
        let pair = stored.pairs.iter().find(|(stored, _)| *stored == name).map(|(_, pair)| pair);
        // The owner's certificate is served, whatever else there is.
        if let Some(own) = own.find(&name) {
            report.names.push(of_own(&name, own.fields.validity(), now));
            report.serve(name, Some(own));
            continue;
        }
        report.names.push(of_name(&name, pair, stored.states.names.get(&name), now));
        // A private authority is known to those who configured it.
        let distrust = pair
            .filter(|_| settings.authority_roots.is_none())
            .and_then(|pair| trust.distrust(&pair.key, &pair.fields));
        report
            .names
            .extend(distrust.map(|why| NameReport::warning(format!("the certificate for {name} {why}"))));
        report.serve(name, pair);
    }
    report.names.extend(own.all().flat_map(|(file, pair)| of_file(file, pair, &trust, hosts)));
    // With `domain`, the authority issues what the files lack.
    if names.first().is_none() {
        report.names.extend(uncertified(&own, hosts));
    }
    report.unusable = stored.unusable;
    Ok(report)
}

/// Returns what is wrong with the certificates of the owner that a start has read, apart from who has signed them: that they
/// have ended, or for which names they are missing. `has_authority` is true if an authority certifies other names.
pub fn of_owner(
    certificates: &Certificates,
    hosts: &Hosts,
    has_authority: bool,
    now: Timestamp,
) -> Vec<NameReport> {
    let own = certificates.0.own.load();
    let mut reports = Vec::new();
    for (file, pair) in own.all() {
        let report = of_own(&pair.fields.names.join(", "), pair.fields.validity(), now);
        reports.extend(Some(report).filter(|report| report.is_warning));
        reports.extend(unused(file, pair, hosts));
    }
    if !has_authority && own.all().next().is_some() {
        reports.extend(uncertified(&own, hosts));
    }
    reports
}

/// Returns whether registered domains may have names that no file of the owner is for.
fn has_others(own: &OwnPairs, settings: &Settings, hosts: &Hosts) -> bool {
    let is_public = settings.is_public_authority();
    let is_other = |host: &String| own.find(host).is_none() && is_certifiable(host, is_public);
    settings.registered_domains && hosts.all.as_ref().is_none_or(|all| all.iter().any(is_other))
}

/// Returns the outcome of the first try to get the certificate of a name. `None` while there is none. Blocks.
pub fn first_outcome(
    name: &str,
    settings: &Settings,
    data_dir: &Path,
    now: Timestamp,
) -> Result<Option<FirstOutcome>, FileError> {
    if let Some(own) = OwnPairs::read(&settings.certificates)?.find(name) {
        let report = of_own(name, own.fields.validity(), now);
        return Ok(Some(FirstOutcome { report, certificate: der(own), is_own: true }));
    }
    let stored = CertificateStore::of(data_dir).read();
    let pair = stored.pairs.iter().find(|(stored, _)| *stored == name).map(|(_, pair)| pair);
    let state = stored.states.names.get(name);
    // A server that has just started has a state without a failure.
    let is_over = pair.is_some() || state.is_some_and(|state| state.failure.is_some());
    Ok(is_over.then(|| FirstOutcome {
        report: of_name(name, pair, state, now),
        certificate: pair.and_then(der),
        is_own: false,
    }))
}

/// Returns the certificate of a pair in DER.
fn der(pair: &CertificatePair) -> Option<Vec<u8>> {
    pair.key.cert.first().map(|first| first.as_ref().to_vec())
}

impl FolderReport {
    fn serve(&mut self, name: String, pair: Option<&CertificatePair>) {
        self.served.insert(name, pair.and_then(der));
    }
}

/// Reports a name with a certificate of the owner.
fn of_own(name: &str, validity: Validity, now: Timestamp) -> NameReport {
    let (remaining, end) = (validity.remaining(now), day(validity.not_after));
    let remedy = "replace the files that `https.certificates` names";
    if validity.is_before(now) {
        let begin = day(validity.not_before);
        let text =
            format!("the owner's certificate for {name} begins on {begin}: browsers refuse it until then");
        return NameReport { text, is_problem: true, is_warning: true };
    }
    let text = match remaining {
        Remaining::Nothing => format!("the owner's certificate for {name} ended on {end}: {remedy}"),
        Remaining::Enough => format!("the owner's certificate for {name} ends on {end}"),
        _ => format!("the owner's certificate for {name} ends on {end}: {remedy}"),
    };
    NameReport {
        text,
        is_problem: remaining == Remaining::Nothing,
        is_warning: remaining != Remaining::Enough,
    }
}

/// Reports a name that the authority certifies.
fn of_name(
    name: &str,
    pair: Option<&CertificatePair>,
    state: Option<&NameState>,
    now: Timestamp,
) -> NameReport {
    let validity = pair.map(|pair| pair.fields.validity());
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
}

/// Reports what is wrong with a file of the owner beside its dates.
fn of_file(file: &Path, pair: &CertificatePair, trust: &TrustCheck, hosts: &Hosts) -> Vec<NameReport> {
    let shown = file.display();
    let distrust = trust.distrust(&pair.key, &pair.fields).map(|why| NameReport {
        // A private authority may be known to all visitors. An incomplete chain is known to none.
        is_problem: matches!(why, Distrust::Incomplete { .. } | Distrust::Invalid(_)),
        is_warning: true,
        text: format!("the certificate in {shown} {why}"),
    });
    distrust.into_iter().chain(unused(file, pair, hosts)).collect()
}

/// Reports a file of the owner that is for no host: one of another site, such as after a copy of its settings.
fn unused(file: &Path, pair: &CertificatePair, hosts: &Hosts) -> Option<NameReport> {
    let names = &pair.fields.names;
    let is_for = |host: &String| names.iter().any(|name| name == host || is_wildcard_of(name, host));
    let is_unused = hosts.all.as_ref().is_some_and(|all| !all.iter().any(is_for));
    is_unused.then(|| {
        NameReport::warning(format!(
            "the certificate in {} is for {}, and no domain of this server has such a name: add it with `waypost domain add` \
             or as `domain`, or remove the certificate",
            file.display(),
            names.join(", ")
        ))
    })
}

fn is_wildcard_of(name: &str, host: &str) -> bool {
    let (Some(wild), Some((_, rest))) = (name.strip_prefix("*."), host.split_once('.')) else { return false };
    wild == rest
}

/// Reports the hosts that no file of the owner is for, on a server without an authority.
fn uncertified(own: &OwnPairs, hosts: &Hosts) -> Vec<NameReport> {
    let names: Vec<_> =
        own.all().flat_map(|(_, pair)| pair.fields.names.iter().map(String::as_str)).collect();
    let others = hosts.all.iter().flatten().filter(|host| own.find(host).is_none());
    others
        .map(|host| NameReport {
            text: format!(
                "no certificate for {host}: those of `https.certificates` are for {}. Add one for it, or set `domain`, so \
                 that an authority issues it",
                names.join(", ")
            ),
            is_problem: *host == hosts.of_links,
            is_warning: true,
        })
        .collect()
}

/// Asks the authority for its directory. Fails with a clause that has the reason.
pub async fn ask_authority(settings: &Settings, clock: Clock) -> Result<AuthorityReport, String> {
    let authority =
        Authority::open(&CertificateNames::default(), settings).map_err(|error| error.to_string())?;
    // With the same roots and deadlines as a server: what works here works there.
    let pool = AuthorityPool::new(authority.roots, clock);
    let client = pool.client();
    let body = client.clone().get(&settings.authority).await;
    let noted = client.noted();
    if let Some(why) = noted.unanswered {
        return Err(format!("{} does not answer ({why})", settings.authority));
    }
    match noted.status {
        Some((status, _)) if status.is_success() => {
            let terms = body.and_then(|body| terms(&body));
            Ok(AuthorityReport { terms, wrong_clock: pool.ahead().and_then(clock_sentence) })
        }
        Some((status, url)) => Err(format!("{url} answers {} and is no ACME directory", status.as_u16())),
        None => Err(format!("{} cannot be requested", settings.authority)),
    }
}

/// Returns the URL of the terms of service in a directory (RFC 8555 7.1.1).
fn terms(directory: &[u8]) -> Option<String> {
    let directory: serde_json::Value = serde_json::from_slice(directory).ok()?;
    let url = directory["meta"]["termsOfService"].as_str()?;
    // It goes onto terminals.
    url::Url::parse(url).ok().map(String::from)
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
        let hosts = Hosts { of_links: "good.test".to_owned(), all: None };
        let names = CertificateNames::default();
        let read = read(&names, &Settings::default(), folder.path(), &hosts, now).expect("readable");
        let (signed, states): (Vec<_>, Vec<_>) =
            read.names.into_iter().partition(|report| report.text.contains("is signed by itself"));
        assert_eq!((signed.len(), states.len()), (4, rows.len()));
        for (name, days, why, text, severity) in rows {
            let report = states.iter().find(|report| report.text.contains(name)).expect(name);
            assert_eq!((report.text.as_str(), (report.is_problem, report.is_warning)), (text, severity));
            assert!(read.served.contains_key(name), "{name}");
            let first = first_outcome(name, &Settings::default(), folder.path(), now).expect("readable");
            assert_eq!(first.is_some(), days.is_some() || why.is_some(), "{name}");
            if let Some(first) = first {
                let has_one = first.certificate.is_some();
                assert_eq!((first.report.text.as_str(), has_one), (text, days.is_some()), "{name}");
            }
        }
        assert!(!read.needs_authority, "without `domain` nothing is requested");
        assert_eq!(read.served.values().flatten().count(), 4);
    }

    #[test]
    fn a_directory_may_name_the_terms() {
        let rows = [
            (r#"{"meta": {"termsOfService": "https://ca.test/terms"}}"#, Some("https://ca.test/terms")),
            (r#"{"meta": {"termsOfService": "\u001b[2J"}}"#, None),
            (r#"{"meta": {}}"#, None),
            ("[]", None),
            ("<html>", None),
        ];
        for (text, want) in rows {
            assert_eq!(terms(text.as_bytes()).as_deref(), want, "{text}");
        }
    }
}
