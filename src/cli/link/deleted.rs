//! `waypost link deleted` and `restore`: the links that were deleted, and the way back.

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::history::{CursorArguments, PAGE_OPTIONS, print_cursor};
use super::named::{LINKS, NamedLink};
use super::shown;
use crate::app::data_folder::quoted;
use crate::cli::api_client::{ApiClient, ClientArguments};
use crate::cli::columns::{TableColumn, destination, minute, table, text};
use crate::cli::error::CommandError;
use crate::cli::output::{counted, print_line, print_note};
use crate::cli::terminal;
use crate::formats::waypost::draft;
use crate::model::id::Id;

#[derive(Clone, Debug, Args)]
pub(super) struct DeletedArguments {
    #[command(flatten)]
    page: CursorArguments,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(super) struct LinkRestoreArguments {
    /// The code or the short URL of the link, or its id. Of several links with one code, the one that was deleted last.
    #[arg(value_name = "CODE")]
    code: String,
    /// The domain of the link. Default: any.
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
    /// Another code, if the old one is in use now.
    #[arg(long = "code", id = "new_code", value_name = "NEW")]
    new_code: Option<String>,
    #[command(flatten)]
    client: ClientArguments,
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
        let [code, id, domain, clicks] =
            ["shortCode", "id", "domain", "clickCount"].map(|field| text(&link[field]));
        let [deleted, until] = ["deletedAt", "restorableUntil"].map(|field| minute(&link[field]));
        vec![code, id, domain, clicks, deleted, until, destination(&text(&link["url"]))]
    };
    let rows: Vec<_> = links.map(row).collect();
    let names = [
        TableColumn::text("CODE").least(24),
        // Several links may have had one code: `link restore` takes the id.
        TableColumn::whole("ID"),
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

/// Restores a link by its id, or the one of a code that was deleted last.
pub(super) fn restore(arguments: &LinkRestoreArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let named = NamedLink { code: arguments.code.clone(), domain: arguments.domain.clone() };
    let links = named.deleted(&client)?;
    let id = match links.first() {
        Some(link) => text(&link["id"]),
        // Behind the codes: a code may look like an id.
        None if arguments.code.parse::<Id>().is_ok() => arguments.code.clone(),
        None => return Err(not_deleted(arguments, &client)),
    };
    let mut body = Map::new();
    if let Some(code) = &arguments.new_code {
        body.insert(draft::CODE.to_owned(), json!(code));
    }
    let answer = client.send(&Method::POST, &format!("{LINKS}/{id}/restore"), Some(&Value::Object(body)));
    shown::link(&client, &answer.map_err(|error| refused(arguments, &client, error))?);
    let others = links.len().saturating_sub(1) as u64;
    if others > 0 {
        print_note(&format!(
            "note: {} with this code can be restored as well; `{}` lists their ids, which `link restore` takes",
            counted(others, "older link"),
            client.command("link deleted")
        ));
    }
    Ok(())
}

fn not_deleted(arguments: &LinkRestoreArguments, client: &ApiClient) -> CommandError {
    CommandError::NotFound(format!(
        "no link with the code {:?} can be restored; `{}` lists the links that can",
        arguments.code,
        client.command("link deleted")
    ))
}

/// Returns the error of a restore with what to do.
fn refused(arguments: &LinkRestoreArguments, client: &ApiClient, error: CommandError) -> CommandError {
    match error {
        CommandError::NotFound(_) => not_deleted(arguments, client),
        CommandError::Failed(why) if arguments.new_code.is_none() => {
            // The tip of the API is a field of its request.
            let Some((rule, _)) = why.split_once(&format!(": `{}`", draft::CODE)) else {
                return CommandError::Failed(why).with_options(&[&[("link", "CODE")]]);
            };
            let restore = format!("link restore {} --code NEW", quoted(&arguments.code));
            let restore = client.command(&restore);
            let rule = rule.strip_prefix("link: ").unwrap_or(rule);
            CommandError::Failed(format!("{rule}: `{restore}` gives it another one"))
        }
        error => error.with_options(&[&[(draft::CODE, "--code")]]),
    }
}
