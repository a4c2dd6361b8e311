//! `password`: a page with a form asks for it, [`super::unlock`] checks it, and a cookie remembers it.
//!
//! The cookie is a MAC over link and expiry, keyed with the stored Argon2id hash. It needs no secret of its
//! own, survives a restart, and is invalid as soon as the password changes, even to the same text, since
//! every hash has its own salt. An attacker with the hash could forge a cookie, but the record with the hash
//! contains the destination, too.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::HeaderValue;
use sha2::Sha256;

use super::rule::{Evaluation, Rule, Verdict};
use crate::clock::Timestamp;
use crate::model::escape;
use crate::model::id::Id;
use crate::model::link::{Link, PasswordHash};

pub(super) const PASSWORD: Rule = Rule {
    name: "password",
    verdict: |evaluation| {
        (is_protected(evaluation) && !evaluation.is_unlocked).then_some(Verdict::PasswordRequired)
    },
    why: |evaluation| {
        let hash = evaluation.conditional.link.options.password.as_ref();
        let text = match (hash.map(PasswordHash::parts), evaluation.is_unlocked) {
            (None, _) => "the link has no password",
            (Some(_), true) => "the right password was given",
            (Some(Ok(_)), false) => "the link requires its password first",
            (Some(Err(rule)), false) => {
                return format!("no password opens the link: its {rule}; set the password again");
            }
        };
        text.to_owned()
    },
};

fn is_protected(evaluation: &Evaluation<'_>) -> bool {
    evaluation.conditional.link.options.password.is_some()
}

/// The name of the cookie. Its path is the path of the link, so each link has its own cookie.
const COOKIE: &str = "waypost_open";

/// The time for which a password is remembered, in seconds: long enough to return to a page, short enough for
/// a shared computer. Past it: the page asks again.
const OPEN_FOR: i64 = 60 * 60;

/// Separates this MAC from every other use of the hash, and from later layouts of the cookie.
const CONTEXT: &[u8] = b"waypost open 1";

/// Returns whether one of the cookies proves that the right password was sent.
pub(crate) fn is_open(link: &Link, cookies: &[HeaderValue], now: Timestamp) -> bool {
    let Some(hash) = &link.options.password else { return false };
    has_proof(COOKIE, link.id, hash, cookies, now)
}

/// Returns whether one of the cookies of this name proves that the password of this hash was sent.
pub(super) fn has_proof(
    cookie: &str,
    id: Id,
    hash: &PasswordHash,
    cookies: &[HeaderValue],
    now: Timestamp,
) -> bool {
    let lines = cookies.iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    // Several cookies may have the name, with different paths: one valid cookie is enough.
    pairs.filter(|(name, _)| *name == cookie).any(|(_, value)| is_good(value, id, hash, now))
}

fn is_good(value: &str, link: Id, hash: &PasswordHash, now: Timestamp) -> bool {
    let Some((ends, mac)) = value.split_once('.') else { return false };
    let (Ok(ends), Ok(mac)) = (ends.parse::<i64>(), URL_SAFE_NO_PAD.decode(mac)) else { return false };
    // An expiry further ahead comes from a clock that was ahead; such a cookie would be valid for too long.
    let left = ends.saturating_sub(now.as_millis() / 1_000);
    // `verify_slice` compares in constant time, and rejects a MAC of another length.
    (1..=OPEN_FOR).contains(&left) && sign(link, hash, ends).verify_slice(&mac).is_ok()
}

/// Returns the `Set-Cookie` header for the right password, for the link at `path`.
pub(crate) fn cookie(
    link: Id,
    hash: &PasswordHash,
    path: &str,
    is_secure: bool,
    now: Timestamp,
) -> HeaderValue {
    proof(COOKIE, link, hash, path, is_secure, now)
}

/// Returns the `Set-Cookie` header that [`has_proof`] accepts. The name is a token of RFC 6265.
pub(super) fn proof(
    cookie: &str,
    id: Id,
    hash: &PasswordHash,
    path: &str,
    is_secure: bool,
    now: Timestamp,
) -> HeaderValue {
    let ends = now.as_millis() / 1_000 + OPEN_FOR;
    let mac = URL_SAFE_NO_PAD.encode(sign(id, hash, ends).finalize().into_bytes());
    // Over http a browser would not store a `Secure` cookie, and the password would be asked for again.
    let secure = if is_secure { "; Secure" } else { "" };
    // As browsers send it.
    let path = escape::path(path);
    // `Lax` and not `Strict`: a visitor follows the link from another site, and must stay unlocked.
    let text =
        format!("{cookie}={ends}.{mac}; Path={path}; Max-Age={OPEN_FOR}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).expect("digits, base64 and what names a code hold no control")
}

fn sign(link: Id, hash: &PasswordHash, ends: i64) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(hash.as_str().as_bytes()).expect("a key may have any length");
    // The parts have fixed lengths, so that their concatenation is unambiguous.
    mac.update(CONTEXT);
    mac.update(&link.bits().to_be_bytes());
    mac.update(&ends.to_be_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::link::sample;

    fn protected(id: u128, hash: &str) -> Link {
        let mut options = sample::plain();
        options.password = Some(PasswordHash::from_stored(hash.into()));
        sample::link(id, "a", options)
    }

    /// A MAC over link, password and expiry, and good for nothing else.
    #[test]
    fn t64_the_cookie_opens_its_link_for_an_hour() {
        let link = protected(1, "$argon2id$one");
        let hash = link.options.password.clone().expect("it has one");
        let set = cookie(link.id, &hash, "/a", true, Timestamp::from_millis(5_000));
        let set = set.to_str().expect("ASCII");
        assert!(set.ends_with("; Path=/a; Max-Age=3600; HttpOnly; SameSite=Lax; Secure"), "{set}");
        let pair = set.split(';').next().expect("a pair");
        let broken = format!("{}A", &pair[..pair.len() - 1]);
        let later = pair.replacen("=3605.", "=3606.", 1);
        let open = |link: &Link, line: &str, second: i64| {
            is_open(
                link,
                &[HeaderValue::try_from(line).expect("ASCII")],
                Timestamp::from_millis(second * 1_000),
            )
        };
        assert!(open(&link, pair, 5));
        assert!(open(&link, &format!("a=b; {pair}; c=d"), 3_604));
        let rows = [
            ("expired", &link, pair, 3_605),
            ("from the future", &link, pair, 4),
            ("another MAC", &link, &broken, 5),
            ("another expiry", &link, &later, 10),
            ("another link", &protected(2, "$argon2id$one"), pair, 5),
            ("another password", &protected(1, "$argon2id$two"), pair, 5),
            ("a shorter MAC", &link, &pair[..pair.len() - 4], 5),
            ("no MAC", &link, "waypost_open=3605.", 5),
            // Another spelling of the same MAC: one cookie has one text.
            ("a padded MAC", &link, &format!("{pair}="), 5),
            ("two MACs", &link, &format!("{pair}.{pair}"), 5),
            ("a signed expiry", &link, &pair.replacen("=3605.", "=-1.", 1), 5),
            ("another name", &link, &pair.replacen("waypost_open", "waypost_open2", 1), 5),
            ("a quoted value", &link, &pair.replacen('=', "=\"", 1), 5),
            ("nothing", &link, "waypost_open=", 5),
            ("garbage", &link, "waypost_open=9999999999999999999999.%%", 5),
        ];
        for (what, link, line, second) in rows {
            assert!(!open(link, line, second), "{what}");
        }
    }
}
