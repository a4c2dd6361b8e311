//! [`Link`], and its parts. A [`Draft`] is a link before its creation. An [`Edit`] is one change; a [`Patch`]
//! and a draft are lists of edits, so the rule of each field exists once, in [`Options::apply`].
//! [`LinkStatus`] is the status of a link at an instant. The rules of a link are in [`branch`].

pub mod branch;
mod draft;
mod markup;
mod password;
mod references;
#[cfg(test)]
pub(crate) mod sample;
mod status;

pub use self::draft::{AddressPatch, AliasName, DomainChoice, Draft, Names, Patch};
pub use self::markup::{MARKUP_MAX, Markup};
pub use self::password::{
    HASH_MEMORY_KIB_MAX, HashParts, PASSWORD_MAX, PASSWORD_TEXT_MAX, Password, PasswordHash,
};
pub use self::status::LinkStatus;

use std::sync::Arc;

use jiff::tz::TimeZone;

use self::branch::{BranchDraft, BranchEdit, Branches};
use crate::clock::{GivenTime, Timestamp};
use crate::model::destination::{Destination, ExtraSchemes, LinkType, Utm};
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;
use crate::model::{Invalid, custom_values, plain_text, text};

/// Longest title in characters. A browser shows some 60, and search engines cut at 200.
pub const TITLE_MAX: usize = 500;
/// Longest description in characters.
pub(crate) const DESCRIPTION_MAX: usize = 2_000;
/// Longest note in characters.
pub(crate) const NOTES_MAX: usize = 4_000;
/// Longest UTM value in characters.
pub(crate) const UTM_MAX: usize = 500;
/// Most webhook URLs of one link: each click is sent to every URL.
pub(crate) const WEBHOOKS_MAX: usize = 5;
/// Most aliases of one link: each change of the link writes the record of each.
pub const ALIASES_MAX: usize = 10;
/// Most tags of one link: each is an entry of an index.
pub const TAGS_MAX: usize = 50;
/// Largest `maxClicks`: 2^53 - 1, the last whole number that every JSON reader keeps exactly.
pub(crate) const CLICKS_MAX: u64 = (1 << 53) - 1;
/// The rule of `maxClicks`. Dialects use the same text for values that are no number, so that -1 and 0 get
/// the same error.
pub const CLICKS_RULE: &str = "must be a whole number, at least 1, or null for no limit";

/// The rule of options that a number or a mail address cannot have.
const ONLY_URL: &str = "works only with linkType URL";

/// The status of a redirect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The names of the statuses.
pub enum RedirectStatus {
    MovedPermanently,
    /// The default: browsers store a permanent redirect, and would not see an edit.
    #[default]
    Found,
    TemporaryRedirect,
    PermanentRedirect,
}

impl RedirectStatus {
    /// Returns the number on the status line.
    pub fn code(self) -> u16 {
        match self {
            RedirectStatus::MovedPermanently => 301,
            RedirectStatus::Found => 302,
            RedirectStatus::TemporaryRedirect => 307,
            RedirectStatus::PermanentRedirect => 308,
        }
    }

    /// Returns the status of a number.
    pub fn from_code(code: u16) -> Option<RedirectStatus> {
        // The four statuses of the APIs (docs/decisions.md A9).
        [301, 302, 307, 308].iter().position(|c| *c == code).map(|at| {
            [Self::MovedPermanently, Self::Found, Self::TemporaryRedirect, Self::PermanentRedirect][at]
        })
    }

    /// Returns whether browsers may store the redirect.
    pub fn is_permanent(self) -> bool {
        matches!(self, RedirectStatus::MovedPermanently | RedirectStatus::PermanentRedirect)
    }
}

/// A former short URL of a link, which still leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The host of the former short URL.
    pub domain: DomainNumber,
    /// Its path, as the domain keys it.
    pub code: ShortCode,
    /// The code as it was typed, for print. `None` if it equals `code`.
    pub typed_code: Option<ShortCode>,
}

impl Alias {
    /// Returns whether both are one address, however it was typed.
    pub fn is_at(&self, other: &Alias) -> bool {
        (self.domain, &self.code) == (other.domain, &other.code)
    }

    /// Returns the code for print.
    pub fn shown_code(&self) -> &ShortCode {
        self.typed_code.as_ref().unwrap_or(&self.code)
    }
}

/// A short URL and its options.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct Link {
    /// The id in the APIs. Later links have later ids.
    pub id: Id,
    /// The owner.
    pub workspace: WorkspaceNumber,
    /// The host of the short URL.
    pub domain: DomainNumber,
    /// The path of the short URL, as the domain keys it.
    pub code: ShortCode,
    /// The code as it was typed, for print. `None` if it equals `code`.
    pub typed_code: Option<ShortCode>,
    /// Former short URLs, the oldest first.
    pub aliases: Vec<Alias>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The key that created the link. `None` for the key in the environment.
    pub created_by: Option<Id>,
    /// Everything that can be changed.
    pub options: Options,
}

/// Everything about a link that can be changed.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // `utm` and `campaign` speak.
pub struct Options {
    /// The destination without the UTM parameters.
    pub destination: Destination,
    /// The kind of the destination.
    pub link_type: LinkType,
    /// The status of the redirect.
    pub status: RedirectStatus,
    /// The title in lists and previews.
    pub title: Option<Box<str>>,
    /// The description in previews.
    pub description: Option<Box<str>>,
    /// The image in previews: an http(s) URL.
    pub image: Option<Destination>,
    /// If `false`, the link answers 404.
    pub is_active: bool,
    /// Shows the destination in a frame under the short URL.
    pub cloaked: bool,
    /// Required before the redirect.
    pub password: Option<PasswordHash>,
    /// The link answers 404 before this time.
    pub valid_since: Option<Timestamp>,
    /// The link answers 410 from this time on.
    pub expires_at: Option<Timestamp>,
    /// The link answers 410 after this number of counted clicks.
    pub max_clicks: Option<u64>,
    /// The redirect of a link that has expired or is used up, in place of 410.
    pub expired_url: Option<Destination>,
    /// Appends the visitor's query.
    pub forward_parameters: bool,
    /// Appends the part of the path after the code.
    pub forward_path: bool,
    /// Known bots get 403.
    pub block_bots: bool,
    /// Clicks of known bots are counted.
    pub count_bots: bool,
    /// Link previews are not counted, also if `count_bots` is set.
    pub skip_social_crawler_tracking: bool,
    /// Shows a page with a button. The button is the click.
    pub confirm: bool,
    /// The destination does not learn from which page the visitor came.
    pub hide_referrer: bool,
    /// A request for the link's counting image is a click.
    pub count_pixel: bool,
    /// If `false`, clicks are counted and their details are not captured.
    pub statistics: bool,
    pub utm: Utm,
    /// The Meta pixel to fire.
    pub meta_pixel_id: Option<Box<str>>,
    /// The Google tag to fire.
    pub google_tag_id: Option<Box<str>>,
    /// The container of the Google Tag Manager to load.
    pub gtm_container_id: Option<Box<str>>,
    /// Elements for the head of the link's pages.
    pub head_tags: Option<Markup>,
    /// Elements for the body of the link's pages.
    pub body_tags: Option<Markup>,
    /// URLs that receive each counted click.
    pub webhook_urls: Vec<Destination>,
    /// Labels, each once, in the client's order.
    pub tags: Vec<Id>,
    pub campaign: Option<ForeignId>,
    /// A note for the owner.
    pub notes: Option<Box<str>>,
    /// Other destinations for some visitors. `None` if the link never had a rule.
    // Behind a pointer: few links have rules. Shared, since links are cloned to be compared.
    pub rules: Option<Arc<Branches>>,
}

impl Link {
    /// Returns the code for print: as it was typed.
    pub fn shown_code(&self) -> &ShortCode {
        self.typed_code.as_ref().unwrap_or(&self.code)
    }
}

/// One change of a link. `None` clears the field.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each sets the field of `Options` of its name.
pub enum Edit {
    Destination(Destination),
    LinkType(LinkType),
    Status(RedirectStatus),
    Title(Option<Box<str>>),
    Description(Option<Box<str>>),
    Image(Option<Destination>),
    IsActive(bool),
    Cloaked(bool),
    Password(Option<PasswordHash>),
    ValidSince(Option<GivenTime>),
    ExpiresAt(Option<GivenTime>),
    MaxClicks(Option<u64>),
    ExpiredUrl(Option<Destination>),
    ForwardParameters(bool),
    ForwardPath(bool),
    BlockBots(bool),
    CountBots(bool),
    SkipSocialCrawlerTracking(bool),
    Confirm(bool),
    HideReferrer(bool),
    CountPixel(bool),
    Statistics(bool),
    UtmSource(Option<Box<str>>),
    UtmMedium(Option<Box<str>>),
    UtmCampaign(Option<Box<str>>),
    UtmTerm(Option<Box<str>>),
    UtmContent(Option<Box<str>>),
    MetaPixelId(Option<Box<str>>),
    GoogleTagId(Option<Box<str>>),
    GtmContainerId(Option<Box<str>>),
    HeadTags(Option<Box<str>>),
    BodyTags(Option<Box<str>>),
    WebhookUrls(Vec<Destination>),
    Tags(Vec<Id>),
    /// Tags beside those of the link.
    AddTags(Vec<Id>),
    /// Tags that the link need not have.
    RemoveTags(Vec<Id>),
    Campaign(Option<ForeignId>),
    Notes(Option<Box<str>>),
    Rules(Vec<BranchDraft>),
    /// Sets a part of the field `rules`.
    Rule(BranchEdit),
}

impl Edit {
    /// Returns the edit with a date alone as an instant of the zone. Without this call, the day is one of UTC.
    #[must_use]
    pub fn within(self, zone: impl FnOnce() -> TimeZone) -> Edit {
        match self {
            Edit::ValidSince(Some(at)) => Edit::ValidSince(Some(at.within(zone).into())),
            Edit::ExpiresAt(Some(at)) => Edit::ExpiresAt(Some(at.within(zone).into())),
            Edit::Rules(drafts) => {
                let zone = zone();
                Edit::Rules(drafts.into_iter().map(|draft| draft.within(&zone)).collect())
            }
            Edit::Rule(edit) => Edit::Rule(edit.within(&zone())),
            other => other,
        }
    }
}

impl Options {
    /// Returns the default options of a destination.
    pub fn new(destination: Destination, link_type: LinkType) -> Options {
        Options {
            destination,
            link_type,
            status: RedirectStatus::default(),
            title: None,
            description: None,
            image: None,
            is_active: true,
            cloaked: false,
            password: None,
            valid_since: None,
            expires_at: None,
            max_clicks: None,
            expired_url: None,
            forward_parameters: false,
            forward_path: false,
            block_bots: false,
            count_bots: false,
            skip_social_crawler_tracking: false,
            confirm: false,
            hide_referrer: false,
            count_pixel: false,
            statistics: true,
            utm: Utm::default(),
            meta_pixel_id: None,
            google_tag_id: None,
            gtm_container_id: None,
            head_tags: None,
            body_tags: None,
            webhook_urls: Vec::new(),
            tags: Vec::new(),
            campaign: None,
            notes: None,
            rules: None,
        }
    }

    /// Returns the rules in their order, whether they are enabled or not.
    pub fn branches(&self) -> &[branch::Branch] {
        self.rules.as_ref().map_or(&[], |rules| &rules.list)
    }

    /// Returns every destination that a click may lead to, without the UTM parameters: the link's own first, then those
    /// of [`Branches::urls`].
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let rules = self.rules.iter().flat_map(|rules| rules.urls());
        std::iter::once(&self.destination).chain(rules)
    }

    /// Returns whether a destination of the link contains placeholders.
    pub fn is_fillable(&self) -> bool {
        self.destination.is_fillable()
            || self.rules.as_ref().is_some_and(|rules| rules.urls().any(Destination::is_fillable))
    }

    /// Returns the error of the destination at index `at` of [`Options::destinations`].
    pub fn invalid_target(&self, at: usize, why: impl Into<String>) -> Invalid {
        match (at.checked_sub(1), &self.rules) {
            (Some(at), Some(rules)) => Invalid::new("rules", why).below(&rules.path_of_url(at)),
            _ => Invalid::new("url", why),
        }
    }

    /// Applies one change. Fails if a value breaks a rule.
    pub fn apply(&mut self, edit: Edit) -> Result<(), Invalid> {
        self.apply_with(edit, &ExtraSchemes::default())
    }

    /// Like [`Options::apply`], for destinations with the schemes of the configuration.
    pub fn apply_with(&mut self, edit: Edit, schemes: &ExtraSchemes) -> Result<(), Invalid> {
        let parse = |text: &str| Destination::parse_fillable("rules", text, LinkType::Url, schemes);
        match edit {
            Edit::Destination(to) => {
                if let Some(rules) = self.rules.as_mut().filter(|rules| rules.follows(&self.destination)) {
                    Arc::make_mut(rules).follow(&self.destination, &to);
                }
                self.destination = to;
            }
            Edit::LinkType(kind) => self.link_type = kind,
            Edit::Status(status) => self.status = status,
            Edit::Title(text) => self.title = checked("title", text, TITLE_MAX)?,
            Edit::Description(text) => self.description = checked("description", text, DESCRIPTION_MAX)?,
            Edit::Image(url) => self.image = url,
            Edit::IsActive(on) => self.is_active = on,
            Edit::Cloaked(on) => self.cloaked = on,
            Edit::Password(hash) => self.password = hash,
            Edit::ValidSince(at) => self.valid_since = at.map(GivenTime::in_utc),
            Edit::ExpiresAt(at) => self.expires_at = at.map(GivenTime::in_utc),
            Edit::MaxClicks(clicks) => self.max_clicks = checked_clicks(clicks)?,
            Edit::ExpiredUrl(url) => self.expired_url = url,
            Edit::ForwardParameters(on) => self.forward_parameters = on,
            Edit::ForwardPath(on) => self.forward_path = on,
            Edit::BlockBots(on) => self.block_bots = on,
            Edit::CountBots(on) => self.count_bots = on,
            Edit::SkipSocialCrawlerTracking(on) => self.skip_social_crawler_tracking = on,
            Edit::Confirm(on) => self.confirm = on,
            Edit::HideReferrer(on) => self.hide_referrer = on,
            Edit::CountPixel(on) => self.count_pixel = on,
            Edit::Statistics(on) => self.statistics = on,
            Edit::UtmSource(text) => self.utm.source = checked_utm("utmSource", text)?,
            Edit::UtmMedium(text) => self.utm.medium = checked_utm("utmMedium", text)?,
            Edit::UtmCampaign(text) => self.utm.campaign = checked_utm("utmCampaign", text)?,
            Edit::UtmTerm(text) => self.utm.term = checked_utm("utmTerm", text)?,
            Edit::UtmContent(text) => self.utm.content = checked_utm("utmContent", text)?,
            Edit::MetaPixelId(id) => self.meta_pixel_id = checked_pixel(seen(id))?,
            Edit::GoogleTagId(id) => self.google_tag_id = checked_tag(seen(id))?,
            Edit::GtmContainerId(id) => self.gtm_container_id = checked_container(seen(id))?,
            Edit::HeadTags(text) => self.head_tags = Markup::head("headTags", text)?,
            Edit::BodyTags(text) => self.body_tags = Markup::body("bodyTags", text)?,
            Edit::WebhookUrls(urls) => {
                if urls.len() > WEBHOOKS_MAX {
                    return Err(Invalid::new("webhookUrls", "must be at most 5 URLs"));
                }
                // Each click would be sent to the URL twice. As they are shown: a client that sends back two URLs
                // which differ in a comma and its escape would send one URL twice.
                let shown: Vec<String> = urls.iter().map(Destination::shown_in_list).collect();
                // Quadratic, but of at most five URLs.
                if (1..shown.len()).any(|at| shown[..at].contains(&shown[at])) {
                    return Err(Invalid::new("webhookUrls", "must not name a URL twice"));
                }
                self.webhook_urls = urls;
            }
            Edit::Tags(tags) => {
                let tags = distinct(tags);
                // After the duplicates are removed: only distinct tags cost index entries.
                if tags.len() > TAGS_MAX {
                    return Err(Invalid::new("tagIds", "must be at most 50 tags"));
                }
                self.tags = tags;
            }
            Edit::AddTags(tags) => {
                // Sets, as above. Without the limit, an earlier one could make the list longer with each change.
                let there: std::collections::HashSet<_> = self.tags.iter().copied().collect();
                self.tags.extend(distinct(tags).into_iter().filter(|tag| !there.contains(tag)));
                if self.tags.len() > TAGS_MAX {
                    return Err(Invalid::new("addTagIds", "must be at most 50 tags, with those of the link"));
                }
            }
            Edit::RemoveTags(tags) => {
                // No error for a tag that the link does not have: another change may have removed it.
                let removed: std::collections::HashSet<_> = tags.into_iter().collect();
                self.tags.retain(|tag| !removed.contains(tag));
            }
            Edit::Campaign(id) => self.campaign = id,
            Edit::Notes(text) => self.notes = checked("notes", text, NOTES_MAX)?,
            // A link that never had a rule stays without numbers.
            Edit::Rules(drafts) if drafts.is_empty() && self.rules.is_none() => {}
            // Before the destinations: a plain value such as a mail address is not the mistake.
            Edit::Rules(drafts) if !drafts.is_empty() && self.link_type != LinkType::Url => {
                return Err(Invalid::new("rules", ONLY_URL));
            }
            Edit::Rules(drafts) => {
                let rules = Branches::renewed(self.rules.as_deref(), drafts, parse)?;
                self.rules = Some(Arc::new(rules));
            }
            Edit::Rule(edit) => {
                let parse = |text: &str| {
                    // The destination of the link may have a scheme that is no longer allowed.
                    let is_own = text == self.destination.as_str();
                    if is_own { Ok(self.destination.clone()) } else { parse(text) }
                };
                let rules = edit.applied(self.rules.as_deref(), &self.destination, parse)?;
                self.rules = Some(Arc::new(rules));
            }
        }
        Ok(())
    }

    /// Fails if the options break a rule that spans several fields. To be called after the last
    /// [`Options::apply`].
    pub fn check(&self) -> Result<(), Invalid> {
        if let (Some(since), Some(end)) = (self.valid_since, self.expires_at)
            // Also when equal: the link would never be live.
            && since >= end
        {
            return Err(Invalid::new("validSince", "must be before expiresAt"));
        }
        if self.link_type != LinkType::Url {
            if !self.branches().is_empty() {
                return Err(Invalid::new("rules", "works only with linkType URL"));
            }
            // A number or a mail address has no query, no path to append to, and no page for a frame.
            let what = [
                ("cloaked", self.cloaked),
                ("forwardParameters", self.forward_parameters),
                ("forwardPath", self.forward_path),
                ("utmSource", !self.utm.is_empty()),
            ];
            if let Some((field, _)) = what.into_iter().find(|(_, set)| *set) {
                return Err(Invalid::new(field, "works only with linkType URL"));
            }
        } else if !self.destination.is_hierarchical() {
            // `links.extra_schemes` may allow such schemes, for example `tel:` or `sip:`.
            let what = [
                ("forwardParameters", self.forward_parameters),
                ("forwardPath", self.forward_path),
                ("utmSource", !self.utm.is_empty()),
            ];
            if let Some((field, _)) = what.into_iter().find(|(_, set)| *set) {
                return Err(Invalid::new(
                    field,
                    "works only with a destination that has // behind its scheme",
                ));
            }
        }
        // Browsers leave the frame empty.
        if self.cloaked && !self.destination.is_web() {
            return Err(Invalid::new("cloaked", "works only with an http or https destination"));
        }
        Ok(())
    }

    /// Returns whether the link has something to show in a preview.
    pub fn has_preview(&self) -> bool {
        let Options { title, description, image, head_tags, .. } = self;
        title.is_some() || description.is_some() || image.is_some() || head_tags.is_some()
    }

    /// Returns whether the link has pixels or tags of other companies to fire.
    pub fn has_pixels(&self) -> bool {
        self.meta_pixel_id.is_some() || self.google_tag_id.is_some() || self.gtm_container_id.is_some()
    }

    /// Returns the destination with the UTM parameters: what the APIs show and clicks follow.
    pub fn target(&self) -> Destination {
        self.destination.with_utm(&self.utm)
    }
}

/// Returns the tags without repetitions, in their order.
fn distinct(mut tags: Vec<Id>) -> Vec<Id> {
    // A set: comparing each pair of tags would be quadratic in a list of any length.
    let mut seen = std::collections::HashSet::new();
    tags.retain(|tag| seen.insert(*tag));
    tags
}

fn checked(field: &'static str, text: Option<Box<str>>, max: usize) -> Result<Option<Box<str>>, Invalid> {
    let Some(text) = text else { return Ok(None) };
    plain_text(field, &text, max)?;
    // An empty text is stored as none: clients would see two kinds of nothing otherwise.
    Ok((!text.is_empty()).then_some(text))
}

fn checked_utm(field: &'static str, text: Option<Box<str>>) -> Result<Option<Box<str>>, Invalid> {
    if let Some(text) = &text {
        custom_values::reject(field, text)?;
    }
    // A person who pastes a value cannot see what is at its ends, and reports would have two campaigns.
    checked(field, text.map(|text| text::trim_invisible(&text).into()), UTM_MAX)
}

fn checked_clicks(clicks: Option<u64>) -> Result<Option<u64>, Invalid> {
    match clicks {
        // Zero is an error: `null` means no limit, and zero would be a dead link.
        Some(0) => Err(Invalid::new("maxClicks", CLICKS_RULE)),
        Some(n) if n > CLICKS_MAX => Err(Invalid::new("maxClicks", "must be at most 9007199254740991")),
        within => Ok(within),
    }
}

/// Returns a pasted id without what cannot be seen at its ends.
fn seen(id: Option<Box<str>>) -> Option<Box<str>> {
    id.map(|id| text::trim_invisible(&id).into())
}

/// Rejects ids other than 5 to 20 digits. Meta's ids have 15 or 16. Strict, since the id becomes part of a
/// script.
fn checked_pixel(text: Option<Box<str>>) -> Result<Option<Box<str>>, Invalid> {
    match text {
        Some(id) if !(5..=20).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_digit()) => {
            Err(Invalid::new("metaPixelId", "must be 5 to 20 digits"))
        }
        fine => Ok(fine),
    }
}

/// Rejects ids other than `G-XXXX`, `GT-`, `AW-`, `DC-`, `UA-` or `GTM-` and 4 to 20 capitals, digits and
/// hyphens.
fn checked_tag(text: Option<Box<str>>) -> Result<Option<Box<str>>, Invalid> {
    let Some(id) = text else { return Ok(None) };
    let fits = id.split_once('-').is_some_and(|(kind, rest)| {
        // The kinds whose hosts the policy of the pixel page knows (`visit::pages`).
        ["G", "GT", "AW", "DC", "UA", "GTM"].contains(&kind)
            && (4..=20).contains(&rest.len())
            && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
    });
    if fits { Ok(Some(id)) } else { Err(Invalid::new("googleTagId", "must be a tag id such as G-ABC123XYZ")) }
}

/// Rejects ids other than `GTM-` and 4 to 20 capitals and digits. Strict, since the id becomes part of a
/// script.
fn checked_container(text: Option<Box<str>>) -> Result<Option<Box<str>>, Invalid> {
    let Some(id) = text.filter(|id| !id.is_empty()) else { return Ok(None) };
    let fits = id.strip_prefix("GTM-").is_some_and(|rest| {
        (4..=20).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    });
    if fits {
        Ok(Some(id))
    } else {
        Err(Invalid::new("gtmContainerId", "must be a container id such as GTM-ABC1234"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options::new(Destination::parse_web("url", "https://e.test/").expect("a valid URL"), LinkType::Url)
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn status_depends_on_now_and_clicks() {
        let rows = [
            (true, None, None, None, 0, 0, LinkStatus::Live),
            (false, None, Some(5), None, 9, 0, LinkStatus::Disabled),
            (true, Some(10), None, None, 9, 0, LinkStatus::NotYetValid),
            (true, Some(10), None, None, 10, 0, LinkStatus::Live),
            (true, None, Some(10), None, 9, 0, LinkStatus::Live),
            // Expired at the instant itself.
            (true, None, Some(10), None, 10, 0, LinkStatus::Expired),
            (true, None, None, Some(3), 0, 2, LinkStatus::Live),
            (true, None, None, Some(3), 0, 3, LinkStatus::UsedUp),
            // With both reasons the date is reported, as the rules evaluate it first.
            (true, None, Some(10), Some(3), 10, 3, LinkStatus::Expired),
        ];
        for (row, (active, since, end, max, now, clicks, want)) in rows.into_iter().enumerate() {
            let mut options = options();
            options.is_active = active;
            options.valid_since = since.map(at);
            options.expires_at = end.map(at);
            options.max_clicks = max;
            assert_eq!(options.status(at(now), clicks), want, "row {row}");
        }
    }

    #[test]
    fn rules_name_field_and_why() {
        let text = |n: usize| Some("x".repeat(n).into_boxed_str());
        let hook = Destination::parse_web("url", "https://e.test/").expect("a valid URL");
        let rows = [
            (Edit::Title(text(501)), "title: must be at most 500 characters"),
            // Control characters reach logs and terminals.
            (Edit::Title(Some("a\0b".into())), "title: must not contain control characters"),
            (Edit::MaxClicks(Some(0)), "maxClicks: must be a whole number, at least 1, or null for no limit"),
            // The first number that JavaScript cannot distinguish from the next.
            (Edit::MaxClicks(Some(1 << 53)), "maxClicks: must be at most 9007199254740991"),
            (Edit::MetaPixelId(Some("1');alert(1);//".into())), "metaPixelId: must be 5 to 20 digits"),
            (
                Edit::GoogleTagId(Some("G-X\"></script>".into())),
                "googleTagId: must be a tag id such as G-ABC123XYZ",
            ),
            (Edit::MaxClicks(Some(u64::MAX)), "maxClicks: must be at most 9007199254740991"),
            (Edit::WebhookUrls(vec![hook.clone(); 6]), "webhookUrls: must be at most 5 URLs"),
            (Edit::WebhookUrls(vec![hook; 2]), "webhookUrls: must not name a URL twice"),
            (Edit::Tags((0..51).map(Id::from_bits).collect()), "tagIds: must be at most 50 tags"),
        ];
        for (edit, want) in rows {
            let error = options().apply(edit).map_err(|e| e.to_string());
            assert_eq!(error.err().as_deref(), Some(want));
        }
    }

    /// The ids become part of a script, and must not be able to end it.
    #[test]
    fn t60_pixels_are_digits_and_capitals() {
        let pixel = |id: &str| options().apply(Edit::MetaPixelId(Some(id.into()))).is_ok();
        for id in ["12345", "123456789012345", "12345678901234567890"] {
            assert!(pixel(id), "{id}");
        }
        for id in [
            "",
            "1234",
            "123456789012345678901",
            // `$` of many regular expressions would accept the line break.
            "12345\n",
            "\n12345",
            " 12345",
            "12345 ",
            "-12345",
            // Rust's own parser of numbers accepts a sign.
            "+12345",
            "1e5123",
            "0x12345",
            "12345'",
            "12345</script>",
            // Digits, but not of ASCII.
            "１２３４５",
            "\u{661}\u{662}\u{663}\u{664}\u{665}",
            "12\u{0}345",
            "1');alert(1);//",
        ] {
            assert!(!pixel(id), "{id:?}");
        }
        let tag = |id: &str| options().apply(Edit::GoogleTagId(Some(id.into()))).is_ok();
        for id in ["G-ABCD", "GT-ABCD1", "AW-12345", "DC-12345", "UA-12345-1", "GTM-ABC1234"] {
            assert!(tag(id), "{id}");
        }
        for id in [
            "",
            "G-",
            "G-ABC",
            "G-ABCDEFGHIJKLMNOPQRSTU",
            "g-abcd",
            "G-abcd",
            "X-ABCD",
            "GABCD",
            "G_ABCD",
            "G-ABCD\n",
            "G-ABCD\r\n",
            " G-ABCD",
            "G-AB CD",
            "G-AB\"CD",
            "G-X\"></script><script>",
            "G-AB\u{c4}D",
            "Ｇ-ABCD",
            // A hyphen, but not that of ASCII.
            "G\u{2010}ABCD",
            // The id becomes a part of a URL as well.
            "G-ABCD&id=x",
            "G-ABCD/../x",
        ] {
            assert!(!tag(id), "{id:?}");
        }
    }

    #[test]
    fn combinations_that_cannot_work_are_rejected() {
        let mut mail = options();
        mail.link_type = LinkType::Mailto;
        assert_eq!(mail.check(), Ok(()));
        mail.cloaked = true;
        assert_eq!(mail.check(), Err(Invalid::new("cloaked", "works only with linkType URL")));
        let mut never = options();
        never.valid_since = Some(at(5));
        never.expires_at = Some(at(5));
        assert_eq!(never.check(), Err(Invalid::new("validSince", "must be before expiresAt")));
    }
}
