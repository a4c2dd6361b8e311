//! The derived entries of a link: in the lists of its workspace, tags, campaign, and links with placeholders.
//! Also the counters that count it.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::model::link::Link;
use crate::table::keys;

/// Version of the derived entries. A table of another version is rebuilt from the log. Version 1 had no list
/// of links with placeholders, 2 only counters of workspaces and no owners of ids, 3 no leaves.
pub(super) const VERSION: u64 = 4;

/// Returns the keys of all list entries of `link`.
pub(super) fn entries(link: &Link) -> impl Iterator<Item = Bytes> {
    let (workspace, id) = (link.workspace, link.id);
    let tags = link.options.tags.iter().map(move |tag| keys::tagged(workspace, *tag, id));
    let campaign =
        link.options.campaign.as_ref().map(move |campaign| keys::campaigned(workspace, campaign, id));
    // Read when a custom value of the workspace changes: few links have placeholders.
    let is_fillable = link.options.destination.is_fillable();
    let fillable = is_fillable.then(|| keys::fillable(workspace, id));
    std::iter::once(keys::listed(workspace, id)).chain(tags).chain(campaign).chain(fillable)
}

/// Returns the keys of all counters that count `link`, each once.
pub(super) fn counters(link: &Link) -> BTreeSet<Bytes> {
    let workspace = link.workspace;
    let tags = link.options.tags.iter().map(|tag| keys::tag_link_count(workspace, *tag));
    let campaign = link.options.campaign.as_ref().map(|id| keys::campaign_link_count(workspace, id));
    let always = [keys::link_count(workspace), keys::domain_link_count(link.domain)];
    // A set: a move of a link writes only the difference of its old and its new counters.
    always.into_iter().chain(tags).chain(campaign).collect()
}
