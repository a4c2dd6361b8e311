//! Merge fields: `{{trigger_link.ID}}` in a text becomes the link's short URL or, for a contact, a contact
//! link (docs/decisions.md A23). As HighLevel renders it, that is a JWT under `/links/r/2/` which names link
//! and contact and is signed with HS256.
//!
//! Only the signature is taken from the standard. A library for all of it brings RSA and elliptic curves, and
//! lets a forged token choose the algorithm.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::core::commit::{ATTEMPTS, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Tenants;
use crate::json;
use crate::model::contact::{CONTACT_KEY_BYTES, ContactKey, ContactLink};
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::short_code::{ShortCode, first_segment, is_punctuation, trimmed};
use crate::model::text::trim_blank;
use crate::table::keys;
use crate::table::record::Stored;

/// The beginning of a contact link's path.
pub const CONTACT_PATH: &str = "/links/r/2/";

/// The header of every token. No other header is accepted.
const HEADER: &str = r#"{"alg":"HS256"}"#;

/// The name of every merge field, before the dot and the id.
const FIELD: &str = "trigger_link";

#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(rename = "link_id")]
    link: String,
    #[serde(rename = "contact_id")]
    contact: String,
    #[serde(rename = "location_id")]
    workspace: String,
}

/// A text with its merge fields replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other field is the text.
pub struct Rendered {
    pub text: String,
    /// Ids in merge fields that are no links within sight. Their fields stay unchanged.
    pub unknown: Vec<String>,
}

impl Tenants {
    /// Replaces the merge fields of a text: with contact links if a contact is given, else with short URLs.
    pub async fn render(
        &self,
        context: &Context,
        text: &str,
        contact: Option<&ForeignId>,
    ) -> Result<Rendered, Error> {
        let mut urls: HashMap<&str, Option<String>> = HashMap::new();
        for id in fields(text) {
            // A text may repeat an id, and each is looked up once.
            if !urls.contains_key(id) {
                urls.insert(id, self.url_for(context, id, contact).await?);
            }
        }
        let mut unknown: Vec<_> =
            urls.iter().filter(|(_, url)| url.is_none()).map(|(id, _)| (*id).to_owned()).collect();
        // Sorted, since the map has no order.
        unknown.sort();
        Ok(Rendered { text: fill(text, &urls), unknown })
    }

    async fn url_for(
        &self,
        context: &Context,
        id: &str,
        contact: Option<&ForeignId>,
    ) -> Result<Option<String>, Error> {
        let Ok(id) = id.parse::<Id>() else { return Ok(None) };
        let view = match self.links().get(context, id).await {
            Ok(view) => view,
            // One unknown link must not fail the whole text.
            Err(Error::NotFound(_) | Error::AlreadyDeleted(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(contact) = contact else { return Ok(Some(view.short_url)) };
        let workspace = view.workspace.id.clone();
        let token = sign(
            &*self.contact_key(context).await?,
            &ContactLink { link: id, workspace, contact: contact.clone() },
        );
        Ok(Some(self.site().base_of(&view.domain) + CONTACT_PATH + &token))
    }

    /// Returns domain, code and id of the link that a contact link stands for, and the contact. Returns
    /// `None` if the signature is not ours or the link does not exist.
    pub async fn contact_link(
        &self,
        token: &str,
    ) -> Result<Option<(DomainNumber, ShortCode, Id, ForeignId)>, Error> {
        let directory = self.directory();
        let said = directory.contact_key().and_then(|key| contact_at(&key, token));
        let Some(ContactLink { link, workspace, contact }) = said else { return Ok(None) };
        let Some(number) =
            directory.workspace_named(workspace.as_str()).map(|versioned| versioned.record.number)
        else {
            return Ok(None);
        };
        let found = self.blocking(move |shared| Ok(shared.table.link_by_id(number, link)?)).await?;
        Ok(found.map(|found| (found.record.domain, found.record.code, link, contact)))
    }

    /// Returns the signing key, and creates it on first use.
    async fn contact_key(&self, context: &Context) -> Result<Arc<ContactKey>, Error> {
        for _ in 0..ATTEMPTS {
            if let Some(key) = self.directory().contact_key() {
                return Ok(key);
            }
            let mut bytes = [0; CONTACT_KEY_BYTES];
            getrandom::fill(&mut bytes).expect("the system's random generator works");
            let mut effect = Effect::default();
            effect.create(bytes::Bytes::from_static(keys::CONTACT_KEY), ContactKey(bytes).encode());
            // Created here, or by a concurrent request: the key exists now.
            self.commit(context, effect).await?;
        }
        Err(Error::Busy)
    }
}

/// A part of a text.
enum MergePart<'a> {
    Text(&'a str),
    /// A merge field, with its braces, and the id in it.
    Field(&'a str, &'a str),
}

/// Returns the text with its merge fields replaced. Fields without a URL stay unchanged. Reads the text once,
/// however many different fields it has.
fn fill(text: &str, urls: &HashMap<&str, Option<String>>) -> String {
    let shown = |part| match part {
        MergePart::Text(text) => text,
        MergePart::Field(field, id) => urls.get(id).and_then(Option::as_deref).unwrap_or(field),
    };
    parts(text).map(shown).collect()
}

/// Returns the ids in the merge fields of a text.
fn fields(text: &str) -> impl Iterator<Item = &str> {
    parts(text).filter_map(|part| match part {
        MergePart::Field(_, id) => Some(id),
        MergePart::Text(_) => None,
    })
}

/// Splits a text at its merge fields. Spaces and invisible characters within the braces are allowed, as editors write
/// them, and the name in any case.
fn parts(text: &str) -> impl Iterator<Item = MergePart<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((field, from, to)) = next_field(rest) else {
            return Some(MergePart::Text(std::mem::take(&mut rest)));
        };
        if from > 0 {
            let (before, behind) = rest.split_at(from);
            rest = behind;
            return Some(MergePart::Text(before));
        }
        let (whole, behind) = rest.split_at(to);
        rest = behind;
        Some(MergePart::Field(whole, field))
    })
}

/// Returns the id of the first merge field, and where the field begins and ends.
fn next_field(text: &str) -> Option<(&str, usize, usize)> {
    let mut from = 0;
    text.match_indices("}}").find_map(|(end, _)| {
        // The last braces before the end: earlier ones begin a field without an end. Each part is searched once.
        let begin = text[from..end].rfind("{{").map(|at| from + at);
        from = end + 2;
        let begin = begin?;
        let (name, id) = text[begin + 2..end].split_once('.')?;
        trim_blank(name).eq_ignore_ascii_case(FIELD).then(|| (trim_blank(id), begin, end + 2))
    })
}

/// Returns the token of a contact link.
pub(crate) fn sign(key: &ContactKey, link: &ContactLink) -> String {
    let claims = Claims {
        link: link.link.to_string(),
        contact: link.contact.as_str().to_owned(),
        workspace: link.workspace.as_str().to_owned(),
    };
    let claims = json::to_bytes(&claims);
    seal(key, &claims)
}

/// Returns the token of these claims, whatever they contain.
pub(crate) fn seal(key: &ContactKey, claims: &[u8]) -> String {
    let signed = [URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims)].join(".");
    let signature = URL_SAFE_NO_PAD.encode(mac(key, &signed).finalize().into_bytes());
    [signed, signature].join(".")
}

/// Returns the contact link of a path behind [`CONTACT_PATH`]. As for codes, one slash behind the token belongs
/// to the same link, and so does the punctuation of the sentence around it.
pub(crate) fn contact_at(key: &ContactKey, path: &str) -> Option<ContactLink> {
    let (token, rest) = first_segment(path);
    // `TOKEN/,` as well as `TOKEN,`.
    if !rest.is_empty() && !is_punctuation(rest) {
        return None;
    }
    verify(key, token).or_else(|| {
        let decoded = percent_encoding::percent_decode_str(token).decode_utf8().ok()?;
        verify(key, trimmed(&decoded, true)?)
    })
}

/// Returns the contact link of a token that this key has signed, or `None` for any other token.
pub(crate) fn verify(key: &ContactKey, token: &str) -> Option<ContactLink> {
    // The last dot: header and claims have one between them.
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    // Compared and not parsed, so that a token cannot choose its algorithm.
    if URL_SAFE_NO_PAD.decode(header).ok()? != HEADER.as_bytes() {
        return None;
    }
    // Before the claims are parsed, and in constant time.
    mac(key, signed).verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    Some(ContactLink {
        link: claims.link.parse().ok()?,
        workspace: ForeignId::parse("location_id", &claims.workspace).ok()?,
        contact: ForeignId::parse("contact_id", &claims.contact).ok()?,
    })
}

fn mac(key: &ContactKey, signed: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("a key may have any length");
    mac.update(signed.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signed_tokens_are_verified() {
        let (key, other) = (ContactKey([7; 32]), ContactKey([8; 32]));
        let id = |text: &str| ForeignId::parse("id", text).expect("a valid id");
        let link = ContactLink { link: Id::from_bits(9), workspace: id("ws_1"), contact: id("con-2") };
        let token = sign(&key, &link);
        assert!(token.starts_with("eyJhbGciOiJIUzI1NiJ9."), "{token}");
        assert_eq!(verify(&key, &token), Some(link));
        let parts: Vec<_> = token.split('.').collect();
        // The known attack on such tokens: no algorithm, so no signature.
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let rows = [
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            // A cut signature, changed claims, a part too many, and another key.
            format!("{}.{}.{}", parts[0], parts[1], &parts[2][1..]),
            format!("{}.{}x.{}", parts[0], parts[1], parts[2]),
            format!("{token}.{}", parts[2]),
            sign(&other, &verify(&key, &token).expect("valid")),
            String::new(),
            "a.b.c".to_owned(),
        ];
        for forged in rows {
            assert_eq!(verify(&key, &forged), None, "{forged}");
        }
    }

    #[test]
    fn f14_merge_fields() {
        let rows = [
            ("no field", vec![]),
            ("go to {{trigger_link.a}} or {{trigger_link.b}}!", vec!["a", "b"]),
            // A field without an end is no field.
            ("{{trigger_link.a", vec![]),
            // A field of another kind is not ours. An empty id is read, and is unknown.
            ("{{contact.name}} {{trigger_link.}}", vec![""]),
            // As editors write them.
            ("{{ trigger_link.a }}{{trigger_link.b }}{{\u{a0}trigger_link.c}}", vec!["a", "b", "c"]),
            ("{{{trigger_link.a}}} {{trigger_link.b {{trigger_link.c}}", vec!["a", "c"]),
            ("trigger_link.a }} {trigger_link.b}}", vec![]),
            (
                "{{\u{200b}trigger_link.a}} {{ trigger_link .b }} {{Trigger_Link.c\u{feff}}}",
                vec!["a", "b", "c"],
            ),
            (
                "{{trigger_links.a}} {{x trigger_link.b}} {{}} {{trigger_link}} }} {{trigger_link.c}}",
                vec!["c"],
            ),
        ];
        for (text, want) in rows {
            assert_eq!(fields(text).collect::<Vec<_>>(), want, "{text}");
        }
        let urls = HashMap::from([("a", Some("A".to_owned())), ("b", None)]);
        assert_eq!(fill("{{ trigger_link.a }}, {{trigger_link.b }}{", &urls), "A, {{trigger_link.b }}{");
    }
}
