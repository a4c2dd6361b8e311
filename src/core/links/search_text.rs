//! The text of a link in which searches look: one string with all fields that [`super::search`] compares, folded once.
//!
//! Each field begins with a [`FieldMark`], a byte that UTF-8 never has: so no occurrence spans two fields, and an occurrence
//! finds what its field is by a step back to the mark.

use std::borrow::Cow;

use memchr::memchr2_iter;
use percent_encoding::percent_decode_str;

use crate::model::link::Link;
use crate::model::text::searchable;

/// The beginning of each label of a host with other letters than ASCII.
pub(super) const PUNYCODE: &str = "xn--";

/// What a field of the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldMark {
    /// A code, the title or a destination.
    Field,
    /// The URL before it, as people read it.
    Decoded,
    /// A name or value of the UTM parameters.
    Parameter,
    /// The destination with the UTM parameters.
    Target,
}

impl FieldMark {
    const ALL: [(u8, FieldMark); 4] = [
        (0xff, FieldMark::Field),
        (0xfe, FieldMark::Decoded),
        (0xfd, FieldMark::Parameter),
        (0xfc, FieldMark::Target),
    ];

    /// Returns the mark of a byte, `None` for a byte of a field.
    pub(super) fn of(byte: u8) -> Option<FieldMark> {
        // Most bytes are compared once.
        if byte < 0xfc {
            return None;
        }
        FieldMark::ALL.iter().find(|(known, _)| *known == byte).map(|(_, mark)| *mark)
    }

    fn byte(self) -> u8 {
        FieldMark::ALL.iter().find(|(_, mark)| *mark == self).map_or(0xff, |(byte, _)| *byte)
    }
}

/// Returns the mark of the field with the byte before `at`, or at `at`, and where the field begins.
pub(super) fn field_at(text: &[u8], at: usize) -> Option<(FieldMark, usize)> {
    let start = text[..at].iter().rposition(|byte| FieldMark::of(*byte).is_some())?;
    Some((FieldMark::of(text[start])?, start))
}

/// What [`write()`] has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::core) struct WrittenText {
    /// Whether all its fields have the same mark, so that each occurrence counts.
    pub(in crate::core) is_plain: bool,
    /// The bytes of the title, from the beginning of the text.
    pub(in crate::core) title: Option<std::ops::Range<usize>>,
}

/// Appends the text of a link. The codes come first: that of the link, then those of its aliases.
pub(in crate::core) fn write(link: &Link, out: &mut Vec<u8>) -> WrittenText {
    let options = &link.options;
    let start = out.len();
    let mut written = WrittenText { is_plain: true, title: None };
    add(out, FieldMark::Field, link.code.as_str());
    link.aliases.iter().for_each(|alias| add(out, FieldMark::Field, alias.code.as_str()));
    if let Some(title) = &options.title {
        add(out, FieldMark::Field, title);
        // Folded twice, which is rare work: once for each change of a link.
        let length = searchable(title).len();
        written.title = Some(out.len() - start - length..out.len() - start);
    }
    for to in options.destinations() {
        written.is_plain &= !add_url(out, FieldMark::Field, to.as_str());
    }
    if !options.utm.is_empty() {
        // The parameters count only for some texts: see `LinkSearch::counts_at`.
        written.is_plain = false;
        for (name, value) in options.utm.pairs() {
            add(out, FieldMark::Parameter, name);
            add(out, FieldMark::Parameter, value);
        }
        add_url(out, FieldMark::Target, options.target().as_str());
    }
    written
}

fn add(out: &mut Vec<u8>, mark: FieldMark, text: &str) {
    out.push(mark.byte());
    out.extend_from_slice(searchable(text).as_bytes());
}

/// Appends a URL, and its form for people if that is another one. Returns whether it is.
fn add_url(out: &mut Vec<u8>, mark: FieldMark, url: &str) -> bool {
    add(out, mark, url);
    let is_encoded = memchr::memchr(b'%', url.as_bytes()).is_some() || has_punycode(url);
    if is_encoded {
        add(out, FieldMark::Decoded, &decoded(url));
    }
    is_encoded
}

/// Returns whether `text` has `needle`, which is in lower case, in any case.
pub(super) fn is_in_ascii(text: &[u8], needle: &[u8]) -> bool {
    let Some((&first, _)) = needle.split_first() else { return true };
    let Some(last) = text.len().checked_sub(needle.len()) else { return false };
    let upper = first.to_ascii_uppercase();
    // The first byte alone decides at nearly all positions.
    for at in memchr2_iter(first, upper, &text[..=last]) {
        if text[at..at + needle.len()].eq_ignore_ascii_case(needle) {
            return true;
        }
    }
    false
}

pub(super) fn has_punycode(url: &str) -> bool {
    is_in_ascii(url.as_bytes(), PUNYCODE.as_bytes())
}

/// Returns a URL as people read it: the host in Unicode, and the rest without escapes.
pub(super) fn decoded(url: &str) -> String {
    let url = decoded_host(url);
    percent_decode_str(&url).decode_utf8_lossy().into_owned()
}

/// Returns a URL with its host in Unicode.
pub(super) fn decoded_host(url: &str) -> Cow<'_, str> {
    let Some((scheme, behind)) = url.split_once("://").filter(|_| has_punycode(url)) else {
        return url.into();
    };
    let (host, rest) = behind.split_at(behind.find(['/', '?', '#', ':']).unwrap_or(behind.len()));
    let (host, _) = idna::domain_to_unicode(host);
    format!("{scheme}://{host}{rest}").into()
}
