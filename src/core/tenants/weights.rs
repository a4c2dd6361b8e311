//! The bytes of the records in the [`super::directory`], which stay in memory for as long as they exist. Their
//! sums have bounds: see [`super::growth`].

use rpds::HashTrieMapSync;

use crate::model::domain::{Domain, HostName};
use crate::model::tenant::Tenant;
use crate::model::workspace::Workspace;

/// Bytes of one record beside its texts, with its entries in the indexes. 10,000 keys take 12 MB. The secret
/// of a workspace's webhooks is part of its workspace.
const RECORD: usize = 1_024;

/// Bytes of memory for each byte of text. 1,000 domains with 24 KB of URLs each take 46 MB, also after a
/// start: the allocator keeps the gaps between the texts.
const PER_TEXT_BYTE: usize = 2;

/// Bytes of one custom value beside its texts: two allocations and its part of a map.
const VALUE: usize = 128;

fn text(text: &str) -> usize {
    PER_TEXT_BYTE * text.len()
}

pub(super) fn of_domain(domain: &Domain) -> usize {
    let urls = [&domain.base_url, &domain.not_found_url, &domain.expired_url, &domain.root_url];
    let urls: usize = urls.into_iter().flatten().map(|url| text(url.as_str())).sum();
    RECORD + domain.name.as_ref().map_or(0, |name| text(HostName::as_str(name))) + urls
}

pub(super) fn of_workspace(workspace: &Workspace) -> usize {
    let values = workspace.custom_values.iter();
    let values: usize = values.map(|(name, value)| VALUE + text(name) + text(value)).sum();
    RECORD + text(&workspace.name) + workspace.timezone.as_deref().map_or(0, text) + values
}

/// Returns the bytes of a company or key with this name, which has no other long text.
pub(super) fn of_named(name: &str) -> usize {
    RECORD + text(name)
}

/// The bytes of all records of each tenant. Those of a company include its workspaces', and those of
/// [`Tenant::Operator`] are of the whole instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Weights(HashTrieMapSync<Tenant, usize, ahash::RandomState>);

impl Weights {
    /// Adds a record of this tenant.
    pub(super) fn add(&mut self, tenant: &Tenant, bytes: usize) {
        for holder in holders(tenant) {
            let sum = self.of(&holder) + bytes;
            self.0.insert_mut(holder, sum);
        }
    }

    /// Removes a record that was added.
    pub(super) fn subtract(&mut self, tenant: &Tenant, bytes: usize) {
        for holder in holders(tenant) {
            match self.of(&holder).saturating_sub(bytes) {
                0 => _ = self.0.remove_mut(&holder),
                rest => self.0.insert_mut(holder, rest),
            }
        }
    }

    /// Returns the bytes of a tenant's records.
    pub(super) fn of(&self, tenant: &Tenant) -> usize {
        self.0.get(tenant).copied().unwrap_or(0)
    }
}

/// Returns all whose bounds include a record of this tenant, the narrowest first: itself if it is a workspace,
/// its company, and the instance.
pub(super) fn holders(tenant: &Tenant) -> impl Iterator<Item = Tenant> {
    let own = tenant.workspace().map(|_| tenant.clone());
    let company = tenant.company().cloned().map(Tenant::Company);
    [own, company, Some(Tenant::Operator)].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ForeignId;
    use crate::model::workspace::WorkspaceNumber;

    #[test]
    fn n61_a_record_counts_for_all_that_hold_it() {
        let id = |text: &str| ForeignId::parse("id", text).expect("valid");
        let company = Tenant::Company(id("a"));
        let workspace = |number| Tenant::Workspace { company: id("a"), number: WorkspaceNumber(number) };
        let mut weights = Weights::default();
        weights.add(&workspace(1), 10);
        weights.add(&workspace(2), 5);
        weights.add(&company, 3);
        weights.add(&Tenant::Operator, 1);
        let all = [Tenant::Operator, company.clone(), workspace(1), workspace(2)];
        let of = |weights: &Weights| all.each_ref().map(|tenant| weights.of(tenant));
        assert_eq!(of(&weights), [19, 18, 10, 5]);
        weights.subtract(&workspace(1), 10);
        weights.subtract(&company, 3);
        assert_eq!(of(&weights), [6, 5, 0, 5]);
        // A tenant without records leaves nothing behind.
        weights.subtract(&workspace(2), 5);
        weights.subtract(&Tenant::Operator, 1);
        assert_eq!(weights.0.size(), 0);
    }
}
