//! [`Campaign`]: a group of links of one workspace. A link belongs to at most one campaign.

use crate::clock::Timestamp;
use crate::model::Invalid;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::{WorkspaceNumber, check_name};

/// A campaign. Its id is unique within its workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct Campaign {
    /// The id in the APIs, which may come from a vendor.
    pub id: ForeignId,
    /// Its position among the campaigns, in order of creation. It is generated even if the id comes from a
    /// vendor.
    pub serial: Id,
    /// The number of its workspace.
    pub workspace: WorkspaceNumber,
    pub name: Box<str>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One change of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields speak.
pub enum CampaignEdit {
    Name(Box<str>),
}

impl Campaign {
    /// Applies one change. Fails if a value breaks a rule.
    pub fn apply(&mut self, edit: CampaignEdit) -> Result<(), Invalid> {
        match edit {
            CampaignEdit::Name(name) => {
                // Checked before the field is set: a rejected change leaves the campaign as it was.
                check_name("name", &name)?;
                self.name = name;
            }
        }
        Ok(())
    }
}

/// A campaign that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct CampaignDraft {
    /// A vendor's id to keep. `None` generates one.
    pub id: Option<ForeignId>,
    /// Another spelling of `id`.
    ///
    /// 1. No other campaign has `id` or `alias` as its id: a [`CampaignRef`] could mean either of them.
    pub alias: Option<ForeignId>,
    pub name: Box<str>,
}

/// The name of a campaign in a request. Some vendors write an id in two ways: the first of the two that
/// exists is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct CampaignRef {
    pub id: ForeignId,
    /// Another spelling of `id`, which is searched second.
    pub alias: Option<ForeignId>,
}

impl From<ForeignId> for CampaignRef {
    fn from(id: ForeignId) -> CampaignRef {
        CampaignRef { id, alias: None }
    }
}
