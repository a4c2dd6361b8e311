//! [`Code`]: the short code in a cache entry. Nearly all codes are short: in place they take 16 bytes, while
//! the allocator's smallest block and its pointer would take 48.

use std::fmt;

/// Longest code in place: 16 bytes without the length and the tag of the enum.
const INLINE_MAX: usize = 14;

/// A short code in the form that its domain compares.
#[derive(Clone)]
pub struct Code(Text);

#[derive(Clone)]
enum Text {
    Inline {
        length: u8,
        bytes: [u8; INLINE_MAX],
    },
    // A `Box<str>` has its length beside the pointer, which would add 8 bytes to every `Code`.
    #[expect(clippy::box_collection, reason = "a Box<str> is larger")]
    Boxed(Box<String>),
}

impl Code {
    /// Creates the code of this text.
    pub fn new(code: &str) -> Code {
        let mut bytes = [0; INLINE_MAX];
        // Both fail for long codes only. A length that fits in place fits in `u8`.
        match (u8::try_from(code.len()), bytes.get_mut(..code.len())) {
            (Ok(length), Some(inline)) => {
                inline.copy_from_slice(code.as_bytes());
                Code(Text::Inline { length, bytes })
            }
            _ => Code(Text::Boxed(Box::new(code.to_owned()))),
        }
    }

    /// Returns its bytes: UTF-8, in NFC.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Text::Boxed(text) => text.as_bytes(),
        }
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        // Checked on each call: the unchecked conversion is unsafe code. Look-ups compare bytes instead.
        std::str::from_utf8(self.as_bytes()).expect("it was created from a text")
    }

    /// Returns the bytes that it takes outside its entry.
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

/// Returns the bytes that the system's allocator takes for a block of `bytes`: 8 more, in steps of 16.
pub(super) fn allocated(bytes: usize) -> usize {
    // 32 is the smallest block of glibc.
    (bytes + 8).next_multiple_of(16).max(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_all_lengths_read_back() {
        assert_eq!(size_of::<Code>(), 16);
        // Past 255: a length that wraps in its `u8` would be seen.
        for length in 0..300 {
            let text: String = ('a'..='z').cycle().take(length).collect();
            let code = Code::new(&text);
            assert_eq!((code.as_str(), code.clone().as_bytes()), (text.as_str(), text.as_bytes()));
            assert_eq!(code.allocated() > length, length > INLINE_MAX, "{length}");
        }
        assert_eq!(Code::new("größe👋").as_str(), "größe👋");
        assert_eq!(format!("{:?}", Code::new("größe👋")), "\"größe👋\"");
    }

    /// The budget of the cache includes it: 32 bytes for the `String`, and its text.
    #[test]
    fn a_long_code_counts_its_allocations() {
        let taken = |length: usize| Code::new(&"a".repeat(length)).allocated();
        // A text of 24 bytes and the allocator's 8 fill a block of 32. One more takes the next step.
        assert_eq!([14, 15, 24, 25, 200].map(taken), [0, 64, 64, 80, 240]);
    }
}
