//! Certificates of HTTPS: which names have one, where it comes from, and when it is replaced. Knows no request.
//!
//! A handshake asks the [`Resolver`] and waits for nothing. The owner's files win over all other certificates for
//! their names.

pub mod name;
mod pair;
mod reload;
mod resolver;
pub mod settings;
mod x509;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_rustls::rustls::sign::CertifiedKey;

pub use self::name::{CertificateName, CertificateNames};
pub use self::pair::PairError;
use self::reload::OwnPairs;
pub use self::resolver::Resolver;
pub use self::settings::Settings;

/// All certificates of this server. Cheap to clone: all clones share them.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    resolver: Arc<Resolver>,
    /// Locked while files are read, and by no handshake.
    own: Mutex<OwnPairs>,
}

impl Certificates {
    /// Reads the owner's files. Fails with the first pair that cannot be used. Blocks.
    pub fn open(names: &CertificateNames, settings: &Settings) -> Result<Certificates, PairError> {
        let own = OwnPairs::read(&settings.certificates)?;
        let resolver = Resolver::new(names.first().map(ToString::to_string).as_deref());
        resolver.set_own(own.by_name());
        Ok(Certificates(Arc::new(Shared { resolver: Arc::new(resolver), own: Mutex::new(own) })))
    }

    /// Returns what the handshakes ask for certificates.
    pub fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.0.resolver)
    }

    /// Returns the certificate for a name in lower case, or for a client that names none.
    pub fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.0.resolver.find(name)
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
}
