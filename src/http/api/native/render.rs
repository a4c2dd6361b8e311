//! The replies of the native dialect. An object is wrapped by its singular, a list by its plural
//! (docs/decisions.md A15).

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde::Serialize;

use super::analytics::AnalyticsJson;
use super::analytics_csv::csv;
use super::campaigns::CampaignJson;
use super::click_shares::ClickShareJson;
use super::domains::DomainJson;
use super::explain::ExplanationJson;
use super::files;
use super::history::{audit_entries, deleted_links, revisions};
use super::keys::KeyJson;
use super::link_lists::{BulkJson, Listing};
use super::live::MinutesJson;
use super::qr;
use super::snapshots::{ImportJson, ShareJson, SnapshotJson, is_pending};
use super::webhooks::{DeliveryJson, SecretJson};
use super::workspaces::{CompanyJson, WorkspaceJson};
use crate::formats::waypost::link_json::{Detail, TagJson};
use crate::formats::waypost::rule_json::RuleJson;
use crate::http::api::dialect::{AnalyticsFormat, Body, Created, Rendered, Reply};

/// Renders the reply to any command.
pub(super) fn reply(reply: &Reply) -> Body {
    match reply {
        Reply::Made(created, secret) => self::created(created, secret.as_deref()),
        Reply::Link(link) | Reply::Changed(link) => named("link", &Detail::of(link)),
        Reply::Links(page) => Body::ok(&Listing::of(page)),
        Reply::Explained(explanation) => named("explain", &ExplanationJson::of(explanation)),
        Reply::Qr(picture) => qr::picture(picture),
        Reply::History(page) => Body::ok(&revisions(page)),
        Reply::DeletedLinks(page) => Body::ok(&deleted_links(page)),
        Reply::Audit(page) => Body::ok(&audit_entries(page)),
        Reply::File(file) => files::file(file),
        Reply::Deliveries(all) => all_named("deliveries", all, DeliveryJson::of),
        Reply::Analytics(view, AnalyticsFormat::Json) => Body::ok(&AnalyticsJson::of(view)),
        Reply::Analytics(view, AnalyticsFormat::Csv) => csv(view, false),
        Reply::Analytics(view, AnalyticsFormat::CsvWithMark) => csv(view, true),
        // For another dialect.
        Reply::AnalyticsTables(all) => all_named("tables", all, AnalyticsJson::of),
        Reply::ClickShare(share) => named("share", &ClickShareJson::of(share)),
        Reply::ClickShares(all) => all_named("shares", all, ClickShareJson::of),
        Reply::LiveMinutes(minutes) => Body::ok(&MinutesJson::of(minutes)),
        Reply::Rendered(rendered) => Body::ok(&RenderedJson::of(rendered)),
        Reply::Tags(all) => all_named("tags", all, TagJson::of),
        Reply::Tag(tag) => named("tag", &TagJson::of(tag)),
        Reply::Campaigns(page) => all_named("campaigns", &page.campaigns, CampaignJson::of),
        Reply::Campaign(campaign) => named("campaign", &CampaignJson::of(campaign)),
        Reply::Domains(all) => all_named("domains", all, DomainJson::of),
        Reply::Domain(domain) => named("domain", &DomainJson::of(domain)),
        Reply::Workspaces(all) => all_named("workspaces", all, WorkspaceJson::of),
        Reply::Workspace(workspace) => named("workspace", &WorkspaceJson::of(workspace)),
        Reply::Companies(all) => all_named("companies", all, CompanyJson::of),
        // Without secrets, which only the creation of a key shows.
        Reply::Keys(all) => all_named("keys", all, |key| KeyJson::of(key, None)),
        Reply::WebhookSecret(secret) => named("webhookSecret", &SecretJson::of(secret)),
        Reply::Snapshots(all) => all_named("snapshots", all, SnapshotJson::of),
        Reply::Snapshot(snapshot) => named("snapshot", &SnapshotJson::of(snapshot)),
        Reply::Import(import) => named("import", &ImportJson::of(import)),
        Reply::Imports(all) => all_named("imports", all, ImportJson::of),
        // A 2xx response always has a JSON body (docs/decisions.md A3).
        Reply::LinkDeleted(_) | Reply::RuleDeleted(_) | Reply::Done => named("success", &true),
        Reply::Rule(rule) => named("rule", &RuleJson::of(&rule.branch)),
        Reply::Rules(page) => all_named("rules", &page.rules, |rule| RuleJson::of(&rule.branch)),
    }
}

/// Renders a created object. `secret` is the secret of a new key.
fn created(created: &Created, secret: Option<&str>) -> Body {
    match created {
        Created::Link(link) => new("link", &Detail::of(link)),
        Created::Rule(rule) => new("rule", &RuleJson::of(&rule.branch)),
        Created::Bulk(bulk) => Body::created(&BulkJson::of(bulk)),
        Created::Tag(tag) => new("tag", &TagJson::of(tag)),
        Created::Domain(domain) => new("domain", &DomainJson::of(domain)),
        Created::Workspace(workspace) => new("workspace", &WorkspaceJson::of(workspace)),
        Created::Company(company) => new("company", &CompanyJson::of(company)),
        Created::Key(key) => new("key", &KeyJson::of(key, secret)),
        Created::WebhookSecret(secret) => new("webhookSecret", &SecretJson::of(secret)),
        Created::Campaign(campaign) => new("campaign", &CampaignJson::of(campaign)),
        Created::Snapshot(snapshot) => new("snapshot", &SnapshotJson::of(snapshot)),
        Created::ClickShare(share) => new("share", &ClickShareJson::of(share)),
        Created::Share(share) => new("share", &ShareJson::of(share)),
        Created::Import(import) => {
            // The import continues after the response, and clients poll it by its id.
            let status = if is_pending(import) { StatusCode::ACCEPTED } else { StatusCode::CREATED };
            Body::json(status, &wrapped("import", &ImportJson::of(import)))
        }
    }
}

/// Returns one object by its singular, with 200.
fn named(name: &str, value: &impl Serialize) -> Body {
    Body::ok(&wrapped(name, value))
}

/// Returns one object by its singular, with 201.
fn new(name: &str, value: &impl Serialize) -> Body {
    Body::created(&wrapped(name, value))
}

/// Returns a list by its plural.
fn all_named<'a, T, J: Serialize>(name: &str, all: &'a [T], show: impl Fn(&'a T) -> J) -> Body {
    named(name, &all.iter().map(show).collect::<Vec<_>>())
}

fn wrapped<'a, T>(name: &'a str, value: &'a T) -> BTreeMap<&'a str, &'a T> {
    // A map of one entry, in place of a struct for each of some twenty names.
    BTreeMap::from([(name, value)])
}

/// A text with its merge fields filled in.
#[derive(Serialize)]
struct RenderedJson<'a> {
    text: &'a str,
    unknown: &'a [String],
}

impl<'a> RenderedJson<'a> {
    fn of(rendered: &'a Rendered) -> RenderedJson<'a> {
        RenderedJson { text: &rendered.text, unknown: &rendered.unknown }
    }
}
