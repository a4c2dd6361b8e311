//! `waypost link history`, `undo`, `deleted` and `restore`: what changed a link, and the way back.

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use super::named::{LINKS, NamedLink};
use super::shown;
use crate::cli::api_client::{ApiClient, ClientArguments};
use crate::cli::columns::{self, TableColumn, destination, minute, table, text};
use crate::cli::error::CommandError;
use crate::cli::output::print_line;
use crate::cli::terminal;
use crate::formats::waypost::draft;

/// The options that pages have in common.
const PAGE_OPTIONS: [(&str, &str); 2] = [("limit", "--limit"), ("cursor", "--cursor")];

/// A page of a list without numbers of pages.
#[derive(Clone, Debug, Args)]
struct CursorArguments {
    /// Entries on a page, 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// The next page: the nextCursor of the one before.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl CursorArguments {
    fn query(&self) -> Serializer<'static, String> {
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        if let Some(cursor) = &self.cursor {
            query.append_pair("cursor", cursor);
        }
        query
    }
}

#[derive(Clone, Debug, Args)]
pub(super) struct HistoryArguments {
    #[command(flatten)]
    link: NamedLink,
    #[command(flatten)]
    page: CursorArguments,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(super) struct UndoArguments {
    #[command(flatten)]
    link: NamedLink,
    /// Go back to the state after this revision of the history. Default: undo the last change.
    #[arg(long, value_name = "REVISION")]
    to: Option<String>,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(super) struct DeletedArguments {
    #[command(flatten)]
    page: CursorArguments,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(super) struct LinkRestoreArguments {
    #[command(flatten)]
    link: NamedLink,
    /// Another code, if the old one is in use now.
    #[arg(long = "code", value_name = "NEW")]
    new_code: Option<String>,
    #[command(flatten)]
    client: ClientArguments,
}

/// Prints the history of a link.
pub(super) fn history(arguments: &HistoryArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let found = arguments.link.find(&client)?;
    let id = text(&found.value["link"]["id"]);
    // By id: a former code names the link, too.
    let path = format!("{LINKS}/{id}/history?{}", arguments.page.query().finish());
    let answer = client.send(&Method::GET, &path, None);
    let answer = answer.map_err(|error| error.with_options(&[&PAGE_OPTIONS]))?;
    if client.shows_json {
        answer.print();
        return Ok(());
    }
    let revisions = answer.value["history"].as_array().into_iter().flatten();
    let rows: Vec<_> = revisions
        .map(|revision| {
            // The name alone: ids of keys are for scripts, which read the JSON.
            let author = match &revision["by"] {
                Value::Null => "operator".to_owned(),
                by if by["name"].is_null() => text(&by["id"]),
                by => text(&by["name"]),
            };
            vec![
                text(&revision["revision"]),
                text(&revision["at"]),
                text(&revision["operation"]),
                author,
                words(revision),
            ]
        })
        .collect();
    let names = [
        // `link undo --to` takes it.
        TableColumn::whole("REVISION"),
        TableColumn::text("TIME").least(16).rank(2),
        TableColumn::text("OPERATION").rank(3),
        TableColumn::text("KEY").rank(4),
        TableColumn::text("CHANGES").least(20).rank(1),
    ];
    print_line(&table(&names, &rows, terminal::width()));
    print_cursor(&answer.value);
    Ok(())
}

/// Returns the changes of a revision on one line.
fn words(revision: &Value) -> String {
    let changes = revision["changes"].as_array().into_iter().flatten();
    let shown = |value: &Value| if value.is_null() { "none".to_owned() } else { text(value) };
    let change = |change: &Value| {
        format!("{}: {} -> {}", text(&change["field"]), shown(&change["before"]), shown(&change["after"]))
    };
    changes.map(change).collect::<Vec<_>>().join("; ")
}

fn print_cursor(page: &Value) {
    if let Some(cursor) = page["nextCursor"].as_str() {
        print_line(&format!("more: --cursor {cursor} shows the next page"));
    }
}

/// Undoes a change.
pub(super) fn undo(arguments: &UndoArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let found = arguments.link.find(&client)?;
    let path = format!("{LINKS}/{}/undo", text(&found.value["link"]["id"]));
    // An object in both cases, since an empty body is an error.
    let body = arguments.to.as_ref().map_or_else(|| json!({}), |to| json!({"revision": to}));
    let answer = client.send(&Method::POST, &path, Some(&body));
    shown::link(&client, &answer.map_err(|error| error.with_options(&[&[("revision", "--to")]]))?);
    Ok(())
}

/// Prints the deleted links.
pub(super) fn deleted(arguments: &DeletedArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let path = format!("{LINKS}/deleted?{}", arguments.page.query().finish());
    let answer = client.send(&Method::GET, &path, None);
    let answer = answer.map_err(|error| error.with_options(&[&PAGE_OPTIONS]))?;
    if client.shows_json {
        answer.print();
        return Ok(());
    }
    let links = answer.value["links"].as_array().into_iter().flatten();
    let row = |link: &Value| {
        let [code, domain, clicks] = ["shortCode", "domain", "clickCount"].map(|field| text(&link[field]));
        let [deleted, until] = ["deletedAt", "restorableUntil"].map(|field| minute(&link[field]));
        vec![code, domain, clicks, deleted, until, destination(&text(&link["url"]))]
    };
    let rows: Vec<_> = links.map(row).collect();
    let names = [
        TableColumn::text("CODE").least(24),
        TableColumn::text("DOMAIN").least(12).rank(3),
        TableColumn::number("CLICKS").rank(4),
        TableColumn::text("DELETED").least(16).rank(5),
        // The time that is left is what a person must act by.
        TableColumn::text("RESTORABLE UNTIL").least(16).rank(2),
        TableColumn::text("DESTINATION").least(20).rank(1),
    ];
    print_line(&table(&names, &rows, terminal::width()));
    print_cursor(&answer.value);
    Ok(())
}

/// Restores the link of a code that was deleted last.
pub(super) fn restore(arguments: &LinkRestoreArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let (code, domain) = arguments.link.parts()?;
    let mut query = Serializer::new(String::new());
    // Enough for a code that was given and deleted a hundred times.
    query.append_pair("limit", "100");
    query.append_pair("code", &code);
    let found = client.send(&Method::GET, &format!("{LINKS}/deleted?{}", query.finish()), None)?;
    let links = found.value["links"].as_array().into_iter().flatten();
    let there = links.filter(|link| domain.as_ref().is_none_or(|domain| link["domain"] == **domain));
    // Several links may have had the code, one after the other. Times of one form sort as texts.
    let Some(link) = there.max_by_key(|link| columns::text(&link["deletedAt"])) else {
        let list = client.command("link deleted");
        return Err(CommandError::NotFound(format!(
            "no link with the code {code:?} can be restored; `{list}` lists the links that can"
        )));
    };
    let mut body = Map::new();
    if let Some(code) = &arguments.new_code {
        body.insert(draft::CODE.to_owned(), json!(code));
    }
    let path = format!("{LINKS}/{}/restore", text(&link["id"]));
    let answer = client.send(&Method::POST, &path, Some(&Value::Object(body)));
    shown::link(&client, &answer.map_err(|error| error.with_options(&[&[(draft::CODE, "--code")]]))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_one_line() {
        let revision = json!({"changes": [
            {"field": "title", "before": null, "after": "T"},
            {"field": "tagIds", "before": ["a", "b"], "after": []},
        ]});
        assert_eq!(words(&revision), "title: none -> T; tagIds: a, b -> ");
    }
}
