//! Requests about links: create, list, get, change.
//!
//! Null clears what can be cleared, and says nothing on create. A password is removed by `""`
//! alone: the vendor's older pages show it as null, and a client that sends back what it was shown
//! must not remove it.

use super::{campaigns, object, paging, read, write};
use crate::clock::{NotATimestamp, Timestamp};
use crate::http::api::dialect::{
    BadRequest, Command, Cursor, LinkQuery, Names, RequestParts, ScopedCommand, Sort,
};
use crate::http::api::json::{Field, Fields, Mistyped};
use crate::model::Invalid;
use crate::model::destination::LinkType;
use crate::model::id::Id;
use crate::model::link::{CLICKS_RULE, DomainChoice, Draft, Edit, Password, Patch};
use crate::model::short_code::{ShortCode, canonical};

pub(super) const PREFIX: &str = "link_";

/// `POST /api/links`.
pub(super) fn create(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(call)?;
    let password = body.text("password")?.value().filter(|text| !text.is_empty());
    let code = body.text("shortCode")?.value().filter(|text| !text.is_empty());
    let draft = Draft {
        domain: domain(&body)?,
        code: code.map(ShortCode::parse).transpose()?,
        destination: body.required("destinationUrl")?.into(),
        link_type: LinkType::Url,
        password: password.map(Password::parse).transpose()?,
        edits: edits(&body, false)?,
    };
    let names = names(&body, false)?;
    write(call, &body, Command::CreateNamedLink(draft, names))
}

/// `PATCH /api/links/{id}`: what is not in it, or is not said in this dialect, stays as it is.
pub(super) fn update(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = id(call)?;
    let body = object(call)?;
    let destination = match body.text("destinationUrl")? {
        Field::Absent => None,
        Field::Null => return Err(mistyped("destinationUrl", "must be a string")),
        Field::Value(url) => Some(url.into()),
    };
    let password = match body.text("password")? {
        Field::Absent | Field::Null => None,
        Field::Value("") => Some(None),
        Field::Value(text) => Some(Some(Password::parse(text)?)),
    };
    let patch = Patch { destination, password, edits: edits(&body, true)? };
    let names = names(&body, true)?;
    write(call, &body, Command::UpdateNamedLink { id, patch, names })
}

/// `GET /api/links/{id}`: by id or, as on the vendor's older pages, by short code. What can be an
/// id is one.
pub(super) fn get(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let command = match id(call) {
        Ok(id) => Command::Link(id),
        Err(not_found) => {
            let code = canonical(call.id).and_then(|code| ShortCode::parse(&code).ok());
            Command::LinkByCode(code.ok_or(not_found)?)
        }
    };
    read(call, command)
}

/// `GET /api/links?page&limit&campaignId`.
pub(super) fn list(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let paging = paging(&call.query)?;
    let campaign = call.query.text("campaignId")?.map(|id| campaigns::named("campaignId", id));
    let query = LinkQuery {
        at: Cursor::Page(paging.page),
        limit: paging.limit,
        search: None,
        domain: None,
        tag: None,
        campaign: campaign.transpose()?,
        is_active: None,
        sort: Sort::Newest,
        is_whole: true,
    };
    read(call, Command::Links(query))
}

/// The link in the path.
pub(super) fn id(call: &RequestParts<'_>) -> Result<Id, BadRequest> {
    let text = call.id.strip_prefix(PREFIX).unwrap_or(call.id);
    text.parse().map_err(|_| BadRequest::NotFound("link"))
}

/// A domain's id, or its name, which the vendor's default domain is called by.
fn domain(body: &Fields) -> Result<DomainChoice, BadRequest> {
    let Some(text) = body.text("domainId")?.value().filter(|text| !text.is_empty()) else {
        return Ok(DomainChoice::Default);
    };
    Ok(text.parse().map_or_else(|_| DomainChoice::Name(text.into()), DomainChoice::Id))
}

/// What is set by the fields that are there; on create, null is as good as absent.
fn edits(body: &Fields, clears: bool) -> Result<Vec<Edit>, BadRequest> {
    let mut edits = Vec::new();
    for (name, set) in [("title", Edit::Title as SetText), ("description", Edit::Description)] {
        edits.extend(said(body.text(name)?, clears).map(|text| set(text.map(Box::from))));
    }
    match body.flag("enabled")? {
        Field::Value(on) => edits.push(Edit::IsActive(on)),
        Field::Null if clears => return Err(mistyped("enabled", "must be true or false")),
        Field::Null | Field::Absent => {}
    }
    let expires_at = body.text("expiresAt")?.map(instant).transpose()?;
    edits.extend(said(expires_at, clears).map(Edit::ExpiresAt));
    edits.extend(said(body.count("clicksLimit", CLICKS_RULE)?, clears).map(Edit::MaxClicks));
    Ok(edits)
}

type SetText = fn(Option<Box<str>>) -> Edit;

/// Tags and campaign. An empty campaign is none: forms send it for a choice that was not made.
fn names(body: &Fields, clears: bool) -> Result<Names, BadRequest> {
    let tags = said(body.texts("tags")?, clears);
    let campaign = match body.text("campaignId")? {
        Field::Value("") => Field::Null,
        given => given.map(|id| campaigns::named("campaignId", id)).transpose()?,
    };
    Ok(Names {
        tags: tags.map(|tags| tags.unwrap_or_default().into_iter().map(Box::from).collect()),
        campaign: said(campaign, clears),
    })
}

fn said<T>(given: Field<T>, clears: bool) -> Option<Option<T>> {
    given.nullable().filter(|value| clears || value.is_some())
}

fn instant(text: &str) -> Result<Timestamp, Invalid> {
    text.parse().map_err(|error: NotATimestamp| Invalid::new("expiresAt", error.to_string()))
}

fn mistyped(field: &'static str, why: &str) -> BadRequest {
    Mistyped(Invalid::new(field, why)).into()
}
