//! Requests about links: create, bulk, list, change.
//!
//! `linkType` cannot change. A PATCH may repeat it, since clients send back whole objects; another value is
//! rejected. Another `customSlug` or `domain` renames the link. The `utm*` fields can change, unlike at the vendor.

use super::cursors;
use super::filters::filled;
use super::unknown::{NEW_LINK, UnknownFields};
use crate::clock::GivenTime;
use crate::formats::waypost::{draft, fields};
use crate::http::api::dialect::{
    BadRequest, Bulk, CodeRef, Command, Cursor, ImmutableFields, LIMIT_DEFAULT, LIMIT_MAX, LinkAct,
    LinkQuery, ROWS_MAX, RequestParts, ScopedCommand, Sort, StateFilter, object, read, write,
};
use crate::http::api::query::Query;
use crate::json::{Field, FieldError, Json, Mistyped, Object};
use crate::model::Invalid;
use crate::model::id::{ForeignId, Id};
use crate::model::link::{AddressPatch, DomainChoice, Draft, Names, Password, Patch};
use crate::model::short_code::{ShortCode, canonical};

/// Highest page number. A page costs what it skips; a cursor costs the same at any depth.
const PAGE_MAX: u64 = 1_000_000_000;

/// Longest search text in characters. A longer text occurs in no code and in few titles.
const SEARCH_MAX: usize = 500;

/// Most days of `noClicksDays`.
const DAYS_MAX: u64 = 3_650;

/// The field of the rows of a bulk.
const ROWS: &str = "links";

/// The fields of a bulk, beside those of its rows.
const BULK: &[&str] = &[ROWS, "domain", "atomic", "workspaceId"];

/// The fields of `POST /render`.
pub(super) const TEMPLATE: &[&[&str]] = &[&["text", "contactId", "workspaceId"]];

/// Parses `POST /links`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let draft = draft::read(&body, &DomainChoice::Default)?;
    write(request, &body, Command::CreateLink(draft))
}

/// Parses `POST /links/bulk`. A row that is no link fails alone.
pub(super) fn create_bulk(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    // The vendor requires it here. Without it the default domain is used, as for one link (docs/decisions.md
    // A10).
    let domain = draft::domain(&body)?.unwrap_or(DomainChoice::Default);
    let rows = match body.list("links")? {
        Field::Value(rows) => rows,
        Field::Absent => return Err(BadRequest::Mistyped(Invalid::new("links", "is required"))),
        Field::Null => return Err(BadRequest::Mistyped(Invalid::new("links", "must be an array"))),
    };
    // Before the rows are read: each becomes a draft in memory.
    if rows.is_empty() || rows.len() > ROWS_MAX {
        return Err(BadRequest::Rule(Invalid::new("links", "must be 1 to 1000 links")));
    }
    let atomic = body.flag("atomic")?.value().unwrap_or(false);
    let mut unknown = UnknownFields::default();
    unknown.note("", &body, &[BULK]);
    for (at, row) in rows.iter().enumerate() {
        if let Json::Object(row) = row {
            unknown.note(&format!("links[{at}]."), row, NEW_LINK);
        }
    }
    let rows = rows.iter().enumerate().map(|(at, row)| self::row(at, row, &domain)).collect();
    let scoped = write(request, &body, Command::CreateBulk(Bulk { domain, rows, atomic }))?;
    Ok(ScopedCommand { warnings: unknown.warnings(), ..scoped })
}

fn row(at: usize, row: &Json, domain: &DomainChoice) -> Result<Draft, Invalid> {
    // Also for a row that is null: it has a number, and the rows behind it are created.
    let Json::Object(row) = row else {
        return Err(Invalid { at: format!("[{at}]").into(), ..Invalid::new(ROWS, "must be an object") });
    };
    // Either kind of error fails the row alone: the response has one `reason` for both.
    draft::read(row, domain).map_err(|(FieldError::Mistyped(invalid) | FieldError::Rule(invalid))| invalid)
}

/// Returns the id of a link in the path. Fails with the path by code if the path has a code in its place.
pub(super) fn id(request: &RequestParts<'_>) -> Result<Id, BadRequest> {
    request.id("link").map_err(|error| match code_of(request) {
        Some(_) => BadRequest::CodeForId("/api/v1/links/by-code/CODE"),
        None => error,
    })
}

/// Parses `PATCH /links/{id}`.
pub(super) fn update(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = id(request)?;
    let body = object(request)?;
    let (patch, fixed) = change(&body)?;
    write(request, &body, Command::UpdateLink { id, patch, fixed })
}

/// Parses `PATCH /links/by-code/{code}?domain=`.
pub(super) fn update_by_code(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let named = code_ref(request)?;
    let body = object(request)?;
    let (patch, fixed) = change(&body)?;
    write(request, &body, Command::LinkByCode(named, LinkAct::Update { patch: Box::new(patch), fixed }))
}

/// Parses `/links/by-code/{code}?domain=`, and the paths below it, without a body.
pub(super) fn by_code(request: &RequestParts<'_>, act: LinkAct) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::LinkByCode(code_ref(request)?, act))
}

fn code_ref(request: &RequestParts<'_>) -> Result<CodeRef, BadRequest> {
    // 404 for a text that can be no code, as for an id.
    let code = code_of(request).ok_or(BadRequest::NotFound("link"))?;
    let domain = request.query.text("domain")?.map(|name| DomainChoice::Name(name.into()));
    Ok(CodeRef { domain: domain.unwrap_or(DomainChoice::Default), code })
}

fn code_of(request: &RequestParts<'_>) -> Option<ShortCode> {
    canonical(request.id).and_then(|code| ShortCode::parse(&code).ok())
}

fn change(body: &Object) -> Result<(Patch, ImmutableFields), BadRequest> {
    let destination = body.optional("url")?.map(Box::from);
    let password = match body.text("password")? {
        // A client that sends back a whole link sends the mask (docs/decisions.md A14).
        Field::Absent | Field::Value(draft::MASK) => None,
        Field::Null => Some(None),
        Field::Value(text) => Some(Some(Password::parse(text)?)),
    };
    let fixed = ImmutableFields {
        link_type: body.text("linkType")?.map(fields::link_type).transpose()?.value(),
        // This dialect never shows a code in place of a title.
        lent_title: None,
    };
    // Tags and campaigns are ids in this dialect, so they are edits and not names.
    let patch = Patch {
        destination,
        password,
        edits: [fields::of_patch(body)?, fields::tag_changes(body)?].concat(),
        names: Names::default(),
        address: address(body)?,
    };
    Ok((patch, fixed))
}

/// Reads where a link is to be.
pub(super) fn address(body: &Object) -> Result<AddressPatch, FieldError> {
    let (domain, code) = (body.text("domain")?.value().map(Box::from), draft::code(body)?);
    let keeps_old = body.flag("keepOldCode")?.value().unwrap_or(false);
    if keeps_old && domain.is_none() && code.is_none() {
        return Err(Invalid::new("keepOldCode", "works only with another customSlug or domain").into());
    }
    let aliases = match body.list("aliases")? {
        Field::Absent => None,
        Field::Null => Some(Vec::new()),
        Field::Value(_) => Some(draft::aliases(body)?),
    };
    Ok(AddressPatch { domain, code, keeps_old, aliases })
}

/// Parses `GET /links`.
pub(super) fn list(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let query = link_query(&request.query)?;
    read(request, Command::Links(query))
}

fn link_query(query: &Query<'_>) -> Result<LinkQuery, BadRequest> {
    let mistyped = |field, why: &str| Mistyped(Invalid::new(field, why));
    let limit = query.number("limit", 1, LIMIT_MAX as u64)?.map(usize::try_from);
    let page = query.number("page", 1, PAGE_MAX)?;
    let sort = match query.text("sort")? {
        None => Sort::default(),
        Some(name) => {
            let why = "must be newest, oldest, clicks, clicks30d, lastClick or title";
            cursors::sort_of(name).ok_or_else(|| mistyped("sort", why))?
        }
    };
    let at = match query.text("cursor")? {
        None => Cursor::Page(page.unwrap_or(1)),
        Some(text) => cursors::parse(text, sort)?,
    };
    let search = query.text("search")?;
    if search.is_some_and(|text| text.chars().count() > SEARCH_MAX) {
        return Err(mistyped("search", "must be at most 500 characters").into());
    }
    let tag = |text: &str| text.parse::<Id>().map_err(|_| mistyped("tagId", "is not a tag's id"));
    Ok(LinkQuery {
        at,
        limit: limit.and_then(Result::ok).unwrap_or(LIMIT_DEFAULT),
        search: search.map(str::to_owned),
        domain: query.text("domain")?.map(str::to_owned),
        tag: query.text("tagId")?.map(tag).transpose()?,
        campaign: query
            .text("campaignId")?
            .map(|id| ForeignId::parse("campaignId", id).map(Into::into))
            .transpose()
            .map_err(Mistyped)?,
        tag_named: named(query, "tag", "tagId")?,
        campaign_named: named(query, "campaign", "campaignId")?,
        state: state(query)?,
        unclicked_days: query.number("noClicksDays", 1, DAYS_MAX)?.and_then(|days| u32::try_from(days).ok()),
        only_broken: only_broken(query)?,
        sort,
        shows_rules: true,
        // A page may end at 512 KB of links, since `nextCursor` continues behind it.
        is_whole: false,
    })
}

/// Reads the filters by what a link is.
fn state(query: &Query<'_>) -> Result<StateFilter, BadRequest> {
    let time = |name| -> Result<Option<GivenTime>, BadRequest> {
        let Some(text) = query.text(name)? else { return Ok(None) };
        let rule = "must be a date such as 2026-11-01, or a time such as 2026-11-01T10:00:00Z";
        GivenTime::parse_start(text).map(Some).map_err(|_| Mistyped(Invalid::new(name, rule)).into())
    };
    Ok(StateFilter {
        is_active: query.flag("isActive")?,
        has_rules: query.flag("hasRules")?,
        is_expired: query.flag("expired")?,
        created_from: time("createdFrom")?,
        created_to: time("createdTo")?,
    })
}

/// Reads `health`. Other states have no list.
fn only_broken(query: &Query<'_>) -> Result<bool, BadRequest> {
    match query.text("health")? {
        None => Ok(false),
        Some("broken") => Ok(true),
        Some(_) => Err(Mistyped(Invalid::new("health", "must be broken")).into()),
    }
}

/// Returns the object of an id or a name, which `by_id` names by its id alone.
fn named(query: &Query<'_>, name: &'static str, by_id: &str) -> Result<Option<Box<str>>, BadRequest> {
    filled(query, name, "a name or an id")?;
    let text = query.text(name)?;
    if text.is_some() && query.has(by_id) {
        return Err(Invalid::new(name, format!("must be given without `{by_id}`")).into());
    }
    Ok(text.map(Box::from))
}

/// Parses `POST /render {text, contactId?}`.
pub(super) fn render(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let text = body.required("text")?.into();
    let contact = body.text("contactId")?.value();
    let contact = contact.map(|id| ForeignId::parse("contactId", id)).transpose()?;
    write(request, &body, Command::Render { text, contact })
}

#[cfg(test)]
mod tests {
    use hyper::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::http::api::dialect::{ApiError, Body, Dialect as _, PathMatch, find};
    use crate::http::api::native::{Native, error};

    /// What a request parses to, or its status and error.
    fn parse(method: &str, target: &str, body: &str) -> Result<ScopedCommand, (u16, String)> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, q)| (path, Some(q)));
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let PathMatch::Endpoint(endpoint, id) = find(Native.endpoints(), &method, path) else {
            panic!("{method} {path} is no endpoint");
        };
        let request = RequestParts { id, query: Query::parse(query), body: body.as_bytes() };
        (endpoint.parse)(&request).map_err(|bad_request| {
            let Body { status, bytes, .. } = error::render(&ApiError::BadRequest(bad_request));
            let Ok(Json::Object(body)) = crate::json::parse(&bytes) else { panic!("not an object") };
            (status.as_u16(), body.required("error").expect("a sentence").to_owned())
        })
    }

    fn check_rejected(method: &str, target: &str, body: &str, status: u16, error: &str) {
        let got = parse(method, target, body).map(|command| format!("{command:?}"));
        assert_eq!(got, Err((status, error.to_owned())), "{method} {target} {body}");
    }

    #[test]
    fn rejected_creates() {
        const STATUS: &str = "redirectType: must be PERMANENT_301, TEMPORARY_302, 301, 302, 307 or 308";
        let rows = [
            (r"{}", 400, "url: is required"),
            // Null clears a field, and a link cannot be without a destination.
            (r#"{"url":null}"#, 400, "url: must be a string"),
            (r#"{"url":1}"#, 400, "url: must be a string"),
            (r"[]", 400, "the body must be a JSON object"),
            (r#"{"url":"u","domain":1}"#, 400, "domain: must be a string"),
            (r#"{"url":"u","customSlug":true}"#, 400, "customSlug: must be a string"),
            (
                r#"{"url":"u","customSlug":"api"}"#,
                422,
                "customSlug: is reserved for a path of Waypost: choose another code; reserved are api, links, snapshots, locations, healthz, readyz, metrics, .well-known, robots.txt, favicon.ico, assets, admin",
            ),
            (
                r#"{"url":"u","alias":".."}"#,
                422,
                "alias: must not be \".\" or \"..\", which browsers remove from a URL",
            ),
            (
                r#"{"url":"u","alias":"a","customSlug":"b"}"#,
                422,
                "alias: must equal customSlug when both are given",
            ),
            (r#"{"url":"u","redirectType":true}"#, 400, STATUS),
            (r#"{"url":"u","redirectType":"303"}"#, 422, STATUS),
            (
                // 302 and 65,536: a cast to 16 bits would accept it.
                r#"{"url":"u","redirectType":65838}"#,
                422,
                STATUS,
            ),
            (r#"{"url":"u","linkType":"FAX"}"#, 422, "linkType: must be URL, MAILTO, TEL or SMS"),
            (r#"{"url":"u","cloaked":"yes"}"#, 400, "cloaked: must be true or false"),
            (
                r#"{"url":"u","password":"********"}"#,
                422,
                "password: must be a new password: ******** only stands for a hidden one",
            ),
            (
                r#"{"url":"u","maxClicks":1.5}"#,
                400,
                "maxClicks: must be a whole number, at least 1, or null for no limit",
            ),
            (
                r#"{"url":"u","maxClicks":"5"}"#,
                400,
                "maxClicks: must be a whole number, at least 1, or null for no limit",
            ),
            // A number is ambiguous: some tools send seconds, some milliseconds.
            (
                r#"{"url":"u","expiresAt":1700000000000}"#,
                400,
                "expiresAt: must be a string with a date such as 2026-12-31, or a time such as 2026-12-31T23:59:59Z",
            ),
            (
                r#"{"url":"u","expiresAt":"2024-02-30"}"#,
                422,
                "expiresAt: must be a date such as 2026-12-31, or a time such as 2026-12-31T23:59:59Z",
            ),
            // The sentence is the model's, so only the status is checked.
            (r#"{"url":"u","image":"javascript:x"}"#, 422, ""),
            (r#"{"url":"u","tagIds":"x"}"#, 400, "tagIds: must be an array of strings"),
            (r#"{"url":"u","tagIds":["x"]}"#, 422, "tagIds: \"x\" is not a tag's id"),
            (
                r#"{"url":"u","webhookUrls":5}"#,
                400,
                "webhookUrls: must be a comma-separated string, or an array of strings",
            ),
            (
                r#"{"url":"u","webhookUrls":"https://a.test/,,https://b.test/"}"#,
                422,
                "webhookUrls: must not have an empty part",
            ),
            (
                r#"{"url":"u","webhookUrls":["https://a.test/",1]}"#,
                400,
                "webhookUrls: must be an array of strings",
            ),
            (
                r#"{"url":"u","campaignId":"a b"}"#,
                422,
                "campaignId: must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
            ),
            (r#"{"url":"u","workspaceId":1}"#, 400, "workspaceId: must be a string"),
        ];
        for (body, status, error) in rows {
            if error.is_empty() {
                assert_eq!(
                    parse("POST", "/api/v1/links", body).map_err(|e| e.0).err(),
                    Some(status),
                    "{body}"
                );
            } else {
                check_rejected("POST", "/api/v1/links", body, status, error);
            }
        }
    }

    #[test]
    fn a_create_with_everything() {
        // `5.0` is a whole number. Null on create and unknown fields are ignored (docs/decisions.md A2).
        let body = r#"{"url":"https://e.test/","domain":"go.test","alias":"x","title":"T","redirectType":308,
            "linkType":"URL","password":"secret","tagIds":[],"webhookUrls":" https://a.test/ ,https://b.test/h",
            "utmSource":"s","notes":null,"isActive":null,"maxClicks":5.0,"workspaceId":"ws","unknown":{"a":[1]}}"#;
        let scoped = parse("POST", "/api/v1/links/", body).expect("valid");
        assert_eq!(scoped.workspace.as_deref(), Some("ws"));
        let Command::CreateLink(draft) = scoped.command else { panic!("not a create") };
        assert_eq!(draft.domain, DomainChoice::Name("go.test".into()));
        assert_eq!(draft.code.as_ref().map(ShortCode::as_str), Some("x"));
        let edits = format!("{:?}", draft.edits);
        let want = "[Title(Some(\"T\")), Status(PermanentRedirect), MaxClicks(Some(5)), Tags([]), \
                    UtmSource(Some(\"s\")), WebhookUrls([Destination(\"https://a.test/\"), \
                    Destination(\"https://b.test/h\")])]";
        assert_eq!(edits, want);
    }

    const LINK: &str = "/api/v1/links/000000000000000000AB";

    #[test]
    fn null_clears_and_a_masked_password_stays() {
        let body = r#"{"title":null,"maxClicks":null,"webhookUrls":null,"password":"********","image":null,
            "expiresAt":null,"domain":"go.test","linkType":"TEL","customSlug":"x"}"#;
        let Ok(ScopedCommand { command: Command::UpdateLink { patch, .. }, .. }) = parse("PATCH", LINK, body)
        else {
            panic!("not an update");
        };
        let want = "[Title(None), Image(None), ExpiresAt(None), MaxClicks(None), WebhookUrls([])]";
        assert_eq!(format!("{:?}", patch.edits), want);
        assert!(patch.password.is_none() && patch.destination.is_none());
        assert_eq!(patch.address.domain.as_deref(), Some("go.test"));
        assert_eq!(patch.address.code.as_ref().map(ShortCode::as_str), Some("x"));
        let Ok(ScopedCommand { command: Command::UpdateLink { patch, .. }, .. }) =
            parse("PATCH", LINK, r#"{"password":null,"url":"u"}"#)
        else {
            panic!("not an update");
        };
        assert!(matches!(patch.password, Some(None)));
        assert_eq!(patch.destination.as_deref(), Some("u"));
        check_rejected("PATCH", LINK, r#"{"isActive":null}"#, 400, "isActive: must be true or false");
        check_rejected("PATCH", LINK, r#"{"url":null}"#, 400, "url: must be a string");
        check_rejected("PATCH", LINK, r#"{"tagIds":null}"#, 400, "tagIds: must be an array of strings");
        let by_code = "link not found: an id is needed here; by code, it is /api/v1/links/by-code/CODE";
        check_rejected("PATCH", "/api/v1/links/x", "{}", 404, by_code);
        check_rejected("PATCH", "/api/v1/links/%00", "{}", 404, "link not found");
    }

    #[test]
    fn bulk_rows_fail_alone() {
        let path = "/api/v1/links/bulk";
        let body =
            r#"{"domain":"go.test","links":[{"url":"u"},{"url":1},{"url":"u","customSlug":"api"},null,5]}"#;
        let Ok(ScopedCommand { command: Command::CreateBulk(bulk), .. }) = parse("POST", path, body) else {
            panic!("not a bulk");
        };
        let rows: Vec<_> =
            bulk.rows.iter().map(|row| row.as_ref().map(|_| ()).map_err(ToString::to_string)).collect();
        let failed = |why: &str| Err(why.to_owned());
        assert_eq!(
            rows,
            [
                Ok(()),
                failed("url: must be a string"),
                failed(
                    "customSlug: is reserved for a path of Waypost: choose another code; reserved are api, links, snapshots, locations, healthz, readyz, metrics, .well-known, robots.txt, favicon.ico, assets, admin"
                ),
                failed("links[3]: must be an object"),
                failed("links[4]: must be an object"),
            ]
        );
        assert!(!bulk.atomic);
        check_rejected("POST", path, "{}", 400, "links: is required");
        check_rejected("POST", path, r#"{"links":[]}"#, 422, "links: must be 1 to 1000 links");
        let many = format!(r#"{{"links":[{}{{}}]}}"#, "{},".repeat(1_000));
        check_rejected("POST", path, &many, 422, "links: must be 1 to 1000 links");
    }

    #[test]
    fn list_queries() {
        let list = |query: &str| parse("GET", &format!("/api/v1/links?{query}"), "ignored");
        let Ok(ScopedCommand { command: Command::Links(query), workspace, .. }) =
            list("page=3&limit=100&search=a+b&isActive=false&sort=title&workspaceId=w&domain=go.test")
        else {
            panic!("not a list");
        };
        assert_eq!((query.at, query.limit, query.sort), (Cursor::Page(3), 100, Sort::Title));
        assert_eq!((query.search.as_deref(), query.state.is_active), (Some("a b"), Some(false)));
        assert_eq!(workspace.as_deref(), Some("w"));
        let rows = [
            ("limit=0", "limit: must be a whole number from 1 to 100"),
            ("limit=1000000000", "limit: must be a whole number from 1 to 100"),
            ("limit=abc", "limit: must be a whole number from 1 to 100"),
            ("page=9223372036854775807", "page: must be a whole number from 1 to 1000000000"),
            ("cursor=garbage", "cursor: must be the nextCursor of an earlier response"),
            ("sort=x", "sort: must be newest, oldest, clicks, clicks30d, lastClick or title"),
            ("isActive=1", "isActive: must be true or false"),
            ("noClicksDays=0", "noClicksDays: must be a whole number from 1 to 3650"),
            ("hasRules=yes", "hasRules: must be true or false"),
            ("expired=1", "expired: must be true or false"),
            (
                "createdFrom=yesterday",
                "createdFrom: must be a date such as 2026-11-01, or a time such as 2026-11-01T10:00:00Z",
            ),
            (
                "createdTo=2026-13-01",
                "createdTo: must be a date such as 2026-11-01, or a time such as 2026-11-01T10:00:00Z",
            ),
            ("tagId=x", "tagId: is not a tag's id"),
            ("limit=1&limit=2", "limit: must be given once"),
        ];
        for (query, error) in rows {
            check_rejected("GET", &format!("/api/v1/links?{query}"), "", 400, error);
        }
        let error = "cursor: must be the nextCursor of a page with the same sort";
        let other = "/api/v1/links?cursor=00000000000000000001&sort=clicks";
        check_rejected("GET", other, "", 422, error);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in "\\PC{0,80}|\\{(\"(url|links|tagIds|scopes|customValues|expiresAt)\":(1|null|\"x\"|\\[\\]|\\{\\}),?){0,4}\\}", id in "[a-zA-Z0-9%]{1,24}", query in "\\PC{0,40}") {
            for endpoint in Native.endpoints() {
                let request = RequestParts { id: &id, query: Query::parse(Some(&query)), body: body.as_bytes() };
                let _ = (endpoint.parse)(&request);
            }
        }
    }
}
