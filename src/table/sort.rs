//! [`Sorter`]: sorts the derived entries of a rebuild. Records come in the order of their keys, derived
//! entries in any order. Written unsorted, each entry would rewrite a leaf: 4 KB for 60 bytes. They are
//! sorted in an unnamed file, with a bounded part in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use super::error::{Error, StoreError};
use super::leaf::Edit;
use super::record::write_pair;

/// Most bytes of pairs in memory, and of a sorted part of the file.
const PART: usize = 8 * 1024 * 1024;

/// Read buffer of each part during the merge. 10 million links make 150 parts.
const BUFFER: usize = 32 * 1024;

/// Pairs to sort by their keys. Of equal keys, whose values are equal too, one pair remains.
pub(super) struct Sorter {
    pairs: Vec<Edit>,
    bytes: usize,
    file: BufWriter<File>,
    /// The end of each part in the file.
    ends: Vec<u64>,
}

impl Sorter {
    /// Creates a sorter with its file in `folder`. The file is removed with the sorter.
    pub(super) fn new(folder: &Path) -> Result<Sorter, Error> {
        // In the table's folder: /tmp is in memory on many systems.
        let file = tempfile::tempfile_in(folder).map_err(failed)?;
        Ok(Sorter { pairs: Vec::new(), bytes: 0, file: BufWriter::new(file), ends: Vec::new() })
    }

    /// Adds a pair.
    pub(super) fn push(&mut self, pair: Edit) -> Result<(), Error> {
        // With the structs, which take more memory than the bytes of a short pair.
        self.bytes += size_of::<Edit>() + pair.key.len() + pair.value.as_ref().map_or(0, Vec::len);
        self.pairs.push(pair);
        if self.bytes >= PART { self.write_part().map_err(failed) } else { Ok(()) }
    }

    fn write_part(&mut self) -> io::Result<()> {
        // Unstable: pairs with equal keys have equal values.
        self.pairs.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let mut bytes = Vec::new();
        for Edit { key, value } in self.pairs.drain(..) {
            bytes.clear();
            // Always a value: a rebuild removes nothing.
            write_pair(&mut bytes, (&key, &value.unwrap_or_default()));
            self.file.write_all(&bytes)?;
        }
        self.bytes = 0;
        self.ends.push(self.file.stream_position()?);
        Ok(())
    }

    /// Merges the parts. Calls `each` with the sorted pairs, `at_most` at a time.
    pub(super) fn finish(
        mut self,
        at_most: usize,
        each: &mut dyn FnMut(&[Edit]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.write_part().map_err(failed)?;
        // Flushes the buffer. From here on the parts read the file itself.
        let file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let mut parts: Vec<_> = starts.zip(&self.ends).map(|(at, end)| Part::new(&file, at, *end)).collect();
        // The smallest unread pair of each part. `Reverse`, since the heap returns its greatest element.
        let mut heads = BinaryHeap::new();
        for (number, part) in parts.iter_mut().enumerate() {
            heads.extend(part.next()?.map(|pair| Reverse((pair, number))));
        }
        let mut sorted: Vec<Edit> = Vec::new();
        while let Some(Reverse(((key, value), number))) = heads.pop() {
            heads.extend(parts[number].next()?.map(|pair| Reverse((pair, number))));
            // Before a full batch is passed on: equal pairs never fall into two batches.
            if sorted.last().is_some_and(|last| *last.key == *key) {
                continue;
            }
            if sorted.len() == at_most {
                each(&sorted)?;
                sorted.clear();
            }
            sorted.push(Edit { key: Bytes::from(key), value: Some(value) });
        }
        each(&sorted)
    }
}

/// A sorted part of the file.
struct Part<'a>(BufReader<Section<'a>>);

impl<'a> Part<'a> {
    fn new(file: &'a File, at: u64, end: u64) -> Part<'a> {
        Part(BufReader::with_capacity(BUFFER, Section { file, at, end }))
    }

    fn next(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>, Error> {
        // Tested first: the reader of pairs reports the end of a part as damage.
        if io::BufRead::fill_buf(&mut self.0).map_err(failed)?.is_empty() {
            return Ok(None);
        }
        Ok(Some(super::record::read_pair_from(&mut self.0)?))
    }
}

/// Reads a range of the file.
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        // At an offset of its own: all parts read the same file in turn.
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn failed(error: io::Error) -> Error {
    // Like sled's own I/O errors: the apply thread retries after either.
    StoreError::Sled(sled::Error::Io(error)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than one part, with keys in any order, some of them twice.
    #[test]
    fn pairs_are_sorted_and_unique() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut sorter = Sorter::new(folder.path()).expect("a file");
        // 30 MB, so that several parts are merged.
        let (count, value) = (5_000_u32, vec![7; 6_000]);
        for n in 0..count + 100 {
            // The factor has no divisor in common with `count`: each key occurs, and 100 of them twice.
            let key = (n * 2_741) % count;
            let pair = Edit { key: Bytes::from(key.to_be_bytes().to_vec()), value: Some(value.clone()) };
            sorter.push(pair).expect("it writes");
        }
        assert!(sorter.ends.len() > 1, "{} parts", sorter.ends.len() + 1);
        assert!(sorter.bytes <= PART);
        let mut next = 0;
        let mut each = |pairs: &[Edit]| {
            assert!(pairs.len() == 64 || next + 64 > count);
            for pair in pairs {
                assert_eq!(*pair.key, next.to_be_bytes());
                assert_eq!(pair.value.as_ref(), Some(&value));
                next += 1;
            }
            Ok(())
        };
        sorter.finish(64, &mut each).expect("it reads");
        assert_eq!(next, count);
        assert_eq!(std::fs::read_dir(folder.path()).expect("it reads").count(), 0, "the file has no name");
    }
}
