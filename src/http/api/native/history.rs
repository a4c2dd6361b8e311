//! The history of links, undo, restore, and the audit list in the native dialect.

use jiff::tz::TimeZone;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{links, unknown};
use crate::clock::Timestamp;
use crate::formats::waypost::changes::{FieldChange, changed_fields, changes};
use crate::formats::waypost::known::KnownFields;
use crate::http::api::dialect::{
    AuditPage, AuditQuery, AuditView, Author, BadRequest, Command, DeletedLink, DeletedPage, DeletedQuery,
    HistoryPage, HistoryRange, KeyFilter, LIMIT_DEFAULT, LIMIT_MAX, LinkAct, RequestParts, RevisionView,
    ScopedCommand, instant_in, object, only_known, read, write,
};
use crate::http::api::query::Query;
use crate::json::{AsText, Field, Mistyped, Object};
use crate::model::Invalid;
use crate::model::id::Id;
use crate::model::short_code::ShortCode;

/// Where the id of a deleted link is found by its code.
const DELETED_BY_CODE: &str = "GET /api/v1/links/deleted?code=CODE, which has the id";

/// The fields of an undo.
pub(super) const UNDO: KnownFields = &[&["revision", "workspaceId"]];

/// The fields of a restore.
pub(super) const RESTORE: KnownFields = &[&["customSlug", "alias", "domain", "workspaceId"]];

/// Parses `GET /links/{id}/history?cursor=&limit=`.
pub(super) fn of_link(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = links::id(request)?;
    read(request, Command::LinkHistory(id, range(&request.query)?))
}

/// Parses `GET /links/by-code/{code}/history?domain=&cursor=&limit=`.
pub(super) fn of_code(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    links::by_code(request, LinkAct::History(range(&request.query)?))
}

/// Parses `POST /links/{id}/undo {revision?}`.
pub(super) fn undo(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = links::id(request)?;
    let body = acting(request, UNDO)?;
    all_known(request, write(request, &body, Command::UndoLink(id, revision(&body)?))?)
}

/// Parses `POST /links/by-code/{code}/undo?domain= {revision?}`.
pub(super) fn undo_by_code(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = acting(request, UNDO)?;
    // The code is checked before the workspace of the body is added.
    let scoped = links::by_code(request, LinkAct::Undo(revision(&body)?))?;
    all_known(request, write(request, &body, scoped.command)?)
}

/// Parses `POST /links/{id}/restore {customSlug?, domain?}`.
pub(super) fn restore(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = links::id(request).map_err(|error| match error {
        BadRequest::CodeForId(_) => BadRequest::CodeForId(DELETED_BY_CODE),
        other => other,
    })?;
    let body = acting(request, RESTORE)?;
    all_known(request, write(request, &body, Command::RestoreLink(id, links::address(&body)?))?)
}

/// Returns the body of an undo or a restore, which needs no field, so that an empty body does as well. An unknown field is an
/// error and no warning: the command would act, and on something else than was meant.
fn acting(request: &RequestParts<'_>, known: KnownFields) -> Result<Object, BadRequest> {
    // As `curl -X POST` sends it.
    let is_empty = request.body.trim_ascii().is_empty();
    let body = if is_empty { Object::default() } else { object(request)? };
    unknown::only_fields(&body, known)?;
    Ok(body)
}

/// Returns a parsed request unless its query has an unknown parameter, for the same reason.
fn all_known(request: &RequestParts<'_>, scoped: ScopedCommand) -> Result<ScopedCommand, BadRequest> {
    only_known(&request.query)?;
    Ok(scoped)
}

/// Parses `GET /links/deleted?code=&cursor=&limit=`.
pub(super) fn deleted(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let HistoryRange { after, limit } = range(&request.query)?;
    let code = request.query.text("code")?.map(ShortCode::parse).transpose();
    // A text that can be no code is the code of no link.
    let code = code.map_err(|_| BadRequest::Rule(Invalid::new("code", "is no short code")))?;
    read(request, Command::DeletedLinks(DeletedQuery { after, limit, code }))
}

/// Parses `GET /audit?key=&kind=&operation=&link=&from=&to=&cursor=&limit=`.
pub(super) fn audit(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let query = &request.query;
    let HistoryRange { after, limit } = range(query)?;
    let rule = |name, why: String| BadRequest::Rule(Invalid::new(name, why));
    let key = query.text("key")?.map(|text| match text {
        // No id: the key in the environment has none.
        "operator" => KeyFilter::Operator,
        text => KeyFilter::Key(text.into()),
    });
    let link = query.text("link")?.map(Box::from);
    let kind =
        query.text("kind")?.map(str::parse).transpose().map_err(|why| rule("kind", format!("{why}")))?;
    let act = query.text("operation")?.map(str::parse).transpose();
    let act = act.map_err(|why| rule("operation", format!("{why}")))?;
    let from = instant_in(query, "from", &TimeZone::UTC)?;
    let to = instant_in(query, "to", &TimeZone::UTC)?;
    // An empty span would be an empty list without a word.
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(rule("from", "must be before to".to_owned()));
    }
    // A filter that is ignored would answer with the changes of all keys and links.
    all_known(
        request,
        read(request, Command::Audit(AuditQuery { after, limit, key, kind, act, link, from, to }))?,
    )
}

fn range(query: &Query<'_>) -> Result<HistoryRange, BadRequest> {
    let limit = query.number("limit", 1, LIMIT_MAX as u64)?.map(usize::try_from);
    let wrong = |_| Mistyped(Invalid::new("cursor", "must be the nextCursor of an earlier response"));
    let after = query.text("cursor")?.map(str::parse).transpose().map_err(wrong)?;
    Ok(HistoryRange { after, limit: limit.and_then(Result::ok).unwrap_or(LIMIT_DEFAULT) })
}

fn revision(body: &Object) -> Result<Option<Id>, BadRequest> {
    match body.text("revision")? {
        Field::Absent | Field::Null => Ok(None),
        // As in a path: an id that no revision can have.
        Field::Value(text) => text.parse().map(Some).map_err(|_| BadRequest::NotFound("revision")),
    }
}

/// The key that did something, in the shape of `createdBy`.
#[derive(Serialize)]
struct AuthorJson<'a> {
    id: AsText<Id>,
    name: Option<&'a str>,
}

impl<'a> AuthorJson<'a> {
    fn of(author: &'a Author) -> Option<AuthorJson<'a>> {
        match author {
            // As `createdBy` of a link.
            Author::Operator => None,
            Author::Key { id, name } => Some(AuthorJson { id: AsText(*id), name: name.as_deref() }),
        }
    }
}

/// A page of a list by its plural, with the cursor of the next page.
struct ListPage<T> {
    plural: &'static str,
    items: Vec<T>,
    next: Option<Id>,
}

impl<T: Serialize> Serialize for ListPage<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut page = serializer.serialize_map(Some(2))?;
        page.serialize_entry(self.plural, &self.items)?;
        page.serialize_entry("nextCursor", &self.next.map(AsText))?;
        page.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RevisionJson<'a> {
    revision: AsText<Id>,
    at: AsText<Timestamp>,
    by: Option<AuthorJson<'a>>,
    operation: &'static str,
    changes: Vec<FieldChange>,
}

/// Returns the JSON of a page of a link's history.
pub(super) fn revisions(page: &HistoryPage) -> impl Serialize {
    fn revision(view: &RevisionView) -> RevisionJson<'_> {
        let RevisionView { id, at, by, act, states } = view;
        // A deletion has one state, and so no changes.
        let changes = states.as_ref().map_or_else(Vec::new, |states| changes(&states.0, &states.1));
        let by = AuthorJson::of(by);
        RevisionJson { revision: AsText(*id), at: AsText(*at), by, operation: act.name(), changes }
    }
    ListPage { plural: "history", items: page.revisions.iter().map(revision).collect(), next: page.next }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeletedLinkJson<'a> {
    id: AsText<Id>,
    short_code: &'a str,
    domain: Option<&'a str>,
    url: String,
    title: Option<&'a str>,
    click_count: u64,
    created_at: AsText<Timestamp>,
    deleted_at: AsText<Timestamp>,
    restorable_until: AsText<Timestamp>,
}

/// Returns the JSON of a page of deleted links.
pub(super) fn deleted_links(page: &DeletedPage) -> impl Serialize {
    fn link(left: &DeletedLink) -> DeletedLinkJson<'_> {
        DeletedLinkJson {
            id: AsText(left.link.id),
            short_code: left.link.shown_code().as_str(),
            domain: left.domain.as_deref(),
            // With the UTM parameters, as lists of links show it.
            url: left.link.options.target().as_str().to_owned(),
            title: left.link.options.title.as_deref(),
            click_count: left.clicks,
            created_at: AsText(left.link.created_at),
            deleted_at: AsText(left.deleted_at),
            restorable_until: AsText(left.restorable_until),
        }
    }
    ListPage { plural: "links", items: page.links.iter().map(link).collect(), next: page.next }
}

#[derive(Serialize)]
struct AuditEntryJson<'a> {
    id: AsText<Id>,
    at: AsText<Timestamp>,
    by: Option<AuthorJson<'a>>,
    operation: &'static str,
    kind: &'static str,
    subject: SubjectJson<'a>,
    fields: Vec<&'a str>,
}

#[derive(Serialize)]
struct SubjectJson<'a> {
    id: String,
    name: Option<&'a str>,
}

/// Returns the JSON of a page of an audit list.
pub(super) fn audit_entries(page: &AuditPage) -> impl Serialize {
    fn entry(view: &AuditView) -> AuditEntryJson<'_> {
        AuditEntryJson {
            id: AsText(view.id),
            at: AsText(view.at),
            by: AuthorJson::of(&view.by),
            operation: view.act.name(),
            kind: view.subject.kind.name(),
            subject: SubjectJson { id: view.subject.id.to_string(), name: view.name.as_deref() },
            // Names only: a page of values may have megabytes, and the history of the link has them.
            fields: match &view.states {
                Some(states) => changed_fields(&states.0, &states.1),
                // The stored names are those of the API.
                None => view.fields.iter().map(|name| &**name).collect(),
            },
        }
    }
    ListPage { plural: "audit", items: page.entries.iter().map(entry).collect(), next: page.next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::dialect::check_parse;

    #[test]
    fn undo_takes_a_revision_or_none() {
        let id = "000000000000000000AB";
        check_parse(undo, "{}", Ok(&format!("UndoLink({id}, None)")));
        check_parse(undo, r#"{"revision":null}"#, Ok(&format!("UndoLink({id}, None)")));
        check_parse(undo, &format!(r#"{{"revision":"{id}"}}"#), Ok(&format!("UndoLink({id}, Some({id}))")));
        check_parse(undo, r#"{"revision":"x"}"#, Err(BadRequest::NotFound("revision")));
        check_parse(undo, "", Ok(&format!("UndoLink({id}, None)")));
        let number = Mistyped(Invalid::new("revision", "must be a string"));
        check_parse(undo, r#"{"revision":1}"#, Err(number.into()));
    }

    #[test]
    fn filters_of_the_audit_list() {
        let parsed = |query: &'static str| {
            let query = Query::parse(Some(query));
            audit(&RequestParts { id: "", query, body: &[] }).map(|scoped| format!("{:?}", scoped.command))
        };
        let all = "Audit(AuditQuery { after: None, limit: 20, key: None, kind: None, act: None, link: None, from: None, to: None })";
        assert_eq!(parsed("").ok().as_deref(), Some(all));
        let some = parsed("key=operator&kind=tag&operation=delete&from=2026-01-01&to=2026-01-02&limit=5");
        let some = some.expect("filters");
        for part in ["limit: 5", "key: Some(Operator)", "kind: Some(Tag)", "act: Some(Delete)", "from: Some("]
        {
            assert!(some.contains(part), "{part}: {some}");
        }
        let rows = [
            ("keys=x", "keys: is no parameter of this request; did you mean key?"),
            ("code=x", "code: is no parameter of this request; did you mean link?"),
            ("zzz=x", "zzz: is no parameter of this request"),
            (
                "kind=x",
                "kind: must be one of link, tag, campaign, domain, key, workspace, webhookSecret, statisticsShare, snapshot, snapshotShare, session",
            ),
            (
                "operation=x",
                "operation: must be one of create, edit, rename, move, undo, delete, restore, import, rotate",
            ),
            ("from=2026-01-02&to=2026-01-02", "from: must be before to"),
        ];
        for (query, want) in rows {
            match parsed(query) {
                Err(BadRequest::Rule(rule)) => assert_eq!(rule.to_string(), want),
                other => panic!("{query}: {other:?}"),
            }
        }
        for query in ["cursor=x", "limit=0", "limit=101", "from=x"] {
            assert!(matches!(parsed(query), Err(BadRequest::Mistyped(_))), "{query}");
        }
    }
}
