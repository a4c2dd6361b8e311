//! [`Shared`]: the state behind all clones of [`super::Certificates`].

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::authority_client::AuthorityPool;
use super::challenge::Challenges;
use super::desired::Desired;
use super::held::HeldHandshakes;
use super::reload::OwnPairs;
use super::resolver::{ByName, CertificateResolver};
use super::schedule;
use super::status::NameFacts;
use crate::clock::Timestamp;

/// How long a handshake waits for a certificate, which takes a second if all is well.
const HELD_FOR: Duration = Duration::from_secs(10);

/// The state of all certificates.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) resolver: Arc<CertificateResolver>,
    /// Replaced as a whole: nothing waits for a disk that does not answer.
    pub(super) own: ArcSwap<OwnPairs>,
    /// Locked while the owner's files are read.
    pub(super) reloading: Mutex<()>,
    pub(super) challenges: Arc<Challenges>,
    /// Set once the core is there, on a server whose certificates an authority issues.
    pub(super) desired: OnceLock<Desired>,
    /// Set with `desired`. Knows the authority's time.
    pub(super) pool: OnceLock<Arc<AuthorityPool>>,
    /// Notified when a visitor begins to wait.
    pub(super) requested: Notify,
    held: HeldHandshakes,
    published: watch::Sender<()>,
    known: RwLock<BTreeMap<String, NameFacts>>,
    is_unwritten: AtomicBool,
    clock: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn new(resolver: CertificateResolver, own: OwnPairs) -> Shared {
        Shared {
            resolver: Arc::new(resolver),
            own: ArcSwap::from_pointee(own),
            reloading: Mutex::default(),
            challenges: Arc::default(),
            desired: OnceLock::new(),
            pool: OnceLock::new(),
            requested: Notify::new(),
            held: HeldHandshakes::default(),
            published: watch::channel(()).0,
            known: RwLock::default(),
            is_unwritten: AtomicBool::new(false),
            clock: Mutex::default(),
        }
    }

    /// Waits for the certificate of a name that is desired, on behalf of a client. Returns whether there is one.
    pub(super) async fn wait_for(&self, name: &str, client: IpAddr) -> bool {
        // Without an authority there is nothing to wait for.
        let Some(desired) = self.desired.get() else { return false };
        if !desired.contains(name) {
            return false;
        }
        // After the look into the directory: handshakes for unknown names take no place.
        let Some(_held) = self.held.begin(client, name) else { return false };
        self.requested.notify_one();
        // Before the first look: a certificate that is published between the two is seen by one of them.
        let mut published = self.published.subscribe();
        let published = async {
            while self.resolver.find(Some(name)).is_none() {
                if published.changed().await.is_err() {
                    return;
                }
            }
        };
        // Looked up once more, since the sender may be gone.
        timeout(HELD_FOR, published).await.is_ok() && self.resolver.find(Some(name)).is_some()
    }

    /// Returns the names that visitors wait for.
    pub(super) fn awaited(&self) -> HashSet<String> {
        self.held.names()
    }

    /// Replaces the certificates of the authority, and lets handshakes that wait go on.
    pub(super) fn publish(&self, issued: ByName) {
        self.resolver.set_issued(issued);
        self.published.send_replace(());
    }

    pub(super) fn set_known(&self, known: BTreeMap<String, NameFacts>) {
        *self.known.write() = known;
    }

    /// Runs `read` with what is known of all names.
    pub(super) fn with_known<T>(&self, read: impl FnOnce(&BTreeMap<String, NameFacts>) -> T) -> T {
        read(&self.known.read())
    }

    /// Notes whether certificates are not on the disk. Returns the state before.
    pub(super) fn set_unwritten(&self, is_unwritten: bool) -> bool {
        self.is_unwritten.swap(is_unwritten, Ordering::Relaxed)
    }

    pub(super) fn is_unwritten(&self) -> bool {
        self.is_unwritten.load(Ordering::Relaxed)
    }

    pub(super) fn set_clock(&self, sentence: Option<String>) {
        *self.clock.lock() = sentence;
    }

    /// Returns the time by the better clock, this machine's or the authority's.
    pub(super) fn corrected(&self, now: Timestamp) -> Timestamp {
        schedule::corrected(now, self.pool.get().and_then(|pool| pool.ahead()))
    }

    /// Returns the sentence about a wrong clock.
    pub(super) fn clock(&self) -> Option<String> {
        self.clock.lock().clone()
    }
}
