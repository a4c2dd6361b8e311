//! PNG: writes pictures of one bit a pixel, and reads the frame of a logo (RFC 2083, RFC 1950, RFC 1951).
//!
//! Pictures are not compressed: the largest has 514 KB, and most have 33 KB. A deflate library would be the only one of the
//! server, which accepts no compressed bodies either.

use crate::model::color::Inks;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Longest stored block of deflate.
const BLOCK_MAX: usize = 65_535;

/// Largest width and height of a logo in pixels: a picture of this size takes 64 MB in the memory of a browser.
pub(super) const LOGO_SIDE_MAX: u32 = 4_096;

/// Returns a square picture. `row` is called for each row from the top, and sets the bits of its dark pixels in a row of
/// zeros, the leftmost pixel in the highest bit.
pub(super) fn square(side: u32, inks: Inks, mut row: impl FnMut(u32, &mut [u8])) -> Vec<u8> {
    let width = side.div_ceil(8) as usize;
    // Each row begins with its filter, here none.
    let mut pixels = vec![0; (width + 1) * side as usize];
    for (y, line) in (0..).zip(pixels.chunks_exact_mut(width + 1)) {
        row(y, &mut line[1..]);
    }
    let mut head = Vec::with_capacity(13);
    head.extend(side.to_be_bytes());
    head.extend(side.to_be_bytes());
    // One bit of a palette, deflate, filters by row, not interlaced.
    head.extend([1, 3, 0, 0, 0]);
    let mut png = Vec::with_capacity(pixels.len() + pixels.len() / BLOCK_MAX * 5 + 128);
    png.extend(SIGNATURE);
    chunk(&mut png, *b"IHDR", &head);
    chunk(&mut png, *b"PLTE", &[inks.background.0, inks.foreground.0].concat());
    chunk(&mut png, *b"IDAT", &stored(&pixels));
    chunk(&mut png, *b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).expect("a picture is far shorter than 4 GB");
    png.extend(length.to_be_bytes());
    let from = png.len();
    png.extend(kind);
    png.extend(data);
    let sum = crc32(&png[from..]);
    png.extend(sum.to_be_bytes());
}

/// Returns a zlib stream of stored blocks.
fn stored(data: &[u8]) -> Vec<u8> {
    // A window of 32 KB, and a check that makes the two bytes a multiple of 31.
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(BLOCK_MAX).peekable();
    while let Some(block) = blocks.next() {
        stream.push(u8::from(blocks.peek().is_none()));
        let length = u16::try_from(block.len()).expect("a block has at most 65,535 bytes");
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(data).to_be_bytes());
    stream
}

fn adler32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    // The largest number of bytes whose sums fit 32 bits before the division.
    for part in data.chunks(5_552) {
        for byte in part {
            a += u32::from(*byte);
            b += a;
        }
        a %= 65_521;
        b %= 65_521;
    }
    b << 16 | a
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at: u32 = 0;
    // A `while`, since constants cannot use `for`.
    while at < 256 {
        let (mut sum, mut bit) = (at, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
            bit += 1;
        }
        table[at as usize] = sum;
        at += 1;
    }
    table
};

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |sum, byte| CRC_TABLE[((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8))
}

/// Returns whether the bytes begin like a PNG.
pub(super) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Checks that the bytes are chunks of a PNG, from the header to the end. Pixels are not decoded. Fails with what is wrong.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    const CUT: &str = "is a damaged PNG: it ends within a chunk";
    let mut rest = bytes.strip_prefix(SIGNATURE).ok_or("is no PNG")?;
    let (mut is_first, mut has_pixels) = (true, false);
    loop {
        let (length, behind) = rest.split_first_chunk::<4>().ok_or(CUT)?;
        let (kind, behind) = behind.split_first_chunk::<4>().ok_or(CUT)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (data, behind) = behind.split_at_checked(length).ok_or(CUT)?;
        let (sum, behind) = behind.split_first_chunk::<4>().ok_or(CUT)?;
        if u32::from_be_bytes(*sum) != crc32(&rest[4..8 + length]) {
            return Err("is a damaged PNG: the checksum of a chunk is wrong");
        }
        // Exactly one, at the beginning: decoders differ in which of two headers counts.
        if is_first != (kind == b"IHDR") {
            return Err("is a damaged PNG: it does not begin with one header");
        }
        match kind {
            b"IHDR" => check_head(data)?,
            b"IDAT" => has_pixels = true,
            // As in an SVG: scanners read one frame.
            b"acTL" => return Err("must not be an animated PNG"),
            b"IEND" if !has_pixels => return Err("is a damaged PNG: it has no pixels"),
            b"IEND" if !behind.is_empty() => return Err("has bytes behind the end of the PNG"),
            b"IEND" => return Ok(()),
            _ => {}
        }
        (is_first, rest) = (false, behind);
    }
}

fn check_head(data: &[u8]) -> Result<(), &'static str> {
    let side = |at: usize| Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?));
    match (side(0), side(4), data.len()) {
        (Some(1..=LOGO_SIDE_MAX), Some(1..=LOGO_SIDE_MAX), 13) => Ok(()),
        (Some(_), Some(_), 13) => Err("must be 1 to 4096 pixels wide and high"),
        _ => Err("is a damaged PNG: its header is not of 13 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        assert_eq!((crc32(b"123456789"), crc32(b"IEND")), (0xcbf4_3926, 0xae42_6082));
        assert_eq!((adler32(b"Wikipedia"), adler32(b"")), (0x11e6_0398, 1));
        // Past the bytes between two divisions.
        assert_eq!(adler32(&vec![255; 20_000]), 0x9f51_d664);
    }

    #[test]
    fn stored_blocks_have_their_lengths() {
        for length in [0, 1, BLOCK_MAX, BLOCK_MAX + 1, 3 * BLOCK_MAX] {
            let data: Vec<u8> = (0..=255).cycle().take(length).collect();
            let stream = stored(&data);
            let (mut rest, mut read) = (&stream[2..stream.len() - 4], Vec::<u8>::new());
            let mut is_last = length == 0;
            while !rest.is_empty() {
                is_last = rest[0] == 1;
                let length = u16::from_le_bytes([rest[1], rest[2]]);
                assert_eq!(u16::from_le_bytes([rest[3], rest[4]]), !length);
                read.extend(&rest[5..5 + usize::from(length)]);
                rest = &rest[5 + usize::from(length)..];
            }
            assert!(read == data && is_last, "{length}");
        }
    }

    #[test]
    fn damaged_pictures_are_named() {
        let good = square(8, Inks::default(), |_, row| row[0] = 0xf0);
        assert_eq!(check(&good), Ok(()));
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        // A chunk is 12 bytes longer than its data.
        let with_head = |head: &[u8]| {
            let mut png = SIGNATURE.to_vec();
            chunk(&mut png, *b"IHDR", head);
            [&png[..], &good[8 + 25..]].concat()
        };
        let head = |width: u32, height: u32| {
            [&width.to_be_bytes()[..], &height.to_be_bytes(), &[1, 3, 0, 0, 0]].concat()
        };
        let without_pixels = [&good[..8 + 25 + 18], &good[good.len() - 12..]].concat();
        let mut animation = good[..8 + 25].to_vec();
        chunk(&mut animation, *b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]);
        animation.extend(&good[8 + 25..]);
        let rows: [(Vec<u8>, &str); 10] = [
            (animation, "must not be an animated PNG"),
            (changed(0, 0), "is no PNG"),
            (good[..good.len() - 1].to_vec(), "is a damaged PNG: it ends within a chunk"),
            (good[..8].to_vec(), "is a damaged PNG: it ends within a chunk"),
            (changed(20, 9), "is a damaged PNG: the checksum of a chunk is wrong"),
            ([&good[..8], &good[8 + 25..]].concat(), "is a damaged PNG: it does not begin with one header"),
            (with_head(&head(0, 8)), "must be 1 to 4096 pixels wide and high"),
            (with_head(&head(8, 4_097)), "must be 1 to 4096 pixels wide and high"),
            (with_head(&[0; 12]), "is a damaged PNG: its header is not of 13 bytes"),
            (without_pixels, "is a damaged PNG: it has no pixels"),
        ];
        for (bytes, want) in rows {
            assert_eq!(check(&bytes), Err(want), "{want}");
        }
        assert_eq!(check(&[&good[..], b"x"].concat()), Err("has bytes behind the end of the PNG"));
    }
}
