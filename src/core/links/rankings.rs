//! [`Rankings`]: the links with the most clicks of workspaces with many links, so that a list by clicks does not read all
//! of them each time.
//!
//! 1. The first list by clicks of a workspace reads all its links, and creates the ranking. From then on the thread that
//!    applies Changes keeps it: each Change with click totals is noted.
//! 2. A ranking has the totals of the log, so it lacks the clicks of the last flush interval. Lists add those of counters.
//! 3. A deleted link may stay in a ranking, and lists leave it out.
//! 4. At most [`RANKINGS_MAX`] rankings are in memory. The company with the most of them loses the one that was asked for
//!    the longest time ago.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::analytics::top::TopLinks;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::WorkspaceNumber;

/// Deepest row of a sorted list. The sort keys of all rows before it are in memory.
pub(super) const SORTED_DEPTH_MAX: u64 = 10_000;

/// Most rankings: some 16 MB, with up to 14,000 links each.
const RANKINGS_MAX: usize = 16;

/// A link by its number in the order: clicks, or the place of the latest one in time. 0 is a link without a click.
pub(super) type RankedId = (u64, Id);

/// The rows that a page of a sorted list needs.
#[derive(Debug)]
pub(super) struct FirstRows {
    pub(super) workspace: WorkspaceNumber,
    /// The row before the first one, `None` for the beginning of the list.
    pub(super) behind: Option<RankedId>,
    /// The number of rows.
    pub(super) count: usize,
}

impl FirstRows {
    /// Returns whether a row is behind the cursor.
    pub(super) fn has(&self, row: RankedId) -> bool {
        self.behind.is_none_or(|behind| row < behind)
    }
}

/// The first rows of a sorted list, as far as they are known without a look at each link.
#[derive(Debug)]
pub(super) enum KnownRows {
    Known(Vec<RankedId>),
    /// All links must be read once, and then are known.
    Unbuilt,
    /// The cursor is behind the links that are kept.
    TooDeep,
}

/// The rankings of all workspaces.
#[derive(Debug, Default)]
pub(in crate::core) struct Rankings {
    kept: Mutex<KeptRankings>,
    /// Whether there is any, so that a Change costs one load on a server without long lists.
    is_used: AtomicBool,
}

#[derive(Debug, Default)]
struct KeptRankings {
    rankings: Vec<LinkRanking>,
    /// The number of uses and creations so far.
    uses: u64,
}

#[derive(Debug)]
struct LinkRanking {
    workspace: WorkspaceNumber,
    company: ForeignId,
    /// Its creation. A reader that began with another ranking must not complete this one.
    number: u64,
    last_use: u64,
    /// Whether all links were read.
    is_complete: bool,
    links: TopLinks,
}

/// The links of a complete ranking.
#[derive(Debug)]
pub(in crate::core) struct RankedLinks {
    /// Clicks and link, in any order.
    pub(in crate::core) rows: Vec<(u64, Id)>,
    /// Whether links with fewer clicks were left out.
    pub(in crate::core) is_cut: bool,
}

impl Rankings {
    /// Returns the ranking of a workspace, `None` if it must be built first.
    pub(super) fn get(&self, workspace: WorkspaceNumber) -> Option<RankedLinks> {
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let uses = kept.uses;
        let found = kept.rankings.iter_mut().find(|ranking| ranking.workspace == workspace)?;
        found.last_use = uses;
        let rows = || RankedLinks { rows: found.links.all().collect(), is_cut: found.links.is_cut() };
        found.is_complete.then(rows)
    }

    /// Begins a ranking, or joins one that is being built. Returns its number.
    pub(super) fn begin(&self, workspace: WorkspaceNumber, company: &ForeignId) -> u64 {
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let number = kept.uses;
        if let Some(found) = kept.rankings.iter().find(|ranking| ranking.workspace == workspace) {
            return found.number;
        }
        kept.make_room();
        kept.rankings.push(LinkRanking {
            workspace,
            company: company.clone(),
            number,
            last_use: number,
            is_complete: false,
            // One more than the deepest page shows, which tells whether another page follows.
            links: TopLinks::new(usize::try_from(SORTED_DEPTH_MAX + 1).expect("10,001")),
        });
        // Under the lock: the first total behind this line is noted.
        self.is_used.store(true, Ordering::Release);
        number
    }

    /// Adds links that were read for a ranking. A total that was noted since is newer.
    pub(super) fn add(&self, number: u64, links: &[(u64, Id)]) {
        let mut kept = self.kept.lock();
        if let Some(found) = kept.rankings.iter_mut().find(|ranking| ranking.number == number) {
            for (clicks, id) in links {
                found.links.set_if_absent(*id, *clicks);
            }
        }
    }

    /// Notes that all links were read for a ranking.
    pub(super) fn complete(&self, number: u64) {
        let mut kept = self.kept.lock();
        if let Some(found) = kept.rankings.iter_mut().find(|ranking| ranking.number == number) {
            found.is_complete = true;
        }
    }

    /// Removes the ranking of a workspace: too many of its links were deleted.
    pub(super) fn forget(&self, workspace: WorkspaceNumber) {
        self.kept.lock().rankings.retain(|ranking| ranking.workspace != workspace);
    }

    /// Removes all rankings: totals may have been missed.
    pub(in crate::core) fn clear(&self) {
        self.kept.lock().rankings.clear();
    }

    /// Returns whether there is no ranking, and so nothing to note.
    pub(in crate::core) fn is_empty(&self) -> bool {
        !self.is_used.load(Ordering::Acquire)
    }

    /// Returns whether some ranking may need this total.
    pub(in crate::core) fn concern(&self, id: Id, clicks: u64) -> bool {
        self.kept.lock().rankings.iter().any(|ranking| ranking.links.concerns(id, clicks))
    }

    /// Notes the total of a link.
    pub(in crate::core) fn note(&self, workspace: WorkspaceNumber, id: Id, clicks: u64) {
        let mut kept = self.kept.lock();
        if let Some(found) = kept.rankings.iter_mut().find(|ranking| ranking.workspace == workspace) {
            found.links.set(id, clicks);
        }
    }

    /// Notes that the totals of a link were removed.
    pub(in crate::core) fn note_removal(&self, id: Id) {
        // Its workspace is not known any more, and there are few rankings.
        self.kept.lock().rankings.iter_mut().for_each(|ranking| ranking.links.remove(id));
    }
}

impl KeptRankings {
    /// Removes a ranking if one more would be too many.
    fn make_room(&mut self) {
        if self.rankings.len() < RANKINGS_MAX {
            return;
        }
        let mut of_company: HashMap<&ForeignId, usize> = HashMap::new();
        for ranking in &self.rankings {
            *of_company.entry(&ranking.company).or_default() += 1;
        }
        // The company with the most pays, so that others keep theirs.
        let most = of_company.into_iter().max_by_key(|(_, count)| *count).map(|(company, _)| company.clone());
        let of_most =
            self.rankings.iter().enumerate().filter(|(_, ranking)| Some(&ranking.company) == most.as_ref());
        if let Some((at, _)) = of_most.min_by_key(|(_, ranking)| ranking.last_use) {
            self.rankings.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn company(id: &str) -> ForeignId {
        ForeignId::parse("id", id).expect("an id")
    }

    fn complete(rankings: &Rankings, owner: &str, number: u32) {
        let number = rankings.begin(WorkspaceNumber(number), &company(owner));
        rankings.complete(number);
    }

    #[test]
    fn totals_that_come_while_a_ranking_is_built_are_not_lost() {
        let (rankings, own) = (Rankings::default(), WorkspaceNumber(1));
        let id = Id::from_bits;
        rankings.note(own, id(1), 5);
        assert!(rankings.is_empty() && !rankings.concern(id(1), 5));
        let number = rankings.begin(own, &company("c"));
        assert_eq!(rankings.begin(own, &company("c")), number, "a second reader joins");
        assert!(rankings.get(own).is_none(), "not all links were read");
        rankings.note(own, id(1), 7);
        rankings.note(own, id(2), 9);
        // Another workspace, and the link of another one.
        rankings.note(WorkspaceNumber(2), id(8), 9);
        rankings.add(number, &[(5, id(1)), (3, id(3)), (0, id(4))]);
        rankings.note_removal(id(2));
        rankings.complete(number);
        let mut found = rankings.get(own).expect("complete").rows;
        found.sort_unstable();
        assert_eq!(found, [(3, id(3)), (7, id(1))]);
        // What began with a ranking that is gone adds nothing to the next one.
        rankings.forget(own);
        rankings.begin(own, &company("c"));
        rankings.add(number, &[(5, id(1))]);
        rankings.complete(number);
        assert!(rankings.get(own).is_none());
    }

    #[test]
    fn a_company_with_many_rankings_displaces_its_own() {
        let rankings = Rankings::default();
        complete(&rankings, "small", 1);
        for number in 100..200 {
            complete(&rankings, "large", number);
            // Used again and again, so that others are older.
            assert!(rankings.get(WorkspaceNumber(100)).is_some());
        }
        let kept = |number| rankings.get(WorkspaceNumber(number)).is_some();
        assert!(kept(1) && kept(199) && !kept(101));
        assert_eq!((100..200).filter(|number| kept(*number)).count(), RANKINGS_MAX - 1);
        rankings.clear();
        assert!(!kept(1));
    }
}
