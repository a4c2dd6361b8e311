//! [`FrameCounter`]: how many bytes of a client's frames are payload of requests, and how many are not.
//!
//! Every frame begins with 9 bytes: length of the payload, type, flags, stream (RFC 9113 4.1). Nothing else is read
//! here; `h2` parses the frames.

/// The length of a frame's header.
const HEADER: usize = 9;

/// The type of frames with the body of a request (RFC 9113 6.1).
const DATA: u8 = 0;

/// The type of frames that begin the head of a request, or its trailers (RFC 9113 6.2).
const HEADERS: u8 = 1;

/// The preface of a client, before its first frame (RFC 9113 3.4).
const PREFACE: usize = 24;

/// Counts the bytes of one connection.
#[derive(Debug)]
pub(super) struct FrameCounter {
    /// Bytes of the preface or of a payload that are still to come.
    skip: usize,
    /// Whether that payload is of a body.
    is_data: bool,
    /// The bytes of a header that has begun.
    header: [u8; HEADER],
    has: usize,
    /// Bytes of bodies.
    pub(super) body: u64,
    /// All other bytes: frames that are no body, and the headers of those that are.
    pub(super) other: u64,
    /// Heads of requests, and trailers.
    pub(super) heads: u64,
}

impl Default for FrameCounter {
    fn default() -> FrameCounter {
        FrameCounter {
            skip: PREFACE,
            is_data: false,
            header: [0; HEADER],
            has: 0,
            body: 0,
            other: 0,
            heads: 0,
        }
    }
}

impl FrameCounter {
    /// Counts the bytes of one read.
    pub(super) fn count(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                let counter = if self.is_data { &mut self.body } else { &mut self.other };
                *counter += skipped as u64;
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEADER - self.has).min(bytes.len());
            self.header[self.has..self.has + taken].copy_from_slice(&bytes[..taken]);
            self.has += taken;
            self.other += taken as u64;
            bytes = &bytes[taken..];
            if self.has == HEADER {
                let [a, b, c, kind, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.is_data = kind == DATA;
                self.heads += u64::from(kind == HEADERS);
                self.has = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).expect("short").to_be_bytes();
        let mut bytes = vec![a, b, c, kind, 0, 0, 0, 0, 1];
        bytes.resize(HEADER + length, 7);
        bytes
    }

    #[test]
    fn bodies_are_told_from_all_other_frames() {
        let mut counter = FrameCounter::default();
        counter.count(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!((counter.body, counter.other), (0, 24));
        // SETTINGS, HEADERS, DATA, an empty DATA, PING.
        for (kind, length) in [(4, 6), (1, 300), (0, 70_000), (0, 0), (6, 8)] {
            counter.count(&frame(kind, length));
        }
        assert_eq!((counter.body, counter.other, counter.heads), (70_000, 24 + 5 * 9 + 6 + 300 + 8, 1));
    }

    proptest! {
        #[test]
        fn the_cuts_between_reads_do_not_matter(
            frames in prop::collection::vec((0_u8..12, 0_usize..40), 0..12),
            cuts in prop::collection::vec(1_usize..30, 1..60),
        ) {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            bytes.extend(frames.iter().flat_map(|(kind, length)| frame(*kind, *length)));
            let (mut whole, mut parts) = (FrameCounter::default(), FrameCounter::default());
            whole.count(&bytes);
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, behind) = rest.split_at((*cut).min(rest.len()));
                parts.count(part);
                rest = behind;
            }
            prop_assert_eq!((whole.body, whole.other), (parts.body, parts.other));
            prop_assert_eq!(whole.body + whole.other, bytes.len() as u64);
        }
    }
}
