//! [`Code`]: a short code within its entry. Nearly all have few characters, and one of the allocator's
//! smallest pieces, with the pointer to it, would take three times as much as the 16 bytes here.

use std::fmt;

/// Longest code that is kept in place: what is left of 16 bytes.
const INLINE_MAX: usize = 14;

/// A short code, as its domain keys it.
#[derive(Clone)]
pub struct Code(Text);

#[derive(Clone)]
enum Text {
    Inline {
        length: u8,
        bytes: [u8; INLINE_MAX],
    },
    // Two steps away: the length beside the pointer would take as much again from every other.
    #[expect(clippy::box_collection, reason = "see above")]
    Boxed(Box<String>),
}

impl Code {
    /// Of this text.
    pub fn new(code: &str) -> Code {
        let mut bytes = [0; INLINE_MAX];
        match (u8::try_from(code.len()), bytes.get_mut(..code.len())) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(code.as_bytes());
                Code(Text::Inline { length, bytes })
            }
            _ => Code(Text::Boxed(Box::new(code.to_owned()))),
        }
    }

    /// Its bytes: UTF-8, in NFC.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Text::Boxed(text) => text.as_bytes(),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("it was made from a text")
    }

    /// What it takes of memory beside its entry.
    pub(super) fn allocated(&self) -> usize {
        match &self.0 {
            Text::Inline { .. } => 0,
            Text::Boxed(text) => allocated(size_of::<String>()) + allocated(text.capacity()),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What the system's allocator takes for so many bytes: 8 of its own, in steps of 16.
pub(super) fn allocated(bytes: usize) -> usize {
    (bytes + 8).next_multiple_of(16).max(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_all_lengths_are_what_they_were() {
        assert_eq!(size_of::<Code>(), 16);
        for length in 0..300 {
            let text: String = ('a'..='z').cycle().take(length).collect();
            let code = Code::new(&text);
            assert_eq!((code.as_str(), code.clone().as_bytes()), (text.as_str(), text.as_bytes()));
            assert_eq!(code.allocated() > length, length > INLINE_MAX, "{length}");
        }
        assert_eq!(Code::new("größe👋").as_str(), "größe👋");
        assert_eq!(format!("{:?}", Code::new("größe👋")), "\"größe👋\"");
    }

    /// The budget of the cache counts it: 32 bytes for the `String`, and the text behind it.
    #[test]
    fn what_a_long_code_takes_beside_its_entry() {
        let taken = |length: usize| Code::new(&"a".repeat(length)).allocated();
        assert_eq!([14, 15, 24, 25, 200].map(taken), [0, 64, 64, 80, 240]);
    }
}
