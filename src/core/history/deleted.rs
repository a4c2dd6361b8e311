//! The list of deleted links, which can be restored while their tombstones exist.

use super::revisions::HistoryRange;
use crate::clock::Timestamp;
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::{LinkAt, Tombstone};

/// Tombstones that one page reads. Past it, the page ends before its limit, and its cursor continues.
const READ_MAX: usize = 5_000;

/// Bytes of records after which a page ends.
const PAGE_BYTES: usize = 256 * 1024;

/// The filter and size of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedQuery {
    /// The page begins behind this link.
    pub after: Option<Id>,
    /// Number of links, at least 1.
    pub limit: usize,
    /// The code that the links had.
    pub code: Option<ShortCode>,
}

/// A deleted link.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct DeletedLink {
    /// The link before its deletion.
    pub link: Link,
    /// The name of its domain. `None` if the domain was deleted.
    pub domain: Option<String>,
    pub clicks: u64,
    pub deleted_at: Timestamp,
    pub restorable_until: Timestamp,
}

/// A page of deleted links, the newest link first.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other field speaks.
pub struct DeletedPage {
    pub links: Vec<DeletedLink>,
    /// The cursor of the next page, which may be empty.
    pub next: Option<Id>,
}

impl Links {
    /// Returns a page of the deleted links of the acting workspace.
    pub async fn deleted(&self, context: &Context, query: DeletedQuery) -> Result<DeletedPage, Error> {
        let workspace = context.workspace.number;
        self.scanning(&context.tenant, move |shared, cancel| shared.deleted_page(workspace, &query, cancel))
            .await
    }
}

impl Shared {
    pub(super) fn deleted_page(
        &self,
        workspace: WorkspaceNumber,
        query: &DeletedQuery,
        cancel: &Cancel,
    ) -> Result<DeletedPage, Error> {
        let range = HistoryRange { after: query.after, limit: query.limit };
        let mut page = DeletedPage { links: Vec::new(), next: None };
        let (mut read, mut bytes, mut last) = (0, 0, None);
        // One directory for the page, so that all names are of one moment.
        let directory = self.directory.load();
        self.table.each_deleted(workspace, range.after, &mut |left| {
            if page.links.len() == range.limit || read == READ_MAX || bytes > PAGE_BYTES || cancel.is_set() {
                page.next = last;
                return false;
            }
            (read, last) = (read + 1, Some(left.link.id));
            // An import may have brought the link back. An error ends the next read of the table as well.
            if self.is_there(left.link.id).unwrap_or(false) {
                return true;
            }
            let domain = directory.domain(left.link.domain);
            let is_it = |code: &ShortCode| {
                // The case rule of the domain, as for a visit. Without the domain, the code as it was typed.
                let key = domain.map(|domain| domain.key_of(code.clone()));
                key.as_ref().unwrap_or(code) == &left.link.code || code == left.link.shown_code()
            };
            if query.code.as_ref().is_none_or(is_it) {
                bytes += LinkAt::encode(&left.link).len();
                let domain = domain.map(|domain| self.site.name_of(domain));
                page.links.push(self.deleted_link(left, domain));
            }
            true
        })?;
        Ok(page)
    }

    fn deleted_link(&self, left: Tombstone, domain: Option<String>) -> DeletedLink {
        let restorable_until = Timestamp::from_millis(self.restorable_until(&left));
        let Tombstone { link, clicks, deleted_at } = left;
        DeletedLink { link, domain, clicks, deleted_at, restorable_until }
    }
}
