//! Entity tags of responses that browsers and caches keep (RFC 9110 8.8.3 and 13.1.2).

use std::fmt::Write as _;

use hyper::HeaderMap;
use hyper::header::{HeaderValue, IF_NONE_MATCH};
use sha2::{Digest, Sha256};

/// Returns the strong tag of a content.
pub fn of(content: &[u8]) -> HeaderValue {
    // 96 bits: equal tags of two pictures of one address do not happen.
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(content)[..12] {
        // Writing to a text cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    HeaderValue::try_from(tag).expect("hexadecimal digits are visible ASCII")
}

/// Returns whether the client of a GET or HEAD already has the content with this tag.
pub fn is_current(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    // Compared weakly, as the header requires. A tag of ours has no comma.
    values.flat_map(|value| value.split(',')).map(str::trim).any(|theirs| {
        theirs == "*" || theirs.strip_prefix("W/").unwrap_or(theirs).as_bytes() == tag.as_bytes()
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
            ("", false),
        ];
        for (sent, want) in rows {
            let mut headers = HeaderMap::new();
            assert!(!is_current(&headers, &tag));
            headers.insert(IF_NONE_MATCH, sent.parse().expect("a value"));
            assert_eq!(is_current(&headers, &tag), want, "{sent}");
        }
    }
}
