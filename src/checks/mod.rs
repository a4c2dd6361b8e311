//! Checks of links' destinations, in workspaces that have switched them on: a link whose destination does not work is
//! found before its visitors complain. Nothing here is on the path of a redirect.
//!
//! 1. One task, the [`walk`], finds links that are due by their keys, and starts checks within the shares of tenants.
//! 2. A check sends HEAD, or GET where HEAD is refused, to each destination ([`probe`]). Connections are those of webhooks:
//!    they reach no private network, also not behind a redirect.
//! 3. A host has at most one request a second, for all tenants together ([`pace`]). A server that asks for a delay has it.
//! 4. What a finding means, and when a link is checked again, is decided in `model/health.rs`. The results are in the
//!    table.
//!
//! `robots.txt` is not read: a check sends one request to a page that the owner of the link has named, and follows no link
//! on it.

mod exchange;
mod pace;
mod probe;
mod settings;
mod state;
mod walk;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use hyper::header::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::settings::Settings;
pub use self::state::CheckNumbers;

use self::pace::Pace;
use self::probe::Prober;
use self::state::CheckCounts;
use self::walk::{CheckState, Walk};
use crate::core::Core;
use crate::fair::{FairSemaphore, Shares};
use crate::model::network::Networks;
use crate::outbound::connect::{self, Connector};
use crate::webhooks::Webhooks;

/// Look-ups at once, like those of webhooks: each may block a thread for half a minute. Past it: a check waits, within the
/// time of its request, and is repeated later.
pub const LOOKUPS_MAX: u32 = 8;

/// The handle of the checks, cheap to clone.
#[derive(Clone)]
pub struct Checks(Arc<Handle>);

struct Handle {
    state: Arc<CheckState>,
    stop: watch::Sender<bool>,
    /// `None` before the start and after the stop.
    walk: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks").field("numbers", &self.numbers()).finish_non_exhaustive()
    }
}

impl Checks {
    /// Creates the handle. Nothing is sent before [`Checks::start`]. `allowed` are the private networks of webhooks.
    pub fn new(core: &Core, webhooks: Webhooks, settings: &Settings, allowed: Networks) -> Checks {
        let lookups = FairSemaphore::new(LOOKUPS_MAX);
        let agent = format!("Waypost-Checks/1 (+{})", core.site().base_url());
        let prober = Prober {
            links: core.links(),
            connector: Connector::new(connect::system(), allowed, lookups),
            pace: Mutex::new(Pace::default()),
            agent: HeaderValue::try_from(agent).expect("a site is a URL, which is printable ASCII"),
            timeout: settings.timeout,
            counts: CheckCounts::default(),
        };
        let state = CheckState {
            links: core.links(),
            webhooks,
            prober,
            schedule: settings.schedule(),
            slots: FairSemaphore::new(settings.concurrency),
            in_flight: Mutex::new(HashSet::new()),
        };
        Checks(Arc::new(Handle {
            state: Arc::new(state),
            stop: watch::Sender::new(false),
            walk: Mutex::new(None),
        }))
    }

    /// Starts the checks, once.
    pub fn start(&self) {
        let mut walk = self.0.walk.lock();
        // A second start, and a start after a stop, do nothing.
        if walk.is_none() && !*self.0.stop.borrow() {
            let run = Walk::new(Arc::clone(&self.0.state)).run(self.0.stop.subscribe());
            *walk = Some(tokio::spawn(run));
        }
    }

    /// Stops the checks. Those under way are cut off, and repeated after the next start.
    pub async fn stop(&self) {
        // Before the handle is taken: a walk that starts at this moment ends as well.
        self.0.stop.send_replace(true);
        let walk = self.0.walk.lock().take();
        if let Some(walk) = walk
            && walk.await.is_err()
        {
            tracing::error!("the task that checks links panicked");
        }
    }

    /// Returns the name and the shares of each resource that the checks of all tenants share.
    pub fn shares(&self) -> [(&'static str, Shares); 2] {
        let state = &self.0.state;
        [
            ("checks of links", state.slots.shares()),
            ("look-ups of checks", state.prober.connector.lookups.shares()),
        ]
    }

    /// Returns the present numbers.
    pub fn numbers(&self) -> CheckNumbers {
        let in_flight = self.0.state.in_flight.lock().len();
        self.0.state.prober.counts.numbers(in_flight)
    }
}
