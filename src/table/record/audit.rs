//! Records of the audit list: its entries, and names of keys that no longer exist.

use serde::{Deserialize, Serialize};

use super::link::LinkCopy;
use super::{Corrupt, Stored, read, unknown, version, write};
use crate::clock::Timestamp;
use crate::model::audit::{AuditAct, AuditEntry, AuditSubject, SubjectId, SubjectKind};
use crate::model::id::{ForeignId, Id};

/// Version 1. The key has the workspace and the id, and so the time.
#[derive(Serialize, Deserialize)]
struct AuditV1 {
    by: Option<u128>,
    act: u8,
    kind: u8,
    subject: SubjectIdV1,
    name: Option<Box<str>>,
    before: Option<LinkCopy>,
}

/// Version 2, of a change of an object that is no link: with the names of its changed fields.
#[derive(Serialize, Deserialize)]
struct AuditV2 {
    entry: AuditV1,
    fields: Vec<Box<str>>,
}

#[derive(Serialize, Deserialize)]
enum SubjectIdV1 {
    // bincode writes the index of a variant: the order never changes, and later variants are last.
    Own(u128),
    Foreign(Box<str>),
}

impl Stored for AuditEntry {
    fn encode(&self) -> Vec<u8> {
        // Every field is named, so that a new one does not compile until it is stored.
        let AuditEntry { by, act, subject: AuditSubject { kind, id }, name, before, fields } = self;
        let record = AuditV1 {
            by: by.map(Id::bits),
            act: act.number(),
            kind: kind.number(),
            subject: match id {
                SubjectId::Own(id) => SubjectIdV1::Own(id.bits()),
                SubjectId::Foreign(id) => SubjectIdV1::Foreign(id.as_str().into()),
            },
            name: name.clone(),
            before: before.as_deref().map(LinkCopy::of),
        };
        // Most entries have none, and stay readable for earlier versions.
        if fields.is_empty() {
            return write(1, &record);
        }
        write(2, &AuditV2 { entry: record, fields: fields.clone() })
    }

    fn decode(bytes: &[u8]) -> Result<AuditEntry, Corrupt> {
        let (entry, fields) = match version(bytes)? {
            // Also of every entry without fields.
            (1, rest) => (read(rest)?, Vec::new()),
            (2, rest) => {
                let AuditV2 { entry, fields } = read(rest)?;
                (entry, fields)
            }
            (other, _) => return unknown("an entry of the audit list", other),
        };
        let AuditV1 { by, act, kind, subject, name, before } = entry;
        let act = AuditAct::of_number(act).ok_or_else(|| Corrupt(format!("act {act}")))?;
        let kind = SubjectKind::of_number(kind).ok_or_else(|| Corrupt(format!("kind of object {kind}")))?;
        let id = match subject {
            SubjectIdV1::Own(id) => SubjectId::Own(Id::from_bits(id)),
            SubjectIdV1::Foreign(id) => {
                let id = ForeignId::parse("id", &id).map_err(|error| Corrupt(error.to_string()))?;
                SubjectId::Foreign(id)
            }
        };
        Ok(AuditEntry {
            by: by.map(Id::from_bits),
            act,
            subject: AuditSubject { kind, id },
            name,
            before: before.map(LinkCopy::into_model).transpose()?.map(Box::new),
            fields,
        })
    }
}

/// The name of an API key that no longer exists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // `name` speaks.
pub struct RetiredKey {
    pub name: Box<str>,
    /// When the key was removed.
    pub at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct RetiredKeyV1 {
    name: Box<str>,
    at: i64,
}

impl Stored for RetiredKey {
    fn encode(&self) -> Vec<u8> {
        write(1, &RetiredKeyV1 { name: self.name.clone(), at: self.at.as_millis() })
    }

    fn decode(bytes: &[u8]) -> Result<RetiredKey, Corrupt> {
        match version(bytes)? {
            (1, rest) => {
                let RetiredKeyV1 { name, at } = read(rest)?;
                Ok(RetiredKey { name, at: Timestamp::from_millis(at) })
            }
            (other, _) => unknown("the name of a key", other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::link::sample;

    fn tag(by: Option<Id>) -> AuditEntry {
        let subject = AuditSubject { kind: SubjectKind::Tag, id: Id::from_bits(7).into() };
        AuditEntry {
            by,
            act: AuditAct::Create,
            subject,
            name: Some("ab".into()),
            before: None,
            fields: Vec::new(),
        }
    }

    /// These bytes are on users' disks: if this test fails, add a version instead of editing it.
    #[test]
    fn version_1_is_read_for_ever() {
        let link = sample::link(77, "a", sample::plain());
        let subject = AuditSubject::link(link.id);
        let before = Some(Box::new(link));
        let edit =
            AuditEntry { by: None, act: AuditAct::Edit, subject, name: None, before, fields: Vec::new() };
        let campaign = ForeignId::parse("id", "c1").expect("an id");
        let subject = AuditSubject { kind: SubjectKind::Campaign, id: (&campaign).into() };
        let renamed = AuditEntry { act: AuditAct::Rename, subject, ..tag(Some(Id::from_bits(9))) };
        let record = [
            3, 77, 0, 0, 0, 0, 15, b'h', b't', b't', b'p', b's', b':', b'/', b'/', b'e', b'.', b't', b'e',
            b's', b't', b'/', 0, 251, 46, 1, 1, 0,
        ];
        let rows = [
            (tag(Some(Id::from_bits(9))), vec![1, 1, 9, 0, 1, 0, 7, 1, 2, b'a', b'b', 0]),
            (renamed, vec![1, 1, 9, 2, 2, 1, 2, b'c', b'1', 1, 2, b'a', b'b', 0]),
            (edit, [&[1, 0, 1, 0, 0, 77, 0, 1, 0, 1, b'a', 28], &record[..]].concat()),
        ];
        for (entry, bytes) in rows {
            assert_eq!(entry.encode(), bytes, "{entry:?}");
            let again = AuditEntry::decode(&bytes).expect("the golden bytes");
            assert_eq!(format!("{again:?}"), format!("{entry:?}"));
        }
        let retired = RetiredKey { name: "ab".into(), at: Timestamp::from_millis(3) };
        assert_eq!(retired.encode(), [1, 2, b'a', b'b', 6]);
        assert_eq!(RetiredKey::decode(&retired.encode()).ok(), Some(retired));
        // An act and a kind that this version does not know.
        for bytes in [[1, 0, 99, 1, 0, 7, 0, 0], [1, 0, 1, 99, 0, 7, 0, 0]] {
            assert!(AuditEntry::decode(&bytes).is_err(), "{bytes:?}");
        }
    }

    /// These bytes are on users' disks as well.
    #[test]
    fn version_2_is_read_for_ever() {
        let entry = AuditEntry { act: AuditAct::Edit, fields: vec!["ab".into(), "c".into()], ..tag(None) };
        let bytes = [2, 0, 1, 1, 0, 7, 1, 2, b'a', b'b', 0, 2, 2, b'a', b'b', 1, b'c'];
        assert_eq!(entry.encode(), bytes);
        assert_eq!(format!("{:?}", AuditEntry::decode(&bytes).expect("an entry")), format!("{entry:?}"));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            bytes[0] = 2;
            let _ = AuditEntry::decode(&bytes);
            bytes[0] = 1;
            let _ = AuditEntry::decode(&bytes);
            let _ = RetiredKey::decode(&bytes);
        }
    }
}
