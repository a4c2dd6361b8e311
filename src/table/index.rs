//! The derived entries of a link: in the lists of its workspace, tags, campaign, destination, and links with
//! placeholders.
//! Also the counters that count it.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::error::Error;
use super::store::Store;
use crate::model::link::Link;
use crate::table::keys;

/// Version of the derived entries. A table of another version is rebuilt from the log. Version 1 had no list
/// of links with placeholders, 2 only counters of workspaces and no owners of ids, 3 no leaves,
/// 4 no destinations.
pub(super) const VERSION: u64 = 5;

/// Returns the keys of all list entries of `link`.
pub(super) fn entries(link: &Link) -> impl Iterator<Item = Bytes> {
    let (workspace, id) = (link.workspace, link.id);
    let tags = link.options.tags.iter().map(move |tag| keys::tagged(workspace, *tag, id));
    let campaign =
        link.options.campaign.as_ref().map(move |campaign| keys::campaigned(workspace, campaign, id));
    // Read when a custom value of the workspace changes: few links have placeholders.
    let fillable = link.options.is_fillable().then(|| keys::fillable(workspace, id));
    // With the UTM parameters, as the APIs show it.
    let destination = keys::by_destination(workspace, link.options.target().as_str(), id);
    [keys::listed(workspace, id), destination].into_iter().chain(tags).chain(campaign).chain(fillable)
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

/// Removes the owner of a removed link, unless the link has a tombstone.
pub(super) fn disown(store: &Store, link: &Link) -> Result<(), Error> {
    let listed = store.get(&keys::listed(link.workspace, link.id))?;
    let place = keys::index_value(link.domain, &link.code);
    // A renamed link is listed at its new place, and keeps its id.
    if listed.is_some_and(|at| *at != *place) {
        return Ok(());
    }
    // The tombstone has the same derived pair: a deleted link is found by its id.
    if store.get(&keys::tombstone(link.workspace, link.id))?.is_none() {
        store.remove(&keys::owner_of(link.id))?;
    }
    Ok(())
}
