//! Asks the details of a data folder what a dashboard asks, on one thread and without HTTP.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use waypost::analytics::part::header::PartHeader;
use waypost::analytics::part::reader::{ClickPart, PartList};
use waypost::analytics::query::calendar::{Granularity, Span};
use waypost::analytics::query::facet::{Facet, FacetKey};
use waypost::analytics::query::question::{Breakdown, ClickQuestion, FacetFilter, LinkScope, Visits};
use waypost::analytics::query::scan::{CellSource, answer};
use waypost::analytics::store::FOLDER;
use waypost::analytics::tick::{LinkRow, Tick};
use waypost::log::local::disk::{Disk, FsDisk};

use crate::parts::cpu;

/// Rows of a panel.
const LIMIT: usize = 10;

/// Tries of each question, of which the fastest counts.
const TRIES: usize = 3;

/// What a dashboard shows.
const PANELS: [Facet; 7] =
    [Facet::Time, Facet::Country, Facet::Browser, Facet::Os, Facet::Device, Facet::Referrer, Facet::Language];

pub(crate) fn ask(data: &Path) -> Result<(), Box<dyn Error>> {
    let disk = FsDisk::read_only(&data.join(FOLDER))?;
    let mut parts = Vec::new();
    for name in
        disk.list()?.iter().filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "part"))
    {
        parts.push(Arc::new(ClickPart::open(disk.open(name)?)?));
    }
    let links = ranked(&parts)?;
    let headers: Vec<&PartHeader> = parts.iter().map(|part| part.header()).collect();
    let slots = |slot: Option<u32>| i64::from(slot.unwrap_or(0)) * 900_000;
    let span = Span {
        from: slots(headers.iter().map(|header| header.first.0).min()),
        to: slots(headers.iter().map(|header| header.last.0 + 1).max()),
    };
    let open = Tick::default();
    let source = CellSource {
        parts: &parts,
        open: &open,
        campaign_of: &|_| None,
        facts_of: &|_| None,
        is_cancelled: &|| false,
    };
    for (name, question) in questions(span, &links) {
        let mut best = f64::MAX;
        let mut clicks = 0;
        for _ in 0..TRIES {
            let began = cpu();
            let found = answer(&source, &question)?;
            best = best.min(cpu().saturating_sub(began).as_secs_f64() * 1e3);
            clicks = found.breakdowns.first().map_or(0, |rows| rows.total.clicks);
        }
        writeln!(std::io::stdout(), "{name:34} {best:9.2} ms {clicks:12} clicks")?;
    }
    Ok(())
}

/// Returns the links with the most clicks of the largest part: the first, the 100th and the median one.
fn ranked(parts: &[Arc<ClickPart>]) -> Result<[LinkRow; 3], Box<dyn Error>> {
    let part = parts.iter().max_by_key(|part| part.blocks()).ok_or("there are no parts")?;
    let mut block = waypost::analytics::block::CellBlock::default();
    let mut counts = vec![(0_u32, 0_u32); part.entries(PartList::Links) as usize];
    for at in 0..part.blocks() {
        part.block(at, waypost::analytics::block::CellFields::BASE, &mut block)?;
        for link in block.column(waypost::analytics::block::CellField::Link) {
            counts[*link as usize].0 += 1;
            counts[*link as usize].1 = *link;
        }
    }
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let row = |at: usize| -> Result<LinkRow, Box<dyn Error>> {
        let entry = part.entry(PartList::Links, counts[at].1)?;
        Ok(entry.as_slice().try_into()?)
    };
    Ok([row(0)?, row(99)?, row(counts.len() / 2)?])
}

fn top(by: &[Facet]) -> Breakdown {
    Breakdown { by: by.to_vec(), limit: LIMIT, offset: 0 }
}

fn questions(span: Span, links: &[LinkRow; 3]) -> Vec<(String, ClickQuestion)> {
    let all = |breakdowns: Vec<Breakdown>| ClickQuestion {
        scope: LinkScope::Workspaces(vec![0]),
        span,
        zone: TimeZone::UTC,
        granularity: Granularity::Day,
        visits: Visits::Counted,
        filters: Vec::new(),
        breakdowns,
        previous: None,
    };
    let panels = || PANELS.iter().map(|facet| top(&[*facet])).collect::<Vec<_>>();
    let of_link = |link: &LinkRow| ClickQuestion { scope: LinkScope::Links(vec![*link]), ..all(panels()) };
    let filter = |facet, key: &str| FacetFilter { facet, keys: vec![FacetKey::text(key)], excludes: false };
    let mut filtered = all(vec![top(&[Facet::Time])]);
    filtered.filters = vec![filter(Facet::Country, "AH"), filter(Facet::Language, "ah")];
    let mut filtered_panels = all(panels());
    filtered_panels.filters.clone_from(&filtered.filters);
    let half = Span { from: span.from + 12 * 3_600_000 + 900_000, to: span.to };
    let mut rows = vec![
        ("link page, hottest link".to_owned(), of_link(&links[0])),
        ("link page, 100th link".to_owned(), of_link(&links[1])),
        ("link page, median link".to_owned(), of_link(&links[2])),
        ("workspace, seven panels".to_owned(), all(panels())),
        ("the same, from noon of a day".to_owned(), ClickQuestion { span: half, ..all(panels()) }),
        ("workspace, total".to_owned(), all(vec![top(&[])])),
        ("workspace, links".to_owned(), all(vec![top(&[Facet::Link])])),
        ("workspace, time and country".to_owned(), all(vec![top(&[Facet::Time, Facet::Country])])),
        ("workspace, two filters, time".to_owned(), filtered),
        ("workspace, two filters, panels".to_owned(), filtered_panels),
        (
            "bots by name".to_owned(),
            ClickQuestion { visits: Visits::Bots, ..all(vec![top(&[Facet::Agent])]) },
        ),
    ];
    rows.extend(
        PANELS.iter().map(|facet| (format!("workspace, {}", facet.name()), all(vec![top(&[*facet])]))),
    );
    rows
}
