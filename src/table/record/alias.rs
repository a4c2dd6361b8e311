//! Records of aliases: former short URLs of links. The record of the link lists them, so they change only with it.

use serde::{Deserialize, Serialize};

use super::{Corrupt, Stored, read, unknown, version, write};
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::link::Alias;
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;

/// The link of an alias. By id, so that the link may be renamed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AliasRecord {
    /// The workspace of the link.
    pub workspace: WorkspaceNumber,
    /// The link.
    pub link: Id,
}

#[derive(Serialize, Deserialize)]
struct AliasV1 {
    workspace: u32,
    link: u128,
}

impl Stored for AliasRecord {
    fn encode(&self) -> Vec<u8> {
        write(1, &AliasV1 { workspace: self.workspace.0, link: self.link.bits() })
    }

    fn decode(bytes: &[u8]) -> Result<AliasRecord, Corrupt> {
        match version(bytes)? {
            (1, rest) => {
                let AliasV1 { workspace, link } = read(rest)?;
                Ok(AliasRecord { workspace: WorkspaceNumber(workspace), link: Id::from_bits(link) })
            }
            (other, _) => unknown("an alias", other),
        }
    }
}

/// An alias in the record of its link.
#[derive(Serialize, Deserialize, Default, PartialEq)]
pub(super) struct AliasV3 {
    domain: u32,
    code: Box<str>,
}

impl From<&Alias> for AliasV3 {
    fn from(alias: &Alias) -> AliasV3 {
        AliasV3 { domain: alias.domain.0, code: alias.code.as_str().into() }
    }
}

impl From<AliasV3> for Alias {
    fn from(alias: AliasV3) -> Alias {
        let code = ShortCode::from_stored(&alias.code);
        Alias { domain: DomainNumber(alias.domain), code, typed_code: None }
    }
}

/// An alias whose code was typed in another form than its domain stores.
#[derive(Serialize, Deserialize, Default, PartialEq)]
pub(super) struct AliasV5 {
    alias: AliasV3,
    typed_code: Option<Box<str>>,
}

impl From<&Alias> for AliasV5 {
    fn from(alias: &Alias) -> AliasV5 {
        let typed_code = alias.typed_code.as_ref().map(|code| code.as_str().into());
        AliasV5 { alias: AliasV3::from(alias), typed_code }
    }
}

impl From<AliasV5> for Alias {
    fn from(alias: AliasV5) -> Alias {
        let typed_code = alias.typed_code.map(|code| ShortCode::from_stored(&code));
        Alias { typed_code, ..Alias::from(alias.alias) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes are on users' disks: if this test fails, add a version instead of editing it.
    #[test]
    fn version_1_is_read_for_ever() {
        let alias = AliasRecord { workspace: WorkspaceNumber(2), link: Id::from_bits(77) };
        assert_eq!(alias.encode(), [1, 2, 77]);
        assert_eq!(AliasRecord::decode(&[1, 2, 77]).ok(), Some(alias));
        assert!(AliasRecord::decode(&[1, 2]).is_err());
    }
}
