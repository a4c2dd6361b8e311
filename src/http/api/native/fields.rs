//! The fields of a link as data: JSON name, type, and the [`Edit`] it sets. Each stands here once
//! and serves create, bulk and patch alike.
//!
//! Null clears what can be cleared. On create there is nothing to clear, so null says nothing.

use crate::http::api::dialect::BadRequest;
use crate::http::api::json::{Field, Fields, Json, Mistyped};
use crate::model::Invalid;
use crate::model::destination::{Destination, LinkType};
use crate::model::id::ForeignId;
use crate::model::link::{CLICKS_RULE, Edit, RedirectStatus};

/// A field and how it is read.
struct OptionField {
    name: &'static str,
    kind: Kind,
}

/// The type of a field, with what it sets.
enum Kind {
    Flag(fn(bool) -> Edit),
    Text(fn(Option<Box<str>>) -> Edit),
    Web(fn(Option<Destination>) -> Edit),
    Time(fn(Option<crate::clock::Timestamp>) -> Edit),
    Clicks(fn(Option<u64>) -> Edit),
    Status,
    Tags,
    Webhooks,
    Campaign,
}

const fn field(name: &'static str, kind: Kind) -> OptionField {
    OptionField { name, kind }
}

const FIELDS: &[OptionField] = &[
    field("title", Kind::Text(Edit::Title)),
    field("description", Kind::Text(Edit::Description)),
    field("image", Kind::Web(Edit::Image)),
    field("redirectType", Kind::Status),
    field("isActive", Kind::Flag(Edit::IsActive)),
    field("cloaked", Kind::Flag(Edit::Cloaked)),
    field("validSince", Kind::Time(Edit::ValidSince)),
    field("expiresAt", Kind::Time(Edit::ExpiresAt)),
    field("maxClicks", Kind::Clicks(Edit::MaxClicks)),
    field("expiredUrl", Kind::Web(Edit::ExpiredUrl)),
    field("tagIds", Kind::Tags),
    field("forwardParameters", Kind::Flag(Edit::ForwardParameters)),
    field("forwardPath", Kind::Flag(Edit::ForwardPath)),
    field("blockBots", Kind::Flag(Edit::BlockBots)),
    field("countBots", Kind::Flag(Edit::CountBots)),
    field("utmSource", Kind::Text(Edit::UtmSource)),
    field("utmMedium", Kind::Text(Edit::UtmMedium)),
    field("utmCampaign", Kind::Text(Edit::UtmCampaign)),
    field("utmTerm", Kind::Text(Edit::UtmTerm)),
    field("utmContent", Kind::Text(Edit::UtmContent)),
    field("metaPixelId", Kind::Text(Edit::MetaPixelId)),
    field("googleTagId", Kind::Text(Edit::GoogleTagId)),
    field("webhookUrls", Kind::Webhooks),
    field("campaignId", Kind::Campaign),
    field("notes", Kind::Text(Edit::Notes)),
];

/// The edits that a new link's fields set.
pub(super) fn of_draft(body: &Fields) -> Result<Vec<Edit>, BadRequest> {
    let given = FIELDS.iter().filter(|field| matches!(body.get(field.name), Field::Value(_)));
    edits(body, given)
}

/// The edits that a change's fields set.
pub(super) fn of_patch(body: &Fields) -> Result<Vec<Edit>, BadRequest> {
    let given = FIELDS.iter().filter(|field| !matches!(body.get(field.name), Field::Absent));
    edits(body, given)
}

fn edits<'f>(body: &Fields, given: impl Iterator<Item = &'f OptionField>) -> Result<Vec<Edit>, BadRequest> {
    given.map(|field| field.read(body)).collect()
}

impl OptionField {
    /// Reads the field, which is there.
    fn read(&self, body: &Fields) -> Result<Edit, BadRequest> {
        let name = self.name;
        let text = || body.text(name).map(Field::value);
        let must_be = |why: &str| BadRequest::Mistyped(Invalid::new(name, why));
        Ok(match self.kind {
            Kind::Flag(set) => {
                set(body.flag(name)?.value().ok_or_else(|| must_be("must be true or false"))?)
            }
            Kind::Text(set) => set(text()?.map(Box::from)),
            Kind::Web(set) => set(text()?.map(|url| Destination::parse_web(name, url)).transpose()?),
            Kind::Time(set) => set(text()?.map(|time| instant(name, time)).transpose()?),
            Kind::Clicks(set) => set(body.count(name, CLICKS_RULE)?.value()),
            Kind::Status => Edit::Status(status(name, body.get(name))?),
            Kind::Tags => {
                let tags = body.texts(name)?.value().ok_or_else(|| must_be("must be an array of strings"))?;
                let parse = |tag: &str| {
                    tag.parse().map_err(|_| Invalid::new(name, format!("{tag:?} is not a tag's id")))
                };
                Edit::Tags(tags.into_iter().map(parse).collect::<Result<_, _>>()?)
            }
            Kind::Webhooks => Edit::WebhookUrls(webhooks(name, body)?),
            Kind::Campaign => Edit::Campaign(text()?.map(|id| ForeignId::parse(name, id)).transpose()?),
        })
    }
}

/// An ISO 8601 instant.
pub(super) fn instant(name: &'static str, text: &str) -> Result<crate::clock::Timestamp, Invalid> {
    text.parse().map_err(|error: crate::clock::NotATimestamp| Invalid::new(name, error.to_string()))
}

/// `PERMANENT_301`, `TEMPORARY_302`, or the number as number or string (docs/decisions.md A9).
fn status(name: &'static str, given: Field<&Json>) -> Result<RedirectStatus, BadRequest> {
    let code = match given {
        Field::Value(Json::Text(text)) => match text.as_str() {
            "PERMANENT_301" | "301" => Some(301),
            "TEMPORARY_302" | "302" => Some(302),
            "307" => Some(307),
            "308" => Some(308),
            _ => None,
        },
        Field::Value(Json::Number(number)) => number.as_u64().and_then(|code| u16::try_from(code).ok()),
        Field::Absent | Field::Null | Field::Value(_) => {
            return Err(Mistyped(Invalid::new(name, "must be a string or a number")).into());
        }
    };
    code.and_then(RedirectStatus::from_code).ok_or_else(|| {
        Invalid::new(name, "must be PERMANENT_301, TEMPORARY_302, 301, 302, 307 or 308").into()
    })
}

/// How a redirect's status is shown (docs/decisions.md A9).
pub(super) fn show_status(status: RedirectStatus) -> &'static str {
    match status {
        RedirectStatus::MovedPermanently => "PERMANENT_301",
        RedirectStatus::Found => "TEMPORARY_302",
        RedirectStatus::TemporaryRedirect => "307",
        RedirectStatus::PermanentRedirect => "308",
    }
}

/// `URL`, `MAILTO`, `TEL` or `SMS`.
pub(super) fn link_type(text: &str) -> Result<LinkType, Invalid> {
    let known = [LinkType::Url, LinkType::Mailto, LinkType::Tel, LinkType::Sms];
    let found = known.into_iter().find(|kind| show_link_type(*kind) == text);
    found.ok_or_else(|| Invalid::new("linkType", "must be URL, MAILTO, TEL or SMS"))
}

/// How a link's type is shown.
pub(super) fn show_link_type(kind: LinkType) -> &'static str {
    match kind {
        LinkType::Url => "URL",
        LinkType::Mailto => "MAILTO",
        LinkType::Tel => "TEL",
        LinkType::Sms => "SMS",
    }
}

/// One comma-separated string, or an array of strings. Null and an empty string are no URLs; an
/// empty part is an error, since it is a URL that was forgotten.
fn webhooks(name: &'static str, body: &Fields) -> Result<Vec<Destination>, BadRequest> {
    let urls: Vec<&str> = match body.get(name) {
        Field::Absent | Field::Null => Vec::new(),
        Field::Value(Json::Text(text)) if text.trim().is_empty() => Vec::new(),
        Field::Value(Json::Text(text)) => text.split(',').collect(),
        Field::Value(Json::List(_)) => body.texts(name)?.value().unwrap_or_default(),
        Field::Value(_) => {
            let why = "must be a comma-separated string, or an array of strings";
            return Err(Mistyped(Invalid::new(name, why)).into());
        }
    };
    // Spaces stand between the parts of a list; whatever else is white is no part of a URL.
    let parse = |url: &str| match url.trim_matches(' ') {
        "" => Err(Invalid::new(name, "must not have an empty part")),
        url => Destination::parse_web(name, url),
    };
    Ok(urls.into_iter().map(parse).collect::<Result<_, _>>()?)
}
