//! Certificates of HTTPS: which names have one, where it comes from, and when it is replaced. Knows no request.
//!
//! A handshake asks the [`CertificateResolver`] and waits for nothing, except for the first certificate of a name that is desired.
//! The owner's files win over all other certificates for their names. The [`renewer`] has all other names certified by
//! an authority (RFC 8555).

mod acme;
mod authority_client;
mod challenge;
mod desired;
mod held;
pub mod internet;
mod lanes;
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
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinHandle;
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
use crate::model::network::Networks;
use crate::private_files::read_regular;
use crate::users::remedy_to_read;

/// Look-ups at once, each of which may block a thread for half a minute: of names and of the authority.
pub const LOOKUPS_MAX: usize = lanes::LOOKUPS_MAX;

/// Most bytes of a file of roots. The list of all authorities that browsers trust has 220 KB.
const ROOTS_MAX: u64 = 4 * 1024 * 1024;

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
    #[error(
        "cannot read {}: {error}{}. `https.authority_roots` names the file",
        path.display(), remedy_to_read(path, error)
    )]
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
                read_regular(path, ROOTS_MAX)
                    .and_then(|pem| authorities::of_pem(&pem))
                    .map_err(|error| FileError::Roots { path: path.clone(), error })?,
            ),
        };
        Ok(Authority { names: names.clone(), settings: settings.clone(), roots })
    }
}

impl Certificates {
    /// Reads the owner's files. Fails with the first pair that cannot be used. Blocks.
    pub fn open(names: &CertificateNames, settings: &Settings) -> Result<Certificates, FileError> {
        let own = OwnPairs::read(&settings.certificates)?;
        let resolver = CertificateResolver::new(names.clone());
        resolver.set_own(own.by_name());
        Ok(Certificates(Arc::new(Shared::new(resolver, own))))
    }

    /// Returns what the handshakes ask for certificates.
    pub fn resolver(&self) -> Arc<CertificateResolver> {
        Arc::clone(&self.0.resolver)
    }

    /// Returns the name that a client means which names none and has connected to this address of the machine.
    pub fn meant(&self, local: Option<IpAddr>) -> Option<String> {
        self.0.resolver.meant(local)
    }

    /// Returns the certificate for a name in lower case. `None` is a client that names none on a server without `domain`.
    pub fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.0.resolver.find(name)
    }

    /// Waits for the certificate of a name that should have one, for some seconds, on behalf of a client. Returns whether
    /// it is there.
    pub async fn wait_for(&self, name: &str, client: IpAddr) -> bool {
        self.0.wait_for(name, client).await
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
        if let Some(validity) = self.0.own.load().find(name).map(|pair| pair.fields.validity()) {
            let state = status::state_of(validity, now);
            let expires_at = Some(validity.not_after);
            return Some(NameStatus { state, expires_at, failure: None, next_try: None });
        }
        let known = self.0.with_known(|known| known.get(name).map(|known| known.status(name, now)));
        // A domain that was just created: the next round of the renewer requests its certificate.
        let is_desired = || self.0.desired.get().is_some_and(|desired| desired.contains(name));
        known.or_else(|| is_desired().then(NameStatus::pending))
    }

    /// Returns the states of all names that the authority certifies, and of the owner's certificates.
    pub fn summaries(&self, now: Timestamp) -> Vec<CertificateSummary> {
        let now = self.0.corrected(now);
        let own = self.0.own.load();
        let own = own.summaries(now).collect();
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

    /// Reads the owner's files that have changed. Returns at once while another call reads them. Blocks.
    pub fn reload(&self, now: Timestamp) {
        // A disk that does not answer blocks one thread, and not one more at each look.
        let Some(_only) = self.0.reloading.try_lock() else { return };
        let mut own = OwnPairs::clone(&self.0.own.load());
        if own.reload(self.0.corrected(now)) {
            self.0.resolver.set_own(own.by_name());
        }
        self.0.own.store(Arc::new(own));
    }

    /// Begins to read the owner's files that have changed, on a thread that may block.
    pub fn begin_reload(&self, now: Timestamp) -> JoinHandle<()> {
        let certificates = self.clone();
        tokio::task::spawn_blocking(move || certificates.reload(now))
    }

    /// Looks at the owner's files regularly. Does not return.
    pub async fn reload_regularly(self, clock: Clock) {
        loop {
            tokio::time::sleep(reload::EVERY).await;
            // A panic was printed; the next look may succeed.
            let _ = self.begin_reload(clock.now()).await;
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
    /// names that should have a certificate wait for it. Names of tenants may lead to the `allowed` networks besides the
    /// public internet. To be called once.
    pub fn renew(
        &self,
        stored: StoredCertificates,
        authority: Authority,
        core: Core,
        clock: Clock,
        allowed: Networks,
    ) -> impl Future<Output = ()> + Send + use<> {
        let Authority { names, settings, roots } = authority;
        // Here and not in the task, which begins later.
        let desired = Desired::new(names, &settings, core, allowed);
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
