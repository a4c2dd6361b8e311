//! Undo: a new change that gives a link the options and addresses that it had at another time. It passes all checks of
//! an ordinary change.

use std::sync::Arc;

use super::rewrite::{LinkRewrite, outcome_of_link};
use crate::core::commit::ATTEMPTS;
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::history::notes::{is_as_created, is_same};
use crate::core::history::revisions::{LinkEntries, in_order};
use crate::core::shared::Shared;
use crate::core::tenants::viewer::Viewer;
use crate::core::view::LinkView;
use crate::log::Position;
use crate::model::Invalid;
use crate::model::audit::AuditAct;
use crate::model::id::Id;
use crate::model::link::{Link, Names, Options};
use crate::table::Found;

impl Links {
    /// Undoes the last change of a link, or gives it the state after the revision `to`. An undo is a change as well: a
    /// second one without a revision undoes the first. Fails like [`Links::update`], with [`Error::Changed`] if the
    /// client requires another state of the link, with [`Error::NotFound`] if the link has no such revision, and with
    /// [`Error::FormerCodeTaken`] if another link has a code that this one would get.
    pub async fn undo(&self, context: &Context, id: Id, to: Option<Id>) -> Result<LinkView, Error> {
        for _ in 0..ATTEMPTS {
            // Before the reads: an entry up to here is in the table together with its link.
            let position = self.shared.log.position();
            let (found, entries) = self.with_entries(context, id, position).await?;
            // A Change that is being applied may have its link in the table, and not its entry yet.
            if found.revision > position {
                continue;
            }
            context.object.check(found.revision)?;
            // A copy, since the entries are read again for the next attempt.
            let target = state_after(&found.record, &entries, to)?.clone();
            let mut link = found.record.clone();
            let address = self.shared.readdress_as(&mut link, &target);
            let address = address.map_err(|error| error.of_former_code(false))?;
            self.shared.revert(&mut link, target.options)?;
            let surplus = self.shared.surplus_of(link.workspace, entries.iter().map(|(id, _)| *id));
            let rewrite = LinkRewrite {
                found,
                link,
                address,
                surplus,
                act: Some(AuditAct::Undo),
                outcome: outcome_of_link,
            };
            let rewritten = self.rewrite(context, rewrite, &Names::default()).await;
            if let Some(link) = rewritten.map_err(|error| error.of_former_code(false))? {
                return self.view(link).await;
            }
        }
        Err(Error::Busy)
    }

    /// Returns a link and the entries about it, of a table that has applied `position`.
    async fn with_entries(
        &self,
        context: &Context,
        id: Id,
        position: Position,
    ) -> Result<(Found<Link>, LinkEntries), Error> {
        if !self.shared.table.wait(position).await {
            return Err(Error::NotReady("the table has not applied the last changes yet".to_owned()));
        }
        let viewer = Viewer::of(context);
        self.blocking(move |shared| {
            let workspace = shared.workspace_in_sight(&viewer, id)?;
            let found = shared.table.link_by_id(workspace, id)?.ok_or(Error::NotFound("link"))?;
            let entries = in_order(shared.table.history_of(workspace, id)?);
            Ok((found, entries))
        })
        .await
    }
}

/// Returns the state of a link before its last change, or after a revision.
fn state_after<'a>(link: &Link, entries: &'a LinkEntries, to: Option<Id>) -> Result<&'a Link, Error> {
    // Only changes have the link before them: a deletion and most restores leave it as it was.
    let states = || entries.iter().filter_map(|(_, found)| found.record.before.as_deref());
    let Some(revision) = to else {
        // The states are the same before and after a change of nothing.
        let others = states().rev().find(|before| !is_same(before, link));
        let none = || Invalid::new("link", "there is no change of this link that can be undone");
        return Ok(others.ok_or_else(none)?);
    };
    if revision == link.id {
        let Some(first) = states().next() else {
            return Err(Invalid::new("revision", "is the present state of the link").into());
        };
        // The changes before the oldest entry may have been removed.
        if !is_as_created(first) {
            return Err(Invalid::new("revision", "is no longer kept").into());
        }
        return Ok(first);
    }
    let at = entries.iter().position(|(id, _)| *id == revision).ok_or(Error::NotFound("revision"))?;
    let mut later = entries[at + 1..].iter();
    // Some changes leave the link as it was, such as its deletion.
    let next = later.find_map(|(_, found)| found.record.before.as_deref());
    Ok(next.ok_or_else(|| Invalid::new("revision", "is the present state of the link"))?)
}

impl Shared {
    /// Gives a link other options, which it had before, and checks them as those of a patch.
    fn revert(&self, link: &mut Link, options: Options) -> Result<(), Error> {
        let before = std::mem::replace(&mut link.options, options);
        keep_numbers(&mut link.options, &before);
        let now = &link.options;
        self.check_schemes(now, Some(&before))?;
        // Only new ones: a receiver may have moved into a network that is not allowed, as for a patch.
        if now.webhook_urls != before.webhook_urls {
            self.check_webhooks(now)?;
        }
        Shared::check_options(now)?;
        // The server may have lost its source of countries since the rules were written.
        self.check_sources(now, Some(&before))?;
        Ok(self.check_denied(link.workspace, now, Some(&before))?)
    }
}

/// Keeps the last numbers that rules and variants of a link got: those of its present rules are in the details of clicks.
fn keep_numbers(options: &mut Options, before: &Options) {
    let Some(given) = before.rules.as_deref() else { return };
    let mut rules = options.rules.as_deref().cloned().unwrap_or_default();
    // Not the greater ones: behind the highest possible number they begin again at 1.
    rules.last_branch = given.last_branch;
    rules.last_variant = given.last_variant;
    options.rules = Some(Arc::new(rules));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::audit::{AuditEntry, AuditSubject};
    use crate::model::link::sample;

    /// Returns a link whose title and time of change are a number.
    fn link(number: i64) -> Link {
        let mut link = sample::link(0, "a", sample::plain());
        link.options.title = Some(number.to_string().into());
        link.updated_at = Timestamp::from_millis(number);
        link
    }

    fn entry(id: u64, before: Option<i64>) -> (Id, Found<AuditEntry>) {
        let before = before.map(|number| Box::new(link(number)));
        let subject = AuditSubject::link(Id::from_bits(0));
        let record =
            AuditEntry { by: None, act: AuditAct::Edit, subject, name: None, before, fields: Vec::new() };
        (Id::from_bits(id.into()), Found { revision: Position(id), record })
    }

    #[test]
    fn revisions_have_states() {
        // Created with title 0; then changed to 1 and 2, deleted, restored, and changed to 3.
        let whole = vec![
            entry(11, Some(0)),
            entry(12, Some(1)),
            entry(13, None),
            entry(14, None),
            entry(15, Some(2)),
        ];
        let cut = vec![entry(12, Some(1)), entry(15, Some(2))];
        let present = "revision: is the present state of the link";
        let gone = "revision: is no longer kept";
        let rows = [
            (&whole, None, Ok("2")),
            (&whole, Some(0), Ok("0")),
            (&whole, Some(11), Ok("1")),
            (&whole, Some(12), Ok("2")),
            (&whole, Some(13), Ok("2")),
            (&whole, Some(14), Ok("2")),
            (&whole, Some(15), Err(present)),
            (&whole, Some(16), Err("revision not found")),
            (&cut, Some(0), Err(gone)),
            (&cut, Some(11), Err("revision not found")),
            (&cut, Some(12), Ok("2")),
            (&Vec::new(), Some(0), Err(present)),
            (&Vec::new(), None, Err("link: there is no change of this link that can be undone")),
        ];
        for (entries, to, want) in rows {
            let got = state_after(&link(3), entries, to.map(Id::from_bits));
            let got = got.map(|link| link.options.title.as_deref().unwrap_or("")).map_err(|e| e.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{to:?}");
        }
    }
}
