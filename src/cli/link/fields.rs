//! The options of `link create` and `link edit` as fields of the API.

use std::fs;

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value, json};

use crate::cli::api_client::ApiClient;
use crate::cli::error::CommandError;
use crate::cli::instant::End;
use crate::cli::output::print_note;
use crate::cli::{columns, terminal};
use crate::formats::waypost::known::{CHANGED_LINK, KnownFields, NEW_LINK, is_known, is_text, meant, owner};
use crate::formats::waypost::{draft, link_json};
use crate::model::text::folded_name;

/// The field of the tags of a link.
const TAG_IDS: &str = "tagIds";

/// The field of the rules of a link.
const RULES: &str = "rules";

/// The path of tags.
const TAGS: &str = "/api/v1/tags";

/// The options of fields that `link create` and `link edit` have in common, for errors.
pub(super) const LINK_OPTIONS: &[(&str, &str)] = &[
    ("domain", "--domain"),
    ("title", "--title"),
    ("expiresAt", "--expires"),
    ("maxClicks", "--max-clicks"),
    ("password", "--password"),
    ("tagIds", "--tag"),
    ("addTagIds", "--tag"),
    ("removeTagIds", "--untag"),
];

/// The arguments of `link create` for the other fields.
pub(super) const CREATE_ARGUMENTS: &[(&str, &str)] = &[("url", "URL"), (draft::CODE, "CODE")];

/// The options of `link edit` for the other fields.
pub(super) const EDIT_OPTIONS: &[(&str, &str)] =
    &[("url", "--url"), (draft::CODE, "--code"), ("aliases", "--keep-old-code")];

/// The options of `link list`.
pub(super) const LIST_OPTIONS: &[(&str, &str)] = &[
    ("limit", "--limit"),
    ("page", "--page"),
    ("search", "--search"),
    ("domain", "--domain"),
    ("tagId", "--tag"),
    ("health", "--health"),
];

/// The fields of a link that have an option.
#[derive(Clone, Debug, Args)]
pub(super) struct LinkFields {
    /// The title, for lists and link previews.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The end: a date such as 2027-12-31, a time such as 2027-12-31T18:00:00Z, a duration such as 30d, 12h, 1w, 6mo or
    /// 90min, or never. A date alone is the end of that day in the time zone of the workspace. A time without a zone is
    /// of UTC.
    #[arg(long, value_name = "WHEN", value_parser = End::parse)]
    expires: Option<End>,
    /// The number of clicks after which the link ends, or none.
    #[arg(long, value_name = "N", value_parser = clicks)]
    max_clicks: Option<Clicks>,
    /// Require a password. It is read from the terminal, or else from the first line of stdin.
    #[arg(long)]
    password: bool,
    /// A tag. The option can be repeated. A tag that does not exist is created.
    #[arg(long = "tag", value_name = "NAME")]
    pub(super) tags: Vec<String>,
    /// Any other field of the API, such as forwardPath=true. The option can be repeated. rules=@FILE reads the rules from
    /// a file. /api/docs of the server lists the fields.
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = field)]
    others: Vec<(String, Value)>,
}

/// The value of `--max-clicks`; `None` removes the limit.
type Clicks = Option<u64>;

impl LinkFields {
    /// Returns the body of a request with the fields that have an option. Reads the password.
    pub(super) fn body(&self) -> Result<Map<String, Value>, CommandError> {
        let mut body = Map::new();
        if let Some(title) = &self.title {
            // An empty text clears the field, as in the API.
            body.insert("title".to_owned(), json!((!title.is_empty()).then_some(title)));
        }
        if let Some(end) = &self.expires {
            body.insert("expiresAt".to_owned(), end.value());
        }
        if let Some(most) = self.max_clicks {
            body.insert("maxClicks".to_owned(), json!(most));
        }
        if self.password {
            body.insert("password".to_owned(), json!(terminal::read_password()?));
        }
        Ok(body)
    }
}

impl LinkFields {
    /// Fails if `--set` names a field that the server would ignore, or one with an option that is given as well. Before
    /// anything is sent: the server is lenient for its vendors' clients, and would create a link without the field.
    /// `tables` are the options of fields.
    pub(super) fn check_others(
        &self,
        known: KnownFields,
        tables: &[&[(&str, &str)]],
    ) -> Result<(), CommandError> {
        let refused = |why: String| Err(CommandError::Usage(why));
        for (name, value) in &self.others {
            if name == "password" && !(value.is_null() || value == "") {
                return refused(
                    "--set password: other users of this machine see arguments: --password reads it from the terminal, or \
                     from stdin"
                        .to_owned(),
                );
            }
            if !is_known(name, known) {
                return refused(format!("--set {name}: {}", unknown(name, known, tables)));
            }
        }
        if !self.tags.is_empty() && self.others.iter().any(|(name, _)| name == TAG_IDS) {
            return refused(twice(TAG_IDS));
        }
        Ok(())
    }

    /// Adds the fields of `--set` to the body of a request. Fails if the body has one of them already.
    pub(super) fn add_others(&self, body: &mut Map<String, Value>) -> Result<(), CommandError> {
        if let Some((name, _)) = self.others.iter().find(|(name, _)| body.contains_key(name)) {
            return Err(CommandError::Usage(twice(name)));
        }
        for (name, value) in &self.others {
            let value = if name == RULES { rules_of(value)? } else { value.clone() };
            body.insert(name.clone(), value);
        }
        Ok(())
    }

    /// Names the options that set the fields in an error of the API. A field of `--set` is no field of an option.
    pub(super) fn explain(&self, error: CommandError, tables: &[&[(&str, &str)]]) -> CommandError {
        let options: Vec<_> = self.others.iter().map(|(name, _)| (name, format!("--set {name}"))).collect();
        let own: Vec<_> = options.iter().map(|(name, option)| (name.as_str(), option.as_str())).collect();
        error.with_options(&[&[own.as_slice()], tables].concat())
    }
}

/// Returns the rules of `--set`, which `@FILE` reads from a file: a list of rules is long for a command line.
fn rules_of(value: &Value) -> Result<Value, CommandError> {
    let Some(file) = value.as_str().and_then(|text| text.strip_prefix('@')) else { return Ok(value.clone()) };
    let wrong = |why: String| CommandError::Usage(format!("--set {RULES}=@{file}: {why}"));
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    match serde_json::from_str(&text) {
        Ok(rules @ (Value::Array(_) | Value::Null)) => Ok(rules),
        Ok(_) => Err(wrong(
            "must contain an array of rules, as `rules` of `waypost link show CODE --json`".to_owned(),
        )),
        Err(error) => Err(wrong(format!("must contain JSON: {error}"))),
    }
}

fn twice(name: &str) -> String {
    format!("--set {name}: another option or argument sets the same field")
}

/// Returns what is wrong with a name that is no field, and what was likely meant.
fn unknown(name: &str, known: KnownFields, tables: &[&[(&str, &str)]]) -> String {
    let other = if known == NEW_LINK { (CHANGED_LINK, "edit") } else { (NEW_LINK, "create") };
    // It is no misspelling.
    if is_known(name, other.0) {
        return format!("only `link {}` has this field", other.1);
    }
    if let Some(owner) = owner(name) {
        return format!("is a field of {owner}, which the API changes, and no field of a link");
    }
    // A field that answers alone have is well spelt, and still none to set.
    let Some(field) = meant(name, known) else {
        let why =
            if link_json::READ_ONLY.contains(&name) { "cannot be set" } else { "is no field of a link" };
        return format!("{why}; /api/docs of the server lists the fields");
    };
    match tables.iter().copied().flatten().find(|(of, _)| *of == field) {
        Some((_, option)) => format!("is no field that can be set; did you mean {option}?"),
        None => format!("is no field that can be set; did you mean --set {field}=VALUE?"),
    }
}

fn clicks(text: &str) -> Result<Clicks, String> {
    match text {
        "none" | "" => Ok(None),
        text => match text.parse() {
            Ok(most) if most > 0 => Ok(Some(most)),
            _ => Err("must be a whole number, 1 or more, or none".to_owned()),
        },
    }
}

/// Parses `FIELD=VALUE`. The value is JSON if it can be. For a field that is a text, only a text in quotation marks and
/// `null` are JSON: the notes `123` are no number.
fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be FIELD=VALUE, such as forwardPath=true")?;
    let parsed = serde_json::from_str(value).ok();
    let is_fit = |parsed: &Value| !is_text(name) || parsed.is_string() || parsed.is_null();
    let value = parsed.filter(is_fit).unwrap_or_else(|| json!(value));
    Ok((name.to_owned(), value))
}

/// Returns the id of a tag, whose name compares as the server compares it. Fails with the names of all tags if there is none.
pub(in crate::cli) fn tag_id(client: &ApiClient, name: &str) -> Result<String, CommandError> {
    find_tag(client, name)?.map_err(|names| {
        let all = if names.is_empty() { "there is no tag".to_owned() } else { names.join(", ") };
        CommandError::Failed(format!("there is no tag {name:?}; all tags: {all}"))
    })
}

/// Returns the id of a tag, or the names of all tags.
fn find_tag(client: &ApiClient, name: &str) -> Result<Result<String, Vec<String>>, CommandError> {
    let found = client.send(&Method::GET, TAGS, None)?;
    let tags: Vec<_> = found.value["tags"].as_array().into_iter().flatten().collect();
    // Its own spelling first: earlier versions have several tags of one name.
    let own = tags.iter().find(|tag| columns::text(&tag["name"]) == name);
    let wanted = folded_name(name);
    let folded = || tags.iter().rev().find(|tag| folded_name(&columns::text(&tag["name"])) == wanted);
    Ok(match own.or_else(folded) {
        Some(tag) => Ok(columns::text(&tag["id"])),
        None => Err(tags.iter().map(|tag| columns::text(&tag["name"])).collect()),
    })
}

/// The tags that a command gives to a link.
#[derive(Default)]
pub(super) struct GivenTags {
    /// Their ids.
    pub(super) ids: Vec<String>,
    /// Names and ids of those that the command has created.
    created: Vec<(String, String)>,
}

impl GivenTags {
    /// Returns the tags of these names, and creates those that are missing. If the server refuses one, none is left.
    pub(super) fn new(client: &ApiClient, names: &[String]) -> Result<GivenTags, CommandError> {
        let mut tags = GivenTags::default();
        for name in names {
            if let Err(error) = tags.add(client, name) {
                return Err(tags.taken_back(client, error));
            }
        }
        Ok(tags)
    }

    fn add(&mut self, client: &ApiClient, name: &str) -> Result<(), CommandError> {
        if let Ok(id) = find_tag(client, name)? {
            self.ids.push(id);
            return Ok(());
        }
        let made = match client.send(&Method::POST, TAGS, Some(&json!({ "name": name }))) {
            Ok(made) => columns::text(&made.value["tag"]["id"]),
            Err(error) => {
                // Another command may have created it in between.
                self.ids.push(tag_id(client, name).map_err(|_| error)?);
                return Ok(());
            }
        };
        self.created.push((name.to_owned(), made.clone()));
        self.ids.push(made);
        Ok(())
    }

    /// Names the tags that the command has created.
    pub(super) fn note(&self) {
        for (name, _) in &self.created {
            print_note(&format!("created the tag {name:?}"));
        }
    }

    /// Deletes the tags that the command has created, since the server has refused their link. Returns the error of the link.
    pub(super) fn taken_back(&self, client: &ApiClient, error: CommandError) -> CommandError {
        // Without an answer, the link may exist, and have them.
        if matches!(error, CommandError::Unreachable(_)) {
            self.note();
            return error;
        }
        for (name, id) in &self.created {
            if client.send(&Method::DELETE, &format!("{TAGS}/{id}"), None).is_err() {
                print_note(&format!("the tag {name:?} was created, and could not be deleted again"));
            }
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_with_the_likely_one() {
        let tables = [LINK_OPTIONS, CREATE_ARGUMENTS];
        let rows = [
            ("campaign", "did you mean --set campaignId=VALUE?"),
            ("utmsource", "did you mean --set utmSource=VALUE?"),
            ("tags", "did you mean --tag?"),
            ("shortCode", "did you mean CODE?"),
            ("expires", "did you mean --expires?"),
            ("showDestination", "is a field of domains, which the API changes, and no field of a link"),
            ("keepOldCode", "only `link edit` has this field"),
            ("clickCount", "cannot be set; /api/docs of the server lists the fields"),
            ("nonsense", "is no field of a link; /api/docs of the server lists the fields"),
        ];
        for (name, want) in rows {
            let why = unknown(name, NEW_LINK, &tables);
            assert!(why.ends_with(want), "{name}: {why}");
        }
        assert_eq!(unknown("reuse", CHANGED_LINK, &tables), "only `link create` has this field");
    }

    #[test]
    fn values() {
        let rows = [
            ("forwardPath=true", Some(("forwardPath", json!(true)))),
            ("notes=a=b", Some(("notes", json!("a=b")))),
            ("redirectType=301", Some(("redirectType", json!(301)))),
            ("notes=", Some(("notes", json!("")))),
            ("notes", None),
            ("notes=123", Some(("notes", json!("123")))),
            ("title=true", Some(("title", json!("true")))),
            ("notes=\"a\"", Some(("notes", json!("a")))),
            ("notes=null", Some(("notes", json!(null)))),
            ("expiredUrl=7", Some(("expiredUrl", json!("7")))),
            ("password=1234", Some(("password", json!("1234")))),
            ("webhookUrls=[\"https://e.test/\"]", Some(("webhookUrls", json!(["https://e.test/"])))),
        ];
        for (text, want) in rows {
            let got = field(text).ok();
            assert_eq!(got, want.map(|(name, value)| (name.to_owned(), value)), "{text}");
        }
        assert_eq!([clicks("10"), clicks("none"), clicks("")], [Ok(Some(10)), Ok(None), Ok(None)]);
        assert!(["-1", "many", "0", "1.5"].iter().all(|text| clicks(text).is_err()));
    }
}
