//! Apps with HTTPS, with a certificate of an authority that the clients trust.

use std::net::SocketAddr;

use tempfile::TempDir;
use waypost::certificates::CertificateNames;
use waypost::config::Config;

use crate::support::app::{HOST, TestApp};
use crate::support::tls::{Authority, TlsClient};

/// An app with HTTPS for [`HOST`].
pub(crate) struct HttpsApp {
    pub(crate) app: TestApp,
    pub(crate) authority: Authority,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
}

impl HttpsApp {
    pub(crate) fn start() -> HttpsApp {
        HttpsApp::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> HttpsApp {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new();
        let files = authority.issue(folder.path(), &[HOST]);
        let app = TestApp::start_with(|config| {
            config.domain = names(&[HOST]);
            config.https.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)).into());
            config.https.certificates = vec![files];
            change(config);
        });
        let address = app.app().https().tcp().expect("HTTPS is on");
        HttpsApp { app, authority, address, folder }
    }

    /// Connects with these protocols, the first of which is preferred.
    pub(crate) fn connect(&self, protocols: &[&str]) -> TlsClient {
        TlsClient::connect(self.address, HOST, self.authority.trusting(protocols)).expect("a connection")
    }
}

/// Returns names as the setting `domain` has them.
pub(crate) fn names(names: &[&str]) -> CertificateNames {
    serde_json::from_value(serde_json::json!(names)).expect("valid names")
}
