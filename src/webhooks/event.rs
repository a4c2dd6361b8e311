//! The JSON of an event. Of the visitor it contains the country, the host of the referrer and the kind of
//! agent. It never contains an address, a cookie or a password, nor the visitor's query: `url` is the
//! link's own destination.

use bytes::Bytes;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::core::Tenants;
use crate::json;
use crate::model::health::{HealthChange, LinkHealth};
use crate::model::id::{Id, IdSource};
use crate::model::link::Link;
use crate::model::link::branch::BranchOutcome;
use crate::model::workspace::Workspace;

/// Bytes of a `Referer` that are read: the host is at its start, and names have at most 253 bytes.
/// Past it: cut off.
const REFERRER_MAX: usize = 1_024;

/// Longest id of a contact in bytes, well above any vendor's. Past it: left out.
const CONTACT_MAX: usize = 256;

/// A counted click.
#[derive(Clone, Copy, Debug)]
pub struct ClickEvent<'a> {
    /// The clicked link.
    pub link: &'a Link,
    /// The time of the click.
    pub at: Timestamp,
    /// The `Referer` header as sent. Only its host is sent on.
    pub referrer: Option<&'a str>,
    /// The kind of visitor: `person`, `bot` or `preview`.
    pub agent: &'static str,
    /// The country as two capital letters, if known.
    pub country: Option<&'a str>,
    /// The contact that received the contact link.
    pub contact: Option<&'a str>,
    /// The number of the rule that chose the destination.
    pub rule: Option<u16>,
    /// The number of the variant that the visitor got.
    pub variant: Option<u16>,
}

/// An event as it is sent.
#[derive(Clone, Debug)]
pub(super) struct EncodedEvent {
    pub(super) id: Id,
    pub(super) body: Bytes,
}

/// What a check of a link's destinations has changed.
#[derive(Clone, Copy, Debug)]
pub struct HealthEvent<'a> {
    /// The checked link.
    pub link: &'a Link,
    #[allow(missing_docs)] // The type has the doc.
    pub change: HealthChange,
    /// The result of the check.
    pub health: LinkHealth,
    /// The destination that decided.
    pub url: Option<&'a str>,
}

#[derive(Serialize)]
struct EventJson<D> {
    id: String,
    r#type: &'static str,
    timestamp: String,
    data: D,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthData<'a> {
    link: EventLink<'a>,
    checked_at: String,
    since: String,
    url: Option<&'a str>,
    http_status: Option<u16>,
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventData<'a> {
    link: EventLink<'a>,
    clicked_at: String,
    country: Option<&'a str>,
    referrer_host: Option<String>,
    agent: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<ChosenJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<ChosenJson<'a>>,
}

/// A rule, or a variant of a split.
#[derive(Serialize)]
struct ChosenJson<'a> {
    id: u16,
    name: Option<&'a str>,
}

/// Returns the rule and the variant that chose the destination of a click.
fn chosen<'a>(click: &ClickEvent<'a>) -> [Option<ChosenJson<'a>>; 2] {
    // The link may have been changed since, and no longer have them.
    let rule = click.link.options.branches().iter().find(|branch| Some(branch.number) == click.rule);
    let variant = rule.and_then(|branch| match &branch.outcome {
        BranchOutcome::Split(split) => split.variants.iter().find(|each| Some(each.number) == click.variant),
        BranchOutcome::Url(_) | BranchOutcome::NotFound => None,
    });
    [
        rule.map(|branch| ChosenJson { id: branch.number, name: branch.name.as_deref() }),
        variant.map(|variant| ChosenJson { id: variant.number, name: variant.name.as_deref() }),
    ]
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventLink<'a> {
    id: String,
    short_code: &'a str,
    short_url: String,
    url: String,
    title: Option<&'a str>,
    domain: String,
    workspace_id: &'a str,
}

/// Returns the name of an event, which is the same for all attempts and receivers.
pub(super) fn name(id: Id) -> String {
    format!("evt_{id}")
}

/// Returns the event of a click, or `None` if the link's domain or workspace does not exist, or if the
/// system has no random bytes.
pub(super) fn of(tenants: &Tenants, click: &ClickEvent<'_>) -> Option<EncodedEvent> {
    let workspace = tenants.workspace_numbered(click.link.workspace)?;
    let [rule, variant] = chosen(click);
    let data = EventData {
        link: EventLink::of(tenants, click.link, &workspace)?,
        clicked_at: click.at.to_string(),
        // Checked again here: the text comes from another part, and goes to other servers.
        country: click.country.filter(|country| is_country(country)),
        referrer_host: click.referrer.and_then(referrer_host),
        agent: click.agent,
        contact_id: click.contact.filter(|contact| contact.len() <= CONTACT_MAX),
        rule,
        variant,
    };
    encode("link.clicked", click.at, data)
}

/// Returns the event of a change that a check has found, or `None` as [`of`] does.
pub(super) fn of_health(tenants: &Tenants, event: &HealthEvent<'_>) -> Option<EncodedEvent> {
    let HealthEvent { link, change, health, url } = *event;
    let workspace = tenants.workspace_numbered(link.workspace)?;
    let data = HealthData {
        link: EventLink::of(tenants, link, &workspace)?,
        checked_at: health.checked_at.to_string(),
        since: health.since.to_string(),
        url,
        http_status: health.finding.status(),
        reason: health.finding.reason(),
    };
    let name = match change {
        HealthChange::Broken => "link.broken",
        HealthChange::Repaired => "link.repaired",
    };
    encode(name, health.checked_at, data)
}

fn encode(kind: &'static str, at: Timestamp, data: impl Serialize) -> Option<EncodedEvent> {
    // Without random bits, two clicks in one millisecond would have the same id. The start has already
    // generated keys, so the generator works.
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    // No shared source: clicks must not wait for a lock only for the order of ids.
    let id = IdSource::after(None).next(at, u128::from_le_bytes(random));
    let event = EventJson { id: name(id), r#type: kind, timestamp: at.to_string(), data };
    Some(EncodedEvent { id, body: json::to_bytes(&event).into() })
}

impl<'a> EventLink<'a> {
    fn of(tenants: &Tenants, link: &'a Link, workspace: &'a Workspace) -> Option<EventLink<'a>> {
        let directory = tenants.directory();
        let domain = directory.domain(link.domain)?;
        Some(EventLink {
            id: link.id.to_string(),
            short_code: link.shown_code().as_str(),
            short_url: tenants.site().short_url(domain, link.shown_code()),
            url: target(tenants, link),
            title: link.options.title.as_deref(),
            domain: tenants.site().name_of(domain),
            workspace_id: workspace.id.as_str(),
        })
    }
}

/// Returns the link's own destination, without the visitor's query, which may have personal data.
fn target(tenants: &Tenants, link: &Link) -> String {
    if link.options.destination.is_fillable()
        && let Ok(filled) = tenants.links().targets(link).first()
    {
        return filled.as_str().to_owned();
    }
    link.options.target().as_str().to_owned()
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

/// Returns the host name of a referring page. An IP address is left out, since it may be the visitor's.
fn referrer_host(referrer: &str) -> Option<String> {
    // Cut before it is parsed: a `Referer` may be as long as all headers together.
    let referrer = referrer.get(..REFERRER_MAX).unwrap_or(referrer);
    // Not at a character boundary, so that the text could not be cut: no browser sends that.
    if referrer.len() > REFERRER_MAX {
        return None;
    }
    let url = url::Url::parse(referrer).ok()?;
    match (url.scheme(), url.host()?) {
        // Schemes of apps have names of packages in place of hosts.
        ("http" | "https", url::Host::Domain(name)) => {
            // One spelling for the receiver's statistics.
            let name = name.strip_suffix('.').unwrap_or(name);
            let fits = (1..=253).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            fits.then(|| name.to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receivers get a host name, or nothing, from what a visitor sends.
    #[test]
    fn t67_only_the_host_name_of_a_referrer_is_sent() {
        let long = format!("https://e.test/{}", "x".repeat(100_000));
        let rows = [
            ("https://News.Example.com/a?token=secret#x", Some("news.example.com")),
            // Neither user name nor password nor port.
            ("https://user:word@example.com:8443/", Some("example.com")),
            ("http://example.com.", Some("example.com")),
            ("https://bücher.example/", Some("xn--bcher-kva.example")),
            (&long, Some("e.test")),
            ("https://192.168.1.17/router", None),
            // 192.168.1.17 as one number.
            ("https://3232235793/", None),
            ("https://[2001:db8::1]/", None),
            ("android-app://com.example.mail/", None),
            ("javascript:alert(1)", None),
            ("about:blank", None),
            ("example.com", None),
            ("https://a!b.example/", None),
            ("https://<script>alert(1)</script>.test/", None),
            ("https://e.test\"><script>", None),
            ("https://e.test'--/", None),
            ("https://e.test/<script>alert(1)</script>", Some("e.test")),
            ("https://e.test/\u{1b}[2J", Some("e.test")),
            ("https://\u{1b}[2J.test/", None),
            ("https://=cmd|' /C calc'!A0.test/", None),
            ("https://=1+1.test/", None),
            ("https://+e.test/", None),
            ("https://e.test%00/", None),
            ("https://e.test%0d%0aX:y/", None),
            ("https://{{e}}.test/", None),
            ("data:text/html,<script>", None),
            ("https://0x7f.1/", None),
            ("https://[::ffff:10.0.0.1]/", None),
            ("//e.test/", None),
            // The URL parser strips white space at the ends.
            (" https://e.test/", Some("e.test")),
            ("", None),
        ];
        for (referrer, want) in rows {
            assert_eq!(referrer_host(referrer).as_deref(), want, "{referrer:.80}");
        }
        // Five labels of 63: more than the 253 characters of a DNS name.
        let name = format!("https://{}.test/", ["a".repeat(63).as_str(); 5].join("."));
        assert_eq!(referrer_host(&name), None);
        assert_eq!(referrer_host(&format!("https://{}", "é".repeat(REFERRER_MAX))), None);
    }

    #[test]
    fn a_country_is_two_capitals() {
        let hostile = [("<s", false), ("'D", false), ("D\u{1b}", false), ("=1", false), ("\u{c4}", false)];
        for (text, want) in [("DE", true), ("de", false), ("DEU", false), ("", false), ("D\"", false)]
            .into_iter()
            .chain(hostile)
        {
            assert_eq!(is_country(text), want, "{text}");
        }
    }
}
