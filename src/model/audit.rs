//! What a key did to an object of a workspace. The entries about a link are its history.

use std::fmt;
use std::str::FromStr;

use crate::model::id::{ForeignId, Id};
use crate::model::link::Link;

/// A change of an object, without its time: the id of an entry has it.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// The key that did it. `None` for the key in the environment, and for commands beside the server.
    pub by: Option<Id>,
    /// What was done.
    pub act: AuditAct,
    /// The object.
    pub subject: AuditSubject,
    /// The name of the object at that time. `None` for a link, whose short URL is looked up.
    pub name: Option<Box<str>>,
    /// The link before the change. `None` for other objects, and for a change that left the link as it was.
    pub before: Option<Box<Link>>,
    /// The fields of another object that changed, by their names in the API. Empty in entries of earlier versions.
    pub fields: Vec<Box<str>>,
}

/// Defines an enum whose variants have names in the API, and numbers in records.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $number:literal $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // The names speak.
        pub enum $type {
            $($variant,)*
        }

        impl $type {
            /// All names, for error messages.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Returns the name in the API.
            pub fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)*
                }
            }

            /// Returns the number in records.
            pub(crate) fn number(self) -> u8 {
                match self {
                    $($type::$variant => $number,)*
                }
            }

            /// Returns the variant of a number.
            pub(crate) fn of_number(number: u8) -> Option<$type> {
                match number {
                    $($number => Some($type::$variant),)*
                    _ => None,
                }
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<$type, UnknownName> {
                match name {
                    $($name => Ok($type::$variant),)*
                    _ => Err(UnknownName($type::NAMES)),
                }
            }
        }
    };
}

/// The text is none of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName(&'static [&'static str]);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be one of {}", self.0.join(", "))
    }
}

named! {
    /// What was done. The numbers are stored: a number is never given to another act.
    AuditAct {
        Create = 0 "create",
        Edit = 1 "edit",
        Rename = 2 "rename",
        Move = 3 "move",
        Undo = 4 "undo",
        Delete = 5 "delete",
        Restore = 6 "restore",
        Import = 7 "import",
        Rotate = 8 "rotate",
    }
}

named! {
    /// The kind of an object.
    SubjectKind {
        Link = 0 "link",
        Tag = 1 "tag",
        Campaign = 2 "campaign",
        Domain = 3 "domain",
        Key = 4 "key",
        Workspace = 5 "workspace",
        WebhookSecret = 6 "webhookSecret",
        ClickShare = 7 "statisticsShare",
        Snapshot = 8 "snapshot",
        SnapshotShare = 9 "snapshotShare",
        Session = 10 "session",
    }
}

/// An object of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSubject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Its id.
    pub id: SubjectId,
}

/// An id of an object. One that Waypost generated takes fewer bytes in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The types have the docs.
pub enum SubjectId {
    Own(Id),
    Foreign(ForeignId),
}

impl From<Id> for SubjectId {
    fn from(id: Id) -> SubjectId {
        SubjectId::Own(id)
    }
}

impl From<&ForeignId> for SubjectId {
    fn from(id: &ForeignId) -> SubjectId {
        // Most such ids are generated as well.
        id.as_str().parse().map_or_else(|_| SubjectId::Foreign(id.clone()), SubjectId::Own)
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubjectId::Own(id) => id.fmt(f),
            SubjectId::Foreign(id) => id.fmt(f),
        }
    }
}

impl AuditSubject {
    /// Returns the subject of a link.
    pub fn link(id: Id) -> AuditSubject {
        AuditSubject { kind: SubjectKind::Link, id: id.into() }
    }

    /// Returns the id of the link, `None` for another object.
    pub fn link_id(&self) -> Option<Id> {
        match (self.kind, &self.id) {
            (SubjectKind::Link, SubjectId::Own(id)) => Some(*id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_read_back() {
        for number in 0..=u8::MAX {
            if let Some(act) = AuditAct::of_number(number) {
                assert_eq!((act.number(), act.name().parse()), (number, Ok(act)));
            }
            if let Some(kind) = SubjectKind::of_number(number) {
                assert_eq!((kind.number(), kind.name().parse()), (number, Ok(kind)));
            }
        }
        let error = "x".parse::<AuditAct>().map_err(|error| error.to_string());
        let want = "must be one of create, edit, rename, move, undo, delete, restore, import, rotate";
        assert_eq!(error, Err(want.to_owned()));
    }

    #[test]
    fn an_id_of_a_vendor_stays_as_it_is() {
        for text in ["camp_1", "000000000000000000AB", "a"] {
            let id = ForeignId::parse("id", text).expect("an id");
            assert_eq!(SubjectId::from(&id).to_string(), text);
        }
        let link = AuditSubject::link(Id::from_bits(7));
        assert_eq!(link.link_id(), Some(Id::from_bits(7)));
        assert_eq!(AuditSubject { kind: SubjectKind::Tag, ..link }.link_id(), None);
    }
}
