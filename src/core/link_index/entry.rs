//! The bytes of a link in the index: what filters and orders compare, and its text for searches. Numbers are
//! little-endian.
//!
//! | bytes | content |
//! |---|---|
//! | 0 to 3 | length of the entry |
//! | 4 to 7 | slot |
//! | 8 to 11 | domain |
//! | 12 | [`Flags`](IS_ACTIVE) |
//! | 13 to 15 | numbers of tags, bytes of the campaign, aliases |
//! | 16 to 31 | creation, expiry |
//! | 32 to 43 | length of the text, place and length of the title |
//! | 44 to the end | tags, campaign, domains of the aliases, text, title if its order differs from its text |

use crate::core::links::search_text;
use crate::core::links::state_filter::StateFacts;
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::text::searchable;

const HEAD: usize = 44;

const IS_ACTIVE: u8 = 1;
const HAS_RULES: u8 = 2;
const HAS_TITLE: u8 = 4;
const IS_PLAIN: u8 = 8;

/// Appends the entry of a link.
pub(super) fn write(link: &Link, slot: u32, out: &mut Vec<u8>) {
    let (options, start) = (&link.options, out.len());
    // Written last, when all lengths are known.
    out.resize(start + HEAD, 0);
    let byte = |length: usize| u8::try_from(length).expect("bounds of a link: 50 tags, 64 bytes, 10 aliases");
    let counts = [
        byte(options.tags.len()),
        byte(options.campaign.as_ref().map_or(0, |campaign| campaign.as_str().len())),
        byte(link.aliases.len()),
    ];
    options.tags.iter().for_each(|tag| out.extend_from_slice(&tag.bits().to_le_bytes()));
    out.extend_from_slice(options.campaign.as_ref().map_or("", |campaign| campaign.as_str()).as_bytes());
    link.aliases.iter().for_each(|alias| out.extend_from_slice(&alias.domain.0.to_le_bytes()));
    let text_at = out.len();
    let written = search_text::write(link, out);
    let text_end = out.len();
    let title = place_of_title(link, written.title, text_at, out);
    let flags = [
        (IS_ACTIVE, options.is_active),
        (HAS_RULES, !options.branches().is_empty()),
        (HAS_TITLE, options.title.is_some()),
        (IS_PLAIN, written.is_plain),
    ];
    let flags = flags.iter().fold(0, |all, (flag, is_set)| if *is_set { all | flag } else { all });
    let entry = &mut out[start..];
    let length = entry.len();
    let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
    let number = |value: usize| u32::try_from(value).expect("a link has at most 416 KB").to_le_bytes();
    put(0, &number(length));
    put(4, &slot.to_le_bytes());
    put(8, &link.domain.0.to_le_bytes());
    put(12, &[flags]);
    put(13, &counts);
    let state = StateFacts::of(link);
    put(16, &state.created_at.to_le_bytes());
    put(24, &state.expires_at.to_le_bytes());
    put(32, &number(text_end - text_at));
    put(36, &number(title.start - start));
    put(40, &number(title.len()));
}

/// Returns where the title is as it is sorted. Appends it if the text has it otherwise.
fn place_of_title(
    link: &Link,
    written: Option<std::ops::Range<usize>>,
    text_at: usize,
    out: &mut Vec<u8>,
) -> std::ops::Range<usize> {
    let (Some(title), Some(range)) = (&link.options.title, written) else { return text_at..text_at };
    // Not the text of searches, which leaves invisible characters out: the order was by this form before.
    let sorted = title.to_lowercase();
    if *sorted == *searchable(title) {
        return text_at + range.start..text_at + range.end;
    }
    let end = out.len();
    out.extend_from_slice(sorted.as_bytes());
    end..out.len()
}

/// The entry of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexEntry<'a>(&'a [u8]);

impl<'a> IndexEntry<'a> {
    /// Returns the entry at the beginning of `bytes`, `None` if they end before it does.
    pub(super) fn first(bytes: &'a [u8]) -> Option<IndexEntry<'a>> {
        let length = IndexEntry::length(bytes)?;
        // An entry across the end of a block is read again with the next one.
        bytes.get(..length).map(IndexEntry)
    }

    /// Returns the length of the entry at the beginning of `bytes`.
    pub(super) fn length(bytes: &[u8]) -> Option<usize> {
        let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        // Never shorter than a head, so that a walk ends.
        Some(length.max(HEAD))
    }

    pub(super) fn bytes(self) -> usize {
        self.0.len()
    }

    pub(super) fn slot(self) -> u32 {
        self.number(4)
    }

    pub(super) fn domain(self) -> DomainNumber {
        DomainNumber(self.number(8))
    }

    pub(super) fn state(self) -> StateFacts {
        StateFacts {
            is_active: self.0[12] & IS_ACTIVE != 0,
            has_rules: self.0[12] & HAS_RULES != 0,
            created_at: i64::from_le_bytes(self.eight(16)),
            expires_at: i64::from_le_bytes(self.eight(24)),
        }
    }

    /// Returns whether each occurrence in the text counts.
    pub(super) fn is_plain(self) -> bool {
        self.0[12] & IS_PLAIN != 0
    }

    pub(super) fn tags(self) -> impl Iterator<Item = Id> {
        let ids = self.0[HEAD..].chunks_exact(16).take(self.0[13].into());
        ids.map(|id| Id::from_bits(u128::from_le_bytes(id.try_into().expect("16 bytes"))))
    }

    /// Returns the id of the campaign, empty without one.
    pub(super) fn campaign(self) -> &'a [u8] {
        let start = HEAD + 16 * usize::from(self.0[13]);
        &self.0[start..start + usize::from(self.0[14])]
    }

    /// Returns the domains of the code and of the aliases.
    pub(super) fn domains(self) -> impl Iterator<Item = DomainNumber> {
        let start = self.text_at() - 4 * usize::from(self.0[15]);
        let aliases = (0..usize::from(self.0[15])).map(move |at| DomainNumber(self.number(start + 4 * at)));
        std::iter::once(self.domain()).chain(aliases)
    }

    pub(super) fn text(self) -> &'a [u8] {
        let start = self.text_at();
        &self.0[start..start + self.number(32) as usize]
    }

    /// Returns the title in lower case.
    pub(super) fn title(self) -> Option<&'a [u8]> {
        let (start, length) = (self.number(36) as usize, self.number(40) as usize);
        // An empty title is a title, and is sorted before all others.
        (self.0[12] & HAS_TITLE != 0).then(|| &self.0[start..start + length])
    }

    fn text_at(self) -> usize {
        HEAD + 16 * usize::from(self.0[13]) + usize::from(self.0[14]) + 4 * usize::from(self.0[15])
    }

    fn number(self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    fn eight(self, at: usize) -> [u8; 8] {
        self.0[at..at + 8].try_into().expect("eight bytes")
    }
}
