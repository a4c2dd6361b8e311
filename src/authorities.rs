//! The certificate authorities that this server trusts as a client: of receivers of webhooks, of the authority that
//! issues its own certificates, and of the server that the command line connects to.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, crypto};

/// Returns the authorities that the machine trusts. On a machine without a list, returns Mozilla's list of
/// the day of the build. Blocks for some 20 ms.
pub(crate) fn of_machine() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the machine's certificate authorities cannot be read");
    }
    // One malformed certificate of the machine must not disable the others.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::info!("the machine has no certificate authorities: the built-in list is used");
        roots = of_browsers();
    }
    roots
}

/// Returns the authorities that browsers trust: Mozilla's list of the day of the build.
pub(crate) fn of_browsers() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// Returns the authorities of a text in PEM. Fails if it has none, or one that cannot be used.
pub(crate) fn of_pem(pem: &[u8]) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for read in CertificateDer::pem_slice_iter(pem) {
        roots.add(read.map_err(|error| io::Error::other(error.to_string()))?).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("it has no section CERTIFICATE"));
    }
    Ok(roots)
}

/// Creates a connector that trusts these authorities and speaks HTTP/1.1.
pub(crate) fn connector(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    // Named here: the process-wide default panics if two providers are compiled in.
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_text_of_authorities_has_at_least_one() {
        let params = CertificateParams::new(["a.test".to_owned()]).expect("a name");
        let root = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed").pem();
        let rows = [
            (root.clone(), Ok(1)),
            (root.clone() + &root, Ok(2)),
            (String::new(), Err("no section CERTIFICATE")),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), Err("BadEncoding")),
        ];
        for (text, want) in rows {
            let got = of_pem(text.as_bytes()).map(|roots| roots.len()).map_err(|error| error.to_string());
            match (&got, want) {
                (Ok(got), Ok(want)) => assert_eq!(*got, want, "{text}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{text}: {got}"),
                _ => panic!("{text}: {got:?}"),
            }
        }
    }
}
