//! Walks over the pairs of a store, leaf by leaf. A walk is no copy: pairs that are written while it goes
//! on may come or not, those that are there before and after it come once.

use sled::IVec;

use super::Error;
use super::record::read_pair;
use super::store::{Store, StoreError, call};

/// A pair, copied out of its leaf.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// A leaf and sled's key of it.
type Leaf = Result<(IVec, IVec), StoreError>;

/// Leaves from one that is counted ([`Store::count_page`]) to the next: a page has 8 to 16.
const LEAVES: u32 = 8;

/// Counts the pages that a walk goes through.
#[derive(Debug, Default)]
struct Walked(u32);

impl Walked {
    fn on(&mut self, store: &Store, first: &[u8]) {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(LEAVES) {
            // The walk meets an error as well.
            drop(store.count_page(first));
        }
    }
}

/// Pairs in the order of their keys.
pub(super) struct Ascending<'a> {
    store: &'a Store,
    start: Vec<u8>,
    prefix: Vec<u8>,
    leaves: sled::Iter,
    /// The leaf that was reached, and where in it.
    leaf: IVec,
    offset: usize,
    /// The leaf behind it, at which its pairs end.
    next: Option<Leaf>,
    walked: Walked,
}

impl<'a> Ascending<'a> {
    /// From `start` up to the first key that does not begin with `prefix`.
    pub(super) fn new(store: &'a Store, start: &[u8], prefix: &[u8]) -> Ascending<'a> {
        let first = match call(|| store.db().range(..=start).next_back().transpose()) {
            Ok(Some((first, _))) => first,
            // The walk meets the error as well.
            Ok(None) | Err(_) => IVec::from(start),
        };
        let mut leaves = store.db().range(first..);
        let next = call(|| leaves.next().transpose()).transpose();
        Ascending {
            store,
            start: start.to_vec(),
            prefix: prefix.to_vec(),
            leaves,
            leaf: IVec::default(),
            offset: 0,
            next,
            walked: Walked::default(),
        }
    }

    /// The next pair of the leaf.
    fn pair(&mut self) -> Result<Option<Pair>, Error> {
        while self.offset < self.leaf.len() {
            let read = read_pair(&self.leaf[self.offset..]);
            // Nothing behind damage can be read.
            let ((key, value), rest) = read.inspect_err(|_| self.offset = self.leaf.len())?;
            if matches!(&self.next, Some(Ok((end, _))) if key >= &**end) {
                break;
            }
            self.offset = self.leaf.len() - rest.len();
            if key >= &*self.start {
                return Ok(Some((key.to_vec(), value.to_vec())));
            }
        }
        Ok(None)
    }
}

impl Iterator for Ascending<'_> {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.pair().transpose() {
                let is_over = found.as_ref().is_ok_and(|(key, _)| !key.starts_with(&self.prefix));
                return Some(found).filter(|_| !is_over);
            }
            let (first, leaf) = match self.next.take()? {
                Ok(leaf) => self.store.leaf_of(leaf),
                Err(error) => return Some(Err(error.into())),
            };
            (self.leaf, self.offset) = (leaf, 0);
            self.next = call(|| self.leaves.next().transpose()).transpose();
            self.walked.on(self.store, &first);
        }
    }
}

/// Pairs, the last first.
pub(super) struct Descending<'a> {
    store: &'a Store,
    prefix: Vec<u8>,
    /// The leaf that was reached, and where the pairs begin that are left of it.
    leaf: IVec,
    offsets: Vec<usize>,
    /// Pairs from here on are behind the walk.
    end: Option<IVec>,
    walked: Walked,
}

impl<'a> Descending<'a> {
    /// The keys that begin with `prefix`, those from `end` on left out.
    pub(super) fn new(store: &'a Store, end: Option<&[u8]>, prefix: &[u8]) -> Descending<'a> {
        let end = end.map(<[u8]>::to_vec).or_else(|| behind(prefix));
        Descending {
            store,
            prefix: prefix.to_vec(),
            leaf: IVec::default(),
            offsets: Vec::new(),
            end: end.map(IVec::from),
            walked: Walked::default(),
        }
    }

    fn enter(&mut self, first: IVec, leaf: IVec) -> Result<(), Error> {
        let mut offset = 0;
        while offset < leaf.len() {
            let ((key, _), rest) = read_pair(&leaf[offset..])?;
            if self.end.as_ref().is_some_and(|end| key >= &**end) {
                break;
            }
            self.offsets.push(offset);
            offset = leaf.len() - rest.len();
        }
        (self.leaf, self.end) = (leaf, Some(first));
        Ok(())
    }
}

impl Iterator for Descending<'_> {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(offset) = self.offsets.pop() {
                let found = match read_pair(&self.leaf[offset..]) {
                    Ok(((key, value), _)) => (key.to_vec(), value.to_vec()),
                    Err(error) => return Some(Err(error.into())),
                };
                return Some(Ok(found)).filter(|found| {
                    found.as_ref().is_ok_and(|(key, _): &Pair| key.starts_with(&self.prefix))
                });
            }
            // Asked for anew each time: an iterator of sled's has copies of pages, from which it would go on to
            // a leaf whose pairs have been split off into one of them.
            let (first, leaf) = match self.store.leaf_before(self.end.as_deref()).transpose()? {
                Ok(leaf) => leaf,
                Err(error) => return Some(Err(error.into())),
            };
            self.walked.on(self.store, &first);
            if let Err(error) = self.enter(first, leaf) {
                return Some(Err(error));
            }
        }
    }
}

/// The first key that sorts behind all that begin with `prefix`, if there can be one.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let at = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    Some([&prefix[..at], &[prefix[at] + 1]].concat())
}
