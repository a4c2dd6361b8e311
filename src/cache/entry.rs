//! [`Entry`]: a link compiled for the redirect path when it is loaded. A plain redirect is a ready `Location`
//! and a status. A link that depends on the visitor or the clock is evaluated for each click. A link that differs for
//! crawlers of link previews alone is a plain redirect, and their visits read its record.
//!
//! Entries are small and inline, not behind pointers, since the cache has as many as fit its memory. A plain
//! link takes 80 bytes here, 80 for its `Location` (60 bytes of text and a reference count), 64 for its
//! counter, and some 25 in the two tables that find entry and counter.

use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::branching::CompiledBranches;
use super::code::{Code, allocated};
use crate::agents::Agent;
use crate::clicks::counter::Counter;
use crate::model::custom_values::Unfilled;
use crate::model::destination::{Destination, LinkType};
use crate::model::domain::DomainNumber;
use crate::model::link::{Link, Options};

/// A cached link. A clone lets a task use the link longer than the look-up holds the lock.
#[derive(Debug)]
pub struct Entry {
    /// The domain of the link.
    pub domain: DomainNumber,
    /// The code of the link on its domain.
    pub code: Code,
    /// The live counter, shared with all earlier entries of the link.
    pub counter: Arc<Counter>,
    /// The effect of a click.
    pub action: Action,
    /// Whether the details of clicks are captured: link and workspace have statistics.
    // Compiled and not looked up: a click pays one test of a byte beside the others.
    pub has_details: bool,
    /// Used since the hand of the eviction clock last passed.
    // Atomic: hits set it under the read lock of the shard.
    visited: AtomicBool,
}

/// The effect of a click.
#[derive(Clone, Debug)]
pub enum Action {
    /// Redirects every visitor alike, at any time.
    Redirect {
        /// 301, 302, 307 or 308.
        status: StatusCode,
        /// The `Location` header.
        location: HeaderValue,
        /// Whether clicks of bots count.
        count_bots: bool,
        /// Whether crawlers of link previews get a page, from the record of the link: see [`Entry::needs_record`].
        has_preview: bool,
    },
    /// Evaluates each click by the rules in `visit`.
    // In an `Arc`, unlike a redirect: it is large, and few links need it.
    Evaluate(Arc<Conditional>),
}

/// A link whose clicks are evaluated one by one.
#[derive(Debug)]
pub struct Conditional {
    /// The link.
    pub link: Link,
    /// The possible destinations. The choosing stage of a visit picks one.
    pub targets: Targets,
    /// The rules of the link.
    pub branches: CompiledBranches,
    /// Whether a target may be a URL of this server, so that a visit must check for a loop.
    pub leads_here: bool,
    /// Whether a target was on the deny list when the link was compiled. The visit consults the list of its time.
    pub is_denied: bool,
}

impl Conditional {
    /// Compiles a link that leads to one of `targets`: those of [`Options::destinations`], in their order.
    pub fn compile(link: Link, targets: Targets, guards: Guards) -> Conditional {
        let Guards { leads_here, is_denied } = guards;
        let branches = CompiledBranches::compile(&link.options);
        Conditional { link, targets, branches, leads_here, is_denied }
    }
}

/// Why the clicks of a link are never plain, beside its options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of `Conditional`.
pub struct Guards {
    pub leads_here: bool,
    pub is_denied: bool,
}

/// A destination with its UTM parameters and custom values filled in, or the reason why that failed.
pub type Target = Result<Destination, Unfilled>;

/// All targets of a link, never empty. The first is its own `url`.
#[derive(Clone, Debug)]
pub struct Targets(Box<[Target]>);

impl Targets {
    /// Creates the targets of a link whose `url` compiles to `first`.
    pub fn new(first: Target, others: impl IntoIterator<Item = Target>) -> Targets {
        Targets(std::iter::once(first).chain(others).collect())
    }

    /// Returns the target of the link's own `url`.
    pub fn first(&self) -> &Target {
        &self.0[0]
    }

    /// Returns the target at index `at`, or the first if there is no such index.
    pub fn at(&self, at: usize) -> &Target {
        self.0.get(at).unwrap_or_else(|| self.first())
    }

    /// Returns all destinations, without the targets that failed to compile.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.0.iter().flatten()
    }

    /// Returns the bytes of the list and of its texts.
    fn bytes(&self) -> usize {
        self.0.iter().map(|target| target.as_ref().map_or(64, |to| to.as_str().len())).sum::<usize>()
            + size_of_val(&*self.0)
    }
}

impl From<Target> for Targets {
    fn from(only: Target) -> Targets {
        Targets::new(only, [])
    }
}

impl Clone for Entry {
    fn clone(&self) -> Entry {
        Entry {
            domain: self.domain,
            code: self.code.clone(),
            counter: Arc::clone(&self.counter),
            action: self.action.clone(),
            has_details: self.has_details,
            // Unmarked: a link that is loaded and not used again is evicted first.
            visited: AtomicBool::new(false),
        }
    }
}

impl Entry {
    /// Compiles a link that leads to one of `targets`.
    pub fn compile(link: Link, counter: Arc<Counter>, targets: impl Into<Targets>) -> Entry {
        Entry::compile_guarded(link, counter, targets, Guards::default())
    }

    /// Like [`Entry::compile`]. With a guard, the clicks are never plain, since each must be checked.
    pub fn compile_guarded(
        link: Link,
        counter: Arc<Counter>,
        targets: impl Into<Targets>,
        guards: Guards,
    ) -> Entry {
        let (targets, has_details) = (targets.into(), link.options.statistics);
        let (domain, code) = (link.domain, Code::new(link.code.as_str()));
        let action = match &*targets.0 {
            // One valid target only: among several, the click decides, and a failed one has no `Location`.
            [Ok(target)] if guards == Guards::default() && is_plain(&link.options) => Action::Redirect {
                status: StatusCode::from_u16(link.options.status.code())
                    .expect("a redirect's status is valid"),
                location: header(target),
                count_bots: link.options.count_bots,
                has_preview: link.options.has_preview(),
            },
            _ => Action::Evaluate(Arc::new(Conditional::compile(link, targets, guards))),
        };
        Entry { domain, code, counter, action, has_details, visited: AtomicBool::new(false) }
    }

    /// Returns the entry of a link whose workspace has statistics or not.
    #[must_use]
    pub fn in_workspace(self, has_statistics: bool) -> Entry {
        Entry { has_details: self.has_details && has_statistics, ..self }
    }

    /// Returns the entry for a look-up of this code, which is the link's own or an alias.
    #[must_use]
    pub fn at(self, domain: DomainNumber, code: &str) -> Entry {
        if (self.domain, self.code.as_str()) == (domain, code) {
            return self;
        }
        Entry { domain, code: Code::new(code), ..self }
    }

    /// Returns whether the link may lead to `host`, which was not a host of this server when the link was
    /// compiled. Also true for some links that only mention the host.
    pub fn mentions(&self, host: &str) -> bool {
        let is_in = |url: &Destination| url.as_str().contains(host);
        match &self.action {
            // Bytes: `HeaderValue::to_str` would check each of them first. A plain link never expires, so its
            // `expired_url` is not followed.
            Action::Redirect { location, .. } => {
                memchr::memmem::find(location.as_bytes(), host.as_bytes()).is_some()
            }
            Action::Evaluate(conditional) => {
                conditional.targets.destinations().any(is_in)
                    || conditional.link.options.expired_url.as_ref().is_some_and(is_in)
            }
        }
    }

    /// Returns whether a visit of this kind must read the link from the table. Few visits are of crawlers of link
    /// previews, and many links have a title: a record in memory would take four times the bytes of the redirect.
    pub fn needs_record(&self, agent: Agent) -> bool {
        matches!(self.action, Action::Redirect { has_preview: true, .. }) && agent == Agent::Preview
    }

    /// Returns the entry with the record of its link, for a visit that needs it. It is too large for the cache.
    #[must_use]
    pub fn with_record(self, record: Conditional) -> Entry {
        Entry { action: Action::Evaluate(Arc::new(record)), ..self }
    }

    /// Returns whether the link was compiled as one with a target on the deny list.
    pub fn is_denied(&self) -> bool {
        matches!(&self.action, Action::Evaluate(conditional) if conditional.is_denied)
    }

    /// Returns whether a target of the link is one for which `is_it` returns true.
    pub fn leads_to(&self, is_it: impl Fn(&Destination) -> bool) -> bool {
        match &self.action {
            Action::Redirect { location, .. } => {
                location.to_str().is_ok_and(|text| is_it(&Destination::from_stored(text.into())))
            }
            Action::Evaluate(conditional) => conditional.targets.destinations().any(is_it),
        }
    }

    /// Marks the entry as used. Writes only if it is not marked, so that the cache line of a hot entry stays
    /// shared between cores.
    pub(crate) fn touch(&self) {
        if !self.visited.load(Ordering::Relaxed) {
            self.visited.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether the entry was used since the last call.
    pub(super) fn take_visited(&self) -> bool {
        self.visited.swap(false, Ordering::Relaxed)
    }

    /// Returns the bytes of memory that the entry takes, with its part of the tables. The budget of the cache
    /// is in bytes, not entries, since a destination may have 60 bytes or 8,000.
    pub fn weight(&self) -> usize {
        // 5 bytes in the shard's table and 9 in the registry of counters. The tables are two thirds full:
        // half way between two doublings.
        const FIXED: usize = size_of::<Entry>() + (5 + 9) * 3 / 2;
        let texts = match &self.action {
            Action::Redirect { location, .. } => allocated(REFERENCE_COUNT + location.len()),
            Action::Evaluate(conditional) => link_bytes(conditional),
        };
        // Two counts, of the `Arc` and of its weak references. The counter is charged here, since the
        // registry has no budget of its own for counters with an entry.
        FIXED + allocated(2 * REFERENCE_COUNT + size_of::<Counter>()) + self.code.allocated() + texts
    }
}

/// Bytes of a reference count, in each shared text and `Arc`.
const REFERENCE_COUNT: usize = size_of::<usize>();

/// Returns the `Location` of a redirect.
fn header(target: &Destination) -> HeaderValue {
    HeaderValue::from_maybe_shared(shared(target.as_str())).expect("a destination is visible ASCII")
}

/// Returns the text as `Bytes` in one allocation with their reference count. `Bytes::copy_from_slice` takes
/// two allocations, 32 bytes more. Sizes follow the allocator's steps, up to the length of nearly all URLs.
fn shared(text: &str) -> Bytes {
    match text.len() {
        0..=16 => inline::<16>(text),
        17..=32 => inline::<32>(text),
        33..=48 => inline::<48>(text),
        49..=64 => inline::<64>(text),
        65..=80 => inline::<80>(text),
        81..=96 => inline::<96>(text),
        97..=112 => inline::<112>(text),
        113..=128 => inline::<128>(text),
        // Few URLs are that long, and the second allocation is small beside their text.
        _ => Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn inline<const N: usize>(text: &str) -> Bytes {
    let mut bytes = [0; N];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    let mut bytes = Bytes::from_owner(bytes);
    // The allocation keeps the size of the array: a smaller one would need a copy.
    bytes.truncate(text.len());
    bytes
}

/// Returns whether every click on a link with these options has the same effect, but for crawlers of link previews.
/// Every option is named, so that a new one does not compile until it is judged here: a forgotten option would never be
/// applied.
fn is_plain(options: &Options) -> bool {
    let Options {
        destination,
        link_type,
        is_active,
        cloaked,
        password,
        valid_since,
        expires_at,
        max_clicks,
        forward_parameters,
        forward_path,
        block_bots,
        meta_pixel_id,
        google_tag_id,
        gtm_container_id,
        skip_social_crawler_tracking,
        confirm,
        hide_referrer,
        count_pixel,
        webhook_urls,
        rules,
        // For previews, whose visits read the record: `Options::has_preview`.
        title: _,
        description: _,
        image: _,
        head_tags: _,
        // In the entry itself.
        status: _,
        count_bots,
        // In the entry itself, for both actions.
        statistics: _,
        // In the target.
        utm: _,
        // Applies only to a link that has expired or is used up, which is not plain.
        expired_url: _,
        // On pages only, and a plain link has none.
        body_tags: _,
        tags: _,
        campaign: _,
        notes: _,
    } = options;
    let has_limit = valid_since.is_some() || expires_at.is_some() || max_clicks.is_some();
    let has_pixels = meta_pixel_id.is_some() || google_tag_id.is_some() || gtm_container_id.is_some();
    let has_page = *cloaked || *confirm || password.is_some() || has_pixels;
    let skips_previews = *count_bots && *skip_social_crawler_tracking;
    let depends_on_visitor = *forward_parameters || *forward_path || *block_bots || skips_previews;
    // Not plain, so that the cache has its record: it is compiled again when the workspace's values change.
    let is_fillable = destination.is_fillable();
    *is_active
        && *link_type == LinkType::Url
        && !has_limit
        && !has_page
        && !*hide_referrer
        // Without effect on clicks of the short URL, but the image needs the options.
        && !*count_pixel
        && !depends_on_visitor
        && !is_fillable
        && webhook_urls.is_empty()
        // Without a rule, the link may still have the numbers of those that it had.
        && rules.as_ref().is_none_or(|rules| rules.list.is_empty())
}

/// Bytes charged for a password's hash, UTM values, the campaign's id and the allocator's part of each text.
const ALLOWANCE: usize = 128;

/// Returns the bytes that a link takes outside its entry. Every option is named, so that a new one does not
/// compile until it is counted here.
fn link_bytes(conditional: &Conditional) -> usize {
    let Options {
        destination,
        title,
        description,
        image,
        expired_url,
        meta_pixel_id,
        google_tag_id,
        head_tags,
        body_tags,
        webhook_urls,
        tags,
        notes,
        rules,
        // Rare, and included in `ALLOWANCE`.
        password: _,
        utm: _,
        campaign: _,
        gtm_container_id: _,
        // In the record itself.
        link_type: _,
        status: _,
        is_active: _,
        cloaked: _,
        valid_since: _,
        expires_at: _,
        max_clicks: _,
        forward_parameters: _,
        forward_path: _,
        block_bots: _,
        count_bots: _,
        skip_social_crawler_tracking: _,
        confirm: _,
        hide_referrer: _,
        count_pixel: _,
        statistics: _,
    } = &conditional.link.options;
    let texts = [title, description, notes, meta_pixel_id, google_tag_id];
    let urls = [image, expired_url];
    size_of::<Conditional>()
        + destination.as_str().len()
        + conditional.targets.bytes()
        + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
        + urls.into_iter().flatten().map(|url| url.as_str().len()).sum::<usize>()
        + [head_tags, body_tags].into_iter().flatten().map(|tags| tags.as_str().len()).sum::<usize>()
        + webhook_urls.iter().map(|url| url.as_str().len() + 16).sum::<usize>()
        // As stored, and compiled.
        + rules.as_ref().map_or(0, |rules| 3 * rules.bytes())
        + tags.len() * 16
        + ALLOWANCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::destination::ExtraSchemes;
    use crate::model::id::Id;
    use crate::model::link::sample::{self, plain, url};
    use crate::model::link::{Edit, PasswordHash, RedirectStatus};

    #[test]
    fn texts_of_all_lengths_read_back() {
        // Past the largest array, so that both ways of `shared` are read.
        for length in 0..300 {
            let text: String = ('!'..='~').cycle().take(length).collect();
            assert_eq!(shared(&text), text.as_bytes(), "{length}");
        }
    }

    fn entry(options: Options) -> Entry {
        let link = sample::link(7, "a", options);
        let target = Ok(link.options.target());
        Entry::compile(link, Arc::new(Counter::new(Id::from_bits(7), 0)), target)
    }

    /// Returns a plain link's options after one edit.
    fn edited(edit: Edit) -> Options {
        let mut options = plain();
        options.apply(edit).expect("valid");
        options
    }

    #[test]
    fn a_plain_link_is_a_ready_redirect() {
        // None of these depends on the visitor or the clock.
        let edits = [
            Edit::Status(RedirectStatus::PermanentRedirect),
            Edit::CountBots(true),
            Edit::UtmSource(Some("mail".into())),
            Edit::ExpiredUrl(Some(url("https://e.test/over"))),
            Edit::Tags(vec![Id::from_bits(1)]),
            Edit::Notes(Some("a note".into())),
        ];
        for edit in edits {
            let row = format!("{edit:?}");
            let options = edited(edit);
            let (code, counts, target) = (options.status.code(), options.count_bots, options.target());
            let Action::Redirect { status, location, count_bots, has_preview } = entry(options).action else {
                panic!("{row}: conditional at the click");
            };
            assert!(!has_preview, "{row}");
            assert_eq!((status.as_u16(), count_bots), (code, counts), "{row}");
            assert_eq!(location, target.as_str(), "{row}");
        }
    }

    #[test]
    fn only_crawlers_of_previews_need_the_record_of_a_link_with_a_title() {
        let edits = [
            Edit::Title(Some("a title".into())),
            Edit::Description(Some("a description".into())),
            Edit::Image(Some(url("https://e.test/i.png"))),
            Edit::HeadTags(Some("<meta name='a' content='b'>".into())),
        ];
        for edit in edits {
            let (row, options) = (format!("{edit:?}"), edited(edit));
            let (small, bare) = (entry(options.clone()), entry(plain()));
            let kinds = [Agent::Person, Agent::Bot, Agent::Preview];
            assert_eq!(kinds.map(|kind| small.needs_record(kind)), [false, false, true], "{row}");
            assert_eq!(small.weight(), bare.weight(), "{row}: no text of the preview is in memory");
            let targets = Ok(options.target()).into();
            let record = Conditional::compile(sample::link(7, "a", options), targets, Guards::default());
            let whole = small.with_record(record);
            assert!(
                matches!(whole.action, Action::Evaluate(_)) && !whole.needs_record(Agent::Preview),
                "{row}"
            );
        }
        assert!(!entry(plain()).needs_record(Agent::Preview), "nothing to show");
    }

    #[test]
    fn options_that_depend_on_visitor_or_clock_are_evaluated() {
        let now = Timestamp::from_millis(0);
        let text = "https://e.test/{{custom_values.page}}";
        let fillable = Destination::parse_fillable("url", text, LinkType::Url, &ExtraSchemes::default());
        let fillable = fillable.expect("valid");
        let edits = [
            Edit::LinkType(LinkType::Mailto),
            Edit::IsActive(false),
            Edit::Cloaked(true),
            Edit::Password(Some(PasswordHash::from_stored("$argon2id$".into()))),
            Edit::ValidSince(Some(now.into())),
            Edit::ExpiresAt(Some(now.into())),
            Edit::MaxClicks(Some(1)),
            Edit::ForwardParameters(true),
            Edit::ForwardPath(true),
            Edit::BlockBots(true),
            Edit::MetaPixelId(Some("12345".into())),
            Edit::GoogleTagId(Some("G-ABC123".into())),
            Edit::WebhookUrls(vec![url("https://e.test/hook")]),
            Edit::Destination(fillable),
        ];
        for edit in edits {
            let row = format!("{edit:?}");
            assert!(matches!(entry(edited(edit)).action, Action::Evaluate(_)), "{row}");
        }
        let unfilled = Err(Unfilled::Unknown("page".into()));
        let Action::Evaluate(conditional) = entry(edited(Edit::Cloaked(true))).action else {
            panic!("cloaked")
        };
        let unfilled =
            Entry::compile(conditional.link.clone(), Arc::new(Counter::new(Id::from_bits(7), 0)), unfilled);
        assert!(matches!(unfilled.action, Action::Evaluate(_)));
        let (target, counter) = (Ok(plain().target()), Arc::new(Counter::new(Id::from_bits(7), 0)));
        let two = Targets::new(target.clone(), [target.clone()]);
        let link = Link { options: plain(), ..conditional.link.clone() };
        let chosen = Entry::compile(link, Arc::clone(&counter), two);
        assert!(matches!(chosen.action, Action::Evaluate(_)), "one of two is chosen at the click");
        let mut link = conditional.link.clone();
        link.options = plain();
        for (guards, why) in [
            (Guards { leads_here: true, is_denied: false }, "each click is checked for a loop"),
            (Guards { leads_here: false, is_denied: true }, "each click is checked against the deny list"),
        ] {
            let guarded = Entry::compile_guarded(link.clone(), Arc::clone(&counter), target.clone(), guards);
            assert!(matches!(guarded.action, Action::Evaluate(_)), "{why}");
            assert_eq!(guarded.is_denied(), guards.is_denied);
        }
    }

    /// A cache of links with long texts stays within its budget.
    #[test]
    fn an_evaluated_link_weighs_its_texts() {
        const LONG: usize = 1_000;
        let text = || Some("x".repeat(LONG).into_boxed_str());
        let long = || url(&format!("https://e.test/{}", "x".repeat(LONG)));
        let weight = |edits: Vec<Edit>| {
            // Not plain: a plain link keeps none of these texts.
            let mut options = edited(Edit::Cloaked(true));
            for edit in edits {
                match edit {
                    // Beyond what an edit may set; the weight does not depend on that.
                    Edit::Title(text) => options.title = text,
                    Edit::MetaPixelId(text) => options.meta_pixel_id = text,
                    Edit::GoogleTagId(text) => options.google_tag_id = text,
                    edit => options.apply(edit).expect("valid"),
                }
            }
            entry(options).weight()
        };
        let bare = weight(vec![]);
        assert!((500..1_000).contains(&bare), "{bare}");
        let edits = [
            ("title", 1, Edit::Title(text())),
            ("description", 1, Edit::Description(text())),
            ("notes", 1, Edit::Notes(text())),
            ("metaPixelId", 1, Edit::MetaPixelId(text())),
            ("googleTagId", 1, Edit::GoogleTagId(text())),
            ("image", 1, Edit::Image(Some(long()))),
            ("expiredUrl", 1, Edit::ExpiredUrl(Some(long()))),
            ("webhookUrls", 1, Edit::WebhookUrls(vec![long()])),
            // As it was stored, and as it is followed.
            ("url", 2, Edit::Destination(long())),
        ];
        for (field, times, edit) in edits {
            let more = weight(vec![edit]) - bare;
            assert!((times * LONG..times * LONG + 64).contains(&more), "{field}: {more}");
        }
        let tags = (0..50).map(Id::from_bits).collect();
        assert_eq!(weight(vec![Edit::Tags(tags)]) - bare, 50 * size_of::<Id>(), "tags");
    }

    #[test]
    fn take_visited_clears_the_mark() {
        let entry = entry(plain());
        assert!(!entry.take_visited());
        entry.touch();
        entry.touch();
        assert!(!entry.clone().take_visited(), "of the other one");
        assert!(entry.take_visited() && !entry.take_visited());
    }

    /// The base of the cache budget, and of the number of links in the documentation.
    #[test]
    fn a_plain_link_takes_these_bytes() {
        assert_eq!((size_of::<Entry>(), size_of::<Counter>()), (80, 40));
        assert_eq!([24, 25, 40, 41].map(allocated), [32, 48, 48, 64]);
    }
}
