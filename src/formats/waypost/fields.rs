//! The fields of a link as data: the JSON name, the type, and the [`Edit`] that a value sets. Create, bulk,
//! patch and import use the same table.
//!
//! Null clears a field that can be cleared. A new link has nothing to clear, so null is ignored there.

use super::rules;
use crate::clock::GivenTime;
use crate::json::{Field, FieldError, Json, Mistyped, Object, whole};
use crate::model::Invalid;
use crate::model::destination::{Destination, LinkType};
use crate::model::health::HealthState;
use crate::model::id::{ForeignId, Id};
use crate::model::link::{CLICKS_RULE, Edit, RedirectStatus};
use crate::model::text::trim_invisible;

/// A field of a link.
struct OptionField {
    name: &'static str,
    kind: FieldKind,
}

/// The type of a field, with the edit that a value sets.
enum FieldKind {
    Flag(fn(bool) -> Edit),
    Text(fn(Option<Box<str>>) -> Edit),
    Web(fn(Option<Destination>) -> Edit),
    /// A bare date is the beginning of its day.
    Since(fn(Option<GivenTime>) -> Edit),
    /// A bare date is the end of its day.
    Until(fn(Option<GivenTime>) -> Edit),
    Clicks(fn(Option<u64>) -> Edit),
    Status,
    Tags,
    Webhooks,
    Campaign,
    Rules,
}

const fn field(name: &'static str, kind: FieldKind) -> OptionField {
    OptionField { name, kind }
}

const FIELDS: &[OptionField] = &[
    field("title", FieldKind::Text(Edit::Title)),
    field("description", FieldKind::Text(Edit::Description)),
    field("image", FieldKind::Web(Edit::Image)),
    field("redirectType", FieldKind::Status),
    field("isActive", FieldKind::Flag(Edit::IsActive)),
    field("cloaked", FieldKind::Flag(Edit::Cloaked)),
    field("validSince", FieldKind::Since(Edit::ValidSince)),
    field("expiresAt", FieldKind::Until(Edit::ExpiresAt)),
    field("maxClicks", FieldKind::Clicks(Edit::MaxClicks)),
    field("expiredUrl", FieldKind::Web(Edit::ExpiredUrl)),
    field("tagIds", FieldKind::Tags),
    field("forwardParameters", FieldKind::Flag(Edit::ForwardParameters)),
    field("forwardPath", FieldKind::Flag(Edit::ForwardPath)),
    field("blockBots", FieldKind::Flag(Edit::BlockBots)),
    field("countBots", FieldKind::Flag(Edit::CountBots)),
    field("skipSocialCrawlerTracking", FieldKind::Flag(Edit::SkipSocialCrawlerTracking)),
    field("confirm", FieldKind::Flag(Edit::Confirm)),
    field("hideReferrer", FieldKind::Flag(Edit::HideReferrer)),
    field("countPixel", FieldKind::Flag(Edit::CountPixel)),
    field("statistics", FieldKind::Flag(Edit::Statistics)),
    field("utmSource", FieldKind::Text(Edit::UtmSource)),
    field("utmMedium", FieldKind::Text(Edit::UtmMedium)),
    field("utmCampaign", FieldKind::Text(Edit::UtmCampaign)),
    field("utmTerm", FieldKind::Text(Edit::UtmTerm)),
    field("utmContent", FieldKind::Text(Edit::UtmContent)),
    field("metaPixelId", FieldKind::Text(Edit::MetaPixelId)),
    field("googleTagId", FieldKind::Text(Edit::GoogleTagId)),
    field("gtmContainerId", FieldKind::Text(Edit::GtmContainerId)),
    field("headTags", FieldKind::Text(Edit::HeadTags)),
    field("bodyTags", FieldKind::Text(Edit::BodyTags)),
    field("webhookUrls", FieldKind::Webhooks),
    field("campaignId", FieldKind::Campaign),
    field("notes", FieldKind::Text(Edit::Notes)),
    field("rules", FieldKind::Rules),
];

/// The names of [`FIELDS`].
pub const OPTION_NAMES: [&str; FIELDS.len()] = {
    let mut names = [""; FIELDS.len()];
    let mut at = 0;
    // No iterators: the list is a constant.
    while at < names.len() {
        names[at] = FIELDS[at].name;
        at += 1;
    }
    names
};

/// Returns whether an option takes a text, and no value of another type. `None` if there is no such option.
pub(super) fn is_text(name: &str) -> Option<bool> {
    let field = FIELDS.iter().find(|field| field.name == name)?;
    Some(matches!(
        field.kind,
        FieldKind::Text(_)
            | FieldKind::Web(_)
            | FieldKind::Since(_)
            | FieldKind::Until(_)
            | FieldKind::Campaign
    ))
}

/// Returns the edits that the body of a new link sets.
pub(super) fn of_draft(body: &Object) -> Result<Vec<Edit>, FieldError> {
    // `""` is null, which is ignored here.
    let is_given = |field: &&OptionField| match body.get(field.name) {
        Field::Value(Json::Text(text)) => !text.is_empty() || !field.is_nullable(),
        Field::Value(_) => true,
        Field::Null | Field::Absent => false,
    };
    let given = FIELDS.iter().filter(is_given);
    edits(body, given)
}

/// Returns the edits that the body of a change sets.
pub fn of_patch(body: &Object) -> Result<Vec<Edit>, FieldError> {
    let given = FIELDS.iter().filter(|field| !matches!(body.get(field.name), Field::Absent));
    edits(body, given)
}

fn edits<'f>(body: &Object, given: impl Iterator<Item = &'f OptionField>) -> Result<Vec<Edit>, FieldError> {
    given.map(|field| field.read(body)).collect()
}

impl OptionField {
    /// Returns whether `""` may be sent for null: no field of another type has an empty text.
    fn is_nullable(&self) -> bool {
        !matches!(self.kind, FieldKind::Flag(_) | FieldKind::Clicks(_) | FieldKind::Tags | FieldKind::Rules)
    }

    /// Reads the field, which is not absent.
    fn read(&self, body: &Object) -> Result<Edit, FieldError> {
        let name = self.name;
        let text = || body.text(name).map(Field::value);
        let must_be = |why: &str| Mistyped(Invalid::new(name, why));
        Ok(match self.kind {
            FieldKind::Flag(set) => {
                // Null is an error in a change: a flag has no empty value.
                set(body.flag(name)?.value().ok_or_else(|| must_be("must be true or false"))?)
            }
            FieldKind::Text(set) => set(text()?.map(Box::from)),
            // Web addresses only: extra schemes are for destinations.
            FieldKind::Web(set) => set(text()?.map(|url| Destination::parse_web(name, url)).transpose()?),
            FieldKind::Since(set) => set(body.start(name)?.value()),
            FieldKind::Until(set) => set(body.end(name)?.value()),
            // 0 passes here and is rejected by `Options::apply`, with the same text.
            FieldKind::Clicks(set) => set(body.count(name, CLICKS_RULE)?.value()),
            FieldKind::Status => Edit::Status(status(name, body.get(name))?),
            FieldKind::Tags => Edit::Tags(tag_ids(body, name)?),
            FieldKind::Webhooks => Edit::WebhookUrls(webhooks(name, body)?),
            FieldKind::Rules => Edit::Rules(match body.list(name)? {
                Field::Value(items) => rules::read(items)?,
                Field::Absent | Field::Null => Vec::new(),
            }),
            FieldKind::Campaign => {
                Edit::Campaign(text()?.map(|id| ForeignId::parse(name, trim_invisible(id))).transpose()?)
            }
        })
    }
}

/// Reads a list of ids of tags, which is not absent.
fn tag_ids(body: &Object, name: &'static str) -> Result<Vec<Id>, FieldError> {
    let absent = || Mistyped(Invalid::new(name, "must be an array of strings"));
    let tags = body.texts(name)?.value().ok_or_else(absent)?;
    let parse = |tag: &str| {
        trim_invisible(tag).parse().map_err(|_| Invalid::new(name, format!("{tag:?} is not a tag's id")))
    };
    Ok(tags.into_iter().map(parse).collect::<Result<_, _>>()?)
}

/// The fields of a change that remove tags of the link, and add some.
pub const TAG_CHANGES: [&str; 2] = ["removeTagIds", "addTagIds"];

/// Returns the edits that remove tags and then add some. Two changes at the same time keep what each of them has added.
pub fn tag_changes(body: &Object) -> Result<Vec<Edit>, FieldError> {
    let mut edits = Vec::new();
    for (name, set) in TAG_CHANGES.into_iter().zip([Edit::RemoveTags as fn(Vec<Id>) -> Edit, Edit::AddTags]) {
        if matches!(body.get(name), Field::Absent) {
            continue;
        }
        if !matches!(body.get("tagIds"), Field::Absent) {
            return Err(Invalid::new(name, "cannot be given together with tagIds").into());
        }
        // Removals come first, so that a link at its limit can exchange a tag.
        edits.push(set(tag_ids(body, name)?));
    }
    Ok(edits)
}

/// The rule of a status.
const STATUS_RULE: &str = "must be PERMANENT_301, TEMPORARY_302, 301, 302, 307 or 308";

/// Parses a status: `PERMANENT_301`, `TEMPORARY_302`, or the number as number or string (docs/decisions.md A9).
fn status(name: &'static str, field: Field<&Json>) -> Result<RedirectStatus, FieldError> {
    let code = match field {
        Field::Value(Json::Text(text)) => match text.as_str() {
            "PERMANENT_301" | "301" => Some(301),
            "TEMPORARY_302" | "302" => Some(302),
            "307" => Some(307),
            "308" => Some(308),
            _ => None,
        },
        // Any other number gets the error that lists the statuses.
        Field::Value(Json::Number(number)) => whole(number).and_then(|code| u16::try_from(code).ok()),
        Field::Absent | Field::Null | Field::Value(_) => {
            return Err(Mistyped(Invalid::new(name, STATUS_RULE)).into());
        }
    };
    code.and_then(RedirectStatus::from_code).ok_or_else(|| Invalid::new(name, STATUS_RULE).into())
}

/// Returns the name of a state by its checks.
pub(super) fn show_health(state: HealthState) -> &'static str {
    match state {
        HealthState::Ok => "ok",
        HealthState::Failing => "failing",
        HealthState::Broken => "broken",
        HealthState::Unknown => "unknown",
    }
}

/// Returns the name of a status (docs/decisions.md A9).
pub fn show_status(status: RedirectStatus) -> &'static str {
    match status {
        RedirectStatus::MovedPermanently => "PERMANENT_301",
        RedirectStatus::Found => "TEMPORARY_302",
        RedirectStatus::TemporaryRedirect => "307",
        RedirectStatus::PermanentRedirect => "308",
    }
}

/// Parses `URL`, `MAILTO`, `TEL` or `SMS`.
pub fn link_type(text: &str) -> Result<LinkType, Invalid> {
    let known = [LinkType::Url, LinkType::Mailto, LinkType::Tel, LinkType::Sms];
    let found = known.into_iter().find(|kind| show_link_type(*kind) == text);
    found.ok_or_else(|| Invalid::new("linkType", "must be URL, MAILTO, TEL or SMS"))
}

/// Returns the name of a link's type.
pub fn show_link_type(kind: LinkType) -> &'static str {
    match kind {
        LinkType::Url => "URL",
        LinkType::Mailto => "MAILTO",
        LinkType::Tel => "TEL",
        LinkType::Sms => "SMS",
    }
}

/// Returns webhook URLs as one comma-separated string, which can be sent back: a comma of a URL is `%2C`.
pub fn show_webhooks(urls: &[Destination]) -> Option<String> {
    let urls: Vec<_> = urls.iter().map(Destination::shown_in_list).collect();
    (!urls.is_empty()).then(|| urls.join(","))
}

/// Parses one comma-separated string, or an array of strings. Null and an empty string clear the list. An
/// empty part is an error: it is likely a URL that was forgotten.
fn webhooks(name: &'static str, body: &Object) -> Result<Vec<Destination>, FieldError> {
    let urls: Vec<&str> = match body.get(name) {
        Field::Absent | Field::Null => Vec::new(),
        Field::Value(Json::Text(text)) if text.trim().is_empty() => Vec::new(),
        // A URL with a comma must use the array, or write it as `%2C`, as `show_webhooks` does.
        Field::Value(Json::Text(text)) => text.split(',').collect(),
        Field::Value(Json::List(_)) => body.texts(name)?.value().unwrap_or_default(),
        Field::Value(_) => {
            let why = "must be a comma-separated string, or an array of strings";
            return Err(Mistyped(Invalid::new(name, why)).into());
        }
    };
    // Spaces are usual behind commas. Other white space is an error of the URL.
    let parse = |url: &str| match url.trim_matches(' ') {
        "" => Err(Invalid::new(name, "must not have an empty part")),
        url => Destination::parse_web(name, url),
    };
    Ok(urls.into_iter().map(parse).collect::<Result<_, _>>()?)
}
