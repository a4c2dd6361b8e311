//! Whether browsers trust a certificate: whether its chain leads to an authority that they know.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::x509::Fields;

/// Why browsers do not trust a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// Its key has signed it.
    SelfSigned,
    /// It is an authority's own certificate, as `openssl req -x509` makes them by default.
    Authority,
    /// Its file has no certificate of its issuer, who is not known to browsers.
    Incomplete { issuer: String },
    /// The last certificate of its chain has an issuer that is not known to browsers.
    Unknown { issuer: String },
    /// Another reason, in the words of the library.
    Invalid(String),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distrust::SelfSigned => f.write_str(
                "is signed by itself, so browsers show a warning: use one of an authority, or set `domain` alone",
            ),
            Distrust::Authority => f.write_str(
                "is that of an authority (basicConstraints is CA:TRUE), which browsers refuse for a server: use one of \
                 an authority, or for a trial add `-addext basicConstraints=critical,CA:FALSE` to `openssl req -x509`",
            ),
            Distrust::Incomplete { issuer } => write!(
                f,
                "is not trusted by browsers: its file lacks the certificate of its issuer, {issuer}. Use the whole \
                 chain, such as fullchain.pem"
            ),
            Distrust::Unknown { issuer } => write!(
                f,
                "is not trusted by browsers, which do not know its issuer, {issuer}: a private authority, or one for \
                 trials"
            ),
            Distrust::Invalid(why) => write!(f, "is not trusted by browsers: {why}"),
        }
    }
}

/// Checks chains against the authorities that browsers trust.
pub(super) struct TrustCheck(Option<Arc<WebPkiServerVerifier>>);

impl TrustCheck {
    /// Creates the check against these authorities. Without any, it finds nothing.
    pub(super) fn new(roots: RootCertStore) -> TrustCheck {
        let provider = Arc::new(ring::default_provider());
        TrustCheck(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok())
    }

    /// Returns why browsers do not trust a certificate, apart from its dates.
    pub(super) fn distrust(&self, key: &CertifiedKey, fields: &Fields) -> Option<Distrust> {
        let (first, others) = key.cert.split_first()?;
        // Its own name, and a moment of its own time: other checks compare both.
        let name = fields.names.first()?.replacen('*', "any", 1);
        let name = ServerName::try_from(name).ok()?;
        let at = fields.not_before.plus_millis(1_000).as_millis().max(0);
        let at = UnixTime::since_unix_epoch(Duration::from_millis(at.unsigned_abs()));
        match self.0.as_ref()?.verify_server_cert(first, others, &name, &[], at) {
            Ok(_) => None,
            // The library has no name for this error.
            Err(_) if fields.is_authority => Some(Distrust::Authority),
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Some(unknown(&key.cert)),
            Err(error) => Some(Distrust::Invalid(error.to_string())),
        }
    }
}

/// Returns why no known authority has signed a chain.
fn unknown(chain: &[CertificateDer<'_>]) -> Distrust {
    let Some(last) = chain.last().and_then(|last| Certificate::from_der(last).ok()) else {
        return Distrust::Invalid("the chain cannot be read".to_owned());
    };
    let last = last.tbs_certificate();
    // Shown to people, who look for it on the page of their authority.
    let issuer = last.issuer().to_string();
    match chain.len() {
        1 if last.issuer() == last.subject() => Distrust::SelfSigned,
        1 => Distrust::Incomplete { issuer },
        _ => Distrust::Unknown { issuer },
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::super::pair::CertificatePair;
    use super::super::settings::CertificateFiles;
    use super::*;

    fn authority(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    #[test]
    fn the_reason_follows_the_chain() {
        let key = || KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(authority("Root"), key()).expect("signed");
        let between = CertifiedIssuer::signed_by(authority("Between"), key(), &root).expect("signed");
        let leaf = key();
        let params = || CertificateParams::new(["*.go.test".to_owned()]).expect("a name");
        let signed = params().signed_by(&leaf, &between).expect("signed").pem();
        let own = params().self_signed(&leaf).expect("signed").pem();
        let mut as_authority = params();
        as_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let openssl = as_authority.self_signed(&leaf).expect("signed").pem();
        let whole = signed.clone() + &between.pem();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).expect("a root");
        let (known, others) = (TrustCheck::new(roots), TrustCheck::new(crate::authorities::of_browsers()));
        let rows = [
            (&whole, &known, None),
            (&signed, &known, Some(Distrust::Incomplete { issuer: "CN=Between".to_owned() })),
            (&own, &known, Some(Distrust::SelfSigned)),
            (&openssl, &known, Some(Distrust::Authority)),
            (&whole, &others, Some(Distrust::Unknown { issuer: "CN=Root".to_owned() })),
        ];
        let files = CertificateFiles { chain: "chain.pem".into(), key: "key.pem".into() };
        for (chain, check, want) in rows {
            let pair = CertificatePair::parse(chain.as_bytes(), leaf.serialize_pem().as_bytes(), &files);
            let pair = pair.expect("a pair");
            let found = check.distrust(&pair.key, &pair.fields);
            assert!(!pair.is_trusted(), "no browser knows these authorities");
            match (&found, &want) {
                // The name of an authority has its other parts as well.
                (Some(Distrust::Incomplete { issuer }), Some(Distrust::Incomplete { issuer: part }))
                | (Some(Distrust::Unknown { issuer }), Some(Distrust::Unknown { issuer: part })) => {
                    assert!(issuer.contains(part), "{issuer}");
                }
                _ => assert_eq!(found, want),
            }
        }
    }
}
