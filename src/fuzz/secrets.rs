//! Secrets that clients send: cookies, contact links, API keys, password forms.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::input::Input;
use crate::clock::Timestamp;
use crate::core::tenants::contacts::{seal, sign, verify};
use crate::http::api::credentials;
use crate::model::contact::{ContactKey, ContactLink};
use crate::model::destination::{Destination, LinkType};
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::{Link, Options, PASSWORD_MAX, PasswordHash};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;
use crate::visit::password::{cookie, is_open};
use crate::visit::unlock::password_in;

const KEY: ContactKey = ContactKey([7; 32]);

/// Asserts that only the exact secret is accepted.
pub(super) fn tokens(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() & 7 {
        0 => forged(&input.text()),
        1 => signed(&input.text(), &input.text(), &input.text()),
        2 => edited(&mut input),
        3 => cookies(&mut input),
        4 => credential(&mut input),
        5 => claims(input.0),
        _ => {
            if let Some(password) = password_in(input.0) {
                let normal = password.as_bytes().len();
                // Either spelling may be the longer one.
                let shorter = password.given_bytes().map_or(normal, |given| given.len().min(normal));
                assert!((1..=PASSWORD_MAX).contains(&shorter));
            }
        }
    }
}

/// Asserts that no text is a token of a key that signed none.
fn forged(token: &str) {
    assert!(verify(&KEY, token).is_none(), "{token}");
}

/// Asserts that a token verifies to what was signed.
fn signed(link: &str, workspace: &str, contact: &str) {
    let id = |text| ForeignId::parse("id", text);
    let (Ok(workspace), Ok(contact)) = (id(workspace), id(contact)) else { return };
    let link = ContactLink { link: link.parse().unwrap_or(Id::from_bits(9)), workspace, contact };
    let token = sign(&KEY, &link);
    assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{token}");
    let verified = verify(&KEY, &token).expect("a signed token");
    assert_eq!(
        (verified.link, verified.workspace, verified.contact),
        (link.link, link.workspace, link.contact)
    );
    assert!(verify(&ContactKey([8; 32]), &token).is_none(), "under another key");
}

/// Asserts that a token with replaced bytes is rejected.
fn edited(input: &mut Input<'_>) {
    let id = |text| ForeignId::parse("id", text).expect("a valid id");
    let token = sign(&KEY, &ContactLink { link: Id::from_bits(9), workspace: id("w"), contact: id("c") });
    let mut bytes = token.clone().into_bytes();
    while !input.is_empty() {
        let (at, byte) = (usize::from(input.byte()) % bytes.len(), input.byte());
        bytes[at] = byte;
    }
    if let Ok(text) = String::from_utf8(bytes)
        && text != token
    {
        assert!(verify(&KEY, &text).is_none(), "{text} for {token}");
    }
}

/// Asserts that signed claims of any shape are accepted or rejected without a panic.
fn claims(bytes: &[u8]) {
    let token = seal(&KEY, bytes);
    if let Some(verified) = verify(&KEY, &token) {
        assert!(!verified.contact.as_str().is_empty());
    }
}

/// Asserts that only the cookie of the right password opens a link.
fn cookies(input: &mut Input<'_>) {
    let to = Destination::parse_web("url", "https://e.test/").expect("a valid URL");
    let mut options = Options::new(to, LinkType::Url);
    let hash = PasswordHash::from_stored("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into());
    options.password = Some(hash.clone());
    let (id, now) = (Id::from_bits(3), Timestamp::from_millis(1_700_000_000_000));
    let link = Link {
        id,
        workspace: WorkspaceNumber(0),
        domain: DomainNumber::DEFAULT,
        code: ShortCode::parse("a").expect("a valid code"),
        typed_code: None,
        aliases: Vec::new(),
        created_at: now,
        updated_at: now,
        created_by: None,
        options,
    };
    let set = cookie(id, &hash, "/a", true, now);
    let good = set.to_str().expect("ASCII").split(';').next().expect("a pair").to_owned();
    let mut lines = Vec::new();
    while !input.is_empty() {
        lines.extend(HeaderValue::from_bytes(input.line()));
    }
    assert!(!is_open(&link, &lines, now), "{lines:?}");
    lines.push(HeaderValue::try_from(&good).expect("ASCII"));
    assert!(is_open(&link, &lines, now), "the right cookie counts, behind any others");
}

/// Asserts that an API key is read from one header, unchanged, and that another header has the same key, the credential
/// of another scheme, or no value.
fn credential(input: &mut Input<'_>) {
    let mut headers = HeaderMap::new();
    while !input.is_empty() {
        let name = if input.byte() & 1 == 0 { AUTHORIZATION } else { HeaderName::from_static("x-api-key") };
        if let Ok(value) = HeaderValue::from_bytes(input.line()) {
            headers.append(name, value);
        }
    }
    if let Ok(key) = credentials::secret(&headers) {
        assert!((1..=512).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()), "{key:?}");
        assert!(headers.len() <= 2, "two lines of one name");
        let is_the_key = |value: &HeaderValue| value.as_bytes().ends_with(key.as_bytes());
        let is_of_other_scheme = |value: &HeaderValue| {
            let scheme = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
            !scheme.is_empty() && !scheme.eq_ignore_ascii_case("bearer".as_bytes())
        };
        let has_no_value = |value: &HeaderValue| {
            let bytes = value.as_bytes().trim_ascii_end();
            bytes.is_empty() || bytes.eq_ignore_ascii_case("bearer".as_bytes())
        };
        match (headers.get(AUTHORIZATION), headers.get("x-api-key")) {
            (Some(line), Some(plain)) => {
                let is_beside = has_no_value(line) || is_of_other_scheme(line);
                let is_read = is_the_key(line) && plain.is_empty() || is_the_key(plain) && is_beside;
                assert!(is_read || is_the_key(line) && is_the_key(plain), "{headers:?}");
            }
            (line, plain) => assert!(line.or(plain).is_some_and(is_the_key), "{headers:?}"),
        }
    }
}
