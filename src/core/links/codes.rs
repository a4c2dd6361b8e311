//! Generated short codes: nanoid over the configured alphabet, or words (`code_style`). A generated code is never a reserved word and
//! contains no offensive word. Codes become longer when the short ones run out.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::model::short_code::{ShortCode, is_reserved};
use crate::settings::BadSetting;

/// Shortest length that may be set: shorter codes can be enumerated in minutes.
const LENGTH_MIN: usize = 4;
/// Longest length that may be set.
const LENGTH_MAX: usize = 64;

/// Collisions after which codes become one character longer. With 7 characters out of 62, two collisions in a
/// row mean that a good part of 3.5 million million codes is in use.
const COLLISIONS_MAX: usize = 2;

/// Words that no generated code contains, in any case and with digits for letters. One code of 7 characters
/// in some 1,700 has such a word. Only one of the words has three letters, and it causes a third of these:
/// more such words would exclude too many codes.
const UNSEEMLY: &[&str] = &[
    "anal", "anus", "arse", "boob", "chink", "clit", "cock", "coon", "crap", "cunt", "dick", "dildo", "dyke",
    "fagg", "fick", "fotze", "fuck", "fuk", "gook", "hitler", "homo", "hure", "jizz", "kike", "merde",
    "milf", "nazi", "negro", "nigg", "nutte", "orgy", "paki", "penis", "piss", "poop", "porn", "puta",
    "puss", "rape", "scat", "semen", "sexx", "shit", "slag", "slut", "spast", "spic", "suck", "tits", "turd",
    "twat", "vagin", "wank", "wetback", "whore",
];

/// The words of [`CodeStyle::Words`], one a line: see `words.LICENSE`.
const WORDS: &str = include_str!("words.txt");

/// Words of a code. Four of 1,025 words are 40.0 bits, and seven characters of the default alphabet 41.7.
const WORDS_IN_CODE: usize = 4;

/// How codes are generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeStyle {
    /// Characters of the alphabet.
    #[default]
    Random,
    /// Four words that are easy to say, such as `amber-river-lamp-otter`.
    Words,
}

#[derive(Debug)]
pub(in crate::core) struct Generator {
    alphabet: Vec<char>,
    words: Vec<&'static str>,
    style: CodeStyle,
    /// In characters or words.
    length: AtomicUsize,
}

impl Generator {
    pub(in crate::core) fn new(
        style: CodeStyle,
        alphabet: &str,
        length: usize,
    ) -> Result<Generator, BadSetting> {
        let shown = alphabet;
        let alphabet: Vec<char> = alphabet.chars().collect();
        let mut unique = alphabet.clone();
        unique.sort_unstable();
        unique.dedup();
        // Only characters that a URL shows as they are.
        let plain = alphabet.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '~'));
        if !plain || unique.len() != alphabet.len() || !(10..=64).contains(&alphabet.len()) {
            let rule = "must be 10 to 64 different characters of A-Z, a-z, 0-9, -, _ and ~";
            return Err(BadSetting::new("code_alphabet", format!("{shown:?}"), rule));
        }
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            return Err(BadSetting::new("code_length", length, "must be 4 to 64"));
        }
        let (words, length) = match style {
            CodeStyle::Random => (Vec::new(), length),
            CodeStyle::Words => (WORDS.lines().collect(), WORDS_IN_CODE),
        };
        Ok(Generator { alphabet, words, style, length: AtomicUsize::new(length) })
    }

    /// Returns a new code. `collided` is the number of codes for the same link that were in use. A domain
    /// that ignores case gets one character more, to have as many codes.
    pub(in crate::core) fn next(&self, collided: usize, case_sensitive: bool) -> ShortCode {
        self.next_behind("", collided, case_sensitive)
    }

    /// Like [`Generator::next`], with a prefix in front, which was checked to be a part of a code. A word across both is
    /// an offensive word, too; one in the prefix alone was chosen by the client.
    pub(in crate::core) fn next_behind(
        &self,
        prefix: &str,
        collided: usize,
        case_sensitive: bool,
    ) -> ShortCode {
        let length = self.length.load(Ordering::Relaxed);
        if collided >= COLLISIONS_MAX && length < LENGTH_MAX {
            // Concurrent calls lengthen the codes by one character or word only.
            let _ = self.length.compare_exchange(length, length + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
        let length = self.length.load(Ordering::Relaxed);
        // Nearly always one round: one code in some 1,700 is rejected.
        loop {
            let generated = match self.style {
                CodeStyle::Random => nanoid::nanoid!(length + usize::from(!case_sensitive), &self.alphabet),
                CodeStyle::Words => self.words(length),
            };
            let code = format!("{prefix}{generated}");
            if !is_reserved(&code) && !is_unseemly(&joined(&code), joined(prefix).len()) {
                // Without a prefix that is no part of a code: the alphabet is.
                let code = ShortCode::parse(&code).or_else(|_| ShortCode::parse(&generated));
                return code.expect("the alphabet is part of what codes may hold");
            }
        }
    }

    /// Returns `count` random words, joined by hyphens.
    fn words(&self, count: usize) -> String {
        let mut words: Vec<&str> = Vec::with_capacity(count);
        while words.len() < count {
            let mut bytes = [0; 2];
            getrandom::fill(&mut bytes).expect("the system's random generator works");
            // 2,048 numbers: those past the end are skipped, so that all words are equally likely.
            words.extend(self.words.get(usize::from(u16::from_le_bytes(bytes) >> 5)));
        }
        words.join("-")
    }
}

/// Returns a code without hyphens, so that offensive words are found across two words.
fn joined(code: &str) -> std::borrow::Cow<'_, str> {
    if code.contains('-') { code.replace('-', "").into() } else { code.into() }
}

/// Returns whether an offensive word ends behind the first `chosen` bytes.
fn is_unseemly(code: &str, chosen: usize) -> bool {
    let read: Vec<u8> = code.bytes().map(as_read).collect();
    // Compared by the first letter before the whole word: a full search for each word took an eighth of a
    // creation's time.
    (0..read.len()).any(|at| {
        let is_word = |word: &&str| at + word.len() > chosen && begins_with(&read[at..], word.as_bytes());
        UNSEEMLY.iter().any(is_word)
    })
}

fn begins_with(text: &[u8], word: &[u8]) -> bool {
    // `text` is never empty, since `at` lies before its end.
    text[0] == word[0] && text.starts_with(word)
}

fn as_read(byte: u8) -> u8 {
    match byte {
        // Digits count as the letters that they resemble.
        b'0' => b'o',
        b'1' => b'i',
        b'3' => b'e',
        b'4' => b'a',
        b'5' => b's',
        b'7' => b't',
        b'8' => b'b',
        b'9' => b'g',
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS_AND_LETTERS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    #[test]
    fn codes_grow_when_they_collide() {
        let codes = Generator::new(CodeStyle::Random, "0123456789", 4).expect("valid");
        assert_eq!(codes.next(0, true).as_str().len(), 4);
        // A single collision is chance.
        assert_eq!(codes.next(1, true).as_str().len(), 4);
        assert_eq!(codes.next(2, true).as_str().len(), 5);
        // All later codes keep the new length.
        assert_eq!(codes.next(0, true).as_str().len(), 5);
        // Without case, a length has fewer codes.
        assert_eq!(codes.next(0, false).as_str().len(), 6);
    }

    /// So many codes that some would have such a word without the list.
    #[test]
    fn t55_no_code_has_an_offensive_word() {
        // Any case, and digits for letters.
        for code in ["aSHITb", "xFuCk12", "5H1Tabc", "n4z1xyz", "p0rn"] {
            assert!(is_unseemly(code, 0), "{code}");
        }
        for code in ["Waypost", "sale2026", "abcdefg", "0123456"] {
            assert!(!is_unseemly(code, 0), "{code}");
        }
        // Without the list, some twenty of these codes had such a word, since it consists of the same
        // letters.
        let codes = Generator::new(CodeStyle::Random, "fuckshitna", 7).expect("valid");
        for _ in 0..20_000 {
            let code = codes.next(0, true);
            assert!(!["fuck", "shit", "suck"].iter().any(|word| code.as_str().contains(word)), "{code}");
        }
    }

    #[test]
    fn m12_no_word_begins_in_the_prefix_and_ends_behind_it() {
        // One code in ten would complete each word.
        let codes = Generator::new(CodeStyle::Random, "tkgaxyzwvq", 4).expect("valid");
        for _ in 0..2_000 {
            for (prefix, word) in [("Shi-", "shi-t"), ("fuc", "fuck"), ("sla", "slag")] {
                let code = codes.next_behind(prefix, 0, true);
                assert!(code.as_str().starts_with(prefix), "{code}");
                assert!(!code.as_str().to_lowercase().starts_with(word), "{code}");
            }
            // The client's own word does not keep the server from an answer.
            assert!(codes.next_behind("shit-", 0, true).as_str().starts_with("shit-"));
        }
        let codes = Generator::new(CodeStyle::Random, "iapx234567", 4).expect("valid");
        for _ in 0..2_000 {
            assert!(!is_reserved(codes.next_behind("l", 0, true).as_str()));
        }
    }

    /// `WAYPOST_CASES` sets the number of codes (`tests/soak/links`).
    #[test]
    fn t55_a_hundred_thousand_codes_differ_and_are_flat() {
        let draws = std::env::var("WAYPOST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000_u32);
        let codes = Generator::new(CodeStyle::Random, DIGITS_AND_LETTERS, 7).expect("valid");
        // 62 to the 7th: more than 2 to the 41st codes of the default length.
        assert_eq!(codes.next(0, true).as_str().len(), 7);
        assert!(62_f64.powi(7).log2() > 40.0);
        let mut seen = std::collections::HashSet::new();
        let mut counts = [0_u32; 128];
        for _ in 0..draws {
            let code = codes.next(0, true);
            code.as_str().bytes().for_each(|b| counts[usize::from(b)] += 1);
            assert!(seen.insert(code));
        }
        let expected = f64::from(draws) * 7.0 / 62.0;
        let chi: f64 =
            counts.iter().filter(|n| **n > 0).map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        // 61 degrees of freedom: beyond 130 once in a million runs.
        assert!(chi < 130.0, "chi-square {chi}");
        assert_eq!(counts.iter().filter(|n| **n > 0).count(), 62);
    }

    #[test]
    fn m12_codes_of_words_are_many_and_plain() {
        let words: Vec<_> = WORDS.lines().collect();
        let unique: std::collections::HashSet<_> = words.iter().collect();
        assert_eq!((words.len(), unique.len()), (1_025, 1_025));
        assert!((1_025_f64.log2() * 4.0) > 40.0);
        for word in &words {
            assert!((3..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
            assert!(!is_unseemly(word, 0), "{word}");
        }
        let codes = Generator::new(CodeStyle::Words, DIGITS_AND_LETTERS, 7).expect("valid");
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let code = codes.next(0, false);
            assert_eq!(code.as_str().split('-').count(), 4, "{code}");
            assert!(!is_unseemly(&joined(code.as_str()), 0), "{code}");
            assert!(seen.insert(code));
        }
        // Collisions add a word.
        assert_eq!(codes.next(2, false).as_str().split('-').count(), 5);
    }

    #[test]
    fn settings_are_checked() {
        // Too few characters, one twice, one outside of ASCII, and one that would split the path.
        for (alphabet, length) in [("abc", 7), ("aabcdefghijk", 7), ("abcdefghijé", 7), ("abcdefghij/", 7)] {
            assert!(Generator::new(CodeStyle::Random, alphabet, length).is_err(), "{alphabet}");
        }
        for length in [0, 3, 65] {
            assert!(Generator::new(CodeStyle::Random, "0123456789", length).is_err(), "{length}");
        }
    }
}
