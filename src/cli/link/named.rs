//! The link that a command is about, by its code or its short URL.

use clap::Args;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use url::form_urlencoded::Serializer;
use url::{Host, Url};

use crate::app::data_folder::quoted;
use crate::cli::api_client::{ApiAnswer, ApiClient};
use crate::cli::columns::{self, minute};
use crate::cli::error::CommandError;

/// The path of links.
pub(super) const LINKS: &str = "/api/v1/links";

/// The arguments that name a link.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct NamedLink {
    /// The code of the link, or its short URL, with or without its scheme.
    #[arg(value_name = "CODE")]
    pub(in crate::cli) code: String,
    /// The domain of the link. Default: the default domain of the workspace.
    #[arg(long, value_name = "HOST")]
    pub(in crate::cli) domain: Option<String>,
}

/// A link, and what a pasted short URL has behind its code.
#[derive(Clone, Debug)]
pub(super) struct PastedLink {
    pub(super) link: NamedLink,
    pub(super) path: Option<String>,
    pub(super) query: Option<String>,
}

impl NamedLink {
    /// Separates path and query, which a scanner or a browser shows with the short URL, from the link. No code contains a
    /// slash, a question mark or a number sign.
    pub(super) fn pasted(&self) -> PastedLink {
        let text = self.code.split('#').next().unwrap_or_default();
        let (address, query) = match text.split_once('?') {
            Some((address, query)) => (address, Some(query.to_owned())),
            None => (text, None),
        };
        let scheme = address.find("://").map_or(0, |at| at + 3);
        let code = address[scheme..].find('/').map(|at| scheme + at + 1);
        let end = code.and_then(|code| address[code..].find('/').map(|at| code + at));
        let (address, path) = match end {
            Some(end) => (&address[..end], Some(address[end + 1..].to_owned())),
            None => (address, None),
        };
        PastedLink {
            link: NamedLink { code: address.to_owned(), domain: self.domain.clone() },
            path: path.filter(|path| !path.is_empty()),
            query: query.filter(|query| !query.is_empty()),
        }
    }

    /// Returns how a command line names the link, as it is now: with its domain if the user named one.
    pub(super) fn argument(&self, link: &Value) -> String {
        let field =
            if self.parts().is_ok_and(|(_, domain)| domain.is_some()) { "shortUrl" } else { "shortCode" };
        quoted(&columns::text(&link[field]))
    }

    /// Returns the path of the link in the API.
    pub(super) fn path(&self) -> Result<String, CommandError> {
        let (code, domain) = self.parts()?;
        let mut path = format!("{LINKS}/by-code/{}", utf8_percent_encode(&code, NON_ALPHANUMERIC));
        if let Some(domain) = domain {
            path.push('?');
            path.push_str(&Serializer::new(String::new()).append_pair("domain", &domain).finish());
        }
        Ok(path)
    }

    /// Reads the link.
    pub(in crate::cli) fn find(&self, client: &ApiClient) -> Result<ApiAnswer, CommandError> {
        let path = self.path()?;
        client.send(&Method::GET, &path, None).map_err(|error| self.missing(client, error))
    }

    /// Adds what was looked for, and where, to the error of a missing link.
    pub(super) fn missing(&self, client: &ApiClient, error: CommandError) -> CommandError {
        let CommandError::NotFound(why) = &error else { return error };
        let Ok((code, domain)) = self.parts() else { return error };
        let domain =
            domain.map_or_else(|| "the default domain".to_owned(), |domain| format!("the domain {domain}"));
        let server = client.shown_server();
        let tip = self.restorable(client).unwrap_or_else(|| {
            let list = client.command("link list");
            format!("`{list}` lists all links")
        });
        CommandError::NotFound(format!(
            "{why}: no link has the code {code:?} on {domain} of the server at {server}; {tip}"
        ))
    }

    /// Returns how the link that had this code comes back, or `None` if it was not deleted.
    fn restorable(&self, client: &ApiClient) -> Option<String> {
        // A key may lack the right to read them, which is no reason for another error.
        let links = self.deleted(client).ok()?;
        let link = links.first()?;
        let restore = client.command(&format!("link restore {}", self.argument(link)));
        let [deleted, until] = ["deletedAt", "restorableUntil"].map(|field| minute(&link[field]));
        Some(format!("it was deleted at {deleted} UTC, and `{restore}` restores it until {until} UTC"))
    }

    /// Returns the deleted links that had this code, the one that was deleted last first.
    pub(super) fn deleted(&self, client: &ApiClient) -> Result<Vec<Value>, CommandError> {
        let (code, domain) = self.parts()?;
        let mut query = Serializer::new(String::new());
        // Enough for a code that was given and deleted a hundred times.
        query.append_pair("limit", "100").append_pair("code", &code);
        let found = client.send(&Method::GET, &format!("{LINKS}/deleted?{}", query.finish()), None)?;
        let links = found.value["links"].as_array().into_iter().flatten();
        let there = links.filter(|link| domain.as_ref().is_none_or(|domain| link["domain"] == **domain));
        let mut links: Vec<_> = there.cloned().collect();
        // Times of one form sort as texts.
        links.sort_by_key(|link| std::cmp::Reverse(columns::text(&link["deletedAt"])));
        Ok(links)
    }

    /// Returns the former code by which a link was named, or `None` if it was named by its own code.
    pub(super) fn former_code(&self, link: &Value) -> Option<String> {
        let (code, domain) = self.parts().ok()?;
        let is = |value: &Value, text: &str| columns::text(value).to_lowercase() == text.to_lowercase();
        let is_there = |of: &Value| domain.as_ref().is_none_or(|domain| is(&of["domain"], domain));
        let alias = link["aliases"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|alias| is(&alias["shortCode"], &code) && is_there(alias))?;
        // A link that moved to another domain may have kept its code. Without a domain, either may be meant.
        let is_own = is(&link["shortCode"], &code) && is_there(link) && domain.is_some();
        (!is_own).then(|| columns::text(&alias["shortCode"]))
    }

    /// Returns the code, and the domain if one is given.
    pub(super) fn parts(&self) -> Result<(String, Option<String>), CommandError> {
        let (code, host) = split(&self.code)?;
        Ok((code, self.domain.clone().or(host)))
    }
}

/// Returns the code of a new link, and the domain of a short URL. A text that only has a slash is a code, so that its
/// error is about codes.
pub(super) fn of_new_link(text: &str) -> Result<(String, Option<String>), CommandError> {
    let is_short_url = text.split_once('/').is_some_and(|(host, code)| {
        host.is_empty() || code.is_empty() || host.contains(['.', ':']) || host == "localhost"
    });
    if is_short_url { split(text) } else { Ok((text.to_owned(), None)) }
}

/// Returns the code and the host of a short URL, or a code. `/code` and `host/code` are short URLs as well: no code has a
/// slash. Addresses and `localhost` are no host, since they open the default domain.
fn split(text: &str) -> Result<(String, Option<String>), CommandError> {
    let wrong = || {
        CommandError::Usage(format!(
            "{text:?} is no short URL: give the code, or host and code, such as go.example.com/code"
        ))
    };
    let url = match text.split_once('/') {
        _ if text.contains("://") => text.to_owned(),
        // No code has a query, which a scanner reads behind it.
        None => return Ok((text.split(['?', '#']).next().unwrap_or_default().to_owned(), None)),
        Some(("", rest)) => format!("http://localhost/{rest}"),
        // A slash at the end of a code.
        Some((code, "")) if !code.contains(['.', ':']) => format!("http://localhost/{code}"),
        Some(_) => format!("http://{text}"),
    };
    let url = Url::parse(&url).map_err(|_| wrong())?;
    let code = percent_decode_str(url.path().trim_matches('/')).decode_utf8().map_err(|_| wrong())?;
    let host = match url.host().ok_or_else(wrong)? {
        Host::Domain("localhost") | Host::Ipv4(_) | Host::Ipv6(_) => None,
        Host::Domain(name) => Some(name.to_owned()),
    };
    if code.is_empty() || code.contains('/') { Err(wrong()) } else { Ok((code.into_owned(), host)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_link_is_named_by_its_code_or_its_url() {
        let rows = [
            ("spring", None, Some("/api/v1/links/by-code/spring")),
            ("a b.ü", None, Some("/api/v1/links/by-code/a%20b%2E%C3%BC")),
            ("spring", Some("go.test"), Some("/api/v1/links/by-code/spring?domain=go.test")),
            ("https://go.test/%C3%BC", None, Some("/api/v1/links/by-code/%C3%BC?domain=go.test")),
            ("http://localhost:8080/x?y#z", None, Some("/api/v1/links/by-code/x")),
            ("http://192.0.2.1/x", None, Some("/api/v1/links/by-code/x")),
            ("https://go.test/x", Some("other.test"), Some("/api/v1/links/by-code/x?domain=other.test")),
            ("/p2", None, Some("/api/v1/links/by-code/p2")),
            ("p2?qr=1", None, Some("/api/v1/links/by-code/p2")),
            ("/p2/", None, Some("/api/v1/links/by-code/p2")),
            ("p2/", None, Some("/api/v1/links/by-code/p2")),
            ("localhost:1/p2", None, Some("/api/v1/links/by-code/p2")),
            ("go.test/p2", None, Some("/api/v1/links/by-code/p2?domain=go.test")),
            ("https://go.test/", None, None),
            ("go.test/", None, None),
            ("/", None, None),
            ("go.test/a/b", None, None),
            ("https://", None, None),
        ];
        for (code, domain, want) in rows {
            let link = NamedLink { code: code.to_owned(), domain: domain.map(str::to_owned) };
            assert_eq!(link.path().ok().as_deref(), want, "{code}");
        }
    }

    #[test]
    fn path_and_query_of_a_pasted_url_are_the_visitors() {
        let rows = [
            ("fly", "fly", None, None),
            ("fly?qr=1", "fly", None, Some("qr=1")),
            ("http://localhost:8080/fly?qr=1#top", "http://localhost:8080/fly", None, Some("qr=1")),
            ("https://go.test/fp/item/5?a=1", "https://go.test/fp", Some("item/5"), Some("a=1")),
            ("go.test/fp/x", "go.test/fp", Some("x"), None),
            ("/fp/x/", "/fp", Some("x/"), None),
            ("go.test/fp/?", "go.test/fp", None, None),
            ("go.test/fp", "go.test/fp", None, None),
            ("fp/", "fp/", None, None),
        ];
        for (text, code, path, query) in rows {
            let pasted = NamedLink { code: text.to_owned(), domain: None }.pasted();
            let got = (pasted.link.code.as_str(), pasted.path.as_deref(), pasted.query.as_deref());
            assert_eq!(got, (code, path, query), "{text}");
        }
    }

    #[test]
    fn a_new_link_has_a_code_or_a_short_url() {
        let rows = [
            ("q3", Some(("q3", None))),
            ("go.test/q3", Some(("q3", Some("go.test")))),
            ("https://go.test/q3", Some(("q3", Some("go.test")))),
            ("/q3", Some(("q3", None))),
            ("q3/", Some(("q3", None))),
            ("localhost:8080/q3", Some(("q3", None))),
            ("q3.de", Some(("q3.de", None))),
            // The server names what a code consists of.
            ("a/b", Some(("a/b", None))),
            ("go.test/a/b", None),
            ("go.test/", None),
        ];
        for (text, want) in rows {
            let want = want.map(|(code, host)| (code.to_owned(), host.map(str::to_owned)));
            assert_eq!(of_new_link(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn a_former_code_is_recognised() {
        let alias = |domain: &str, code: &str| json!({"domain": domain, "shortCode": code});
        let link = |aliases: &[Value]| json!({"domain": "go.test", "shortCode": "new", "aliases": aliases});
        let renamed = link(&[alias("go.test", "old")]);
        let moved = link(&[alias("was.test", "new")]);
        let rows = [
            ("new", None, &renamed, None),
            ("old", None, &renamed, Some("old")),
            ("OLD", None, &renamed, Some("old")),
            ("go.test/old", None, &renamed, Some("old")),
            ("old", Some("go.test"), &renamed, Some("old")),
            ("new", Some("go.test"), &moved, None),
            ("was.test/new", None, &moved, Some("new")),
            // Which of the two is the default domain is not known here.
            ("new", None, &moved, Some("new")),
        ];
        for (code, domain, link, want) in rows {
            let named = NamedLink { code: code.to_owned(), domain: domain.map(str::to_owned) };
            assert_eq!(named.former_code(link).as_deref(), want, "{code} {domain:?} {link}");
        }
    }
}
