//! [`Challenges`]: the answers to the questions by which an authority checks a name, and by which this server checks
//! itself before it asks for that.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::RwLock;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::name::CertificateName;

/// The answers that are given now.
#[derive(Default)]
pub(super) struct Challenges {
    /// By the server name of the hello.
    certificates: RwLock<HashMap<String, Arc<CertifiedKey>>>,
    /// By token.
    files: RwLock<HashMap<String, String>>,
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without keys.
        f.debug_struct("Challenges")
            .field("certificates", &self.certificates.read().len())
            .finish_non_exhaustive()
    }
}

/// An answer. It is no longer given once this is dropped.
pub(super) struct ChallengeAnswer {
    challenges: Arc<Challenges>,
    kind: AnswerKind,
}

enum AnswerKind {
    Certificate { server_name: String, key: Arc<CertifiedKey> },
    File(String),
}

impl Drop for ChallengeAnswer {
    fn drop(&mut self) {
        match &self.kind {
            AnswerKind::Certificate { server_name, key } => {
                let mut certificates = self.challenges.certificates.write();
                // A later answer for the name stays.
                if certificates.get(server_name).is_some_and(|now| Arc::ptr_eq(now, key)) {
                    certificates.remove(server_name);
                }
            }
            AnswerKind::File(token) => drop(self.challenges.files.write().remove(token)),
        }
    }
}

impl Challenges {
    /// Returns the certificate for a hello with the protocol `acme-tls/1`.
    pub(super) fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.certificates.read().get(server_name).cloned()
    }

    /// Returns the content of the file of a token.
    pub(super) fn file(&self, token: &str) -> Option<String> {
        self.files.read().get(token).cloned()
    }

    /// Answers handshakes for a name with this digest, until the result is dropped.
    pub(super) fn answer_handshakes(
        self: &Arc<Challenges>,
        name: &CertificateName,
        digest: &[u8],
    ) -> Result<ChallengeAnswer, rcgen::Error> {
        let key = Arc::new(certificate(name, digest)?);
        let server_name = server_name(name);
        self.certificates.write().insert(server_name.clone(), Arc::clone(&key));
        Ok(ChallengeAnswer {
            challenges: Arc::clone(self),
            kind: AnswerKind::Certificate { server_name, key },
        })
    }

    /// Answers requests for the file of a token, until the result is dropped.
    pub(super) fn answer_requests(self: &Arc<Challenges>, token: &str, content: String) -> ChallengeAnswer {
        // A token is random, so that no two orders have the same.
        self.files.write().insert(token.to_owned(), content);
        ChallengeAnswer { challenges: Arc::clone(self), kind: AnswerKind::File(token.to_owned()) }
    }
}

impl ChallengeAnswer {
    /// Returns the certificate of an answer to handshakes, in DER.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        match &self.kind {
            AnswerKind::Certificate { key, .. } => key.end_entity_cert().ok().map(AsRef::as_ref),
            AnswerKind::File(_) => None,
        }
    }
}

/// Creates the certificate that answers a question (RFC 8737 3).
fn certificate(name: &CertificateName, digest: &[u8]) -> Result<CertifiedKey, rcgen::Error> {
    let mut params = CertificateParams::new([name.to_string()])?;
    // Authorities look at the name and the digest, which are extensions.
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let signed = params.self_signed(&key)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = ring::sign::any_ecdsa_type(&key).expect("the key was generated for this kind");
    Ok(CertifiedKey::new(vec![signed.der().clone()], key))
}

/// Returns the server name of the hello by which an authority asks for a name. That of an address is its name for
/// reverse look-ups (RFC 8738 6), since a server name is never an address.
pub(super) fn server_name(name: &CertificateName) -> String {
    match name {
        CertificateName::Host(name) => name.to_string(),
        CertificateName::Address(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        CertificateName::Address(IpAddr::V6(address)) => reverse(*address),
    }
}

fn reverse(address: Ipv6Addr) -> String {
    let digits = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
    digits.fold(String::new(), |name, digit| name + &format!("{digit:x}.")) + "ip6.arpa"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> CertificateName {
        CertificateName::parse(text).expect("a name")
    }

    #[test]
    fn the_server_name_of_an_address_is_its_reverse_name() {
        let rows = [
            ("a.test", "a.test"),
            ("192.0.2.17", "17.2.0.192.in-addr.arpa"),
            ("2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
        ];
        for (text, want) in rows {
            assert_eq!(server_name(&name(text)), want);
        }
    }

    #[test]
    fn an_answer_is_given_until_it_is_dropped() {
        let challenges = Arc::new(Challenges::default());
        let first = challenges.answer_handshakes(&name("a.test"), &[1; 32]).expect("a certificate");
        let shown = challenges.certificate("a.test").expect("answered");
        assert_eq!(shown.end_entity_cert().ok().map(AsRef::as_ref), first.certificate());
        // The extension (1.3.6.1.5.5.7.1.31) with the digest.
        let der = first.certificate().expect("of handshakes");
        let extension =
            [&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f][..], &[1, 1, 0xff, 4, 34, 4, 32, 1, 1]].concat();
        assert!(der.windows(extension.len()).any(|window| window == extension), "{der:02x?}");
        // Two orders for one name, such as after a restart: the first must not take the answer of the second away.
        let second = challenges.answer_handshakes(&name("a.test"), &[2; 32]).expect("a certificate");
        drop(first);
        assert!(challenges.certificate("a.test").is_some(), "the second stays");
        drop(second);
        assert!(challenges.certificate("a.test").is_none());
        let file = challenges.answer_requests("token", "content".to_owned());
        assert_eq!(challenges.file("token").as_deref(), Some("content"));
        assert_eq!(challenges.file("tok"), None);
        drop(file);
        assert_eq!(challenges.file("token"), None);
    }
}
