//! `waypost link`: creates, lists, shows, changes, explains, deletes, restores and opens links on a running server.

mod changes;
mod deleted;
mod explain;
mod fields;
mod health;
mod history;
mod named;
mod qr;
mod rules;
mod shown;

use std::io::{self, IsTerminal};
use std::process::{Command, Stdio};

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use self::deleted::{DeletedArguments, LinkRestoreArguments};
use self::explain::ExplainArguments;
use self::fields::GivenTags;
pub(super) use self::fields::tag_id;
use self::fields::{CREATE_ARGUMENTS, EDIT_OPTIONS, LINK_OPTIONS, LIST_OPTIONS, LinkFields};
use self::history::{HistoryArguments, UndoArguments};
use self::named::LINKS;
pub(super) use self::named::NamedLink;
use self::qr::QrArguments;
use super::api_client::{ApiAnswer, ApiClient, ClientArguments};
use super::error::CommandError;
use super::output::{counted, print_line, print_note};
use super::{columns, terminal};
use crate::app::data_folder::quoted;
use crate::formats::waypost::draft;
use crate::formats::waypost::known::{CHANGED_LINK, NEW_LINK};

/// Attempts of a change that relies on what was read, while others change the same link.
const CHANGE_ATTEMPTS: usize = 8;

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
    /// Change or rename a link. Fields without an option stay as they are.
    #[command(alias = "update", alias = "set")]
    Edit(EditArguments),
    /// Show what a click would do, and why. It counts nothing.
    Explain(Box<ExplainArguments>),
    /// Print the QR code of a link in the terminal, or write it to a file.
    Qr(QrArguments),
    /// Show what changed a link, who did it, and when.
    #[command(visible_alias = "log")]
    History(HistoryArguments),
    /// Undo the last change of a link, or go back to a revision of its history.
    #[command(alias = "revert")]
    Undo(UndoArguments),
    /// Delete a link. Its code can be used again, and `link restore` brings the link back.
    #[command(visible_alias = "rm", alias = "remove")]
    Delete(DeleteArguments),
    /// List the deleted links that can be restored.
    Deleted(DeletedArguments),
    /// Restore a deleted link with its clicks.
    #[command(alias = "undelete")]
    Restore(LinkRestoreArguments),
    /// Open a short URL in the browser, or print it where there is none. The visit is a click.
    Open(OneArguments),
}

#[derive(Clone, Debug, Args)]
struct NewLinkArguments {
    /// The destination.
    #[arg(value_name = "URL")]
    url: String,
    /// The code behind the domain, or the whole short URL, such as go.example.com/spring. Default: a generated code.
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// The domain of the link. Default: the default domain of the workspace.
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
    #[command(flatten)]
    fields: LinkFields,
    /// Print the short URL alone.
    #[arg(long, conflicts_with_all = ["json", "table"])]
    short: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
struct LinkListArguments {
    /// A text in code, title or destination.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// The order. Default: newest.
    #[arg(long, value_enum)]
    sort: Option<ListOrder>,
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
    /// Only links whose destination does not work, in a workspace with `checkLinks`.
    #[arg(long, value_enum)]
    health: Option<ListHealth>,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ListHealth {
    Broken,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ListOrder {
    Newest,
    Oldest,
    Clicks,
    /// Clicks of the last 30 days.
    #[value(name = "clicks30d")]
    Recent,
    #[value(name = "lastClick")]
    LastClick,
    Title,
}

impl ListOrder {
    /// Returns the column of the table that shows the order.
    fn column(self) -> &'static str {
        match self {
            ListOrder::Newest | ListOrder::Oldest => "CREATED",
            ListOrder::Clicks => "CLICKS",
            ListOrder::Recent => "30 DAYS",
            ListOrder::LastClick => "LAST CLICK",
            ListOrder::Title => "TITLE",
        }
    }
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
    /// Another code. The link keeps its id and its clicks.
    #[arg(long = "code", value_name = "NEW")]
    new_code: Option<String>,
    /// Keep the old code of a link that is renamed: both open the link.
    #[arg(long, requires = "new_code")]
    keep_old_code: bool,
    /// Give up a former code that was kept. The option can be repeated.
    #[arg(long, value_name = "CODE")]
    unalias: Vec<String>,
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
            let answer = link.find(&client)?;
            shown::link(&client, &answer);
            Ok(())
        }
        LinkCommand::Edit(arguments) => edit(arguments),
        LinkCommand::Explain(arguments) => explain::run(arguments),
        LinkCommand::Qr(arguments) => qr::run(arguments),
        LinkCommand::History(arguments) => history::history(arguments),
        LinkCommand::Undo(arguments) => history::undo(arguments),
        LinkCommand::Deleted(arguments) => deleted::deleted(arguments),
        LinkCommand::Restore(arguments) => deleted::restore(arguments),
        LinkCommand::Delete(arguments) => delete(arguments),
        LinkCommand::Open(arguments) => open(arguments),
    }
}

impl NewLinkArguments {
    /// Returns the code, and the domain that `--domain` or a short URL in place of the code names.
    fn code_and_domain(&self) -> Result<(Option<String>, Option<String>), CommandError> {
        let Some(code) = &self.code else { return Ok((None, self.domain.clone())) };
        // With two URLs, the second one is a short URL.
        if code.contains("://") && !self.url.contains("://") {
            let command = self.client.command("link create");
            let (url, code) = (quoted(code), quoted(&self.url));
            return Err(CommandError::Usage(format!("the URL comes first: `{command} {url} {code}`")));
        }
        let (code, host) = named::of_new_link(code)?;
        match (&self.domain, host) {
            (Some(domain), Some(host)) if !domain.eq_ignore_ascii_case(&host) => Err(CommandError::Usage(
                format!("CODE is on {host}, and --domain is {domain}: give one of them"),
            )),
            (domain, host) => Ok((Some(code), domain.clone().or(host))),
        }
    }
}

fn create(arguments: &NewLinkArguments) -> Result<(), CommandError> {
    let tables = [LINK_OPTIONS, CREATE_ARGUMENTS];
    let (code, domain) = arguments.code_and_domain()?;
    arguments.fields.check_others(NEW_LINK, &tables)?;
    let client = ApiClient::new(&arguments.client)?;
    let mut body = arguments.fields.body()?;
    body.insert("url".to_owned(), json!(arguments.url));
    if let Some(code) = code {
        body.insert(draft::CODE.to_owned(), json!(code));
    }
    if let Some(domain) = domain {
        body.insert("domain".to_owned(), json!(domain));
    }
    arguments.fields.add_others(&mut body)?;
    let tags = GivenTags::new(&client, &arguments.fields.tags)?;
    if !tags.ids.is_empty() {
        body.insert("tagIds".to_owned(), json!(tags.ids));
    }
    let created = client.send(&Method::POST, LINKS, Some(&Value::Object(body)));
    let answer = created.map_err(|error| {
        let error = tags.taken_back(&client, error);
        arguments.fields.explain(error, &tables)
    })?;
    tags.note();
    if arguments.short {
        print_line(&columns::text(&answer.value["link"]["shortUrl"]));
    } else {
        shown::link(&client, &answer);
    }
    Ok(())
}

fn list(arguments: &LinkListArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let sort = arguments.sort.unwrap_or(ListOrder::Newest);
    let mut query = Serializer::new(String::new());
    query.append_pair("sort", sort.to_possible_value().expect("no value is hidden").get_name());
    query.append_pair("limit", &arguments.limit.to_string());
    query.append_pair("page", &arguments.page.to_string());
    if let Some(search) = &arguments.search {
        query.append_pair("search", search);
    }
    if let Some(domain) = &arguments.domain {
        query.append_pair("domain", domain);
    }
    if let Some(ListHealth::Broken) = arguments.health {
        query.append_pair("health", "broken");
    }
    if let Some(name) = &arguments.tag {
        query.append_pair("tagId", &tag_id(&client, name)?);
    }
    let found = client.send(&Method::GET, &format!("{LINKS}?{}", query.finish()), None);
    let answer = found.map_err(|error| error.with_options(&[LIST_OPTIONS]))?;
    shown::links(&client, &answer, arguments.sort.map(ListOrder::column));
    Ok(())
}

fn edit(arguments: &EditArguments) -> Result<(), CommandError> {
    let tables = [LINK_OPTIONS, EDIT_OPTIONS];
    arguments.fields.check_others(CHANGED_LINK, &tables)?;
    let mut body = arguments.fields.body()?;
    if let Some(url) = &arguments.url {
        body.insert("url".to_owned(), json!(url));
    }
    if arguments.no_password {
        body.insert("password".to_owned(), Value::Null);
    }
    if let Some(code) = &arguments.new_code {
        body.insert(draft::CODE.to_owned(), json!(code));
    }
    if arguments.keep_old_code {
        body.insert("keepOldCode".to_owned(), json!(true));
    }
    arguments.fields.add_others(&mut body)?;
    let has_tags = !arguments.fields.tags.is_empty() || !arguments.untag.is_empty();
    if body.is_empty() && !has_tags && arguments.unalias.is_empty() {
        let why = "no option names what to change, such as --url URL or --expires 2027-12-31";
        return Err(CommandError::Usage(why.to_owned()));
    }
    let client = ApiClient::new(&arguments.client)?;
    let path = arguments.link.path()?;
    // Read before: the change does not return the code that it replaces.
    let renamed = arguments.new_code.is_some() && !arguments.keep_old_code;
    let before = if renamed { Some(arguments.link.find(&client)?) } else { None };
    let mut tags = GivenTags::default();
    if has_tags {
        // Not the whole list, so that edits at the same time keep what each of them adds.
        let removed = arguments.untag.iter().map(|name| tag_id(&client, name)).collect::<Result<Vec<_>, _>>();
        body.insert("removeTagIds".to_owned(), json!(removed?));
        tags = GivenTags::new(&client, &arguments.fields.tags)?;
        body.insert("addTagIds".to_owned(), json!(tags.ids));
    }
    let changed = change(arguments, &client, &path, body);
    let answer = changed.map_err(|error| {
        let error = tags.taken_back(&client, error);
        arguments.link.missing(&client, arguments.fields.explain(error, &tables))
    })?;
    tags.note();
    let link = &answer.value["link"];
    if let Some(code) = arguments.link.former_code(link).filter(|_| arguments.new_code.is_none()) {
        let short = columns::text(&link["shortUrl"]);
        print_note(&format!("note: {code:?} is a former code of {short}, which was changed"));
    }
    shown::link(&client, &answer);
    if let Some(before) = before {
        note_lost_code(&client, &before.value["link"], link);
    }
    Ok(())
}

/// Warns that the old code of a renamed link opens it no longer, if anybody has used it: it may be in print.
fn note_lost_code(client: &ApiClient, before: &Value, link: &Value) {
    let [old, new] = [before, link].map(|link| columns::text(&link["shortUrl"]));
    let clicks = before["clickCount"].as_u64().unwrap_or(0);
    // On a domain that ignores case, another spelling is the same code.
    if clicks == 0 || old.to_lowercase() == new.to_lowercase() {
        return;
    }
    let undo = client.command(&format!("link undo {}", quoted(&new)));
    print_note(&format!(
        "note: {old} has {} and no longer opens the link: `{undo}` takes the new code back, and --keep-old-code keeps both",
        counted(clicks, "click")
    ));
}

/// Sends a change of a link. A list of aliases is what is left of those that were read, so it is computed again if the
/// link was changed in between.
fn change(
    arguments: &EditArguments,
    client: &ApiClient,
    path: &str,
    mut body: Map<String, Value>,
) -> Result<ApiAnswer, CommandError> {
    if arguments.unalias.is_empty() {
        return client.change(path, &Value::Object(body), None);
    }
    let mut attempts = 0;
    loop {
        let found = arguments.link.find(client)?;
        body.insert("aliases".to_owned(), json!(kept_aliases(&arguments.unalias, &found.value["link"])?));
        attempts += 1;
        match client.change(path, &Value::Object(body.clone()), found.tag.as_ref()) {
            Err(CommandError::Changed(_)) if attempts < CHANGE_ATTEMPTS => {}
            changed => return changed,
        }
    }
}

/// Returns the aliases of a link without those that are given up.
fn kept_aliases<'l>(given_up: &[String], link: &'l Value) -> Result<Vec<&'l Value>, CommandError> {
    let all: Vec<&Value> = link["aliases"].as_array().into_iter().flatten().collect();
    let is = |alias: &Value, code: &String| {
        columns::text(&alias["shortCode"]).to_lowercase() == code.to_lowercase()
            || alias["shortUrl"] == **code
    };
    if let Some(code) = given_up.iter().find(|code| !all.iter().any(|alias| is(alias, code))) {
        let codes: Vec<_> = all.iter().map(|alias| columns::text(&alias["shortCode"])).collect();
        let codes = if codes.is_empty() { "none".to_owned() } else { codes.join(", ") };
        let short = columns::text(&link["shortUrl"]);
        return Err(CommandError::Failed(format!(
            "--unalias: {code:?} is no former code of {short}; its former codes: {codes}"
        )));
    }
    Ok(all.into_iter().filter(|alias| !given_up.iter().any(|code| is(alias, code))).collect())
}

fn delete(arguments: &DeleteArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let path = arguments.link.path()?;
    // Read first: the question names the link, and a missing link is an error before any question.
    let found = arguments.link.find(&client)?;
    let link = &found.value["link"];
    let short = columns::text(&link["shortUrl"]);
    // Either the link or the former code alone may be meant.
    if let Some(code) = arguments.link.former_code(link) {
        let (whole, delete, edit) =
            (quoted(&short), client.command("link delete"), client.command("link edit"));
        return Err(CommandError::Usage(format!(
            "{code:?} is a former code of {short}, which leads to {}; nothing was deleted. To delete the whole link with all \
             of its codes: `{delete} {whole}`. To give up the former code alone: `{edit} {whole} --unalias {}`",
            columns::text(&link["url"]),
            quoted(&code)
        )));
    }
    let clicks = link["clickCount"].as_u64().unwrap_or(0);
    // A link that nobody has clicked has none.
    let lost = if clicks == 0 {
        String::new()
    } else {
        format!(", and its statistics of {}", counted(clicks, "click"))
    };
    let restore = client.command(&format!("link restore {}", arguments.link.argument(link)));
    let question = format!(
        "Delete {short}, which leads to {}{lost}? `{restore}` can bring it back.",
        columns::text(&link["url"])
    );
    terminal::confirm(&question, arguments.yes)?;
    let answer = client.send(&Method::DELETE, &path, None)?;
    if client.shows_json {
        answer.print();
    } else {
        print_line(&format!("deleted {short}{}", restorable(arguments, &client, link, &restore)));
    }
    Ok(())
}

/// Returns until when a link that was just deleted can be restored. Empty if the server does not keep it.
fn restorable(arguments: &DeleteArguments, client: &ApiClient, link: &Value, restore: &str) -> String {
    // The link is deleted, so an error of the list is none of the command.
    let links = arguments.link.deleted(client).unwrap_or_default();
    links.iter().find(|deleted| deleted["id"] == link["id"]).map_or_else(String::new, |deleted| {
        format!("; `{restore}` restores it until {} UTC", columns::minute(&deleted["restorableUntil"]))
    })
}

fn open(OneArguments { link, client }: &OneArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(client)?;
    let answer = link.find(&client)?;
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
