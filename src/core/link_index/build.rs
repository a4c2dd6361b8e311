//! Reads the links of a workspace for its index, in pieces: first the ids in their order, then the records. Records are
//! read in the order of their codes where the workspace has most of the links on its domains: neighbours share pages, and
//! links in the order of ids do not.

use bytes::Bytes;

use super::index::{IndexLost, LinkIndex};
use super::parts::IndexBuild;
use crate::core::error::Error;
use crate::model::domain::DomainNumber;
use crate::table::record::Staged;
use crate::table::{self, Table};

/// Links that are written under one lock of the index: some 50 microseconds.
const AT_ONCE: usize = 64;

impl LinkIndex {
    /// Reads the next links, at most `at_most`. Returns whether all were read.
    pub(in crate::core) fn build(&self, table: &Table, at_most: usize) -> Result<bool, Error> {
        let mut slot = self.build.lock();
        let Some(build) = slot.as_mut() else { return Ok(true) };
        let next = match build {
            IndexBuild::Ids { domains } => self.list(table, domains, at_most)?,
            IndexBuild::Domains { domains, after } => self.read_domain(table, domains, after, at_most)?,
            IndexBuild::Rest { from } => self.read_rest(table, *from, at_most)?,
        };
        match next {
            BuildStep::Same => {}
            BuildStep::Next(next) => *build = next,
            BuildStep::End => {
                *slot = None;
                self.set_ready();
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn list(
        &self,
        table: &Table,
        domains: &mut Vec<DomainNumber>,
        at_most: usize,
    ) -> Result<BuildStep, Error> {
        // The ids that were read tell where to continue, so a build that was dropped half way goes on here.
        let after = self.state.read().ids.last().copied();
        let mut ids = Vec::new();
        table.each_id(self.workspace, after, at_most, &mut |id| ids.push(id))?;
        let mut state = self.state.write();
        state.ids.extend(ids.iter().copied());
        if ids.len() == at_most {
            return Ok(BuildStep::Same);
        }
        // Under the lock: a link whose creation was not followed is in the table, and all later ones are followed.
        let after = state.ids.last().copied();
        // Taken out, since the closure cannot borrow a field of the guard.
        let mut ids = std::mem::take(&mut state.ids);
        let read = table.each_id(self.workspace, after, usize::MAX, &mut |id| ids.push(id));
        state.ids = ids;
        read?;
        state.end_listing();
        Ok(BuildStep::Next(IndexBuild::Domains { domains: std::mem::take(domains), after: None }))
    }

    fn read_domain(
        &self,
        table: &Table,
        domains: &mut Vec<DomainNumber>,
        after: &mut Option<Bytes>,
        at_most: usize,
    ) -> Result<BuildStep, Error> {
        // What is left was on a domain that the workspace has no more, or is deleted by now.
        let Some(domain) = domains.last() else { return Ok(BuildStep::Next(IndexBuild::Rest { from: 0 })) };
        let mut writer = EntryWriter { index: self, waiting: Vec::with_capacity(AT_ONCE), failure: None };
        let mut each = |staged| writer.add(staged);
        let last = table.each_staged_on(self.workspace, *domain, after.as_deref(), at_most, &mut each)?;
        writer.finish()?;
        // A walk that ends exactly at its bound returns its last key, and the next one nothing.
        if last.is_none() {
            domains.pop();
        }
        *after = last;
        Ok(BuildStep::Same)
    }

    fn read_rest(&self, table: &Table, from: usize, at_most: usize) -> Result<BuildStep, Error> {
        // A search by ids costs some ten times as much as a step in the order of codes.
        let (ids, end) = self.state.read().unread(from, at_most.div_ceil(10));
        if ids.is_empty() {
            return Ok(BuildStep::End);
        }
        let mut writer = EntryWriter { index: self, waiting: Vec::with_capacity(AT_ONCE), failure: None };
        table.each_staged_of(self.workspace, &ids, &mut |staged| writer.add(staged))?;
        writer.finish()?;
        Ok(BuildStep::Next(IndexBuild::Rest { from: end }))
    }
}

/// What the next call reads.
enum BuildStep {
    /// More of the same.
    Same,
    /// The next part.
    Next(IndexBuild),
    /// Nothing: all was read.
    End,
}

/// Writes links that were read, some under one lock.
struct EntryWriter<'a> {
    index: &'a LinkIndex,
    waiting: Vec<Staged>,
    /// The first failure. The walk cannot be stopped.
    failure: Option<IndexLost>,
}

impl EntryWriter<'_> {
    fn add(&mut self, staged: Staged) {
        self.waiting.push(staged);
        if self.waiting.len() == AT_ONCE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut state = self.index.state.write();
        for staged in self.waiting.drain(..) {
            if self.failure.is_none() {
                // The first error is the one that has a reason: later ones follow from it.
                self.failure = state.add(&staged).err();
            }
        }
    }

    fn finish(mut self) -> Result<(), Error> {
        self.flush();
        self.failure.map_or(Ok(()), |lost| {
            // Each later change would fail as well.
            self.index.lose();
            Err(table::Error::NotReady(lost.to_string()).into())
        })
    }
}
