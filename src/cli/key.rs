//! `waypost key`: creates, lists and revokes API keys on a running server.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::api_client::{ApiClient, ClientArguments};
use super::columns::{TableColumn, list, minute, table, text};
use super::error::CommandError;
use super::instant::End;
use super::output::{deliver, print_line, print_note};
use super::terminal;
use crate::model::key::Scope;

/// The path of keys.
const KEYS: &str = "/api/v1/keys";

/// The option or argument of each field, for errors of `key create`.
const OPTIONS: &[(&str, &str)] = &[
    ("name", "NAME"),
    ("scopes", "--scope"),
    ("expiresAt", "--expires"),
    ("createOnly", "--create-only"),
    ("companyId", "--company"),
    ("instance", "--instance"),
];

/// Arguments of `key`.
#[derive(Clone, Debug, Args)]
pub(super) struct KeyArguments {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum KeyCommand {
    /// Create a key and print its secret, which is shown only once.
    #[command(visible_alias = "new", alias = "add")]
    Create(NewKeyArguments),
    /// List keys, without their secrets.
    #[command(visible_alias = "ls")]
    List(KeyListArguments),
    /// Revoke a key. It is refused from then on.
    #[command(visible_alias = "rm", alias = "delete", alias = "remove")]
    Revoke(RevokeArguments),
}

#[derive(Clone, Debug, Args)]
struct NewKeyArguments {
    /// A name, for lists.
    #[arg(value_name = "NAME")]
    name: String,
    /// What the key may do. The option can be repeated. metrics.readonly needs --instance.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',', value_parser = scopes())]
    scopes: Vec<String>,
    /// The end: a date, a time, a duration such as 90d or 6mo, or never. A date alone is the end of that day in UTC, and a
    /// time without a zone is of UTC.
    #[arg(long, value_name = "WHEN", value_parser = End::parse)]
    expires: Option<End>,
    /// The key creates links and does nothing else.
    #[arg(long)]
    create_only: bool,
    /// The key acts on all workspaces of this company. Default: on one workspace.
    #[arg(long, value_name = "ID")]
    company: Option<String>,
    /// The key acts on everything.
    #[arg(long, conflicts_with = "company")]
    instance: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
struct KeyListArguments {
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
struct RevokeArguments {
    /// The id of the key, or its name if no other key has the same.
    #[arg(value_name = "ID")]
    key: String,
    /// Revoke without a question.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    client: ClientArguments,
}

/// Returns the parser of a scope, which lists all of them in the help and in completions.
fn scopes() -> PossibleValuesParser {
    PossibleValuesParser::new(Scope::ALL.map(Scope::name))
}

/// Runs the command.
pub(super) fn run(arguments: &KeyArguments) -> Result<(), CommandError> {
    match &arguments.command {
        KeyCommand::Create(arguments) => create(arguments),
        KeyCommand::List(KeyListArguments { client }) => show_all(&ApiClient::new(client)?),
        KeyCommand::Revoke(arguments) => revoke(arguments),
    }
}

fn create(arguments: &NewKeyArguments) -> Result<(), CommandError> {
    // The metrics are of all tenants together.
    if !arguments.instance && arguments.scopes.iter().any(|scope| scope == Scope::MetricsRead.name()) {
        let why = "--scope metrics.readonly needs --instance: the metrics are of the whole instance";
        return Err(CommandError::Usage(why.to_owned()));
    }
    let client = ApiClient::new(&arguments.client)?;
    let mut body = json!({ "name": arguments.name, "scopes": arguments.scopes });
    if let Some(expires) = &arguments.expires {
        body["expiresAt"] = expires.value();
    }
    if arguments.create_only {
        body["createOnly"] = json!(true);
    }
    if let Some(company) = &arguments.company {
        body["companyId"] = json!(company);
    }
    if arguments.instance {
        body["instance"] = json!(true);
    }
    let created = client.send(&Method::POST, KEYS, Some(&body));
    let answer = created.map_err(|error| error.with_options(&[OPTIONS]))?;
    let key = &answer.value["key"];
    // Also for a closed pipe: the server has the hash of the secret alone.
    let lost = |error| {
        let id = text(&key["id"]);
        CommandError::Failed(format!(
            "cannot write the secret to stdout: {error}. The key {id} exists, and nothing has its secret: revoke it by \
             `waypost key revoke {id}`, and create another one"
        ))
    };
    if client.shows_json {
        return answer.deliver().map_err(lost);
    }
    let pairs = ["secret", "name", "kind", "scopes", "expiresAt", "id"]
        .map(|field| (field.to_owned(), text(&key[field])));
    let set: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    deliver(&list(&set)).map_err(lost)?;
    print_note("The secret is not shown again: store it now.");
    Ok(())
}

fn show_all(client: &ApiClient) -> Result<(), CommandError> {
    let answer = client.send(&Method::GET, KEYS, None)?;
    if client.shows_json {
        answer.print();
        return Ok(());
    }
    let row = |key: &Value| {
        let [name, kind, scopes, hint, id] =
            ["name", "kind", "scopes", "hint", "id"].map(|field| text(&key[field]));
        vec![name, kind, scopes, hint, minute(&key["expiresAt"]), id]
    };
    let rows: Vec<_> = answer.value["keys"].as_array().into_iter().flatten().map(row).collect();
    let names = [
        TableColumn::text("NAME").least(12),
        TableColumn::text("KIND").least(9).rank(4),
        // The name and the id are enough to revoke a key; what it may do is looked for next.
        TableColumn::text("SCOPES").least(11).rank(1),
        TableColumn::text("BEGINS WITH").least(11).rank(3),
        TableColumn::text("EXPIRES").least(16).rank(2),
        TableColumn::whole("ID"),
    ];
    print_line(&table(&names, &rows, terminal::width()));
    Ok(())
}

fn revoke(arguments: &RevokeArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let all = client.send(&Method::GET, KEYS, None)?;
    let keys: Vec<_> = all.value["keys"].as_array().into_iter().flatten().collect();
    let key = find(&keys, &arguments.key)?;
    let (id, name) = (text(&key["id"]), text(&key["name"]));
    terminal::confirm(&format!("Revoke the key {name:?} ({})?", text(&key["scopes"])), arguments.yes)?;
    let answer = client.send(&Method::DELETE, &format!("{KEYS}/{id}"), None)?;
    if client.shows_json {
        answer.print();
    } else {
        print_line(&format!("revoked the key {name:?}"));
    }
    Ok(())
}

/// Returns the key with this id, or else the only one with this name.
fn find<'k>(keys: &[&'k Value], named: &str) -> Result<&'k Value, CommandError> {
    let is = |field: &str| keys.iter().filter(|key| key[field] == named).collect::<Vec<_>>();
    let found = [is("id"), is("name")].into_iter().find(|found| !found.is_empty()).unwrap_or_default();
    match found.as_slice() {
        [key] => Ok(key),
        [] => {
            Err(CommandError::Failed(format!("there is no key {named:?}: `waypost key list` lists all keys")))
        }
        more => {
            let count = more.len();
            Err(CommandError::Failed(format!(
                "{count} keys have the name {named:?}: give the id of one of them"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_id_or_unique_name() {
        let all = [
            json!({"id": "1", "name": "a"}),
            json!({"id": "2", "name": "b"}),
            json!({"id": "a", "name": "b"}),
        ];
        let keys: Vec<_> = all.iter().collect();
        let rows = [("1", Some("1")), ("a", Some("a")), ("b", None), ("c", None)];
        for (named, want) in rows {
            let got = find(&keys, named).ok().map(|key| text(&key["id"]));
            assert_eq!(got.as_deref(), want, "{named}");
        }
    }
}
