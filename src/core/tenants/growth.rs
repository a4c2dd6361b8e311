//! The bounds of the memory of the [`super::directory`]: for the instance, and shares of it for companies and
//! workspaces, as in [`Shares`]. Past a bound, a Change that adds bytes is rejected. Records that exist are
//! always loaded.

use super::caps::{Capped, Creating};
use super::weights::holders;
use crate::core::error::Error;
use crate::core::shared::Shared;
use crate::fair::Shares;
use crate::model::key::Reach;
use crate::model::tenant::Tenant;

impl Shared {
    /// Announces that a record of `tenant` grows from `before` to `after` bytes; 0 stands for no record. Keep
    /// the announcement until the Change is applied: see [`super::caps`]. Fails with [`Error::Forbidden`] if
    /// the records would exceed a bound. A key of the instance is held to the bound of the instance only.
    pub(super) fn announce_growth(
        &self,
        reach: &Reach,
        tenant: &Tenant,
        before: usize,
        after: usize,
    ) -> Result<Vec<Creating>, Error> {
        // A record that shrinks is never rejected, also above a bound.
        let growth = after.saturating_sub(before);
        if growth == 0 {
            return Ok(Vec::new());
        }
        let shares = Shares::of(u32::try_from(self.settings.record_memory).unwrap_or(u32::MAX));
        let is_operator = *reach == Reach::Instance;
        let bound = |holder: Tenant| {
            let (most, whose) = match &holder {
                Tenant::Operator if is_operator => (shares.total, "of all tenants"),
                Tenant::Operator => (shares.tenants, "of all tenants"),
                Tenant::Company(_) => (shares.company, "of one company"),
                Tenant::Workspace { .. } => (shares.workspace, "of one workspace"),
            };
            let creating = self.caps.announce(Capped::Memory(holder.clone()), growth);
            let why = format!(
                "the domains, custom values and keys {whose} take at most {} KiB of memory: delete domains or \
                 keys, or shorten the fallback URLs of domains or custom values",
                most / 1_024
            );
            creating.check(self.directory.load().memory_of(&holder), most as usize, &why)?;
            Ok(creating)
        };
        holders(tenant).filter(|holder| !is_operator || *holder == Tenant::Operator).map(bound).collect()
    }
}
