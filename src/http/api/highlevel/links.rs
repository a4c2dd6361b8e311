//! HighLevel's links, its "trigger links": six operations, and the alias of one. What the vendor
//! has no word for (tags, passwords, limits) stays as it is when a link is changed here.
//!
//! A body that lacks a field is 422, a query that does is 400 (docs/decisions.md A20); so what is wrong
//! with a body leaves here as a [`BadRequest::Rule`].

use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;

use super::{HighLevelLinks, error};
use crate::clock::Timestamp;
use crate::http::api::dialect::{
    Allowance, ApiError, BadRequest, Body, BodyKind, Command, Dialect, Endpoint, ImmutableFields, JSON,
    LinkView, ListFormat, ListRange, Reply, RequestParts, ScopedCommand, WorkspaceRule, WorkspaceView,
    endpoint, show,
};
use crate::http::api::json::{self, Field, Fields, Mistyped};
use crate::model::Invalid;
use crate::model::destination::LinkType;
use crate::model::id::Id;
use crate::model::link::{DomainChoice, Draft, Edit, Patch};

/// Links of a search that does not say how many; the vendor's default. There is no most.
const SEARCH_LIMIT: u64 = 20;

/// Largest `skip` and `limit`: 2^53 - 1, the last whole number that every JSON reader keeps.
const NUMBER_MAX: u64 = (1 << 53) - 1;

impl Dialect for HighLevelLinks {
    fn name(&self) -> &'static str {
        "highlevel-links"
    }

    fn claims(&self, path: &str) -> bool {
        ["/links", "/locations"]
            .iter()
            .any(|own| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    fn endpoints(&self) -> &'static [Endpoint] {
        ENDPOINTS
    }

    fn workspace_rule(&self) -> WorkspaceRule {
        WorkspaceRule::Confines
    }

    fn failure(&self, failure: &ApiError) -> Body {
        error::render(failure)
    }

    fn rate_headers(&self, allowance: &Allowance, _: Timestamp) -> Vec<(HeaderName, HeaderValue)> {
        super::rate_headers(allowance)
    }
}

/// `search`, `id` and `r` are no ids; `/links/search` stands before the template that it fits as well.
#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    endpoint("POST", "/links", BodyKind::Plain, create, |reply| show(reply, written)),
    endpoint("GET", "/links", BodyKind::None, list, streamed),
    endpoint("GET", "/links/search", BodyKind::None, search, streamed),
    endpoint("GET", "/links/id/{id}", BodyKind::None, |call| of_link(call, Command::Link(call.id("link")?)), |reply| show(reply, one)),
    endpoint("GET", "/links/{id}", BodyKind::None, |call| of_link(call, Command::Link(call.id("link")?)), |reply| show(reply, one)),
    endpoint("PUT", "/links/{id}", BodyKind::Plain, update, |reply| show(reply, written)),
    endpoint("DELETE", "/links/{id}", BodyKind::None, |call| of_link(call, Command::DeleteLink(call.id("link")?)), |reply| show(reply, deleted)),
    endpoint("GET", "/locations/{id}", BodyKind::None, |call| Ok(ScopedCommand { workspace: Some(call.id.to_owned()), command: Command::Acting }), |reply| show(reply, location)),
];

/// A command about one link, whose location may be named.
fn of_link(call: &RequestParts<'_>, command: Command) -> Result<ScopedCommand, BadRequest> {
    Ok(ScopedCommand { workspace: call.query.text("locationId")?.map(str::to_owned), command })
}

fn create(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = json::object(call.body).map_err(BadRequest::Malformed)?;
    let workspace = required(&body, "locationId")?;
    let name = named(&body)?.ok_or_else(|| Invalid::new("name", "is required"))?;
    let draft = Draft {
        domain: DomainChoice::Default,
        code: None,
        destination: required(&body, "redirectTo")?.into(),
        link_type: LinkType::Url,
        password: None,
        edits: vec![Edit::Title(Some(name.into()))],
    };
    Ok(ScopedCommand { workspace: Some(workspace.to_owned()), command: Command::CreateLink(draft) })
}

fn update(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = call.id("link")?;
    let body = json::object(call.body).map_err(BadRequest::Malformed)?;
    let (name, destination) = (named(&body)?, optional(&body, "redirectTo")?);
    if name.is_none() && destination.is_none() {
        return Err(Invalid::new("name", "or redirectTo is required").into());
    }
    let patch = Patch {
        destination: destination.map(Box::from),
        password: None,
        edits: name.map(|name| Edit::Title(Some(name.into()))).into_iter().collect(),
    };
    let fixed = ImmutableFields { lent_title: name.map(Box::from), ..ImmutableFields::default() };
    of_link(call, Command::UpdateLink { id, patch, fixed })
}

/// The whole list, unless `skip` or `limit` is sent.
fn list(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let limit = call.query.number("limit", 0, NUMBER_MAX)?;
    slice(call, None, limit)
}

fn search(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let limit = call.query.number("limit", 0, NUMBER_MAX)?.unwrap_or(SEARCH_LIMIT);
    slice(call, call.query.text("query")?.map(str::to_owned), Some(limit))
}

fn slice(
    call: &RequestParts<'_>,
    search: Option<String>,
    limit: Option<u64>,
) -> Result<ScopedCommand, BadRequest> {
    let missing = || Mistyped(Invalid::new("locationId", "is required"));
    let workspace = call.query.text("locationId")?.ok_or_else(missing)?.to_owned();
    let skip = call.query.number("skip", 0, NUMBER_MAX)?.unwrap_or(0);
    let command = Command::AllLinks(ListRange { search, skip, limit }, &WORDING);
    Ok(ScopedCommand { workspace: Some(workspace), command })
}

/// The name, which like every name here is not only white space.
fn named(body: &Fields) -> Result<Option<&str>, Invalid> {
    match optional(body, "name")? {
        Some(name) if name.trim().is_empty() => Err(Invalid::new("name", "must not be empty")),
        name => Ok(name),
    }
}

/// A text that must be there and say something.
fn required<'b>(body: &'b Fields, name: &'static str) -> Result<&'b str, Invalid> {
    optional(body, name)?.ok_or_else(|| Invalid::new(name, "is required"))
}

/// A text that may be left out, but not be null or empty.
fn optional<'b>(body: &'b Fields, name: &'static str) -> Result<Option<&'b str>, Invalid> {
    match body.text(name).map_err(|Mistyped(invalid)| invalid)? {
        Field::Absent => Ok(None),
        Field::Null => Err(Invalid::new(name, "must be a string")),
        Field::Value("") => Err(Invalid::new(name, "must not be empty")),
        Field::Value(text) => Ok(Some(text)),
    }
}

static WORDING: ListFormat = ListFormat {
    kind: JSON,
    open: r#"{"links":["#,
    item: |view| bytes(&LinkJson::of(view)),
    between: ",",
    close: "]}",
    close_incomplete: r#"],"incomplete":true}"#,
};

/// The vendor's `Link`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkJson<'a> {
    id: String,
    name: &'a str,
    redirect_to: String,
    field_key: String,
    location_id: &'a str,
}

impl<'a> LinkJson<'a> {
    fn of(view: &'a LinkView) -> LinkJson<'a> {
        let link = &view.link;
        LinkJson {
            id: link.id.to_string(),
            // Links made elsewhere need none; a name must say something.
            name: link.options.title.as_deref().unwrap_or(link.code.as_str()),
            redirect_to: link.options.target().as_str().to_owned(),
            field_key: format!("{{{{trigger_link.{}}}}}", link.id),
            location_id: view.workspace.id.as_str(),
        }
    }
}

#[derive(Serialize)]
struct One<'a> {
    link: LinkJson<'a>,
}

#[derive(Serialize)]
struct LocationJson<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Location<'a> {
    location: LocationJson<'a>,
}

/// A link that is read.
fn one(link: &LinkView) -> Body {
    Body::ok(bytes(&One { link: LinkJson::of(link) }))
}

/// A link that was created or changed: 201 in both cases.
fn written(link: &LinkView) -> Body {
    Body::created(bytes(&One { link: LinkJson::of(link) }))
}

/// The vendor's first spelling, and its second.
fn deleted(_: &Id) -> Body {
    Body::created(br#"{"succeded":true,"succeeded":true}"#.to_vec())
}

fn location(view: &WorkspaceView) -> Body {
    let workspace = &view.workspace;
    Body::ok(bytes(&Location { location: LocationJson { id: workspace.id.as_str(), name: &workspace.name } }))
}

/// Lists are no replies: [`WORDING`] renders them in pieces.
fn streamed(_: &Reply) -> Option<Body> {
    None
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("keys are strings and no serializer here fails")
}

#[cfg(test)]
mod tests {
    use hyper::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::http::api::dialect::{Found, find};
    use crate::http::api::query::Query;

    fn template(method: &str, path: &str) -> Option<(&'static str, &'static str)> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        match find(ENDPOINTS, &method, path) {
            Found::Endpoint(endpoint, _) => Some((endpoint.method, endpoint.template)),
            Found::Methods(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn paths_lead_where_the_vendor_has_them() {
        let rows = [
            ("POST", "/links", Some(("POST", "/links"))),
            ("GET", "/links/search", Some(("GET", "/links/search"))),
            ("GET", "/links/search/", Some(("GET", "/links/search"))),
            ("GET", "/links/id/x", Some(("GET", "/links/id/{id}"))),
            ("GET", "/links/x/", Some(("GET", "/links/{id}"))),
            ("HEAD", "/links/", Some(("GET", "/links"))),
            ("PUT", "/links/x", Some(("PUT", "/links/{id}"))),
            ("PATCH", "/links/x", None),
            ("PUT", "/links/id/x", None),
            ("GET", "/links/r/2/x", None),
            ("GET", "/locations/x", Some(("GET", "/locations/{id}"))),
            ("GET", "/locations", None),
        ];
        for (method, path, want) in rows {
            assert_eq!(template(method, path), want, "{method} {path}");
        }
        for (path, want) in [("/links", true), ("/links/", true), ("/linksx", false), ("/locations/x", true)]
        {
            assert_eq!(HighLevelLinks.claims(path), want, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            body in "\\PC{0,80}|\\{(\"(locationId|name|redirectTo)\":(1|null|\"x\"|\\[\\]),?){0,4}\\}",
            id in "[a-zA-Z0-9%]{1,24}",
            query in "\\PC{0,40}",
        ) {
            for endpoint in ENDPOINTS {
                let call = RequestParts { id: &id, query: Query::parse(Some(&query)), body: body.as_bytes() };
                let _ = (endpoint.parse)(&call);
            }
        }
    }
}
