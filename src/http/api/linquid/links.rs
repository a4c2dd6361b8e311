//! Requests about links: create, list, get, change.
//!
//! Null clears what can be cleared, and says nothing on create. A password is removed by `""`
//! alone: the vendor's older pages show it as null, and a client that sends back what it was shown
//! must not remove it.

use super::{campaigns, object, paging, read, write};
use crate::clock::{NotATimestamp, Timestamp};
use crate::http::api::dialect::{Asked, Call, Command, Cursor, LinkQuery, Names, Refusal, Sort};
use crate::http::api::json::{Fields, Given, Mistyped};
use crate::model::Invalid;
use crate::model::destination::LinkType;
use crate::model::id::Id;
use crate::model::link::{CLICKS_RULE, DomainChoice, Draft, Edit, Password, Patch};
use crate::model::short_code::{ShortCode, canonical};

pub(super) const PREFIX: &str = "link_";

/// `POST /api/links`.
pub(super) fn create(call: &Call<'_>) -> Result<Asked, Refusal> {
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
pub(super) fn update(call: &Call<'_>) -> Result<Asked, Refusal> {
    let id = id(call)?;
    let body = object(call)?;
    let destination = match body.text("destinationUrl")? {
        Given::Absent => None,
        Given::Null => return Err(mistyped("destinationUrl", "must be a string")),
        Given::Value(url) => Some(url.into()),
    };
    let password = match body.text("password")? {
        Given::Absent | Given::Null => None,
        Given::Value("") => Some(None),
        Given::Value(text) => Some(Some(Password::parse(text)?)),
    };
    let patch = Patch { destination, password, edits: edits(&body, true)? };
    let names = names(&body, true)?;
    write(call, &body, Command::UpdateNamedLink { id, patch, names })
}

/// `GET /api/links/{id}`: by id or, as on the vendor's older pages, by short code. What can be an
/// id is one.
pub(super) fn get(call: &Call<'_>) -> Result<Asked, Refusal> {
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
pub(super) fn list(call: &Call<'_>) -> Result<Asked, Refusal> {
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
pub(super) fn id(call: &Call<'_>) -> Result<Id, Refusal> {
    let text = call.id.strip_prefix(PREFIX).unwrap_or(call.id);
    text.parse().map_err(|_| Refusal::NotFound("link"))
}

/// A domain's id, or its name, which the vendor's default domain is called by.
fn domain(body: &Fields) -> Result<DomainChoice, Refusal> {
    let Some(text) = body.text("domainId")?.value().filter(|text| !text.is_empty()) else {
        return Ok(DomainChoice::Default);
    };
    Ok(text.parse().map_or_else(|_| DomainChoice::Name(text.into()), DomainChoice::Id))
}

/// What is set by the fields that are there; on create, null is as good as absent.
fn edits(body: &Fields, clears: bool) -> Result<Vec<Edit>, Refusal> {
    let mut edits = Vec::new();
    for (name, set) in [("title", Edit::Title as SetText), ("description", Edit::Description)] {
        edits.extend(said(body.text(name)?, clears).map(|text| set(text.map(Box::from))));
    }
    match body.flag("enabled")? {
        Given::Value(on) => edits.push(Edit::IsActive(on)),
        Given::Null if clears => return Err(mistyped("enabled", "must be true or false")),
        Given::Null | Given::Absent => {}
    }
    let expires_at = body.text("expiresAt")?.map(instant).transpose()?;
    edits.extend(said(expires_at, clears).map(Edit::ExpiresAt));
    edits.extend(said(body.count("clicksLimit", CLICKS_RULE)?, clears).map(Edit::MaxClicks));
    Ok(edits)
}

type SetText = fn(Option<Box<str>>) -> Edit;

/// Tags and campaign. An empty campaign is none: forms send it for a choice that was not made.
fn names(body: &Fields, clears: bool) -> Result<Names, Refusal> {
    let tags = said(body.texts("tags")?, clears);
    let campaign = match body.text("campaignId")? {
        Given::Value("") => Given::Null,
        given => given.map(|id| campaigns::named("campaignId", id)).transpose()?,
    };
    Ok(Names {
        tags: tags.map(|tags| tags.unwrap_or_default().into_iter().map(Box::from).collect()),
        campaign: said(campaign, clears),
    })
}

fn said<T>(given: Given<T>, clears: bool) -> Option<Option<T>> {
    given.nullable().filter(|value| clears || value.is_some())
}

fn instant(text: &str) -> Result<Timestamp, Invalid> {
    text.parse().map_err(|error: NotATimestamp| Invalid::new("expiresAt", error.to_string()))
}

fn mistyped(field: &'static str, why: &str) -> Refusal {
    Mistyped(Invalid::new(field, why)).into()
}
