//! The bytes of the log: frames, headers, footers, and a folder with one segment of them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::input::Input;
use crate::clock::Timestamp;
use crate::log::frame::header_footer::{
    CLOSED_BYTES, Closed, FOOTER_BYTES, Footer, HEADER_BYTES, Header, SegmentKind,
};
use crate::log::frame::{
    self, FRAME_HEADER, Frame, FrameHead, MAGIC, write_change, write_checkpoint, write_clean_close,
    write_records,
};
use crate::log::local::archive::Archive;
use crate::log::local::disk::{Disk, DiskFile};
use crate::log::{Fingerprint, MAX_CHANGE_BYTES, Position};

/// Asserts that everything that decodes is encoded to the same, and that any folder is read to its end.
pub(super) fn log(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() & 3 {
        0 => payload(Position(u64::from(input.byte())), input.0),
        1 => ends(input.0),
        2 => folder(vec![("000000000001.log", input.0.to_vec())]),
        _ => folder(vec![("000000000001.log", segment(&mut input))]),
    }
}

/// Asserts that a payload that decodes is encoded to a payload that decodes to the same.
fn payload(position: Position, bytes: &[u8]) {
    let _ = FrameHead::parse(bytes);
    let Ok(first) = frame::decode(position, &Bytes::copy_from_slice(bytes)) else { return };
    let mut out = Vec::new();
    match &first {
        Frame::Change(change, durable) => {
            if write_change(&mut out, change, *durable).is_err() {
                assert!(bytes.len() > MAX_CHANGE_BYTES / 2, "it fitted before");
                return;
            }
        }
        Frame::Checkpoint(fingerprint) => write_checkpoint(&mut out, position, *fingerprint),
        Frame::CleanClose(fingerprint) => write_clean_close(&mut out, position, *fingerprint),
        Frame::Records(records) => write_records(&mut out, position, records),
    }
    let head = FrameHead::parse(&out).expect("a written frame");
    assert_eq!((head.position, head.length), (position, out.len() - FRAME_HEADER));
    let body = Bytes::from(out).slice(FRAME_HEADER..);
    assert!(head.guards(&body), "its own checksum");
    assert_eq!(frame::decode(position, &body).expect("the written payload"), first);
    let mut broken = body.to_vec();
    broken[0] ^= 0x40;
    assert!(!head.guards(&broken), "one flipped bit");
}

/// Asserts that headers, footers and marks with a correct checksum are encoded to the same bytes.
fn ends(bytes: &[u8]) {
    let _ = (Header::decode(bytes), Footer::decode(bytes), Closed::decode(bytes));
    let checked = |length: usize| {
        let mut bytes = bytes.get(..length - 4)?.to_vec();
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        Some(bytes)
    };
    if let Some(bytes) = checked(HEADER_BYTES)
        && let Ok(header) = Header::decode(&bytes)
    {
        assert_eq!(header.encode(), bytes);
    }
    if let Some(bytes) = checked(FOOTER_BYTES)
        && let Some(footer) = Footer::decode(&bytes)
    {
        assert_eq!(footer.encode(), bytes);
    }
    if let Some(bytes) = checked(CLOSED_BYTES)
        && let Some(closed) = Closed::decode(&bytes)
    {
        assert_eq!(closed.encode(), bytes);
    }
}

/// Returns a segment with a header and frames of any content, most of them with correct checksums.
fn segment(input: &mut Input<'_>) -> Vec<u8> {
    let header = Header {
        kind: SegmentKind::Changes,
        log: 7,
        sequence: 1,
        before: Position::START,
        fingerprint: Fingerprint::default(),
        created: Timestamp::from_millis(0),
    };
    let mut bytes = header.encode();
    while !input.is_empty() {
        let (how, position, length) = (input.byte(), input.byte(), input.byte());
        let payload = input.take(usize::from(length));
        if how & 1 == 0 {
            bytes.extend_from_slice(payload);
            continue;
        }
        let mut covered = u64::from(position).to_le_bytes().to_vec();
        covered.extend_from_slice(&u32::from(length).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&covered), payload);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&covered);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(payload);
    }
    bytes
}

/// Asserts that opening and verifying end with a result.
fn folder(files: Vec<(&'static str, Vec<u8>)>) {
    let Ok(archive) = Archive::read(MemoryDisk(files)) else { return };
    let total = archive.bytes();
    if let Ok(report) = archive.verify(&mut |_, _| {}) {
        assert!(report.base <= report.position);
        assert_eq!(report.bytes, total);
        let live = archive.each_record(&mut |_| Ok(()));
        assert!(!report.is_sound() || live.is_ok(), "sound, and yet {live:?}");
    }
}

/// A read-only folder in memory.
#[derive(Debug)]
struct MemoryDisk(Vec<(&'static str, Vec<u8>)>);

#[derive(Debug)]
struct MemoryFile(Vec<u8>);

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.iter().map(|(name, _)| (*name).to_owned()).collect())
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
        read_only()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        let (_, bytes) = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile(bytes.clone())))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        read_only()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        read_only()
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        name.to_owned()
    }
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let length = buffer.len().min(self.0.len() - from);
        buffer[..length].copy_from_slice(&self.0[from..from + length]);
        Ok(length)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        read_only()
    }

    fn set_size(&self, _: u64) -> io::Result<()> {
        read_only()
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
