//! [`LinkValues`]: what the form of a link contains, from a link, from a form, or empty; and its JSON for the API.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::{FieldPresence, FormField, InputKind, all};
use super::rules::RuleForm;
use crate::http::admin::form::Form;
use crate::http::admin::format::{moment, with_zone};
use crate::http::api::dialect::LinkView;
use crate::model::destination::{Destination, LinkType};
use crate::model::id::ForeignId;

/// The texts of a form's fields. A box that is checked has `on`.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkValues {
    texts: BTreeMap<&'static str, String>,
    pub(super) rules: Vec<RuleForm>,
}

impl LinkValues {
    /// Creates the values of a new link.
    pub(super) fn new() -> LinkValues {
        let mut values = LinkValues::default();
        for field in all() {
            match field.kind {
                InputKind::Flag(true) => values.set(field.name, "on"),
                InputKind::Choice([(first, _), ..]) => values.set(field.name, first),
                _ => {}
            }
        }
        values
    }

    /// Returns the values of a link.
    pub(super) fn of(view: &LinkView) -> LinkValues {
        let options = &view.link.options;
        let mut values = LinkValues::default();
        let tags: Vec<&str> = view.tags.iter().map(|tag| &*tag.name).collect();
        let webhooks: Vec<&str> = options.webhook_urls.iter().map(Destination::as_str).collect();
        let texts: [(&'static str, Option<&str>); 17] = [
            ("url", Some(options.destination.as_str())),
            ("domain", Some(&view.domain_name)),
            ("customSlug", Some(view.link.shown_code().as_str())),
            ("title", options.title.as_deref()),
            ("expiredUrl", options.expired_url.as_ref().map(Destination::as_str)),
            ("campaignId", options.campaign.as_ref().map(ForeignId::as_str)),
            ("utmSource", options.utm.source.as_deref()),
            ("utmMedium", options.utm.medium.as_deref()),
            ("utmCampaign", options.utm.campaign.as_deref()),
            ("utmTerm", options.utm.term.as_deref()),
            ("utmContent", options.utm.content.as_deref()),
            ("description", options.description.as_deref()),
            ("image", options.image.as_ref().map(Destination::as_str)),
            ("metaPixelId", options.meta_pixel_id.as_deref()),
            ("googleTagId", options.google_tag_id.as_deref()),
            ("gtmContainerId", options.gtm_container_id.as_deref()),
            ("notes", options.notes.as_deref()),
        ];
        for (name, text) in texts {
            values.set(name, text.unwrap_or(""));
        }
        values.set("headTags", options.head_tags.as_ref().map_or("", |markup| markup.as_str()));
        values.set("bodyTags", options.body_tags.as_ref().map_or("", |markup| markup.as_str()));
        values.set("tags", &tags.join(", "));
        values.set("webhookUrls", &webhooks.join("\n"));
        values.set("linkType", link_type(options.link_type));
        values.set("redirectType", &options.status.code().to_string());
        values.set("validSince", &options.valid_since.map_or_else(String::new, moment));
        values.set("expiresAt", &options.expires_at.map_or_else(String::new, moment));
        values.set("maxClicks", &options.max_clicks.map_or_else(String::new, |most| most.to_string()));
        let flags = [
            ("isActive", options.is_active),
            ("cloaked", options.cloaked),
            ("forwardParameters", options.forward_parameters),
            ("forwardPath", options.forward_path),
            ("blockBots", options.block_bots),
            ("countBots", options.count_bots),
            ("skipSocialCrawlerTracking", options.skip_social_crawler_tracking),
            ("confirm", options.confirm),
            ("hideReferrer", options.hide_referrer),
            ("countPixel", options.count_pixel),
            ("statistics", options.statistics),
        ];
        for (name, is_set) in flags {
            values.set(name, if is_set { "on" } else { "" });
        }
        values.rules = options.branches().iter().map(RuleForm::of).collect();
        values
    }

    /// Reads the values of a form.
    pub(super) fn read(form: &Form) -> LinkValues {
        let mut values = LinkValues::default();
        for field in all() {
            let text = match field.kind {
                InputKind::Flag(_) => {
                    if form.has(field.name) {
                        "on"
                    } else {
                        ""
                    }
                }
                // A password may begin with white space.
                InputKind::Password => form.raw(field.name).unwrap_or(""),
                _ => form.text(field.name).unwrap_or(""),
            };
            // Browsers send lines with both characters.
            values.set(field.name, &text.replace("\r\n", "\n"));
        }
        values.rules = RuleForm::read_all(form);
        values
    }

    /// Sets the text of a field.
    pub(super) fn set(&mut self, name: &'static str, text: &str) {
        self.texts.insert(name, text.to_owned());
    }

    /// Returns the text of a field.
    pub(super) fn get(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    /// Returns whether a field has another value than in a new link.
    pub(super) fn is_set(&self, field: &FormField) -> bool {
        let text = self.get(field.name);
        match field.kind {
            InputKind::Flag(is_on) => (text == "on") != is_on,
            InputKind::Choice([(first, _), ..]) => text != *first && !text.is_empty(),
            InputKind::Domain => false,
            _ => !text.is_empty(),
        }
    }

    /// Returns the body of the request that creates or changes the link. `tags` are the ids of the named tags.
    pub(super) fn body(&self, is_new: bool, tags: &[String]) -> Value {
        let mut body = Map::new();
        for field in all() {
            let is_here = match field.when {
                FieldPresence::Always => true,
                FieldPresence::New => is_new,
                FieldPresence::Change => !is_new,
            };
            if !is_here {
                continue;
            }
            let text = self.get(field.name);
            let name = if field.kind == InputKind::Tags { "tagIds" } else { field.name };
            let value = match field.kind {
                InputKind::Flag(_) => Value::Bool(text == "on"),
                InputKind::Tags => json!(tags),
                // A new link has what it is not given.
                _ if text.is_empty() && is_new => continue,
                // A link has one of each, and a box removes a password.
                InputKind::Choice(_) | InputKind::Domain | InputKind::Password if text.is_empty() => continue,
                _ if text.is_empty() && field.name == "customSlug" => continue,
                _ if text.is_empty() => Value::Null,
                InputKind::Time => json!(with_zone(text)),
                InputKind::Number => text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number)),
                InputKind::List => {
                    json!(text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>())
                }
                _ => json!(text),
            };
            body.insert(name.to_owned(), value);
        }
        if !is_new && self.get("removePassword") == "on" {
            body.insert("password".to_owned(), Value::Null);
        }
        body.remove("removePassword");
        if self.get("keepOldCode") != "on" {
            body.remove("keepOldCode");
        }
        body.insert("rules".to_owned(), self.rules.iter().map(RuleForm::body).collect());
        Value::Object(body)
    }

    /// Returns the names of the tags.
    pub(super) fn tag_names(&self) -> Vec<&str> {
        self.get("tags").split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
    }
}

fn link_type(link_type: LinkType) -> &'static str {
    crate::formats::waypost::fields::show_link_type(link_type)
}
