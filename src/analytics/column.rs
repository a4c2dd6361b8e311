//! The codec of a column: the numbers of one field of a block's cells.
//!
//! The most frequent numbers form a dictionary. Each number is a code of a few bits, its place in the dictionary; a
//! number outside of it has the last code, and follows behind all codes as a varint. The encoder tries every width, and
//! takes the one with the fewest bytes. A column of equal numbers takes two bytes and that number.
//!
//! 1. A byte: the width of a code in its low four bits, 0 to 8; [`HAS_OTHERS`] if the last code stands for other numbers.
//! 2. The length of the dictionary as a varint, and its numbers as varints, the most frequent first.
//! 3. The codes, the first in the lowest bits of the first byte, with zeros up to a whole byte.
//! 4. The other numbers as varints, in their order.
//!
//! A varint is LEB128: seven bits in each byte, the lowest first, and a set top bit in all bytes but the last.

use ahash::AHashMap;

/// The bit of the first byte that reserves the last code for numbers outside of the dictionary.
const HAS_OTHERS: u8 = 0x80;

/// Widest code. A wider one saves little: the dictionary then takes as much as it saves in a block of 2,048 cells.
const WIDTH_MAX: u8 = 8;

/// The bytes are no column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadColumn;

/// Appends a column.
pub fn encode(numbers: &[u32], out: &mut Vec<u8>) {
    let column = Ranked::new(numbers);
    // Plans follow from frequencies alone, so nine are compared and one is encoded.
    let plan =
        (0..=WIDTH_MAX).map(|width| ColumnPlan::new(width, &column.words)).min_by_key(|plan| plan.bytes);
    let plan = plan.expect("there are widths");
    out.push(plan.width | if plan.has_others { HAS_OTHERS } else { 0 });
    write_varint(out, u32::try_from(plan.words).expect("at most 256"));
    for (number, _) in &column.words[..plan.words] {
        write_varint(out, *number);
    }
    // If the dictionary has all numbers, the last code is a word and never an escape.
    let escape = (1 << plan.width) - 1;
    let is_word = |rank: u32| (rank as usize) < plan.words;
    let mut bits = BitWriter { out, width: plan.width, buffer: 0, filled: 0 };
    for rank in column.ranks() {
        bits.push(if is_word(rank) { rank } else { escape });
    }
    bits.finish();
    // In the order of the cells: the decoder takes the next one at each escape.
    for (number, _) in numbers.iter().zip(column.ranks()).filter(|(_, rank)| !is_word(*rank)) {
        write_varint(out, *number);
    }
}

/// Replaces `numbers` by the `count` numbers of a column. The column must end with `bytes`.
pub fn decode(mut bytes: &[u8], count: usize, numbers: &mut Vec<u32>) -> Result<(), BadColumn> {
    let (flags, rest) = bytes.split_first().ok_or(BadColumn)?;
    let (width, has_others) = (flags & !HAS_OTHERS, flags & HAS_OTHERS != 0);
    if width > WIDTH_MAX {
        return Err(BadColumn);
    }
    bytes = rest;
    let words = read_varint(&mut bytes)?;
    // Also bounds the memory of a damaged column. Saturating: the number may be any that fits.
    if words.saturating_add(u32::from(has_others)) > 1 << width {
        return Err(BadColumn);
    }
    // An array and no vector: a question decodes thousands of columns.
    let mut dictionary = [0; 1 << WIDTH_MAX];
    for word in &mut dictionary[..words as usize] {
        *word = read_varint(&mut bytes)?;
    }
    let coded = (count * usize::from(width)).div_ceil(8);
    let (codes, mut others) = bytes.split_at_checked(coded).ok_or(BadColumn)?;
    numbers.clear();
    // Columns of one number are frequent, and have no codes to read.
    if width == 0 && words == 1 {
        numbers.resize(count, dictionary[0]);
        return if others.is_empty() { Ok(()) } else { Err(BadColumn) };
    }
    let mask = u8::try_from((1_u32 << width) - 1).expect("at most eight bits");
    // One load of 64 bits for eight codes is faster than a load for each.
    for at in (0..count).step_by(GROUP) {
        let mut group = group(codes, at / GROUP * usize::from(width), width);
        for _ in at..count.min(at + GROUP) {
            let code = group.to_le_bytes()[0] & mask;
            group >>= width;
            // Words first: without other numbers, the last code can be a word.
            numbers.push(if u32::from(code) < words {
                dictionary[usize::from(code)]
            } else if has_others && code == mask {
                read_varint(&mut others)?
            } else {
                return Err(BadColumn);
            });
        }
    }
    if others.is_empty() { Ok(()) } else { Err(BadColumn) }
}

/// Codes that are read at once. They end with a whole byte in every width, and the widest ones fit into 64 bits.
const GROUP: usize = 8;

/// Returns the bits of a group of codes, zeros behind the end.
fn group(codes: &[u8], start: usize, width: u8) -> u64 {
    let rest = codes.get(start..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk() {
        // The bits behind the group are of the next one, and are not read.
        return u64::from_le_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    let length = rest.len().min(usize::from(width));
    bytes[..length].copy_from_slice(&rest[..length]);
    u64::from_le_bytes(bytes)
}

/// The numbers of a column by their frequency.
struct Ranked {
    /// The different numbers with their frequencies, the most frequent first, and of these the lowest first.
    words: Vec<(u32, u32)>,
    /// For each number of the column the place of its first appearance among the different ones.
    places: Vec<u32>,
    /// The rank of each place: its index in `words`.
    rank_of: Vec<u32>,
}

impl Ranked {
    fn new(numbers: &[u32]) -> Ranked {
        let (mut found, mut place_of) = (Vec::<(u32, u32)>::new(), AHashMap::<u32, u32>::new());
        let mut places = Vec::with_capacity(numbers.len());
        let mut recent = None;
        // One look-up for each number, and none for a number like the one before: a merge encodes 14 columns.
        for number in numbers {
            let place = match recent {
                Some((before, place)) if before == *number => place,
                _ => *place_of.entry(*number).or_insert_with(|| {
                    found.push((*number, 0));
                    u32::try_from(found.len() - 1).expect("at most one for each cell of a block")
                }),
            };
            recent = Some((*number, place));
            found[place as usize].1 += 1;
            places.push(place);
        }
        let mut order: Vec<u32> = (0..).take(found.len()).collect();
        // By the number as well: equal columns have equal bytes.
        order.sort_unstable_by_key(|place| {
            let (number, times) = found[*place as usize];
            (u32::MAX - times, number)
        });
        let mut rank_of = vec![0; found.len()];
        for (rank, place) in (0..).zip(&order) {
            rank_of[*place as usize] = rank;
        }
        let words = order.into_iter().map(|place| found[place as usize]).collect();
        Ranked { words, places, rank_of }
    }

    /// Returns the rank of each number of the column.
    fn ranks(&self) -> impl Iterator<Item = u32> {
        self.places.iter().map(|place| self.rank_of[*place as usize])
    }
}

/// How a column would be encoded.
struct ColumnPlan {
    width: u8,
    /// Numbers in the dictionary.
    words: usize,
    has_others: bool,
    /// Bytes behind the first one.
    bytes: usize,
}

impl ColumnPlan {
    fn new(width: u8, ranked: &[(u32, u32)]) -> ColumnPlan {
        let codes = 1 << width;
        let has_others = ranked.len() > codes;
        // The escape takes one code, so one word fewer fits.
        let words = if has_others { codes - 1 } else { ranked.len() };
        let (dictionary, others) = ranked.split_at(words);
        let all: usize = ranked.iter().map(|(_, times)| *times as usize).sum();
        let listed: usize = dictionary.iter().map(|(number, _)| varint_len(*number)).sum();
        let behind: usize = others.iter().map(|(number, times)| varint_len(*number) * *times as usize).sum();
        let coded = (all * usize::from(width)).div_ceil(8);
        // The length of the dictionary is left out: it grows by one byte at 128 words, too little to matter.
        ColumnPlan { width, words, has_others, bytes: listed + coded + behind }
    }
}

/// Appends codes of equal width.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    width: u8,
    buffer: u32,
    filled: u8,
}

impl BitWriter<'_> {
    fn push(&mut self, code: u32) {
        // At most seven bits are left from before and a code has eight, so the buffer has room.
        self.buffer |= code << self.filled;
        self.filled += self.width;
        while self.filled >= 8 {
            self.out.push(self.buffer.to_le_bytes()[0]);
            self.buffer >>= 8;
            self.filled -= 8;
        }
    }

    fn finish(self) {
        if self.filled > 0 {
            self.out.push(self.buffer.to_le_bytes()[0]);
        }
    }
}

/// Appends a varint.
pub fn write_varint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Removes a varint from the front of `bytes` and returns it.
pub fn read_varint(bytes: &mut &[u8]) -> Result<u32, BadColumn> {
    let mut number = 0;
    // Five bytes have 35 bits, so no number needs a sixth.
    for shift in (0..).step_by(7).take(5) {
        let (byte, rest) = bytes.split_first().ok_or(BadColumn)?;
        *bytes = rest;
        let part = u32::from(byte & 0x7f);
        // The fifth byte has room for four bits.
        if shift == 28 && part > 0xf {
            return Err(BadColumn);
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(BadColumn)
}

fn varint_len(number: u32) -> usize {
    (32 - (number | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(numbers: &[u32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(numbers, &mut bytes);
        bytes
    }

    fn decoded(bytes: &[u8], count: usize) -> Result<Vec<u32>, BadColumn> {
        // With old numbers in it: a block uses its vectors again, and they must be replaced.
        let mut numbers = vec![9; 3];
        decode(bytes, count, &mut numbers).map(|()| numbers)
    }

    #[test]
    fn the_bytes_of_columns() {
        let rows: [(&[u32], &[u8]); 6] = [
            (&[], &[0, 0]),
            (&[7, 7, 7], &[0, 1, 7]),
            (&[300], &[0, 1, 0xac, 2]),
            // Four numbers of two bits.
            (&[5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8], &[2, 4, 5, 6, 7, 8, 0xe4, 0xe4, 0xe4]),
            // Rare numbers behind a code of one bit.
            (&[1, 1, 1, 1, 1, 1, 1, 9, 8], &[0x81, 1, 1, 0b1000_0000, 1, 9, 8]),
            // The largest number takes five bytes, of which the last has four bits.
            (&[u32::MAX; 2], &[0, 1, 0xff, 0xff, 0xff, 0xff, 0xf]),
        ];
        for (numbers, bytes) in rows {
            assert_eq!(encoded(numbers), bytes, "{numbers:?}");
            assert_eq!(decoded(bytes, numbers.len()).as_deref(), Ok(numbers));
        }
    }

    #[test]
    fn bytes_that_are_no_column_are_rejected() {
        let rows: [(&[u8], usize); 9] = [
            (&[], 1),
            (&[9, 0], 1),
            // Two words for one code, and a word beside the code of others.
            (&[0, 2, 1, 1], 1),
            (&[0x81, 2, 1, 1, 0], 1),
            // A code without a word.
            (&[1, 1, 5, 1], 1),
            // Codes, a word and another number that are cut.
            (&[1, 2, 1, 2], 1),
            (&[0, 1, 0x80], 1),
            (&[0x81, 1, 1, 1], 1),
            // Bytes behind the end.
            (&[0, 1, 7, 7], 1),
        ];
        for (bytes, count) in rows {
            assert_eq!(decoded(bytes, count), Err(BadColumn), "{bytes:?}");
        }
        assert_eq!(read_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), Err(BadColumn), "33 bits");
    }

    proptest! {
        #[test]
        fn a_column_returns_its_numbers(
            // Many different numbers, few numbers, and few numbers with rare others: each makes another plan.
            numbers in prop_oneof![
                proptest::collection::vec(any::<u32>(), 0..400),
                proptest::collection::vec(0_u32..5, 0..400),
                proptest::collection::vec(prop_oneof![9 => 0_u32..20, 1 => any::<u32>()], 0..400),
            ]
        ) {
            let bytes = encoded(&numbers);
            // A dictionary must never make a column longer than its plain varints.
            prop_assert!(bytes.len() <= 2 + 5 * numbers.len());
            prop_assert_eq!(decoded(&bytes, numbers.len()), Ok(numbers));
        }

        #[test]
        fn damaged_columns_end(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0_usize..400) {
            // Damaged bytes may decode to other numbers, but never to more of them, and never panic.
            if let Ok(numbers) = decoded(&bytes, count) {
                prop_assert_eq!(numbers.len(), count);
            }
        }
    }
}
