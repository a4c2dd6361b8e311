//! Whose a record is, read from its first fields alone, and its checksum left aside: who may not
//! see a record is refused in a time that does not depend on it.

use serde::Deserialize;

use super::{CELL_HEADER, CONFIG};
use crate::model::snapshot::{Import, Snapshot};
use crate::model::workspace::WorkspaceNumber;

/// Whose a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The company's id.
    pub company: &'a str,
    /// The workspace.
    pub workspace: WorkspaceNumber,
}

/// A record under a key that all workspaces share.
pub trait Owned {
    /// Its owner; `None` when these bytes do not tell.
    fn owner(bytes: &[u8]) -> Option<Owner<'_>>;
}

/// What the table keeps under a key, without what stands before the record's bytes.
pub(in crate::table) fn unchecked(cell: &[u8]) -> Option<&[u8]> {
    cell.get(CELL_HEADER..)
}

/// The first fields of a record.
fn first<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    bincode::serde::borrow_decode_from_slice(bytes, CONFIG).ok().map(|(fields, _)| fields)
}

/// The workspace of a link's record; `None` when these bytes do not tell.
pub(in crate::table) fn workspace_of_link(bytes: &[u8]) -> Option<WorkspaceNumber> {
    let (version, rest) = bytes.split_first()?;
    let number = match version {
        1 => first::<(u128, u32)>(rest)?.1,
        2 => first::<(u128, u128, u32)>(rest)?.2,
        _ => return None,
    };
    Some(WorkspaceNumber(number))
}

impl Owned for Snapshot {
    fn owner(bytes: &[u8]) -> Option<Owner<'_>> {
        let (1, rest) = bytes.split_first().map(|(version, rest)| (*version, rest))? else { return None };
        let (_, _, company, workspace) = first::<(&str, u128, &str, u32)>(rest)?;
        Some(Owner { company, workspace: WorkspaceNumber(workspace) })
    }
}

impl Owned for Import {
    fn owner(bytes: &[u8]) -> Option<Owner<'_>> {
        let (1, rest) = bytes.split_first().map(|(version, rest)| (*version, rest))? else { return None };
        let (_, _, _, _, company, workspace) = first::<(u128, u128, &str, u128, &str, u32)>(rest)?;
        Some(Owner { company, workspace: WorkspaceNumber(workspace) })
    }
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
    use crate::model::snapshot::{ImportStatus, SnapshotKind};
    use crate::table::record::{LinkAt, Staged, Stored};

    /// The owner of all of it, and that of its beginning: none of what follows is looked at.
    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(bytes: &[u8], owner: fn(&[u8]) -> Option<T>, want: &T) {
        assert_eq!(owner(bytes).as_ref(), Some(want));
        let (first, _) = bytes.split_at(bytes.len() - 6);
        assert_eq!(owner(first).as_ref(), Some(want), "without its end");
        let newer = [&[99], &bytes[1..]].concat();
        assert_eq!(owner(&newer), None, "a newer version is read whole, or refused");
        assert_eq!(owner(&[]), None);
    }

    fn shown(owner: Option<Owner<'_>>) -> Option<(String, u32)> {
        owner.map(|owner| (owner.company.to_owned(), owner.workspace.0))
    }

    #[test]
    fn the_first_fields_tell_whose_it_is() {
        let id = |text| ForeignId::parse("id", text).expect("an id");
        let to = Destination::parse_web("url", "https://e.test/long/enough").expect("a URL");
        let link = Link {
            id: Id::from_bits(u128::MAX),
            workspace: WorkspaceNumber(70_000),
            domain: DomainNumber(0),
            code: ShortCode::from_stored("a"),
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
        let want = ("company".to_owned(), 2);
        check(&snapshot.encode(), |bytes| shown(Snapshot::owner(bytes)), &want);
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
        check(&import.encode(), |bytes| shown(Import::owner(bytes)), &want);
    }
}
