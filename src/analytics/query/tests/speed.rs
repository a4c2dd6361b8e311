//! Cells a second. Run with `cargo test --release -- --ignored --nocapture cells_a_second`.

// Numbers of a measurement, and of skewed random values.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use super::{by, question};
use crate::analytics::cell::{COUNTED, CellCounts, Dimension, TimeSlot};
use crate::analytics::part::header::{PartHeader, PartLevel};
use crate::analytics::part::mem::Mem;
use crate::analytics::part::reader::ClickPart;
use crate::analytics::part::writer::PartWriter;
use crate::analytics::query::calendar::{Granularity, Span};
use crate::analytics::query::error::QueryError;
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::analytics::query::question::{Breakdown, ClickQuestion, FacetFilter, LinkScope};
use crate::analytics::query::scan::{CellSource, answer};
use crate::analytics::tick::{LINK_BYTES, LinkRow, Tick};
use crate::analytics::values::pack_letters;

const LINKS: u32 = 200_000;
const REFERRERS: u64 = 20_000;

/// Returns numbers that are the same at each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// Returns a number below `limit`, small ones much more often.
    fn skewed(&mut self, limit: u64) -> u32 {
        let uniform = (self.next() % 1_000_000) as f64 / 1e6;
        (uniform.powi(4) * limit as f64) as u32
    }
}

/// Returns the row of a link. The second half is in another workspace.
fn row(link: u32) -> LinkRow {
    let mut row = [0; LINK_BYTES];
    row[3] = u8::from(link >= LINKS / 2);
    row[16..].copy_from_slice(&link.to_be_bytes());
    row
}

/// Writes a part of a month with about this number of cells.
fn month(cells: usize) -> (Arc<ClickPart>, usize) {
    let header = PartHeader {
        level: PartLevel::Month,
        node: 0,
        log: 7,
        first: TimeSlot(0),
        last: TimeSlot(2_879),
        from: 1,
        to: 2,
    };
    let file = Arc::new(Mem::default());
    let mut writer = PartWriter::new(Arc::clone(&file) as _, &header).expect("written");
    let (mut random, mut written) = (Random(0x9e37_79b9_7f4a_7c15), 0);
    for link in 0..LINKS {
        let row = row(link);
        // Zipf: the first link has most.
        let count = (cells as f64 / 12.8 / f64::from(link + 1)) as usize + 1;
        let mut of_link: Vec<_> = (0..count)
            .map(|_| {
                let mut values = [0; Dimension::COUNT];
                let country = random.skewed(220);
                let letters = [b'A' + (country / 26) as u8, b'A' + (country % 26) as u8];
                values[Dimension::Country as usize] = pack_letters(letters);
                values[Dimension::Agent as usize] = random.skewed(80);
                values[Dimension::Referrer as usize] = random.skewed(REFERRERS);
                values[Dimension::Language as usize] = pack_letters([b'a' + random.skewed(26) as u8, b'e']);
                // One of ten by QR code, so that the column has two numbers.
                values[Dimension::Trigger as usize] = COUNTED | u32::from(random.next() % 10 == 0);
                ((random.next() % 2_880) as u32, values)
            })
            .collect();
        of_link.sort_unstable();
        // A writer does not add up equal cells.
        of_link.dedup();
        for (slot, values) in of_link {
            let counts =
                CellCounts { clicks: 1, visitors: (random.next() % 2) as u32, workspace_visitors: 1 };
            writer.push(&row, TimeSlot(slot), values, counts).expect("written");
            written += 1;
        }
    }
    let texts: Vec<_> = (0..REFERRERS).map(|number| format!("{number:05}.example").into_bytes()).collect();
    writer.finish(texts.iter().map(Vec::as_slice)).expect("written");
    (Arc::new(ClickPart::open(file).expect("a part")), written)
}

/// Returns the milliseconds for which this thread had a processor: other programs do not change them much.
fn cpu_millis() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos: f64 = text.split(' ').next().and_then(|field| field.parse().ok()).expect("its first field");
    nanos / 1e6
}

#[test]
#[ignore = "measures"]
fn cells_a_second() {
    let (part, cells) = month(10_000_000);
    let (parts, open) = ([part], Tick::default());
    let source = CellSource {
        parts: &parts,
        open: &open,
        campaign_of: &|_| None,
        facts_of: &|_| None,
        is_cancelled: &|| false,
    };
    let top = |facets: &[Facet]| Breakdown { limit: 10, ..by(facets) };
    let days = Span { from: 0, to: 30 * 86_400_000 };
    let all = |breakdowns| ClickQuestion {
        span: days,
        granularity: Granularity::Day,
        ..question(LinkScope::All, breakdowns)
    };
    let filter = |facet, key: &str| FacetFilter { facet, keys: vec![FacetKey::text(key)], excludes: false };
    let mut two_filters = all(vec![top(&[Facet::Time])]);
    two_filters.filters = vec![filter(Facet::Country, "AA"), filter(Facet::Language, "ae")];
    let dashboard = [
        Facet::Time,
        Facet::Country,
        Facet::Browser,
        Facet::Os,
        Facet::Device,
        Facet::Referrer,
        Facet::Language,
    ];
    let seven = || all(dashboard.iter().map(|facet| top(&[*facet])).collect());
    let of_link = |link: u32| ClickQuestion { scope: LinkScope::Links(vec![row(link)]), ..seven() };
    let rows = [
        ("total", all(vec![top(&[])])),
        ("country", all(vec![top(&[Facet::Country])])),
        ("referrer", all(vec![top(&[Facet::Referrer])])),
        ("time by day", all(vec![top(&[Facet::Time])])),
        ("link", all(vec![top(&[Facet::Link])])),
        ("time and country", all(vec![top(&[Facet::Time, Facet::Country])])),
        ("country and referrer", all(vec![top(&[Facet::Country, Facet::Referrer])])),
        ("time, two filters", two_filters),
        (
            "half of the span",
            ClickQuestion {
                span: Span { from: 0, to: 15 * 86_400_000 },
                ..all(vec![top(&[Facet::Country])])
            },
        ),
        (
            "one of two workspaces",
            ClickQuestion { scope: LinkScope::Workspaces(vec![1]), ..all(vec![top(&[Facet::Country])]) },
        ),
        ("seven breakdowns", seven()),
        ("seven, hottest link", of_link(0)),
        ("seven, 1,000th link", of_link(1_000)),
    ];
    println!("{cells} cells");
    for (name, question) in rows {
        let run = |_| {
            let start = cpu_millis();
            let result = answer(&source, &question);
            // Too many pairs end a question early, and the time until then is printed.
            assert!(matches!(result, Ok(_) | Err(QueryError::TooLarge)));
            cpu_millis() - start
        };
        // The best of three, since other programs make a run only slower.
        let best = (0..3).map(run).fold(f64::MAX, f64::min);
        println!("{name:24} {best:8.1} ms {:8.1} M cells/s", cells as f64 / best / 1e3);
    }
}
