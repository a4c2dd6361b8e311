//! Import and export: links from a file or a pasted list, after a check of each row; links and clicks as files.

mod check;
pub(in crate::http::admin) mod clicks;
mod rows;
pub(in crate::http::admin) mod run;

use askama::Template;
use hyper::StatusCode;

use self::check::{CheckedRow, RowOutcome};
use self::rows::UploadedRows;
use crate::formats::waypost::draft;
use crate::http::admin::chart::grouped;
use crate::http::admin::form::{Form, new_key};
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::api::dialect::{ApiError, Reply};
use crate::http::body::HttpResponse;

/// Rows of each list on the page of a check. The numbers are those of all rows.
const LISTED: usize = 100;

/// Longest rows that the page of a check carries in bytes: the form of the next step must be within the smallest
/// `http.max_bulk_body`. Past it: 422.
const CARRIED_MAX: usize = 4 * 1024 * 1024;

#[derive(Template)]
#[template(path = "transfer.html")]
struct TransferPage<'a> {
    frame: &'a Frame,
    domains: Vec<String>,
    tags: Vec<String>,
    groups: &'static [(&'static str, &'static str)],
    intervals: &'static [(&'static str, &'static str)],
    error: Option<String>,
    /// What was entered.
    text: String,
    domain: String,
    tag: String,
    is_renaming: bool,
    is_reusing: bool,
}

/// Shows the page.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    page(request, None).await
}

async fn page(request: &PageRequest<'_>, error: Option<PageError>) -> Result<HttpResponse, PageError> {
    let (Reply::Domains(domains), Reply::Tags(tags)) =
        (request.get("/api/v1/domains", "").await?, request.get("/api/v1/tags", "").await?)
    else {
        return Err(PageError::Internal);
    };
    let form = &request.form;
    let given = |name| form.text(name).unwrap_or("").to_owned();
    let (status, error) = match error.map(|error| error.words()) {
        Some((status, why)) => (status, Some(why)),
        None => (StatusCode::OK, None),
    };
    let page = TransferPage {
        frame: request.frame,
        domains: domains.iter().map(|view| view.name.clone()).collect(),
        tags: tags.iter().map(|tag| tag.name.to_string()).collect(),
        groups: &clicks::GROUPS,
        intervals: &clicks::INTERVALS,
        error,
        text: given("text"),
        domain: given("domain"),
        tag: given("tag"),
        is_renaming: form.text("conflict") == Some("rename"),
        is_reusing: form.has("reuse") || !request.is_post(),
    };
    Ok(request.frame.page(status, &page))
}

/// Checks an upload and shows what each row would become. Nothing is created.
pub(in crate::http::admin) async fn check(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    match checked(request).await {
        Ok(response) => Ok(response),
        Err(error @ (PageError::Api(ApiError::Server(_)) | PageError::Internal)) => Err(error),
        Err(error) => page(request, Some(error)).await,
    }
}

async fn checked(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let form = &request.form;
    let upload = rows::read(uploaded(form)?).map_err(|why| PageError::rule("file", why))?;
    let UploadedRows { rows, form: kind, renamed, ignored } = upload;
    // Rows are checked as they would be created, so that the page shows what the import does.
    let rows = check::all(request, rows, form.text("domain").unwrap_or("")).await;
    let is_renaming = form.text("conflict") == Some("rename");
    let page = CheckPage::of(request, &rows, is_renaming)?;
    let page = CheckPage { kind, renamed, ignored, ..page };
    Ok(request.frame.page(StatusCode::OK, &page))
}

/// Returns the text of the file, or the pasted one.
fn uploaded(form: &Form) -> Result<&str, PageError> {
    match (form.file("file"), form.text("text")) {
        (Some(_), Some(_)) => Err(PageError::rule("file", "choose a file or paste a text, not both")),
        (Some(file), None) => std::str::from_utf8(file)
            .map_err(|_| PageError::rule("file", "must be UTF-8: save it as “CSV UTF-8” or as Unicode text")),
        (None, Some(text)) => Ok(text),
        (None, None) => Err(PageError::rule("file", "choose a file, or paste URLs")),
    }
}

#[derive(Template)]
#[template(path = "transfer_check.html")]
struct CheckPage<'a> {
    frame: &'a Frame,
    kind: &'static str,
    renamed: Vec<(String, &'static str)>,
    ignored: Vec<String>,
    lists: Vec<OutcomeList>,
    /// The number of rows that the import would send, as a number and as a text.
    to_import: usize,
    shown: String,
    rows: String,
    hidden: Vec<(&'static str, String)>,
}

/// The rows of one outcome.
struct OutcomeList {
    heading: &'static str,
    hint: &'static str,
    kind: &'static str,
    count: String,
    rows: Vec<OutcomeRow>,
    more: String,
}

struct OutcomeRow {
    line: usize,
    code: String,
    url: String,
    why: String,
}

impl<'a> CheckPage<'a> {
    fn of(
        request: &'a PageRequest<'a>,
        rows: &[CheckedRow],
        is_renaming: bool,
    ) -> Result<CheckPage<'a>, PageError> {
        let is_sent = |row: &&CheckedRow| match row.outcome {
            RowOutcome::Created | RowOutcome::Unchecked => true,
            RowOutcome::CodeTaken(_) => is_renaming,
            RowOutcome::Present | RowOutcome::Refused(_) => false,
        };
        // Rows that would create nothing are not sent again: the page of a large file is long enough.
        let carried: Vec<String> = rows.iter().filter(is_sent).map(carried).collect();
        let text = carried.join("\n");
        if text.len() > CARRIED_MAX {
            return Err(PageError::rule("file", "is too long: upload it in parts, or use `waypost import`"));
        }
        let form = &request.form;
        let mut hidden = vec![
            ("run", new_key()),
            ("began", request.now().as_millis().to_string()),
            ("total", carried.len().to_string()),
        ];
        for name in ["reuse", "tag"] {
            hidden.extend(form.text(name).map(|value| (name, value.to_owned())));
        }
        Ok(CheckPage {
            frame: request.frame,
            kind: "",
            renamed: Vec::new(),
            ignored: Vec::new(),
            lists: OutcomeList::all(rows, is_renaming),
            to_import: carried.len(),
            shown: grouped(carried.len() as u64),
            rows: text,
            hidden,
        })
    }
}

/// Returns a row as the import takes it. One whose code is in use gets a generated one.
fn carried(row: &CheckedRow) -> String {
    let mut link = row.link.clone();
    if matches!(row.outcome, RowOutcome::CodeTaken(_)) {
        link.remove(draft::CODE);
        link.remove("alias");
    }
    run::carried(row.line, &link)
}

impl OutcomeList {
    /// Returns the lists that have rows, what needs attention first.
    fn all(rows: &[CheckedRow], is_renaming: bool) -> Vec<OutcomeList> {
        let taken = if is_renaming {
            "Each of these gets a generated code."
        } else {
            "Nothing is created for these: the code belongs to another link."
        };
        let lists = [
            ("Refused", "Nothing is created for these.", "wrong", 3),
            ("Codes in use", taken, "wrong", 2),
            (
                "Already here",
                "A link with this code and this destination exists. It stays as it is.",
                "quiet",
                1,
            ),
            ("Not checked", "The check took too long for these. The import reports what fails.", "", 4),
            ("New links", "", "good", 0),
        ];
        let lists = lists.map(|(heading, hint, kind, of)| OutcomeList::of(rows, heading, hint, kind, of));
        lists.into_iter().filter(|list| list.count != "0").collect()
    }

    fn of(
        rows: &[CheckedRow],
        heading: &'static str,
        hint: &'static str,
        kind: &'static str,
        of: usize,
    ) -> OutcomeList {
        let of_kind = rows.iter().filter(|row| number_of(&row.outcome) == of);
        let all: Vec<&CheckedRow> = of_kind.collect();
        let count = all.len();
        let shown = all.into_iter().take(LISTED).map(OutcomeRow::of).collect();
        // The number of all rows is above the list.
        let more = grouped(count.saturating_sub(LISTED) as u64);
        OutcomeList { heading, hint, kind, count: grouped(count as u64), rows: shown, more }
    }
}

fn number_of(outcome: &RowOutcome) -> usize {
    match outcome {
        RowOutcome::Created => 0,
        RowOutcome::Present => 1,
        RowOutcome::CodeTaken(_) => 2,
        RowOutcome::Refused(_) => 3,
        RowOutcome::Unchecked => 4,
    }
}

impl OutcomeRow {
    fn of(row: &CheckedRow) -> OutcomeRow {
        // A refused row may have no fields at all.
        let field = |name| check::text(&row.link, name).unwrap_or("").to_owned();
        let why = match &row.outcome {
            RowOutcome::Refused(why) => why.clone(),
            RowOutcome::CodeTaken(url) => format!("{url} exists"),
            RowOutcome::Created | RowOutcome::Present | RowOutcome::Unchecked => String::new(),
        };
        OutcomeRow { line: row.line, code: field(draft::CODE), url: field("url"), why }
    }
}
