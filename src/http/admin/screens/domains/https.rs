//! What the state of a certificate means, and what to do about it (docs/https.md).

use crate::http::admin::format::minute;
use crate::model::certificate::{CertificateState, NameStatus};

/// The state of a certificate in words.
pub(super) struct CertificateWords {
    /// One or two words for a list.
    pub(super) short: &'static str,
    /// The color of the badge: `good`, `wrong` or nothing.
    pub(super) kind: &'static str,
    /// What is the case, a sentence each.
    pub(super) facts: Vec<String>,
    /// What to do next.
    pub(super) next: String,
}

/// Returns the state of the certificate of a name. `None` stands for a server, or a name, without HTTPS of its own.
pub(super) fn words(name: &str, status: Option<&NameStatus>) -> CertificateWords {
    let Some(status) = status else { return without(name) };
    let (short, kind, first, next) = match status.state {
        CertificateState::Pending => (
            "requested",
            "",
            "The certificate is requested for the first time.".to_owned(),
            format!("Give {name} an A record with the address of this server. The rest takes about a second; then load this page again."),
        ),
        CertificateState::Failing => (
            "failing",
            "wrong",
            "There is no certificate, and the last try has failed.".to_owned(),
            format!("Give {name} an A record with the address of this server, and open its ports 443 and 80. The next try comes by itself."),
        ),
        CertificateState::Valid => (
            "valid",
            "good",
            format!("The certificate is valid{}.", until(status)),
            "Nothing: it is renewed by itself.".to_owned(),
        ),
        CertificateState::Expiring => (
            "ends soon",
            "wrong",
            format!("The certificate is valid{}, and was not renewed.", until(status)),
            "If it is a file of your own, replace the file. Otherwise the reason is here or in the log of the server.".to_owned(),
        ),
        CertificateState::Expired => (
            "ended",
            "wrong",
            "The certificate has ended, and browsers show a warning.".to_owned(),
            "If it is a file of your own, replace the file. Otherwise it is tried again every hour.".to_owned(),
        ),
    };
    let mut facts = vec![first];
    facts.extend(status.failure.as_ref().map(|failure| format!("The last try: {failure}.")));
    facts.extend(status.next_try.map(|at| format!("The next try is at {}.", minute(at))));
    CertificateWords { short, kind, facts, next }
}

fn until(status: &NameStatus) -> String {
    status.expires_at.map_or_else(String::new, |at| format!(" until {}", minute(at)))
}

fn without(name: &str) -> CertificateWords {
    CertificateWords {
        short: "not here",
        kind: "",
        facts: vec!["This server has no certificate for the name.".to_owned()],
        next: format!(
            "If a reverse proxy in front has one, give {name} a DNS record with the address of the proxy. Otherwise set “domain” in the configuration of the server: it then requests certificates itself."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn each_state_has_a_way_on() {
        let at = Some(Timestamp::from_millis(1_796_015_220_000));
        let status = |state, failure: Option<&str>| NameStatus {
            state,
            expires_at: at,
            failure: failure.map(str::to_owned),
            next_try: failure.and(at),
        };
        for (state, failure, want) in [
            (CertificateState::Pending, None, "requested for the first time."),
            (
                CertificateState::Failing,
                Some("go.test has no address"),
                "The last try: go.test has no address. The next try is at 30 Nov 2026, 05:07 UTC.",
            ),
            (CertificateState::Valid, None, "valid until 30 Nov 2026, 05:07 UTC."),
            (CertificateState::Expiring, None, "and was not renewed."),
            (CertificateState::Expired, None, "browsers show a warning."),
        ] {
            let words = words("go.test", Some(&status(state, failure)));
            assert!(words.facts.join(" ").ends_with(want), "{:?}", words.facts);
            assert!(!words.next.is_empty(), "{state:?}");
        }
        assert!(words("go.test", None).next.contains("“domain”"));
    }
}
