//! Leaves: neighbouring pairs in one value of sled.
//!
//! sled keeps some 340 bytes in memory for each page of its file, cached or not, and puts 8 to 16 keys into a
//! page however small they are. With one key of sled for each pair, a link with its four pairs takes 140
//! bytes. With one for each leaf it takes 15.
//!
//! 1. A leaf has its pairs one after the other: length and bytes of the key, length and bytes of the value.
//! 2. The key of a leaf in sled sorts at or before its first pair.
//! 3. A pair at or behind the key of the next leaf does not count: a split that is under way, or that a crash
//!    interrupted, has copied it to the next leaf already.

use bytes::Bytes;

use super::record::{Corrupt, read_pair, write_pair};

/// Most bytes of a leaf with more than one pair. Writing a pair writes its leaf, and every tenth time a page
/// of leaves. Reading a pair reads its page. With 2 KiB a link would take 7 bytes of memory, a read of a
/// visitor 1.3 times as long, and the bytes that sled has yet to free would grow by 20 MB.
pub(super) const MAX: usize = 1024;

/// Size of the leaves after a split by pairs between others. If the new pairs are behind all others, leaves
/// are filled to [`MAX`], since the next pairs are likely behind them as well.
const FILL: usize = MAX / 4 * 3;

/// A pair to write, or a key to remove.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) key: Bytes,
    /// `None` removes the key.
    pub(super) value: Option<Vec<u8>>,
}

/// A key and its value.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);

/// A leaf to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewLeaf {
    /// The key of its first pair.
    pub(super) first: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

/// Iterates over the pairs of a leaf, in order.
#[derive(Debug)]
pub(super) struct Pairs<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<Pair<'a>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = read_pair(self.0);
        // Bytes behind damage cannot be read.
        self.0 = read.as_ref().map_or(&[], |(_, rest)| rest);
        Some(read.map(|(pair, _)| pair))
    }
}

/// Returns the value of a key in a leaf.
pub(super) fn find<'a>(leaf: &'a [u8], key: &[u8]) -> Result<Option<&'a [u8]>, Corrupt> {
    for pair in Pairs(leaf) {
        let (at, value) = pair?;
        // Sorted: the key cannot come later.
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

/// Applies `edits` to a leaf that ends before the key `end`. The edits are sorted and belong into this leaf.
/// Returns no leaf, one, or several. The first keeps its key in sled.
pub(super) fn edit(old: &[u8], end: Option<&[u8]>, edits: &[Edit]) -> Result<Vec<NewLeaf>, Corrupt> {
    let mut edits = edits.iter().peekable();
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    let mut is_appended = true;
    for pair in Pairs(old) {
        let (key, value) = pair?;
        // The next leaf has this pair: see 3 in the head.
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

/// Splits pairs into leaves.
fn cut(pairs: &[Pair<'_>], is_appended: bool) -> Vec<NewLeaf> {
    let Some((first, _)) = pairs.first() else { return Vec::new() };
    let mut bytes = Vec::with_capacity(MAX);
    let mut starts = Vec::with_capacity(pairs.len());
    for pair in pairs {
        starts.push(bytes.len());
        write_pair(&mut bytes, *pair);
    }
    if bytes.len() <= MAX {
        return vec![NewLeaf { first: first.to_vec(), bytes }];
    }
    // Equal parts of about [`FILL`], each with room for later pairs.
    let enough = if is_appended { MAX } else { bytes.len().div_ceil(bytes.len().div_ceil(FILL)) };
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let mut leaves: Vec<NewLeaf> = Vec::new();
    for ((key, _), (start, end)) in pairs.iter().zip(starts.iter().copied().zip(ends)) {
        let pair = &bytes[start..end];
        match leaves.last_mut() {
            Some(leaf) if leaf.bytes.len() < enough && leaf.bytes.len() + pair.len() <= MAX => {
                leaf.bytes.extend_from_slice(pair);
            }
            // Also a pair that is larger than [`MAX`], which has its own leaf.
            _ => leaves.push(NewLeaf { first: key.to_vec(), bytes: pair.to_vec() }),
        }
    }
    leaves
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
        let leaves = edit(&old, None, &edits).expect("it reads");
        let want = leaf(&[("a", "5"), ("b", "1"), ("d", "6"), ("e", "7"), ("h", "4"), ("i", "8")]);
        assert_eq!(leaves, [NewLeaf { first: b"a".to_vec(), bytes: want }]);
        assert_eq!(edit(&leaf(&[("b", "1")]), None, &[remove("b")]).expect("it reads"), []);
    }

    #[test]
    fn pairs_from_the_next_leaf_on_are_dropped() {
        let old = leaf(&[("b", "1"), ("d", "2"), ("f", "3")]);
        let leaves = edit(&old, Some(b"d"), &[put("a", "4")]).expect("it reads");
        assert_eq!(leaves[0].bytes, leaf(&[("a", "4"), ("b", "1")]));
    }

    #[test]
    fn a_leaf_that_is_too_large_is_split_in_halves_or_at_its_end() {
        // 18 pairs of 55 bytes fill a leaf: one more does not fit.
        let value = "v".repeat(50);
        let keys: Vec<_> = (0..18).map(|n| format!("k{n:02}")).collect();
        let old = leaf(&keys.iter().map(|key| (&**key, &*value)).collect::<Vec<_>>());
        assert!(old.len() <= MAX);
        let sizes = |edits: &[Edit]| {
            let leaves = edit(&old, None, edits).expect("it reads");
            leaves.iter().map(|leaf| Pairs(&leaf.bytes).count()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[put("k05x", &value)]), [10, 9]);
        // Behind all others: the full leaf stays as it is.
        assert_eq!(sizes(&[put("k18", &value)]), [18, 1]);
        let many: Vec<_> = (0..60).map(|n| put(&format!("k05x{n:02}"), &value)).collect();
        assert_eq!(sizes(&many), [14, 13, 13, 13, 13, 12]);
        // A pair that is larger than a leaf has its own.
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
    fn a_truncated_leaf_is_an_error_and_ends_the_walk() {
        let leaf = leaf(&[("b", "1"), ("d", "2")]);
        // Without the first key, and without the last value.
        for length in [1, leaf.len() - 1] {
            assert!(find(&leaf[..length], b"x").is_err(), "{length}");
            assert!(Pairs(&leaf[..length]).count() <= 2);
            assert!(edit(&leaf[..length], None, &[put("c", "3")]).is_err(), "{length}");
        }
    }
}
