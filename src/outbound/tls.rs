//! TLS to https servers: the certificate must be for the name in the URL, and be signed by a certificate
//! authority that the machine trusts.

use tokio_rustls::TlsConnector;

use super::error::ConnectError;
use crate::authorities;

/// Loads the certificate authorities, on a thread that may block.
pub(super) async fn load() -> Result<TlsConnector, ConnectError> {
    let loaded = tokio::task::spawn_blocking(|| authorities::connector(authorities::of_machine())).await;
    match loaded {
        Ok(Ok(connector)) => Ok(connector),
        Ok(Err(error)) => Err(ConnectError::Tls(error.to_string().into())),
        Err(_) => Err(ConnectError::Tls("the authorities cannot be read".into())),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};
    use url::Url;

    use super::*;
    use crate::fair::FairSemaphore;
    use crate::model::network::Networks;
    use crate::model::tenant::Tenant;
    use crate::outbound::connect::Connector;

    /// Returns a connector that resolves every name to this machine, and may connect to it.
    fn local() -> Connector {
        let resolver = |_: &str, port| Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
        let allowed = Networks::parse(["127.0.0.0/8"]).expect("a network");
        Connector::new(Arc::new(resolver), allowed, FairSemaphore::new(4))
    }

    /// Starts a TLS server with a certificate for hooks.test and 127.0.0.1, which sends back the requested
    /// server name.
    async fn listen_tls() -> u16 {
        let certificate = CertificateDer::from(&include_bytes!("../../tests/tls/hooks.test.der")[..]);
        let key = PrivatePkcs8KeyDer::from(&include_bytes!("../../tests/tls/hooks.test.key.der")[..]);
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
            .expect("a certificate with its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let name = stream.get_ref().1.server_name().unwrap_or("-").to_owned();
                    let _ = stream.write_all(name.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        port
    }

    #[tokio::test]
    async fn t87_certificates_are_checked_against_the_name_in_the_url() {
        let port = listen_tls().await;
        let authority = CertificateDer::from(&include_bytes!("../../tests/tls/authority.der")[..]);
        let mut roots = RootCertStore::empty();
        roots.add(authority).expect("a certificate");
        let trusting = local();
        trusting.tls.set(authorities::connector(roots).expect("a configuration")).ok().expect("set once");
        let rows = [
            ("https://hooks.test/", Ok("hooks.test")),
            // Neither case nor the dot at the end is a part of the checked name.
            ("https://HOOKS.test./", Ok("hooks.test")),
            // An address is never sent as the server name (RFC 6066 3).
            ("https://127.0.0.1/", Ok("-")),
            ("https://other.test/", Err("not valid for name")),
            ("https://127.0.0.2/", Err("connection refused")),
        ];
        for (text, want) in rows {
            let mut url = Url::parse(text).expect(text);
            url.set_port(Some(port)).expect("a port");
            let got = match trusting.connect(&url, &Tenant::Operator).await {
                Ok(mut stream) => {
                    let mut name = String::new();
                    stream.read_to_string(&mut name).await.expect("the name");
                    Ok(name)
                }
                Err(error) => Err(error.to_string()),
            };
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{text}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{text}: {got}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        // No authority of the machine has signed the certificate.
        let url = Url::parse(&format!("https://hooks.test:{port}/")).expect("a URL");
        let rejected = local().connect(&url, &Tenant::Operator).await;
        let rejected = rejected.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(rejected.contains("UnknownIssuer"), "{rejected}");
    }
}
