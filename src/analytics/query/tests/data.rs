//! Visits, and the parts and open cells that have them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use crate::agents::classes::AgentClass;
use crate::analytics::cell::{CellCounts, CellValues, ClickCell, Dimension, NAMED, TimeSlot};
use crate::analytics::part::header::{PartHeader, PartLevel};
use crate::analytics::part::mem::Mem;
use crate::analytics::part::reader::ClickPart;
use crate::analytics::part::summary::SummaryRule;
use crate::analytics::part::writer::PartWriter;
use crate::analytics::query::facet::LinkFacts;
use crate::analytics::tick::{LINK_BYTES, LinkRow, Tick};
use crate::analytics::values::{UtmName, UtmValues, pack_letters};
use crate::model::id::Id;

/// The first millisecond of generated visits: 2026-03-06, before clocks change in America.
pub(super) const FROM: i64 = 1_772_755_200_000;

/// The time in which visits are: 40 days, with changes of the clock in America and on Lord Howe.
pub(super) const LENGTH: i64 = 40 * 86_400_000;

// Two countries of one continent, and a code that is on none.
pub(super) const COUNTRIES: [Option<(&str, &str)>; 5] =
    [None, Some(("DE", "EU")), Some(("FR", "EU")), Some(("US", "NA")), Some(("ZZ", ""))];

/// Text, region, city.
pub(super) const PLACES: [Option<(&str, Option<&str>, Option<&str>)>; 5] = [
    None,
    Some(("DE\tBayern\tUlm", Some("DE, Bayern"), Some("DE, Bayern, Ulm"))),
    // A region without a city, and a city without a region.
    Some(("DE\tBayern\t", Some("DE, Bayern"), None)),
    Some(("FR\t\tUlm", None, Some("FR, , Ulm"))),
    Some(("\0", Some("\0"), Some("\0"))),
];

/// User-Agent, device, system, browser.
pub(super) const BROWSERS: [(&str, [Option<&str>; 3]); 4] = [
    ("", [None; 3]),
    (
        "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
        [Some("desktop"), Some("Linux"), Some("Firefox")],
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36",
        [Some("mobile"), Some("Android"), Some("Chrome")],
    ),
    ("curl/8.5.0", [None, None, Some("curl")]),
];

pub(super) const BOTS: [&str; 2] = ["Googlebot", "Slackbot"];
pub(super) const REFERRERS: [Option<&str>; 5] =
    [None, Some("a.example"), Some("b.example"), Some("Ulm"), Some("\0")];
pub(super) const CAMPAIGNS: [Option<[&str; 5]>; 4] = [
    None,
    Some(["mail", "", "spring", "", ""]),
    Some(["", "cpc", "", "", "top"]),
    // Some links have this value too: visits with either must be in one row.
    Some(["own1", "", "", "", ""]),
];
pub(super) const LANGUAGES: [Option<&str>; 3] = [None, Some("de"), Some("en")];
pub(super) const PATHS: [Option<&str>; 3] = [None, Some("/missing"), Some("/wp-login.php")];

/// A visit. Fields with numbers are places in the lists above.
#[derive(Clone, Debug)]
pub(super) struct MadeVisit {
    pub(super) millis: i64,
    pub(super) workspace: u32,
    pub(super) link: u8,
    pub(super) country: usize,
    pub(super) place: usize,
    /// A browser, or behind all browsers a bot.
    pub(super) agent: usize,
    pub(super) referrer: usize,
    pub(super) campaign: usize,
    pub(super) language: usize,
    pub(super) trigger: u32,
    pub(super) choice: (u32, u32),
    pub(super) path: usize,
    pub(super) counts: CellCounts,
}

/// Returns the referrer of a number. Behind the list, hosts by number fill several chunks of texts.
pub(super) fn referrer(number: usize) -> Option<String> {
    match REFERRERS.get(number) {
        Some(referrer) => referrer.map(Into::into),
        None => Some(format!("{number}.example")),
    }
}

pub(super) fn row(workspace: u32, link: u8) -> LinkRow {
    let mut row = [0; LINK_BYTES];
    row[..4].copy_from_slice(&workspace.to_be_bytes());
    row[LINK_BYTES - 1] = link;
    row
}

/// Returns the parameters of a link itself.
pub(super) fn campaign_of(row: &LinkRow) -> Option<UtmValues> {
    // A third of the links has no parameters of its own, and a third has two.
    let number = row[LINK_BYTES - 1] % 3;
    let campaign = UtmValues::default().with(UtmName::Source, &format!("own{number}"));
    (number > 0).then_some(if number == 1 { campaign } else { campaign.with(UtmName::Content, "link") })
}

/// Returns the tags, the campaign and the domain of a link. Some links have no record any more.
pub(super) fn facts_of(row: &LinkRow) -> Option<LinkFacts> {
    let number = row[LINK_BYTES - 1];
    let tags: &[u128] = match number % 4 {
        0 => &[],
        1 => &[7],
        // The same tags in two orders.
        2 => &[7, 9],
        _ => &[9, 7],
    };
    let tags = tags.iter().map(|bits| Id::from_bits(*bits)).collect();
    let campaign = number.is_multiple_of(2).then(|| "spring".into());
    (number != 8).then_some(LinkFacts { tags, campaign, domain: u32::from(number % 3) })
}

pub(super) fn visits() -> impl Strategy<Value = MadeVisit> {
    let first = (FROM..FROM + LENGTH, 0_u32..4, 0_u8..9, 0..COUNTRIES.len(), 0..PLACES.len());
    let agents = BROWSERS.len() + BOTS.len();
    // All numbers of five bits: also ways to open a link that this version does not have.
    let second = (0..agents, 0..REFERRERS.len(), 0..CAMPAIGNS.len(), 0..LANGUAGES.len(), 0_u32..32);
    // Choices within and outside of the dense table of a translator.
    let choice = prop_oneof![Just((0, 0)), (1_u32..4, 0_u32..4), (1_u32..500, 0_u32..500)];
    let third = (choice, 0..PATHS.len(), 1_u32..5, 0_u32..3, 0_u32..3);
    (first, second, third).prop_map(|(first, second, third)| {
        let (millis, workspace, link, country, place) = first;
        let (agent, referrer, campaign, language, trigger) = second;
        let (choice, path, clicks, visitors, workspace_visitors) = third;
        let counts = CellCounts { clicks, visitors, workspace_visitors };
        MadeVisit {
            millis,
            workspace,
            link,
            country,
            place,
            agent,
            referrer,
            campaign,
            language,
            trigger,
            choice,
            path,
            counts,
        }
    })
}

/// Returns visits that are the same at each call, of few links and referrers.
pub(super) fn many(count: usize, from: i64, length: i64) -> Vec<MadeVisit> {
    various(count, from, length, 9, REFERRERS.len())
}

/// Returns visits that are the same at each call, of this many links in a workspace and referrers.
pub(super) fn various(
    count: usize,
    from: i64,
    length: i64,
    links: usize,
    referrers: usize,
) -> Vec<MadeVisit> {
    // Xorshift with a fixed seed: a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % limit
    };
    let mut place = |limit: usize| usize::try_from(below(limit as u64)).expect("below the limit");
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let mut number = |limit: usize| u32::try_from(place(limit)).expect("small");
        let millis = from + i64::from(number(usize::try_from(length / 1_000).expect("positive"))) * 1_000;
        let (workspace, link) = (number(4), u8::try_from(number(links)).expect("small"));
        // All visits are counted, in all eight ways to open a link.
        let (trigger, choice) = (8 | number(8), (number(4), number(3)));
        let counts = CellCounts { clicks: 1 + number(3), visitors: number(2), workspace_visitors: number(2) };
        let path = usize::from(number(20) == 0);
        all.push(MadeVisit {
            millis,
            workspace,
            link,
            country: place(COUNTRIES.len()),
            place: place(PLACES.len()),
            agent: place(BROWSERS.len()),
            referrer: place(referrers),
            campaign: place(CAMPAIGNS.len()),
            language: place(LANGUAGES.len()),
            trigger,
            choice,
            path,
            counts,
        });
    }
    all
}

/// Parts and open cells.
pub(super) struct TestStore {
    pub(super) parts: Vec<Arc<ClickPart>>,
    pub(super) open: Tick,
}

impl TestStore {
    /// Creates a store. `split` has the part of each visit; 0 and those that are missing are the open cells.
    pub(super) fn new(visits: &[MadeVisit], split: &[usize]) -> TestStore {
        let groups = split.iter().max().map_or(0, |last| *last);
        let of = |group: usize| {
            let with = visits.iter().enumerate();
            let with = with.filter(move |(at, _)| split.get(*at).copied().unwrap_or_default() == group);
            with.map(|(_, visit)| visit).cloned().collect::<Vec<_>>()
        };
        let part = |group| {
            let bytes = part_bytes(&of(group));
            Arc::new(ClickPart::open(Arc::new(Mem(bytes.into()))).expect("a part"))
        };
        TestStore { parts: (1..=groups).map(part).collect(), open: tick(&of(0)) }
    }
}

pub(super) fn part_bytes(visits: &[MadeVisit]) -> Vec<u8> {
    // Tables for scopes of two cells, and none for those of one, so that questions read both.
    part_bytes_with(visits, SummaryRule { cells_min: 2, cells_each: 1 })
}

/// Returns the bytes of a part with another rule for its tables.
pub(super) fn part_bytes_with(visits: &[MadeVisit], rule: SummaryRule) -> Vec<u8> {
    let tick = tick(visits);
    let slots = || tick.cells.iter().map(|cell| cell.slot);
    let (first, last) = (slots().min().unwrap_or_default(), slots().max().unwrap_or_default());
    let header = PartHeader { level: PartLevel::Run, node: 0, log: 7, first, last, from: 1, to: 2 };
    let file = Arc::new(Mem::default());
    let writer = PartWriter::with_summaries(Arc::clone(&file) as _, &header, rule).expect("written");
    crate::analytics::open::write(&tick, writer).expect("written");
    let bytes = file.0.lock();
    bytes.clone()
}

fn texts_of(visit: &MadeVisit) -> [(Dimension, Option<String>); 5] {
    let bot = visit.agent.checked_sub(BROWSERS.len()).map(|bot| BOTS[bot].into());
    let campaign = CAMPAIGNS[visit.campaign].map(|values| {
        let all = [UtmName::Source, UtmName::Medium, UtmName::Campaign, UtmName::Term, UtmName::Content];
        let with = |campaign: UtmValues, (parameter, value)| campaign.with(parameter, value);
        all.into_iter().zip(values).fold(UtmValues::default(), with).text()
    });
    [
        (Dimension::Place, PLACES[visit.place].map(|(text, ..)| text.into())),
        (Dimension::Agent, bot),
        (Dimension::Referrer, referrer(visit.referrer)),
        (Dimension::Campaign, campaign),
        (Dimension::Path, PATHS[visit.path].map(Into::into)),
    ]
}

fn letters(text: Option<&str>) -> u32 {
    text.map_or(0, |text| pack_letters(text.as_bytes().try_into().expect("two letters")))
}

fn tick(visits: &[MadeVisit]) -> Tick {
    let links: BTreeSet<_> = visits.iter().map(|visit| row(visit.workspace, visit.link)).collect();
    let texts: BTreeSet<_> = visits.iter().flat_map(texts_of).filter_map(|(_, text)| text).collect();
    let (links, texts): (Vec<_>, Vec<_>) = (links.into_iter().collect(), texts.into_iter().collect());
    let mut cells = BTreeMap::<(u32, TimeSlot, CellValues), CellCounts>::new();
    for visit in visits {
        let mut values = [0; Dimension::COUNT];
        values[Dimension::Country as usize] = letters(COUNTRIES[visit.country].map(|(country, _)| country));
        values[Dimension::Language as usize] = letters(LANGUAGES[visit.language]);
        values[Dimension::Trigger as usize] = visit.trigger;
        values[Dimension::Choice as usize] = visit.choice.0 << 16 | visit.choice.1;
        let class = BROWSERS.get(visit.agent).map(|(agent, _)| AgentClass::of(agent.as_bytes()).bits());
        values[Dimension::Agent as usize] = class.map_or(NAMED, u32::from);
        for (dimension, text) in texts_of(visit) {
            if let Some(text) = text {
                let at = u32::try_from(texts.binary_search(&text).expect("it is there")).expect("few");
                let value = &mut values[dimension as usize];
                *value = dimension.with_text(*value, at);
            }
        }
        let link = links.binary_search(&row(visit.workspace, visit.link)).expect("it is there");
        let link = u32::try_from(link).expect("few");
        cells.entry((link, TimeSlot::of_millis(visit.millis), values)).or_default().add(visit.counts);
    }
    let cells = cells
        .into_iter()
        .map(|((link, slot, values), counts)| ClickCell { link, slot, values, counts })
        .collect();
    Tick { links, texts: texts.into_iter().map(|text| text.into_bytes().into()).collect(), cells }
}
