//! Leaves: neighbouring pairs in one value of sled.
//!
//! sled keeps some 340 bytes in memory of each page of its file, whether the page is cached or not,
//! and puts 8 to 16 keys into a page however small they are. With a key for each pair that is 140 bytes
//! a link, which has four; with a key for each leaf it is 15.
//!
//! A leaf is the bytes of its pairs, one after the other: length and bytes of the key, length and bytes
//! of the value. sled's key of a leaf sorts at or before the first of them. A pair at or behind the key of the
//! next leaf does not count: a crash, and a reader, may meet a leaf that is about to lose it.

use bytes::Bytes;

use super::record::{Corrupt, read_pair, write_pair};

/// Most bytes of a leaf that holds more than one pair. For a pair that is written its leaf is written, and a
/// page of leaves with each tenth; for a pair that is read its page is. With 2 KiB a link would cost 7
/// bytes of memory, a read by a visitor 1.3 times as much time, and what sled is about to free 20 MB more.
pub(super) const MAX: usize = 1024;

/// What a split leaf is filled to, of [`MAX`], where pairs came in between others. Where they came behind
/// all others it is filled whole, since the next will come behind them as well.
const FILL: usize = MAX / 4 * 3;

/// A pair that is written, or a key that is removed.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) key: Bytes,
    /// `None` removes it.
    pub(super) value: Option<Vec<u8>>,
}

/// A key and its value.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);

/// A leaf about to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its first key.
    pub(super) first: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

/// The pairs of a leaf, in order.
#[derive(Debug)]
pub(super) struct Pairs<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<Pair<'a>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = read_pair(self.0);
        // Nothing behind damage can be read.
        self.0 = read.as_ref().map_or(&[], |(_, rest)| rest);
        Some(read.map(|(pair, _)| pair))
    }
}

/// Returns the value of a key.
pub(super) fn find<'a>(leaf: &'a [u8], key: &[u8]) -> Result<Option<&'a [u8]>, Corrupt> {
    for pair in Pairs(leaf) {
        let (at, value) = pair?;
        if at >= key {
            return Ok((at == key).then_some(value));
        }
    }
    Ok(None)
}

/// Returns whether a leaf has a pair behind a key.
pub(super) fn ends_behind(leaf: &[u8], key: &[u8]) -> Result<bool, Corrupt> {
    for pair in Pairs(leaf) {
        if pair?.0 > key {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the pair of the greatest key before `end`.
pub(super) fn before<'a>(leaf: &'a [u8], end: &[u8]) -> Result<Option<Pair<'a>>, Corrupt> {
    let mut last = None;
    for pair in Pairs(leaf) {
        let pair = pair?;
        if pair.0 >= end {
            break;
        }
        last = Some(pair);
    }
    Ok(last)
}

/// Returns what is left of a leaf that ends before the key `end` once `edits`, whose keys are in order
/// and belong into it, were made: nothing, one leaf, or several. The first keeps the key that it had.
pub(super) fn edit(old: &[u8], end: Option<&[u8]>, edits: &[Edit]) -> Result<Vec<Piece>, Corrupt> {
    let mut edits = edits.iter().peekable();
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    let mut is_appended = true;
    for pair in Pairs(old) {
        let (key, value) = pair?;
        if end.is_some_and(|end| key >= end) {
            break;
        }
        while let Some(edit) = edits.next_if(|edit| *edit.key < *key) {
            is_appended = false;
            pairs.extend(edit.value.as_deref().map(|value| (&*edit.key, value)));
        }
        match edits.next_if(|edit| *edit.key == *key) {
            Some(edit) => {
                is_appended = false;
                pairs.extend(edit.value.as_deref().map(|value| (key, value)));
            }
            None => pairs.push((key, value)),
        }
    }
    for edit in edits {
        pairs.extend(edit.value.as_deref().map(|value| (&*edit.key, value)));
    }
    Ok(cut(&pairs, is_appended))
}

fn cut(pairs: &[Pair<'_>], is_appended: bool) -> Vec<Piece> {
    let Some((first, _)) = pairs.first() else { return Vec::new() };
    let mut bytes = Vec::with_capacity(MAX);
    let mut starts = Vec::with_capacity(pairs.len());
    for pair in pairs {
        starts.push(bytes.len());
        write_pair(&mut bytes, *pair);
    }
    if bytes.len() <= MAX {
        return vec![Piece { first: first.to_vec(), bytes }];
    }
    let enough = if is_appended { MAX } else { bytes.len().div_ceil(bytes.len().div_ceil(FILL)) };
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let mut pieces: Vec<Piece> = Vec::new();
    for ((key, _), (start, end)) in pairs.iter().zip(starts.iter().copied().zip(ends)) {
        let pair = &bytes[start..end];
        match pieces.last_mut() {
            Some(piece) if piece.bytes.len() < enough && piece.bytes.len() + pair.len() <= MAX => {
                piece.bytes.extend_from_slice(pair);
            }
            _ => pieces.push(Piece { first: key.to_vec(), bytes: pair.to_vec() }),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Edit {
        Edit { key: Bytes::from(key.to_owned()), value: Some(value.into()) }
    }

    fn remove(key: &str) -> Edit {
        Edit { key: Bytes::from(key.to_owned()), value: None }
    }

    fn leaf(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut leaf = Vec::new();
        for (key, value) in pairs {
            write_pair(&mut leaf, (key.as_bytes(), value.as_bytes()));
        }
        leaf
    }

    #[test]
    fn pairs_are_written_replaced_and_removed_in_order() {
        let old = leaf(&[("b", "1"), ("d", "2"), ("f", "3"), ("h", "4")]);
        let edits = [put("a", "5"), put("d", "6"), put("e", "7"), remove("f"), remove("g"), put("i", "8")];
        let pieces = edit(&old, None, &edits).expect("it reads");
        let want = leaf(&[("a", "5"), ("b", "1"), ("d", "6"), ("e", "7"), ("h", "4"), ("i", "8")]);
        assert_eq!(pieces, [Piece { first: b"a".to_vec(), bytes: want }]);
        assert_eq!(edit(&leaf(&[("b", "1")]), None, &[remove("b")]).expect("it reads"), []);
    }

    #[test]
    fn pairs_from_the_next_leaf_on_are_dropped() {
        let old = leaf(&[("b", "1"), ("d", "2"), ("f", "3")]);
        let pieces = edit(&old, Some(b"d"), &[put("a", "4")]).expect("it reads");
        assert_eq!(pieces[0].bytes, leaf(&[("a", "4"), ("b", "1")]));
    }

    #[test]
    fn a_leaf_that_grows_too_large_is_split_in_halves_or_behind_its_end() {
        let value = "v".repeat(50);
        let keys: Vec<_> = (0..18).map(|n| format!("k{n:02}")).collect();
        let old = leaf(&keys.iter().map(|key| (&**key, &*value)).collect::<Vec<_>>());
        assert!(old.len() <= MAX);
        let sizes = |edits: &[Edit]| {
            let pieces = edit(&old, None, edits).expect("it reads");
            pieces.iter().map(|piece| Pairs(&piece.bytes).count()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[put("k05x", &value)]), [10, 9]);
        assert_eq!(sizes(&[put("k18", &value)]), [18, 1]);
        let many: Vec<_> = (0..60).map(|n| put(&format!("k05x{n:02}"), &value)).collect();
        assert_eq!(sizes(&many), [14, 13, 13, 13, 13, 12]);
        // A pair that is larger than a leaf has one of its own.
        assert_eq!(sizes(&[put("k05x", &"v".repeat(9_000))]), [6, 1, 12]);
    }

    #[test]
    fn a_key_is_found_and_the_one_before_it() {
        let leaf = leaf(&[("b", "1"), ("d", "2")]);
        let key = |found: Option<Pair<'_>>| found.map(|(key, _)| key[0] as char);
        let rows = [("a", None, true), ("b", None, true), ("c", Some('b'), true), ("d", Some('b'), false)];
        for (sought, want, is_behind) in rows {
            assert_eq!(key(before(&leaf, sought.as_bytes()).expect("it reads")), want, "{sought}");
            assert_eq!(ends_behind(&leaf, sought.as_bytes()).expect("it reads"), is_behind, "{sought}");
        }
        assert_eq!(find(&leaf, b"d").expect("it reads"), Some(&b"2"[..]));
        assert_eq!(find(&leaf, b"c").expect("it reads"), None);
    }

    #[test]
    fn a_leaf_that_is_cut_is_an_error_and_ends_the_walk() {
        let leaf = leaf(&[("b", "1"), ("d", "2")]);
        for length in [1, leaf.len() - 1] {
            assert!(find(&leaf[..length], b"x").is_err(), "{length}");
            assert!(Pairs(&leaf[..length]).count() <= 2);
            assert!(edit(&leaf[..length], None, &[put("c", "3")]).is_err(), "{length}");
        }
    }
}
