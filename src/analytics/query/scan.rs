//! [`answer`]: reads the cells of a question, and adds them up.

use std::ops::Range;
use std::sync::Arc;

use super::answer::{AnswerTable, ClickAnswer};
use super::calendar::Calendar;
use super::columns::{FacetColumn, Meaning};
use super::error::QueryError;
use super::facet::{Facet, LinkFacts};
use super::part_sums::{PartSums, SpanSums};
use super::question::{Breakdown, ClickQuestion, Visits};
use super::segment::{Lists, ScanSegment};
use super::selection::Selection;
use super::sums::{Amounts, Sums};
use super::tables::TablePlan;
use crate::analytics::block::{CellBlock, CellField, CellFields};
use crate::analytics::cell::{COUNTED, Dimension, NAMED, PREFETCHED};
use crate::analytics::part::error::PartError;
use crate::analytics::part::reader::ClickPart;
use crate::analytics::tick::{LinkRow, Tick};
use crate::analytics::values::UtmValues;

/// Where the cells of an answer are, and how it reads them.
#[derive(Clone, Copy)]
pub struct CellSource<'a> {
    /// All parts. No two of them have the clicks of one position of the log.
    pub parts: &'a [Arc<ClickPart>],
    /// The cells that are in no part yet.
    pub open: &'a Tick,
    /// Returns the UTM parameters of a link. Called if the question is about them and a visit did not bring
    /// its own: once for each link of a block.
    pub campaign_of: &'a dyn Fn(&LinkRow) -> Option<UtmValues>,
    /// Returns the tags, the campaign and the domain of a link, `None` if it does not exist. Called if the question is about
    /// them: mostly once for each link.
    pub facts_of: &'a dyn Fn(&LinkRow) -> Option<LinkFacts>,
    /// Returns whether the answer is not needed any longer, or its deadline passed. Called for each block, so
    /// every few dozen microseconds.
    pub is_cancelled: &'a dyn Fn() -> bool,
}

/// Returns the answer to a question.
///
/// Fails with [`QueryError::TooSlow`] if it is cancelled, with [`QueryError::TooLarge`] if it needs too much
/// memory, and with [`QueryError::Part`] if a part cannot be read.
pub fn answer(source: &CellSource<'_>, question: &ClickQuestion) -> Result<ClickAnswer, QueryError> {
    with_open(source, question, sums_of_parts(source, question)?)
}

/// Returns the first half of [`answer`]: the sums of all parts, which stay the same as long as the parts do.
pub fn sums_of_parts(source: &CellSource<'_>, question: &ClickQuestion) -> Result<PartSums, QueryError> {
    // First: the span bounds the memory of the calendar.
    question.check()?;
    let mut scan = CellScan::new(source, question, columns_of(question));
    let mut spans = Vec::new();
    // With the same columns: a key has one number in both spans, by which rows find it.
    for slots in question.spans() {
        let calendar = scan.calendar(&slots).map(Arc::new);
        let mut sums: Vec<_> = question.breakdowns.iter().map(|_| Sums::default()).collect();
        for (at, part) in source.parts.iter().enumerate() {
            scan.segment(at, ScanSegment::Part(part), &slots, calendar.as_deref(), &mut sums)?;
        }
        spans.push(SpanSums { slots, calendar, sums });
    }
    Ok(PartSums { columns: scan.columns, spans })
}

/// Returns the second half of [`answer`]: adds the open cells to the sums of the parts, and builds the rows.
pub fn with_open(
    source: &CellSource<'_>,
    question: &ClickQuestion,
    of_parts: PartSums,
) -> Result<ClickAnswer, QueryError> {
    let PartSums { columns, mut spans } = of_parts;
    let mut scan = CellScan::new(source, question, columns);
    for SpanSums { slots, calendar, sums } in &mut spans {
        let (at, open) = (source.parts.len(), ScanSegment::Open(source.open));
        scan.segment(at, open, slots, calendar.as_deref(), sums)?;
    }
    let mut spans = spans.iter();
    let (asked, previous) = (spans.next(), spans.next());
    let tables = question.breakdowns.iter().enumerate().filter_map(|(at, breakdown)| {
        let SpanSums { calendar, sums, .. } = asked?;
        Some(AnswerTable {
            breakdown,
            columns: scan.places(breakdown).map(|place| &scan.columns[place]).collect(),
            sums: &sums[at],
            previous: previous.map(|span| &span.sums[at]),
            starts: calendar.as_deref().map(Calendar::starts).unwrap_or_default(),
        })
    });
    let breakdowns = tables.map(|table| table.rows()).collect();
    let has_other = scan.columns.iter().filter(|column| column.has_other()).map(FacetColumn::facet).collect();
    Ok(ClickAnswer { breakdowns, has_other })
}

/// Returns the columns of a question, each once, those with filters first.
fn columns_of(question: &ClickQuestion) -> Vec<FacetColumn> {
    let mut columns: Vec<FacetColumn> = Vec::new();
    let by = question.breakdowns.iter().flat_map(|breakdown| &breakdown.by);
    for facet in question.filters.iter().map(|filter| &filter.facet).chain(by) {
        if columns.iter().all(|column| column.facet() != *facet) {
            columns.push(FacetColumn::new(*facet, &question.filters));
        }
    }
    columns
}

/// The state of a question.
struct CellScan<'a> {
    source: &'a CellSource<'a>,
    question: &'a ClickQuestion,
    /// See [`columns_of`].
    columns: Vec<FacetColumn>,
    /// The columns of visitors that breakdowns need.
    visitors: Vec<CellField>,
    block: CellBlock,
    selection: Selection,
    clicks: Vec<u32>,
    counts: Vec<u32>,
}

impl<'a> CellScan<'a> {
    fn new(
        source: &'a CellSource<'a>,
        question: &'a ClickQuestion,
        columns: Vec<FacetColumn>,
    ) -> CellScan<'a> {
        // At most two columns, each of which is gathered once for all breakdowns.
        let mut visitors = Vec::new();
        for field in question.breakdowns.iter().map(|breakdown| question.visitors(breakdown)) {
            if !visitors.contains(&field) {
                visitors.push(field);
            }
        }
        CellScan {
            source,
            question,
            columns,
            visitors,
            block: CellBlock::default(),
            selection: Selection::default(),
            clicks: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Returns the places of the columns of a breakdown.
    fn places(&self, breakdown: &Breakdown) -> impl Iterator<Item = usize> {
        breakdown
            .by
            .iter()
            .filter_map(|facet| self.columns.iter().position(|column| column.facet() == *facet))
    }

    fn calendar(&self, slots: &Range<u32>) -> Option<Calendar> {
        // The calendar of a long span takes longer than the scan of a small store.
        let needs_it = self.columns.iter().any(|column| column.facet().is_time());
        needs_it.then(|| Calendar::new(slots.clone(), self.question.granularity, &self.question.zone))
    }

    /// Adds the cells of a segment to the sums.
    fn segment(
        &mut self,
        at: usize,
        segment: ScanSegment<'_>,
        slots: &Range<u32>,
        calendar: Option<&Calendar>,
        sums: &mut [Sums],
    ) -> Result<(), QueryError> {
        let of_segment = segment.slots();
        // Most parts are left out by their header, without a read.
        if of_segment.start >= slots.end || slots.start >= of_segment.end {
            return Ok(());
        }
        self.columns.iter_mut().for_each(FacetColumn::begin_segment);
        let lists = Lists::new(segment);
        let CellSource { campaign_of, facts_of, .. } = *self.source;
        let mut meaning = Meaning { lists, calendar, campaign_of, facts_of };
        let failed = |error| match error {
            ScanEnd::Part(error) => QueryError::Part(at, error),
            ScanEnd::Cancelled => QueryError::TooSlow,
            ScanEnd::TooLarge => QueryError::TooLarge,
        };
        let plan = match segment {
            ScanSegment::Part(part) => {
                TablePlan::new(part, self.question, slots, calendar).map(|plan| (part, plan))
            }
            ScanSegment::Open(_) => None,
        };
        let Some((part, plan)) = plan else {
            return self.cells(segment, slots, &mut meaning, sums).map_err(failed);
        };
        self.tables(part, &plan, &mut meaning, sums).map_err(failed)?;
        for edge in [slots.start..plan.slots.start, plan.slots.end..slots.end] {
            let edge = edge.start.max(of_segment.start)..edge.end.min(of_segment.end);
            if !edge.is_empty() {
                self.cells(segment, &edge, &mut meaning, sums).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Adds the cells of a span of slots.
    fn cells(
        &mut self,
        segment: ScanSegment<'_>,
        slots: &Range<u32>,
        meaning: &mut Meaning<'_>,
        sums: &mut [Sums],
    ) -> Result<(), ScanEnd> {
        // A link has another number in each part.
        let links = segment.links_of(&self.question.scope)?;
        let plan = ScanPlan::new(self, segment, slots, &links);
        let all: Vec<_> = (0..sums.len()).collect();
        for at in segment.blocks_of(&links).into_iter().flatten() {
            // Before the read: the blocks of a link with many clicks follow each other in time.
            if plan.slots.is_some_and(|slots| !segment.has_slots(at, slots)) {
                continue;
            }
            self.check()?;
            segment.block(at, plan.fields, &mut self.block)?;
            self.select(&plan, meaning)?;
            self.add(&all, meaning, sums)?;
        }
        Ok(())
    }

    /// Adds the counts of tables.
    fn tables(
        &mut self,
        part: &ClickPart,
        plan: &TablePlan<'_>,
        meaning: &mut Meaning<'_>,
        sums: &mut [Sums],
    ) -> Result<(), ScanEnd> {
        for (first, table) in plan.tables.iter().enumerate() {
            let of = |at: &usize| plan.tables[*at].dimension == table.dimension;
            // Device, browser and system have one table, which is read once.
            if (0..first).any(|at| of(&at)) {
                continue;
            }
            let breakdowns: Vec<_> = (first..plan.tables.len()).filter(of).collect();
            // Slots are differences within a link.
            let found = CellFields::BASE.with(CellField::Value(table.dimension));
            let fields = self.visitors.iter().fold(found, |fields, field| fields.with(*field));
            for at in 0..table.blocks.len() {
                self.check()?;
                part.table_block(table, at, fields, &mut self.block)?;
                self.selection.fill(self.block.len());
                let of_cells = self.block.column(CellField::Slot);
                self.selection.keep(|at| plan.slots.contains(&of_cells[at]));
                self.add(&breakdowns, meaning, sums)?;
            }
        }
        Ok(())
    }

    /// Fails if the answer is not needed any longer.
    fn check(&self) -> Result<(), ScanEnd> {
        if (self.source.is_cancelled)() { Err(ScanEnd::Cancelled) } else { Ok(()) }
    }

    /// Selects the cells of the block that are in the answer.
    fn select(&mut self, plan: &ScanPlan<'_>, meaning: &mut Meaning<'_>) -> Result<(), PartError> {
        // The cheapest comparisons first: links by their ranges, slots, bits, and then keys.
        let (block, selection) = (&self.block, &mut self.selection);
        match plan.links {
            Some(links) => selection.fill_links(block.column(CellField::Link), links),
            None => selection.fill(block.len()),
        }
        if let Some(slots) = plan.slots {
            let of_cells = block.column(CellField::Slot);
            selection.keep(|at| slots.contains(&of_cells[at]));
        }
        select_visits(self.question.visits, block, selection);
        for column in self.columns.iter_mut().filter(|column| column.has_filters()) {
            // A filter reads lists to build keys, which is in vain without cells.
            if !selection.is_empty() {
                column.filter(block, selection, meaning)?;
            }
        }
        Ok(())
    }

    /// Adds the selected cells to the sums of some breakdowns.
    fn add(
        &mut self,
        breakdowns: &[usize],
        meaning: &mut Meaning<'_>,
        sums: &mut [Sums],
    ) -> Result<(), ScanEnd> {
        let (block, selection, question) = (&self.block, &self.selection, self.question);
        if selection.is_empty() {
            return Ok(());
        }
        for column in &mut self.columns {
            // A filter has loaded the keys of more cells than are left, so it is loaded once more.
            let needs_it = breakdowns.iter().any(|at| question.breakdowns[*at].by.contains(&column.facet()));
            if needs_it {
                column.load(block, selection, meaning)?;
            }
        }
        self.clicks.clear();
        selection.gather(block.column(CellField::Clicks), &mut self.clicks);
        for field in &self.visitors {
            self.counts.clear();
            selection.gather(block.column(*field), &mut self.counts);
            let amounts = Amounts { clicks: &self.clicks, visitors: &self.counts };
            let of_field = |at: &&usize| question.visitors(&question.breakdowns[**at]) == *field;
            for at in breakdowns.iter().filter(of_field) {
                let (mut places, sums) = (self.places(&question.breakdowns[*at]), &mut sums[*at]);
                match (places.next(), places.next()) {
                    (Some(first), Some(second)) => {
                        let [first, second] = [first, second].map(|place| self.columns[place].numbers());
                        sums.add_pairs(first, second, amounts);
                    }
                    (Some(first), None) => sums.add(self.columns[first].numbers(), amounts),
                    (None, _) => sums.add_total(amounts),
                }
            }
        }
        // After each block, so a table exceeds its bound by at most 2,048 pairs.
        if sums.iter().any(Sums::is_too_large) { Err(ScanEnd::TooLarge) } else { Ok(()) }
    }
}

/// Why a scan of a part ended early.
enum ScanEnd {
    Part(PartError),
    Cancelled,
    TooLarge,
}

impl From<PartError> for ScanEnd {
    fn from(error: PartError) -> ScanEnd {
        ScanEnd::Part(error)
    }
}

/// Removes the cells from the selection that are no visits of this kind.
fn select_visits(visits: Visits, block: &CellBlock, selection: &mut Selection) {
    let column = |dimension| block.column(CellField::Value(dimension));
    match visits {
        Visits::Counted => {
            let triggers = column(Dimension::Trigger);
            // The clicks of most blocks all count, which takes less time to see than to select.
            if triggers.iter().fold(COUNTED, |all, trigger| all & trigger) == 0 {
                selection.keep(|at| triggers[at] & COUNTED != 0);
            }
        }
        Visits::Prefetches => {
            let triggers = column(Dimension::Trigger);
            selection.keep(|at| triggers[at] & PREFETCHED != 0);
        }
        Visits::Bots => {
            let (agents, paths) = (column(Dimension::Agent), column(Dimension::Path));
            // A bot that found no link is a miss.
            selection.keep(|at| agents[at] & NAMED != 0 && paths[at] == 0);
        }
        Visits::Misses => {
            let paths = column(Dimension::Path);
            selection.keep(|at| paths[at] != 0);
        }
    }
}

/// What must be decoded and compared in the blocks of a segment.
struct ScanPlan<'a> {
    fields: CellFields,
    /// The links of the scope, `None` if all links of the segment are in it.
    links: Option<&'a [Range<u32>]>,
    /// The slots of the span, `None` if all slots of the segment are in it.
    slots: Option<&'a Range<u32>>,
}

impl<'a> ScanPlan<'a> {
    fn new(
        scan: &CellScan<'_>,
        segment: ScanSegment<'_>,
        slots: &'a Range<u32>,
        links: &'a [Range<u32>],
    ) -> ScanPlan<'a> {
        // One range with all links: no cell needs a comparison of its link.
        let all = std::slice::from_ref(&(0..segment.links())) == links;
        let of_segment = segment.slots();
        let is_inside = slots.start <= of_segment.start && of_segment.end <= slots.end;
        // Clicks alone: a total of all links and slots needs neither of them.
        let mut fields = CellFields::NONE.with(CellField::Clicks);
        let of_columns = scan.columns.iter().map(|column| column.facet().field());
        for field in of_columns.chain(scan.visitors.iter().copied()).chain(fields_of(scan.question.visits)) {
            fields = fields.with(field);
        }
        let needs_slots = !is_inside || scan.columns.iter().any(|column| column.facet().is_time());
        // A visit without a parameter has that of its link.
        let needs_links = scan.columns.iter().any(|column| matches!(column.facet(), Facet::Utm(_)));
        if needs_slots {
            // Slots are differences within a link.
            fields = fields.with(CellField::Slot).with(CellField::Link);
        }
        if needs_links || !all {
            fields = fields.with(CellField::Link);
        }
        ScanPlan { fields, links: (!all).then_some(links), slots: (!is_inside).then_some(slots) }
    }
}

/// Returns the columns that tell a kind of visits.
fn fields_of(visits: Visits) -> impl Iterator<Item = CellField> {
    let dimensions: &[Dimension] = match visits {
        Visits::Counted | Visits::Prefetches => &[Dimension::Trigger],
        Visits::Bots => &[Dimension::Agent, Dimension::Path],
        Visits::Misses => &[Dimension::Path],
    };
    dimensions.iter().map(|dimension| CellField::Value(*dimension))
}
