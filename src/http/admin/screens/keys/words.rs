//! Scopes and reaches of keys in words.

use crate::core::Caller;
use crate::model::key::{Reach, Scope};

/// Returns what a scope allows, in a few words for lists, and in a sentence for the form.
pub(super) fn scope(scope: Scope) -> (&'static str, &'static str) {
    match scope {
        Scope::LinksRead => {
            ("sees links", "Sees links, tags, campaigns and domains, and the statistics of their clicks.")
        }
        Scope::LinksWrite => {
            ("changes links", "Sees, creates, changes and deletes links, tags and campaigns.")
        }
        Scope::SnapshotsRead => ("sees snapshots", "Sees snapshots and imports."),
        Scope::SnapshotsWrite => {
            ("changes snapshots", "Sees, creates, shares, imports and deletes snapshots.")
        }
        Scope::Admin => (
            "administers",
            "Manages keys, workspaces, companies, domains and webhook secrets, and sees the audit list. It does not include links.",
        ),
        Scope::MetricsRead => {
            ("reads metrics", "Reads the metrics of the server. For keys of the whole server.")
        }
        Scope::AnalyticsRead => (
            "sees statistics",
            "Sees the statistics of clicks, and no link: their short addresses and tags only.",
        ),
    }
}

/// Returns the scopes that a caller may give to a key: those that it has.
pub(super) fn grantable(caller: &Caller) -> impl Iterator<Item = Scope> {
    let scopes = caller.scopes();
    let is_instance = caller.reach() == Reach::Instance;
    // Metrics are of the server, and no other key could use the scope.
    Scope::ALL
        .into_iter()
        .filter(move |scope| scopes.allow(*scope) && (is_instance || *scope != Scope::MetricsRead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_words_of_its_own() {
        let mut short = Scope::ALL.map(|each| scope(each).0).to_vec();
        short.sort_unstable();
        short.dedup();
        assert_eq!(short.len(), Scope::ALL.len());
        assert_eq!(grantable(&Caller::Environment).count(), Scope::ALL.len());
    }
}
