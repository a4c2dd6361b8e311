//! `waypost link`: creates, lists, shows, changes, deletes and opens links on a running server.

mod fields;
mod shown;

use std::io::{self, IsTerminal};
use std::process::{Command, Stdio};

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use url::Url;
use url::form_urlencoded::Serializer;

use self::fields::{LinkFields, tag_id};
use super::api_client::{ApiClient, ClientArguments};
use super::error::CommandError;
use super::output::print_line;
use super::{columns, terminal};
use crate::formats::waypost::draft;

/// The path of links.
const LINKS: &str = "/api/v1/links";

/// Arguments of `link`.
#[derive(Clone, Debug, Args)]
pub(super) struct LinkArguments {
    #[command(subcommand)]
    command: LinkCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum LinkCommand {
    /// Create a link.
    #[command(visible_alias = "new", alias = "add")]
    Create(NewLinkArguments),
    /// List links, newest first.
    #[command(visible_alias = "ls")]
    List(LinkListArguments),
    /// Show a link.
    #[command(alias = "get")]
    Show(OneArguments),
    /// Change a link. Fields without an option stay as they are.
    #[command(alias = "update", alias = "set")]
    Edit(EditArguments),
    /// Delete a link. Its code can be used again.
    #[command(visible_alias = "rm", alias = "remove")]
    Delete(DeleteArguments),
    /// Open a short URL in the browser, or print it where there is none. The visit is a click.
    Open(OneArguments),
}

/// The arguments that name a link.
#[derive(Clone, Debug, Args)]
struct NamedLink {
    /// The code of the link, or its whole short URL.
    #[arg(value_name = "CODE")]
    code: String,
    /// The domain of the link. Default: the default domain of the workspace.
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
}

#[derive(Clone, Debug, Args)]
struct NewLinkArguments {
    /// The destination.
    #[arg(value_name = "URL")]
    url: String,
    /// The code behind the domain. Default: a generated code.
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// The domain of the link. Default: the default domain of the workspace.
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
    #[command(flatten)]
    fields: LinkFields,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
struct LinkListArguments {
    /// A text in code, title or destination.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// The order.
    #[arg(long, value_enum, default_value = "newest")]
    sort: ListOrder,
    /// Links on a page, 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// The number of the page.
    #[arg(long, value_name = "N", default_value_t = 1)]
    page: u32,
    /// Only links on this domain.
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
    /// Only links with this tag.
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ListOrder {
    Newest,
    Oldest,
    Clicks,
    Title,
}

#[derive(Clone, Debug, Args)]
struct OneArguments {
    #[command(flatten)]
    link: NamedLink,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
struct EditArguments {
    #[command(flatten)]
    link: NamedLink,
    /// Another destination.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Remove the password.
    #[arg(long, conflicts_with = "password")]
    no_password: bool,
    /// Remove a tag. The option can be repeated.
    #[arg(long, value_name = "NAME")]
    untag: Vec<String>,
    #[command(flatten)]
    fields: LinkFields,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
struct DeleteArguments {
    #[command(flatten)]
    link: NamedLink,
    /// Delete without a question.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    client: ClientArguments,
}

/// Runs the command.
pub(super) fn run(arguments: &LinkArguments) -> Result<(), CommandError> {
    match &arguments.command {
        LinkCommand::Create(arguments) => create(arguments),
        LinkCommand::List(arguments) => list(arguments),
        LinkCommand::Show(OneArguments { link, client }) => {
            let client = ApiClient::new(client)?;
            let answer = client.send(&Method::GET, &path(link)?, None)?;
            shown::link(&client, &answer);
            Ok(())
        }
        LinkCommand::Edit(arguments) => edit(arguments),
        LinkCommand::Delete(arguments) => delete(arguments),
        LinkCommand::Open(arguments) => open(arguments),
    }
}

fn create(arguments: &NewLinkArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let mut body = arguments.fields.body()?;
    body.insert("url".to_owned(), json!(arguments.url));
    if let Some(code) = &arguments.code {
        body.insert(draft::CODE.to_owned(), json!(code));
    }
    if let Some(domain) = &arguments.domain {
        body.insert("domain".to_owned(), json!(domain));
    }
    if !arguments.fields.tags.is_empty() {
        let ids = arguments.fields.tags.iter().map(|name| tag_id(&client, name, true));
        body.insert("tagIds".to_owned(), json!(ids.collect::<Result<Vec<_>, _>>()?));
    }
    let answer = client.send(&Method::POST, LINKS, Some(&Value::Object(body)))?;
    shown::link(&client, &answer);
    Ok(())
}

fn list(arguments: &LinkListArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let sort = arguments.sort.to_possible_value().expect("no value is hidden");
    let mut query = Serializer::new(String::new());
    query.append_pair("sort", sort.get_name());
    query.append_pair("limit", &arguments.limit.to_string());
    query.append_pair("page", &arguments.page.to_string());
    if let Some(search) = &arguments.search {
        query.append_pair("search", search);
    }
    if let Some(domain) = &arguments.domain {
        query.append_pair("domain", domain);
    }
    if let Some(name) = &arguments.tag {
        query.append_pair("tagId", &tag_id(&client, name, false)?);
    }
    let answer = client.send(&Method::GET, &format!("{LINKS}?{}", query.finish()), None)?;
    shown::links(&client, &answer);
    Ok(())
}

fn edit(arguments: &EditArguments) -> Result<(), CommandError> {
    let mut body = arguments.fields.body()?;
    if let Some(url) = &arguments.url {
        body.insert("url".to_owned(), json!(url));
    }
    if arguments.no_password {
        body.insert("password".to_owned(), Value::Null);
    }
    let has_tags = !arguments.fields.tags.is_empty() || !arguments.untag.is_empty();
    if body.is_empty() && !has_tags {
        let why = "no option names what to change, such as --url URL or --expires 2027-12-31";
        return Err(CommandError::Usage(why.to_owned()));
    }
    let client = ApiClient::new(&arguments.client)?;
    let path = path(&arguments.link)?;
    if has_tags {
        let found = client.send(&Method::GET, &path, None)?;
        let tags = found.value["link"]["tags"].as_array().into_iter().flatten();
        let mut ids: Vec<String> = tags.map(|tag| columns::text(&tag["tag"]["id"])).collect();
        for name in &arguments.untag {
            let id = tag_id(&client, name, false)?;
            ids.retain(|other| *other != id);
        }
        for name in &arguments.fields.tags {
            let id = tag_id(&client, name, true)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        body.insert("tagIds".to_owned(), json!(ids));
    }
    let answer = client.send(&Method::PATCH, &path, Some(&Value::Object(body)))?;
    shown::link(&client, &answer);
    Ok(())
}

fn delete(arguments: &DeleteArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let path = path(&arguments.link)?;
    // Read first: the question names the link, and a missing link is an error before any question.
    let found = client.send(&Method::GET, &path, None)?;
    let link = &found.value["link"];
    let short = columns::text(&link["shortUrl"]);
    let question = format!("Delete {short}, which leads to {}?", columns::text(&link["url"]));
    terminal::confirm(&question, arguments.yes)?;
    let answer = client.send(&Method::DELETE, &path, None)?;
    if client.shows_json {
        answer.print();
    } else {
        print_line(&format!("deleted {short}"));
    }
    Ok(())
}

fn open(OneArguments { link, client }: &OneArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(client)?;
    let answer = client.send(&Method::GET, &path(link)?, None)?;
    let url = columns::text(&answer.value["link"]["shortUrl"]);
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    // For a script the URL is the result.
    if has_desktop && io::stdout().is_terminal() {
        let mut browser = Command::new("xdg-open");
        browser.arg(&url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if browser.status().is_ok_and(|status| status.success()) {
            print_line(&format!("opened {url}"));
            return Ok(());
        }
    }
    print_line(&url);
    Ok(())
}

/// Returns the path of a link in the API.
fn path(link: &NamedLink) -> Result<String, CommandError> {
    let (code, host) = split(&link.code)?;
    let domain = link.domain.clone().or(host);
    let mut path = format!("{LINKS}/by-code/{}", utf8_percent_encode(&code, NON_ALPHANUMERIC));
    if let Some(domain) = domain {
        path.push('?');
        path.push_str(&Serializer::new(String::new()).append_pair("domain", &domain).finish());
    }
    Ok(path)
}

/// Returns the code and the host of a short URL, or a code.
fn split(text: &str) -> Result<(String, Option<String>), CommandError> {
    if !text.contains("://") {
        return Ok((text.to_owned(), None));
    }
    let wrong =
        || CommandError::Usage(format!("{text:?} is no short URL: give the code, or scheme, host and code"));
    let url = Url::parse(text).map_err(|_| wrong())?;
    let code = percent_decode_str(url.path().trim_matches('/')).decode_utf8().map_err(|_| wrong())?;
    let host = url.host_str().ok_or_else(wrong)?;
    if code.is_empty() { Err(wrong()) } else { Ok((code.into_owned(), Some(host.to_owned()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_named_by_its_code_or_its_url() {
        let rows = [
            ("spring", None, Some("/api/v1/links/by-code/spring")),
            ("a b/ü", None, Some("/api/v1/links/by-code/a%20b%2F%C3%BC")),
            ("spring", Some("go.test"), Some("/api/v1/links/by-code/spring?domain=go.test")),
            ("https://go.test/%C3%BC", None, Some("/api/v1/links/by-code/%C3%BC?domain=go.test")),
            ("http://localhost:8080/x?y#z", None, Some("/api/v1/links/by-code/x?domain=localhost")),
            ("https://go.test/x", Some("other.test"), Some("/api/v1/links/by-code/x?domain=other.test")),
            ("https://go.test/", None, None),
            ("https://", None, None),
        ];
        for (code, domain, want) in rows {
            let link = NamedLink { code: code.to_owned(), domain: domain.map(str::to_owned) };
            assert_eq!(path(&link).ok().as_deref(), want, "{code}");
        }
    }
}
