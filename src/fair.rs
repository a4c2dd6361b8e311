//! Shared resources with a share for each tenant. [`FairSemaphore`] bounds the units of one resource, in
//! all and for each holder:
//!
//! | holder | most, of `total` units |
//! |---|---|
//! | the operator | all |
//! | all tenants together | seven eighths, so that the operator can always act |
//! | one company, with all its workspaces | half |
//! | one workspace | three quarters of its company's share, and never all of it |
//!
//! Every pool that serves requests of several tenants is a [`FairSemaphore`].

pub mod queue;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::id::ForeignId;
use crate::model::tenant::Tenant;
use crate::model::workspace::WorkspaceNumber;

/// Smallest total. With fewer units, a company's half and the operator's reserve would overlap.
const TOTAL_MIN: u32 = 4;

/// The most units of a pool for each kind of holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// All units: the operator's bound.
    pub total: u32,
    /// All companies together.
    pub tenants: u32,
    /// One company, with all its workspaces.
    pub company: u32,
    /// One workspace.
    pub workspace: u32,
}

impl Shares {
    /// Returns the shares of a pool of `total` units, of which there are at least four.
    pub const fn of(total: u32) -> Shares {
        let total = if total < TOTAL_MIN { TOTAL_MIN } else { total };
        let reserve = if total < 8 { 1 } else { total / 8 };
        let company = total / 2;
        // One workspace never gets its company's whole share, even of two units, so another workspace gets
        // some.
        let others = if company < 4 { 1 } else { company / 4 };
        Shares { total, tenants: total - reserve, company, workspace: company - others }
    }

    /// Returns the most units that this tenant may hold.
    pub fn most(self, tenant: &Tenant) -> u32 {
        match tenant {
            Tenant::Operator => self.total,
            Tenant::Company(_) => self.company,
            Tenant::Workspace { .. } => self.workspace,
        }
    }
}

/// A semaphore whose units are shared fairly between tenants.
#[derive(Debug)]
pub struct FairSemaphore {
    shares: Shares,
    all: Arc<Semaphore>,
    tenants: Arc<Semaphore>,
    companies: Mutex<Holders<ForeignId>>,
    workspaces: Mutex<Holders<WorkspaceNumber>>,
}

/// Units of a [`FairSemaphore`], released when dropped.
#[derive(Debug)]
pub struct FairPermit {
    /// From the narrowest share to the whole pool.
    permits: Vec<OwnedSemaphorePermit>,
}

impl FairSemaphore {
    /// Creates a pool of `total` units, of which there are at least four.
    pub fn new(total: u32) -> FairSemaphore {
        let shares = Shares::of(total);
        FairSemaphore {
            shares,
            all: semaphore(shares.total),
            tenants: semaphore(shares.tenants),
            companies: Mutex::default(),
            workspaces: Mutex::default(),
        }
    }

    /// Returns the bounds of each kind of holder.
    pub fn shares(&self) -> Shares {
        self.shares
    }

    /// Returns the number of free units.
    pub fn available(&self) -> usize {
        self.all.available_permits()
    }

    /// Acquires `units`, or as many as the tenant may ever hold if that is less. Returns `None` when
    /// they were not free `within` this time. Dropping the future leaves the queue.
    pub async fn acquire(&self, tenant: &Tenant, units: u32, within: Duration) -> Option<FairPermit> {
        let units = units.min(self.shares.most(tenant));
        let acquire = async {
            // From the narrowest share outwards: a tenant that waits for its own share holds nothing
            // of the shares of others.
            let mut permits = Vec::with_capacity(4);
            for pool in self.pools(tenant) {
                permits.push(pool.acquire_many_owned(units).await.ok()?);
            }
            Some(FairPermit { permits })
        };
        tokio::time::timeout(within, acquire).await.ok().flatten()
    }

    /// Like [`FairSemaphore::acquire`], but returns `None` at once when the units are not free.
    pub fn try_acquire(&self, tenant: &Tenant, units: u32) -> Option<FairPermit> {
        let units = units.min(self.shares.most(tenant));
        let pools = self.pools(tenant).into_iter();
        let permits = pools.map(|pool| pool.try_acquire_many_owned(units).ok()).collect::<Option<_>>()?;
        Some(FairPermit { permits })
    }

    /// Returns the semaphores that a tenant acquires, the narrowest first.
    fn pools(&self, tenant: &Tenant) -> Vec<Arc<Semaphore>> {
        let mut pools = Vec::with_capacity(4);
        if let Some(number) = tenant.workspace() {
            pools.push(self.workspaces.lock().of(&number, self.shares.workspace));
        }
        if let Some(company) = tenant.company() {
            pools.push(self.companies.lock().of(company, self.shares.company));
            pools.push(Arc::clone(&self.tenants));
        }
        pools.push(Arc::clone(&self.all));
        pools
    }
}

impl FairPermit {
    /// Releases all but `units`.
    pub fn keep(&mut self, units: u32) {
        for permit in &mut self.permits {
            drop(permit.split(permit.num_permits().saturating_sub(units as usize)));
        }
    }

    /// Returns the number of units held.
    pub fn units(&self) -> usize {
        self.permits.last().map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

fn semaphore(units: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(units as usize))
}

/// One semaphore for each tenant that holds units or waits for units.
#[derive(Debug)]
struct Holders<K> {
    semaphores: HashMap<K, Arc<Semaphore>, ahash::RandomState>,
    /// Unused semaphores are removed when the map has this size. The amortised cost of an acquisition is
    /// constant for any number of tenants.
    purge_at: usize,
}

/// Smallest size of the map at which unused semaphores are removed.
const PURGE_AT_MIN: usize = 64;

impl<K> Default for Holders<K> {
    fn default() -> Holders<K> {
        Holders { semaphores: HashMap::default(), purge_at: PURGE_AT_MIN }
    }
}

impl<K: Clone + Eq + Hash> Holders<K> {
    fn of(&mut self, key: &K, units: u32) -> Arc<Semaphore> {
        if let Some(found) = self.semaphores.get(key) {
            return Arc::clone(found);
        }
        if self.semaphores.len() >= self.purge_at {
            // Handles are created under this lock only: a count of one is the map's own handle.
            self.semaphores.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            self.purge_at = (2 * self.semaphores.len()).max(PURGE_AT_MIN);
        }
        let created = semaphore(units);
        self.semaphores.insert(key.clone(), Arc::clone(&created));
        created
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1);

    fn company(name: &str) -> Tenant {
        Tenant::Company(ForeignId::parse("id", name).expect("valid"))
    }

    fn workspace(company: &str, number: u32) -> Tenant {
        let company = ForeignId::parse("id", company).expect("valid");
        Tenant::Workspace { company, number: WorkspaceNumber(number) }
    }

    #[test]
    fn each_share_leaves_units_for_other_holders() {
        for total in [0, 4, 5, 7, 8, 64, 1_024] {
            let shares = Shares::of(total);
            assert!(shares.total >= total && shares.total >= TOTAL_MIN, "{shares:?}");
            assert!(shares.tenants < shares.total, "{shares:?} keeps some for the operator");
            assert!(shares.company <= shares.total / 2, "{shares:?}");
            assert!(shares.company < shares.tenants, "{shares:?} keeps some for another company");
            assert!(shares.workspace >= 1 && shares.workspace < shares.company, "{shares:?}");
        }
    }

    #[tokio::test]
    async fn each_holder_is_bounded_by_its_share() {
        let pool = FairSemaphore::new(16);
        // Tenant, requested units, acquired units. Acquired units stay held.
        let rows = [
            (workspace("a", 1), 20, Some(6)),
            (workspace("a", 1), 1, None),
            (workspace("a", 2), 2, Some(2)),
            (workspace("a", 2), 1, None),
            (company("a"), 1, None),
            (company("b"), 6, Some(6)),
            (company("b"), 1, None),
            (workspace("c", 3), 1, None),
            (Tenant::Operator, 3, None),
            (Tenant::Operator, 2, Some(2)),
        ];
        let mut held = Vec::new();
        for (tenant, units, want) in rows {
            let got = pool.try_acquire(&tenant, units);
            assert_eq!(got.as_ref().map(FairPermit::units), want, "{tenant:?} {units}");
            if want.is_none() {
                assert!(pool.acquire(&tenant, units, NOW).await.is_none(), "{tenant:?} {units}");
            }
            held.extend(got);
        }
        drop(held);
        assert!(pool.try_acquire(&Tenant::Operator, 16).is_some(), "everything was released");
    }

    #[tokio::test]
    async fn released_units_serve_the_next_in_line() {
        let pool = FairSemaphore::new(8);
        let tenant = company("a");
        let mut held = pool.try_acquire(&tenant, 4).expect("all are free");
        assert!(pool.acquire(&tenant, 1, NOW).await.is_none());
        let (waited, ()) = tokio::join!(pool.acquire(&tenant, 3, Duration::from_secs(10)), async {
            held.keep(9);
            assert_eq!(held.units(), 4, "no more than there are");
            held.keep(1);
        });
        assert!(waited.is_some());
        assert!(pool.try_acquire(&tenant, 1).is_none());
        assert_eq!((held.units(), pool.available()), (1, 4));
    }

    #[test]
    fn semaphores_of_tenants_without_units_are_removed() {
        let pool = FairSemaphore::new(8);
        let kept = pool.try_acquire(&workspace("a", 0), 1).expect("all are free");
        for number in 1..10_000 {
            drop(pool.try_acquire(&workspace("a", number), 1));
        }
        assert!(pool.workspaces.lock().semaphores.len() <= 2 * PURGE_AT_MIN);
        drop(kept);
        assert_eq!(pool.available(), 8);
    }
}
