//! [`Shared`]: the state behind all clones of [`super::Certificates`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

use super::authority_client::AuthorityPool;
use super::challenge::Challenges;
use super::desired::Desired;
use super::reload::OwnPairs;
use super::resolver::{ByName, CertificateResolver};
use super::schedule;
use super::status::NameFacts;
use crate::clock::Timestamp;

/// Handshakes at once that wait for a certificate. Past it: they fail as those for names without one.
const HELD_MAX: usize = 64;

/// How long a handshake waits for a certificate, which takes a second if all is well.
const HELD_FOR: Duration = Duration::from_secs(10);

/// The state of all certificates.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) resolver: Arc<CertificateResolver>,
    /// Locked while files are read, and by no handshake.
    pub(super) own: Mutex<OwnPairs>,
    pub(super) challenges: Arc<Challenges>,
    /// Set once the core is there, on a server whose certificates an authority issues.
    pub(super) desired: OnceLock<Desired>,
    /// Set with `desired`. Knows the authority's time.
    pub(super) pool: OnceLock<Arc<AuthorityPool>>,
    /// Notified when a visitor begins to wait.
    pub(super) requested: Notify,
    /// The names that visitors wait for, with their number.
    waiting: Mutex<HashMap<String, usize>>,
    held: Semaphore,
    published: watch::Sender<()>,
    known: RwLock<BTreeMap<String, NameFacts>>,
    is_unwritten: AtomicBool,
    clock: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn new(resolver: CertificateResolver, own: OwnPairs) -> Shared {
        Shared {
            resolver: Arc::new(resolver),
            own: Mutex::new(own),
            challenges: Arc::default(),
            desired: OnceLock::new(),
            pool: OnceLock::new(),
            requested: Notify::new(),
            waiting: Mutex::default(),
            held: Semaphore::new(HELD_MAX),
            published: watch::channel(()).0,
            known: RwLock::default(),
            is_unwritten: AtomicBool::new(false),
            clock: Mutex::default(),
        }
    }

    /// Waits for the certificate of a name that is desired. Returns whether there is one.
    pub(super) async fn wait_for(&self, name: Option<&str>) -> bool {
        // Without an authority there is nothing to wait for.
        let Some(desired) = self.desired.get() else { return false };
        let Some(wanted) = name.or(self.resolver.nameless()).filter(|name| desired.contains(name)) else {
            return false;
        };
        // After the look into the directory: handshakes for unknown names take no place.
        let Ok(_held) = self.held.try_acquire() else { return false };
        let _waiting = HeldVisitor::begin(self, wanted);
        // Before the first look: a certificate that is published between the two is seen by one of them.
        let mut published = self.published.subscribe();
        let published = async {
            while self.resolver.find(name).is_none() {
                if published.changed().await.is_err() {
                    return;
                }
            }
        };
        // Looked up once more, since the sender may be gone.
        timeout(HELD_FOR, published).await.is_ok() && self.resolver.find(name).is_some()
    }

    /// Returns the names that visitors wait for.
    pub(super) fn awaited(&self) -> HashSet<String> {
        self.waiting.lock().keys().cloned().collect()
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

/// A visitor that waits for a name.
struct HeldVisitor<'a> {
    shared: &'a Shared,
    name: String,
}

impl<'a> HeldVisitor<'a> {
    fn begin(shared: &'a Shared, name: &str) -> HeldVisitor<'a> {
        // Counted, since two visitors may wait for one name and leave at different times.
        *shared.waiting.lock().entry(name.to_owned()).or_default() += 1;
        shared.requested.notify_one();
        HeldVisitor { shared, name: name.to_owned() }
    }
}

impl Drop for HeldVisitor<'_> {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting.lock();
        if let Some(number) = waiting.get_mut(&self.name) {
            *number -= 1;
            if *number == 0 {
                waiting.remove(&self.name);
            }
        }
    }
}
