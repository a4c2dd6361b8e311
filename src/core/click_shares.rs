//! Shares of statistics: each shows the clicks of one link, or of the links of one tag, to visitors who know its id.
//! Their ids, their links and the checks of their passwords are those of [`super::snapshots::share`] and of links.

use std::time::Instant;

use jiff::tz::TimeZone;

use super::analytics::{About, AnalyticsQuery, AnalyticsView, DEADLINE};
use super::commit::{ATTEMPTS, Committed, Effect};
use super::context::Context;
use super::error::Error;
use super::handle::Links;
use super::history::notes::AuditNote;
use super::period::Period;
use super::shared::Shared;
use super::tenants::caps::{Capped, Creating};
use super::tenants::viewer::Viewer;
use crate::analytics::query::facet::Facet;
use crate::analytics::query::question::{Breakdown, Visits};
use crate::analytics::values::UtmName;
use crate::log::Position;
use crate::model::audit::{AuditAct, SubjectKind};
use crate::model::click_share::{ClickShare, ClickShareDraft, ClickSharePatch, SharedClicks};
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::tag::Tag;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::{ShareRecord, Stored, StoredOutcome};
use crate::table::{Found, keys};

/// Most shares of one workspace, as of snapshots: a list returns all of them. Past it, creations are forbidden.
pub const CLICK_SHARES_MAX: usize = 1_000;

/// Rows of a table of a page. The rest is one more row.
const PAGE_ROWS: usize = 10;

/// Most rows by time of a page: the months of 100 years.
const PAGE_TIMES: usize = 1_300;

/// A share of statistics and its link.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The type has the doc.
pub struct ClickShareView {
    pub share: ClickShare,
    /// The link that opens the share's page.
    pub url: String,
}

/// What a page of statistics is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The type has the doc.
pub enum SharedTitle {
    Link {
        title: Option<Box<str>>,
        /// Its short URL.
        url: Box<str>,
    },
    /// The name of a tag.
    Tag(Box<str>),
}

/// The content of a page of statistics.
#[derive(Clone, Debug)]
pub struct SharedStatistics {
    /// What the page is about.
    pub title: SharedTitle,
    /// The tables, the first one by time.
    pub tables: Vec<AnalyticsView>,
}

impl From<SharedClicks> for About {
    fn from(of: SharedClicks) -> About {
        match of {
            SharedClicks::Link(id) => About::Link(id),
            SharedClicks::Tag(id) => About::Tag(id),
        }
    }
}

impl Links {
    /// Shares the statistics of a link or tag. Fails with [`Error::NotFound`] if the caller sees no such object.
    pub async fn share_clicks(
        &self,
        context: &Context,
        draft: ClickShareDraft,
    ) -> Result<ClickShareView, Error> {
        self.shared.check_details()?;
        let expires_at = draft.end(context.now)?;
        let (viewer, of) = (Viewer::of(context), draft.of);
        // Kept until the Change is applied, so that the cap holds for concurrent creations.
        let (workspace, _creating) = self
            .blocking(move |shared| {
                let workspace = match of {
                    SharedClicks::Link(id) => shared.workspace_in_sight(&viewer, id)?,
                    SharedClicks::Tag(_) => viewer.acting,
                };
                shared.title_of(workspace, of)?;
                Ok((workspace, shared.announce_click_share(workspace)?))
            })
            .await?;
        // After the checks: a hash takes some 20 ms of a core.
        let (password, timezone) = (self.hash(context, draft.password).await?, draft.timezone);
        let mut made = None;
        let committed = self
            .commit_new(context, |next_id| {
                let id = next_id();
                let created_at = context.now;
                let share = ClickShare { id, workspace, of, password, expires_at, created_at, timezone };
                let mut effect = Effect::default();
                // Without the revision of the link: the share of a link that is deleted at this moment shows nothing.
                effect.create(keys::share(id), ShareRecord::Clicks(share.clone()).encode());
                effect.note(note(&share, AuditAct::Create));
                effect.store_outcome(context.claim, context.now, || StoredOutcome::Share(id));
                made = Some(share);
                effect
            })
            .await?;
        match (committed, made) {
            (Committed::Done, Some(share)) => {
                self.blocking(move |shared| shared.click_share_view(share)).await
            }
            // A repetition was faster: a retry finds its outcome.
            _ => Err(Error::Busy),
        }
    }

    /// Returns the shares of the acting workspace that show something, the newest first.
    pub async fn click_shares(&self, context: &Context) -> Result<Vec<ClickShareView>, Error> {
        let (workspace, now) = (context.workspace.number, context.now);
        self.scanning(&context.tenant, move |shared, cancel| {
            let mut views = Vec::new();
            for share in shared.table.click_shares_of(workspace)?.into_iter().rev() {
                if cancel.is_set() {
                    // The caller does not wait any longer.
                    return Err(Error::Busy);
                }
                if shared.is_open(&share, now.as_millis())? {
                    views.push(shared.click_share_view(share)?);
                }
            }
            Ok(views)
        })
        .await
    }

    /// Changes a share of a workspace within the caller's reach. One that has ended is not found.
    pub async fn update_click_share(
        &self,
        context: &Context,
        id: Id,
        patch: ClickSharePatch,
    ) -> Result<ClickShareView, Error> {
        let ClickSharePatch { password, timezone, expires_at } = patch;
        // Before the hash, which takes some 20 ms of a core.
        self.reached_share(context, id).await?;
        let password = match password {
            Some(password) => Some(self.hash(context, password).await?),
            None => None,
        };
        for _ in 0..ATTEMPTS {
            let (revision, mut share) = self.reached_share(context, id).await?;
            let now = context.now.as_millis();
            let seen = share.clone();
            if !self.blocking(move |shared| shared.is_open(&seen, now)).await? {
                return Err(Error::NotFound("share"));
            }
            share.password = password.clone().unwrap_or(share.password);
            // Before the end, whose date is one of this zone.
            share.timezone = timezone.clone().unwrap_or(share.timezone);
            if let Some(end) = expires_at {
                let zone = || share.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
                let end = end.map(|end| end.within(|| zone().unwrap_or(TimeZone::UTC)));
                share.expires_at = ClickShare::end(end, context.now)?;
            }
            let mut effect = Effect::default();
            effect.replace(keys::share(id), revision, ShareRecord::Clicks(share.clone()).encode());
            effect.note(note(&share, AuditAct::Edit));
            if let Committed::Done = self.commit(context, effect).await? {
                return self.blocking(move |shared| shared.click_share_view(share)).await;
            }
        }
        Err(Error::Busy)
    }

    /// Revokes a share of a workspace within the caller's reach.
    pub async fn revoke_click_share(&self, context: &Context, id: Id) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let (revision, share) = self.reached_share(context, id).await?;
            let mut effect = Effect::default();
            effect.remove(keys::share(id), revision);
            effect.note(note(&share, AuditAct::Delete));
            if let Committed::Done = self.commit(context, effect).await? {
                return Ok(());
            }
        }
        Err(Error::Busy)
    }

    /// Returns a share of a workspace within the caller's reach, and its revision.
    async fn reached_share(&self, context: &Context, id: Id) -> Result<(Position, ClickShare), Error> {
        let found = self.record::<ShareRecord>(keys::share(id)).await?;
        let Some(Found { revision, record: ShareRecord::Clicks(share) }) = found else {
            return Err(Error::NotFound("share"));
        };
        // The same error as for an unknown share.
        if !Viewer::of(context).reaches(&self.directory(), share.workspace) {
            return Err(Error::NotFound("share"));
        }
        Ok((revision, share))
    }

    /// Returns a share that shows something, at an address on a domain. `None`: there is none, its time is over, what it
    /// shows was deleted, or it is of no link on this domain and not on the default one.
    pub async fn click_share(&self, id: Id, domain: DomainNumber) -> Result<Option<ClickShare>, Error> {
        let now = self.clock().now().as_millis();
        self.blocking(move |shared| {
            let found = shared.table.get::<ShareRecord>(&keys::share(id))?;
            let Some(Found { record: ShareRecord::Clicks(share), .. }) = found else { return Ok(None) };
            let is_here = domain == DomainNumber::DEFAULT || shared.domain_of_share(&share)? == domain;
            Ok((is_here && shared.is_open(&share, now)?).then_some(share))
        })
        .await
    }

    /// Returns the statistics of a share. The scan is charged to its workspace. Fails like [`Links::analytics`].
    pub async fn shared_statistics(
        &self,
        share: &ClickShare,
        period: Period,
        zone: TimeZone,
    ) -> Result<SharedStatistics, Error> {
        self.shared.check_details()?;
        let (tenant, now) = (self.shared.tenant_of_workspace(share.workspace), self.clock().now());
        let (workspace, of) = (share.workspace, share.of);
        self.computing_for_visitor(&tenant, move |shared, cancel| {
            let end = Instant::now() + DEADLINE;
            // Again: the link may have been deleted while the page waited.
            let title = shared.title_of(workspace, of)?;
            let asked = shared.links_within(workspace, &of.into())?;
            let query = AnalyticsQuery {
                about: of.into(),
                period,
                zone,
                granularity: None,
                visits: Visits::Counted,
                filters: Vec::new(),
                named: Vec::new(),
                // Of an answer with one table.
                by: vec![Facet::Time],
                limit: PAGE_TIMES,
                offset: 0,
                compares: false,
            };
            let stops = || cancel.is_set() || Instant::now() > end;
            let tables = shared.answer(now, asked, &query, tables_of(of), &stops)?;
            Ok(SharedStatistics { title, tables })
        })
        .await
    }
}

/// Returns the tables of a page.
fn tables_of(of: SharedClicks) -> Vec<Breakdown> {
    let by = |facet, limit| Breakdown { by: vec![facet], limit, offset: 0 };
    let facets = [
        Facet::Link,
        Facet::Referrer,
        Facet::Country,
        Facet::Device,
        Facet::Browser,
        Facet::Os,
        Facet::Language,
        Facet::Utm(UtmName::Source),
        Facet::Utm(UtmName::Campaign),
        Facet::Trigger,
    ];
    // The links of a tag are told apart, a link alone needs no table of itself.
    let is_shown = |facet: &Facet| *facet != Facet::Link || matches!(of, SharedClicks::Tag(_));
    let by_facet = facets.into_iter().filter(is_shown).map(|facet| by(facet, PAGE_ROWS));
    std::iter::once(by(Facet::Time, PAGE_TIMES)).chain(by_facet).collect()
}

impl Shared {
    pub(super) fn click_share_view(&self, share: ClickShare) -> Result<ClickShareView, Error> {
        let domain = self.domain_of_share(&share)?;
        let directory = self.directory.load();
        let base = directory.domain(domain).map(|domain| self.site.base_of(domain));
        // The domain was deleted a moment ago; the default one opens all shares.
        let base = base.unwrap_or_else(|| self.site.base_url().to_owned());
        Ok(ClickShareView { url: format!("{base}/?share={}", share.id), share })
    }

    /// Returns the domain whose name the address of a share has: that of its link, or the default one.
    fn domain_of_share(&self, share: &ClickShare) -> Result<DomainNumber, Error> {
        let SharedClicks::Link(id) = share.of else { return Ok(DomainNumber::DEFAULT) };
        let link = self.table.link_by_id(share.workspace, id)?;
        Ok(link.map_or(DomainNumber::DEFAULT, |link| link.record.domain))
    }

    /// Returns the title and short URL of a link, or the name of a tag. Fails with [`Error::NotFound`] if the workspace has no such
    /// object.
    fn title_of(&self, workspace: WorkspaceNumber, of: SharedClicks) -> Result<SharedTitle, Error> {
        match of {
            SharedClicks::Link(id) => {
                let link = self.table.link_by_id(workspace, id)?.ok_or(Error::NotFound("link"))?;
                let url = self.short_url_of(&link.record);
                Ok(SharedTitle::Link { title: link.record.options.title, url })
            }
            SharedClicks::Tag(id) => {
                let tag = self.table.get::<Tag>(&keys::tag(workspace, id))?;
                Ok(SharedTitle::Tag(tag.ok_or(Error::NotFound("tag"))?.record.name))
            }
        }
    }

    /// Returns whether a share shows something at `now`, in milliseconds.
    pub(super) fn is_open(&self, share: &ClickShare, now: i64) -> Result<bool, Error> {
        // Workspaces are never removed today, and this must not depend on it.
        if now >= share.expires_at.as_millis() || self.directory.load().workspace(share.workspace).is_none() {
            return Ok(false);
        }
        match self.title_of(share.workspace, share.of) {
            Ok(_) => Ok(true),
            Err(Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a share shows something at `now`, in milliseconds, or will once its deleted link is restored.
    pub(super) fn may_open(&self, share: &ClickShare, now: i64) -> Result<bool, Error> {
        if self.is_open(share, now)? {
            return Ok(true);
        }
        match share.of {
            // By the record alone: a restore in the last moments must not lose its shares.
            SharedClicks::Link(id) if now < share.expires_at.as_millis() => {
                Ok(self.table.holds_key(&keys::tombstone(share.workspace, id))?)
            }
            _ => Ok(false),
        }
    }

    /// Announces a share of a workspace: see [`super::tenants::caps`]. Fails with [`Error::Forbidden`] if the workspace
    /// would have more than [`CLICK_SHARES_MAX`].
    fn announce_click_share(&self, workspace: WorkspaceNumber) -> Result<Creating, Error> {
        let creating = self.caps.announce(Capped::ClickShares(workspace), 1);
        let there = self.table.click_share_count(workspace, CLICK_SHARES_MAX)?;
        let rule = format!("a workspace has at most {CLICK_SHARES_MAX} shares of statistics");
        creating.check(there, CLICK_SHARES_MAX, &rule)?;
        Ok(creating)
    }
}

/// Returns the note for the audit list about a share.
fn note(share: &ClickShare, act: AuditAct) -> AuditNote {
    AuditNote::of(share.workspace, act, SubjectKind::ClickShare, share.id, None)
}
