//! `waypost domain`: adds and lists the domains of links on a running server.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::api_client::{ApiClient, ClientArguments};
use super::columns::{TableColumn, table, text};
use super::error::CommandError;
use super::output::{print_line, print_note};
use super::terminal;

/// The path of domains.
const DOMAINS: &str = "/api/v1/domains";

/// Arguments of `domain`.
#[derive(Clone, Debug, Args)]
pub(super) struct DomainArguments {
    #[command(subcommand)]
    command: DomainCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum DomainCommand {
    /// Add a domain to a workspace.
    #[command(alias = "create", alias = "new")]
    Add(NewDomainArguments),
    /// List the domains that a workspace can use.
    #[command(visible_alias = "ls")]
    List(DomainListArguments),
}

#[derive(Clone, Debug, Args)]
struct NewDomainArguments {
    /// The host name, such as go.example.com.
    #[arg(value_name = "HOST")]
    host: String,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
struct DomainListArguments {
    #[command(flatten)]
    client: ClientArguments,
}

/// Prints the domains of an answer as a table, and below it why some have no certificate.
fn print_domains(answer: &Value) {
    let domains: Vec<&Value> = answer["domains"].as_array().into_iter().flatten().collect();
    let row = |domain: &&Value| {
        let cells = ["/domain", "/activeLinks", "/https/state", "/baseUrl", "/id"];
        cells.iter().map(|cell| domain.pointer(cell).map(text).unwrap_or_default()).collect()
    };
    let rows: Vec<Vec<String>> = domains.iter().map(row).collect();
    let names = [
        TableColumn::text("DOMAIN").least(20),
        TableColumn::number("LINKS").rank(2),
        TableColumn::text("HTTPS").rank(1),
        // Usually the domain with its scheme.
        TableColumn::text("SHORT URLS").least(20).rank(3),
        TableColumn::whole("ID"),
    ];
    print_line(&table(&names, &rows, terminal::width()));
    // Below the table, whose cells are cut. On stderr, since it is no part of the list.
    for failure in domains.iter().filter_map(|domain| domain["https"]["failure"].as_str()) {
        print_note(failure);
    }
}

/// Runs the command.
pub(super) fn run(arguments: &DomainArguments) -> Result<(), CommandError> {
    match &arguments.command {
        DomainCommand::Add(NewDomainArguments { host, client }) => {
            let client = ApiClient::new(client)?;
            let added = client.send(&Method::POST, DOMAINS, Some(&json!({ "domain": host })));
            let answer = added.map_err(|error| error.with_options(&[&[("domain", "HOST")]]))?;
            if client.shows_json {
                answer.print();
                return Ok(());
            }
            let domain = &answer.value["domain"];
            print_line(&format!("added {}", text(&domain["domain"])));
            let base = text(&domain["baseUrl"]);
            print_note(&format!("Its short URLs begin with {base}: its DNS name must lead to this server."));
            // Null on a server that requests no certificates.
            if !domain["https"].is_null() {
                print_note("Its certificate is requested then; `waypost domain list` shows its state.");
            }
            Ok(())
        }
        DomainCommand::List(DomainListArguments { client }) => {
            let client = ApiClient::new(client)?;
            let answer = client.send(&Method::GET, DOMAINS, None)?;
            if client.shows_json {
                answer.print();
                return Ok(());
            }
            print_domains(&answer.value);
            Ok(())
        }
    }
}
