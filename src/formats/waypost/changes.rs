//! The changes of a link, by the fields of a PATCH.

use serde::Serialize;
use serde_json::{Value, json};

use super::draft::MASK;
use super::fields::{show_link_type, show_status};
use super::rule_json::RuleJson;
use crate::core::LinkState;
use crate::model::destination::{Destination, Utm};
use crate::model::id::ForeignId;
use crate::model::link::{Alias, Link, Markup, Options, PasswordHash};

/// A field that a change of a link changed. A password is masked: `null` before it is set, and after it is removed.
#[derive(Serialize)]
pub struct FieldChange {
    field: &'static str,
    before: Value,
    after: Value,
}

/// Returns the fields that differ between two states of a link.
pub fn changes(before: &LinkState, after: &LinkState) -> Vec<FieldChange> {
    let fields = |state: &LinkState| fields(&state.link, json!(state.domain), json!(state.aliases));
    let differing = differing(&before.link, &after.link);
    let changes = fields(before).into_iter().zip(fields(after)).zip(differing);
    // Not by the shown values: both sides of a new password are its mask.
    let changes = changes.filter(|(_, differs)| *differs);
    changes.map(|(((field, before), (_, after)), _)| FieldChange { field, before, after }).collect()
}

/// Returns the names of the fields that differ between two links.
pub fn changed_fields(before: &Link, after: &Link) -> Vec<&'static str> {
    let names = fields(before, Value::Null, Value::Null).into_iter().map(|(name, _)| name);
    names.zip(differing(before, after)).filter_map(|(name, differs)| differs.then_some(name)).collect()
}

/// Returns for each of [`fields`] whether it differs. Domains are compared by their numbers: a renamed or deleted one is
/// no change of the link.
fn differing(before: &Link, after: &Link) -> Vec<bool> {
    let exact = |link: &Link| {
        let alias = |alias: &Alias| json!([alias.domain.0, alias.shown_code().as_str()]);
        let aliases = link.aliases.iter().map(alias).collect();
        // Numbers: a domain that got another name is no change of its links.
        let mut fields = fields(link, json!(link.domain.0), Value::Array(aliases));
        // The mask of two passwords is one.
        let hash = link.options.password.as_ref().map(PasswordHash::as_str);
        fields.push(("password", json!(hash)));
        fields
    };
    let mut differing: Vec<bool> =
        exact(before).into_iter().zip(exact(after)).map(|(one, other)| one.1 != other.1).collect();
    if let (Some(true), Some(at)) =
        (differing.pop(), exact(before).iter().position(|field| field.0 == "password"))
    {
        differing[at] = true;
    }
    differing
}

/// Returns the fields of a link in the order of their names in the API. Every option is named, so that a new option
/// compiles only once the history shows it.
fn fields(link: &Link, domain: Value, aliases: Value) -> Vec<(&'static str, Value)> {
    let Options {
        destination,
        link_type,
        status,
        title,
        description,
        image,
        is_active,
        cloaked,
        password,
        valid_since,
        expires_at,
        max_clicks,
        expired_url,
        forward_parameters,
        forward_path,
        block_bots,
        count_bots,
        skip_social_crawler_tracking,
        confirm,
        hide_referrer,
        count_pixel,
        statistics,
        utm: Utm { source, medium, campaign: utm_campaign, term, content },
        meta_pixel_id,
        google_tag_id,
        gtm_container_id,
        head_tags,
        body_tags,
        webhook_urls,
        tags,
        campaign,
        notes,
        rules: _,
    } = &link.options;
    let url = |url: &Option<Destination>| json!(url.as_ref().map(Destination::as_str));
    let markup = |markup: &Option<Markup>| json!(markup.as_ref().map(Markup::as_str));
    let webhooks: Vec<&str> = webhook_urls.iter().map(Destination::as_str).collect();
    let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
    vec![
        // Without the UTM parameters, which are fields of their own.
        ("url", json!(destination.as_str())),
        // As it was typed: another spelling of the same code is a change.
        ("customSlug", json!(link.shown_code().as_str())),
        ("domain", domain),
        ("aliases", aliases),
        ("linkType", json!(show_link_type(*link_type))),
        ("redirectType", json!(show_status(*status))),
        ("title", json!(title)),
        ("description", json!(description)),
        ("image", url(image)),
        ("isActive", json!(is_active)),
        ("cloaked", json!(cloaked)),
        ("password", json!(password.as_ref().map(|_| MASK))),
        ("validSince", json!(valid_since.map(|at| at.to_string()))),
        ("expiresAt", json!(expires_at.map(|at| at.to_string()))),
        ("maxClicks", json!(max_clicks)),
        ("expiredUrl", url(expired_url)),
        ("forwardParameters", json!(forward_parameters)),
        ("forwardPath", json!(forward_path)),
        ("blockBots", json!(block_bots)),
        ("countBots", json!(count_bots)),
        ("skipSocialCrawlerTracking", json!(skip_social_crawler_tracking)),
        ("confirm", json!(confirm)),
        ("hideReferrer", json!(hide_referrer)),
        ("countPixel", json!(count_pixel)),
        ("statistics", json!(statistics)),
        ("utmSource", json!(source)),
        ("utmMedium", json!(medium)),
        ("utmCampaign", json!(utm_campaign)),
        ("utmTerm", json!(term)),
        ("utmContent", json!(content)),
        ("metaPixelId", json!(meta_pixel_id)),
        ("googleTagId", json!(google_tag_id)),
        ("gtmContainerId", json!(gtm_container_id)),
        ("headTags", markup(head_tags)),
        ("bodyTags", markup(body_tags)),
        // A list, since a comma of a URL would look like the end of one.
        ("webhookUrls", json!(webhooks)),
        // Ids, since a tag may be gone or have another name now.
        ("tagIds", json!(tags)),
        ("campaignId", json!(campaign.as_ref().map(ForeignId::as_str))),
        ("notes", json!(notes)),
        ("rules", json!(link.options.branches().iter().map(RuleJson::of).collect::<Vec<_>>())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::domain::DomainNumber;
    use crate::model::link::sample;
    use crate::model::short_code::ShortCode;

    #[test]
    fn only_what_differs_is_a_change_and_passwords_are_masked() {
        let plain = sample::link(7, "a", sample::plain());
        let state = |change: fn(&mut Link)| {
            let mut link = plain.clone();
            change(&mut link);
            LinkState { link, domain: Some("go.test".to_owned()), aliases: Vec::new() }
        };
        let locked = |link: &mut Link| link.options.password = Some(PasswordHash::from_stored("$a".into()));
        let rows: [(fn(&mut Link), fn(&mut Link), Value); 6] = [
            (|_| {}, |_| {}, json!([])),
            (|_| {}, locked, json!([{"field": "password", "before": null, "after": "********"}])),
            (locked, |_| {}, json!([{"field": "password", "before": "********", "after": null}])),
            (
                locked,
                |link| link.options.password = Some(PasswordHash::from_stored("$b".into())),
                json!([{"field": "password", "before": "********", "after": "********"}]),
            ),
            (
                |link| link.options.title = Some("old".into()),
                |link| link.options.utm.source = Some("s".into()),
                json!([
                    {"field": "title", "before": "old", "after": null},
                    {"field": "utmSource", "before": null, "after": "s"},
                ]),
            ),
            // Another domain of the same name, and a code in another spelling.
            (
                |link| link.domain = DomainNumber(3),
                |link| link.typed_code = Some(ShortCode::from_stored("A")),
                json!([
                    {"field": "customSlug", "before": "a", "after": "A"},
                    {"field": "domain", "before": "go.test", "after": "go.test"},
                ]),
            ),
        ];
        for (before, after, want) in rows {
            let (before, after) = (state(before), state(after));
            let changes = changes(&before, &after);
            assert_eq!(json!(changes), want);
            let names: Vec<_> = changes.iter().map(|change| change.field).collect();
            assert_eq!(changed_fields(&before.link, &after.link), names);
        }
    }
}
