//! What is kept of the page before a click, and of the campaign that a visitor brought. All results are bounded, whatever
//! is sent.

use url::{Host, Url, form_urlencoded};

use super::tick::TEXT_MAX;
use super::values::{UtmName, UtmValues};

/// The scheme by which apps for Android name themselves.
const ANDROID_APP: &str = "android-app://";

/// The UTM parameters.
const UTM: [(&str, UtmName); 5] = [
    ("utm_source", UtmName::Source),
    ("utm_medium", UtmName::Medium),
    ("utm_campaign", UtmName::Campaign),
    ("utm_term", UtmName::Term),
    ("utm_content", UtmName::Content),
];

/// Returns the site or the app of a `Referer` header, which may be cut: a host in lower case without `www.`, or
/// `android-app://com.example`. `None` for own hosts and for everything that is no site.
///
/// A host that is an IP address is none: it may be a visitor's own.
pub fn site(header: &[u8], is_own: impl Fn(&str) -> bool) -> Option<String> {
    // A character that is cut at the end is of the path.
    let header = header.trim_ascii();
    let text = str::from_utf8(header).unwrap_or_else(|error| {
        str::from_utf8(&header[..error.valid_up_to()]).expect("it is valid up to there")
    });
    if let Some(app) = text.strip_prefix(ANDROID_APP) {
        return android_app(app);
    }
    let url = Url::parse(text).ok()?;
    // Other schemes name no site, and `data:` may have private text.
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let Some(Host::Domain(host)) = url.host() else { return None };
    // `example.org.` is the same host, and would be a row of its own.
    let host = host.trim_end_matches('.');
    // `www.com` is a domain itself, so what remains must have a dot.
    let site = host.strip_prefix("www.").filter(|site| site.contains('.')).unwrap_or(host);
    // Both forms: the operator's domain may begin with `www.` as well.
    let is_site = !site.is_empty() && site.len() <= TEXT_MAX && !is_own(host) && !is_own(site);
    is_site.then(|| site.to_owned())
}

/// Returns the app of what follows its scheme, without a path.
fn android_app(rest: &str) -> Option<String> {
    let package = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    // Other bytes would bring arbitrary text of a hostile client into the rows.
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    // Letters: an address is no name of an app.
    let is_named = package.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_app = is_named && ANDROID_APP.len() + package.len() <= TEXT_MAX && package.bytes().all(is_known);
    is_app.then(|| format!("{ANDROID_APP}{package}"))
}

/// Returns the UTM parameters of a query. Of a parameter that is given twice, the first value counts.
pub fn campaign(query: &[u8]) -> UtmValues {
    let mut campaign = UtmValues::default();
    // A query that was cut within an escape such as `%C3` keeps its `%` as text.
    for (name, value) in form_urlencoded::parse(query) {
        let known = UTM.iter().find(|(known, _)| *known == name);
        if let Some((_, parameter)) = known.filter(|(_, parameter)| campaign.get(*parameter).is_none()) {
            // An empty value counts as none, so a later one is still taken.
            campaign = campaign.with(*parameter, value.trim());
        }
    }
    campaign
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(header: &str) -> Option<String> {
        site(header.as_bytes(), |host| host == "go.example")
    }

    #[test]
    fn sites() {
        for (header, want) in [
            ("https://News.YCombinator.com/item?id=1", Some("news.ycombinator.com")),
            (" https://www.example.org ", Some("example.org")),
            ("http://WWW.example.org:8080/a#b", Some("example.org")),
            ("https://www.com/", Some("www.com")),
            ("https://www.", Some("www")),
            ("https://www/", Some("www")),
            // A host of an intranet has no dot.
            ("https://wiki/page", Some("wiki")),
            ("https://example.org./x", Some("example.org")),
            // Browsers remove the password; another client must not bring it into the rows.
            ("https://user:secret@example.org/x", Some("example.org")),
            // Two spellings of one host.
            ("https://bücher.example/", Some("xn--bcher-kva.example")),
            ("https://XN--BCHER-KVA.example/", Some("xn--bcher-kva.example")),
            ("android-app://com.google.android.gm", Some("android-app://com.google.android.gm")),
            ("android-app://com.Slack/https/example.org?x=1", Some("android-app://com.Slack")),
            ("android-app://", None),
            ("android-app:///x", None),
            ("android-app://a b", None),
            ("android-app://198.51.100.77/", None),
            // The own host, with and without `www.`.
            ("https://go.example/x", None),
            ("https://www.go.example/x", None),
            ("https://203.0.113.9/", None),
            // 127.0.0.1 in another notation.
            ("https://0x7f.1/", None),
            ("https://[2001:db8::1]/", None),
            ("about:blank", None),
            ("data:text/html,x", None),
            ("chrome-extension://abc/x", None),
            ("file:///home/me", None),
            ("javascript:alert(1)", None),
            ("example.org", None),
            ("https://", None),
            ("https://a b/", None),
            ("https://exa\u{0}mple.org/", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(host(header).as_deref(), want, "{header}");
        }
        assert_eq!(site(b"https://\xff.example/", |_| false), None);
        // Cut within a character of the path.
        assert_eq!(site(b"https://example.org/\xc3", |_| false).as_deref(), Some("example.org"));
        assert_eq!(host(&format!("https://{}/", "a.".repeat(200))), None, "a long host");
    }

    #[test]
    fn campaigns() {
        for (query, want) in [
            (
                "utm_source=news&utm_medium=e-mail&utm_campaign=a+b&utm_term=c%20d&utm_content=%C3%A4",
                "news\te-mail\ta b\tc d\tä",
            ),
            ("x=1&utm_campaign=sale", "\t\tsale"),
            ("utm_source=a&utm_source=b", "a"),
            ("utm_source=&utm_source=b", "b"),
            ("utm_source=+a+", "a"),
            ("utm_source", ""),
            ("UTM_SOURCE=a", ""),
            // It contains `utm_`, so `capture` keeps it.
            ("utm_sourcex=a", ""),
            ("", ""),
        ] {
            assert_eq!(campaign(query.as_bytes()).text(), want, "{query}");
        }
        assert_eq!(campaign(b"utm_source=%ff").text(), "\u{fffd}");
    }
}
