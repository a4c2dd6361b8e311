//! Short codes, destinations, and the locations of redirects.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use hyper::header::HeaderValue;
use percent_encoding::{CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use unicode_normalization::UnicodeNormalization;
use url::Url;

use super::input::Input;
use crate::model::destination::{Destination, ExtraSchemes, LinkType, MAX_BYTES};
use crate::model::link::{Edit, Options};
use crate::model::short_code::{MAX_CHARS, ShortCode, canonical, is_reserved};
use crate::model::text::{folded, trim_invisible};
use crate::visit::destination::location;
use crate::visit::rule::Forwarded;

static SCHEMES: LazyLock<ExtraSchemes> =
    LazyLock::new(|| ExtraSchemes::new(vec!["ftp".to_owned(), "app".to_owned()]).expect("schemes"));

/// Asserts that a code from a path has its canonical spelling, or is a reserved word.
pub(super) fn check_code(code: &str) {
    assert!((1..=MAX_CHARS).contains(&code.chars().count()), "{code:?}");
    assert!(
        !code.chars().any(|c| c.is_control() || c.is_whitespace() || "/?#%\\\"<>&".contains(c)),
        "{code:?}"
    );
    match ShortCode::parse(code) {
        Ok(parsed) => assert_eq!(parsed.as_str(), code),
        Err(error) => assert!(is_reserved(&folded(code)), "{code:?}: {error}"),
    }
    for encoded in [utf8_percent_encode(code, CONTROLS), utf8_percent_encode(code, NON_ALPHANUMERIC)] {
        assert_eq!(canonical(&encoded.to_string()).as_deref(), Some(code), "{code:?}");
    }
}

/// Takes a requested code. Asserts that all its spellings parse to the same code.
pub(super) fn short_code(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(code) = canonical(&text) {
        check_code(&code);
    }
    match ShortCode::parse(&text) {
        Err(invalid) => assert!(invalid.field == "shortCode" && !invalid.why.is_empty()),
        Ok(code) => {
            check_code(code.as_str());
            let folded = code.clone().folded();
            assert_eq!(folded.clone().folded(), folded);
            check_code(folded.as_str());
            let apart: String = text.nfd().collect();
            for spelling in [&*text, &apart] {
                assert_eq!(ShortCode::parse(spelling).as_ref(), Ok(&code));
                let encoded = utf8_percent_encode(spelling, NON_ALPHANUMERIC).to_string();
                assert_eq!(canonical(&encoded).as_deref(), Some(code.as_str()), "{spelling:?}");
            }
            HeaderValue::try_from(code.as_str()).expect("no code holds a control");
        }
    }
}

/// Asserts what every accepted destination promises to clients.
fn check_destination(to: &Destination, kind: LinkType) {
    let text = to.as_str();
    assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
    assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{text:?}");
    HeaderValue::try_from(text).expect("a destination is a legal header value");
    let url = to.to_url().unwrap_or_else(|| panic!("{text:?} is no URL"));
    let schemes: &[&str] = match kind {
        LinkType::Url => &["http", "https", "ftp", "app"],
        LinkType::Mailto => &["mailto"],
        LinkType::Tel => &["tel"],
        LinkType::Sms => &["sms"],
    };
    assert!(schemes.contains(&url.scheme()), "{text:?}");
    assert!(url.username().is_empty() && url.password().is_none(), "{text:?}");
    if kind == LinkType::Url && url.scheme().starts_with("http") {
        assert!(url.host_str().is_some_and(|host| !host.is_empty()), "{text:?}");
    }
}

/// Takes a requested destination. Asserts that an accepted one is legal, parses to itself, and has the host of the
/// request.
pub(super) fn destination(data: &[u8]) {
    let mut input = Input(data);
    let kind = kind(input.byte());
    let text = input.text();
    let value = input.text();
    match Destination::parse("url", &text, kind, &SCHEMES) {
        Err(invalid) => assert!(invalid.field == "url" && !invalid.why.is_empty(), "{invalid}"),
        Ok(to) => {
            check_destination(&to, kind);
            assert_eq!(Destination::parse("url", to.as_str(), kind, &SCHEMES).as_ref(), Ok(&to), "{text:?}");
            if kind == LinkType::Url {
                let given = Url::parse(trim_invisible(&text)).expect("it was accepted");
                let parsed = to.to_url().expect("checked");
                assert_eq!((parsed.scheme(), parsed.port()), (given.scheme(), given.port()));
                // Decoded: a `%` of no escape is escaped, and only hosts of other schemes than HTTP's can have one.
                let host =
                    |url: &Url| url.host_str().map(|host| percent_decode_str(host).collect::<Vec<u8>>());
                assert_eq!(host(&parsed), host(&given), "{text:?}");
            }
        }
    }
    if let Ok(to) = Destination::parse_fillable("url", &text, kind, &SCHEMES) {
        assert!(to.as_str().bytes().all(|b| b.is_ascii_graphic()), "{to:?}");
        let values = BTreeMap::from([("a".into(), Box::from(&*value)), ("b_c".into(), Box::from("x"))]);
        if let Ok(filled) = to.filled(&values, kind, &SCHEMES) {
            check_destination(&filled, kind);
        }
    }
}

/// Takes a destination, the path behind the code, a query and a UTM value. Asserts that scheme, host, port and the
/// start of the path are those of the destination, and that the location is a legal header value.
pub(super) fn merge(data: &[u8]) {
    let mut input = Input(data);
    let switches = input.byte();
    let (url, rest, query, utm) = (input.text(), input.text(), input.text(), input.text());
    let Ok(to) = Destination::parse("url", &url, LinkType::Url, &SCHEMES) else { return };
    let mut options = Options::new(to.clone(), LinkType::Url);
    options.forward_parameters = switches & 1 != 0;
    options.forward_path = switches & 2 != 0;
    if switches & 4 != 0 {
        let text: Cow<'_, str> = utm.chars().filter(|c| !c.is_control()).take(500).collect();
        // Refused with a placeholder in it.
        let _ = options.apply(Edit::UtmSource(Some(Box::from(&*text))));
    }
    let query = (switches & 8 != 0).then_some(&*query);
    let Some(value) = location(&options.target(), &options, Forwarded { rest: &rest, query }) else {
        return;
    };
    let led = value.to_str().expect("visible ASCII");
    assert!(led.bytes().all(|b| b.is_ascii_graphic()), "{led:?}");
    let (stored, led) = (to.to_url().expect("a URL"), Url::parse(led).expect("a URL"));
    assert_eq!(led.scheme(), stored.scheme());
    assert_eq!((led.host(), led.port()), (stored.host(), stored.port()), "{led} from {stored}");
    assert!(led.username().is_empty() && led.password().is_none(), "{led}");
    assert_eq!(led.fragment(), stored.fragment());
    let base = stored.path().strip_suffix('/').unwrap_or(stored.path());
    assert!(led.path().starts_with(base), "{led} from {stored}");
    if !options.forward_path {
        assert_eq!(led.path(), stored.path());
    }
}

fn kind(byte: u8) -> LinkType {
    match byte & 7 {
        1 => LinkType::Mailto,
        2 => LinkType::Tel,
        3 => LinkType::Sms,
        _ => LinkType::Url,
    }
}
