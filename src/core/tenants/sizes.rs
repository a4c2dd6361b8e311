//! Upper bounds on the text of lists of what the directory holds, computed from the lengths of their texts
//! before any text is produced.

use super::directory::Versioned;
use crate::core::context::Context;
use crate::core::handle::Tenants;
use crate::model::destination::Destination;
use crate::model::id::ForeignId;
use crate::model::key::Reach;
use crate::model::workspace::Workspace;

/// Bytes of the field names, ids and dates of one object in any dialect.
const FIXED: usize = 800;

impl Tenants {
    /// Returns a bound on the text of [`Tenants::domains`].
    pub fn size_of_domains(&self, context: &Context) -> usize {
        let directory = self.directory();
        let own = directory.domains_of(Some(context.workspace.number));
        let seen = directory.domains_of(None).chain(own);
        // Escaped text has at most two bytes for each.
        let size = |url: &Option<Destination>| url.as_ref().map_or(0, |url| 2 * url.as_str().len());
        seen.map(|domain| {
            let urls = [&domain.base_url, &domain.not_found_url, &domain.expired_url, &domain.root_url];
            FIXED + urls.into_iter().map(size).sum::<usize>()
        })
        .sum()
    }

    /// Returns a bound on the text of [`Tenants::workspaces`].
    pub fn size_of_workspaces(&self, context: &Context) -> usize {
        self.directory().workspaces(&context.reach).map(size_of).sum()
    }

    /// Returns a bound on the text of one workspace; 0 if there is none.
    pub fn size_of_workspace(&self, id: &ForeignId) -> usize {
        let directory = self.directory();
        directory.workspace_named(id.as_str()).map_or(0, size_of)
    }

    /// Returns a bound on the text of [`Tenants::companies`].
    pub fn size_of_companies(&self, context: &Context) -> usize {
        if context.reach != Reach::Instance {
            // Such a caller sees one company, whose name has a bound.
            return 2 * FIXED;
        }
        self.directory().companies().map(|versioned| FIXED + 2 * versioned.record.name.len()).sum()
    }

    /// Returns a bound on the text of [`Tenants::keys`].
    pub fn size_of_keys(&self, context: &Context) -> usize {
        let directory = self.directory();
        let seen = directory.keys_within(&context.reach);
        seen.map(|versioned| FIXED + 2 * versioned.record.name.len()).sum()
    }
}

/// Only quotes and backslashes grow in JSON, to two bytes.
fn size_of(versioned: &Versioned<Workspace>) -> usize {
    let workspace = &versioned.record;
    // 8 bytes cover the quotes, colon and comma of a pair.
    let values = workspace.custom_values.iter().map(|(name, value)| name.len() + 2 * value.len() + 8);
    FIXED + 2 * workspace.name.len() + values.sum::<usize>()
}
