//! How texts are compared: Unicode spellings, case, and invisible characters.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Returns the text without invisible characters at its ends. Chat programs and word processors put them
/// there, and a person who pastes the text cannot see them.
pub fn trim_invisible(text: &str) -> &str {
    text.trim_matches(is_invisible)
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
    // Dotless i: its upper case is that of the dotted one, and the table leaves it alone.
    if c == 'ı' {
        return c;
    }
    let upper = only(c.to_uppercase()).unwrap_or(c);
    only(upper.to_lowercase()).or_else(|| only(c.to_lowercase())).unwrap_or(c)
}

fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    chars.next().filter(|_| chars.next().is_none())
}

/// Returns the text as searches compare it: NFC, in lower case.
pub fn searchable(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|b| b.is_ascii_uppercase()) {
            text.to_ascii_lowercase().into()
        } else {
            text.into()
        };
    }
    let lower = text.to_lowercase();
    // After the lower case: a lower letter and the mark behind it may have a composed form.
    if is_nfc(&lower) { lower.into() } else { lower.nfc().collect::<String>().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a5_only_invisible_ends_are_trimmed() {
        assert_eq!(trim_invisible("\u{feff}\u{200b}a\u{200b}b\u{ad}\u{202c}"), "a\u{200b}b");
        assert_eq!(trim_invisible("❤\u{fe0f}"), "❤\u{fe0f}");
    }
}
