//! [`PartSums`]: what a question has found in all parts, before the open cells are added. [`QuestionKey`]: what these sums
//! depend on.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::calendar::Calendar;
use super::columns::FacetColumn;
use super::question::ClickQuestion;
use super::sums::Sums;
use crate::analytics::part::reader::ClickPart;

/// The sums of a question over all parts.
#[derive(Clone, Debug)]
pub struct PartSums {
    /// The columns of the question, with the keys of the sums.
    pub(super) columns: Vec<FacetColumn>,
    /// Those of the span, and of the span before if the question compares.
    pub(super) spans: Vec<SpanSums>,
}

/// The sums of one span.
#[derive(Clone, Debug)]
pub(super) struct SpanSums {
    pub(super) slots: Range<u32>,
    /// `None` if no facet is a time.
    pub(super) calendar: Option<Arc<Calendar>>,
    /// Those of each breakdown.
    pub(super) sums: Vec<Sums>,
}

impl PartSums {
    /// Releases the memory that only the scan of parts needs.
    pub(super) fn release(&mut self) {
        self.columns.iter_mut().for_each(FacetColumn::release);
    }

    /// Returns its bytes of memory after [`PartSums::release`].
    pub(super) fn bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| size_of::<FacetColumn>() + column.heap_bytes());
        let of_span = |span: &SpanSums| {
            let sums = span.sums.iter().map(|sums| size_of::<Sums>() + sums.heap_bytes());
            let calendar = span.calendar.as_ref().map_or(0, |calendar| calendar.heap_bytes());
            size_of::<SpanSums>() + calendar + sums.sum::<usize>()
        };
        size_of::<PartSums>() + columns.sum::<usize>() + self.spans.iter().map(of_span).sum::<usize>()
    }
}

/// What the sums of a question depend on: two questions with one key have the same sums.
///
/// 1. The scope is in it, with the number of the workspace. So no tenant gets the sums of another one.
/// 2. The parts of both spans are in it, by numbers that are never used again. So no merge, new part or damaged part
///    leaves sums that are out of date.
// A hash, since a scope has up to 200,000 links. Of 256 bits, so that nobody finds two questions with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuestionKey([u8; 32]);

impl QuestionKey {
    /// Returns the key of a question about these parts. `links` is a number that changes with each record of a link.
    pub fn of(question: &ClickQuestion, parts: &[Arc<ClickPart>], links: u64) -> QuestionKey {
        // Destructured, so that a new field of a question cannot be forgotten here.
        let ClickQuestion { scope, span: _, zone, granularity, visits, filters, breakdowns, previous: _ } =
            question;
        let spans = question.spans();
        let mut hasher = Sha256Hasher::default();
        // Slots, and not milliseconds: the sums of a whole quarter of an hour have one key.
        spans.hash(&mut hasher);
        // Limits and offsets choose rows of the same sums.
        for breakdown in breakdowns {
            breakdown.by.hash(&mut hasher);
        }
        breakdowns.len().hash(&mut hasher);
        (scope, granularity, visits, filters).hash(&mut hasher);
        match zone.iana_name() {
            Some(name) => name.hash(&mut hasher),
            None => format!("{zone:?}").hash(&mut hasher),
        }
        if question.reads_links() {
            links.hash(&mut hasher);
        }
        for part in parts {
            let (first, last) = (part.header().first.0, part.header().last.0);
            // Other parts are not read, and a new one leaves the sums of last month as they are.
            if spans.iter().any(|slots| first < slots.end && slots.start <= last) {
                part.serial().hash(&mut hasher);
            }
        }
        QuestionKey(hasher.0.finalize().into())
    }
}

/// Feeds the bytes of [`Hash`] into SHA-256.
#[derive(Default)]
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // The first bytes of the digest. The key takes all of them.
        let digest: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes(*digest.first_chunk().expect("32 bytes"))
    }
}
