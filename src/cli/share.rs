//! `waypost share`: shares the statistics of links and tags, on a running server.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::api_client::{ApiAnswer, ApiClient, ClientArguments};
use super::columns::{TableColumn, list, table, text};
use super::error::CommandError;
use super::instant::End;
use super::link::{NamedLink, tag_id};
use super::output::print_line;
use super::terminal;

/// The path of shares.
const SHARES: &str = "/api/v1/analytics/shares";

/// The option of each field, for errors.
const OPTIONS: &[(&str, &str)] =
    &[("expiresAt", "--expires"), ("password", "--password"), ("timezone", "--timezone")];

/// Arguments of `share`.
#[derive(Clone, Debug, Args)]
pub(super) struct ShareArguments {
    #[command(subcommand)]
    command: ShareCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ShareCommand {
    /// Create a page that shows the clicks of a link or a tag without a key.
    #[command(visible_alias = "new", alias = "add")]
    Create(NewShareArguments),
    /// List shares whose time is not over.
    #[command(visible_alias = "ls")]
    List(ShareListArguments),
    /// Change the end, the password or the time zone of a share. Its address stays.
    #[command(alias = "update", alias = "set")]
    Edit(EditShareArguments),
    /// Revoke a share. Its page is gone from then on.
    #[command(visible_alias = "rm", alias = "delete", alias = "remove")]
    Revoke(RevokeShareArguments),
}

#[derive(Clone, Debug, Args)]
struct NewShareArguments {
    /// The code of the link, or its short URL, with or without its scheme.
    #[arg(value_name = "CODE", required_unless_present = "tag", conflicts_with = "tag")]
    code: Option<String>,
    /// The domain of the link. Default: the default domain of the workspace.
    #[arg(long, value_name = "HOST", requires = "code")]
    domain: Option<String>,
    /// The tag whose links are shown, in place of a link.
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    #[command(flatten)]
    fields: ShareFields,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
struct ShareFields {
    /// The end: a date, a time, or a duration such as 90d or 6mo, at most five years. A date alone is the end of that day
    /// in the time zone of the share, and a time without a zone is of UTC. Default: 30 days.
    #[arg(long, value_name = "WHEN", value_parser = End::parse)]
    expires: Option<End>,
    /// Require a password. It is read from the terminal, or else from the first line of stdin.
    #[arg(long)]
    password: bool,
    /// The time zone of the page's days, such as Europe/Berlin. Default: UTC.
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

#[derive(Clone, Debug, Args)]
struct ShareListArguments {
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
struct EditShareArguments {
    /// The id of the share: the end of its address.
    #[arg(value_name = "ID")]
    id: String,
    /// Remove the password.
    #[arg(long, conflicts_with = "password")]
    no_password: bool,
    #[command(flatten)]
    fields: ShareFields,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
struct RevokeShareArguments {
    /// The id of the share: the end of its address.
    #[arg(value_name = "ID")]
    id: String,
    /// Revoke without a question.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    client: ClientArguments,
}

impl ShareFields {
    /// Returns the fields of a request. Reads the password.
    fn body(&self) -> Result<Map<String, Value>, CommandError> {
        let mut body = Map::new();
        if let Some(end) = self.expires.as_ref().map(End::value) {
            if end.is_null() {
                let why = "--expires: a share has an end, at most five years from now";
                return Err(CommandError::Usage(why.to_owned()));
            }
            body.insert("expiresAt".to_owned(), end);
        }
        if let Some(zone) = &self.timezone {
            body.insert("timezone".to_owned(), json!(zone));
        }
        if self.password {
            body.insert("password".to_owned(), json!(terminal::read_password()?));
        }
        Ok(body)
    }
}

/// Runs the command.
pub(super) fn run(arguments: &ShareArguments) -> Result<(), CommandError> {
    match &arguments.command {
        ShareCommand::Create(arguments) => create(arguments),
        ShareCommand::List(ShareListArguments { client }) => show_all(&ApiClient::new(client)?),
        ShareCommand::Edit(arguments) => edit(arguments),
        ShareCommand::Revoke(arguments) => revoke(arguments),
    }
}

fn create(arguments: &NewShareArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let mut body = arguments.fields.body()?;
    if let Some(code) = &arguments.code {
        // A share has the id, which stays when the link is renamed.
        let named = NamedLink { code: code.clone(), domain: arguments.domain.clone() };
        body.insert("linkId".to_owned(), named.find(&client)?.value["link"]["id"].clone());
    }
    if let Some(tag) = &arguments.tag {
        body.insert("tagId".to_owned(), json!(tag_id(&client, tag)?));
    }
    let created = client.send(&Method::POST, SHARES, Some(&Value::Object(body)));
    show(&client, &created.map_err(|error| error.with_options(&[OPTIONS]))?);
    Ok(())
}

fn edit(arguments: &EditShareArguments) -> Result<(), CommandError> {
    let mut body = arguments.fields.body()?;
    if arguments.no_password {
        body.insert("password".to_owned(), Value::Null);
    }
    if body.is_empty() {
        let why = "no option names what to change, such as --expires 90d or --password";
        return Err(CommandError::Usage(why.to_owned()));
    }
    // Behind the check of the options, which needs no server.
    let client = ApiClient::new(&arguments.client)?;
    let path = format!("{SHARES}/{}", id(&arguments.id)?);
    let changed = client.send(&Method::PATCH, &path, Some(&Value::Object(body)));
    show(&client, &changed.map_err(|error| error.with_options(&[OPTIONS]))?);
    Ok(())
}

fn revoke(arguments: &RevokeShareArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let id = id(&arguments.id)?;
    terminal::confirm(&format!("Revoke the share {id}?"), arguments.yes)?;
    let answer = client.send(&Method::DELETE, &format!("{SHARES}/{id}"), None)?;
    if client.shows_json {
        answer.print();
    } else {
        print_line(&format!("revoked the share {id}"));
    }
    Ok(())
}

/// Returns the id of a share that is named by its id or its address.
fn id(text: &str) -> Result<&str, CommandError> {
    let id = text.split_once("share=").map_or(text, |(_, rest)| rest.split('&').next().unwrap_or(rest));
    // Only these are a part of a path without an escape.
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then_some(id).ok_or_else(|| {
        CommandError::Usage(format!("{text:?} is no id of a share: `waypost share list` lists them"))
    })
}

fn show(client: &ApiClient, answer: &ApiAnswer) {
    if client.shows_json {
        return answer.print();
    }
    let share = &answer.value["share"];
    let fields = [
        ("address", "shareLink"),
        ("password", "password"),
        ("ends", "expiresAt"),
        ("time zone", "timezone"),
        ("id", "id"),
    ];
    let pairs = fields.map(|(name, field)| (name.to_owned(), text(&share[field])));
    print_line(&list(&pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>()));
}

fn show_all(client: &ApiClient) -> Result<(), CommandError> {
    let answer = client.send(&Method::GET, SHARES, None)?;
    if client.shows_json {
        answer.print();
        return Ok(());
    }
    let row = |share: &Value| {
        // The address says which one; a name would need a request for each row.
        let of = if share["linkId"].is_null() { "tag" } else { "link" };
        let password = if share["password"].is_null() { "" } else { "yes" };
        let end = text(&share["expiresAt"]).chars().take(10).collect();
        vec![text(&share["shareLink"]), of.to_owned(), password.to_owned(), end, text(&share["id"])]
    };
    let rows: Vec<_> = answer.value["shares"].as_array().into_iter().flatten().map(row).collect();
    let names = [
        // A part of an address opens nothing.
        TableColumn::whole("ADDRESS"),
        TableColumn::text("OF").rank(3),
        TableColumn::text("PASSWORD").rank(2),
        TableColumn::text("ENDS").least(10).rank(1),
        // The address ends in it.
        TableColumn::whole("ID").rank(4),
    ];
    print_line(&table(&names, &rows, terminal::width()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_named_by_its_id_or_its_address() {
        let rows = [
            ("0N88", Some("0N88")),
            ("https://go.test/?share=0N88", Some("0N88")),
            ("https://go.test/?share=0N88&interval=7d", Some("0N88")),
            ("", None),
            ("https://go.test/", None),
            ("../keys", None),
        ];
        for (text, want) in rows {
            assert_eq!(id(text).ok(), want, "{text}");
        }
    }
}
