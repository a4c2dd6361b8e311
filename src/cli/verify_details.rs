//! [`DetailsReport`]: what `verify` finds in the details of clicks. Each part is read, and no link may have more details
//! than its total: a click is written with its total or later.

use std::collections::{HashMap, HashSet};

use super::click_reader;
use super::error::CommandError;
use super::output::counted;
use crate::analytics::part::error::PartError;
use crate::analytics::query::question::Visits;
use crate::analytics::query::rows::{RowSource, each_row};
use crate::analytics::store::{ClickArchive, tick_behind};
use crate::analytics::tick::parse_link_row;
use crate::log::local::archive::Archive;
use crate::log::{LogError, Record};
use crate::model::id::Id;
use crate::table::keys::{self, Kind};
use crate::table::record::{Corrupt, Staged, decode_clicks};

/// Most links with too many details that are named.
const LINKS_SHOWN: usize = 10;

/// What is in the details of clicks, and what is wrong with them.
pub(super) struct DetailsReport {
    /// `None` without any details.
    summary: Option<String>,
    clicks: u64,
    /// One sentence each.
    pub(super) damage: Vec<String>,
}

/// Clicks of each link. Both take some 40 bytes per clicked link.
#[derive(Default)]
struct LinkClicks {
    totals: HashMap<Id, u64>,
    details: HashMap<Id, u64>,
}

impl DetailsReport {
    /// Reads all details of clicks, and the totals of the log that was opened with them.
    pub(super) fn of(mut clicks: ClickArchive, log: &Archive) -> Result<DetailsReport, CommandError> {
        click_reader::check(&mut clicks);
        let mut damage: Vec<_> = clicks.faults().iter().map(click_reader::shown).collect();
        damage.extend(clicks.missing().iter().map(click_reader::shown_missing));
        let foreign = |name| format!("{name} has details of clicks that are not in the log");
        damage.extend(clicks.foreign().iter().map(foreign));
        let mut links = LinkClicks::default();
        for part in clicks.parts() {
            let added = links.add(RowSource::Part(&part.part));
            // It was read a moment ago.
            added.map_err(|error| CommandError::Failed(format!("cannot read {}: {error}", part.name)))?;
        }
        let durable = clicks.durable();
        let read = log.each_record(&mut |record| {
            links.add_total(&record).map_err(|error| misread(&record, &error))?;
            let Some(tick) = tick_behind(&record, durable) else { return Ok(()) };
            let added = links.add(RowSource::Tick(&tick));
            added.map_err(|error| LogError::Damaged(format!("the details of {}: {error}", record.revision)))
        });
        read.map_err(CommandError::from)?;
        let too_many = links.too_many(log)?;
        let of_link = |(id, details, total): &(Id, u64, u64)| {
            format!("the link {id} has the details of {details} clicks, and its total is {total}")
        };
        damage.extend(too_many.iter().take(LINKS_SHOWN).map(of_link));
        if let Some(more @ 1..) = too_many.len().checked_sub(LINKS_SHOWN) {
            damage.push(format!("{} more have too many details", counted(more as u64, "link")));
        }
        let clicks_in_all = links.details.values().sum();
        let has_some = clicks_in_all > 0 || !clicks.parts().is_empty();
        let summary = has_some.then(|| click_reader::summary(&clicks));
        Ok(DetailsReport { summary, clicks: clicks_in_all, damage })
    }

    /// Returns the lines of the report, each behind a line break.
    pub(super) fn words(&self) -> String {
        let mut text = match &self.summary {
            // Nobody has clicked yet.
            None => String::new(),
            Some(summary) => format!("\n{summary}; with the log, of {}", counted(self.clicks, "click")),
        };
        for damage in &self.damage {
            text.push_str("\nDAMAGED: ");
            text.push_str(damage);
        }
        text
    }
}

fn misread(record: &Record, error: &Corrupt) -> LogError {
    LogError::Damaged(format!("the record of revision {}: {error}", record.revision))
}

impl LinkClicks {
    fn add(&mut self, cells: RowSource<'_>) -> Result<(), PartError> {
        each_row(cells, |row| {
            // Only these are in totals.
            if let (Visits::Counted, Some((_, link))) = (row.visits(), parse_link_row(row.link())) {
                *self.details.entry(link).or_default() += u64::from(row.counts().clicks);
            }
            Ok(())
        })
    }

    fn add_total(&mut self, record: &Record) -> Result<(), Corrupt> {
        if Kind::of(&record.key) == Some(Kind::Clicks)
            && let Some((id, _)) = keys::parse_clicks(&record.key)
        {
            // Each node of a cluster has its own total (docs/decisions.md 19).
            *self.totals.entry(id).or_default() += decode_clicks(&record.value)?;
        }
        Ok(())
    }

    /// Returns the links with more details than their total, sorted, with both.
    fn too_many(&self, log: &Archive) -> Result<Vec<(Id, u64, u64)>, CommandError> {
        let without: HashSet<Id> =
            self.details.keys().filter(|id| !self.totals.contains_key(id)).copied().collect();
        let mut there = HashSet::new();
        if !without.is_empty() {
            // The total of a deleted link is gone, and its details stay until a merge.
            let read = log.each_record(&mut |record| {
                let Some((domain, code)) = keys::parse_link(&record.key) else { return Ok(()) };
                let staged =
                    Staged::decode(domain, code, &record.value).map_err(|error| misread(&record, &error))?;
                there.extend(Some(staged.link.id).filter(|id| without.contains(id)));
                Ok(())
            });
            read.map_err(CommandError::from)?;
        }
        let total_of = |id: &Id| self.totals.get(id).copied().or_else(|| there.contains(id).then_some(0));
        let compared = self.details.iter().filter_map(|(id, details)| Some((*id, *details, total_of(id)?)));
        let mut too_many: Vec<_> = compared.filter(|(_, details, total)| details > total).collect();
        too_many.sort_unstable();
        Ok(too_many)
    }
}
