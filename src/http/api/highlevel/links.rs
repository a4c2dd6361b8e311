//! HighLevel's links, its "trigger links": six operations, and an alias of one. A change leaves options that the
//! vendor does not have (tags, passwords, limits) as they are.
//!
//! A body that lacks a field is 422, a query that lacks one is 400 (docs/decisions.md A20). So every error of a
//! body is a [`BadRequest::Rule`].

use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;

use super::{error, rate_headers};
use crate::clock::Timestamp;
use crate::http::api::dialect::{
    Allowance, ApiError, BadRequest, Body, BodyKind, Command, Dialect, Endpoint, ImmutableFields, JSON,
    LinkView, ListFormat, ListRange, Reply, RequestParts, ScopedCommand, WorkspaceRule, WorkspaceView,
    endpoint, show,
};
use crate::json::{self, Mistyped, Object};
use crate::model::Invalid;
use crate::model::destination::LinkType;
use crate::model::id::Id;
use crate::model::link::{AddressPatch, DomainChoice, Draft, Edit, Names, Patch};

/// Links of a search without a `limit`, as at the vendor. There is no largest `limit`.
const SEARCH_LIMIT: u64 = 20;

/// Largest `skip` and `limit`: 2^53 - 1, the last whole number that every JSON reader keeps.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Links, and the probe of locations.
pub(crate) struct HighLevelLinks;

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

    fn error(&self, error: &ApiError) -> Body {
        error::render(error)
    }

    fn rate_headers(&self, allowance: &Allowance, _: Timestamp) -> Vec<(HeaderName, HeaderValue)> {
        rate_headers::rate_headers(allowance)
    }
}

/// `/links/search` comes before the template `/links/{id}`, which matches it as well: the first match counts.
#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    endpoint("POST", "/links", BodyKind::Plain, create, |reply| show(reply, written)),
    endpoint("GET", "/links", BodyKind::None, list, streamed),
    endpoint("GET", "/links/search", BodyKind::None, search, streamed),
    endpoint("GET", "/links/id/{id}", BodyKind::None, |request| of_link(request, Command::Link(request.id("link")?)), |reply| show(reply, one)),
    endpoint("GET", "/links/{id}", BodyKind::None, |request| of_link(request, Command::Link(request.id("link")?)), |reply| show(reply, one)),
    endpoint("PUT", "/links/{id}", BodyKind::Plain, update, |reply| show(reply, written)),
    endpoint("DELETE", "/links/{id}", BodyKind::None, |request| of_link(request, Command::DeleteLink(request.id("link")?)), |reply| show(reply, deleted)),
    endpoint("GET", "/locations/{id}", BodyKind::None, |request| Ok(ScopedCommand { workspace: Some(request.id.to_owned()), command: Command::Acting, warnings: Vec::new() }), |reply| show(reply, location)),
];

/// Returns a command about one link. The query may name its location.
fn of_link(request: &RequestParts<'_>, command: Command) -> Result<ScopedCommand, BadRequest> {
    Ok(ScopedCommand {
        workspace: request.query.text("locationId")?.map(str::to_owned),
        command,
        warnings: Vec::new(),
    })
}

fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = json::object(request.body).map_err(BadRequest::Malformed)?;
    let workspace = required(&body, "locationId")?;
    let name = named(&body)?.ok_or_else(|| Invalid::new("name", "is required"))?;
    let draft = Draft {
        domain: DomainChoice::Default,
        code: None,
        destination: required(&body, "redirectTo")?.into(),
        link_type: LinkType::Url,
        password: None,
        edits: vec![Edit::Title(Some(name.into()))],
        names: Names::default(),
        reuse: false,
        code_prefix: None,
    };
    Ok(ScopedCommand {
        workspace: Some(workspace.to_owned()),
        command: Command::CreateLink(draft),
        warnings: Vec::new(),
    })
}

fn update(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = request.id("link")?;
    let body = json::object(request.body).map_err(BadRequest::Malformed)?;
    let (name, destination) = (named(&body)?, optional(&body, "redirectTo")?);
    // The vendor requires both. Either alone is accepted (docs/decisions.md A21).
    if name.is_none() && destination.is_none() {
        return Err(Invalid::new("name", "or redirectTo is required").into());
    }
    let patch = Patch {
        destination: destination.map(Box::from),
        password: None,
        edits: name.map(|name| Edit::Title(Some(name.into()))).into_iter().collect(),
        names: Names::default(),
        address: AddressPatch::default(),
    };
    // A link without a title shows its code as `name`, and clients send it back.
    let immutable = ImmutableFields { lent_title: name.map(Box::from), ..ImmutableFields::default() };
    of_link(request, Command::UpdateLink { id, patch, fixed: immutable })
}

/// Parses a list: all links, unless `skip` or `limit` is sent.
fn list(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    // No default: the vendor's plain list is whole (docs/decisions.md A21).
    let limit = request.query.number("limit", 0, NUMBER_MAX)?;
    slice(request, None, limit)
}

fn search(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let limit = request.query.number("limit", 0, NUMBER_MAX)?.unwrap_or(SEARCH_LIMIT);
    slice(request, request.query.text("query")?.map(str::to_owned), Some(limit))
}

fn slice(
    request: &RequestParts<'_>,
    search: Option<String>,
    limit: Option<u64>,
) -> Result<ScopedCommand, BadRequest> {
    // 400 for a query, unlike 422 for a body.
    let missing = || Mistyped(Invalid::new("locationId", "is required"));
    let workspace = request.query.text("locationId")?.ok_or_else(missing)?.to_owned();
    let skip = request.query.number("skip", 0, NUMBER_MAX)?.unwrap_or(0);
    let command = Command::AllLinks(ListRange { search, skip, limit }, &LIST_FORMAT);
    Ok(ScopedCommand { workspace: Some(workspace), command, warnings: Vec::new() })
}

/// Reads the name. Fails if it is white space only.
fn named(body: &Object) -> Result<Option<&str>, Invalid> {
    match optional(body, "name")? {
        Some(name) if name.trim().is_empty() => Err(Invalid::new("name", "must not be empty")),
        name => Ok(name),
    }
}

/// Reads a text that is required and not empty.
fn required<'b>(body: &'b Object, name: &'static str) -> Result<&'b str, Invalid> {
    optional(body, name)?.ok_or_else(|| Invalid::new(name, "is required"))
}

/// Reads a text that may be absent, but not null or empty.
fn optional<'b>(body: &'b Object, name: &'static str) -> Result<Option<&'b str>, Invalid> {
    // The kind of the error is dropped: in a body both kinds are 422.
    match body.optional(name).map_err(|Mistyped(invalid)| invalid)? {
        Some("") => Err(Invalid::new(name, "must not be empty")),
        text => Ok(text),
    }
}

static LIST_FORMAT: ListFormat = ListFormat {
    kind: JSON,
    open: r#"{"links":["#,
    item: |view| json::to_bytes(&TriggerLink::of(view)),
    between: ",",
    close: "]}\n",
    close_incomplete: "],\"incomplete\":true}\n",
};

/// The vendor's `Link`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TriggerLink<'a> {
    id: String,
    name: &'a str,
    redirect_to: String,
    field_key: String,
    location_id: &'a str,
}

impl<'a> TriggerLink<'a> {
    fn of(view: &'a LinkView) -> TriggerLink<'a> {
        let link = &view.link;
        TriggerLink {
            id: link.id.to_string(),
            // The vendor requires a name. A link of another API may have no title.
            name: link.options.title.as_deref().unwrap_or(link.shown_code().as_str()),
            redirect_to: link.options.target().as_str().to_owned(),
            field_key: format!("{{{{trigger_link.{}}}}}", link.id),
            location_id: view.workspace.id.as_str(),
        }
    }
}

#[derive(Serialize)]
struct One<'a> {
    link: TriggerLink<'a>,
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

/// Renders a link.
fn one(link: &LinkView) -> Body {
    Body::ok(&One { link: TriggerLink::of(link) })
}

/// Renders a link that was created or changed: 201 in both cases.
fn written(link: &LinkView) -> Body {
    Body::created(&One { link: TriggerLink::of(link) })
}

/// The vendor's first spelling, and its second (docs/decisions.md A19).
#[derive(Serialize)]
struct Deletion {
    succeded: bool,
    succeeded: bool,
}

fn deleted(_: &Id) -> Body {
    Body::created(&Deletion { succeded: true, succeeded: true })
}

fn location(view: &WorkspaceView) -> Body {
    let workspace = &view.workspace;
    Body::ok(&Location { location: LocationJson { id: workspace.id.as_str(), name: &workspace.name } })
}

/// Returns `None`: a list is no reply, and [`LIST_FORMAT`] renders it in pieces.
fn streamed(_: &Reply) -> Option<Body> {
    None
}

#[cfg(test)]
mod tests {
    use hyper::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::http::api::dialect::{PathMatch, find};
    use crate::http::api::query::Query;

    fn template(method: &str, path: &str) -> Option<(&'static str, &'static str)> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        match find(ENDPOINTS, &method, path) {
            PathMatch::Endpoint(endpoint, _) => Some((endpoint.method, endpoint.template)),
            PathMatch::Methods(_) | PathMatch::Nothing => None,
        }
    }

    #[test]
    fn paths_are_the_vendors() {
        let rows = [
            ("POST", "/links", Some(("POST", "/links"))),
            ("GET", "/links/search", Some(("GET", "/links/search"))),
            ("GET", "/links/search/", Some(("GET", "/links/search"))),
            ("GET", "/links/id/x", Some(("GET", "/links/id/{id}"))),
            ("GET", "/links/x/", Some(("GET", "/links/{id}"))),
            ("HEAD", "/links/", Some(("GET", "/links"))),
            ("PUT", "/links/x", Some(("PUT", "/links/{id}"))),
            ("PATCH", "/links/x", None),
            // The alias is for reading only.
            ("PUT", "/links/id/x", None),
            // Contact links are routed before the APIs.
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
                let request = RequestParts { id: &id, query: Query::parse(Some(&query)), body: body.as_bytes() };
                let _ = (endpoint.parse)(&request);
            }
        }
    }
}
