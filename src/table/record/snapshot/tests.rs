//! The bytes of snapshots, read back and pinned.

use proptest::prelude::*;

use super::*;
use crate::model::destination::{Destination, LinkType};
use crate::model::id::ForeignId;

fn id(text: &str) -> ForeignId {
    ForeignId::parse("id", text).expect("a valid id")
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn snapshot() -> Snapshot {
    Snapshot {
        id: id("s1"),
        frozen: Id::from_bits(7),
        company: id("c"),
        workspace: WorkspaceNumber(2),
        name: "N".into(),
        kind: SnapshotKind::Imported,
        links: 3,
        tags: 1,
        has_passwords: true,
        chunks: 2,
        created_at: at(5),
    }
}

fn import(status: ImportStatus) -> Import {
    Import {
        id: Id::from_bits(9),
        share: Id::from_bits(8),
        snapshot: id("s1"),
        frozen: Id::from_bits(7),
        company: id("c"),
        workspace: WorkspaceNumber(2),
        status,
        links: 3,
        made: 2,
        skipped: 1,
        renamed: 0,
        created_at: at(5),
        finished_at: Some(at(6)),
    }
}

fn share(kind: ShareKind) -> Share {
    Share {
        id: Id::from_bits(8),
        snapshot: id("s1"),
        frozen: Id::from_bits(7),
        kind,
        used_at: None,
        created_at: at(5),
    }
}

fn frozen() -> FrozenLink {
    let destination = Destination::parse_web("url", "https://e.test/").expect("valid");
    let mut options = Options::new(destination, LinkType::Url);
    // An index among the snapshot's tags, not an id.
    options.tags = vec![Id::from_bits(0)];
    FrozenLink {
        domain: Some("d".into()),
        code: ShortCode::from_stored("a"),
        typed_code: Some(ShortCode::from_stored("A")),
        options,
    }
}

#[test]
fn everything_survives() {
    assert_eq!(Snapshot::decode(&snapshot().encode()).ok(), Some(snapshot()));
    for kind in [
        ShareKind::Once,
        ShareKind::Permanent,
        ShareKind::Companies(vec!["0-1-2".into()]),
        ShareKind::Workspaces(vec![id("w")]),
    ] {
        assert_eq!(Share::decode(&share(kind.clone()).encode()).ok(), Some(share(kind)));
    }
    let failures = [
        ImportFailure::Interrupted,
        ImportFailure::UsedUp,
        ImportFailure::CodeTaken("x".into()),
        ImportFailure::NoCredits,
        ImportFailure::SnapshotGone,
        ImportFailure::Refused("why".into()),
        ImportFailure::Unavailable,
    ];
    let failed = failures.into_iter().map(ImportStatus::Failed);
    for status in [ImportStatus::Pending, ImportStatus::Completed].into_iter().chain(failed) {
        let import = import(status);
        assert_eq!(Import::decode(&import.encode()).ok(), Some(import));
    }
    let Ok(Chunk::Links(links)) = Chunk::decode(&Chunk::Links(vec![frozen()]).encode()) else {
        panic!("links")
    };
    assert_eq!(format!("{links:?}"), format!("{:?}", [frozen()]));
}

/// These bytes are on users' disks: if this test fails, add a version instead of editing it.
#[test]
fn version_1_is_read_for_ever() {
    let golden = [1, 2, b's', b'1', 7, 1, b'c', 2, 1, b'N', 1, 3, 1, 1, 2, 10];
    assert_eq!(Snapshot::decode(&golden).ok(), Some(snapshot()));
    assert_eq!(snapshot().encode(), golden);
    let golden = [1, 8, 2, b's', b'1', 7, 2, 1, 5, b'0', b'-', b'1', b'-', b'2', 0, 10];
    let listed = share(ShareKind::Companies(vec!["0-1-2".into()]));
    assert_eq!(Share::decode(&golden).ok(), Some(listed.clone()));
    assert_eq!(listed.encode(), golden);
    let golden = [1, 9, 8, 2, b's', b'1', 7, 1, b'c', 2, 2, 2, 1, b'x', 3, 2, 1, 0, 10, 1, 12];
    let failed = import(ImportStatus::Failed(ImportFailure::CodeTaken("x".into())));
    assert_eq!(Import::decode(&golden).ok(), Some(failed.clone()));
    assert_eq!(failed.encode(), golden);
    let golden = [1, 0, 1, 1, b't', 2, b'#', b'0'];
    let tags = Chunk::decode(&golden).expect("version 1");
    assert!(matches!(&tags, Chunk::Tags(tags) if **tags == [("t".into(), "#0".into())]), "{tags:?}");
    assert_eq!(tags.encode(), golden);
    assert_eq!(FrozenId::decode(&[1, 7]).ok(), Some(FrozenId(Id::from_bits(7))));
    assert_eq!(FrozenId(Id::from_bits(7)).encode(), [1, 7]);
    let (frozen_id, zero) = (Id::from_bits(7), Timestamp::from_millis(0));
    let before = WorkMark { frozen: frozen_id, owner: NodeNumber::ALONE, until: zero };
    assert_eq!(WorkMark::decode(&[1, 7]).ok(), Some(before), "a mark from before leases");
    // Three different numbers: exchanged fields are noticed.
    let mark = WorkMark { frozen: frozen_id, owner: NodeNumber(3), until: Timestamp::from_millis(5) };
    assert_eq!(mark.encode(), [2, 7, 3, 10]);
    assert_eq!(WorkMark::decode(&mark.encode()).ok(), Some(mark));
    let links = Chunk::Links(vec![frozen()]).encode();
    // The ninth byte is the length of the link's record, which has golden bytes of its own.
    assert_eq!(links[..9], [1, 1, 1, 1, 1, b'd', 1, b'a', links[8]]);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
        bytes[0] = 1;
        let _ = Snapshot::decode(&bytes);
        let _ = Share::decode(&bytes);
        let _ = Import::decode(&bytes);
        let _ = Chunk::decode(&bytes);
        let _ = FrozenId::decode(&bytes);
        let _ = WorkMark::decode(&bytes);
        // Marks of work have a second version.
        bytes[0] = 2;
        let _ = WorkMark::decode(&bytes);
    }
}
