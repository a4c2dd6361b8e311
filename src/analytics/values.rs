//! The values of dimensions: how a capture packs them into numbers and texts, and how an answer spells them
//! out.

use crate::analytics::tick::TEXT_MAX;

/// Separates the fields of a text. No field has one.
const SEPARATOR: char = '\t';

/// Returns the number of two ASCII letters, such as a country (`DE`) or a language (`de`). The first letter
/// is in the upper byte. 0 is unknown.
pub fn pack_letters(letters: [u8; 2]) -> u32 {
    // Other bytes become unknown: they would be a value that no filter can name.
    if letters.iter().all(u8::is_ascii_alphabetic) { u32::from(u16::from_be_bytes(letters)) } else { 0 }
}

/// Returns the two letters of a number, `None` if it is 0 or has other characters.
pub fn letters(number: u32) -> Option<[u8; 2]> {
    let letters = u16::try_from(number).ok()?.to_be_bytes();
    letters.iter().all(u8::is_ascii_alphabetic).then_some(letters)
}

/// Returns the text of a place: country, region and city, with tabs between them. A region and a city contain
/// what is above them, so that Paris in Texas is another city than Paris in France.
pub fn place_text(country: &str, region: &str, city: &str) -> String {
    // Three fields of 82 bytes and two tabs are 248 bytes, within the limit of a text.
    let [country, region, city] = [country, region, city].map(|field| clean(field, TEXT_MAX / 3 - 2));
    format!("{country}{SEPARATOR}{region}{SEPARATOR}{city}")
}

/// Returns country and region of a place, and the whole place. A level that is unknown is `None`.
pub fn place_levels(text: &str) -> [Option<&str>; 2] {
    // The second tab ends the region, which contains the country before the first tab.
    let mut ends = text.match_indices(SEPARATOR).skip(1).map(|(at, _)| at);
    let region = ends.next().map_or(text, |end| &text[..end]);
    // A tab at the end is an empty level. A text without a tab is a country, which has a column of its own.
    let is_known = |level: &&str| !level.ends_with(SEPARATOR) && level.contains(SEPARATOR);
    [Some(region).filter(is_known), Some(text).filter(|city| *city != region).filter(is_known)]
}

/// Returns the text of a path: its first [`TEXT_MAX`] bytes.
pub fn path_text(path: &[u8]) -> String {
    // A capture may have cut a letter in two, which is behind the limit of a text.
    clean(&String::from_utf8_lossy(path), TEXT_MAX)
}

/// A UTM parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum UtmName {
    /// `utm_source`.
    Source,
    /// `utm_medium`.
    Medium,
    /// `utm_campaign`.
    Campaign,
    /// `utm_term`.
    Term,
    /// `utm_content`.
    Content,
}

/// The UTM parameters of a link or of a visitor. An empty parameter is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UtmValues {
    values: [Option<Box<str>>; 5],
}

impl UtmValues {
    /// Returns the campaign with another value of a parameter.
    #[must_use]
    pub fn with(mut self, parameter: UtmName, value: &str) -> UtmValues {
        // An empty parameter of a URL means the same as a missing one.
        self.values[parameter as usize] = (!value.is_empty()).then(|| value.into());
        self
    }

    /// Returns the value of a parameter.
    pub fn get(&self, parameter: UtmName) -> Option<&str> {
        self.values[parameter as usize].as_deref()
    }

    /// Returns the text of the campaign, empty if it has no parameter: the values in the order of [`UtmName`]
    /// with tabs between them, without tabs at the end. If it would be longer than a text can be, each value
    /// is cut.
    pub fn text(&self) -> String {
        // Five values of 49 bytes and four tabs are 249 bytes. Each is cut, so that none is lost for another.
        let text = self.joined(TEXT_MAX);
        if text.len() <= TEXT_MAX { text } else { self.joined(TEXT_MAX / 5 - 1) }
    }

    fn joined(&self, longest: usize) -> String {
        let values = self.values.each_ref().map(|value| clean(value.as_deref().unwrap_or_default(), longest));
        // Most campaigns have only the first parameters, and the tabs of the others would take space.
        values.join("\t").trim_end_matches(SEPARATOR).into()
    }

    /// Returns the value of a parameter in the text of a campaign.
    pub fn of_text(text: &str, parameter: UtmName) -> Option<&str> {
        text.split(SEPARATOR).nth(parameter as usize).filter(|value| !value.is_empty())
    }
}

/// Returns a field of a text: without control characters, and with at most `longest` bytes.
fn clean(field: &str, longest: usize) -> String {
    // A tab would begin the next field, and a NUL alone means all values that were not kept.
    let mut clean = String::with_capacity(field.len().min(longest));
    for character in field.chars().map(|character| if character.is_control() { ' ' } else { character }) {
        // Whole characters only: a part of one is no UTF-8.
        if clean.len() + character.len_utf8() > longest {
            break;
        }
        clean.push(character);
    }
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_are_packed() {
        assert_eq!(pack_letters(*b"DE"), 0x4445);
        assert_eq!(letters(0x4445), Some(*b"DE"));
        assert_eq!(letters(pack_letters(*b"de")), Some(*b"de"));
        for letters in [*b"1E", *b"D-", [0xc3, 0xa4]] {
            assert_eq!(pack_letters(letters), 0);
        }
        for number in [0, 0x44, 0x3145, 0x4_4445] {
            assert_eq!(letters(number), None);
        }
    }

    #[test]
    fn places_have_levels() {
        let rows = [
            ("DE\tBayern\tUlm", [Some("DE\tBayern"), Some("DE\tBayern\tUlm")]),
            ("DE\tBayern\t", [Some("DE\tBayern"), None]),
            // Databases have cities whose region is unknown.
            ("DE\t\tUlm", [None, Some("DE\t\tUlm")]),
            ("DE\t\t", [None, None]),
            // Texts that no version writes: a damaged list must not panic.
            ("DE", [None, None]),
            ("", [None, None]),
        ];
        for (text, levels) in rows {
            assert_eq!(place_levels(text), levels, "{text:?}");
        }
        assert_eq!(place_text("DE", "Bay\tern", "Ulm\n"), "DE\tBay ern\tUlm ");
        // Letters of two bytes: a cut must not split one.
        let longest = place_text(&"ä".repeat(200), &"ä".repeat(200), &"ä".repeat(200));
        assert!(longest.len() <= TEXT_MAX);
    }

    #[test]
    fn the_text_of_a_campaign() {
        let campaign =
            UtmValues::default().with(UtmName::Medium, "e\tmail").with(UtmName::Campaign, "spring");
        assert_eq!(campaign.text(), "\te mail\tspring");
        assert_eq!(UtmValues::default().text(), "");
        assert_eq!(UtmValues::of_text("\te mail\tspring", UtmName::Source), None);
        assert_eq!(UtmValues::of_text("\te mail\tspring", UtmName::Medium), Some("e mail"));
        assert_eq!(UtmValues::of_text("\te mail\tspring", UtmName::Content), None);
    }

    proptest! {
        #[test]
        fn a_campaign_keeps_its_values(values in proptest::array::uniform5("[^\\p{Cc}]{0,40}")) {
            let all = [UtmName::Source, UtmName::Medium, UtmName::Campaign, UtmName::Term, UtmName::Content];
            let campaign = all.iter().zip(&values).fold(UtmValues::default(), |campaign, (parameter, value)| {
                campaign.with(*parameter, value)
            });
            let text = campaign.text();
            prop_assert!(text.len() <= TEXT_MAX);
            for (parameter, value) in all.into_iter().zip(&values) {
                let kept = UtmValues::of_text(&text, parameter);
                prop_assert!(value.starts_with(kept.unwrap_or_default()));
                // Four tabs are between the values, so a shorter campaign is kept whole.
                if values.iter().map(String::len).sum::<usize>() < TEXT_MAX - 4 {
                    prop_assert_eq!(kept, campaign.get(parameter));
                }
            }
        }
    }
}
