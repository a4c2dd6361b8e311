//! [`Campaign`]: what links of one workspace are made for. A link belongs to one at most.

use crate::clock::Timestamp;
use crate::model::Invalid;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::{WorkspaceNumber, check_name};

/// A campaign. Its id is unique within its workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// What the APIs call it by; may be a vendor's.
    pub id: ForeignId,
    /// Its place among the others: drawn, whatever its id, so that lists are in order of creation.
    pub serial: Id,
    /// Its owner.
    pub workspace: WorkspaceNumber,
    /// Display name.
    pub name: Box<str>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// One change of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CampaignEdit {
    /// Renames it.
    Name(Box<str>),
}

impl Campaign {
    /// Applies one change.
    pub fn apply(&mut self, edit: CampaignEdit) -> Result<(), Invalid> {
        match edit {
            CampaignEdit::Name(name) => {
                check_name("name", &name)?;
                self.name = name;
            }
        }
        Ok(())
    }
}

/// A campaign to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignDraft {
    /// A vendor's id to keep; drawn when `None`.
    pub id: Option<ForeignId>,
    /// What nobody else's id may be: another spelling of `id`.
    pub or: Option<ForeignId>,
    /// Display name.
    pub name: Box<str>,
}

/// How a request names a campaign: by its id, which some vendors also write in a second way. Of
/// the two, the first that exists is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignRef {
    /// As written.
    pub id: ForeignId,
    /// Its other spelling.
    pub or: Option<ForeignId>,
}

impl From<ForeignId> for CampaignRef {
    fn from(id: ForeignId) -> CampaignRef {
        CampaignRef { id, or: None }
    }
}
