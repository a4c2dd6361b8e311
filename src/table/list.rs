//! Lists: a workspace's links, all of them or those of a tag or a campaign, in the order of their
//! ids; how many they are; and every code there is.

use bytes::Bytes;

use super::keys::{self, Kind};
use super::record::Number;
use super::{Error, Found, ReadView, Table};
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;

/// Bytes of a record that cost as much as finding it: a link costs one step, and one more for each of
/// these. Of searches in usual links most of the time goes into finding them, of searches in the largest
/// ones into decoding and comparing their texts.
const BYTES_PER_STEP: usize = 1024;

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

/// How a [`Table::scan`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// At the end of the list.
    End,
    /// Where `each` returned false.
    Stopped,
    /// Behind this link, where the steps were spent.
    Spent(Id),
}

impl Table {
    /// Calls `each` with the links of a list behind `after`, in order, until it returns false or
    /// `steps` (at least 1) are spent: each link costs one, and more when its record is long. Hidden
    /// links, for which `each` is not called, cost the same. `view` keeps what several scans of one
    /// list see of imports: each import whole, or nothing of it.
    // A struct of some of them would be filled in by each of the few callers and taken apart here.
    #[allow(clippy::too_many_arguments)]
    pub fn scan(
        &self,
        view: &mut ReadView,
        workspace: WorkspaceNumber,
        list: &List,
        order: Order,
        after: Option<Id>,
        steps: &mut u64,
        each: &mut dyn FnMut(Found<Link>) -> bool,
    ) -> Result<Scanned, Error> {
        let prefix = list.prefix(workspace);
        let bound = after.map(|id| [&prefix[..], &id.bits().to_be_bytes()].concat());
        self.read(|store| {
            let pairs: Box<dyn Iterator<Item = Result<_, Error>>> = match (order, &bound) {
                (Order::Newest, None) => Box::new(store.prefix_back(&prefix)),
                (Order::Newest, Some(bound)) => Box::new(store.before(&prefix, bound)),
                (Order::Oldest, None) => Box::new(store.prefix(&prefix)),
                (Order::Oldest, Some(bound)) => Box::new(store.behind(&prefix, bound)),
            };
            for pair in pairs {
                let (key, place) = pair?;
                let Some(id) = keys::trailing_id(&key) else { continue };
                let (found, bytes) = view.link_and_size(store, &keys::link_of_index(&place))?;
                *steps = steps.saturating_sub(1 + (bytes / BYTES_PER_STEP) as u64);
                if found.filter(|found| found.record.id == id).is_some_and(|found| !each(found)) {
                    return Ok(Scanned::Stopped);
                }
                if *steps == 0 {
                    return Ok(Scanned::Spent(id));
                }
            }
            Ok(Scanned::End)
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
            for pair in store.prefix_back(&keys::fillable_of(workspace)).take(at_most) {
                let (_, place) = pair?;
                let found = super::staged::read(store, &keys::link_of_index(&place))?;
                if found.is_some_and(|(_, staged)| !each(staged.link)) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Calls `each` with every link of a list behind `after`, in order, until it returns false: at a cost
    /// without bound, unlike [`Table::scan`].
    pub fn each_link(
        &self,
        workspace: WorkspaceNumber,
        list: &List,
        order: Order,
        after: Option<Id>,
        each: &mut dyn FnMut(Found<Link>) -> bool,
    ) -> Result<(), Error> {
        let mut steps = u64::MAX;
        self.scan(&mut self.view(workspace)?, workspace, list, order, after, &mut steps, each)?;
        Ok(())
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
            let links = Kind::Link.prefix();
            for pair in store.behind(&links, after.unwrap_or(&links)).take(at_most) {
                let (key, _) = pair?;
                if let Some((domain, code)) = keys::parse_link(&key) {
                    each(domain, code);
                }
                last = Some(key);
            }
            Ok(last.map(Bytes::from))
        })
    }

    /// Returns how many links of a list are to be seen.
    pub fn count(&self, workspace: WorkspaceNumber, list: &List) -> Result<u64, Error> {
        self.counter(&match list {
            List::All => keys::link_count(workspace),
            List::Tag(tag) => keys::tag_link_count(workspace, *tag),
            List::Campaign(id) => keys::campaign_link_count(workspace, id),
        })
    }

    /// Returns how many links on a domain are to be seen.
    pub fn links_seen_on(&self, domain: DomainNumber) -> Result<u64, Error> {
        self.counter(&keys::domain_link_count(domain))
    }

    /// Returns how many tags a workspace has.
    pub fn tags(&self, workspace: WorkspaceNumber) -> Result<u64, Error> {
        self.counter(&keys::tag_count(workspace))
    }

    /// Returns how many campaigns a workspace has.
    pub fn campaigns(&self, workspace: WorkspaceNumber) -> Result<u64, Error> {
        self.counter(&keys::campaign_count(workspace))
    }

    fn counter(&self, key: &[u8]) -> Result<u64, Error> {
        Ok(self.get::<Number>(key)?.map_or(0, |found| found.record.0))
    }

    /// How many links live on a domain, hidden ones included, counted up to `at_most`.
    pub fn links_on(&self, domain: DomainNumber, at_most: usize) -> Result<u64, Error> {
        self.read(|store| Ok(store.prefix(&keys::links_on(domain)).take(at_most).count() as u64))
    }
}
