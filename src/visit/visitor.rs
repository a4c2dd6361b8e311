//! [`Visitor`]: the handle that answers visits, and its look-up of links. The other files of this part
//! add its methods, each for one kind of visit.

use std::sync::Arc;

use hyper::header::HeaderValue;

use super::attempts::Attempts;
use super::host_misses::HostMisses;
use super::peer::TrustedProxies;
use super::settings::Settings;
use crate::agents::{Agent, Agents, UserAgent};
use crate::cache::Lookup;
use crate::cache::entry::Entry;
use crate::core::{ClickLog, Core, Error, Links, Resolved, Snapshots, Tenants};
use crate::model::domain::Domain;
use crate::model::network::Networks;
use crate::webhooks::Webhooks;

/// Answers visits. A handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub(super) links: Links,
    pub(super) webhooks: Webhooks,
    pub(super) state: Arc<VisitorState>,
}

#[derive(Debug)]
pub(super) struct VisitorState {
    pub(super) tenants: Tenants,
    pub(super) snapshots: Snapshots,
    pub(super) click_log: ClickLog,
    pub(super) settings: Settings,
    pub(super) agents: Agents,
    pub(super) attempts: Attempts,
    pub(super) host_misses: Arc<HostMisses>,
}

/// The store cannot be read at the moment, so that it is unknown whether the link exists.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookupFailed;

impl Visitor {
    /// Creates a handle that answers visits to the links of `core` and sends their clicks to `webhooks`.
    pub fn new(core: &Core, webhooks: Webhooks, settings: Settings) -> Visitor {
        // Behind the shared pointer, since a plain redirect needs only the links: cloning a visitor must
        // not touch more counts than that.
        let state = VisitorState {
            tenants: core.tenants(),
            snapshots: core.snapshots(),
            click_log: core.click_log(),
            settings,
            // By the same hashes after a restart: the visitors of the day are known by them.
            agents: core
                .analytics()
                .map_or_else(Agents::new, |analytics| Agents::seeded(analytics.agent_seed())),
            attempts: Attempts::default(),
            host_misses: Arc::default(),
        };
        Visitor { links: core.links(), webhooks, state: Arc::new(state) }
    }

    /// Returns the counts of requests for hosts that are no domain.
    pub fn host_misses(&self) -> &Arc<HostMisses> {
        &self.state.host_misses
    }

    /// Returns the proxies of these networks, and what is read of their headers.
    pub fn trusted_proxies(&self, networks: Networks) -> TrustedProxies {
        let name = self.links.capture().and_then(|capture| capture.settings().country_header.as_deref());
        let country_header = name.map(|name| name.parse().expect("the configuration was checked"));
        TrustedProxies { networks, country_header }
    }

    /// Returns what this User-Agent tells.
    pub(super) fn agent(&self, user_agent: Option<&HeaderValue>) -> UserAgent {
        self.state.agents.look_up(user_agent.map(HeaderValue::as_bytes))
    }

    /// Returns the first of these codes' links that exists.
    pub(super) async fn resolve_any(
        &self,
        domain: &Domain,
        codes: &[String],
    ) -> Result<Option<Entry>, LookupFailed> {
        for code in codes {
            if let Some(entry) = self.resolve(domain, code).await? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Returns the link from the cache or from the table, or `None` if it does not exist.
    pub(super) async fn resolve(&self, domain: &Domain, code: &str) -> Result<Option<Entry>, LookupFailed> {
        let found = match self.links.cache().get(domain.number, code, Entry::clone) {
            Lookup::Hit(entry) => return Ok(Some(entry)),
            Lookup::Absent => return Ok(None),
            Lookup::Miss => self.links.load(domain.number, code).await,
        };
        match found {
            Ok(Resolved::Found(entry)) => Ok(Some(entry)),
            Ok(Resolved::Absent) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Returns the entry for the rules of a visit of this kind: with the record of its link if they need it, and `None` if
    /// that link is gone.
    pub(super) async fn with_record(
        &self,
        entry: Entry,
        agent: Agent,
    ) -> Result<Option<Entry>, LookupFailed> {
        if !entry.needs_record(agent) {
            return Ok(Some(entry));
        }
        self.links.with_record(entry).await.map_err(|error| failed(&error))
    }
}

fn failed(error: &Error) -> LookupFailed {
    match error {
        // The table logs its own failures: a warning for each visit would flood the log.
        Error::Table(error) => tracing::debug!(%error, "the link of a visit cannot be read"),
        error => tracing::warn!(%error, "the link of a visit cannot be read"),
    }
    LookupFailed
}
