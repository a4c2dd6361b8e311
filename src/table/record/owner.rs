//! The owner of a record, read from its first fields alone and without its checksum. The time of a refusal
//! then does not depend on the record: a reader without access cannot measure it.

use serde::Deserialize;

use super::{CELL_HEADER, CONFIG};
use crate::model::workspace::WorkspaceNumber;

/// The owner of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The company's id.
    pub company: Box<str>,
    /// The workspace.
    pub workspace: WorkspaceNumber,
}

/// A record under a key that all workspaces share.
pub trait Owned {
    /// Returns the owner from the first fields of a record, `None` if they are damaged or of an unknown
    /// version. The cost does not depend on the rest of the record.
    fn owner_in(bytes: &[u8]) -> Option<Owner>;

    /// Returns the owner of a decoded record.
    fn owner(&self) -> Owner;
}

/// Returns the bytes of a record in its cell, without a check of the checksum.
pub(in crate::table) fn unchecked(cell: &[u8]) -> Option<&[u8]> {
    // The time to check the checksum would grow with the record: see the head of this file.
    cell.get(CELL_HEADER..)
}

/// Decodes the first fields of a record. `T` is the type of the record's own first field.
pub(super) fn read_first<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    // Without the check for trailing bytes: the rest of the record follows.
    bincode::serde::borrow_decode_from_slice(bytes, CONFIG).ok().map(|(fields, _)| fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::destination::{Destination, LinkType};
    use crate::model::domain::DomainNumber;
    use crate::model::id::{ForeignId, Id};
    use crate::model::link::{Link, Options};
    use crate::model::short_code::ShortCode;
    use crate::model::snapshot::{Import, ImportStatus, Snapshot, SnapshotKind};
    use crate::table::record::{LinkAt, Staged, Stored, workspace_of_link};

    /// Checks the owner of a whole record, and of its beginning: the rest is not read.
    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(bytes: &[u8], owner: fn(&[u8]) -> Option<T>, want: &T) {
        assert_eq!(owner(bytes).as_ref(), Some(want));
        // Behind the first fields of each of these records.
        let (first, _) = bytes.split_at(bytes.len() - 6);
        assert_eq!(owner(first).as_ref(), Some(want), "without its end");
        let newer = [&[99], &bytes[1..]].concat();
        assert_eq!(owner(&newer), None, "a newer version is read whole, or refused");
        assert_eq!(owner(&[]), None);
    }

    #[test]
    fn the_owner_is_read_from_the_first_fields() {
        let id = |text| ForeignId::parse("id", text).expect("an id");
        let to = Destination::parse_web("url", "https://e.test/long/enough").expect("a URL");
        let link = Link {
            id: Id::from_bits(u128::MAX),
            // A number of three bytes: the fields have no fixed length.
            workspace: WorkspaceNumber(70_000),
            domain: DomainNumber(0),
            code: ShortCode::from_stored("a"),
            typed_code: None,
            aliases: Vec::new(),
            created_at: Timestamp::from_millis(1),
            updated_at: Timestamp::from_millis(1),
            created_by: None,
            options: Options::new(to, LinkType::Url),
        };
        check(&LinkAt::encode(&link), workspace_of_link, &link.workspace);
        check(&Staged::encode(&link, Id::from_bits(9)), workspace_of_link, &link.workspace);
        let snapshot = Snapshot {
            id: id("s1"),
            frozen: Id::from_bits(7),
            company: id("company"),
            workspace: WorkspaceNumber(2),
            name: "A name".into(),
            kind: SnapshotKind::Own,
            links: 3,
            tags: 1,
            has_passwords: true,
            chunks: 2,
            created_at: Timestamp::from_millis(5),
        };
        check(&snapshot.encode(), Snapshot::owner_in, &snapshot.owner());
        let import = Import {
            id: Id::from_bits(9),
            share: Id::from_bits(8),
            snapshot: id("s1"),
            frozen: Id::from_bits(7),
            company: id("company"),
            workspace: WorkspaceNumber(2),
            status: ImportStatus::Completed,
            links: 3,
            made: 2,
            skipped: 1,
            renamed: 0,
            created_at: Timestamp::from_millis(5),
            finished_at: None,
        };
        check(&import.encode(), Import::owner_in, &import.owner());
        let want = Owner { company: "company".into(), workspace: WorkspaceNumber(2) };
        assert_eq!((snapshot.owner(), import.owner()), (want.clone(), want));
    }
}
