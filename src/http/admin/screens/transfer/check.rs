//! The dry run of an import: what each row would become, found out by requests that change nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::rows::UploadRow;
use crate::formats::waypost::draft;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::dialect::Reply;

/// Time for all rows. The rest is imported without a check, and the page says so.
const TIME_MAX: Duration = Duration::from_secs(8);

/// Rows that are checked at the same time.
const AT_ONCE: usize = 4;

/// Fields that a check leaves out: names of what may not exist yet, and a password, whose hash takes long.
const UNCHECKED: [&str; 4] = ["tags", "campaignName", "aliases", "password"];

/// What a row would become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowOutcome {
    /// A new link.
    Created,
    /// Nothing: its code is that of a link with the same destination.
    Present,
    /// Nothing, or a link with another code: the code is that of another link.
    CodeTaken(String),
    /// Nothing.
    Refused(String),
    /// The time was over.
    Unchecked,
}

/// A row and what it would become.
#[derive(Clone, Debug)]
pub(super) struct CheckedRow {
    pub(super) line: usize,
    pub(super) link: Map<String, Value>,
    pub(super) outcome: RowOutcome,
}

/// Checks all rows, with this domain for those that name none.
pub(super) async fn all(request: &PageRequest<'_>, rows: Vec<UploadRow>, domain: &str) -> Vec<CheckedRow> {
    let began = Instant::now();
    let mut lines: HashMap<(String, String), usize> = HashMap::new();
    let mut checked = Vec::with_capacity(rows.len());
    for UploadRow { line, link } in rows {
        let mut link = match link {
            Ok(link) => link,
            Err(why) => {
                let outcome = RowOutcome::Refused(why);
                checked.push(CheckedRow { line, link: Map::new(), outcome });
                continue;
            }
        };
        if !domain.is_empty() && !link.contains_key("domain") {
            link.insert("domain".to_owned(), json!(domain));
        }
        let mut outcome = RowOutcome::Unchecked;
        if let Some(code) = text(&link, draft::CODE) {
            let name = (text(&link, "domain").unwrap_or("").to_owned(), code.to_owned());
            let first = *lines.entry(name).or_insert(line);
            if first != line {
                outcome = RowOutcome::Refused(format!("customSlug: line {first} has the same code"));
            }
        }
        checked.push(CheckedRow { line, link, outcome });
    }
    let check = |mut row: CheckedRow| async move {
        // In the order of the file: a part that is not checked is its end.
        if row.outcome == RowOutcome::Unchecked && began.elapsed() < TIME_MAX {
            row.outcome = outcome(request, &row.link).await;
        }
        row
    };
    futures_util::stream::iter(checked).map(check).buffered(AT_ONCE).collect().await
}

/// Returns a field of a link that is a text and not empty.
pub(super) fn text<'a>(link: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    link.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

async fn outcome(request: &PageRequest<'_>, link: &Map<String, Value>) -> RowOutcome {
    if let Some(code) = text(link, draft::CODE) {
        let path = format!("/api/v1/links/by-code/{}", utf8_percent_encode(code, NON_ALPHANUMERIC));
        let query = query_of(&[("domain", text(link, "domain").unwrap_or(""))]);
        match request.get(&path, &query).await {
            Ok(Reply::Link(view)) => {
                let parsed = |text: &str| url::Url::parse(text).ok();
                let url = text(link, "url").and_then(parsed);
                // As URLs: a destination is stored with the slash behind its host.
                let is_same = url.is_some() && url == parsed(view.link.options.target().as_str());
                return if is_same { RowOutcome::Present } else { RowOutcome::CodeTaken(view.short_url) };
            }
            Err(error) if error.retry_after().is_some() => return RowOutcome::Unchecked,
            // Free, or on a domain that does not exist, which the next check names.
            Ok(_) | Err(_) => {}
        }
    }
    let mut draft = link.clone();
    draft.retain(|name, _| !UNCHECKED.contains(&name.as_str()));
    let body = json!({"link": draft, "visitor": {}});
    match request.send(&Method::POST, "/api/v1/explain", &body).await {
        Ok(_) => RowOutcome::Created,
        Err(error) if error.retry_after().is_some() => RowOutcome::Unchecked,
        // The fields of the draft are in `link` of that request, and in the row of this one.
        Err(error) => RowOutcome::Refused(error.words().1.trim_start_matches("link.").to_owned()),
    }
}
