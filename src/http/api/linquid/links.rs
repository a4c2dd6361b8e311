//! Requests about links: create, list, get, change.
//!
//! Null clears a field that can be cleared, and is ignored on create. Only `""` removes a password: the vendor's
//! older pages show it as null, and a client that sends back a whole link must not remove it.

use super::campaigns;
use super::paging::paging;
use crate::http::api::dialect::{
    BadRequest, CodeRef, Command, Cursor, ImmutableFields, LinkAct, LinkQuery, RequestParts, ScopedCommand,
    Sort, StateFilter, object, read, write,
};
use crate::json::{Field, Json, Mistyped, Object};
use crate::model::Invalid;
use crate::model::destination::LinkType;
use crate::model::id::Id;
use crate::model::link::{AddressPatch, CLICKS_RULE, DomainChoice, Draft, Edit, Names, Password, Patch};
use crate::model::short_code::{ShortCode, canonical};

/// Before the id of a link.
pub(super) const PREFIX: &str = "link_";

/// Parses `POST /api/links`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    check_rules(&body)?;
    let password = body.text("password")?.value();
    // An empty field of a form is null, which means a generated code.
    let code = body.text("shortCode")?.value();
    let draft = Draft {
        domain: domain(&body)?,
        code: code.map(ShortCode::parse).transpose()?,
        destination: body.required("destinationUrl")?.into(),
        // The vendor has no field for another type.
        link_type: LinkType::Url,
        password: password.map(Password::parse).transpose()?,
        edits: edits(&body, false)?,
        names: names(&body, false)?,
        reuse: false,
        code_prefix: None,
    };
    write(request, &body, Command::CreateLink(draft))
}

/// Parses `PATCH /api/links/{id}`. Fields that are absent, or unknown to this dialect, stay unchanged.
pub(super) fn update(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = id_to_change(request)?;
    let body = object(request)?;
    check_rules(&body)?;
    let destination = body.optional("destinationUrl")?.map(Box::from);
    // `string`, since `""` and null differ here.
    let password = match body.string("password")? {
        Field::Absent | Field::Null => None,
        Field::Value("") => Some(None),
        Field::Value(text) => Some(Some(Password::parse(text)?)),
    };
    let patch = Patch {
        destination,
        password,
        edits: edits(&body, true)?,
        names: names(&body, true)?,
        address: AddressPatch::default(),
    };
    // Code and domain are not in the vendor's PATCH, and unknown fields are ignored (docs/decisions.md A2).
    write(request, &body, Command::UpdateLink { id, patch, fixed: ImmutableFields::default() })
}

/// Parses `GET /api/links/{id}`: by id or, as on the vendor's older pages, by short code. A text that can be
/// both is searched as an id first.
pub(super) fn get(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let code = canonical(request.id).and_then(|code| ShortCode::parse(&code).ok());
    let command = match (id(request), code) {
        (Ok(id), Some(code)) => Command::LinkByIdOrCode(id, code),
        (Ok(id), None) => Command::Link(id),
        (Err(_), Some(code)) => {
            Command::LinkByCode(CodeRef { domain: DomainChoice::Default, code }, LinkAct::Read)
        }
        (Err(not_found), None) => return Err(not_found),
    };
    read(request, command)
}

/// Parses `GET /api/links?page&limit&campaignId`.
pub(super) fn list(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let paging = paging(&request.query)?;
    let campaign = request.query.text("campaignId")?.map(|id| campaigns::named("campaignId", id));
    let query = LinkQuery {
        at: Cursor::Page(paging.page),
        limit: paging.limit,
        search: None,
        domain: None,
        tag: None,
        campaign: campaign.transpose()?,
        tag_named: None,
        campaign_named: None,
        state: StateFilter::default(),
        unclicked_days: None,
        only_broken: false,
        sort: Sort::Newest,
        // They have paths of their own: `/api/rules`.
        shows_rules: false,
        // Without a cursor a client would take a shorter page for the end of the list.
        is_whole: true,
    };
    read(request, Command::Links(query))
}

/// Rejects rules in the body of a link. Unlike other unknown fields they are not ignored: their visitors would get
/// another destination than the client has set.
fn check_rules(body: &Object) -> Result<(), BadRequest> {
    let is_empty = matches!(body.get("rules"), Field::Value(Json::List(items)) if items.is_empty());
    match body.get("rules") {
        Field::Value(_) if !is_empty => {
            let why = "are created and changed one at a time, with `/api/rules`";
            Err(Invalid::new("rules", why).below(".rules").into())
        }
        Field::Value(_) | Field::Null | Field::Absent => Ok(()),
    }
}

/// Returns the link in the path.
pub(super) fn id(request: &RequestParts<'_>) -> Result<Id, BadRequest> {
    id_in(request.id)
}

/// Returns the link in the path of a request that changes it. Fails with the path by code if the path has a code: a code
/// may be a former one, and a deletion would remove the whole link.
pub(super) fn id_to_change(request: &RequestParts<'_>) -> Result<Id, BadRequest> {
    id_or_hint(request.id)
}

/// Returns the link of an id. Fails with the path by code if the text is a code.
pub(super) fn id_or_hint(text: &str) -> Result<Id, BadRequest> {
    // A text that can be neither stays unknown, without a hint that leads nowhere.
    id_in(text).map_err(|not_found| match canonical(text).map(|code| ShortCode::parse(&code)) {
        Some(Ok(_)) => BadRequest::CodeForId("GET /api/links/CODE"),
        _ => not_found,
    })
}

/// Returns the link of an id, with or without its prefix.
pub(super) fn id_in(text: &str) -> Result<Id, BadRequest> {
    let text = text.strip_prefix(PREFIX).unwrap_or(text);
    text.parse().map_err(|_| BadRequest::NotFound("link"))
}

/// Reads the id of a domain, or its name: the vendor's default domain has a name in place of an id.
fn domain(body: &Object) -> Result<DomainChoice, BadRequest> {
    let Some(text) = body.text("domainId")?.value() else {
        return Ok(DomainChoice::Default);
    };
    Ok(text.parse().map_or_else(|_| DomainChoice::Name(text.into()), DomainChoice::Id))
}

/// Returns the edits that the fields set. Without `clears`, as on create, null is ignored.
fn edits(body: &Object, clears: bool) -> Result<Vec<Edit>, BadRequest> {
    let mut edits = Vec::new();
    for (name, set) in [("title", Edit::Title as SetText), ("description", Edit::Description)] {
        edits.extend(settable(body.text(name)?, clears).map(|text| set(text.map(Box::from))));
    }
    match body.flag("enabled")? {
        Field::Value(on) => edits.push(Edit::IsActive(on)),
        // A flag has no empty state that null could set.
        Field::Null if clears => return Err(mistyped("enabled", "must be true or false")),
        Field::Null | Field::Absent => {}
    }
    edits.extend(settable(body.end("expiresAt")?, clears).map(Edit::ExpiresAt));
    edits.extend(settable(body.count("clicksLimit", CLICKS_RULE)?, clears).map(Edit::MaxClicks));
    Ok(edits)
}

type SetText = fn(Option<Box<str>>) -> Edit;

/// Reads tags and campaign.
fn names(body: &Object, clears: bool) -> Result<Names, BadRequest> {
    let tags = settable(body.texts("tags")?, clears);
    let campaign = body.text("campaignId")?.map(|id| campaigns::named("campaignId", id)).transpose()?;
    Ok(Names {
        // Tags are names here, created on demand (docs/decisions.md A17).
        tags: tags.map(|tags| tags.unwrap_or_default().into_iter().map(Box::from).collect()),
        campaign: settable(campaign, clears),
        ..Names::default()
    })
}

/// Returns the value that a field sets, with null as `Some(None)` only if `clears`.
fn settable<T>(field: Field<T>, clears: bool) -> Option<Option<T>> {
    field.nullable().filter(|value| clears || value.is_some())
}

fn mistyped(field: &'static str, why: &str) -> BadRequest {
    Mistyped(Invalid::new(field, why)).into()
}
