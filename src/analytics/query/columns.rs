//! [`FacetColumn`]: a facet that a question names, with its keys and filters.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use ahash::RandomState;

use super::calendar::Calendar;
use super::continents::continent_of;
use super::facet::{Facet, FacetKey, LinkFacts, TRIGGERS};
use super::keys::Keys;
use super::question::FacetFilter;
use super::segment::Lists;
use super::selection::Selection;
use super::translator::Translator;
use crate::agents::classes::AgentClass;
use crate::analytics::block::{CellBlock, CellField};
use crate::analytics::cell::{Dimension, NAMED, OPENED_BY, OTHER_TEXT};
use crate::analytics::part::error::PartError;
use crate::analytics::tick::LinkRow;
use crate::analytics::values::{UtmName, UtmValues, letters, place_levels};

/// The key's number of a visit without the parameter: the link's own parameter replaces it.
// One below the mark of the translator for numbers without a key, which it must not equal.
const INHERITED: u32 = u32::MAX - 1;

/// Most links whose keys are kept: 10 MB.
const LINKS_KEPT: usize = 262_144;

/// A facet, and its keys over all parts.
#[derive(Clone, Debug)]
pub(super) struct FacetColumn {
    facet: Facet,
    filters: Vec<FacetFilter>,
    keys: Keys,
    /// For each key: whether it passes the filters.
    passes: Vec<bool>,
    translator: Option<Translator>,
    /// The numbers of the keys of the selected cells.
    numbers: Vec<u32>,
    /// The numbers of the keys of links, for facets that follow from their records.
    of_links: HashMap<LinkRow, u32, RandomState>,
}

/// What the numbers of a segment stand for.
pub(super) struct Meaning<'a> {
    /// Texts and links.
    pub(super) lists: Lists<'a>,
    /// Slots. `None` if no facet is a time.
    pub(super) calendar: Option<&'a Calendar>,
    /// The campaign of a link.
    pub(super) campaign_of: &'a dyn Fn(&LinkRow) -> Option<UtmValues>,
    /// What the facets of a link follow from.
    pub(super) facts_of: &'a dyn Fn(&LinkRow) -> Option<LinkFacts>,
}

impl FacetColumn {
    /// Creates the column of a facet, with the filters of a question that are about it.
    pub(super) fn new(facet: Facet, filters: &[FacetFilter]) -> FacetColumn {
        let filters =
            filters.iter().filter(|filter| filter.facet == facet).map(FacetFilter::sorted).collect();
        // Slots have a calendar and links their runs, so only values need a map.
        let translator = match facet.field() {
            CellField::Value(dimension) => Some(Translator::new(dimension)),
            _ => None,
        };
        FacetColumn {
            facet,
            filters,
            keys: Keys::default(),
            passes: Vec::new(),
            translator,
            numbers: Vec::new(),
            of_links: HashMap::default(),
        }
    }

    /// Returns its facet.
    pub(super) fn facet(&self) -> Facet {
        self.facet
    }

    /// Returns whether the question filters by it.
    pub(super) fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Returns the numbers of the keys of the selected cells.
    pub(super) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Returns the key of a number. `starts` are those of the buckets of time.
    pub(super) fn key(&self, number: u32, starts: &[i64]) -> FacetKey {
        match self.facet {
            // The number of a bucket is its place, so times have no keys of their own.
            Facet::Time => starts.get(number as usize).copied().map_or(FacetKey::None, FacetKey::Time),
            _ => self.keys.get(number).clone(),
        }
    }

    /// Compares the keys of two numbers.
    pub(super) fn compare(&self, a: u32, b: u32) -> Ordering {
        match self.facet {
            Facet::Time => a.cmp(&b),
            _ => self.keys.get(a).cmp(self.keys.get(b)),
        }
    }

    /// Begins another segment, whose numbers may stand for other texts.
    pub(super) fn begin_segment(&mut self) {
        // Letters, classes and choices mean the same in all parts, so their map stays.
        if let Some(translator) = self.translator.as_mut().filter(|_| self.facet.has_texts()) {
            translator.clear();
        }
    }

    /// Releases the memory that only the scan of parts needs. What is left are the keys.
    pub(super) fn release(&mut self) {
        self.translator.iter_mut().for_each(Translator::release);
        self.numbers = Vec::new();
        self.of_links = HashMap::default();
    }

    /// Returns the bytes of memory that it has outside of itself after [`FacetColumn::release`].
    pub(super) fn heap_bytes(&self) -> usize {
        let of_filter = |filter: &FacetFilter| {
            let texts: usize = filter.keys.iter().map(FacetKey::heap_bytes).sum();
            size_of::<FacetFilter>() + size_of_val(&filter.keys[..]) + texts
        };
        let filters: usize = self.filters.iter().map(of_filter).sum();
        filters + self.keys.heap_bytes() + self.passes.capacity()
    }

    /// Removes the cells from the selection that do not pass the filters.
    pub(super) fn filter(
        &mut self,
        block: &CellBlock,
        selection: &mut Selection,
        meaning: &mut Meaning<'_>,
    ) -> Result<(), PartError> {
        self.load(block, selection, meaning)?;
        selection.keep_values(&self.numbers, |number| self.passes[number as usize]);
        Ok(())
    }

    /// Loads the numbers of the keys of the selected cells.
    pub(super) fn load(
        &mut self,
        block: &CellBlock,
        selection: &Selection,
        meaning: &mut Meaning<'_>,
    ) -> Result<(), PartError> {
        self.numbers.clear();
        selection.gather(block.column(self.facet.field()), &mut self.numbers);
        match self.facet {
            Facet::Time => self.load_buckets(meaning),
            Facet::HourOfWeek => self.load_hours(meaning),
            Facet::Link | Facet::Tag | Facet::Campaign | Facet::Domain => self.load_links(meaning),
            Facet::Utm(parameter) => self.load_utm(parameter, block, selection, meaning),
            _ => self.load_values(meaning),
        }
    }

    fn load_buckets(&mut self, meaning: &Meaning<'_>) -> Result<(), PartError> {
        for number in &mut self.numbers {
            // Other slots were removed from the selection, or the header of the part excludes them.
            let bucket = meaning.calendar.and_then(|calendar| calendar.bucket(*number));
            *number = bucket.ok_or(OUTSIDE)?;
        }
        Ok(())
    }

    fn load_hours(&mut self, meaning: &Meaning<'_>) -> Result<(), PartError> {
        // The number of the key of an hour is the hour.
        for hour in self.passes.len()..7 * 24 {
            self.number(FacetKey::HourOfWeek(u8::try_from(hour).expect("below 168")));
        }
        for number in &mut self.numbers {
            let hour = meaning.calendar.and_then(|calendar| calendar.hour_of_week(*number));
            *number = u32::from(hour.ok_or(OUTSIDE)?);
        }
        Ok(())
    }

    /// Looks up one key for each run of cells of a link.
    fn load_links(&mut self, meaning: &mut Meaning<'_>) -> Result<(), PartError> {
        let mut numbers = std::mem::take(&mut self.numbers);
        for run in numbers.chunk_by_mut(|a, b| a == b) {
            let Some(link) = run.first() else { continue };
            let row = meaning.lists.link(*link)?;
            run.fill(self.number_of_link(row, meaning));
        }
        self.numbers = numbers;
        Ok(())
    }

    /// Returns the number of the key of a link.
    fn number_of_link(&mut self, row: LinkRow, meaning: &Meaning<'_>) -> u32 {
        if self.facet == Facet::Link {
            return self.number(FacetKey::Link(row));
        }
        // Each part has the link again, and its record is a read of the table.
        if let Some(known) = self.of_links.get(&row) {
            return *known;
        }
        let facts = (meaning.facts_of)(&row);
        let number = self.number(facts.map_or(FacetKey::None, |facts| facts.key(self.facet)));
        if self.of_links.len() < LINKS_KEPT {
            self.of_links.insert(row, number);
        }
        number
    }

    /// Returns whether visits had values that were not kept.
    pub(super) fn has_other(&self) -> bool {
        self.facet.is_open() && self.keys.contains(&FacetKey::Other)
    }

    fn load_values(&mut self, meaning: &mut Meaning<'_>) -> Result<(), PartError> {
        let Some(mut translator) = self.translator.take() else { return Ok(()) };
        let mut numbers = std::mem::take(&mut self.numbers);
        let replaced = translator.replace(&mut numbers, |number| {
            let key = key_of(self.facet, number, &mut meaning.lists)?;
            // The parameter of the link depends on the cell, so the map has no key for it.
            Ok(key.map_or(INHERITED, |key| self.number(key)))
        });
        (self.numbers, self.translator) = (numbers, Some(translator));
        replaced
    }

    fn load_utm(
        &mut self,
        parameter: UtmName,
        block: &CellBlock,
        selection: &Selection,
        meaning: &mut Meaning<'_>,
    ) -> Result<(), PartError> {
        self.load_values(meaning)?;
        let mut links = Vec::with_capacity(self.numbers.len());
        selection.gather(block.column(CellField::Link), &mut links);
        // Cells are sorted by link, so the last link is a sufficient cache.
        let mut own = None;
        let mut numbers = std::mem::take(&mut self.numbers);
        for (number, link) in numbers.iter_mut().zip(links).filter(|(number, _)| **number == INHERITED) {
            *number = match own {
                Some((of, own)) if of == link => own,
                _ => {
                    let row = meaning.lists.link(link)?;
                    // A deleted link has no parameters any more.
                    let campaign = (meaning.campaign_of)(&row).unwrap_or_default();
                    let key = self.number(campaign.get(parameter).map_or(FacetKey::None, FacetKey::text));
                    own = Some((link, key));
                    key
                }
            };
        }
        self.numbers = numbers;
        Ok(())
    }

    /// Returns the number of a key.
    fn number(&mut self, key: FacetKey) -> u32 {
        let (number, is_new) = self.keys.number(key);
        if is_new {
            let key = self.keys.get(number);
            self.passes.push(self.filters.iter().all(|filter| filter.passes(key)));
        }
        number
    }
}

const OUTSIDE: PartError = PartError::Damaged("a cell is outside of the part's span");

/// Returns the key of a number of a column. `None` is a visit without a UTM parameter.
pub(super) fn key_of(
    facet: Facet,
    number: u32,
    lists: &mut Lists<'_>,
) -> Result<Option<FacetKey>, PartError> {
    if let Facet::Utm(parameter) = facet {
        return utm(parameter, number, lists);
    }
    Ok(Some(match facet {
        Facet::Country | Facet::Language => pair(number),
        Facet::Continent => continent(number),
        Facet::Region => {
            text(Dimension::Place, number, lists, |place| place_levels(place)[0].unwrap_or_default())?
        }
        Facet::City => {
            text(Dimension::Place, number, lists, |place| place_levels(place)[1].unwrap_or_default())?
        }
        Facet::Agent => text(Dimension::Agent, number, lists, |text| text)?,
        Facet::Referrer => text(Dimension::Referrer, number, lists, |text| text)?,
        Facet::Path => text(Dimension::Path, number, lists, |text| text)?,
        Facet::Device | Facet::Browser | Facet::Os => class(facet, number),
        Facet::Trigger => trigger(number & OPENED_BY),
        Facet::Rule => choice(number >> 16),
        Facet::Variant => choice(number & 0xffff),
        // These are no values of a cell.
        Facet::Time
        | Facet::HourOfWeek
        | Facet::Link
        | Facet::Tag
        | Facet::Campaign
        | Facet::Domain
        | Facet::Utm(_) => FacetKey::None,
    }))
}

/// Returns the key of a text. `part` returns the part of the text that is the key, empty if there is none.
fn text(
    dimension: Dimension,
    number: u32,
    lists: &mut Lists<'_>,
    part: impl Fn(&str) -> &str,
) -> Result<FacetKey, PartError> {
    let Some(number) = dimension.text_of(number) else { return Ok(FacetKey::None) };
    let text = lists.text(number)?;
    if text == OTHER_TEXT {
        return Ok(FacetKey::Other);
    }
    // Captured texts are UTF-8, and another one must not fail the whole answer.
    let text = String::from_utf8_lossy(text);
    let part = part(&text);
    if part.is_empty() {
        return Ok(FacetKey::None);
    }
    // As answers show places, so that such a text can become a filter.
    Ok(FacetKey::text(&if dimension == Dimension::Place {
        Cow::Owned(part.replace('\t', ", "))
    } else {
        part.into()
    }))
}

fn utm(parameter: UtmName, number: u32, lists: &mut Lists<'_>) -> Result<Option<FacetKey>, PartError> {
    let key = text(Dimension::Campaign, number, lists, |text| {
        UtmValues::of_text(text, parameter).unwrap_or_default()
    })?;
    // A campaign without this parameter inherits it like a visit without a campaign.
    Ok(Some(key).filter(|key| *key != FacetKey::None))
}

fn pair(number: u32) -> FacetKey {
    let letters = letters(number);
    letters
        .as_ref()
        .and_then(|letters| std::str::from_utf8(letters).ok())
        .map_or(FacetKey::None, FacetKey::text)
}

fn continent(number: u32) -> FacetKey {
    let letters = letters(number);
    let country = letters.as_ref().and_then(|letters| std::str::from_utf8(letters).ok());
    country.and_then(continent_of).map_or(FacetKey::None, FacetKey::text)
}

fn class(facet: Facet, number: u32) -> FacetKey {
    let class = u16::try_from(number).map(AgentClass::from_bits).ok().filter(|_| number & NAMED == 0);
    match (facet.class(), class) {
        (Some(field), Some(class)) => match (class.get(field), field.name_of(class.get(field))) {
            (_, Some(name)) => FacetKey::text(name),
            (0, None) => FacetKey::None,
            // A class of a later version: its clicks count, under its number.
            (number, None) => FacetKey::Number(number.into()),
        },
        _ => FacetKey::None,
    }
}

fn trigger(number: u32) -> FacetKey {
    let name = TRIGGERS.iter().find(|(known, _)| *known == number);
    name.map_or(FacetKey::Number(number), |(_, name)| FacetKey::text(name))
}

fn choice(number: u32) -> FacetKey {
    if number == 0 { FacetKey::None } else { FacetKey::Number(number) }
}
