//! Listeners to the clicks of this moment: who may listen, how many at once, and when it ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::context::Context;
use super::error::Error;
use super::handle::{Core, Links};
use super::tenants::caller::Credential;
use super::tenants::viewer::Viewer;
use crate::analytics::Analytics;
use crate::analytics::live::{LiveListener, LiveMinutes, LiveScope};
use crate::analytics::tick::{LinkRow, link_row, parse_link_row};
use crate::clock::Timestamp;
use crate::fair::FairPermit;
use crate::model::id::Id;

/// Time between two events of a listener.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

/// The links whose clicks a listener gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveLinks {
    /// Those of the acting workspace.
    All,
    /// One, by its id.
    Link(Id),
    /// One of the acting workspace, by its id, its code, or domain and code with a slash between.
    Named(Box<str>),
}

/// What a listener gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveEvent {
    /// Comes first, and at the beginning of each minute.
    Minutes(LiveMinutes),
    /// The clicks since the event before. Comes every second, also without clicks.
    Second(Timestamp, u64),
    /// The last event: the key was revoked or has expired.
    KeyEnded,
    /// The last event: the link was deleted.
    LinkDeleted,
    /// The last event: the server stops.
    Stopped,
}

/// The events of one listener.
#[derive(Debug)]
pub struct LiveStream {
    core: Core,
    listener: LiveListener,
    /// The link, if the listener gets the clicks of one.
    link: Option<LinkRow>,
    /// The number of changes of links up to which `link` is known to exist. `None` before the first look.
    checked: Option<u64>,
    key: Option<Credential>,
    ticks: tokio::time::Interval,
    /// The start of the present minute, `None` before the first event.
    minute: Option<i64>,
    /// Its place among all listeners: see [`super::pools::listeners`].
    _place: FairPermit,
}

impl Links {
    /// Returns the clicks of the acting workspace in each minute of the last hour.
    pub fn live_minutes(&self, context: &Context) -> Result<LiveMinutes, Error> {
        let analytics = self.details()?;
        Ok(analytics.store.live().minutes(context.workspace.number, context.now))
    }

    /// Begins to listen to the clicks of the acting workspace or of one link. Fails with [`Error::NotFound`] if the caller
    /// sees no such link, with [`Error::Rule`] if its workspace has none of this name, and with [`Error::Busy`] past the
    /// share of its tenant.
    pub async fn listen(&self, context: &Context, links: LiveLinks) -> Result<LiveStream, Error> {
        let analytics = self.details()?;
        let place = self.shared.listeners.try_acquire(&context.tenant, 1).ok_or(Error::Busy)?;
        let scope = match links {
            LiveLinks::All => LiveScope::Workspace(context.workspace.number),
            LiveLinks::Named(text) => {
                let asking = context.clone();
                let find = move |shared: &super::shared::Shared| shared.link_named(&asking, &text);
                LiveScope::Link(self.blocking(find).await?)
            }
            LiveLinks::Link(id) => {
                let viewer = Viewer::of(context);
                let find = move |shared: &super::shared::Shared| {
                    let owner = shared.workspace_in_sight(&viewer, id)?;
                    shared.table.link_by_id(owner, id)?.ok_or(Error::NotFound("link"))?;
                    Ok(owner)
                };
                LiveScope::Link(link_row(self.blocking(find).await?, id))
            }
        };
        let mut ticks = tokio::time::interval(EVENT_INTERVAL);
        // A client that reads slowly gets the sum of the seconds that it missed.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Ok(LiveStream {
            core: Core::clone(self),
            link: if let LiveScope::Link(row) = scope { Some(row) } else { None },
            checked: None,
            listener: analytics.store.live().listen(scope, context.now),
            key: context.key,
            ticks,
            minute: None,
            _place: place,
        })
    }

    fn details(&self) -> Result<&Analytics, Error> {
        self.shared.check_details()?;
        self.shared.analytics.as_deref().ok_or(Error::NotFound("analytics"))
    }
}

impl LiveStream {
    /// Returns whether the link of the listener was deleted.
    async fn is_link_gone(&mut self) -> bool {
        let Some((workspace, id)) = self.link.and_then(|row| parse_link_row(&row)) else { return false };
        // Before the read: a change in between is looked at in the next second.
        let changes = self.core.shared.link_changes.load(Ordering::Acquire);
        if self.checked == Some(changes) {
            return false;
        }
        // On a thread that may block: a stream runs on one that serves redirects.
        let found = self.core.blocking(move |shared| Ok(shared.table.link_by_id(workspace, id)?)).await;
        // A table that fails now is asked again.
        self.checked = found.is_ok().then_some(changes);
        matches!(found, Ok(None))
    }

    /// Waits for the next events. Nothing follows [`LiveEvent::KeyEnded`], [`LiveEvent::LinkDeleted`] and
    /// [`LiveEvent::Stopped`].
    pub async fn next(&mut self) -> Vec<LiveEvent> {
        tokio::select! {
            // The stop first: a client that lags has a tick at once.
            biased;
            () = self.listener.closed() => return vec![LiveEvent::Stopped],
            _ = self.ticks.tick() => {}
        }
        // Each second, since a connection may be open for days.
        if self.core.shared.check_key(self.key).is_err() {
            return vec![LiveEvent::KeyEnded];
        }
        if self.is_link_gone().await {
            return vec![LiveEvent::LinkDeleted];
        }
        let now = self.core.shared.clock.now();
        let minute = now.as_millis().div_euclid(60_000);
        let mut events = Vec::with_capacity(2);
        let is_first = self.minute.is_none();
        if self.minute.replace(minute) != Some(minute) {
            events.push(LiveEvent::Minutes(self.listener.minutes(now)));
        }
        let clicks = self.listener.take();
        // What came before the first event is in its minutes.
        if !is_first {
            events.push(LiveEvent::Second(now, clicks));
        }
        events
    }
}
