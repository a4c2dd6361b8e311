//! Lists: a workspace's links, all of them or those of a tag or a campaign, in the order of their
//! ids; how many they are; and every code there is.

use bytes::Bytes;

use super::record::Number;
use super::store::StoreError;
use super::{Error, Found, Sight, Table, keys};
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;

/// A list of links in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// All of the workspace.
    All,
    /// Those with a tag.
    Tag(Id),
    /// Those of a campaign.
    Campaign(ForeignId),
}

impl List {
    fn prefix(&self, workspace: WorkspaceNumber) -> Bytes {
        match self {
            List::All => keys::list_of(workspace),
            List::Tag(tag) => keys::list_of_tag(workspace, *tag),
            List::Campaign(id) => keys::list_of_campaign(workspace, id),
        }
    }
}

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest.
    Newest,
    /// The oldest.
    Oldest,
}

impl Table {
    /// Where links of `workspace` live, by [`List`], from the newest on or from the oldest, after
    /// `after`: calls `each` with every link until it returns false.
    pub fn each_link(
        &self,
        workspace: WorkspaceNumber,
        list: &List,
        order: Order,
        after: Option<Id>,
        each: &mut dyn FnMut(Found<Link>) -> bool,
    ) -> Result<(), Error> {
        self.each_link_seen(&mut self.sight(workspace)?, workspace, list, order, after, each)
    }

    /// The same for a reader who comes back for more: what one [`Sight`] hid from it stays hidden.
    pub fn each_link_seen(
        &self,
        sight: &mut Sight,
        workspace: WorkspaceNumber,
        list: &List,
        order: Order,
        after: Option<Id>,
        each: &mut dyn FnMut(Found<Link>) -> bool,
    ) -> Result<(), Error> {
        let prefix = list.prefix(workspace);
        let bound = after.map(|id| [&prefix[..], &id.bits().to_be_bytes()].concat());
        self.read(|store| {
            let pairs: Box<dyn Iterator<Item = sled::Result<_>>> = match (order, &bound) {
                (Order::Newest, None) => Box::new(store.prefix(&prefix).rev()),
                (Order::Newest, Some(bound)) => Box::new(store.before(&prefix, bound).rev()),
                (Order::Oldest, None) => Box::new(store.prefix(&prefix)),
                (Order::Oldest, Some(bound)) => Box::new(store.behind(&prefix, bound)),
            };
            for pair in pairs {
                let (key, place) = pair.map_err(StoreError::from)?;
                let id = keys::trailing_id(&key);
                let found = sight.link(store, &keys::of_place(&place))?;
                let found = found.filter(|found| Some(found.record.id) == id);
                if found.is_some_and(|found| !each(found)) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Calls `each` with the links of a workspace whose destination has placeholders, staged ones
    /// included, the newest first, until it returns false: at most `at_most`.
    pub fn each_fillable(
        &self,
        workspace: WorkspaceNumber,
        at_most: usize,
        each: &mut dyn FnMut(Link) -> bool,
    ) -> Result<(), Error> {
        self.read(|store| {
            for pair in store.prefix(&keys::fillable_of(workspace)).rev().take(at_most) {
                let (_, place) = pair.map_err(StoreError::from)?;
                let found = super::staged::read(store, &keys::of_place(&place))?;
                if found.is_some_and(|(_, staged)| !each(staged.link)) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Calls `each` with domain and code of up to `at_most` links, hidden ones included, in the order
    /// of their keys, behind the key `after`. Answers the last key, `None` at the end.
    pub fn each_code(
        &self,
        after: Option<&[u8]>,
        at_most: usize,
        each: &mut dyn FnMut(DomainNumber, &str),
    ) -> Result<Option<Bytes>, Error> {
        self.read(|store| {
            let mut last = None;
            for pair in store.behind(keys::LINKS, after.unwrap_or(keys::LINKS)).take(at_most) {
                let (key, _) = pair.map_err(StoreError::from)?;
                if let Some((domain, code)) = keys::parse_link(&key) {
                    each(domain, code);
                }
                last = Some(key);
            }
            Ok(last.map(|key| Bytes::copy_from_slice(&key)))
        })
    }

    /// How many links a list has: at once for all of a workspace, else at the cost of its length,
    /// and at that of reading them while an import is under way.
    pub fn count(&self, workspace: WorkspaceNumber, list: &List) -> Result<u64, Error> {
        if *list == List::All {
            return Ok(self.get::<Number>(&keys::link_count(workspace))?.map_or(0, |found| found.record.0));
        }
        let mut count = 0;
        if self.is_importing(workspace)? {
            self.each_link(workspace, list, Order::Oldest, None, &mut |_| {
                count += 1;
                true
            })?;
            return Ok(count);
        }
        let prefix = list.prefix(workspace);
        self.read(|store| {
            for pair in store.prefix(&prefix) {
                pair.map_err(StoreError::from)?;
                count += 1;
            }
            Ok(count)
        })
    }

    /// How many links live on a domain, hidden ones included, counted up to `at_most`.
    pub fn links_on(&self, domain: DomainNumber, at_most: usize) -> Result<u64, Error> {
        self.read(|store| Ok(store.prefix(&keys::links_on(domain)).take(at_most).count() as u64))
    }
}
