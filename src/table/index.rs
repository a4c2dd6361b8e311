//! The derived entries of a link: its place in its workspace's list, and under each tag and its
//! campaign. A plain link has one.

use bytes::Bytes;

use crate::model::link::Link;
use crate::table::keys;

/// The keys of all derived entries of `link`.
pub(super) fn entries(link: &Link) -> impl Iterator<Item = Bytes> {
    let (workspace, id) = (link.workspace, link.id);
    let tags = link.options.tags.iter().map(move |tag| keys::tagged(workspace, *tag, id));
    let campaign =
        link.options.campaign.as_ref().map(move |campaign| keys::campaigned(workspace, campaign, id));
    std::iter::once(keys::listed(workspace, id)).chain(tags).chain(campaign)
}
