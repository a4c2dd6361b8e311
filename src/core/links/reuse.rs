//! `reuse`: a create returns the live link that the workspace has for the destination, if there is one. The table
//! finds it by the destination with its UTM parameters, in the form of the URL parser.
//!
//! Two creates at once may both find none and create two links: a lock or a precondition for each destination
//! would slow down all creates, and two links to one destination do no harm.

use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::view::LinkView;
use crate::model::link::{DomainChoice, Draft, Link, LinkStatus};

/// Most links to one destination that are examined, the newest first. Past it: a link is created.
const EXAMINED_MAX: usize = 100;

impl Links {
    /// Returns the newest live link of the acting workspace with the destination of `draft`, without a password or
    /// rules, on its domain, and with its code or an alias of it if it names them. A draft with a password or rules has none.
    pub async fn reusable(&self, context: &Context, draft: &Draft) -> Result<Option<LinkView>, Error> {
        if !draft.reuse || draft.password.is_some() {
            return Ok(None);
        }
        let wanted = self.shared.prepare(context, draft.clone(), None)?;
        let is_any_domain = matches!(draft.domain, DomainChoice::Default) && wanted.code.is_none();
        let directory = self.directory();
        // A key that may only create must not read what others have created.
        let creator = context.key.map(|key| key.id);
        let is_create_only =
            creator.and_then(|id| directory.key(id)).is_some_and(|key| key.record.create_only);
        drop(directory);
        let (workspace, now) = (context.workspace.number, context.now);
        let target = wanted.options.target();
        self.blocking(move |shared| {
            let fits = |link: &Link| {
                let domain = wanted.domain.record.number;
                let is_there = match &wanted.code {
                    None => is_any_domain || link.domain == domain,
                    Some(code) => {
                        (link.domain, &link.code) == (domain, code)
                            || link.aliases.iter().any(|alias| (alias.domain, &alias.code) == (domain, code))
                    }
                };
                is_there
                    && link.options.link_type == wanted.options.link_type
                    && link.options.password.is_none()
                    // A link that leads some visitors elsewhere is another one, and ids are given when it is written.
                    && link.options.branches().is_empty() && wanted.options.branches().is_empty()
                    && (!is_create_only || link.created_by == creator)
            };
            for link in shared.table.newest_to(workspace, target.as_str(), EXAMINED_MAX, &fits)? {
                let clicks = shared.clicks_of(&link)?;
                if link.options.status(now, clicks) == LinkStatus::Live {
                    return shared.view_of(link, clicks).map(Some);
                }
            }
            Ok(None)
        })
        .await
    }
}
