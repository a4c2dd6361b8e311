//! [`ObjectRevision`]: which revisions of an object its client accepts, and which one a command has found or written.
//!
//! A revision is the position of the Change that wrote the record of the object. So it changes with each edit, and not
//! with clicks, nor with the names of tags and other objects that a response shows beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::Error;
use crate::log::Position;

/// Revisions that a client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revisions {
    /// Every one.
    Any,
    /// These.
    OneOf(Arc<[Position]>),
}

impl Revisions {
    fn have(&self, revision: Position) -> bool {
        match self {
            Revisions::Any => true,
            Revisions::OneOf(known) => known.contains(&revision),
        }
    }
}

/// The revision of the one object that a command reads or changes.
#[derive(Clone, Debug, Default)]
pub struct ObjectRevision {
    /// The client requires one of these.
    pub required: Option<Revisions>,
    /// The client requires another one than these.
    pub known: Option<Revisions>,
    /// What the command has found or written last; 0 for nothing, since positions begin with 1.
    seen: Arc<AtomicU64>,
}

impl ObjectRevision {
    /// Creates the requirements of a client.
    pub fn new(required: Option<Revisions>, known: Option<Revisions>) -> ObjectRevision {
        ObjectRevision { required, known, seen: Arc::default() }
    }

    /// Notes the revision of an object that is read. Fails with [`Error::Changed`] unless it is one that the client requires.
    pub(in crate::core) fn read(&self, revision: Position) -> Result<(), Error> {
        self.wrote(revision);
        if self.required.as_ref().is_some_and(|required| !required.have(revision)) {
            return Err(Error::Changed);
        }
        Ok(())
    }

    /// Like [`ObjectRevision::read`], for an object that is about to be changed. Fails as well if the client requires that
    /// the object has none of the revisions that it knows. The write itself must rely on the revision.
    pub(in crate::core) fn check(&self, revision: Position) -> Result<(), Error> {
        self.read(revision)?;
        if self.known.as_ref().is_some_and(|known| known.have(revision)) {
            return Err(Error::Changed);
        }
        Ok(())
    }

    /// Notes the revision that a Change has given the object.
    pub(in crate::core) fn wrote(&self, revision: Position) {
        // Relaxed: the task of the command has ended when the response reads it.
        self.seen.store(revision.0, Ordering::Relaxed);
    }

    /// Returns the revision that the command has found or written last.
    pub fn seen(&self) -> Option<Position> {
        Some(Position(self.seen.load(Ordering::Relaxed))).filter(|revision| *revision != Position::START)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_required_or_known() {
        let one_of =
            |revisions: &[u64]| Some(Revisions::OneOf(revisions.iter().copied().map(Position).collect()));
        // What is required, what is known, the revision; whether it can be read and changed.
        let rows = [
            (None, None, 5, true, true),
            (one_of(&[4, 5]), None, 5, true, true),
            (one_of(&[4]), None, 5, false, false),
            (Some(Revisions::Any), None, 5, true, true),
            (None, one_of(&[5]), 5, true, false),
            (None, one_of(&[4]), 5, true, true),
            (None, Some(Revisions::Any), 5, true, false),
            (one_of(&[5]), one_of(&[5]), 5, true, false),
        ];
        for (required, known, revision, reads, changes) in rows {
            let revision = Position(revision);
            let object = ObjectRevision::new(required, known);
            assert_eq!(object.seen(), None);
            let row = format!("{object:?}");
            assert_eq!(object.read(revision).is_ok(), reads, "{row}");
            assert_eq!(object.check(revision).is_ok(), changes, "{row}");
            assert_eq!(object.seen(), Some(revision), "{row}");
        }
    }
}
