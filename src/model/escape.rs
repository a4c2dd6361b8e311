//! Percent-escapes of what a URI cannot contain (RFC 3986 2).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Characters that no URI contains. `url` leaves some of them raw, as browsers do, but strict readers of a
/// `Location` fail on them. `[` and `]` are missing: they enclose an IPv6 address, and `a[]=1` is common.
pub const ILLEGAL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// [`ILLEGAL`], and what has no meaning in the text of a mail or a message: RFC 6068 and RFC 5724 have no
/// fragment, so readers drop a raw `#` and everything behind it.
const ILLEGAL_IN_MESSAGE: &AsciiSet = &ILLEGAL.add(b'#').add(b'[').add(b']');

/// Returns the text as visible ASCII that a URI may contain. Valid escapes stay.
pub fn visible(text: &str) -> String {
    utf8_percent_encode(&escaped_percents(text), ILLEGAL).to_string()
}

/// Like [`visible`], for the part of a URI before a placeholder, which may end in a part of an escape.
pub fn visible_part(text: &str) -> String {
    utf8_percent_encode(text, ILLEGAL).to_string()
}

/// Like [`visible`], for `mailto:` and `sms:` URIs, which have no fragment.
pub fn message(text: &str) -> String {
    utf8_percent_encode(&escaped_percents(text), ILLEGAL_IN_MESSAGE).to_string()
}

/// Like [`message`], for the part before a placeholder.
pub fn message_part(text: &str) -> String {
    utf8_percent_encode(text, ILLEGAL_IN_MESSAGE).to_string()
}

/// Returns the text with each `%` that begins no escape as `%25`.
fn escaped_percents(text: &str) -> Cow<'_, str> {
    let begins_escape = |at: usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if text.match_indices('%').all(|(at, _)| begins_escape(at)) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        escaped.push(c);
        if c == '%' && !begins_escape(at) {
            escaped.push_str("25");
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f22_a_uri_has_no_other_characters() {
        let rows = [
            ("A|B^{c}\\", "A%7CB%5E%7Bc%7D%5C"),
            ("a[]=1&b=%2B", "a[]=1&b=%2B"),
            // A percent sign that begins no escape.
            ("50% 5%2 %zz %e9 %é %", "50%25%205%252%20%25zz%20%e9%20%25%C3%A9%20%25"),
        ];
        for (text, want) in rows {
            assert_eq!(visible(text), want, "{text}");
            assert_eq!(visible(want), want, "{want} stays");
        }
        assert_eq!(message("a#b[c]%"), "a%23b%5Bc%5D%25");
        assert_eq!(message_part("a#b%"), "a%23b%");
        assert_eq!(visible_part("a|b%"), "a%7Cb%");
    }
}
