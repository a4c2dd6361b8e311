//! Certificates of HTTPS: which names have one, where it comes from, and when it is replaced. Knows no request.
//!
//! A handshake asks the [`CertificateResolver`] and waits for nothing, except for the first certificate of a name that is desired.
//! The owner's files win over all other certificates for their names. The [`renewer`] has all other names certified by
//! an authority (RFC 8555).

mod acme;
mod authority_client;
mod challenge;
mod desired;
pub mod internet;
pub mod name;
mod order_budget;
mod pair;
pub mod reach;
mod reload;
mod renewer;
pub mod report;
mod resolver;
mod schedule;
mod self_check;
pub mod settings;
mod shared;
mod state;
pub mod status;
pub mod store;
mod trust;
mod x509;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::sign::CertifiedKey;

use self::authority_client::AuthorityPool;
use self::desired::Desired;
pub use self::internet::Internet;
pub use self::name::{CertificateName, CertificateNames};
pub use self::pair::PairError;
use self::reload::OwnPairs;
use self::renewer::Renewer;
pub use self::resolver::CertificateResolver;
pub use self::self_check::{ACME_TLS, CHALLENGE_PATH};
pub use self::settings::Settings;
use self::shared::Shared;
pub use self::status::{CertificateOwner, CertificateSummary};
use self::store::CertificateStore;
use crate::authorities;
use crate::clock::{Clock, Timestamp};
use crate::core::Core;
use crate::model::certificate::NameStatus;

/// Look-ups at once, each of which may block a thread for half a minute: of names and of the authority.
pub const LOOKUPS_MAX: usize = 2 * renewer::ACTS_MAX;

/// All certificates of this server. Cheap to clone: all clones share them.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Shared>);

/// Why a file that a setting names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A certificate of the owner or its key.
    #[error("{0}. `https.certificates` names the files")]
    Pair(#[from] PairError),
    /// The roots of a private authority.
    #[error("cannot read {}: {error}. `https.authority_roots` names the file", path.display())]
    #[allow(missing_docs)] // The parts of the message.
    Roots { path: PathBuf, error: io::Error },
}

/// What [`Certificates::renew`] needs beside the certificates.
#[derive(Debug)]
pub struct Authority {
    names: CertificateNames,
    settings: Settings,
    roots: Option<RootCertStore>,
}

impl Authority {
    /// Reads the roots of a private authority. Fails if the file cannot be used. Blocks.
    pub fn open(names: &CertificateNames, settings: &Settings) -> Result<Authority, FileError> {
        let roots = match &settings.authority_roots {
            None => None,
            Some(path) => Some(
                authorities::of_file(path).map_err(|error| FileError::Roots { path: path.clone(), error })?,
            ),
        };
        Ok(Authority { names: names.clone(), settings: settings.clone(), roots })
    }
}

impl Certificates {
    /// Reads the owner's files. Fails with the first pair that cannot be used. Blocks.
    pub fn open(names: &CertificateNames, settings: &Settings) -> Result<Certificates, FileError> {
        let own = OwnPairs::read(&settings.certificates)?;
        let resolver = CertificateResolver::new(names.first().map(ToString::to_string).as_deref());
        resolver.set_own(own.by_name());
        Ok(Certificates(Arc::new(Shared::new(resolver, own))))
    }

    /// Returns what the handshakes ask for certificates.
    pub fn resolver(&self) -> Arc<CertificateResolver> {
        Arc::clone(&self.0.resolver)
    }

    /// Returns the certificate for a name in lower case, or for a client that names none.
    pub fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.0.resolver.find(name)
    }

    /// Waits for the certificate of a name that should have one, for some seconds. Returns whether it is there.
    pub async fn wait_for(&self, name: Option<&str>) -> bool {
        self.0.wait_for(name).await
    }

    /// Returns the certificate that answers an authority's handshake for this server name.
    pub fn challenge(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.0.challenges.certificate(server_name)
    }

    /// Returns the answer to an authority's request for this token.
    pub fn challenge_file(&self, token: &str) -> Option<String> {
        self.0.challenges.file(token)
    }

    /// Returns the state of a name. `None` for one without a certificate that should not have one.
    pub fn status(&self, name: &str, now: Timestamp) -> Option<NameStatus> {
        let now = self.0.corrected(now);
        // First, as in handshakes.
        if let Some(validity) = self.0.own.lock().find(name).map(|pair| pair.fields.validity()) {
            let state = status::state_of(validity, now);
            let expires_at = Some(validity.not_after);
            return Some(NameStatus { state, expires_at, failure: None, next_try: None });
        }
        self.0.with_known(|known| known.get(name).map(|known| known.status(name, now)))
    }

    /// Returns the states of all names that the authority certifies, and of the owner's certificates.
    pub fn summaries(&self, now: Timestamp) -> Vec<CertificateSummary> {
        let now = self.0.corrected(now);
        let own = self.0.own.lock().all().map(|(_, pair)| status::of_own(pair, now)).collect();
        self.0.with_known(|known| {
            let mut all: Vec<_> = own;
            all.extend(known.iter().map(|(name, facts)| facts.summary(name, now)));
            all
        })
    }

    /// Returns the sentence about a clock that differs from the authority's.
    pub fn wrong_clock(&self) -> Option<String> {
        self.0.clock()
    }

    /// Returns whether certificates could not be written to the disk.
    pub fn are_unwritten(&self) -> bool {
        self.0.is_unwritten()
    }

    /// Reads the owner's files that have changed. Blocks.
    pub fn reload(&self) {
        let mut own = self.0.own.lock();
        if own.reload() {
            self.0.resolver.set_own(own.by_name());
        }
    }

    /// Looks at the owner's files regularly. Does not return.
    pub async fn reload_regularly(self) {
        loop {
            tokio::time::sleep(reload::EVERY).await;
            let certificates = self.clone();
            // A panic was printed; the next look may succeed.
            let _ = tokio::task::spawn_blocking(move || certificates.reload()).await;
        }
    }

    /// Reads the certificates of the data folder, so that handshakes find them. Blocks. The result is for
    /// [`Certificates::renew`].
    pub fn read_stored(&self, data_dir: &Path) -> StoredCertificates {
        let store = CertificateStore::of(data_dir);
        let stored = store.read();
        for text in &stored.unusable {
            tracing::warn!("{text}");
        }
        let by_name = stored.pairs.iter().map(|(name, pair)| (name.as_str().into(), Arc::clone(&pair.key)));
        // Before the first handshake: a restart shows the certificates at once.
        self.0.publish(by_name.collect());
        StoredCertificates { store, stored }
    }

    /// Returns the work that orders and renews certificates, which does not return. From this call on, handshakes for
    /// names that should have a certificate wait for it. To be called once.
    pub fn renew(
        &self,
        stored: StoredCertificates,
        authority: Authority,
        core: Core,
        clock: Clock,
    ) -> impl Future<Output = ()> + Send + use<> {
        let Authority { names, settings, roots } = authority;
        // Here and not in the task, which begins later.
        let desired = Desired::new(names, &settings, core);
        // An error means that it is set already, to the same names.
        let _ = self.0.desired.set(desired.clone());
        let pool = AuthorityPool::new(roots, clock.clone());
        // As above. States are shown by the better clock.
        let _ = self.0.pool.set(Arc::clone(&pool));
        let StoredCertificates { store, stored } = stored;
        Renewer::new(Arc::clone(&self.0), desired, settings, clock, pool, store, stored).run()
    }
}

/// The certificates of the data folder.
#[derive(Debug)]
pub struct StoredCertificates {
    store: CertificateStore,
    stored: store::StoredFiles,
}
