//! `waypost link history` and `undo`: what changed a link, and the way back.

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::named::{LINKS, NamedLink};
use super::{changes, shown};
use crate::cli::api_client::{ApiClient, ClientArguments};
use crate::cli::columns::{TableColumn, table, text};
use crate::cli::error::CommandError;
use crate::cli::output::print_line;
use crate::cli::terminal;

/// The options that pages have in common.
pub(super) const PAGE_OPTIONS: [(&str, &str); 2] = [("limit", "--limit"), ("cursor", "--cursor")];

/// Entries of a history that show what an undo undid: itself, the change, and the two before.
const AROUND_UNDO: usize = 4;

/// A page of a list without numbers of pages.
#[derive(Clone, Debug, Args)]
pub(super) struct CursorArguments {
    /// Entries on a page, 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// The next page: the nextCursor of the one before.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl CursorArguments {
    pub(super) fn query(&self) -> Serializer<'static, String> {
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
    let revisions: Vec<_> = answer.value["history"].as_array().into_iter().flatten().collect();
    for line in lines(&revisions, terminal::width()) {
        print_line(&line);
    }
    print_cursor(&answer.value);
    Ok(())
}

/// Returns a line for each revision, and below it the lines of its changes.
fn lines(revisions: &[&Value], width: usize) -> Vec<String> {
    let row = |revision: &&Value| {
        // The name alone: ids of keys are for scripts, which read the JSON.
        let author = match &revision["by"] {
            Value::Null => "operator".to_owned(),
            by if by["name"].is_null() => text(&by["id"]),
            by => text(&by["name"]),
        };
        let [id, at, operation] = ["revision", "at", "operation"].map(|field| text(&revision[field]));
        vec![id, at, operation, author]
    };
    let rows: Vec<_> = revisions.iter().map(row).collect();
    let names = [
        // `link undo --to` takes it.
        TableColumn::whole("REVISION"),
        TableColumn::text("TIME").least(16).rank(2),
        TableColumn::text("OPERATION").rank(3),
        TableColumn::text("KEY").rank(4),
    ];
    let shown = table(&names, &rows, width);
    let mut lines = shown.lines().map(str::to_owned);
    let mut all: Vec<_> = lines.next().into_iter().collect();
    for (line, revision) in lines.zip(revisions) {
        all.push(line);
        all.extend(changes::lines(revision, width));
    }
    all
}

/// Names the next page of a list, if there is one.
pub(super) fn print_cursor(page: &Value) {
    if let Some(cursor) = page["nextCursor"].as_str() {
        print_line(&format!("more: --cursor {cursor} shows the next page"));
    }
}

/// Undoes a change.
pub(super) fn undo(arguments: &UndoArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let found = arguments.link.find(&client)?;
    let id = text(&found.value["link"]["id"]);
    let body = arguments.to.as_ref().map_or_else(|| json!({}), |to| json!({"revision": to}));
    let answer = client.send(&Method::POST, &format!("{LINKS}/{id}/undo"), Some(&body));
    let answer = answer.map_err(|error| refused(arguments, &client, &found.value["link"], error))?;
    shown::link(&client, &answer);
    if !client.shows_json {
        print_undone(arguments, &client, &answer.value["link"]);
    }
    Ok(())
}

/// Returns the error of an undo with the option that caused it, and with the command that lists the revisions.
fn refused(arguments: &UndoArguments, client: &ApiClient, link: &Value, error: CommandError) -> CommandError {
    let history = client.command(&format!("link history {}", arguments.link.argument(link)));
    match error {
        CommandError::NotFound(why) => {
            // Without the tip of the API, which is a request.
            let what = why.split_once(": `GET").map_or(&*why, |(what, _)| what);
            CommandError::NotFound(format!("{what}; `{history}` lists the revisions"))
        }
        // Without `--to`, no option names a revision.
        CommandError::Failed(why) if arguments.to.is_none() => {
            CommandError::Failed(why.strip_prefix("link: ").unwrap_or(&why).to_owned())
        }
        error => error.with_options(&[&[("revision", "--to")]]),
    }
}

/// Prints what an undo changed, and how to go further back. The undo is done, so an error of the history is none of it.
fn print_undone(arguments: &UndoArguments, client: &ApiClient, link: &Value) {
    let path = format!("{LINKS}/{}/history?limit={AROUND_UNDO}", text(&link["id"]));
    let Ok(answer) = client.send(&Method::GET, &path, None) else { return };
    let entries = answer.value["history"].as_array().map_or(&[][..], Vec::as_slice);
    // Another change may have followed.
    let Some(undone) = entries.first().filter(|entry| entry["operation"] == "undo") else { return };
    print_line("\nundone:");
    for line in changes::lines(undone, terminal::width()) {
        print_line(&line);
    }
    let name = arguments.link.argument(link);
    // The last entry is that of two changes ago: its state is the one before the change that is the latest now.
    let further = match (&arguments.to, entries.get(AROUND_UNDO - 1)) {
        (None, Some(before)) => {
            let undo = client.command(&format!("link undo {name} --to {}", text(&before["revision"])));
            format!("`{undo}` undoes the change before it as well")
        }
        _ => format!("`{}` lists all changes", client.command(&format!("link history {name}"))),
    };
    let again = client.command(&format!("link undo {name}"));
    print_line(&format!("{further}; `{again}` takes this undo back"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_has_its_line() {
        let revisions = json!([
            {"revision": "0N88vwqp0EUhFT57aXBu", "at": "2026-11-30T02:00:00.000Z", "operation": "edit",
                "by": {"id": "1", "name": "Kim"}, "changes": [
                {"field": "title", "before": null, "after": "T"},
                {"field": "tagIds", "before": ["a", "b"], "after": []}]},
            {"revision": "0N88vwqp0EUhFT57aXBv", "at": "2026-11-30T01:00:00.000Z", "operation": "create", "by": null,
                "changes": []},
        ]);
        let revisions: Vec<_> = revisions.as_array().expect("a list").iter().collect();
        let want = [
            "REVISION              TIME                      OPERATION  KEY",
            "0N88vwqp0EUhFT57aXBu  2026-11-30T02:00:00.000Z  edit       Kim",
            "  title: none -> T",
            "  tagIds: a, b -> none",
            "0N88vwqp0EUhFT57aXBv  2026-11-30T01:00:00.000Z  create     operator",
        ];
        assert_eq!(lines(&revisions, 80), want);
    }
}
