//! Entity tags (RFC 9110 8.8.3 and 13.1): how they are spelt, and which ones a request lists. Pictures and files for visitors
//! have the tag of their content, objects of the API that of their revision.

use std::fmt::Write as _;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue, IF_NONE_MATCH};
use sha2::{Digest, Sha256};

/// An entry of `If-Match` or `If-None-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed<'a> {
    /// `*`, which every tag fits.
    Any,
    /// The text between the quotes of a tag, whether it is strong or weak.
    Tag(&'a str),
    /// Neither.
    Malformed,
}

/// Returns the strong tag of a content.
pub fn of(content: &[u8]) -> HeaderValue {
    // 96 bits: equal tags of two pictures of one address do not happen.
    let digits = Sha256::digest(content)[..12].iter().fold(String::new(), |mut digits, byte| {
        // Writing to a text cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    spelt(&digits)
}

/// Returns the strong tag with this text, which consists of hexadecimal digits.
pub fn spelt(digits: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{digits}\"")).expect("hexadecimal digits and quotes are visible ASCII")
}

/// Returns the entries of all lines of a header. Empty ones are left out.
pub fn listed<'a>(headers: &'a HeaderMap, header: &HeaderName) -> impl Iterator<Item = Listed<'a>> {
    // A text beyond ASCII is replaced by one that is no tag.
    let lines = headers.get_all(header).into_iter().map(|line| line.to_str().unwrap_or("?"));
    // Our tags have no commas. Those of others are split into texts that are no tags of ours.
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|entry| !entry.is_empty()).map(|entry| {
        if entry == "*" {
            return Listed::Any;
        }
        // Proxies that compress a response weaken its tag, so a weak tag is as good as a strong one.
        let quoted = entry.strip_prefix("W/").unwrap_or(entry);
        let text = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        text.map_or(Listed::Malformed, Listed::Tag)
    })
}

/// Returns whether the client of a GET or HEAD already has the content with this tag.
pub fn is_current(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    listed(headers, &IF_NONE_MATCH).any(|entry| match entry {
        Listed::Any => true,
        Listed::Tag(text) => spelt(text) == tag,
        // What is no tag fits none: the client gets the content.
        Listed::Malformed => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared() {
        let tag = of(b"a");
        assert_eq!(tag, "\"ca978112ca1bbdcafac231b3\"");
        let rows = [
            ("\"ca978112ca1bbdcafac231b3\"", true),
            ("W/\"ca978112ca1bbdcafac231b3\"", true),
            ("\"x\", \"ca978112ca1bbdcafac231b3\"", true),
            ("*", true),
            ("\"x\"", false),
            ("ca978112ca1bbdcafac231b3", false),
            ("w/\"ca978112ca1bbdcafac231b3\"", false),
            ("\"", false),
            ("\u{e9}", false),
            ("", false),
        ];
        for (sent, want) in rows {
            let mut headers = HeaderMap::new();
            assert!(!is_current(&headers, &tag));
            headers.insert(IF_NONE_MATCH, HeaderValue::from_bytes(sent.as_bytes()).expect("legal"));
            assert_eq!(is_current(&headers, &tag), want, "{sent}");
        }
    }
}
