//! [`OpenCells`]: the cells that are in no part yet, in memory.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::io;

use ahash::RandomState;

use crate::analytics::cell::{COUNTED, CellCounts, CellValues, ClickCell, Dimension, TimeSlot};
use crate::analytics::part::writer::PartWriter;
use crate::analytics::tick::{LinkRow, Tick, parse_link_row};
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

/// Cells that can still grow.
#[derive(Debug, Default)]
pub struct OpenCells {
    links: Numbering<LinkRow>,
    texts: Numbering<Box<[u8]>>,
    // A hash map, since clicks come in any order and are sorted once, for a tick or a part.
    cells: HashMap<(u32, TimeSlot, CellValues), CellCounts, RandomState>,
}

/// Numbers different things in the order in which they came.
#[derive(Debug)]
struct Numbering<T> {
    of: HashMap<T, u32, RandomState>,
}

impl<T> Default for Numbering<T> {
    fn default() -> Numbering<T> {
        Numbering { of: HashMap::default() }
    }
}

impl<T: Hash + Eq + Ord> Numbering<T> {
    fn number<Q>(&mut self, thing: &Q, owned: impl FnOnce(&Q) -> T) -> u32
    where
        T: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // Most links and texts are in the map, and nothing is allocated for them.
        if let Some(number) = self.of.get(thing) {
            return *number;
        }
        let number = u32::try_from(self.of.len()).expect("fewer than cells");
        self.of.insert(owned(thing), number);
        number
    }

    /// Returns the things in their order, and the place of each number.
    fn sorted(&self) -> (Vec<&T>, Vec<u32>) {
        let mut all: Vec<_> = self.of.iter().collect();
        all.sort_unstable();
        let mut places = vec![0; all.len()];
        for (place, (_, number)) in (0..).zip(&all) {
            places[**number as usize] = place;
        }
        (all.into_iter().map(|(thing, _)| thing).collect(), places)
    }
}

impl OpenCells {
    /// Returns the number of a link for [`OpenCells::count`].
    pub fn link(&mut self, link: &LinkRow) -> u32 {
        self.links.number(link, |link: &LinkRow| *link)
    }

    /// Returns the number of a text for [`Dimension::with_text`](super::cell::Dimension::with_text).
    pub fn text(&mut self, text: &[u8]) -> u32 {
        self.texts.number(text, |text| text.into())
    }

    /// Adds clicks to one cell. Link and texts have the numbers of [`OpenCells::link`] and [`OpenCells::text`].
    pub fn count(&mut self, link: u32, slot: TimeSlot, values: CellValues, counts: CellCounts) {
        self.cells.entry((link, slot, values)).or_default().add(counts);
    }

    /// Adds the cells of a tick.
    pub fn add(&mut self, tick: &Tick) {
        let links: Vec<_> = tick.links.iter().map(|link| self.link(link)).collect();
        let texts: Vec<_> = tick.texts.iter().map(|text| self.text(text)).collect();
        for cell in &tick.cells {
            let mut cell = *cell;
            cell.renumber(&texts);
            // A decoded tick has no place outside of its lists.
            self.count(links[cell.link as usize], cell.slot, cell.values, cell.counts);
        }
    }

    /// Calls `each` with the place in `links`, the slot and the clicks of each cell of these links whose clicks count.
    pub fn each_counted(&self, links: &[LinkRow], mut each: impl FnMut(usize, TimeSlot, u32)) {
        let known = links.iter().enumerate().filter_map(|(at, link)| Some((*self.links.of.get(link)?, at)));
        let places: HashMap<_, _, RandomState> = known.collect();
        // Most pages have no link with a click of the last minutes.
        if places.is_empty() {
            return;
        }
        for ((link, slot, values), counts) in &self.cells {
            if values[Dimension::Trigger as usize] & COUNTED != 0
                && let Some(at) = places.get(link)
            {
                each(*at, *slot, counts.clicks);
            }
        }
    }

    /// Calls `each` with the link, the slot and the clicks of each cell of a workspace whose clicks count.
    pub fn each_of(&self, workspace: WorkspaceNumber, mut each: impl FnMut(Id, TimeSlot, u32)) {
        let links = self.links.of.iter().filter_map(|(row, number)| Some((*number, parse_link_row(row)?)));
        let own =
            links.filter(|(_, (owner, _))| *owner == workspace).map(|(number, (_, link))| (number, link));
        let own: HashMap<u32, Id, RandomState> = own.collect();
        for ((link, slot, values), counts) in &self.cells {
            if values[Dimension::Trigger as usize] & COUNTED != 0
                && let Some(link) = own.get(link)
            {
                each(*link, *slot, counts.clicks);
            }
        }
    }

    /// Returns the number of cells.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Returns whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Returns all cells as a tick.
    pub fn sorted(&self) -> Tick {
        let ((links, link_places), (texts, text_places)) = (self.links.sorted(), self.texts.sorted());
        let mut cells: Vec<_> = self
            .cells
            .iter()
            .map(|((link, slot, values), counts)| {
                let link = link_places[*link as usize];
                let mut cell = ClickCell { link, slot: *slot, values: *values, counts: *counts };
                cell.renumber(&text_places);
                cell
            })
            .collect();
        // After the replacement: the order of texts is a part of the order of cells.
        cells.sort_unstable_by_key(ClickCell::key);
        Tick {
            links: links.into_iter().copied().collect(),
            texts: texts.into_iter().cloned().collect(),
            cells,
        }
    }
}

/// Writes a sorted tick as a part. Returns the size of the part.
pub fn write(tick: &Tick, mut writer: PartWriter) -> io::Result<u64> {
    for cell in &tick.cells {
        writer.push(&tick.links[cell.link as usize], cell.slot, cell.values, cell.counts)?;
    }
    writer.finish(tick.texts.iter().map(AsRef::as_ref))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::analytics::cell::{Dimension, NAMED};

    type Rows = BTreeMap<(LinkRow, TimeSlot, u32, Vec<u8>), CellCounts>;

    fn row(link: u8) -> LinkRow {
        // Three workspaces, so that rows do not sort by their links alone.
        let mut row = [0; 20];
        (row[3], row[19]) = (link % 3, link);
        row
    }

    /// Returns a tick of these clicks, with its lists in their order.
    fn tick(rows: &Rows) -> Tick {
        let links = rows.keys().map(|(link, ..)| *link).collect();
        let texts = rows.keys().map(|(.., text)| text.clone().into()).collect();
        let mut tick = Tick { links, texts, cells: Vec::new() };
        tick.links.sort_unstable();
        tick.links.dedup();
        tick.texts.sort();
        tick.texts.dedup();
        for ((link, slot, class, text), counts) in rows {
            let place = tick.texts.iter().position(|other| **other == **text).expect("it is there");
            let mut values = [0; Dimension::COUNT];
            values[Dimension::Country as usize] = *class;
            // One text in two dimensions, of which one has the bit of names.
            for (dimension, value) in [(Dimension::Path, 0), (Dimension::Agent, NAMED)] {
                values[dimension as usize] = dimension.with_text(value, u32::try_from(place).expect("few"));
            }
            let link = tick.links.iter().position(|other| other == link).expect("it is there");
            tick.cells.push(ClickCell {
                link: u32::try_from(link).expect("few"),
                slot: *slot,
                values,
                counts: *counts,
            });
        }
        tick.cells.sort_by_key(ClickCell::key);
        tick
    }

    proptest! {
        #[test]
        fn ticks_add_up(
            ticks in proptest::collection::vec(
                proptest::collection::vec((0_u8..9, 90_u32..99, 0_u32..3, 0_usize..5, 1_u32..4), 0..60), 0..6
            )
        ) {
            let (mut open, mut sum) = (OpenCells::default(), Rows::new());
            for rows in ticks {
                let mut of_tick = Rows::new();
                for (link, slot, class, text, clicks) in rows {
                    let counts = CellCounts { clicks, visitors: 1, workspace_visitors: 0 };
                    for sum in [&mut of_tick, &mut sum] {
                        let key = (row(link), TimeSlot(slot), class, b"text".repeat(text));
                        sum.entry(key).or_default().add(counts);
                    }
                }
                let tick = tick(&of_tick);
                let bytes = tick.encode();
                prop_assert_eq!(Tick::decode(&bytes), Ok(tick.clone()));
                // A cut between two blocks leaves a valid tick: the checksum is that of the log.
                for length in 0..bytes.len() {
                    if let Ok(shorter) = Tick::decode(&bytes[..length]) {
                        prop_assert!(shorter.cells.len() < tick.cells.len(), "cut between blocks: {}", length);
                    }
                }
                open.add(&tick);
            }
            prop_assert_eq!(open.sorted(), tick(&sum));
        }
    }
}
