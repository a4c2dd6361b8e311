//! Percent-escapes of what a URI cannot contain (RFC 3986 2).

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2, memchr3};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Characters that no URI contains. `url` leaves some of them raw, as browsers do, but strict readers of a
/// `Location` fail on them. `[` and `]` are missing: they enclose an IPv6 address, and `a[]=1` is common.
const ILLEGAL: &AsciiSet = &CONTROLS
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

/// [`ILLEGAL`], and the hash that would end a query. The backslash is in both: browsers read it as a slash.
const ILLEGAL_IN_QUERY: &AsciiSet = &ILLEGAL.add(b'#');

/// [`ILLEGAL_IN_QUERY`], and the question mark that would end a path.
const ILLEGAL_IN_PATH: &AsciiSet = &ILLEGAL_IN_QUERY.add(b'?');

/// Returns the text as visible ASCII that a URI may contain: valid escapes and the first `#` stay.
pub fn visible(text: &str) -> String {
    let escaped = utf8_percent_encode(&escaped_percents(text), ILLEGAL).to_string();
    match escaped.split_once('#') {
        // A fragment has no `#`.
        Some((before, fragment)) if fragment.contains('#') => {
            format!("{before}#{}", fragment.replace('#', "%23"))
        }
        _ => escaped,
    }
}

/// Returns whether [`visible`] leaves a text of visible ASCII unchanged. Fast, since lists ask it for each link.
pub fn is_visible(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr3(b'|', b'^', b'\\', bytes).is_none()
        && memchr2(b'{', b'}', bytes).is_none()
        && memchr_iter(b'%', bytes).all(|at| begins_escape(text, at))
        && memchr(b'#', bytes).is_none_or(|at| memchr(b'#', &bytes[at + 1..]).is_none())
}

/// Returns a query, or a part of one, as visible ASCII. Valid escapes stay.
pub fn query(text: &str) -> String {
    utf8_percent_encode(&escaped_percents(text), ILLEGAL_IN_QUERY).to_string()
}

/// Returns a path, or a part of one, as visible ASCII. Valid escapes stay.
pub fn path(text: &str) -> String {
    utf8_percent_encode(&escaped_percents(text), ILLEGAL_IN_PATH).to_string()
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

/// Returns whether two hexadecimal digits follow the position of a `%`.
fn begins_escape(text: &str, at: usize) -> bool {
    let digits = text.as_bytes().get(at + 1..at + 3);
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Returns the text with each `%` that begins no escape as `%25`.
fn escaped_percents(text: &str) -> Cow<'_, str> {
    if memchr_iter(b'%', text.as_bytes()).all(|at| begins_escape(text, at)) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        escaped.push(c);
        if c == '%' && !begins_escape(text, at) {
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
            assert!(is_visible(want), "{want}");
        }
        assert_eq!(visible("/#a#b##"), "/#a%23b%23%23");
        for text in ["/#a#b", "%", "%4", "50%?", "a|b", "{"] {
            assert!(!is_visible(text) && is_visible(&visible(text)), "{text}");
        }
        assert_eq!(
            (query("a=50%#?ü\\"), path("a=50%#?ü\\")),
            ("a=50%25%23?%C3%BC%5C".to_owned(), "a=50%25%23%3F%C3%BC%5C".to_owned(),)
        );
        assert_eq!(message("a#b[c]%"), "a%23b%5Bc%5D%25");
        assert_eq!(message_part("a#b%"), "a%23b%");
        assert_eq!(visible_part("a|b%"), "a%7Cb%");
    }
}
