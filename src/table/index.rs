//! The derived entries of a link: its place in its workspace's list, under each tag and its campaign,
//! and among the links with placeholders, of which a plain link has one; and the counters that count it.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::model::link::Link;
use crate::table::keys;

/// Version of the derived entries: 1 had none of links with placeholders, 2 no counters but those of
/// workspaces and no owners of ids, 3 no leaves. A table of another version is rebuilt from the log.
pub(super) const VERSION: u64 = 4;

/// The keys of all derived entries of `link`.
pub(super) fn entries(link: &Link) -> impl Iterator<Item = Bytes> {
    let (workspace, id) = (link.workspace, link.id);
    let tags = link.options.tags.iter().map(move |tag| keys::tagged(workspace, *tag, id));
    let campaign =
        link.options.campaign.as_ref().map(move |campaign| keys::campaigned(workspace, campaign, id));
    let is_fillable = link.options.destination.is_fillable();
    let fillable = is_fillable.then(|| keys::fillable(workspace, id));
    std::iter::once(keys::listed(workspace, id)).chain(tags).chain(campaign).chain(fillable)
}

/// The keys of all counters that count `link`, each once.
pub(super) fn counters(link: &Link) -> BTreeSet<Bytes> {
    let workspace = link.workspace;
    let tags = link.options.tags.iter().map(|tag| keys::tag_link_count(workspace, *tag));
    let campaign = link.options.campaign.as_ref().map(|id| keys::campaign_link_count(workspace, id));
    let always = [keys::link_count(workspace), keys::domain_link_count(link.domain)];
    always.into_iter().chain(tags).chain(campaign).collect()
}
