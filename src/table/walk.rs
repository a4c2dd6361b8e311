//! Walks over the pairs of a store, leaf by leaf. A walk is not a snapshot: it may miss pairs that are
//! written during it. It returns pairs that exist before and after it exactly once.

use sled::IVec;

use super::error::{Error, StoreError};
use super::record::read_pair;
use super::store::{Pair, Store, call, successor};

/// A leaf and its key in sled.
type Leaf = Result<(IVec, IVec), StoreError>;

/// Number of leaves per call of [`Store::count_page`]: a page has 8 to 16 leaves.
const LEAVES: u32 = 8;

impl Store {
    /// Returns all pairs from `from` on, in order.
    pub(super) fn from(&self, from: &[u8]) -> Ascending<'_> {
        Ascending::new(self, from, &[])
    }

    /// Returns all pairs whose key begins with `prefix`, in order.
    pub(super) fn prefix(&self, prefix: &[u8]) -> Ascending<'_> {
        Ascending::new(self, prefix, prefix)
    }

    /// Returns all pairs of `prefix` whose keys sort behind `start`, in order.
    pub(super) fn behind(&self, prefix: &[u8], start: &[u8]) -> Ascending<'_> {
        Ascending::new(self, &successor(start), prefix)
    }

    /// Returns all pairs whose key begins with `prefix`, the last first.
    pub(super) fn prefix_back(&self, prefix: &[u8]) -> Descending<'_> {
        Descending::new(self, None, prefix)
    }

    /// Returns all pairs of `prefix` whose keys sort before `end`, the last first.
    pub(super) fn before(&self, prefix: &[u8], end: &[u8]) -> Descending<'_> {
        Descending::new(self, Some(end), prefix)
    }
}

/// Makes sled count the pages that a walk reads.
#[derive(Debug, Default)]
struct Walked(u32);

impl Walked {
    fn on(&mut self, store: &Store, first: &[u8]) {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(LEAVES) {
            // The walk itself reports an error.
            drop(store.count_page(first));
        }
    }
}

/// Iterates over pairs in the order of their keys.
pub(super) struct Ascending<'a> {
    store: &'a Store,
    start: Vec<u8>,
    prefix: Vec<u8>,
    leaves: sled::Iter,
    /// The current leaf, and the offset of the next pair.
    leaf: IVec,
    offset: usize,
    /// The leaf behind it, whose key ends the current leaf.
    next: Option<Leaf>,
    walked: Walked,
}

impl<'a> Ascending<'a> {
    /// Creates a walk from `start` to the first key that does not begin with `prefix`.
    pub(super) fn new(store: &'a Store, start: &[u8], prefix: &[u8]) -> Ascending<'a> {
        // The leaf that has `start` may begin before it.
        let first = match call(|| store.db().range(..=start).next_back().transpose()) {
            Ok(Some((first, _))) => first,
            // The walk itself reports an error.
            Ok(None) | Err(_) => IVec::from(start),
        };
        // One iterator for the whole walk: a split moves pairs to leaves that are still ahead.
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

    /// Returns the next pair of the leaf.
    fn pair(&mut self) -> Result<Option<Pair>, Error> {
        while self.offset < self.leaf.len() {
            let read = read_pair(&self.leaf[self.offset..]);
            // Bytes behind damage cannot be read.
            let ((key, value), rest) = read.inspect_err(|_| self.offset = self.leaf.len())?;
            // A split has copied the pair to the next leaf, which returns it.
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

/// Iterates over pairs, the last first.
pub(super) struct Descending<'a> {
    store: &'a Store,
    prefix: Vec<u8>,
    /// The current leaf, and the offsets of its remaining pairs.
    leaf: IVec,
    offsets: Vec<usize>,
    /// The walk has passed the pairs from here on.
    end: Option<IVec>,
    walked: Walked,
}

impl<'a> Descending<'a> {
    /// Creates a walk over the keys that begin with `prefix` and sort before `end`.
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
            // Returned already, or copied to the leaf behind by a split.
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
            // A new look-up for each leaf: an iterator of sled copies pages. It would continue at a leaf
            // whose upper pairs a split has moved into a page that it copied before.
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

/// Returns the first key that sorts behind all keys with this prefix, `None` if there is none.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    // A byte of 255 has no successor: the last smaller one is raised.
    let at = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    Some([&prefix[..at], &[prefix[at] + 1]].concat())
}
