//! [`ShortCode`]: the path of a short URL, in its one canonical spelling.
//!
//! All spellings of a code (percent-escapes, NFC or NFD, emoji with or without a selector of their style)
//! parse to the same value, so that all of them reach one link, one counter and one limit.

use std::borrow::{Borrow, Cow};
use std::fmt;

use percent_encoding::percent_decode_str;
use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{
    EmojiStatus, GeneralCategory, GeneralCategoryGroup, UnicodeEmoji, UnicodeGeneralCategory,
};

use crate::model::{Invalid, text};

/// Longest code in characters, after normalisation: enough for words in a URL, and few enough for a key of
/// the table. Past it: rejected.
pub const MAX_CHARS: usize = 128;

/// Longest path that can be a code: [`MAX_CHARS`] characters of four bytes, each percent-escaped, with at
/// most three characters each in decomposed form. A longer path is not decoded.
const MAX_RAW_BYTES: usize = MAX_CHARS * 4 * 3 * 3;

/// First path segments that Waypost uses itself. They are never codes.
pub const RESERVED: &[&str] = &[
    "api",
    "links",
    "snapshots",
    "locations",
    "healthz",
    "readyz",
    "metrics",
    ".well-known",
    "robots.txt",
    "favicon.ico",
    "assets",
    "admin",
];

const ZERO_WIDTH_JOINER: char = '\u{200d}';
/// Selectors of the colored and of the plain form of an emoji. Keyboards, messengers and fonts add and drop
/// them.
const EMOJI_STYLE: char = '\u{fe0f}';
const TEXT_STYLE: char = '\u{fe0e}';
/// Makes a keycap of the digit before it.
const KEYCAP: char = '\u{20e3}';

/// The flags of England, Scotland and Wales: a black flag and the letters of the country, which show nothing alone.
/// Unicode recommends no others (UTS 51, RGI emoji tag sequences), and fonts show others as the black flag.
const FLAGS: [&str; 3] = [
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
];

/// A valid short code in NFC, without selectors of the style of emoji. It is not in lower case: its domain
/// decides whether case matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortCode(Box<str>);

impl ShortCode {
    /// Parses a custom code.
    ///
    /// A code has 1 to [`MAX_CHARS`] characters after NFC: ASCII letters, digits and `-_.~`, Unicode letters
    /// (with their combining marks), digits, emoji. `.`, `..` and reserved words are rejected.
    pub fn parse(text: &str) -> Result<ShortCode, Invalid> {
        // More than allowed, so that an overlong text is found without normalising all of it. Each character
        // may have a selector behind it.
        let given: String = text.nfc().take(2 * MAX_CHARS + 1).collect();
        let code = without_style(&given);
        if given.is_empty() {
            return Err(rejected("must not be empty"));
        }
        if code.chars().count() > MAX_CHARS {
            return Err(rejected("must be at most 128 characters"));
        }
        // A browser would request another path, and the link could not be opened.
        if code == "." || code == ".." {
            return Err(rejected("must not be \".\" or \"..\", which browsers remove from a URL"));
        }
        // Folded: a domain that ignores case stores `link\u{17f}` as `links`.
        if is_reserved(&text::folded(&code)) {
            let words = RESERVED.join(", ");
            let why = format!("is reserved for a path of Waypost: choose another code; reserved are {words}");
            return Err(rejected(&why));
        }
        // With its selectors: they are allowed behind emoji only.
        if !all_allowed(&given) {
            let is_keycap = code.contains("#\u{20e3}") || code.contains("*\u{20e3}");
            return Err(rejected(if is_keycap {
                "must not contain the keycap emoji of # and *: a path cannot have these characters"
            } else {
                "must consist of letters, digits, emoji and the characters - _ . ~"
            }));
        }
        Ok(ShortCode(code.into()))
    }

    /// Returns the code of a stored text without checks. The rules may have become stricter since the text
    /// was parsed; a stored link keeps working.
    pub fn from_stored(text: &str) -> ShortCode {
        ShortCode(text.into())
    }

    /// Returns the text, in NFC.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the code with its case folded, for domains that ignore case: Unicode simple case folding,
    /// which maps letters of all scripts, and each to one letter.
    #[must_use]
    pub fn folded(self) -> ShortCode {
        match text::folded(&self.0) {
            Cow::Borrowed(_) => self,
            Cow::Owned(folded) => ShortCode(folded.into()),
        }
    }

    /// Returns the code in the spelling that [`ShortCode::parse`] returns today. A stored code may be of an
    /// earlier version.
    #[must_use]
    pub fn respelled(&self) -> ShortCode {
        ShortCode::parse(&self.0).unwrap_or_else(|_| self.clone())
    }

    /// Returns the spelling with which earlier versions stored this code as a keyboard sends it, or `None` if
    /// it is the same: each emoji that is plain by default has a selector behind it.
    pub fn with_emoji_style(&self) -> Option<ShortCode> {
        with_emoji_style(&self.0).map(|code| ShortCode(code.into()))
    }
}

impl Borrow<str> for ShortCode {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the canonical spelling of the code in a request path (without its leading slash), or `None` if the
/// path is not a code. Only scans the plain codes of nearly all requests, without a copy.
pub fn canonical(raw: &str) -> Option<Cow<'_, str>> {
    if raw.bytes().all(is_plain) {
        return plain_code(raw);
    }
    // Before decoding, which costs time and memory in proportion to the path.
    if raw.len() > MAX_RAW_BYTES {
        return None;
    }
    // Not lossy: two invalid paths must not become one code with U+FFFD.
    normal(percent_decode_str(raw).decode_utf8().ok()?)
}

/// Splits a path like [`first_segment`]. Returns also the canonical spelling of the segment, as [`canonical`] does.
// One pass over the plain code of nearly every request, in place of two.
pub fn first_code(path: &str) -> (Option<Cow<'_, str>>, &str, &str) {
    let end = path.bytes().position(|byte| !is_plain(byte)).unwrap_or(path.len());
    let (segment, rest) = match path.as_bytes().get(end) {
        None => (path, ""),
        Some(b'/') => (&path[..end], &path[end + 1..]),
        Some(_) => {
            let (segment, rest) = first_segment(path);
            return (canonical(segment), segment, rest);
        }
    };
    (plain_code(segment), segment, rest)
}

/// Returns the canonical spelling of a segment of plain bytes.
fn plain_code(segment: &str) -> Option<Cow<'_, str>> {
    // Plain bytes are characters, in NFC, and allowed: nothing else is to be checked.
    let is_code = !segment.is_empty() && segment.len() <= MAX_CHARS && segment != "." && segment != "..";
    is_code.then_some(Cow::Borrowed(segment))
}

/// Returns the canonical spelling of a decoded text, or `None` if the text is not a code.
fn normal(decoded: Cow<'_, str>) -> Option<Cow<'_, str>> {
    // The table contains only codes that `parse` accepted, so another spelling cannot name a link.
    let given = if is_nfc(&decoded) { decoded } else { decoded.nfc().collect::<String>().into() };
    if !all_allowed(&given) {
        return None;
    }
    let normal = if given.contains([EMOJI_STYLE, TEXT_STYLE]) { without_style(&given).into() } else { given };
    let fits = !normal.is_empty() && normal.chars().count() <= MAX_CHARS;
    (fits && normal != "." && normal != "..").then_some(normal)
}

/// Returns the spellings of a path that earlier versions stored, without the canonical one: emoji with the
/// selectors of the path or with those of a keyboard, and, on a domain that ignores case, capitals beyond
/// ASCII.
pub fn earlier_spellings(raw: &str, canonical: &str, ignores_case: bool) -> Vec<String> {
    let Ok(decoded) = percent_decode_str(raw).decode_utf8() else { return Vec::new() };
    let mut given: String = decoded.nfc().collect();
    if ignores_case {
        given.make_ascii_lowercase();
    }
    let mut spellings: Vec<String> = with_emoji_style(canonical).into_iter().chain([given]).collect();
    spellings.retain(|spelling| spelling != canonical);
    spellings
}

fn without_style(code: &str) -> String {
    code.chars().filter(|c| !matches!(*c, EMOJI_STYLE | TEXT_STYLE)).collect()
}

fn with_emoji_style(code: &str) -> Option<String> {
    // Emoji by Unicode that a font shows without color, unless the selector follows.
    let is_plain = |c: char| {
        !c.is_ascii() && matches!(c.emoji_status(), EmojiStatus::EmojiOther | EmojiStatus::EmojiModifierBase)
    };
    if !code.contains(is_plain) {
        return None;
    }
    let mut styled = String::with_capacity(2 * code.len());
    for c in code.chars() {
        styled.push(c);
        if is_plain(c) {
            styled.push(EMOJI_STYLE);
        }
    }
    Some(styled)
}

/// Returns the codes that a request path may mean if the sentence around a short URL ended with punctuation, a
/// quote or a blank that became part of the path. The first candidate lacks the characters that no code can
/// have, the second also the dots before and after them. For paths without a link: a code may end in a dot.
pub fn without_punctuation(raw: &str) -> impl Iterator<Item = String> {
    let decoded = if raw.len() > MAX_RAW_BYTES { None } else { percent_decode_str(raw).decode_utf8().ok() };
    let decoded = decoded.unwrap_or_default();
    let code = |kept: Option<&str>| kept.and_then(|kept| normal(Cow::Borrowed(kept))).map(Cow::into_owned);
    let (outer, inner) = (code(trimmed(&decoded, false)), code(trimmed(&decoded, true)));
    // Equal without a dot: one look-up is enough.
    let inner = inner.filter(|inner| outer.as_ref() != Some(inner));
    outer.into_iter().chain(inner)
}

/// Returns the code in front of the plus sign at the end of a request path, or in front of a plus sign with punctuation
/// behind it.
pub fn before_plus(raw: &str) -> Option<String> {
    let decoded = if raw.len() > MAX_RAW_BYTES { None } else { percent_decode_str(raw).decode_utf8().ok() }?;
    let kept = trimmed(&decoded, true).unwrap_or(&decoded);
    normal(Cow::Borrowed(kept.strip_suffix('+')?)).map(Cow::into_owned)
}

/// Returns whether a path behind a code is no path, but the punctuation of a sentence: `/code/,`.
pub fn is_punctuation(rest: &str) -> bool {
    // More bytes are more characters than a sentence has at its end.
    let fits = rest.len() <= TRAILING_MAX * 4 * 3;
    let decoded = Some(rest).filter(|_| fits).and_then(|rest| percent_decode_str(rest).decode_utf8().ok());
    decoded.is_some_and(|decoded| trimmed(&decoded, true) == Some(""))
}

/// Returns a decoded text without the punctuation at its end, or `None` if there is none or too much.
pub(crate) fn trimmed(decoded: &str, dots_too: bool) -> Option<&str> {
    let kept = decoded.trim_end_matches(|c| ends_sentence(c) || (dots_too && c == '.'));
    (1..=TRAILING_MAX).contains(&decoded[kept.len()..].chars().count()).then_some(kept)
}

/// Most characters at the end of a path that are left out of its code: a sentence has a few. Past it, the path
/// names no link.
const TRAILING_MAX: usize = 8;

/// Returns whether a character ends a sentence, closes a quote or bracket, ends a line, is blank or invisible, or is a
/// symbol without being an emoji. No code has such a character at its end.
fn ends_sentence(c: char) -> bool {
    if matches!(c, '\u{e0020}'..='\u{e007f}') {
        // The end of a flag.
        return false;
    }
    if c.is_ascii() {
        // All marks that no code has, but for `+`, which has a meaning of its own, and `/`. Of the controls, programs
        // copy those that end a line or a cell.
        let is_mark = c.is_ascii_punctuation() && !matches!(c, '-' | '_' | '.' | '~' | '+' | '/');
        return is_mark || matches!(c, ' ' | '\t' | '\n' | '\r');
    }
    // A selector behind a plain code: keyboards add it to characters that may be emoji.
    let is_invisible =
        c.general_category() == GeneralCategory::Format || matches!(c, EMOJI_STYLE | TEXT_STYLE);
    is_invisible
        || match c.general_category_group() {
            GeneralCategoryGroup::Punctuation | GeneralCategoryGroup::Separator => true,
            // Accents, signs of full width and lines of tables.
            GeneralCategoryGroup::Symbol => !c.is_emoji_char(),
            _ => false,
        }
}

fn rejected(why: &str) -> Invalid {
    Invalid::new("shortCode", why)
}

/// Returns whether `code` is a reserved first segment in any case: on a domain that ignores case, `API` would
/// be `api`.
pub fn is_reserved(code: &str) -> bool {
    RESERVED.iter().any(|word| code.eq_ignore_ascii_case(word))
}

/// Returns whether a path, without its leading slash, begins with the first letter of a reserved word in either
/// case. Most codes do not, so one look at a table spares each of them the comparisons with the words.
pub fn may_be_reserved(path: &str) -> bool {
    path.as_bytes().first().is_some_and(|byte| BEGINS_RESERVED[usize::from(*byte)])
}

const BEGINS_RESERVED: [bool; 256] = {
    let mut begins = [false; 256];
    let mut at = 0;
    while at < RESERVED.len() {
        let first = RESERVED[at].as_bytes()[0];
        begins[first.to_ascii_lowercase() as usize] = true;
        begins[first.to_ascii_uppercase() as usize] = true;
        at += 1;
    }
    begins
};

/// Returns whether a byte needs no decoding. A table, since this runs for every byte of every request's code.
fn is_plain(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        plain[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        byte += 1;
    }
    plain
};

/// Splits a path without its leading slash at the first slash. Faster than `split_once`, whose search is
/// optimised for long texts.
pub fn first_segment(path: &str) -> (&str, &str) {
    match path.bytes().position(|byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (path, ""),
    }
}

/// The previous character, which decides what may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Start of the code, an ASCII character or a digit.
    Plain,
    /// An ASCII digit: a keycap may follow.
    Digit,
    /// A selector behind a digit: only a keycap may follow.
    DigitStyle,
    /// A selector behind an emoji: as behind the emoji, without another selector.
    Style,
    /// A letter beyond ASCII or a mark on one: marks may follow.
    Letter,
    /// An emoji: a variation selector or a joiner may follow.
    Emoji,
    /// A joiner: only an emoji may follow.
    Joiner,
}

/// Returns whether every character is allowed in its place. Invisible characters make two codes look alike: a
/// joiner and the emoji selector are allowed only where an emoji sequence needs them, and every other format
/// character nowhere.
fn all_allowed(code: &str) -> bool {
    if code.contains('\u{e007f}') {
        let plain = FLAGS.iter().fold(code.to_owned(), |code, flag| code.replace(flag, "\u{1f3f4}"));
        return !plain.contains('\u{e007f}') && all_allowed(&plain);
    }
    let mut before = Before::Plain;
    for c in code.chars() {
        let is_emoji = !c.is_ascii() && c.is_emoji_char();
        before = match c {
            // The selector and the joiner only after an emoji: anywhere else both are invisible.
            EMOJI_STYLE | TEXT_STYLE if before == Before::Emoji => Before::Style,
            EMOJI_STYLE if before == Before::Digit => Before::DigitStyle,
            KEYCAP if matches!(before, Before::Digit | Before::DigitStyle) => Before::Plain,
            _ if before == Before::DigitStyle => return false,
            ZERO_WIDTH_JOINER if matches!(before, Before::Emoji | Before::Style) => Before::Joiner,
            // ASCII digits are emoji characters by Unicode, so only characters beyond ASCII get here.
            _ if is_emoji => Before::Emoji,
            _ if before == Before::Joiner => return false,
            _ if c.is_ascii_digit() => Before::Digit,
            _ if c.is_ascii() => match u8::try_from(c) {
                Ok(byte) if is_plain(byte) => Before::Plain,
                _ => return false,
            },
            // Variation selectors are marks by category, and invisible.
            '\u{fe00}'..='\u{fe0e}' | '\u{e0100}'..='\u{e01ef}' => return false,
            _ => match c.general_category_group() {
                GeneralCategoryGroup::Letter if !is_blank_letter(c) => Before::Letter,
                // A mark on an ASCII letter has no NFC form here: it would draw over the letter, as in
                // `a\u{338}`.
                GeneralCategoryGroup::Mark if before == Before::Letter && !is_blank_mark(c) => Before::Letter,
                GeneralCategoryGroup::Number => Before::Plain,
                _ => return false,
            },
        };
    }
    // At the end both are invisible.
    !matches!(before, Before::Joiner | Before::DigitStyle)
}

/// Returns whether a character is a Hangul filler or a blank hieroglyph: a letter by category, blank on the
/// screen.
fn is_blank_letter(c: char) -> bool {
    matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{13441}' | '\u{13442}')
}

/// Returns whether a character is the combining grapheme joiner, a Khmer inherent vowel, a Mongolian selector
/// or the Khitan filler: a mark by category, blank on the screen.
fn is_blank_mark(c: char) -> bool {
    matches!(c, '\u{034f}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{16fe4}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn m1_punctuation_behind_a_code_is_left_out() {
        let rows: [(&str, &[&str]); 39] = [
            ("code", &[]),
            ("code.", &["code"]),
            ("code...", &["code"]),
            ("code,", &["code"]),
            ("code)", &["code"]),
            ("code).", &["code"]),
            // A code may end in a dot.
            ("code.)", &["code.", "code"]),
            ("code%22", &["code"]),
            ("code%E2%80%8B", &["code"]),
            ("code%20", &["code"]),
            ("code%C2%A0", &["code"]),
            ("code%E2%80%9D", &["code"]),
            ("code%C2%BB.", &["code"]),
            ("code%E3%80%8D", &["code"]),
            ("code%E3%80%82", &["code"]),
            ("caf%65%CC%81!", &["caf\u{e9}"]),
            // `+` and the other characters of codes are part of the path.
            ("code+", &[]),
            ("code-", &[]),
            ("code,more", &[]),
            ("code,,,,,,,,", &["code"]),
            ("code,,,,,,,,,", &[]),
            ("...", &[]),
            // Decoded once.
            ("%2541,", &[]),
            ("code%00", &[]),
            ("code%0A", &["code"]),
            ("code%0D%0A", &["code"]),
            ("code%09", &["code"]),
            ("code.%0A", &["code.", "code"]),
            ("code\u{b4}", &["code"]),
            ("code\u{ff1e}", &["code"]),
            ("code\u{ff1c}", &["code"]),
            ("code\u{ff40}", &["code"]),
            ("code%E2%94%82", &["code"]),
            ("code%EF%B8%8F", &["code"]),
            ("1%EF%B8%8F.", &["1"]),
            // An emoji is a part of the code.
            ("code%E2%9D%A4%EF%B8%8F,", &["code\u{2764}"]),
            ("code\u{1f3fb},", &["code\u{1f3fb}"]),
            // No UTF-8.
            ("code%E2%80", &[]),
            ("", &[]),
        ];
        for (raw, want) in rows {
            assert_eq!(without_punctuation(raw).collect::<Vec<_>>(), want, "{raw}");
        }
    }

    #[test]
    fn m1_a_path_of_punctuation_is_no_path() {
        for rest in [",", ")", "%22", ".", "%E2%80%9D.", "%0A", "%"] {
            assert!(is_punctuation(rest), "{rest}");
        }
        for rest in ["", "a", "a,", ",a", "/,", ",,,,,,,,,", "%E2%80", "+"] {
            assert!(!is_punctuation(rest), "{rest}");
        }
    }

    #[test]
    fn valid_codes_are_accepted() {
        for text in [
            "a",
            "Ab9",
            "my-campaign",
            "a_b.c~d",
            ".hidden",
            // Browsers remove only one or two dots.
            "...",
            "straße",
            "日本語",
            // England and Wales.
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "a\u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}-1",
            "ünï",
            "код",
            "हिन्दी",
            "café٣",
            "🚀",
            "a🚀b",
            "👩\u{200d}💻",
            "👍🏽",
            "1\u{20e3}0",
            "🇩🇪",
            &"x".repeat(128),
            // 128 characters in 256 bytes: the bound counts characters.
            &"é".repeat(128),
            // Only whole reserved words are rejected.
            "apis",
            "linksx",
        ] {
            assert_eq!(ShortCode::parse(text).as_ref().map(ShortCode::as_str), Ok(text), "{text}");
        }
    }

    #[test]
    fn f17_emoji_with_and_without_style_are_one_code() {
        for (styled, plain) in [
            ("❤\u{fe0f}", "❤"),
            ("☎\u{fe0f}", "☎"),
            ("☀\u{fe0e}", "☀"),
            ("©\u{fe0f}", "©"),
            ("♥\u{fe0f}☎\u{fe0f}💻❤\u{fe0f}", "♥☎💻❤"),
            ("❤\u{fe0f}\u{200d}🔥", "❤\u{200d}🔥"),
            ("1\u{fe0f}\u{20e3}", "1\u{20e3}"),
        ] {
            assert_eq!(ShortCode::parse(styled).as_ref().map(ShortCode::as_str), Ok(plain));
            let raw =
                percent_encoding::utf8_percent_encode(styled, percent_encoding::NON_ALPHANUMERIC).to_string();
            assert_eq!(canonical(&raw).as_deref(), Some(plain));
            assert!(
                earlier_spellings(&raw, plain, false).iter().any(|earlier| earlier == styled),
                "{styled}"
            );
        }
        // A code of an earlier version is found without the selector as well.
        assert_eq!(earlier_spellings("%E2%9D%A4", "❤", false), ["❤\u{fe0f}"]);
        // Each character may have a selector, and only letters count.
        assert!(ShortCode::parse(&"❤\u{fe0f}".repeat(128)).is_ok());
        for keycap in ["#\u{fe0f}\u{20e3}", "*\u{20e3}", "a#\u{fe0f}\u{20e3}b"] {
            let error = ShortCode::parse(keycap).expect_err(keycap);
            assert!(error.why.contains("keycap emoji of # and *"), "{error}");
        }
        for bad in ["1\u{fe0f}", "❤\u{fe0f}\u{fe0f}", "1\u{fe0f}a", "a\u{fe0e}", "1\u{20e3}\u{fe0f}"] {
            assert!(ShortCode::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_character_of_a_code_folds_to_one_of_a_code() {
        for c in char::MIN..=char::MAX {
            let Ok(code) = ShortCode::parse(&format!("a{c}")) else { continue };
            let folded = code.folded();
            assert_eq!(ShortCode::parse(folded.as_str()), Ok(folded.clone()), "{c}");
        }
    }

    #[test]
    fn a6_case_is_folded_in_all_scripts() {
        let folded = |text: &str| ShortCode::parse(text).map(|code| code.folded().to_string());
        for text in ["ÉTÉ", "Été", "E\u{301}te\u{301}"] {
            assert_eq!(folded(text).as_deref(), Ok("été"));
        }
        assert_eq!(folded("ΣΟΦΟΣ"), folded("σοφος"));
        assert_ne!(folded("straße"), folded("strasse"));
        assert!(ShortCode::parse("link\u{17f}").is_err(), "it would be folded to `links`");
        assert_eq!(earlier_spellings("%C3%89T%C3%89", "été", true), ["ÉtÉ"]);
    }

    /// Rejects spellings that browsers rewrite, reserved words, and invisible characters.
    #[test]
    fn t54_invalid_codes_are_rejected() {
        const RULE: &str = "is reserved for a path of Waypost: choose another code; reserved are api, links, snapshots, \
                            locations, healthz, readyz, metrics, .well-known, robots.txt, favicon.ico, assets, admin";
        let chars = "must consist of letters, digits, emoji and the characters - _ . ~";
        let rows = [
            ("", "must not be empty"),
            (".", "must not be \".\" or \"..\", which browsers remove from a URL"),
            ("..", "must not be \".\" or \"..\", which browsers remove from a URL"),
            ("api", RULE),
            // On a domain that ignores case it would be `api`.
            ("API", RULE),
            (".well-known", RULE),
            ("favicon.ico", RULE),
            ("a/b", chars),
            ("a%2fb", chars),
            ("a b", chars),
            ("a\\b", chars),
            ("a\u{200b}", chars),
            // A joiner outside of an emoji sequence is invisible.
            ("a\u{200d}b", chars),
            ("\u{202e}abc", chars),
            ("a\u{fe0f}", chars),
            ("🚀\u{200d}", chars),
            ("🚀\u{200d}a", chars),
            ("a\u{0338}", chars),
            // A letter by category, blank on the screen.
            ("\u{3164}", chars),
            ("a\u{ad}b", chars),
            ("a\0", chars),
            (".well-known/x", chars),
            ("a/../b", chars),
            ("Robots.TXT", RULE),
            // NFC turns the Kelvin sign into `K`.
            ("lin\u{212a}s", RULE),
            ("metrics", RULE),
            ("a\u{200c}b", chars),
            ("a\u{2060}", chars),
            ("\u{feff}a", chars),
            ("a\u{61c}", chars),
            ("a\u{2066}b", chars),
            ("a\u{2028}b", chars),
            ("a\u{3000}", chars),
            ("a\u{a0}b", chars),
            ("a\u{85}b", chars),
            ("a\u{9b}b", chars),
            ("a\u{1b}", chars),
            ("a\u{7f}", chars),
            ("a\u{fffd}", chars),
            ("a\u{fff9}", chars),
            // Private use and unassigned: each font shows something else.
            ("a\u{e000}", chars),
            ("a\u{378}", chars),
            ("a\u{e0061}", chars),
            ("\u{1f3f4}\u{e0067}\u{e0062}\u{e007f}", chars),
            ("\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}", chars),
            ("\u{1f680}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}", chars),
            ("\u{e007f}", chars),
            ("\u{e9}\u{e0100}", chars),
            ("\u{2800}", chars),
            ("\u{115f}", chars),
            ("\u{ffa0}", chars),
            ("\u{13441}", chars),
            ("\u{e9}\u{16fe4}", chars),
            ("\u{1d159}", chars),
            ("\u{e9}\u{34f}", chars),
            ("a\u{301}\u{200d}", chars),
            ("\u{1f680}\u{200d}\u{200d}\u{1f680}", chars),
            ("\u{200d}\u{1f680}", chars),
            ("\u{fe0f}", chars),
            ("a\u{20e3}", chars),
            ("a\u{2f}b", chars),
            // Characters that look like a slash or, after normalisation, are a separator.
            ("a\u{ff0f}b", chars),
            ("a\u{2215}b", chars),
            ("a\u{37e}b", chars),
            ("a:b", chars),
            ("a@b", chars),
            ("a,b", chars),
            ("a&b", chars),
            ("a'b", chars),
            ("<b>", chars),
            ("{{x}}", chars),
            // Some programs read a plus sign as a space.
            ("a+b", chars),
            ("a?b", chars),
            ("a#b", chars),
            ("€", chars),
        ];
        for (text, why) in rows {
            let error = ShortCode::parse(text).map_err(|e| e.why);
            assert_eq!(error, Err(why.to_owned()), "{text:?}");
        }
        let long = ShortCode::parse(&"é".repeat(129)).map_err(|e| e.to_string());
        assert_eq!(long, Err("shortCode: must be at most 128 characters".to_owned()));
        // Far past the bound: `take` must not cut it to a valid code.
        assert!(ShortCode::parse(&"x".repeat(256)).is_err());
        // Both spellings have the same length in NFC.
        assert_eq!(ShortCode::parse(&"e\u{301}".repeat(128)), ShortCode::parse(&"\u{e9}".repeat(128)));
        // Codes that look alike are two codes: Cyrillic and Latin, full width and ASCII.
        for (one, other) in [("\u{430}", "a"), ("\u{ff41}\u{ff50}\u{ff49}", "api2"), ("\u{131}", "i")] {
            let other = ShortCode::parse(other);
            assert!(ShortCode::parse(one).is_ok_and(|code| Ok(code.folded()) != other), "{one}");
        }
    }

    #[test]
    fn both_normal_forms_are_one_code() {
        let nfc = ShortCode::parse("caf\u{e9}");
        assert_eq!(nfc, ShortCode::parse("cafe\u{301}"));
        assert_eq!(canonical("caf%C3%A9").as_deref(), Some("caf\u{e9}"));
        assert_eq!(canonical("cafe%CC%81").as_deref(), Some("caf\u{e9}"));
    }

    #[test]
    fn paths_that_are_no_code() {
        for raw in [
            "", ".", "..", "%2e", "%2E%2e", "a/b", "a%2fb", "%ff", "%00", "%zz", "%", "a%20", "a;x", "%c0%ae",
        ] {
            assert_eq!(canonical(raw), None, "{raw}");
        }
        // 200 characters after decoding.
        assert_eq!(canonical(&"%61".repeat(200)), None);
        assert_eq!(canonical(&"a".repeat(20_000)), None);
    }

    #[test]
    fn escapes_of_plain_characters_are_aliases() {
        assert_eq!(canonical("a%62c").as_deref(), Some("abc"));
        assert!(matches!(canonical("abc"), Some(Cow::Borrowed("abc"))));
    }

    proptest! {
        #[test]
        fn a_parsed_code_is_found_in_any_spelling(text in "\\PC{0,20}") {
            if let Ok(code) = ShortCode::parse(&text) {
                prop_assert_eq!(ShortCode::parse(code.as_str()), Ok(code.clone()));
                let escaped = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC).to_string();
                let by_escaped = canonical(&escaped);
                prop_assert_eq!(by_escaped.as_deref(), Some(code.as_str()));
                let by_itself = canonical(code.as_str());
                prop_assert_eq!(by_itself.as_deref(), Some(code.as_str()));
            }
        }

        #[test]
        fn canonical_never_panics(raw in "[%a-f0-9A-Z./é🚀\u{200d}\\x00-\\x7f]{0,60}") {
            if let Some(code) = canonical(&raw) {
                let again = canonical(&code).map(Cow::into_owned);
                prop_assert_eq!(again.as_deref(), Some(&*code));
            }
        }
    }
}
