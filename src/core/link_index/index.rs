//! [`LinkIndex`]: the links of one workspace, so that a search, filter or sort reads neither the table nor a link that it
//! does not show.
//!
//! 1. Each link has a slot. Slots are in the order of ids, which is that of creation. They are not reused.
//! 2. The entry of a link is in a file, and the place of the newest one in memory: 25 bytes a link in all, and 8 more once
//!    a list is sorted by clicks. An entry whose place is not in memory is stale.
//! 3. The thread that applies Changes writes the index, under its lock, before a request is answered. Readers read the file
//!    without the lock, and then compare places under it.
//! 4. What the index cannot follow makes it lost: the next list builds another one. An id that is older than the last slot
//!    (a restore), a full disk, and more stale entries than others.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::arena::EntryArena;
use super::columns::{ClickColumn, RecentColumn};
use super::entry;
use super::parts::IndexBuild;
use super::slots::SlotSet;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::Staged;

/// The place of a link that was not read yet.
const UNREAD: u64 = u64::MAX;

/// The place of a link that was deleted.
const GONE: u64 = u64::MAX - 1;

/// Stale entries beside as many others as the index has.
const STALE_FREE: usize = 10_000;

/// The index cannot follow the log any more.
#[derive(Debug, thiserror::Error)]
pub(in crate::core) enum IndexLost {
    /// The file cannot be written or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A link is older than the last slot, or too many entries are stale.
    #[error("the index of links is built again")]
    Outgrown,
}

/// The index of a workspace.
#[derive(Debug)]
pub(in crate::core) struct LinkIndex {
    pub(super) workspace: WorkspaceNumber,
    pub(super) state: RwLock<IndexState>,
    /// `None` once all links were read.
    pub(super) build: Mutex<Option<IndexBuild>>,
    /// `None` until a list needs recent clicks.
    pub(super) recent: Mutex<Option<RecentColumn>>,
    is_ready: AtomicBool,
    is_lost: AtomicBool,
}

#[derive(Debug)]
pub(super) struct IndexState {
    /// Whether the ids are being read. Until then, nothing that changes is followed: it is read later.
    pub(super) is_listing: bool,
    pub(super) ids: Vec<Id>,
    /// Where the newest entry of each slot begins.
    pub(super) places: Vec<u64>,
    /// The slots of visible links.
    pub(super) visible: SlotSet,
    pub(super) arena: EntryArena,
    /// `None` until a list is sorted by clicks.
    pub(super) clicks: Option<ClickColumn>,
    /// The links of imports that are under way.
    hidden: HashMap<Id, Vec<u32>>,
    stale: usize,
    buffer: Vec<u8>,
}

impl LinkIndex {
    /// Creates an index that has read nothing yet. `imports` are under way.
    pub(super) fn new(
        workspace: WorkspaceNumber,
        file: File,
        imports: Vec<Id>,
        build: IndexBuild,
    ) -> LinkIndex {
        let state = IndexState {
            is_listing: true,
            ids: Vec::new(),
            places: Vec::new(),
            visible: SlotSet::default(),
            arena: EntryArena::new(file),
            clicks: None,
            hidden: imports.into_iter().map(|import| (import, Vec::new())).collect(),
            stale: 0,
            buffer: Vec::new(),
        };
        LinkIndex {
            workspace,
            state: RwLock::new(state),
            build: Mutex::new(Some(build)),
            recent: Mutex::new(None),
            is_ready: AtomicBool::new(false),
            is_lost: AtomicBool::new(false),
        }
    }

    /// Returns the workspace whose links it has.
    pub(in crate::core) fn workspace(&self) -> WorkspaceNumber {
        self.workspace
    }

    /// Returns whether all links were read.
    pub(in crate::core) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    pub(super) fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    /// Returns whether the index does not follow the log any more.
    pub(in crate::core) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Ends the use of the index: readers that have it build another one.
    pub(super) fn lose(&self) {
        self.is_lost.store(true, Ordering::Release);
    }

    /// Writes a link that was created or changed.
    pub(super) fn put(&self, staged: &Staged) -> Result<(), IndexLost> {
        let mut state = self.state.write();
        if state.is_listing {
            return Ok(());
        }
        // A change of a link keeps its slot, so that lists keep its place.
        let slot = match state.slot_of(staged.link.id) {
            Some(slot) => slot,
            None => state.add_slot(staged.link.id)?,
        };
        state.write(slot, staged)
    }

    /// Removes a link.
    pub(super) fn remove(&self, id: Id) {
        let mut state = self.state.write();
        // While ids are read, the slot stays unread: the record is gone when its turn comes.
        if let Some(slot) = state.slot_of(id).filter(|_| !state.is_listing) {
            // Not unread: a read of the table that began before the deletion may still have the link.
            state.move_to(slot, GONE);
            state.visible.remove(slot);
        }
    }

    /// Hides the links that an import is about to write.
    pub(super) fn begin_import(&self, import: Id) {
        self.state.write().hidden.entry(import).or_default();
    }

    /// Shows the links of an import.
    pub(super) fn end_import(&self, import: Id) {
        let mut state = self.state.write();
        // An import that failed has removed its links before its mark.
        for slot in state.hidden.remove(&import).unwrap_or_default() {
            if state.is_written(slot) {
                state.visible.insert(slot);
            }
        }
    }

    /// Returns the ids of slots.
    pub(in crate::core) fn ids(&self, slots: &[u32]) -> Vec<Id> {
        let state = self.state.read();
        slots.iter().filter_map(|slot| state.ids.get(*slot as usize).copied()).collect()
    }

    /// Returns the slot of the first link that is not older than `id`.
    pub(in crate::core) fn slot_from(&self, id: Id) -> u32 {
        let ids = &self.state.read().ids;
        u32::try_from(ids.partition_point(|known| *known < id)).unwrap_or(u32::MAX)
    }

    /// Returns the slot of a link.
    pub(in crate::core) fn slot_of(&self, id: Id) -> Option<u32> {
        self.state.read().slot_of(id)
    }

    /// Returns the slots of links, which are in the order of their ids. Leaves out unknown links.
    pub(in crate::core) fn slots_of(&self, ids: &[Id]) -> SlotSet {
        let state = self.state.read();
        let mut slots = SlotSet::with_room(state.ids.len());
        ids.iter().filter_map(|id| state.slot_of(*id)).for_each(|slot| slots.insert(slot));
        slots
    }

    /// Returns the file of the entries.
    pub(super) fn stored(&self) -> (Arc<File>, u64) {
        self.state.read().arena.stored()
    }
}

impl IndexState {
    pub(super) fn slot_of(&self, id: Id) -> Option<u32> {
        self.ids.binary_search(&id).ok().and_then(|slot| u32::try_from(slot).ok())
    }

    fn add_slot(&mut self, id: Id) -> Result<u32, IndexLost> {
        // A link that was restored is older than others: slots would not be in the order of creation.
        if self.ids.last().is_some_and(|last| *last >= id) {
            return Err(IndexLost::Outgrown);
        }
        let slot = u32::try_from(self.ids.len()).map_err(|_| IndexLost::Outgrown)?;
        self.ids.push(id);
        self.places.push(UNREAD);
        Ok(slot)
    }

    /// Ends the reading of ids: from here on changes are followed.
    pub(super) fn end_listing(&mut self) {
        self.is_listing = false;
        // At once, since their number is known: a vector that grows takes twice the memory.
        self.places = vec![UNREAD; self.ids.len()];
        self.visible = SlotSet::with_room(self.ids.len());
    }

    /// Writes a link that was read, unless a change was followed since.
    pub(super) fn add(&mut self, staged: &Staged) -> Result<(), IndexLost> {
        // What was followed since is newer than what was read.
        let unread = |slot: &u32| self.places[*slot as usize] == UNREAD;
        match self.slot_of(staged.link.id).filter(unread) {
            Some(slot) => self.write(slot, staged),
            None => Ok(()),
        }
    }

    fn write(&mut self, slot: u32, staged: &Staged) -> Result<(), IndexLost> {
        self.buffer.clear();
        entry::write(&staged.link, slot, &mut self.buffer);
        let place = self.arena.append(&self.buffer)?;
        self.move_to(slot, place);
        match staged.import.and_then(|import| self.hidden.get_mut(&import)) {
            Some(hidden) => {
                // Twice if the link is written again, which shows it once all the same.
                hidden.push(slot);
                // It may have been visible before, as the link of another import.
                self.visible.remove(slot);
            }
            None => self.visible.insert(slot),
        }
        // A scan reads stale entries as well, so it takes twice as long at most.
        let outgrown = self.stale > STALE_FREE + self.ids.len();
        if outgrown { Err(IndexLost::Outgrown) } else { Ok(()) }
    }

    fn move_to(&mut self, slot: u32, place: u64) {
        // Counted, and not measured: entries of one workspace have similar lengths.
        self.stale += usize::from(self.is_written(slot));
        self.places[slot as usize] = place;
    }

    fn is_written(&self, slot: u32) -> bool {
        self.places.get(slot as usize).is_some_and(|place| *place < GONE)
    }

    /// Returns whether an entry is the newest one of a visible link.
    pub(super) fn is_current(&self, slot: u32, place: u64) -> bool {
        self.places.get(slot as usize) == Some(&place) && self.visible.contains(slot)
    }

    /// Returns the ids of the links behind a slot that were not read, at most `at_most`, and the slot behind them.
    pub(super) fn unread(&self, from: usize, at_most: usize) -> (Vec<Id>, usize) {
        let mut ids = Vec::new();
        let mut slot = from;
        while slot < self.ids.len() && ids.len() < at_most {
            if self.places[slot] == UNREAD {
                ids.push(self.ids[slot]);
            }
            slot += 1;
        }
        (ids, slot)
    }
}
