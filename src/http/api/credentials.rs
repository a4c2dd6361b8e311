//! The API key of a request: `Authorization: Bearer` or `X-API-Key`, in every dialect (docs/decisions.md A4).
//! An ambiguous key is rejected: two lines, two spaces, two keys that differ. A header without a value has no key:
//! `Bearer $KEY` has none if the variable is not set.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Longest key in bytes; Waypost's own are far shorter. A longer one is rejected without hashing it.
const KEY_MAX: usize = 512;

/// Why a request has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoCredential {
    /// None was sent.
    Missing,
    /// `Authorization` contains one word, which may be a key without its scheme.
    NoScheme,
    /// `Authorization` has another scheme than `Bearer`, and there is no other key.
    OtherScheme,
    /// The headers do not contain exactly one key.
    Ambiguous,
}

/// Returns the key in the headers.
pub(crate) fn secret(headers: &HeaderMap) -> Result<&str, NoCredential> {
    // Both are read before either counts: a good key beside a malformed one is ambiguous.
    let plain = single(headers, &API_KEY)?.filter(|line| !line.is_empty()).map(token).transpose()?;
    // A credential of another scheme is for another server, such as a proxy with passwords in front of this
    // one (RFC 9110 11.4). Alone it is an attempt with a key that is not of Waypost.
    let is_ours = |line: &&HeaderValue| plain.is_none() || !is_of_other_scheme(line);
    let line = single(headers, &AUTHORIZATION)?.filter(|line| !has_no_value(line));
    let bearer = line.filter(is_ours).map(bearer).transpose()?;
    match (bearer, plain) {
        (None, None) => Err(NoCredential::Missing),
        // Not in constant time: the client sent both, so the comparison reveals nothing.
        (Some(a), Some(b)) if a != b => Err(NoCredential::Ambiguous),
        (Some(key), _) | (None, Some(key)) => Ok(key),
    }
}

/// Parameters in which programs of other services send a key.
const QUERY_NAMES: [&str; 7] = ["key", "apikey", "api_key", "api-key", "x-api-key", "token", "access_token"];

/// The start of the keys of Waypost.
const OWN_PREFIX: &str = "wp_";

/// Returns whether the query of a request has a key, which never counts.
pub(crate) fn is_in_query(query: Option<&str>) -> bool {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.any(|(name, value)| {
        let is_named = QUERY_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known));
        // Under any name: a key may be a secret at the wrong place.
        value.starts_with(OWN_PREFIX) || is_named && !value.is_empty()
    })
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, NoCredential> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next();
    // Servers and proxies differ in which of two lines counts.
    if lines.next().is_some() { Err(NoCredential::Ambiguous) } else { Ok(line) }
}

/// Returns whether a line is empty, or has `Bearer` and nothing behind it.
fn has_no_value(line: &HeaderValue) -> bool {
    let bytes = line.as_bytes().trim_ascii_end();
    bytes.is_empty() || bytes.eq_ignore_ascii_case(b"bearer")
}

/// Parses `Bearer`, in upper or lower case (RFC 9110 11.1), one space, and the key.
fn bearer(line: &HeaderValue) -> Result<&str, NoCredential> {
    // Its parameters may be in any encoding.
    if is_of_other_scheme(line) {
        return Err(NoCredential::OtherScheme);
    }
    let text = line.to_str().map_err(|_| NoCredential::Ambiguous)?;
    // At the first space: a second one stays in the key, where it is rejected.
    let Some((scheme, key)) = text.split_once(' ') else {
        // `Bearer,K` has the scheme in another form.
        let is_bearer = text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
        let is_word = !is_bearer && visible(text).is_ok();
        return Err(if is_word { NoCredential::NoScheme } else { NoCredential::Ambiguous });
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return visible(key);
    }
    Err(NoCredential::Ambiguous)
}

/// Schemes that are known by their names alone: a browser sends `Negotiate` without anything behind it.
const OTHER_SCHEMES: [&str; 9] =
    ["basic", "digest", "negotiate", "ntlm", "hoba", "mutual", "scram-sha-1", "scram-sha-256", "vapid"];

/// Returns whether a line has the name of another scheme than `Bearer`, and its parameters behind one space, which
/// may be in any encoding. A name alone must be a known one: otherwise it may be a key without its scheme.
fn is_of_other_scheme(line: &HeaderValue) -> bool {
    let bytes = line.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
    let (scheme, behind) = bytes.split_at(end);
    if behind.trim_ascii().is_empty() {
        return OTHER_SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()));
    }
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !scheme.is_empty() && scheme.iter().all(is_token) && !scheme.eq_ignore_ascii_case(b"bearer")
}

fn token(line: &HeaderValue) -> Result<&str, NoCredential> {
    visible(line.to_str().map_err(|_| NoCredential::Ambiguous)?)
}

fn visible(key: &str) -> Result<&str, NoCredential> {
    // Other bytes are read differently by proxies, and no key of Waypost has them.
    let fits = (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(key) } else { Err(NoCredential::Ambiguous) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_query_is_recognised() {
        let rows = [
            (Some("key=wp_0123"), true),
            (Some("page=2&API_KEY=x"), true),
            (Some("anything=wp_0123"), true),
            (Some("key="), false),
            (Some("keys=a&search=wp"), false),
            (None, false),
        ];
        for (query, want) in rows {
            assert_eq!(is_in_query(query), want, "{query:?}");
        }
    }

    type HeaderRow<'a> = (&'a [(&'a str, &'a str)], Result<&'a str, NoCredential>);

    #[test]
    fn f16_a_credential_of_another_scheme_is_no_second_key() {
        use NoCredential::{Ambiguous, NoScheme};
        for (authorization, want) in [
            ("Basic eDp5", Ok("K")),
            ("basic eDp5", Ok("K")),
            ("Digest username=\"x\", realm=\"y\"", Ok("K")),
            ("Negotiate YIIJ", Ok("K")),
            ("ApiKey K", Ok("K")),
            ("Bearer L", Err(Ambiguous)),
            ("BEARER L", Err(Ambiguous)),
            ("Digest username=\"J\u{fc}rgen\", realm=\"y\"", Ok("K")),
            ("Basic", Ok("K")),
            ("negotiate", Ok("K")),
            ("NTLM ", Ok("K")),
            ("Secret", Err(NoScheme)),
            ("Bearer", Ok("K")),
            ("bearer ", Ok("K")),
            ("", Ok("K")),
            ("Bearer J\u{fc}rgen", Err(Ambiguous)),
            ("J\u{fc}rgen x", Err(Ambiguous)),
            (" Basic eDp5", Err(Ambiguous)),
            ("Bearer,K L", Err(Ambiguous)),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, HeaderValue::from_str(authorization).expect("a value"));
            headers.append(API_KEY, HeaderValue::from_static("K"));
            assert_eq!(secret(&headers), want, "{authorization}");
        }
    }

    /// A header that two servers could read differently contains no key.
    #[test]
    fn t69_one_key_or_none() {
        use NoCredential::{Ambiguous, Missing, NoScheme, OtherScheme};
        // The limit counts the key, without the scheme.
        let long = format!("Bearer {}", "k".repeat(513));
        let longest = format!("Bearer {}", "k".repeat(512));

        let rows: &[HeaderRow<'_>] = &[
            (&[], Err(Missing)),
            (&[("authorization", "Bearer K")], Ok("K")),
            (&[("authorization", "bearer K")], Ok("K")),
            (&[("x-api-key", "K")], Ok("K")),
            (&[("authorization", "Bearer K"), ("x-api-key", "K")], Ok("K")),
            (&[("authorization", "Bearer K"), ("x-api-key", "L")], Err(Ambiguous)),
            (&[("authorization", "bearer")], Err(Missing)),
            (&[("authorization", "Bearer ")], Err(Missing)),
            // Servers differ in whether the second space is a part of the key.
            (&[("authorization", "Bearer  K")], Err(Ambiguous)),
            (&[("authorization", "Bearer K L")], Err(Ambiguous)),
            // Another scheme is an attempt with a key that is not of Waypost, not the absence of a key.
            (&[("authorization", "Basic K")], Err(OtherScheme)),
            (&[("authorization", "Token K")], Err(OtherScheme)),
            (&[("authorization", "K")], Err(NoScheme)),
            (&[("authorization", "wp_K=")], Err(NoScheme)),
            (&[("authorization", "")], Err(Missing)),
            (&[("authorization", ""), ("authorization", "Bearer K")], Err(Ambiguous)),
            (&[("authorization", &long)], Err(Ambiguous)),
            (&[("authorization", "Bearer K"), ("authorization", "Bearer K")], Err(Ambiguous)),
            (&[("x-api-key", "K"), ("x-api-key", "K")], Err(Ambiguous)),
            (&[("x-api-key", "")], Err(Missing)),
            (&[("x-api-key", ""), ("authorization", "Basic K")], Err(OtherScheme)),
            (&[("x-api-key", "K L")], Err(Ambiguous)),
            (&[("x-api-key", "K"), ("authorization", "Bearer L")], Err(Ambiguous)),
            (&[("x-api-key", "K"), ("authorization", "nonsense")], Err(NoScheme)),
            (&[("x-api-key", "K"), ("authorization", "Bearer k")], Err(Ambiguous)),
            (&[("authorization", "Bearer K"), ("x-api-key", "")], Ok("K")),
            (&[("authorization", "BEARER K")], Ok("K")),
            (&[("authorization", "Bearer\tK")], Err(Ambiguous)),
            (&[("authorization", "Bearer K\t")], Err(Ambiguous)),
            (&[("authorization", " Bearer K")], Err(Ambiguous)),
            (&[("authorization", "Bearer,K")], Err(Ambiguous)),
            // Two lines as a proxy may join them.
            (&[("authorization", "Bearer K, Bearer K")], Err(Ambiguous)),
            (&[("authorization", "Bearer \u{e9}")], Err(Ambiguous)),
            (&[("authorization", "Bearerx K")], Err(OtherScheme)),
            (&[("authorization", "Bearer K="), ("x-api-key", "K=")], Ok("K=")),
            (&[("authorization", &longest)], Ok(&longest[7..])),
        ];
        for (lines, want) in rows {
            let mut headers = HeaderMap::new();
            for (name, value) in *lines {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
                headers.append(name, HeaderValue::from_str(value).expect("a header value"));
            }
            assert_eq!(secret(&headers), *want, "{lines:?}");
        }
    }
}
