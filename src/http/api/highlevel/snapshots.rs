//! HighLevel's snapshots API: list, share link, and the status of imports.
//!
//! The vendor declares 400 and 401 only, so a broken rule is 400 as well, with one sentence. A company that is
//! foreign or does not exist is 403, in the vendor's words (docs/decisions.md A5, A20, A24-A28).

mod dates;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::json;

use super::rate_headers;
use crate::clock::Timestamp;
use crate::http::api::dialect::{
    Allowance, ApiError, BadRequest, Body, BodyKind, CHANGED, Command, Dialect, Endpoint, ImportQuery,
    ImportView, NamedCompany, RequestParts, ScopedCommand, ShareView, SnapshotCommand, SnapshotView,
    WorkspaceRule, capitalised, endpoint, show, wrong_method,
};
use crate::json::{self, Mistyped};
use crate::model::Invalid;
use crate::model::id::ForeignId;
use crate::model::snapshot::{ImportStatus, ShareKind};

/// Imports on one page if the query has no `limit`.
const LIMIT_DEFAULT: u64 = 20;
/// Most imports on one page. A larger `limit` is accepted, since the vendor declares no maximum.
const LIMIT_MAX: u64 = 100;
/// Largest number in a query: 2^53 - 1, the last whole number that every JSON reader keeps.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// The snapshots API.
pub(crate) struct HighLevelSnapshots;

impl Dialect for HighLevelSnapshots {
    fn name(&self) -> &'static str {
        "highlevel-snapshots"
    }

    fn claims(&self, path: &str) -> bool {
        path == "/snapshots" || path.starts_with("/snapshots/")
    }

    fn endpoints(&self) -> &'static [Endpoint] {
        ENDPOINTS
    }

    /// A location may have imported a snapshot of another location of the same agency.
    fn workspace_rule(&self) -> WorkspaceRule {
        WorkspaceRule::NameWins
    }

    fn rate_headers(&self, allowance: &Allowance, _: Timestamp) -> Vec<(HeaderName, HeaderValue)> {
        rate_headers::rate_headers(allowance)
    }

    fn error(&self, error: &ApiError) -> Body {
        let (status, message) = words(error);
        let phrase = match status {
            // As in the vendor's schemas: that of a 400 has no `error`.
            StatusCode::UNAUTHORIZED => Some("Unauthorized"),
            StatusCode::FORBIDDEN => Some("Forbidden"),
            _ => None,
        };
        Body::json(
            status,
            &SnapshotErrorJson { status_code: status.as_u16(), message: &message, error: phrase },
        )
    }
}

#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    endpoint("GET", "/snapshots", BodyKind::None, list, |reply| show(reply, listed)),
    endpoint("POST", "/snapshots/share/link", BodyKind::Plain, share, |reply| show(reply, shared)),
    endpoint("GET", "/snapshots/snapshot-status/{snapshot}", BodyKind::None, pushes, |reply| show(reply, pushed)),
    endpoint("GET", "/snapshots/snapshot-status/{snapshot}/location/{location}", BodyKind::None, latest, |reply| show(reply, newest)),
];

fn listed(all: &[SnapshotView]) -> Body {
    let one = |view: &SnapshotView| {
        let snapshot = &view.snapshot;
        json!({"id": snapshot.id.as_str(), "name": snapshot.name, "type": snapshot.kind.name()})
    };
    let all: Vec<_> = all.iter().map(one).collect();
    Body::ok(&json!({"snapshots": all}))
}

fn shared(view: &ShareView) -> Body {
    Body::created(&json!({"id": view.share.id.to_string(), "shareLink": view.url}))
}

fn pushed(all: &[ImportView]) -> Body {
    let all: Vec<_> = all.iter().map(PushJson::of).collect();
    Body::ok(&json!({"data": all}))
}

fn newest(view: &ImportView) -> Body {
    Body::ok(&json!({"data": LatestJson::of(view)}))
}

fn scoped(workspace: Option<String>, command: SnapshotCommand) -> ScopedCommand {
    ScopedCommand { workspace, command: Command::OfSnapshots(command), warnings: Vec::new() }
}

fn list(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    Ok(scoped(None, SnapshotCommand::List(company(request)?)))
}

/// Reads the company, which the query must name.
fn company(request: &RequestParts<'_>) -> Result<NamedCompany, BadRequest> {
    Ok(Some(required(request, "companyId")?.into()))
}

fn required<'c>(request: &'c RequestParts<'_>, name: &'static str) -> Result<&'c str, BadRequest> {
    request.query.text(name)?.ok_or_else(|| Mistyped(Invalid::new(name, "is required")).into())
}

/// Parses a share. A missing `companyId` is the company of the key (docs/decisions.md A24).
fn share(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let company = request.query.text("companyId")?.map(Box::from);
    let body = json::object(request.body).map_err(BadRequest::Malformed)?;
    let list = |name| {
        // One comma-separated string at the vendor, whose example has a space after each comma.
        let text = body.text(name)?.value().unwrap_or("");
        Ok::<_, Mistyped>((name, text.split(',').collect::<Vec<_>>()))
    };
    let lists = [list("relationship_number")?, list("share_location_id")?];
    let id = body.required("snapshot_id")?;
    let kind = ShareKind::parse("share_type", body.required("share_type")?, lists)?;
    // An empty id is a missing field (400). Any other text that is no id is an unknown snapshot (404).
    if id.is_empty() {
        return Err(Invalid::new("snapshot_id", "must not be empty").into());
    }
    let id = ForeignId::parse("snapshot_id", id).map_err(|_| BadRequest::NotFound("snapshot"))?;
    Ok(scoped(None, SnapshotCommand::Share(company, id, kind)))
}

fn pushes(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let company = company(request)?;
    let instant = |name, end_of_unit| {
        dates::read(required(request, name)?, end_of_unit)
            .ok_or_else(|| Mistyped(Invalid::new(name, dates::RULE)).into())
    };
    let (from, to): (_, Result<Timestamp, BadRequest>) = (instant("from", false)?, instant("to", true));
    // The vendor requires `lastDoc` and does not define it. A text that is no id begins at the first page.
    let after = request.query.text("lastDoc")?.and_then(|id| id.parse().ok());
    let limit = request.query.number("limit", 1, NUMBER_MAX)?.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
    let limit = usize::try_from(limit).expect("at most 100");
    let id = request.foreign_id("snapshot")?;
    let query = ImportQuery::Page { from, to: to?, after, limit };
    Ok(scoped(None, SnapshotCommand::Imports(company, id, query)))
}

fn latest(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let company = company(request)?;
    let [snapshot, location] = request.foreign_ids(["snapshot", "location"])?;
    // Naming the workspace has the key's access checked: a foreign location is 403.
    let workspace = Some(location.as_str().to_owned());
    Ok(scoped(workspace, SnapshotCommand::Imports(company, snapshot, ImportQuery::Latest(location))))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PushJson<'a> {
    id: String,
    location_id: &'a str,
    status: &'static str,
    date_added: String,
}

impl<'a> PushJson<'a> {
    fn of(view: &'a ImportView) -> PushJson<'a> {
        PushJson {
            id: view.import.id.to_string(),
            location_id: view.workspace.as_str(),
            status: view.import.status.name(),
            date_added: dates::show(view.import.created_at),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LatestJson<'a> {
    id: String,
    location_id: &'a str,
    status: &'static str,
    completed: Vec<&'static str>,
    pending: Vec<&'static str>,
}

impl<'a> LatestJson<'a> {
    fn of(view: &'a ImportView) -> LatestJson<'a> {
        // Both kinds become visible by one last Change, so they are complete together.
        let kinds = || vec!["links", "tags"];
        let (completed, pending) = match view.import.status {
            ImportStatus::Completed => (kinds(), Vec::new()),
            ImportStatus::Pending => (Vec::new(), kinds()),
            // A failed import has imported nothing.
            ImportStatus::Failed(_) => (Vec::new(), Vec::new()),
        };
        LatestJson {
            id: view.import.id.to_string(),
            location_id: view.workspace.as_str(),
            status: view.import.status.name(),
            completed,
            pending,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SnapshotErrorJson<'a> {
    status_code: u16,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// The vendor's text for a company or location that is unknown or outside the reach of the key.
const NO_ACCESS: &str = "The token does not have access to this location.";

fn words(error: &ApiError) -> (StatusCode, String) {
    let fixed = |status, text: &str| (status, text.to_owned());
    match error {
        ApiError::BadRequest(BadRequest::Malformed(why)) => (StatusCode::BAD_REQUEST, why.clone()),
        ApiError::BadRequest(BadRequest::Mistyped(invalid) | BadRequest::Rule(invalid)) => {
            (StatusCode::BAD_REQUEST, format!("{} {}", invalid.field, invalid.why))
        }
        ApiError::BadRequest(BadRequest::NotFound(what))
        | ApiError::NotFound(what)
        | ApiError::AlreadyDeleted(what) => (StatusCode::NOT_FOUND, capitalised(what) + " not found"),
        ApiError::BadRequest(BadRequest::CodeForId(_)) => fixed(StatusCode::NOT_FOUND, "Link not found"),
        ApiError::BadScheme(why) => (StatusCode::UNAUTHORIZED, format!("Invalid token: {why}")),
        ApiError::WrongMethod(allowed) => {
            (StatusCode::METHOD_NOT_ALLOWED, capitalised(&wrong_method(allowed)))
        }
        ApiError::NoKey | ApiError::BadKey => {
            fixed(StatusCode::UNAUTHORIZED, "Invalid token: access token is invalid")
        }
        ApiError::UnknownWorkspace | ApiError::UnknownCompany => fixed(StatusCode::FORBIDDEN, NO_ACCESS),
        ApiError::Forbidden(why) => (StatusCode::FORBIDDEN, why.clone()),
        // Objects of this dialect have no ETag, so no request gets this error.
        ApiError::Changed => fixed(StatusCode::PRECONDITION_FAILED, CHANGED),
        ApiError::Gone(why) => fixed(StatusCode::GONE, why),
        ApiError::CodeTaken(_) | ApiError::FormerCodeTaken { .. } | ApiError::Taken(_) => {
            fixed(StatusCode::CONFLICT, "Already in use")
        }
        ApiError::NoCredits => fixed(StatusCode::PAYMENT_REQUIRED, "The location has no credits left"),
        ApiError::OtherBody => {
            fixed(StatusCode::BAD_REQUEST, "Idempotency-Key was used before with another request body")
        }
        ApiError::NoEndpoint => fixed(StatusCode::NOT_FOUND, "Not found"),
        ApiError::TooMany(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, format!("Too many requests, try again in {seconds} s"))
        }
        ApiError::Server(error) => (error.status(), capitalised(&error.sentence())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::query::Query;

    fn parsed(
        parse: fn(&RequestParts<'_>) -> Result<ScopedCommand, BadRequest>,
        id: &str,
        query: &str,
        body: &str,
    ) -> Result<String, String> {
        match parse(&RequestParts { id, query: Query::parse(Some(query)), body: body.as_bytes() }) {
            Ok(scoped) => Ok(format!("{:?} {:?}", scoped.workspace, scoped.command)),
            Err(bad_request) => {
                let Body { status, bytes, .. } = HighLevelSnapshots.error(&ApiError::BadRequest(bad_request));
                let body: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
                assert_eq!(body["statusCode"], status.as_u16());
                Err(format!("{} {}", status.as_u16(), body["message"].as_str().unwrap_or("no text")))
            }
        }
    }

    #[test]
    fn share_links() {
        let rows = [
            (
                r#"{"snapshot_id":"s1","share_type":"location_link","share_location_id":"a, b","relationship_number":"0-1-2"}"#,
                Ok(
                    r#"None OfSnapshots(Share(Some("c"), ForeignId("s1"), Workspaces([ForeignId("a"), ForeignId("b")])))"#,
                ),
            ),
            // The vendor's bodies here are in snake case, unlike its links.
            (r#"{"snapshotId":"s1","shareType":"link"}"#, Err("400 snapshot_id is required")),
            (r#"{"snapshot_id":"s1"}"#, Err("400 share_type is required")),
            (r#"{"snapshot_id":7,"share_type":"link"}"#, Err("400 snapshot_id must be a string")),
            (r#"{"snapshot_id":"","share_type":"link"}"#, Err("400 snapshot_id must not be empty")),
            (r#"{"snapshot_id":"a b","share_type":"link"}"#, Err("404 Snapshot not found")),
            (
                r#"{"snapshot_id":"s1","share_type":"agency_link"}"#,
                Err("400 relationship_number is required with this type of share"),
            ),
            (
                r#"{"snapshot_id":"s1","share_type":"Link"}"#,
                Err("400 share_type must be link, permanent_link, agency_link or location_link"),
            ),
            ("[]", Err("400 the body must be a JSON object")),
        ];
        for (body, want) in rows {
            let want = want.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(parsed(share, "", "companyId=c", body), want, "{body}");
        }
    }

    #[test]
    fn statuses() {
        let id = "000000000000000000AB";
        let page =
            // `to` without a time includes its day. `x` is no id, so the first page is selected.
            parsed(pushes, "s1", "companyId=c&from=10-10-2022 12:00 AM&to=2022-10-11&lastDoc=x&limit=5", "");
        let want = "None OfSnapshots(Imports(Some(\"c\"), ForeignId(\"s1\"), Page { from: Timestamp(1665360000000), \
                    to: Timestamp(1665532799999), after: None, limit: 5 }))";
        assert_eq!(page, Ok(want.to_owned()));
        let rows = [
            ("", "400 companyId is required"),
            ("companyId=c", "400 from is required"),
            ("companyId=c&from=2022-10-10", "400 to is required"),
            (
                "companyId=c&from=x&to=y",
                "400 from must be a date such as 10-28-2022 06:24 PM or 2022-10-28T18:24:00Z",
            ),
            (
                "companyId=c&from=2022-10-10&to=2022-10-10&limit=0",
                "400 limit must be a whole number from 1 to 9007199254740991",
            ),
        ];
        for (query, want) in rows {
            assert_eq!(parsed(pushes, id, query, ""), Err(want.to_owned()), "{query}");
        }
        let newest = parsed(latest, "s1/location/l1", "companyId=c", "");
        let want =
            "Some(\"l1\") OfSnapshots(Imports(Some(\"c\"), ForeignId(\"s1\"), Latest(ForeignId(\"l1\"))))";
        assert_eq!(newest, Ok(want.to_owned()));
    }
}
