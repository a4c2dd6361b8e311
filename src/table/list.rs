//! Lists of links in the order of their ids: of a workspace, a tag or a campaign. Also the counts of links,
//! and walks over all codes and over staged links.

use bytes::Bytes;

use super::error::Error;
use super::found::Found;
use super::handle::Table;
use super::keys::{self, Kind};
use super::record::Number;
use super::staged::{self, ReadView};
use crate::log::Position;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;

/// Bytes of a record that cost one more step of a scan. Finding a link costs the first step, and decoding
/// this many bytes costs about as much. Usual links cost one step; the largest cost a hundred.
const BYTES_PER_STEP: usize = 1024;

/// A list of links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// All links of the workspace.
    All,
    /// The links with a tag.
    Tag(Id),
    /// The links of a campaign.
    Campaign(ForeignId),
    /// The links whose destinations do not work.
    Broken,
}

impl List {
    fn prefix(&self, workspace: WorkspaceNumber) -> Bytes {
        match self {
            List::All => keys::list_of(workspace),
            List::Tag(tag) => keys::list_of_tag(workspace, *tag),
            List::Campaign(id) => keys::list_of_campaign(workspace, id),
            List::Broken => keys::broken_of(workspace),
        }
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest link first.
    Newest,
    /// The oldest link first.
    Oldest,
}

/// How a [`Table::scan`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// At the end of the list.
    End,
    /// `each` returned false.
    Stopped,
    /// The steps were spent after this link.
    Spent(Id),
}

impl Table {
    /// Calls `each` with the links of a list behind `after`, in order, until `each` returns false or `steps`
    /// (at least 1) are spent. A link costs one step, and more if its record is long (`BYTES_PER_STEP`).
    /// Hidden links cost the same, without a call. Several scans of one list share a `view`, so that they see
    /// each import whole or not at all.
    // A struct of some parameters would be built by the few callers and taken apart here.
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
            // Boxed: the walks of the two orders have different types.
            let pairs: Box<dyn Iterator<Item = Result<_, Error>>> = match (order, &bound) {
                (Order::Newest, None) => Box::new(store.prefix_back(&prefix)),
                (Order::Newest, Some(bound)) => Box::new(store.before(&prefix, bound)),
                (Order::Oldest, None) => Box::new(store.prefix(&prefix)),
                (Order::Oldest, Some(bound)) => Box::new(store.behind(&prefix, bound)),
            };
            for pair in pairs {
                let (key, entry) = pair?;
                let Some(id) = keys::trailing_id(&key) else { continue };
                let (found, bytes) = view.link_and_size(store, &keys::link_of_index(&entry))?;
                *steps = steps.saturating_sub(1 + (bytes / BYTES_PER_STEP) as u64);
                // The code of a stale index entry may belong to a newer link.
                if found.filter(|found| found.record.id == id).is_some_and(|found| !each(found)) {
                    return Ok(Scanned::Stopped);
                }
                // After the call: a scan with one step returns one link, so that every reader ends.
                if *steps == 0 {
                    return Ok(Scanned::Spent(id));
                }
            }
            Ok(Scanned::End)
        })
    }

    /// Returns the newest links of a workspace to a destination (with its UTM parameters) that `fit`, of at most
    /// `at_most` links to it.
    pub fn newest_to(
        &self,
        workspace: WorkspaceNumber,
        destination: &str,
        at_most: usize,
        fit: &dyn Fn(&Link) -> bool,
    ) -> Result<Vec<Link>, Error> {
        self.read(|store| {
            let (mut view, mut links) = (ReadView::of(store, workspace)?, Vec::new());
            for pair in store.prefix_back(&keys::links_to(workspace, destination)).take(at_most) {
                let (key, entry) = pair?;
                let found = view.link(store, &keys::link_of_index(&entry))?.map(|found| found.record);
                // A stale entry may name the code of another link, and two texts may have one hash.
                links.extend(found.filter(|link| {
                    keys::trailing_id(&key) == Some(link.id)
                        && link.options.target().as_str() == destination
                        && fit(link)
                }));
            }
            Ok(links)
        })
    }

    /// Returns the current view of a workspace, for several scans of one reader.
    pub fn view(&self, workspace: WorkspaceNumber) -> Result<ReadView, Error> {
        self.read(|store| ReadView::of(store, workspace))
    }

    /// Returns key and revision of up to `at_most` links behind `after` that `import` has staged, the oldest
    /// first, and the id where the walk ended, `None` at the end of the list. Reads at most 16 times
    /// `at_most` links of the workspace.
    pub fn staged_by(
        &self,
        workspace: WorkspaceNumber,
        import: Id,
        after: Id,
        at_most: usize,
    ) -> Result<(Vec<(Bytes, Position)>, Option<Id>), Error> {
        let prefix = keys::list_of(workspace);
        let bound = keys::listed(workspace, after);
        self.read(|store| {
            let mut found = Vec::new();
            for (row, pair) in store.behind(&prefix, &bound).enumerate() {
                let (listed, entry) = pair?;
                let key = keys::link_of_index(&entry);
                if let Some((revision, staged)) = staged::read(store, &key)?
                    && staged.import == Some(import)
                {
                    found.push((key, revision));
                }
                // Ends in a workspace with many links of its own, too.
                if found.len() == at_most || row == 16 * at_most {
                    return Ok((found, keys::trailing_id(&listed)));
                }
            }
            Ok((found, None))
        })
    }

    /// Calls `each` with up to `at_most` links of a workspace whose destination has placeholders, the newest
    /// first, until `each` returns false. Staged links are included.
    pub fn each_fillable(
        &self,
        workspace: WorkspaceNumber,
        at_most: usize,
        each: &mut dyn FnMut(Link) -> bool,
    ) -> Result<(), Error> {
        self.read(|store| {
            for pair in store.prefix_back(&keys::fillable_of(workspace)).take(at_most) {
                let (_, entry) = pair?;
                let found = staged::read(store, &keys::link_of_index(&entry))?;
                if found.is_some_and(|(_, staged)| !each(staged.link)) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Calls `each` with every link of a list behind `after`, in order, until `each` returns false. Like
    /// [`Table::scan`], without a bound on the cost.
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

    /// Calls `each` with domain and code of up to `at_most` links behind the key `after`, hidden ones
    /// included. Returns the last key, `None` at the end.
    pub fn each_code(
        &self,
        after: Option<&[u8]>,
        at_most: usize,
        each: &mut dyn FnMut(DomainNumber, &str),
    ) -> Result<Option<Bytes>, Error> {
        self.read(|store| {
            let mut last = None;
            // The prefix alone is no key, so that a walk behind it skips nothing.
            let [links, aliases] = [Kind::Link.prefix(), Kind::Alias.prefix()];
            let after = after.unwrap_or(&links);
            let kinds: &[_] = if after.starts_with(&links) { &[links, aliases] } else { &[aliases] };
            let mut left = at_most;
            for kind in kinds {
                let behind = if after.starts_with(kind) { after } else { kind };
                for pair in store.behind(kind, behind).take(left) {
                    let (key, _) = pair?;
                    // Hidden ones too: their codes are taken, and become visible without a write.
                    if let Some((domain, code)) = keys::parse_address(&key) {
                        each(domain, code);
                    }
                    last = Some(key);
                    left -= 1;
                }
            }
            Ok(last.map(Bytes::from))
        })
    }

    /// Returns the number of visible links of a list. Broken links have no counter, and are counted one by one.
    pub fn count(&self, workspace: WorkspaceNumber, list: &List) -> Result<u64, Error> {
        let counter = match list {
            List::All => keys::link_count(workspace),
            List::Tag(tag) => keys::tag_link_count(workspace, *tag),
            List::Campaign(id) => keys::campaign_link_count(workspace, id),
            List::Broken => {
                return self.read(|store| Ok(store.prefix(&list.prefix(workspace)).count() as u64));
            }
        };
        self.counter(&counter)
    }

    /// Returns the number of visible links on a domain.
    pub fn links_seen_on(&self, domain: DomainNumber) -> Result<u64, Error> {
        self.counter(&keys::domain_link_count(domain))
    }

    /// Returns the number of tags of a workspace.
    pub fn tags(&self, workspace: WorkspaceNumber) -> Result<u64, Error> {
        self.counter(&keys::tag_count(workspace))
    }

    /// Returns the number of campaigns of a workspace.
    pub fn campaigns(&self, workspace: WorkspaceNumber) -> Result<u64, Error> {
        self.counter(&keys::campaign_count(workspace))
    }

    fn counter(&self, key: &[u8]) -> Result<u64, Error> {
        // Without the record, nothing was ever counted.
        Ok(self.get::<Number>(key)?.map_or(0, |found| found.record.0))
    }

    /// Returns the number of links on a domain, hidden ones included, counted up to `at_most`.
    pub fn links_on(&self, domain: DomainNumber, at_most: usize) -> Result<u64, Error> {
        // By keys, not by the counter, which leaves hidden links out.
        self.read(|store| Ok(store.prefix(&keys::links_on(domain)).take(at_most).count() as u64))
    }
}
