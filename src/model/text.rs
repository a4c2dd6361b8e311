//! How texts are compared: Unicode spellings, case, and invisible characters.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::UnicodeEmoji;

/// Returns the text without invisible characters at its ends. Chat programs and word processors put them
/// there, and a person who pastes the text cannot see them. A selector stays behind its emoji, and so do the tags
/// of a flag.
pub fn trim_invisible(text: &str) -> &str {
    trim(text, |c| is_invisible(c) || is_blank_letter(c))
}

/// Returns the text without invisible characters and white space at its ends.
pub fn trim_blank(text: &str) -> &str {
    trim(text, |c| is_invisible(c) || is_blank_letter(c) || c.is_whitespace())
}

fn trim(text: &str, is_left_out: impl Fn(char) -> bool) -> &str {
    let mut kept = text.trim_start_matches(|c| is_left_out(c) || is_selector(c) || is_tag(c));
    while let Some(last) = kept.chars().next_back() {
        let before = &kept[..kept.len() - last.len_utf8()];
        let is_styled = || before.chars().next_back().is_some_and(is_emoji);
        let ends_flag = || last == FLAG_END && before.trim_end_matches(is_tag).ends_with(is_emoji);
        let stays = match last {
            _ if is_selector(last) => is_styled(),
            _ if is_tag(last) => ends_flag(),
            _ => !is_left_out(last),
        };
        if stays {
            break;
        }
        kept = before;
    }
    kept
}

/// Splits a text at the first `byte`, an ASCII character, like `split_once`. Faster for the short texts of a request: that
/// search is optimised for long ones.
pub fn split_at(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|other| other == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Returns the pieces of a text between each `byte`, an ASCII character, like `split`.
pub fn pieces(text: &str, byte: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (piece, behind) = split_at(text, byte).map_or((text, None), |(piece, rest)| (piece, Some(rest)));
        rest = behind;
        Some(piece)
    })
}

/// Returns whether a character shows nothing and means nothing at the end of a text. Selectors of emoji and
/// tags of flags are missing: they end what is visible.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}'
    )
}

/// Returns whether a character selects the style of the one before it, and shows nothing itself.
fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// The last character of a flag of tags (UTS 51).
const FLAG_END: char = '\u{e007f}';

/// Returns whether a character is a letter of a flag of tags, which shows nothing elsewhere, or begins a tag of a
/// language, which no program shows.
fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0001}' | '\u{e0020}'..=FLAG_END)
}

/// Returns whether a character is a letter or symbol by category, and blank on the screen.
fn is_blank_letter(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

fn is_emoji(c: char) -> bool {
    // Digits are emoji by Unicode, as the beginning of keycaps.
    !c.is_ascii() && c.is_emoji_char()
}

/// Returns the text in the form in which names of tags are compared: [`folded`], without what shows nothing,
/// and with one kind of blank. Joiners of emoji and the letters of flags stay: they show another emoji.
pub fn folded_name(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return folded(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut is_behind_emoji = false;
    for c in trim_blank(text).chars() {
        match c {
            _ if is_selector(c) => {}
            '\u{200d}' | '\u{e0020}'..='\u{e007f}' => {
                if is_behind_emoji {
                    shown.push(c);
                }
            }
            _ if is_invisible(c) => {}
            _ => {
                is_behind_emoji = is_emoji(c);
                shown.push(if c.is_whitespace() || is_blank_letter(c) { ' ' } else { c });
            }
        }
    }
    folded(&shown).into_owned().into()
}

/// Returns the text in the form in which names and codes are compared: NFC, with Unicode simple case folding,
/// which maps one character to one. So `ß` and `ss` stay two spellings.
pub fn folded(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return text.into();
    }
    // Normalised again: a folded letter and the mark behind it may have a composed form.
    text.nfc().map(fold).nfc().collect::<String>().into()
}

/// Returns the simple case folding of a character (`CaseFolding.txt`, status C and S): the lower case of its
/// upper case, where both are one character. So `ς` is `σ`, and `ſ` is `s`.
fn fold(c: char) -> char {
    // The upper case of dotless i is that of the dotted one, and the table leaves it alone. Ⓜ is the only emoji
    // with a lower case, which is no emoji.
    if matches!(c, 'ı' | 'Ⓜ') {
        return c;
    }
    let upper = only(c.to_uppercase()).unwrap_or(c);
    only(upper.to_lowercase()).or_else(|| only(c.to_lowercase())).unwrap_or(c)
}

fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    chars.next().filter(|_| chars.next().is_none())
}

/// Returns the text as searches compare it: NFC, in lower case, without what shows nothing, with one kind of blank,
/// and with one sigma: the last one of a word is another letter in lower case, and a search may end within the word.
pub fn searchable(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|b| b.is_ascii_uppercase()) {
            text.to_ascii_lowercase().into()
        } else {
            text.into()
        };
    }
    let shown = text.chars().filter(|c| !is_selector(*c) && !is_invisible(*c));
    let shown: String = shown.map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let lower = shown.to_lowercase().replace('ς', "σ");
    // After the lower case: a lower letter and the mark behind it may have a composed form.
    if is_nfc(&lower) { lower.into() } else { lower.nfc().collect::<String>().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_those_of_split() {
        for text in ["", ",", "a", "a,b", ",a,,b,", "\u{e9},\u{2c}x", "no"] {
            assert_eq!(split_at(text, b','), text.split_once(','), "{text}");
            assert_eq!(pieces(text, b',').collect::<Vec<_>>(), text.split(',').collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn f21_spellings_of_one_word_fold_alike() {
        let rows = [
            ("Größe", "Gro\u{308}ße", true),
            ("Été", "E\u{301}te\u{301}", true),
            ("SUMMER", "summer", true),
            ("ΟΔΟΣ", "οδος", true),
            ("ΟΔΟΣ", "οδοσ", true),
            ("ÉTÉ", "été", true),
            ("ẞ", "ß", true),
            ("ſ", "S", true),
            ("パン", "ハ\u{309a}ン", true),
            ("haló", "halo", false),
            ("ı", "i", false),
            // Full folding would make these equal, and lengthen the text.
            ("ß", "ss", false),
        ];
        for (one, other, equal) in rows {
            assert_eq!(folded(one) == folded(other), equal, "{one} {other}");
            assert_eq!(folded(&folded(one)), folded(one), "{one}");
        }
    }

    #[test]
    fn f15_a_part_of_a_word_is_in_the_word() {
        for (whole, part) in [
            ("ΚΑΛΟΚΑΙΡΙΣΜΑ", "ΚΑΛΟΚΑΙΡΙΣ"),
            ("Οδος", "ΟΔΟΣ"),
            ("♥\u{fe0f}shop", "♥shop"),
            ("♥shop", "♥\u{fe0f}s"),
            ("a\u{a0}b", "a b"),
            ("Gr\u{ad}öße", "grö"),
        ] {
            assert!(searchable(whole).contains(&*searchable(part)), "{whole} {part}");
        }
    }

    #[test]
    fn a5_only_invisible_ends_are_trimmed() {
        assert_eq!(trim_invisible("\u{feff}\u{200b}a\u{200b}b\u{ad}\u{202c}"), "a\u{200b}b");
        assert_eq!(trim_invisible("❤\u{fe0f}"), "❤\u{fe0f}");
        assert_eq!(trim_invisible("❤\u{fe0f}\u{200b}\u{2800}"), "❤\u{fe0f}");
        for end in ["\u{fe0f}", "\u{2800}", "\u{3164}", "\u{ad}", "\u{200b}\u{fe0f}", "\u{fe0f}\u{fe0f}"] {
            assert_eq!(trim_invisible(&format!("{end}a/1{end}")), "a/1", "{end:?}");
        }
        // The flag of Wales ends in tags, which show nothing anywhere else.
        let wales = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}";
        assert_eq!(trim_invisible(&format!("\u{e0020}{wales}\u{200b}")), wales);
        assert_eq!(trim_invisible("\u{e0001}\u{e0065}a\u{e007f}\u{e0020}"), "a");
        assert_eq!(trim_invisible("\u{fe0f}"), "");
        assert_eq!(trim_blank(" \u{200b}\u{a0}a b\u{2003}\u{feff} "), "a b");
    }

    #[test]
    fn f17_f21_names_that_look_alike_fold_alike() {
        let rows = [
            ("❤", "❤\u{fe0f}", true),
            ("Zed", "zed\u{200b}", true),
            ("Zed", "\u{2060}Ze\u{ad}d", true),
            ("a b", "A\u{a0}b", true),
            ("a b", "a\u{3000}b", true),
            ("a b", "a\u{2800}b", true),
            ("Gro\u{308}ße", "GRÖ\u{200c}ße", true),
            ("a b", "ab", false),
            ("❤", "♥", false),
            // One person beside another, and a couple.
            ("\u{1f468}\u{1f469}", "\u{1f468}\u{200d}\u{1f469}", false),
            // England and Scotland.
            (
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
                false,
            ),
        ];
        for (one, other, equal) in rows {
            assert_eq!(folded_name(one) == folded_name(other), equal, "{one:?} {other:?}");
            assert_eq!(folded_name(&folded_name(other)), folded_name(other), "{other:?}");
        }
    }
}
